// -- What is shown, and its address ------------------------------------------------------------------------------
const FIRST = page.statistics.includes("mean") ? "mean" : page.statistics[0];
const initial = () => ({ metric: 0, statistic: FIRST, group: -1, order: "given", stretch: false, picked: null,
  find: "", hidden: new Set(), view: null });
const state = { ...initial(), at: [Math.min(1, n - 1), 0] };
const shownModel = (k) => !state.hidden.has(k);
const found = (k) => state.find !== "" && page.models[k].toLowerCase().includes(state.find.toLowerCase());

const encodeNames = (list) => list.map((k) => encodeURIComponent(page.models[k])).join(",");
const decodeNames = (text) => text.split(",").map((part) => page.models.indexOf(decode(part)));
const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

function address() {
  const parts = [["metric", page.metrics[state.metric].slug]];
  if (state.statistic !== FIRST) parts.push(["statistic", state.statistic]);
  if (state.group >= 0) parts.push(["group", encodeURIComponent(page.groups[state.group])]);
  if (state.picked) parts.push(["pair", encodeNames(state.picked)]);
  if (state.order !== "given") parts.push(["order", state.order]);
  if (state.stretch) parts.push(["stretch", 1]);
  if (state.find) parts.push(["find", encodeURIComponent(state.find)]);
  if (state.hidden.size) parts.push(["hide", encodeNames([...state.hidden])]);
  if (state.view) parts.push(["image", encodeURIComponent(page.images[state.view.image])], ["of", state.view.of]);
  return `#${parts.map((part) => part.join("=")).join("&")}`;
}

// Take from the address what it says and this page has.
function readAddress() {
  Object.assign(state, initial());
  const given = new Map(location.hash.slice(1).split("&").map((part) => part.split(/=(.*)/s)));
  const metric = page.metrics.findIndex((m) => [m.slug, m.spec].includes(decode(given.get("metric") || "")));
  if (metric >= 0) state.metric = metric;
  if (page.statistics.includes(given.get("statistic"))) state.statistic = given.get("statistic");
  if (given.has("group")) state.group = page.groups.indexOf(decode(given.get("group")));
  if (["name", "cluster"].includes(given.get("order"))) state.order = given.get("order");
  state.stretch = given.get("stretch") === "1";
  state.find = decode(given.get("find") || "");
  if (given.has("hide")) state.hidden = new Set(decodeNames(given.get("hide")).filter((k) => k >= 0));
  const pair = given.has("pair") ? decodeNames(given.get("pair")) : [];
  if (pair.length === 2 && !pair.includes(-1)) state.picked = pair;
  const image = given.has("image") ? page.images.indexOf(decode(given.get("image"))) : -1;
  if (image >= 0) state.view = { image, of: given.get("of") || "gallery" };
}

// Keep the address true: a step that Back undoes, or (quiet) only a change of the one that is there.
let written = "";
function remember(quiet) {
  const now = address();
  if (now === written) return;
  if (quiet) history.replaceState(null, "", now);
  else history.pushState(null, "", now);
  written = now;
}
