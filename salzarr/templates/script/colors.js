// -- Colors ----------------------------------------------------------------------------------------------------
const stops = page.colors.map((list) => list.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))));
const colorAt = (list, f) => { // f from 0 to 1
  const last = list.length - 1, t = Math.min(1, Math.max(0, f)) * last, i = Math.min(last - 1, Math.floor(t));
  return list[i].map((c, k) => Math.round(c + (list[i + 1][k] - c) * (t - i)));
};
const color = (v, scale) => colorAt(stops[scale.colors], (v - scale.from) / (scale.to - scale.from));
const LINEAR = Array.from({ length: 256 }, (_, c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
// White reads at least 4.5:1 on whatever is darker than this, and black on the rest.
const onDark = ([r, g, b]) => 0.2126 * LINEAR[r] + 0.7152 * LINEAR[g] + 0.0722 * LINEAR[b] < 0.179;
const inkOn = (rgb) => (onDark(rgb) ? "#fff" : "#000");
const paint = (node, v, scale) => {
  const rgb = known(v) ? color(v, scale) : null;
  node.style.backgroundColor = rgb ? `rgb(${rgb})` : "";
  node.style.color = rgb ? inkOn(rgb) : "";
};
const GONE = "#a9afb9";

// 256 colors of the maps, for maps without and with negative values: as pixels of a canvas, and for a legend.
const asPixel = (rgb) => new Uint32Array(new Uint8ClampedArray([...rgb, 255]).buffer)[0];
const HOLE = asPixel([174, 180, 190]);
const ramps = page.map_colors.map((at) => Array.from({ length: 256 }, (_, k) => colorAt(stops[at], k / 255)));
const [PLAIN, SIGNED] = ramps.map((list) => Uint32Array.from(list, asPixel));
const rampOf = (pixels) => ramps[pixels === SIGNED ? 1 : 0];
const ramp = (colors) => `linear-gradient(90deg, ${colors.map((rgb) => `rgb(${rgb})`).join(",")})`;
const steps = (list) => Array.from({ length: 17 }, (_, k) => list[Math.round(k * 255 / 16)]);
