// -- Pairs and their values --------------------------------------------------------------------------------------
const pairOf = new Int32Array(n * n).fill(-1);
page.pairs.forEach(([a, b], k) => { pairOf[a * n + b] = k; pairOf[b * n + a] = k; });
const meta = () => page.metrics[state.metric];
const named = (a, b) => `${page.models[a]} ${meta().directed ? "→" : "–"} ${page.models[b]}`;
const rowOf = (m, a, b) => {
  const k = pairOf[a * n + b];
  return k < 0 ? -1 : page.metrics[m].directed && page.pairs[k][0] !== a ? k + page.pairs.length : k;
};
const tableOf = (m, group) => (group < 0 ? metricData(m).values : metricData(m).groups[group]);
const look = (m, statistic) => metricData(m).looks[statistic];
const scaleOf = (m, statistic, stretch) => look(m, statistic).scales[stretch ? 1 : 0];
const valueAt = (m, statistic, group, a, b) => {
  if (a === b) return look(m, statistic) ? look(m, statistic).own : null;
  const row = rowOf(m, a, b), column = tableOf(m, group)[statistic];
  return row < 0 || !column ? null : column[row];
};
const nowAt = (a, b) => valueAt(state.metric, state.statistic, state.group, a, b);
const label = (statistic) => page.labels[statistic]
  || statistic.replace(/_low$/, ", lower end of its interval").replace(/_high$/, ", upper end of its interval");
const wholeOrder = () => state.order === "cluster" ? metricData(state.metric).tree.leaves
  : state.order === "name" ? page.by_name : page.models.map((_, k) => k);
const orderNow = () => wholeOrder().filter(shownModel);

// The pair that is shown before any is clicked: the least alike by the first metric.
function farthest() {
  const sign = page.metrics[0].kind === "similarity" ? 1 : -1;
  const scored = page.pairs.map(([a, b]) => [valueAt(0, FIRST, -1, a, b), a, b]).filter(([v]) => known(v));
  if (!scored.length) return page.pairs.length ? page.pairs[0] : null;
  const ends = scored.reduce((x, y) => (sign * y[0] < sign * x[0] ? y : x)).slice(1);
  return ends[0] === page.reference ? ends.reverse() : ends;
}
