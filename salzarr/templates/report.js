"use strict";
// Draws the page from the data beside it. Names and paths come in as data and go out as textContent, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const page = JSON.parse($("page").textContent);
  const parsed = new Map();
  const metricData = (k) => {
    if (!parsed.has(k)) parsed.set(k, JSON.parse($(`metric-${k}`).textContent));
    return parsed.get(k);
  };
  const n = page.models.length, ACROSS = 14; // pictures side by side, at most
  const state = { metric: 0, statistic: page.statistics.includes("mean") ? "mean" : page.statistics[0],
    group: -1, order: "given", stretch: false, at: [Math.min(1, n - 1), 0], picked: null };

  // -- Elements ------------------------------------------------------------------------------------------------
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const link = (text, onclick) => el("button", { type: "button", class: "linkish", text, onclick });
  const put = (node, ...children) => node.replaceChildren(...children.filter((child) => child !== null));

  // -- Numbers -------------------------------------------------------------------------------------------------
  const known = (v) => v !== null && v !== undefined;
  const decimalsFor = (values) => {
    const most = values.reduce((m, v) => (known(v) && isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0);
    const digits = most ? Math.floor(Math.log10(most)) : 0;
    return digits > -4 && digits < 5 ? Math.max(0, (digits >= 0 ? 2 : 1) - digits) : -1;
  };
  const fixed = (v, decimals) => {
    if (!known(v)) return "–";
    if (Math.abs(v) === Number.MAX_VALUE) return v < 0 ? "-∞" : "∞"; // JSON has no infinity
    if (decimals < 0) return exponent(v, 2);
    const text = (v || 0).toFixed(decimals); // no -0
    return v && !Number(text) ? significant(v, 1) : text; // only zero is written as zero
  };
  const exponent = (v, digits) => {
    const [mantissa, power] = v.toExponential(digits - 1).split("e");
    return `${mantissa}e${power[0]}${power.slice(1).padStart(2, "0")}`; // two digits, as in the pictures
  };
  const significant = (v, digits) => Math.abs(v) < 1e-4 ? exponent(v, digits).replace(/\.?0+e/, "e")
    : String(Number(v.toPrecision(digits)));
  const brief = (v, digits = 4) => {
    if (!known(v) || Math.abs(v) === Number.MAX_VALUE) return fixed(v);
    return Number.isInteger(v) ? v.toLocaleString("en") : significant(v, digits);
  };
  const between = (low, high, f) => {
    const v = low + (high - low) * f;
    return Math.abs(v) < 1e-9 * (high - low) ? 0 : v;
  };
  const datum = (v, text) => el("data", { value: known(v) ? v : "", text: text === undefined ? brief(v) : text });

  // -- Pairs and their values ----------------------------------------------------------------------------------
  const pairOf = new Int32Array(n * n).fill(-1);
  page.pairs.forEach(([a, b], k) => { pairOf[a * n + b] = k; pairOf[b * n + a] = k; });
  const meta = () => page.metrics[state.metric];
  const named = (a, b) => `${page.models[a]} ${meta().directed ? "→" : "–"} ${page.models[b]}`;
  const rowOf = (m, a, b) => {
    const k = pairOf[a * n + b];
    return k < 0 ? -1 : page.metrics[m].directed && page.pairs[k][0] !== a ? k + page.pairs.length : k;
  };
  const tableOf = (m, group) => (group < 0 ? metricData(m).values : metricData(m).groups[group]);
  const valueAt = (m, statistic, group, a, b) => {
    if (a === b) return look(m, statistic) ? look(m, statistic).own : null;
    const row = rowOf(m, a, b), column = tableOf(m, group)[statistic];
    return row < 0 || !column ? null : column[row];
  };
  const look = (m, statistic) => metricData(m).looks[statistic];
  const scaleOf = (m, statistic, stretch) => look(m, statistic).scales[stretch ? 1 : 0];
  const stops = page.colours.map((list) => list.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))));
  const colour = (v, scale) => {
    const list = stops[scale.colours], last = list.length - 1;
    const t = Math.min(1, Math.max(0, (v - scale.from) / (scale.to - scale.from))) * last;
    const i = Math.min(last - 1, Math.floor(t));
    return list[i].map((c, k) => Math.round(c + (list[i + 1][k] - c) * (t - i)));
  };
  const onDark = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.215;
  };
  const paint = (node, v, scale) => {
    if (!known(v)) return;
    const rgb = colour(v, scale);
    node.style.backgroundColor = `rgb(${rgb})`;
    node.style.color = onDark(rgb) ? "#fff" : "#1c2430";
  };

  // -- The matrix ----------------------------------------------------------------------------------------------
  const matrix = $("matrix");
  let order = [], rows = [], columns = [], cells = [];
  const orderNow = () => state.order === "cluster" ? metricData(state.metric).tree.leaves
    : state.order === "name" ? page.by_name : page.models.map((_, k) => k);

  function drawMatrix() {
    const m = meta(), statistic = state.statistic, scale = scaleOf(state.metric, statistic, state.stretch);
    order = orderNow();
    // Where all models were compared with one alone, its column is all there is.
    rows = page.reference === null ? order : order.filter((k) => k !== page.reference);
    columns = page.reference === null ? order : [page.reference];
    const dense = n > 15;
    const room = Math.min(760, Math.max(560, innerWidth - 660)) - (treeShown() ? treeWidth : 0);
    const cell = dense ? Math.max(9, Math.min(26, Math.floor(room / n))) : n > 8 ? 50 : n > 4 ? 64 : 84;
    matrix.className = dense ? "dense" : "";
    matrix.style.setProperty("--cell", `${cell}px`);
    $("matrix-title").textContent = m.spec;
    $("matrix-note").textContent = noteOf(m);
    const values = rows.map((a) => columns.map((b) => valueAt(state.metric, statistic, state.group, a, b)));
    const decimals = statistic === "n" ? 0 : decimalsFor(values.flat());
    const head = el("tr", null, el("th", { scope: "col", text: m.directed ? "a ↓   b →" : "" }),
      ...columns.map((b) => el("th", { scope: "col", title: page.models[b] }, el("div", { text: page.short[b] }))));
    const most = (tableOf(state.metric, state.group).n || []).reduce((x, y) => Math.max(x, y || 0), 0);
    const body = el("tbody");
    cells = rows.map((a, i) => {
      const line = el("tr", null, el("th", { scope: "row", title: page.models[a], text: page.short[a] }));
      const row = columns.map((b, j) => {
        const v = values[i][j];
        const [text, kind] = known(v) ? [fixed(v, decimals), null] : a === b ? ["", null] : ["–", "gone"];
        const count = a === b || statistic === "n" || !known(v) ? most : valueAt(state.metric, "n", state.group, a, b);
        const td = el("td", { role: "gridcell", tabindex: -1, text, class: kind,
          "data-n": count < most ? count.toLocaleString("en") : null });
        td.at = [i, j];
        paint(td, v, scale);
        return td;
      });
      line.append(...row);
      body.append(line);
      return row;
    });
    put(matrix, el("thead", null, head), body);
    drawTree(cell);
    drawLegend(m, scale, decimals);
    markPicked();
    focusable();
  }

  function noteOf(m) {
    const counts = (tableOf(state.metric, state.group).n || []).filter((count) => count > 0);
    const low = counts.reduce((x, y) => Math.min(x, y), Infinity), high = counts.reduce((x, y) => Math.max(x, y), 0);
    const images = !counts.length ? "no images" : low === high ? `${brief(high)} images`
      : `${brief(low)}–${brief(high)} images (${n > 15 ? "a dot" : "n is written"} where it is less than ${brief(high)})`;
    const where = state.group < 0 ? "" : ` of “${page.groups[state.group]}”`;
    const call = m.directed ? ` Row a, column b: ${m.spec}(a ‖ b).` : "";
    const definition = m.definition ? `${m.definition.replace(/\.$/, "")}. ` : "";
    const { own, spread } = look(state.metric, state.statistic);
    const meaning = spread || !known(own) ? "" : /^corrected/.test(state.statistic)
      ? " 1 means identical, 0 no more alike than on different images." : ` A ${m.kind}: ${brief(own)} means identical.`;
    const unit = m.unit ? `, in ${m.unit}` : "";
    return `${definition}${capital(label(state.statistic))} over ${images}${where}${unit}.${meaning}${call}`;
  }
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const label = (statistic) => page.labels[statistic]
    || statistic.replace(/_low$/, ", lower end of its interval").replace(/_high$/, ", upper end of its interval");

  const treeWidth = Math.max(60, Math.min(130, n * 4));
  const treeShown = () => state.order === "cluster" && metricData(state.metric).tree !== null;
  function drawTree(cell) {
    const { tree } = metricData(state.metric), node = $("tree"), width = treeWidth;
    node.style.display = treeShown() ? "" : "none";
    if (!treeShown()) return;
    const most = Math.max(...tree.heights.map((h) => Math.max(...h))) || 1;
    node.setAttribute("width", width + 2);
    node.setAttribute("height", n * cell);
    put(node, ...tree.heights.map((heights, k) => {
      const points = heights.map((h, i) => `${1 + (h / most) * width} ${(tree.places[k][i] + 0.5) * cell}`);
      return svg("path", { d: `M${points.join("L")}` });
    }));
  }

  function drawLegend(m, scale, decimals) {
    const { flip: away, spread } = look(state.metric, state.statistic);
    const part = (f) => between(scale.low, scale.high, f);
    const ramp = el("div", { class: "ramp" });
    const colours = Array.from({ length: 25 }, (_, k) => `rgb(${colour(part(away ? 1 - k / 24 : k / 24), scale)})`);
    ramp.style.background = `linear-gradient(90deg, ${colours.join(",")})`;
    const places = Math.max(decimals, 0);
    const ends = [0, 0.25, 0.5, 0.75, 1].map((f) => el("span", { text: fixed(part(away ? 1 - f : f), places) }));
    const gone = matrix.querySelector(".gone") !== null;
    put($("legend"), el("div", { class: "bar" }, ramp, el("div", { class: "ends" }, ...ends),
      spread ? null
        : el("div", { class: "ends" }, el("span", { text: "less alike" }), el("span", { text: "more alike" }))),
      gone ? el("span", null, el("span", { class: "swatch gone" }), "no score") : null);
  }

  const cellAt = ([i, j]) => cells[i] && cells[i][j];
  function focusable() {
    state.at = [rows, columns].map((list, k) => Math.min(list.length - 1, Math.max(0, state.at[k])));
    const old = matrix.querySelector("td[tabindex='0']");
    if (old) old.tabIndex = -1;
    const cell = cellAt(state.at);
    if (cell) cell.tabIndex = 0;
  }
  function markPicked() {
    for (const cell of matrix.querySelectorAll("[aria-selected]")) cell.removeAttribute("aria-selected");
    if (!state.picked) return;
    const [i, j] = [rows.indexOf(state.picked[0]), columns.indexOf(state.picked[1])];
    if (cellAt([i, j])) cellAt([i, j]).setAttribute("aria-selected", "true");
  }
  const pick = (a, b) => { state.picked = [a, b]; markPicked(); drawPair(); };

  matrix.addEventListener("click", (event) => {
    const td = event.target.closest("td");
    if (!td) return;
    state.at = td.at;
    focusable();
    pick(rows[td.at[0]], columns[td.at[1]]);
  });
  matrix.addEventListener("keydown", (event) => {
    const td = event.target.closest("td");
    if (!td) return;
    const [i, j] = td.at;
    const moves = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1],
      Home: [i, 0], End: [i, n], PageUp: [0, j], PageDown: [n, j] };
    if (event.key === "Enter" || event.key === " ") pick(rows[i], columns[j]);
    else if (event.key === "Escape") hideTip();
    else if (moves[event.key]) {
      state.at = moves[event.key];
      focusable();
      cellAt(state.at).focus();
    } else return;
    event.preventDefault();
  });

  // -- The tip over a cell -------------------------------------------------------------------------------------
  const tip = $("tip");
  const hideTip = () => { tip.hidden = true; light(null); };
  function light(at) {
    for (const th of matrix.querySelectorAll("th.lit")) th.classList.remove("lit");
    if (!at) return;
    matrix.tHead.rows[0].cells[at[1] + 1].classList.add("lit");
    matrix.tBodies[0].rows[at[0]].cells[0].classList.add("lit");
  }
  function showTip(td) {
    const a = rows[td.at[0]], b = columns[td.at[1]], m = meta();
    const v = valueAt(state.metric, state.statistic, state.group, a, b);
    const count = a === b ? null : valueAt(state.metric, "n", state.group, a, b);
    light(td.at);
    const over = known(count) ? ` over ${brief(count)} images` : "";
    put(tip, el("b", null, known(v) ? datum(v) : el("span", { text: a === b ? "itself" : "no score" })),
      el("div", { text: a === b ? page.models[a] : named(a, b) }),
      el("div", { text: label(state.statistic) + over }));
    tip.hidden = false;
    const box = td.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = Math.min(innerWidth - size.width - 8, box.left + box.width / 2 - size.width / 2);
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${box.top - size.height - 8 > 0 ? box.top - size.height - 8 : box.bottom + 8}px`;
  }
  for (const [over, out] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    matrix.addEventListener(over, (event) => { const td = event.target.closest("td"); if (td) showTip(td); });
    matrix.addEventListener(out, hideTip);
  }
  addEventListener("scroll", hideTip, { passive: true, capture: true });

  // -- A pair --------------------------------------------------------------------------------------------------
  function drawPair() {
    const [a, b] = state.picked, m = meta(), body = $("pair-body");
    if (a === b) return drawModel(a);
    const row = rowOf(state.metric, a, b), data = metricData(state.metric), table = tableOf(state.metric, state.group);
    $("pair-title").textContent = named(a, b);
    if (row < 0) return put(body, el("p", { text: "These two were not compared." }));
    const v = table[state.statistic] && table[state.statistic][row];
    const interval = ["low", "high"].map((end) => table[`${state.statistic}_${end}`]).map((c) => c && c[row]);
    const figures = el("div", { class: "figures" },
      el("span", { class: "big" }, datum(v), el("span", { class: "unit", text: m.unit && ` ${m.unit}` })),
      el("span", { class: "note", text: `${label(state.statistic)} of ${m.spec}` }),
      known(interval[0]) && known(interval[1]) ? el("span", { class: "note" }, `${page.confidence ? `${page.confidence} ` : ""}interval `,
        datum(interval[0]), " to ", datum(interval[1])) : null);
    const stats = el("dl", { class: "stats" }, ...page.statistics.filter((s) => table[s] && !/_(low|high)$/.test(s))
      .map((s) => el("div", null, el("dt", { text: label(s) }), el("dd", null, datum(table[s][row])))));
    const reasons = page.reasons.filter((r) => state.group < 0 && data.reasons[r][pairOf[a * n + b]])
      .map((r) => `${brief(data.reasons[r][pairOf[a * n + b]])} ${r.replace("_", " ")}`);
    put(body, figures, state.group < 0 ? histogram(data, row, table) : null, stats,
      reasons.length ? el("p", { class: "note", text: `Images without a score: ${reasons.join(", ")}.` }) : null,
      extremes(data, row, a, b), otherMetrics(a, b));
  }

  function drawModel(a) {
    const m = meta(), sign = look(state.metric, state.statistic).flip ? 1 : -1;
    $("pair-title").textContent = page.models[a];
    const others = order.filter((b) => b !== a)
      .map((b) => [b, valueAt(state.metric, state.statistic, state.group, a, b)]).filter(([, v]) => known(v))
      .sort((x, y) => sign * (x[1] - y[1]));
    const rows = others.map(([b, v]) => el("tr", null, el("th", { scope: "row" }, link(page.models[b], () => pick(a, b))),
      el("td", null, datum(v))));
    const note = `${label(state.statistic)} of ${m.spec} to every other model, the most alike first.`;
    put($("pair-body"), el("p", { class: "note", text: note }), el("table", { class: "plain" }, el("tbody", null, ...rows)));
  }

  function histogram(data, row, table) {
    const h = data.histogram;
    if (!h || !known(h.edges[0])) return null;
    const [low, high] = h.edges, counts = h.counts[row], most = Math.max(...counts);
    const width = 560, height = 118, base = 96;
    if (!most) return null;
    const x = (v) => 6 + (Math.min(high, Math.max(low, v)) - low) / (high - low) * (width - 12);
    const bar = (width - 12) / counts.length;
    const tall = (c) => (c / most) * (base - 18);
    const bars = counts.map((c, k) => `M${6 + k * bar} ${base}v${-tall(c)}h${bar - 0.6}V${base}z`).join("");
    const [q25, q50, q75, mean] = ["q25", "median", "q75", "mean"].map((s) => table[s] && table[s][row]);
    const marks = known(q25) && known(q75) ? [
      svg("rect", { class: "box", x: x(q25), width: Math.max(1, x(q75) - x(q25)), y: 4, height: 7, rx: 1 }),
      known(q50) ? svg("path", { class: "box", d: `M${x(q50)} 2v11` }) : null,
      known(mean) ? svg("circle", { class: "mean", cx: x(mean), cy: 7.5, r: 2.6 }) : null] : [];
    const places = decimalsFor([low, high]);
    const ends = [0, 0.25, 0.5, 0.75, 1].map((f) => svg("text", { x: 6 + f * (width - 12), y: 112,
      "text-anchor": f === 0 ? "start" : f === 1 ? "end" : "middle" },
      fixed(between(low, high, f), places)));
    const text = `Histogram of ${brief(table.n[row])} scores; box: quartiles and median, dot: mean.`;
    return el("figure", null, svg("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, width: "100%",
      role: "img", "aria-label": text }, svg("path", { class: "bars", d: bars }),
      svg("path", { class: "axis", d: `M6 ${base + 0.5}H${width - 6}` }), ...marks, ...ends),
      el("figcaption", { class: "note", text }));
  }

  function picture(source, name, caption, flaw) {
    return el("figure", null, el("div", { class: "tile" },
      source ? el("img", { src: source, alt: flaw ? `${name}: ${flaw}` : name, decoding: "async" })
        : el("div", { class: "none gone" }),
      flaw ? el("span", { class: "flaw", text: flaw }) : null), el("figcaption", { text: caption, title: name }));
  }
  function stripOf({ photo, maps, flaws }, models) {
    const count = models.length + (photo ? 1 : 0), across = Math.ceil(count / Math.ceil(count / ACROSS)); // even rows
    const strip = el("div", { class: count > 4 ? "strip long" : "strip" },
      photo ? picture(photo, "photograph", "photograph") : null,
      ...models.map((k) => picture(maps[k], page.models[k], page.short[k], flaws[k])));
    strip.style.setProperty("--across", across);
    strip.style.setProperty("--aspect", page.aspect);
    return strip;
  }
  function imageLine(image, score, models) {
    const shown = page.pictures.find((p) => p.image === image);
    const strip = shown ? stripOf(shown, models) : null;
    return el("li", null, el("div", { class: "line" }, el("span", { class: "name", text: page.images[image] }),
      el("span", { class: "score", text: brief(score) })), strip);
  }
  const imageList = (title, list, models) => el("div", null, el("h3", { text: title }),
    el("ul", { class: "images" }, ...list.map(([image, score]) => imageLine(image, score, models))));

  function extremes(data, row, a, b) {
    if (!data.extremes) return el("p", { class: "note", text: "The scores of single images were not kept." });
    const all = state.group < 0 ? "" : ", of all images";
    const half = Math.max(1, Math.floor(data.values.n[row] / 2)); // of few images none is at both ends
    const [least, most] = ["least", "most"].map((end) => data.extremes[end][row].slice(0, half));
    const shown = page.pictures.map((p, k) => [p.image, data.shown[row][k]]).filter(([, v]) => known(v));
    const sign = meta().kind === "similarity" ? 1 : -1;
    shown.sort((x, y) => sign * (x[1] - y[1]));
    return el("div", null,
      el("div", { class: "examples" }, imageList(`Least alike on${all}`, least, [a, b]),
        imageList(`Most alike on${all}`, most, [a, b])),
      shown.length ? el("details", null,
        el("summary", { text: `All ${shown.length} images shown in this report, the least alike first` }),
        el("ul", { class: "images" }, ...shown.map(([image, score]) => imageLine(image, score, [a, b])))) : null);
  }

  function otherMetrics(a, b) {
    if (page.metrics.length < 2) return null;
    const rows = page.metrics.map((m, k) => el("tr", null,
      el("th", { scope: "row" }, link(m.spec, () => { state.metric = k; syncControls(); draw(); })),
      el("td", null, datum(valueAt(k, state.statistic, state.group, a, b))),
      el("td", { class: "text", text: m.unit || m.kind })));
    return el("div", null, el("h3", { text: "This pair by every metric" }),
      el("table", { class: "plain" }, el("tbody", null, ...rows)));
  }

  // -- Below the matrix ----------------------------------------------------------------------------------------
  function drawModelMap() {
    const map = metricData(state.metric).map, host = $("model-map");
    const placed = page.models.map((name, k) => ({ name, k, x: map && map.x[k], y: map && map.y[k] }))
      .filter((p) => known(p.x));
    const lit = (k) => state.picked !== null && state.picked.includes(k);
    placed.sort((p, q) => lit(q.k) - lit(p.k)); // the pair at hand gets its names first
    if (!map) {
      $("model-map-note").textContent = "A map takes three models or more, all compared with each other.";
      return put(host);
    }
    const trust = map.stress < 0.1 ? "the plane shows the distances well" : map.stress < 0.2
      ? "the plane shows the distances fairly" : "the plane distorts the distances; trust the matrix";
    $("model-map-note").textContent = `Multidimensional scaling of ${meta().spec}: the closer, the more alike. `
      + `Stress ${map.stress < 0.001 ? "below 0.001" : brief(map.stress, 2)} (${trust}).`;
    const width = 640, pad = 70;
    const span = (list) => [Math.min(...list), Math.max(...list)];
    const [x0, x1] = span(placed.map((p) => p.x)), [y0, y1] = span(placed.map((p) => p.y));
    const unit = (width - 2 * pad) / Math.max(x1 - x0, (y1 - y0) * 1.2, 1e-12);
    const height = Math.max(160, (y1 - y0) * unit + 60);
    const px = (x) => width / 2 + (x - (x0 + x1) / 2) * unit, py = (y) => height / 2 - (y - (y0 + y1) / 2) * unit;
    const taken = placed.map((p) => [px(p.x) - 5, py(p.y) - 5, px(p.x) + 5, py(p.y) + 5]);
    const free = (box, own) => box[0] > 0 && box[2] < width && box[1] > 0 && box[3] < height
      && taken.every((t, k) => k === own || box[2] < t[0] || t[2] < box[0] || box[3] < t[1] || t[3] < box[1]);
    const nodes = placed.map((point, own) => {
      const { name, k } = point, x = px(point.x), y = py(point.y);
      const short = page.short[k], w = short.length * (lit(k) ? 7.2 : 6.3);
      const spots = [[8, 4, "start"], [-8, 4, "end"], [0, -9, "middle"], [0, 17, "middle"],
        [7, -7, "start"], [7, 14, "start"], [-7, -7, "end"], [-7, 14, "end"]];
      const box = ([dx, dy, anchor]) => {
        const left = x + dx - (anchor === "end" ? w : anchor === "middle" ? w / 2 : 0);
        return [left, y + dy - 10, left + w, y + dy + 2];
      };
      const spot = spots.find((s) => free(box(s), own));
      if (spot) taken.push(box(spot));
      return svg("g", { class: lit(k) ? "lit" : null }, svg("title", null, name), svg("circle", { cx: x, cy: y, r: 5 }),
        spot ? svg("text", { x: x + spot[0], y: y + spot[1], "text-anchor": spot[2] }, short) : null);
    });
    put(host, svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Map of ${n} models` }, ...nodes));
  }

  function drawAgreement() {
    const host = $("agreement");
    if (!host) return;
    const { names, values, p, scale } = page.agreement;
    const line = (name, i) => el("tr", null, el("th", { scope: "row", text: name }), ...values[i].map((v, j) => {
      const td = el("td", { text: known(v) ? fixed(v, 2) : "–", class: known(v) ? null : "gone",
        title: known(p[i][j]) && i !== j ? `p = ${brief(p[i][j], 2)}` : null });
      paint(td, v, scale);
      return td;
    }));
    put(host, el("thead", null, el("tr", null, el("td"), ...names.map((s) => el("th", { scope: "col", text: s })))),
      el("tbody", null, ...names.map(line)));
  }

  function drawGroups() {
    const host = $("groups");
    if (!host) return;
    const statistic = metricData(state.metric).groups[0][state.statistic] ? state.statistic : "mean";
    const scale = scaleOf(state.metric, statistic, state.stretch), order = orderNow();
    $("groups-note").textContent = `${capital(label(statistic))} of ${meta().spec}, on the colours of the matrix above. `
      + "Click a group to see its numbers.";
    put(host, ...page.groups.map((name, g) => {
      const show = () => {
        Object.assign(state, { group: g, statistic });
        syncControls();
        draw();
        $("matrix-section").scrollIntoView();
      };
      const canvas = el("canvas", { width: n, height: n, role: "img", "aria-label": `Matrix of ${name}`, onclick: show });
      const context = canvas.getContext("2d");
      order.forEach((a, i) => order.forEach((b, j) => {
        const v = valueAt(state.metric, statistic, g, a, b);
        context.fillStyle = known(v) ? `rgb(${colour(v, scale)})` : "#a9afb9";
        context.fillRect(j, i, 1, 1);
      }));
      return el("figure", null, canvas, el("figcaption", null, el("span", { text: name }),
        el("small", { text: groupSize(g) })));
    }));
  }

  function groupSize(g) {
    const counts = metricData(state.metric).groups[g].n, low = Math.min(...counts), high = Math.max(...counts);
    return low === high ? `${brief(high)} images` : `${brief(low)}–${brief(high)} images`;
  }

  function drawGallery() {
    const ranking = metricData(state.metric).ranking;
    if (!ranking) {
      $("gallery-note").textContent = "The scores of single images were not kept.";
      return put($("gallery"));
    }
    const carried = page.pictures.length
      ? `${page.pictures.length} of ${brief(page.image_count)} images carry their maps in this report.`
      : "The maps were not at hand when it was written, so images are listed by name.";
    $("gallery-note").textContent = `Ranked by ${meta().spec}, averaged over all pairs. ${carried}`;
    const models = orderNow(), photo = page.pictures.some((p) => p.photo) ? 1 : 0;
    $("gallery").className = n + photo > 8 ? "wide" : "";
    const half = Math.max(1, Math.floor(page.image_count / 2));
    put($("gallery"), imageList("The models differ most on", ranking.least.slice(0, half), models),
      imageList("The models agree most on", ranking.most.slice(0, half), models));
  }

  function drawTests() {
    const host = $("tests");
    if (!host) return;
    const { count, significant: found, clearest } = metricData(state.metric).tests, m = meta();
    $("tests-note").textContent = `Two models' scores with a third, image by image: ${brief(found)} of ${brief(count)} `
      + `comparisons by ${m.spec} have q\u00a0<\u00a00.05 (paired permutation test, corrected for all comparisons of all metrics)`
      + `${!found ? "." : found > clearest.length ? `; the ${clearest.length} clearest are:` : ":"}`;
    const names = ["Model", "is closer to", "than to", m.unit ? `by (${m.unit})` : "by", "images", "q"];
    const text = (k) => ({ class: "text", text: page.models[k] });
    const lines = clearest.map(([model, near, far, ...numbers]) => el("tr", null,
      el("th", { scope: "row", text: page.models[model] }), el("td", text(near)), el("td", text(far)),
      ...numbers.map((v) => el("td", null, datum(v)))));
    const head = el("tr", null, ...names.map((name, k) => el("th", { scope: "col", text: name, class: k < 3 ? "text" : null })));
    put(host, found ? el("thead", null, head) : null, el("tbody", null, ...lines));
  }

  // The pair that is shown before any is clicked: the least alike by the first metric.
  function farthest() {
    const sign = page.metrics[0].kind === "similarity" ? 1 : -1;
    const scored = page.pairs.map(([a, b]) => [valueAt(0, state.statistic, -1, a, b), a, b]).filter(([v]) => known(v));
    if (!scored.length) return page.pairs.length ? page.pairs[0] : null;
    const ends = scored.reduce((x, y) => (sign * y[0] < sign * x[0] ? y : x)).slice(1);
    return ends[0] === page.reference ? ends.reverse() : ends;
  }

  // -- Controls ------------------------------------------------------------------------------------------------
  const options = (select, entries) => put(select, ...entries.map(([value, text]) => el("option", { value, text })));
  function syncControls() {
    $("controls").querySelector(`input[name="metric"][value="${state.metric}"]`).checked = true;
    const table = tableOf(state.metric, state.group);
    if (!table[state.statistic]) state.statistic = "mean";
    options($("statistic"), page.statistics.filter((s) => table[s]).map((s) => [s, label(s)]));
    const orders = [["given", "as given"], ["name", "by name"]];
    if (metricData(state.metric).tree) orders.push(["cluster", "by likeness (clustered)"]);
    else if (state.order === "cluster") state.order = "given";
    options($("order"), orders);
    $("statistic").value = state.statistic;
    $("order").value = state.order;
    if ($("group")) $("group").value = state.group;
  }
  function draw() {
    hideTip();
    drawMatrix();
    if (state.picked) drawPair();
    drawModelMap();
    drawTests();
    drawGroups();
    drawGallery();
  }
  $("metrics").append(...page.metrics.map((m, k) => el("label", { title: m.definition },
    el("input", { type: "radio", name: "metric", value: k }), m.spec)));
  if ($("group")) options($("group"), [[-1, "all"], ...page.groups.map((name, k) => [k, name])]);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("change", (event) => {
    const { name, id, value, checked } = event.target;
    if (name === "metric") state.metric = Number(value);
    else if (id === "group") state.group = Number(value);
    else if (id === "stretch") state.stretch = checked;
    else state[id] = value;
    syncControls();
    draw();
  });

  $("pair").hidden = !page.pairs.length;
  state.picked = farthest();
  syncControls();
  drawAgreement();
  draw();
})();
