// -- Numbers as people read them -------------------------------------------------------------------------------
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
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const count = (k, what) => `${brief(k)} ${what}${k === 1 ? "" : "s"}`;
