// Draws the page from the data beside it. Names and paths come in as data and go out as text, never as markup.

// -- The data --------------------------------------------------------------------------------------------------
const $ = (id) => document.getElementById(id);
const parsed = new Map();
const data = (id) => {
  if (!parsed.has(id)) parsed.set(id, JSON.parse($(id).textContent));
  return parsed.get(id);
};
const page = data("page");
const n = page.models.length;
const metricData = (k) => data(`metric-${k}`);
const mapsOf = (image) => data("maps")[image] || null;

// -- Elements --------------------------------------------------------------------------------------------------
const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") node.textContent = value;
    else if (name === "words") node.append(...breakable(value));
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
};
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const link = (name, onclick) => el("button", { type: "button", class: "linkish", words: name, onclick });
const put = (node, ...children) => node.replaceChildren(...children.filter((child) => child !== null));

// A name may break into lines behind _, / and -.
const breakable = (text) => text.split(/(?<=[_/-])/).flatMap((part, k) => (k ? [el("wbr"), part] : [part]));
