// -- Finding and hiding models -------------------------------------------------------------------------------------
function drawChoice() {
  const matching = page.models.map((_, k) => k).filter((k) => state.find === "" || found(k));
  const left = n - state.hidden.size;
  $("models-summary").textContent = left === n ? `All ${n} models` : `${left} of ${n} models`;
  $("find-note").textContent = state.find === "" ? "" : count(matching.length, "model");
  const act = (text, hidden) => el("button", { type: "button", text, onclick: () => change({ hidden: new Set(hidden) }) });
  const all = page.models.map((_, k) => k);
  put($("models-acts"), act("Show all", []), state.find === "" ? null : act("Show only these", all.filter((k) => !found(k))),
    state.find === "" ? null : act("Hide these", [...state.hidden, ...matching]));
  put($("models-list"), ...matching.map((k) => {
    const box = el("input", { type: "checkbox", value: k });
    box.checked = shownModel(k);
    return el("li", null, el("label", null, box, el("span", { words: page.models[k] })));
  }));
}
$("find").addEventListener("input", () => {
  state.find = $("find").value.trim();
  remember(true);
  drawChoice();
  markFound();
  drawModelMap();
});
$("models-list").addEventListener("change", ({ target }) => {
  const hidden = new Set(state.hidden);
  if (target.checked) hidden.delete(Number(target.value));
  else hidden.add(Number(target.value));
  change({ hidden });
  const again = $("models-list").querySelector(`input[value="${target.value}"]`);
  if (again) again.focus();
});

// -- The map of the models -----------------------------------------------------------------------------------------
const NUMBERED = 40; // of more models the dots bear numbers, and the names stand below

function drawModelMap() {
  const { map } = metricData(state.metric), host = $("model-map");
  if (!map) {
    $("model-map-note").textContent = "A map takes three models or more, all compared with each other.";
    return put(host);
  }
  const lit = (k) => (state.picked !== null && state.picked.includes(k)) || found(k);
  const placed = orderNow().map((k) => ({ k, x: map.x[k], y: map.y[k], lit: lit(k) })).filter((p) => known(p.x));
  placed.sort((p, q) => q.lit - p.lit); // the pair at hand gets its names first
  $("model-map-note").textContent = mapNote(map);
  const numbered = placed.length > NUMBERED, keys = new Map(placed.map((p) => p.k).sort((i, j) => i - j).map((k, i) => [k, i + 1]));
  const text = ({ k }) => (numbered ? String(keys.get(k)) : page.short[k]);
  const picture = mapPicture(placed, text, Math.min(736, Math.max(280, room.map || 640)));
  const key = [...keys].map(([k, i]) => el("li", { class: lit(k) ? "lit" : null, value: i, words: page.models[k] }));
  put(host, picture, numbered ? el("ol", { class: "key" }, ...key) : null,
    savers(`models_${meta().slug}`, { picture: () => picture, table: () => [["model", "x", "y"],
      ...placed.map(({ k, x, y }) => [page.models[k], x, y])] }));
}
function mapNote({ stress }) {
  const trust = stress < 0.1 ? "the plane shows the distances well" : stress < 0.2
    ? "the plane shows the distances fairly" : "the plane distorts the distances; trust the matrix";
  return `Multidimensional scaling of ${meta().spec}: the closer, the more alike. `
    + `Stress ${stress < 0.001 ? "below 0.001" : brief(stress, 2)} (${trust}).`;
}

function mapPicture(placed, textOf, width) {
  const pad = Math.min(70, width / 7), span = (list) => [Math.min(...list), Math.max(...list)];
  const [x0, x1] = span(placed.map((p) => p.x)), [y0, y1] = span(placed.map((p) => p.y));
  const unit = (width - 2 * pad) / Math.max(x1 - x0, (y1 - y0) * 1.2, 1e-12);
  const height = Math.max(placed.length > 12 ? 320 : 160, (y1 - y0) * unit + 70);
  const px = (x) => width / 2 + (x - (x0 + x1) / 2) * unit, py = (y) => height / 2 - (y - (y0 + y1) / 2) * unit;
  const dots = placed.map((p) => ({ ...p, px: px(p.x), py: py(p.y) }));
  const taken = dots.map((p) => [p.px - 5, p.py - 5, p.px + 5, p.py + 5]);
  const lines = [], nodes = dots.map((dot, own) => {
    const text = textOf(dot), spot = freeSpot(dot, text.length * (dot.lit ? 7.2 : 6.4), own, taken, width, height);
    taken.push(spot.box);
    if (spot.far) lines.push(svg("path", { class: "leader", d: `M${dot.px} ${dot.py}L${spot.line}` }));
    return svg("g", { class: dot.lit ? "lit" : null }, svg("title", null, page.models[dot.k]),
      svg("circle", { cx: dot.px, cy: dot.py, r: 5 }), svg("text", { x: spot.x, y: spot.y, "text-anchor": spot.anchor }, text));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Map of ${count(placed.length, "model")}` },
    ...lines, ...nodes);
}

// Where a name covers nothing: beside its dot, or farther away at the end of a line; else where it covers least.
function freeSpot({ px, py }, wide, own, taken, width, height) {
  const covered = (box) => taken.reduce((sum, t, k) => sum + (k === own ? 0
    : Math.max(0, Math.min(box[2], t[2]) - Math.max(box[0], t[0])) * Math.max(0, Math.min(box[3], t[3]) - Math.max(box[1], t[1]))), 0);
  let best = null;
  for (const away of [9, 18, 30, 45, 65, 90]) {
    for (let turn = 0; turn < 16; turn++) {
      const angle = (turn % 2 ? Math.PI : 0) + (turn >> 1) * Math.PI / 4 + (away > 9 ? Math.PI / 8 * (turn >> 3) : 0);
      const x = px + away * Math.cos(angle), y = py + 4 + away * Math.sin(angle);
      const anchor = Math.cos(angle) > 0.3 ? "start" : Math.cos(angle) < -0.3 ? "end" : "middle";
      const left = anchor === "start" ? x : anchor === "end" ? x - wide : x - wide / 2;
      const box = [left, y - 10, left + wide, y + 3], outside = box[0] < 0 || box[2] > width || box[1] < 0 || box[3] > height;
      const cost = covered(box) + (outside ? 1e5 : 0);
      if (best === null || cost < best.cost - 1e-9) best = { x, y, anchor, box, cost, far: away > 18, line: `${x} ${y - 4}` };
      if (cost === 0) return best;
    }
  }
  return best;
}
