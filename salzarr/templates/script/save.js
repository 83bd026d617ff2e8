// -- What can be saved: a picture as SVG or PNG, its numbers as CSV ------------------------------------------------
function saveBlob(name, blob) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name.replace(/[\\/:*?"<>|]/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
function savers(name, { picture, table }) {
  const button = (kind, onclick) => el("button", { type: "button", class: "linkish", text: kind, onclick,
    "aria-label": `Save ${name} as ${kind}` });
  return el("div", { class: "savers" }, "Save: ",
    picture ? button("SVG", () => saveBlob(`${name}.svg`, new Blob([svgText(picture())], { type: "image/svg+xml" }))) : null,
    picture ? button("PNG", async () => saveBlob(`${name}.png`, await svgAsPng(svgText(picture())))) : null,
    button("CSV", () => saveBlob(`${name}.csv`, new Blob([csvText(table())], { type: "text/csv" }))));
}

// What a cell may not begin with, or a spreadsheet runs it.
const csvCell = (v) => {
  const text = v === null || v === undefined ? "" : typeof v === "number" ? String(v) : v.replace(/^([=+\-@\t\r'])/, "'$1");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvText = (lines) => lines.map((line) => `${line.map(csvCell).join(",")}\r\n`).join("");

// An SVG that stands alone: with the styles that the page gives it, on white.
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight"];
function svgText(node) {
  const copy = node.cloneNode(true), [, , width, height] = node.getAttribute("viewBox").split(" ");
  const originals = [node, ...node.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
  if (node.isConnected) originals.forEach((one, k) => {
    const style = getComputedStyle(one);
    copies[k].setAttribute("style", STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  copy.setAttribute("font-family", "Helvetica, Arial, DejaVu Sans, sans-serif");
  copy.prepend(svg("rect", { width, height, fill: getComputedStyle(document.body).backgroundColor }));
  for (const [name, value] of [["width", width], ["height", height]]) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}
async function svgAsPng(text) {
  const picture = await loaded(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`);
  const canvas = el("canvas", { width: 2 * picture.naturalWidth, height: 2 * picture.naturalHeight });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done));
}

// The matrix as it is shown.
function matrixTable() {
  return [[`${meta().spec} ${label(state.statistic)}`, ...columns.map((b) => page.models[b])],
    ...rows.map((a) => [page.models[a], ...columns.map((b) => nowAt(a, b))])];
}
function matrixPicture() {
  const size = rows.length > 15 ? 16 : 52, font = Math.min(13, size * 0.8), ink = "#000";
  const left = 20 + Math.max(...rows.map((k) => page.short[k].length)) * font * 0.62;
  const top = 44 + Math.max(...columns.map((k) => page.short[k].length)) * font * 0.62;
  const width = left + columns.length * size + 20, height = top + rows.length * size + 20;
  const words = (x, y, text, more) => svg("text", { x, y, fill: ink, "font-size": font, ...more }, text);
  const squares = cells.flatMap((line, i) => line.flatMap((td, j) => {
    const v = nowAt(rows[i], columns[j]), rgb = known(v) ? color(v, scaleOf(state.metric, state.statistic, state.stretch)) : null;
    const [x, y] = [left + j * size, top + i * size], fill = rgb ? `rgb(${rgb})` : rows[i] === columns[j] ? "#fff" : GONE;
    const box = svg("rect", { x, y, width: size - 1, height: size - 1, fill });
    return size < 20 ? [box] : [box, words(x + size / 2, y + size / 2 + 4, td.textContent,
      { fill: rgb ? inkOn(rgb) : ink, "text-anchor": "middle" })];
  }));
  return svg("svg", { viewBox: `0 0 ${width} ${height}` }, svg("rect", { width, height, fill: "#fff" }),
    words(8, 22, `${meta().spec}: ${label(state.statistic)}`, { "font-size": 15, "font-weight": 600 }),
    ...rows.map((k, i) => words(left - 8, top + (i + 0.5) * size + font * 0.35, page.short[k], { "text-anchor": "end" })),
    ...columns.map((k, j) => words(0, 0, page.short[k],
      { transform: `translate(${left + (j + 0.5) * size + font * 0.35} ${top - 8}) rotate(-90)` })), ...squares);
}
