// -- The large view: an image's photograph and maps, side by side -------------------------------------------------
const view = $("view");
let opener = null, drawing = 0;

// The images that the arrows go through, as [image, score, what]: those of the pair, or of a gallery.
function viewList() {
  const own = metricData(state.metric), told = (list, what) => list.map(([image, score], k) =>
    [image, score, `${what}, ${k + 1} of ${list.length}`]);
  const row = state.picked && state.picked[0] !== state.picked[1] ? rowOf(state.metric, ...state.picked) : -1;
  if (own.extremes && state.view.of === "pair" && row >= 0) {
    const [least, most] = listsOf(own, row);
    return [...told(least, "least alike"), ...told(most, "most alike")];
  }
  if (own.extremes && state.view.of === "shown" && row >= 0) return told(shownImages(own, row), "least alike first");
  const { least, most } = rankingNow();
  return [...told(least, "models differ most"), ...told(most, "models agree most")];
}

function openView(image, of) {
  opener = document.activeElement;
  state.view = { image, of };
  remember();
  showView();
}
function showView() {
  if (!view.open) {
    fillChoices();
    view.showModal();
  }
  drawView();
}
function closeView() {
  if (!state.view) return;
  const { image } = state.view;
  state.view = null;
  remember();
  returnFocus(image);
}
// To what opened the view, or, if that was drawn again, to the same image.
function returnFocus(image) {
  const again = opener && opener.isConnected && opener !== document.body ? opener
    : document.querySelector(`li[data-image="${image}"] button.strip`);
  if (again) again.focus();
}
function step(by) {
  const list = viewList(), at = list.findIndex(([image]) => image === state.view.image);
  const next = list[(at + by + list.length) % list.length];
  if (!next) return;
  state.view = { ...state.view, image: next[0] };
  remember(true);
  drawView();
}

// The two models that are compared: the pair at hand, of which either can be exchanged.
function fillChoices() {
  const [a, b] = viewPair();
  for (const [id, k] of [["view-a", a], ["view-b", b]]) {
    put($(id), ...page.models.map((name, value) => el("option", { value, text: name })));
    $(id).value = k;
  }
}
const viewPair = () => state.picked && state.picked[0] !== state.picked[1] ? state.picked
  : [0, Math.min(1, n - 1)];
const chosenPair = () => ["view-a", "view-b"].map((id) => Number($(id).value));
const common = () => view.querySelector("input[name=view-scale]:checked").value === "common";

async function drawView() {
  const { image, of } = state.view, list = viewList(), entry = list.find(([k]) => k === image);
  const turn = ++drawing, [a, b] = chosenPair();
  put($("view-title"), ...breakable(page.images[image]));
  $("view-note").textContent = entry ? `${entry[2]} · ${meta().spec} ${brief(entry[1])}`
    + (of === "gallery" ? ", mean over pairs" : ` of ${named(...state.picked)}`) : scoreOfPair(image);
  for (const id of ["view-previous", "view-next"]) $(id).disabled = list.length < 2;
  const models = page.models.map((_, k) => k).filter((k) => shownModel(k) || k === a || k === b);
  const stored = await Promise.all(models.map(async (k) => [k, await mapLevels(image, k)]));
  if (turn !== drawing || !state.view) return;
  const maps = new Map(stored.filter(([, map]) => map)), scale = commonScale([...maps.values()]);
  const { photo } = mapsOf(image) || {}, one = (k) => viewMap(image, k, maps.get(k), scale, photo);
  put($("view-pair"), photo ? viewFigure(el("img", { src: photo, alt: "photograph" }), "photograph", "") : null,
    one(a), one(b), viewDifference([a, b], maps.get(a), maps.get(b), scale, photo));
  const others = models.filter((k) => k !== a && k !== b && carried(image, k));
  put($("view-others"), ...others.map(one));
  $("view-others-title").hidden = !others.length;
  $("view-overlay").hidden = !photo;
  $("view-stored").textContent = page.stored ? storedNote() : "";
  const missing = models.length - maps.size - models.filter((k) => !maps.has(k) && flawOf(image, k)).length;
  $("view-left-out").textContent = missing ? `${count(missing, "model")} not shown: their maps of this image are not in the report.` : "";
  drawViewLegend(scale);
}

// What the pair at hand scores on an image of the galleries.
function scoreOfPair(image) {
  const at = page.gallery.indexOf(image), row = state.picked ? rowOf(state.metric, ...state.picked) : -1;
  return at < 0 || row < 0 ? "" : `${meta().spec} ${brief(metricData(state.metric).shown[row][at])} of ${named(...state.picked)}`;
}

// The range that all maps of the image lie in.
function commonScale(maps) {
  const low = Math.min(...maps.map((map) => map.low)), high = Math.max(...maps.map((map) => map.high));
  if (low >= 0) return { low, high, colors: PLAIN };
  const reach = Math.max(-low, high);
  return { low: -reach, high: reach, colors: SIGNED };
}
const shareOf = (v, { low, high }) => (high > low ? (v - low) / (high - low) : 0);

function viewMap(image, k, map, scale, photo) {
  const flaw = flawOf(image, k);
  if (!map) return viewFigure(el("div", { class: "none gone" }), page.models[k], flaw || "not stored");
  const canvas = el("canvas", { role: "img", "aria-label": page.models[k] });
  if (common()) shadePixels(canvas, map, scale.colors, (at) => (hole(map, at) ? null : shareOf(pixelAt(map, at), scale)));
  else drawOwn(canvas, map);
  return viewFigure(canvas, page.models[k], flaw || `${brief(map.low, 3)} to ${brief(map.high, 3)}`, photo);
}

function viewDifference([a, b], first, second, scale, photo) {
  const name = `${page.models[a]} − ${page.models[b]}`;
  if (!first || !second || a === b) return null;
  const canvas = el("canvas", { role: "img", "aria-label": name }), reach = differenceReach(scale, first, second);
  const value = common() ? (map, at) => pixelAt(map, at)
    : (map, at) => (signed(map) ? 2 * shareAt(map, at) - 1 : shareAt(map, at));
  shadePixels(canvas, first, SIGNED, (at) => (hole(first, at) || hole(second, at) ? null
    : ((value(first, at) - value(second, at)) / reach + 1) / 2));
  return viewFigure(canvas, name, `−${brief(reach, 3)} to ${brief(reach, 3)}`, photo);
}
const differenceReach = ({ low, high }, ...maps) => common() ? (high - low) || 1 : maps.some(signed) ? 2 : 1;

function viewFigure(picture, name, note, photo) {
  const stack = el("div", { class: "stack" }, photo ? el("img", { src: photo, alt: "" }) : null, picture);
  stack.style.setProperty("--aspect", page.aspect);
  return el("figure", null, stack, el("figcaption", null, el("span", { words: name }), note ? el("small", { text: note }) : null));
}

function drawViewLegend(scale) {
  const bar = (colors, low, high, text) => {
    const strip = el("div", { class: "ramp" });
    strip.style.background = ramp(steps(rampOf(colors)));
    return el("div", { class: "bar" }, strip, el("div", { class: "ends" }, el("span", { text: low }),
      el("span", { text }), el("span", { text: high })));
  };
  const maps = !Number.isFinite(scale.low) ? null : common()
    ? bar(scale.colors, brief(scale.low, 3), brief(scale.high, 3), "one scale for all maps of this image")
    : bar(PLAIN, "its lowest", "its 99.5th percentile", "each map on its own scale");
  put($("view-legend"), maps, bar(SIGNED, "B higher", "A higher", common() ? "A − B in the maps' values"
    : "A − B, each map divided by its own range"));
}

// -- What the view answers to --------------------------------------------------------------------------------------
$("view-previous").addEventListener("click", () => step(-1));
$("view-next").addEventListener("click", () => step(1));
$("view-close").addEventListener("click", () => view.close());
view.addEventListener("close", closeView); // by Escape, too
view.addEventListener("click", (event) => { if (event.target === view) view.close(); });
view.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input")) return;
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else return;
  event.preventDefault();
});
view.addEventListener("change", (event) => { if (event.target.id !== "view-opacity") drawView(); });
$("view-opacity").addEventListener("input", () => {
  view.style.setProperty("--opacity", $("view-opacity").value / 100);
  $("view-opacity-value").textContent = `${$("view-opacity").value} %`;
});
$("view-save").addEventListener("click", async () => {
  saveBlob(`${page.images[state.view.image]}_${chosenPair().map((k) => page.models[k]).join("_")}.png`, await viewPicture());
});

// The view's main row as one picture, the maps as far over the photograph as they are now.
function viewPicture() {
  const figures = [...$("view-pair").querySelectorAll("figure")], side = 320, high = Math.round(side / page.aspect);
  const canvas = el("canvas", { width: figures.length * (side + 12) - 12, height: high + 46 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  figures.forEach((figure, k) => {
    const left = k * (side + 12);
    for (const layer of figure.querySelectorAll("img, canvas")) {
      context.globalAlpha = layer.tagName === "CANVAS" && layer.previousSibling ? $("view-opacity").value / 100 : 1;
      context.drawImage(layer, left, 0, side, high);
    }
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.font = "14px sans-serif";
    [...figure.querySelectorAll("figcaption > *")].forEach((line, at) =>
      context.fillText(line.textContent, left, high + 18 + 19 * at, side));
  });
  return new Promise((done) => canvas.toBlob(done));
}
