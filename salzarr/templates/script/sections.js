// -- Below the matrix ----------------------------------------------------------------------------------------------
function drawAgreement() {
  const host = $("agreement");
  if (!host) return;
  const { names, values, p, low, high, scale } = page.agreement;
  const told = (i, j) => [known(low[i][j]) && `${fixed(low[i][j], 2)} to ${fixed(high[i][j], 2)} over ${page.unit}`,
    known(p[i][j]) && `p = ${brief(p[i][j], 2)} (Mantel)`].filter(Boolean).join(", ");
  const line = (name, i) => el("tr", null, el("th", { scope: "row", words: name }), ...values[i].map((v, j) => {
    const td = el("td", { text: known(v) ? fixed(v, 2) : "–", class: known(v) ? null : "gone",
      title: (i !== j && told(i, j)) || null });
    paint(td, v, scale);
    return td;
  }));
  put(host, el("thead", null, el("tr", null, el("td"), ...names.map((text) => el("th", { scope: "col", text })))),
    el("tbody", null, ...names.map(line)));
  put($("agreement-save"), savers("agreement", { table: () => [["metric", ...names], ...names.map((name, i) => [name, ...values[i]])] }));
}

function drawGroups() {
  const host = $("groups");
  if (!host) return;
  const statistic = metricData(state.metric).groups[0][state.statistic] ? state.statistic : FIRST;
  const scale = scaleOf(state.metric, statistic, state.stretch), order = orderNow();
  $("groups-note").textContent = `${capital(label(statistic))} of ${meta().spec}, on the colors of the matrix above. `
    + "Click a group to see it large.";
  put(host, ...page.groups.map((name, g) => {
    const show = () => { change({ group: g, statistic }); $("matrix-section").scrollIntoView(); };
    const small = order.length <= 10 ? groupCells(order, g, statistic, scale) : groupCanvas(order, g, statistic, scale);
    return el("figure", null, el("button", { type: "button", class: "panel", "aria-label": `Matrix of ${name}`, onclick: show }, small),
      el("figcaption", null, el("span", { words: name }), el("small", { text: groupSize(g) })));
  }));
}
function groupCells(order, g, statistic, scale) {
  const size = 220 / order.length, values = order.map((a) => order.map((b) => valueAt(state.metric, statistic, g, a, b)));
  const places = statistic === "n" ? 0 : decimalsFor(values.flat()), font = Math.min(13, size / 3.1);
  return svg("svg", { viewBox: "0 0 220 220", width: 220, height: 220, "aria-hidden": "true" }, ...values.flatMap((line, i) =>
    line.flatMap((v, j) => {
      const rgb = known(v) ? color(v, scale) : null, [x, y] = [j * size, i * size];
      const box = svg("rect", { x, y, width: size - 1, height: size - 1, fill: rgb ? `rgb(${rgb})` : GONE });
      return rgb && font >= 6.5 ? [box, svg("text", { x: x + size / 2, y: y + size / 2 + font * 0.36, "text-anchor": "middle",
        style: `fill:${inkOn(rgb)};font-size:${font}px` }, fixed(v, places))] : [box];
    })));
}
function groupCanvas(order, g, statistic, scale) {
  const canvas = el("canvas", { width: order.length, height: order.length, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  order.forEach((a, i) => order.forEach((b, j) => {
    const v = valueAt(state.metric, statistic, g, a, b);
    context.fillStyle = known(v) ? `rgb(${color(v, scale)})` : GONE;
    context.fillRect(j, i, 1, 1);
  }));
  return canvas;
}
function groupSize(g) {
  const counts = metricData(state.metric).groups[g].n, low = Math.min(...counts), high = Math.max(...counts);
  return low === high ? count(high, "image") : `${brief(low)}–${brief(high)} images`;
}

// -- The galleries -------------------------------------------------------------------------------------------------
const rankingNow = () => {
  const { ranking } = metricData(state.metric), half = Math.max(1, Math.floor(page.image_count / 2));
  return ranking ? { least: ranking.least.slice(0, half), most: ranking.most.slice(0, half) } : { least: [], most: [] };
};
// Whose maps a gallery shows: all models, or of many those found and some spread over the others.
function galleryModels() {
  const order = orderNow();
  if (order.length <= 14) return order;
  const chosen = new Set([...order.filter(found),
    ...page.representatives.filter(shownModel), ...order].slice(0, 14));
  return order.filter((k) => chosen.has(k));
}
function drawGallery() {
  if (!metricData(state.metric).ranking) {
    $("gallery-note").textContent = "The scores of single images were not kept.";
    return put($("gallery"));
  }
  const models = galleryModels(), left = orderNow().length - models.length;
  const maps = page.stored && page.stored.carried ? ` ${storedNote()}`
    : page.stored ? ` ${storedNote()}` : " The maps were not at hand when this was written, so images are listed by name.";
  $("gallery-note").textContent = `Ranked by ${meta().spec}, averaged over all pairs.${maps}`
    + (left ? ` Of ${orderNow().length} models ${models.length} are shown, spread over their tree; `
      + "find models above to see theirs, or open an image to see all that are stored." : "");
  const photo = page.gallery.some((image) => mapsOf(image) && mapsOf(image).photo) ? 1 : 0;
  $("gallery").className = models.length + photo > 8 ? "wide" : "";
  const { least, most } = rankingNow();
  put($("gallery"), imageList("The models differ most on", least, models, "gallery"),
    imageList("The models agree most on", most, models, "gallery"));
}

function drawTests() {
  const host = $("tests");
  if (!host) return;
  const { count: all, significant, smallest, clearest } = metricData(state.metric).tests, m = meta();
  const floor = known(smallest) && smallest > 0.01 ? ` No p can be below ${brief(smallest)} with so few ${page.unit}.` : "";
  $("tests-note").textContent = `Two models' scores with a third, over ${page.unit}: ${brief(significant)} of ${brief(all)} `
    + `comparisons by ${m.spec} have a family-wise p\u00a0<\u00a00.05 (sign flips, step-down max-T over this metric's comparisons; `
    + `they test symmetry about 0). q is the false discovery rate over all metrics: of the rows with a smaller q, so many are false.${floor}`
    + `${!significant ? "" : significant > clearest.length ? ` The ${clearest.length} clearest:` : ""}`;
  const names = ["Model", "is closer to", "than to", m.unit ? `by (${m.unit})` : "by", `on this share of ${page.unit}`, page.unit, "p", "q"];
  const cell = (k) => el("td", { class: "text", words: page.models[k] });
  const lines = clearest.map(([model, near, far, ...rest]) => el("tr", null,
    el("th", { scope: "row", words: page.models[model] }), cell(near), cell(far), ...rest.map((v) => el("td", null, datum(v)))));
  const head = el("tr", null, ...names.map((text, k) => el("th", { scope: "col", text, class: k < 3 ? "text" : null })));
  put(host, significant ? el("thead", null, head) : null, el("tbody", null, ...lines));
  if (significant) sortable(host);
}
