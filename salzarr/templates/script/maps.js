// -- Maps: gray levels as they are stored, colored where they are shown -------------------------------------------
const KEPT = 600; // decoded maps
const decoded = new Map();

// Levels of a map, as a promise of { width, height, levels, low, high, holes }, or null if it is not stored.
function mapLevels(image, model) {
  const stored = mapsOf(image) && mapsOf(image).maps[model];
  if (!stored) return null;
  const key = `${image} ${model}`;
  if (!decoded.has(key)) {
    if (decoded.size >= KEPT) decoded.delete(decoded.keys().next().value);
    decoded.set(key, decodeMap(stored));
  }
  return decoded.get(key);
}
async function decodeMap([uri, low, high, holes]) {
  const picture = await loaded(uri);
  const width = picture.naturalWidth, height = picture.naturalHeight;
  const context = el("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  return { width, height, levels: rgba.filter((_, k) => k % 4 === 0), low, high, holes: holes === 1 };
}
async function loaded(uri) {
  const picture = new Image();
  picture.src = uri;
  await picture.decode();
  return picture;
}
const signed = (map) => map.low < 0;
const hole = (map, k) => map.holes && map.levels[k] === 0;
const shareAt = (map, k) => (map.holes ? (map.levels[k] - 1) / 254 : map.levels[k] / 255); // of its own range
const pixelAt = (map, k) => map.low + shareAt(map, k) * (map.high - map.low); // its value

// Draw a picture pixel by pixel; shade gives a pixel's place among the colors from 0 to 1, or null for a hole.
function shadePixels(canvas, { width, height }, colors, shade) {
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let k = 0; k < pixels.length; k++) {
    const f = shade(k);
    pixels[k] = f === null ? HOLE : colors[Math.max(0, Math.min(255, Math.round(f * 255)))];
  }
  context.putImageData(picture, 0, 0);
}
const drawOwn = (canvas, map) => shadePixels(canvas, map, signed(map) ? SIGNED : PLAIN,
  (k) => (hole(map, k) ? null : shareAt(map, k)));

// -- Strips: the photograph and some models' maps of an image, small -----------------------------------------------
const flawOf = (image, model) => (mapsOf(image) && mapsOf(image).flaws[model]) || "";
const carried = (image, model) => Boolean(mapLevels(image, model)) || flawOf(image, model) !== "";

function thumbnail(image, model) {
  const flaw = flawOf(image, model), name = page.models[model], map = mapLevels(image, model);
  const canvas = map ? el("canvas", { role: "img", "aria-label": flaw ? `${name}: ${flaw}` : name, width: 1, height: 1 }) : null;
  if (map) map.then((levels) => drawOwn(canvas, levels));
  return tile(canvas || el("div", { class: "none gone" }), page.short[model], name, flaw || (map ? "" : "not stored"));
}
const tile = (picture, caption, title, flaw) => el("figure", null,
  el("div", { class: "tile" }, picture, flaw ? el("span", { class: "flaw", text: flaw }) : null),
  el("figcaption", { title, words: caption }));

function stripOf(image, models, open) {
  const { photo } = mapsOf(image), many = models.length + (photo ? 1 : 0);
  const across = Math.ceil(many / Math.ceil(many / 14)); // even rows
  const tiles = [photo ? tile(el("img", { src: photo, alt: "photograph", decoding: "async" }), "photograph", "photograph", "")
    : null, ...models.map((k) => thumbnail(image, k))].filter((one) => one !== null);
  const strip = el("button", { type: "button", class: many > 4 ? "strip long" : "strip", onclick: open,
    "aria-label": `Look at ${page.images[image]}: ${models.map((k) => page.models[k]).join(", ")}` }, ...tiles);
  strip.style.setProperty("--across", across);
  strip.style.setProperty("--aspect", page.aspect);
  return strip;
}
function imageLine(image, score, models, of) {
  const stored = mapsOf(image) && models.some((k) => carried(image, k));
  const open = () => openView(image, of);
  return el("li", { "data-image": image }, el("div", { class: "line" },
    stored ? el("button", { type: "button", class: "linkish name", words: page.images[image], tabindex: -1, onclick: open })
      : el("span", { class: "name", words: page.images[image] }),
    el("span", { class: "score" }, datum(score))),
    stored ? stripOf(image, models, open)
      : page.stored ? el("p", { class: "note", text: "Its maps did not fit the report." }) : null);
}
const imageList = (title, list, models, of) => el("div", null, el("h3", { text: title }),
  el("ul", { class: "images" }, ...list.map(([image, score]) => imageLine(image, score, models, of))));

// What is known of the stored maps, in words.
function storedNote() {
  const { side, native, wanted, carried: have, limit, needed } = page.stored;
  const how = `Maps are stored at ${side} px${side < native ? ` (of ${native})` : ""} in 256 levels, slightly compressed; `
    + "every number comes from the maps themselves.";
  const mb = (bytes) => `${Math.ceil(bytes / 1e6)}MB`;
  return have === wanted ? how
    : `${how} ${brief(wanted - have)} of ${brief(wanted)} maps did not fit the report's ${mb(limit)}: all take about `
      + `--report-size ${mb(needed)}.`;
}
