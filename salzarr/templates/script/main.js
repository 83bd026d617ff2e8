// -- Controls --------------------------------------------------------------------------------------------------------
const options = (select, entries) => put(select, ...entries.map(([value, text]) => el("option", { value, text })));
function syncControls() {
  $("controls").querySelector(`input[name="metric"][value="${state.metric}"]`).checked = true;
  const table = tableOf(state.metric, state.group);
  if (!table[state.statistic]) state.statistic = FIRST;
  options($("statistic"), page.statistics.filter((s) => table[s]).map((s) => [s, label(s)]));
  const orders = [["given", "as given"], ["name", "by name"]];
  if (metricData(state.metric).tree) orders.push(["cluster", "by likeness (clustered)"]);
  else if (state.order === "cluster") state.order = "given";
  options($("order"), orders);
  $("statistic").value = state.statistic;
  $("order").value = state.order;
  $("stretch").checked = state.stretch;
  if ($("find").value.trim() !== state.find) $("find").value = state.find;
  if ($("group")) $("group").value = state.group;
  drawChoice();
}
// How wide things may be, read before anything changes: reading it later would lay out the page in between.
const room = { pair: 0, map: 0 };
const measure = () => Object.assign(room, { pair: $("pair-body").clientWidth, map: $("model-map").clientWidth });

function draw() {
  measure();
  hideTip();
  drawMatrix();
  $("pair").hidden = !state.picked;
  if (state.picked) drawPair();
  drawModelMap();
  drawTests();
  drawGroups();
  drawGallery();
}

// Change what is shown; what the reader looks at stays where it is on the screen.
function change(what) {
  Object.assign(state, what);
  keepPlace(() => { syncControls(); draw(); });
  remember();
}
function keepPlace(act) {
  const held = [$("controls"), $("pair"), $("gallery")].find((node) => node.getBoundingClientRect().bottom > 60);
  const before = held && held.getBoundingClientRect().top;
  act();
  if (held) scrollBy(0, held.getBoundingClientRect().top - before);
}

$("metrics").append(...page.metrics.map((m, k) => el("label", { title: m.definition },
  el("input", { type: "radio", name: "metric", value: k }), el("span", { words: m.spec }))));
if ($("group")) options($("group"), [[-1, "all"], ...page.groups.map((name, k) => [k, name])]);
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("controls").addEventListener("change", ({ target: { name, id, value, checked } }) => {
  if (name === "metric") change({ metric: Number(value) });
  else if (id === "group") change({ group: Number(value) });
  else if (id === "stretch") change({ stretch: checked });
  else if (["statistic", "order"].includes(id)) change({ [id]: value });
});

// -- Contents, scrolling and print -----------------------------------------------------------------------------------
function drawContents() {
  const links = [...document.querySelectorAll("main h2[id], main h2[data-contents]")].map((h2) => {
    const go = (event) => { event.preventDefault(); h2.scrollIntoView({ block: "start" }); h2.tabIndex = -1; h2.focus({ preventScroll: true }); };
    return el("li", null, el("a", { href: `#${h2.id}`, onclick: go, text: h2.dataset.contents || h2.textContent }));
  });
  put($("contents"), ...links);
}
// What is wider than its frame shows on which side there is more.
function showMore(frame) {
  const left = frame.scrollLeft > 2, right = frame.scrollLeft + frame.clientWidth < frame.scrollWidth - 2;
  frame.dataset.more = [left ? "left" : "", right ? "right" : ""].join(" ").trim();
}
const frames = [...document.querySelectorAll(".scroll")];
for (const frame of frames) {
  frame.addEventListener("scroll", () => showMore(frame), { passive: true });
  new ResizeObserver(() => showMore(frame)).observe(frame.firstElementChild);
}
let wide = innerWidth;
addEventListener("resize", () => {
  if (wide === innerWidth) return;
  wide = innerWidth;
  draw();
  frames.forEach(showMore);
});
// What is drawn for a width is drawn again for another, such as that of the first layout.
new ResizeObserver(() => {
  const { pair, map } = room, now = measure();
  if (state.picked && now.pair && Math.abs(now.pair - pair) > 1) drawPair();
  if (now.map && Math.abs(now.map - map) > 1) drawModelMap();
}).observe($("pair"));
addEventListener("beforeprint", () => {
  const { offsetWidth } = document.querySelector(".matrix-frame");
  document.documentElement.style.setProperty("--print-zoom", Math.min(1, 680 / offsetWidth));
});

// -- Start, and wherever the address leads ---------------------------------------------------------------------------
function show() {
  readAddress();
  if (!state.picked) state.picked = farthest();
  syncControls();
  draw();
  if (state.view) showView();
  else if (view.open) view.close();
  written = location.hash;
}
addEventListener("popstate", show);
document.querySelectorAll("table.sortable").forEach(sortable);
drawAgreement();
drawContents();
show();
