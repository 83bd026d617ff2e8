// -- The panel of a pair -----------------------------------------------------------------------------------------
function drawPair() {
  const [a, b] = state.picked, m = meta(), body = $("pair-body");
  if (a === b) return drawModel(a);
  const row = rowOf(state.metric, a, b), own = metricData(state.metric), table = tableOf(state.metric, state.group);
  put($("pair-title"), ...breakable(named(a, b)));
  if (row < 0) return put(body, el("p", { text: "These two were not compared." }));
  const { statistic } = state, v = table[statistic] && table[statistic][row];
  const interval = ["low", "high"].map((end) => table[`${statistic}_${end}`]).map((c) => c && c[row]);
  const figures = el("div", { class: "figures" },
    el("span", { class: "big" }, datum(v), el("span", { class: "unit", text: m.unit && ` ${m.unit}` })),
    el("span", { class: "note", text: `${label(statistic)} of ${m.spec}` }),
    known(interval[0]) && known(interval[1]) ? el("span", { class: "note" },
      `${page.confidence ? `${page.confidence} ` : ""}interval `, datum(interval[0]), " to ", datum(interval[1])) : null);
  const stats = el("dl", { class: "stats" }, ...page.statistics.filter((s) => table[s] && !/_(low|high)$/.test(s))
    .map((s) => el("div", null, el("dt", { text: label(s) }), el("dd", null, datum(table[s][row])))));
  const reasons = page.reasons.filter((r) => state.group < 0 && own.reasons[r][pairOf[a * n + b]])
    .map((r) => `${brief(own.reasons[r][pairOf[a * n + b]])} ${r.replace("_", " ")}`);
  put(body, figures, state.group < 0 ? histogram(own, row, table) : null, stats,
    reasons.length ? el("p", { class: "note", text: `Images without a score: ${reasons.join(", ")}.` }) : null,
    extremes(own, row, a, b), otherMetrics(a, b));
}

function drawModel(a) {
  const m = meta(), sign = look(state.metric, state.statistic).flip ? 1 : -1;
  put($("pair-title"), ...breakable(page.models[a]));
  const others = orderNow().filter((b) => b !== a).map((b) => [b, nowAt(a, b)]).filter(([, v]) => known(v))
    .sort((x, y) => sign * (x[1] - y[1]));
  const lines = others.map(([b, v]) => el("tr", null,
    el("th", { scope: "row" }, link(page.models[b], () => pick(a, b))), el("td", null, datum(v))));
  const note = `${capital(label(state.statistic))} of ${m.spec} to every other model, the most alike first.`;
  put($("pair-body"), el("p", { class: "note", text: note }),
    sortable(el("table", { class: "plain" },
      el("thead", null, el("tr", null, el("th", { scope: "col", text: "Model" }), el("th", { scope: "col", text: m.spec }))),
      el("tbody", null, ...lines))));
}

// Of which statistics there is a place on the axis of the scores.
const onAxis = (statistic) => /^(mean|median|min|max|q25|q75|baseline)(_low|_high)?$/.test(statistic);

function histogram({ histogram: h }, row, table) {
  const counts = h ? h.counts[row] : [], most = Math.max(0, ...counts);
  if (!most || !known(h.edges[0])) return null;
  const width = Math.max(240, room.pair), height = 132, base = 108, top = 18, [low, high] = h.edges;
  const x = (v) => 6 + (Math.min(high, Math.max(low, v)) - low) / (high - low) * (width - 12);
  const bar = (width - 12) / counts.length;
  const bars = counts.map((c, k) => `M${6 + k * bar} ${base}v${-(c / most) * (base - top - 14)}h${bar - 0.6}V${base}z`).join("");
  const at = (s) => table[s] && table[s][row];
  const [q25, q50, q75] = ["q25", "median", "q75"].map(at);
  const box = known(q25) && known(q75) ? [
    svg("rect", { class: "box", x: x(q25), width: Math.max(1, x(q75) - x(q25)), y: top, height: 7, rx: 1 }),
    known(q50) ? svg("path", { class: "box", d: `M${x(q50)} ${top - 2}v11` }) : null] : [];
  const places = decimalsFor([low, high]), few = width < 360 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  const ticks = few.map((f) => svg("text", { x: 6 + f * (width - 12), y: base + 16,
    "text-anchor": f === 0 ? "start" : f === 1 ? "end" : "middle" }, fixed(between(low, high, f), places)));
  const { statistic } = state, text = `Histogram of ${count(table.n[row], "score")}; box: quartiles and median; `
    + (onAxis(statistic) ? `line: ${label(statistic)}.` : `the ${label(statistic)} has no place on this axis.`);
  const picture = svg("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": text },
    ...chosenMark(statistic, at, x, width, base), svg("path", { class: "bars", d: bars }),
    svg("path", { class: "axis", d: `M6 ${base + 0.5}H${width - 6}` }), ...box, ...ticks);
  const table_ = () => [["from", "to", "scores"],
    ...counts.map((c, k) => [low + (high - low) * k / counts.length, low + (high - low) * (k + 1) / counts.length, c])];
  return el("figure", { class: "distribution" }, picture, el("figcaption", { class: "note", text },),
    savers(`histogram_${meta().slug}_${state.picked.map((k) => page.models[k]).join("_")}`, { picture: () => picture, table: table_ }));
}

// The line of the statistic that is chosen, with its name, and its interval as a band.
function chosenMark(statistic, at, x, width, base) {
  const v = at(statistic), [from, to] = [at(`${statistic}_low`), at(`${statistic}_high`)];
  if (!onAxis(statistic) || !known(v)) return [];
  const side = x(v) > width / 2 ? "end" : "start";
  return [
    known(from) && known(to) ? svg("rect", { class: "band", x: x(from), width: Math.max(1, x(to) - x(from)), y: 14, height: base - 14 }) : null,
    svg("path", { class: "chosen", d: `M${x(v)} 12V${base}` }),
    svg("text", { class: "chosen-name", x: x(v), y: 10, "text-anchor": side }, `${label(statistic)} ${brief(v)}`)]
    .filter((one) => one !== null);
}

// The images at either end; of few images none is at both.
const listsOf = (own, row) => {
  const half = Math.max(1, Math.floor(own.values.n[row] / 2));
  return ["least", "most"].map((end) => own.extremes[end][row].slice(0, half));
};
function shownImages(own, row) {
  const sign = meta().kind === "similarity" ? 1 : -1;
  return page.gallery.map((image, k) => [image, own.shown[row][k]]).filter(([, v]) => known(v))
    .sort((x, y) => sign * (x[1] - y[1]));
}

function extremes(own, row, a, b) {
  if (!own.extremes) return el("p", { class: "note", text: "The scores of single images were not kept." });
  const all = state.group < 0 ? "" : ", of all images", [least, most] = listsOf(own, row);
  const shown = shownImages(own, row);
  const more = shown.length ? el("details", null,
    el("summary", { text: `The ${count(shown.length, "image")} of the galleries below, the least alike first` })) : null;
  if (more) more.addEventListener("toggle", () => {
    if (more.open && !more.querySelector("ul")) more.append(
      el("ul", { class: "images" }, ...shown.map(([image, score]) => imageLine(image, score, [a, b], "shown"))));
  });
  return el("div", null, el("div", { class: "examples" }, imageList(`Least alike on${all}`, least, [a, b], "pair"),
    imageList(`Most alike on${all}`, most, [a, b], "pair")), more);
}

function otherMetrics(a, b) {
  if (page.metrics.length < 2) return null;
  const lines = page.metrics.map((m, k) => el("tr", null,
    el("th", { scope: "row" }, link(m.spec, () => change({ metric: k }))),
    el("td", null, datum(valueAt(k, state.statistic, state.group, a, b))),
    el("td", { class: "text", text: m.unit || m.kind })));
  return el("div", null, el("h3", { text: "This pair by every metric" }),
    el("table", { class: "plain" }, el("tbody", null, ...lines)));
}
