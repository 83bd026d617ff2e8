// -- Tables that a click on a column's head sorts ------------------------------------------------------------------
function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((th, k) => {
    const text = th.textContent || "–";
    put(th, el("button", { type: "button", class: "sorter", text, onclick: () => sortBy(table, k) }));
  });
  return table;
}
function sortBy(table, k) {
  const heads = [...table.tHead.rows[0].cells], up = heads[k].getAttribute("aria-sort") !== "ascending";
  for (const th of heads) th.removeAttribute("aria-sort");
  heads[k].setAttribute("aria-sort", up ? "ascending" : "descending");
  const lines = [...table.tBodies[0].rows].map((row) => [sortKey(row.cells[k]), row]);
  lines.sort(([x], [y]) => order(x, y) * (up || typeof x !== typeof y || x === "" || y === "" ? 1 : -1));
  table.tBodies[0].append(...lines.map(([, row]) => row));
}
// Numbers before texts, and what is empty last.
const order = (x, y) => (typeof x === typeof y ? (typeof x === "number" ? x - y
  : (x === "") - (y === "") || x.localeCompare(y, "en", { numeric: true })) : typeof x === "number" ? -1 : 1);
function sortKey(cell) {
  const value = cell.querySelector("data"), text = (value ? value.value : cell.textContent).trim();
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return /^-?[\d.]/.test(text) && Number.isFinite(number) ? number : text === "–" ? "" : text;
}
