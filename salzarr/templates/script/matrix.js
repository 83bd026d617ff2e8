// -- The matrix --------------------------------------------------------------------------------------------------
const matrix = $("matrix");
let rows = [], columns = [], cells = [];

function drawMatrix() {
  const m = meta(), { statistic } = state, scale = scaleOf(state.metric, statistic, state.stretch);
  const order = orderNow();
  // Where all models were compared with one alone, its column is all there is.
  const newRows = page.reference === null ? order : order.filter((k) => k !== page.reference);
  const newColumns = page.reference === null ? order : [page.reference];
  const dense = newRows.length > 15, cell = cellSize(newRows.length);
  matrix.className = dense ? "dense" : "";
  matrix.style.setProperty("--cell", `${cell}px`);
  put($("matrix-title"), ...breakable(m.spec));
  $("matrix-note").textContent = noteOf(m);
  layCells(newRows, newColumns);
  const values = rows.map((a) => columns.map((b) => nowAt(a, b)));
  const decimals = statistic === "n" ? 0 : decimalsFor(values.flat());
  matrix.tHead.rows[0].cells[0].textContent = m.directed ? "a ↓   b →" : "";
  const most = (tableOf(state.metric, state.group).n || []).reduce((x, y) => Math.max(x, y || 0), 0);
  const fewer = (a, b, v) => a !== b && statistic !== "n" && known(v) && valueAt(state.metric, "n", state.group, a, b) < most;
  if (dense) paintDense(values, cell, scale, fewer);
  else paintCells(values, decimals, scale, fewer);
  drawTree(cell);
  drawLegend(scale, decimals, values.some((line, i) => line.some((v, j) => !known(v) && rows[i] !== columns[j])));
  markPicked();
  markFound();
  focusable();
}

function paintCells(values, decimals, scale, fewer) {
  rows.forEach((a, i) => columns.forEach((b, j) => {
    const v = values[i][j], td = cells[i][j];
    td.textContent = known(v) ? fixed(v, decimals) : a === b ? "" : "–";
    td.className = known(v) || a === b ? "" : "gone";
    if (fewer(a, b, v)) td.dataset.n = valueAt(state.metric, "n", state.group, a, b).toLocaleString("en");
    else delete td.dataset.n;
    paint(td, v, scale);
  }));
}

const colorsOfDense = el("canvas", { "aria-hidden": "true" });

// Of many models the colors lie on one canvas behind the cells: thousands of styles would take a second.
function paintDense(values, cell, scale, fewer) {
  const canvas = colorsOfDense, sharp = Math.min(2, devicePixelRatio || 1), size = cell * sharp;
  Object.assign(canvas, { width: columns.length * size, height: rows.length * size });
  Object.assign(canvas.style, { width: `${columns.length * cell}px`, height: `${rows.length * cell}px` });
  if (!canvas.isConnected) cells[0][0].append(canvas); // from there it lies behind all of them
  const context = canvas.getContext("2d");
  rows.forEach((a, i) => columns.forEach((b, j) => {
    const v = values[i][j], rgb = known(v) ? color(v, scale) : null;
    if (!rgb && a === b) return;
    context.fillStyle = rgb ? `rgb(${rgb})` : GONE;
    context.fillRect(j * size, i * size, size, size);
    if (!fewer(a, b, v)) return;
    context.fillStyle = inkOn(rgb);
    context.fillRect((j + 0.4) * size, (i + 0.4) * size, size * 0.2, size * 0.2);
  }));
}

const cellSize = (size) => {
  const room = Math.min(760, Math.max(560, innerWidth - 660)) - (treeShown() ? treeWidth : 0);
  return size > 15 ? Math.max(9, Math.min(26, Math.floor(room / size))) : size > 8 ? 50 : size > 4 ? 64 : 84;
};

// Name the rows and columns, and make the cells anew where there are more or fewer.
function layCells(newRows, newColumns) {
  const same = newRows.length === rows.length && newColumns.length === columns.length && cells.length > 0;
  [rows, columns] = [newRows, newColumns];
  if (!same) {
    const empty = el("td", { role: "gridcell", tabindex: -1 });
    cells = rows.map((_, i) => columns.map((__, j) => Object.assign(empty.cloneNode(), { at: [i, j] })));
    put(matrix, el("thead", null, el("tr", null, el("th", { scope: "col" }), ...columns.map(() => el("th", { scope: "col" }, el("div"))))),
      el("tbody", null, ...rows.map((_, i) => el("tr", null, el("th", { scope: "row" }), ...cells[i]))));
  }
  const name = (th, text, k) => {
    if (th.title === page.models[k]) return;
    th.title = page.models[k];
    text.textContent = page.short[k];
  };
  columns.forEach((k, j) => { const th = matrix.tHead.rows[0].cells[j + 1]; name(th, th.firstChild, k); });
  rows.forEach((k, i) => { const th = matrix.tBodies[0].rows[i].cells[0]; name(th, th, k); });
}

function noteOf(m) {
  const counts = (tableOf(state.metric, state.group).n || []).filter((k) => k > 0);
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
  const range = known(m.data_range) ? ` Data range ${brief(m.data_range)}, one for all maps.` : "";
  return `${definition}${capital(label(state.statistic))} over ${images}${where}${unit}.${meaning}${range}${call}`;
}

const treeWidth = Math.max(60, Math.min(130, n * 4));
const treeShown = () => state.order === "cluster" && !state.hidden.size && metricData(state.metric).tree !== null;
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

function drawLegend(scale, decimals, gone) {
  const { flip: away, spread } = look(state.metric, state.statistic);
  const part = (f) => between(scale.low, scale.high, away ? 1 - f : f);
  const bar = el("div", { class: "ramp" });
  bar.style.background = ramp(Array.from({ length: 25 }, (_, k) => color(part(k / 24), scale)));
  const places = Math.max(decimals, 0);
  const ends = [0, 0.25, 0.5, 0.75, 1].map((f) => el("span", { text: fixed(part(f), places) }));
  const hidden = [...state.hidden].length;
  put($("legend"), el("div", { class: "bar" }, bar, el("div", { class: "ends" }, ...ends),
    spread ? null
      : el("div", { class: "ends" }, el("span", { text: "less alike" }), el("span", { text: "more alike" }))),
    gone ? el("span", null, el("span", { class: "swatch gone" }), "no score") : null,
    hidden ? el("span", { text: `${count(hidden, "model")} hidden${state.order === "cluster" ? "; the tree shows with all" : ""}` }) : null,
    savers(`matrix_${meta().slug}_${state.statistic}`, { picture: matrixPicture, table: matrixTable }));
}

const cellAt = ([i, j]) => cells[i] && cells[i][j];
function focusable() {
  state.at = [rows, columns].map((list, k) => Math.max(0, Math.min(list.length - 1, state.at[k])));
  const old = matrix.querySelector("td[tabindex='0']");
  if (old) old.tabIndex = -1;
  const cell = cellAt(state.at);
  if (cell) cell.tabIndex = 0;
}
function markPicked() {
  for (const cell of matrix.querySelectorAll("[aria-selected]")) cell.removeAttribute("aria-selected");
  if (!state.picked) return;
  const cell = cellAt([rows.indexOf(state.picked[0]), columns.indexOf(state.picked[1])]);
  if (cell) cell.setAttribute("aria-selected", "true");
}
function markFound() {
  columns.forEach((k, j) => matrix.tHead.rows[0].cells[j + 1].classList.toggle("found", found(k)));
  rows.forEach((k, i) => matrix.tBodies[0].rows[i].cells[0].classList.toggle("found", found(k)));
}
function pick(a, b) {
  state.picked = [a, b];
  remember();
  markPicked();
  drawPair();
  drawModelMap();
  bringIntoView($("pair"));
}
// On a phone the panel lies below the matrix, out of sight.
function bringIntoView(node) {
  const { top } = node.getBoundingClientRect();
  if (top > innerHeight - 120 || top < -60) node.scrollIntoView({ block: "start", behavior: "smooth" });
}

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
  const [i, j] = td.at, end = Math.max(rows.length, columns.length);
  const moves = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1],
    Home: [i, 0], End: [i, end], PageUp: [0, j], PageDown: [end, j] };
  if (event.key === "Enter" || event.key === " ") pick(rows[i], columns[j]);
  else if (event.key === "Escape") hideTip();
  else if (moves[event.key]) {
    state.at = moves[event.key];
    focusable();
    cellAt(state.at).focus();
  } else return;
  event.preventDefault();
});

// -- The tip over a cell -----------------------------------------------------------------------------------------
const tip = $("tip");
const hideTip = () => { tip.hidden = true; light(null); };
function light(at) {
  for (const th of matrix.querySelectorAll("th.lit")) th.classList.remove("lit");
  if (!at) return;
  matrix.tHead.rows[0].cells[at[1] + 1].classList.add("lit");
  matrix.tBodies[0].rows[at[0]].cells[0].classList.add("lit");
}
function showTip(td) {
  const a = rows[td.at[0]], b = columns[td.at[1]], v = nowAt(a, b);
  const images = a === b ? null : valueAt(state.metric, "n", state.group, a, b);
  light(td.at);
  if (!td.textContent) td.setAttribute("aria-label", known(v) ? brief(v) : a === b ? "itself" : "no score");
  const over = known(images) ? ` over ${count(images, "image")}` : "";
  put(tip, el("b", null, known(v) ? datum(v) : el("span", { text: a === b ? "itself" : "no score" })),
    el("div", { words: a === b ? page.models[a] : named(a, b) }),
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
