// Metrics in the text format of Prometheus.

// readMetrics returns the samples of a text as a map from each name to a list of
// { labels, value }.
export function readMetrics(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const [, name, labels, value] = found;
    if (!metrics.has(name)) metrics.set(name, []);
    metrics.get(name).push({ labels: readLabels(labels ?? ""), value: value === "+Inf" ? Infinity : Number(value) });
  }
  return metrics;
}

function readLabels(text) {
  const labels = new Map();
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels.set(
      name,
      value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)),
    );
  }
  return labels;
}

// total adds up the samples of a metric, those with given labels only. It returns NaN if
// there are none.
export function total(metrics, name, labels = {}) {
  const samples = (metrics.get(name) ?? []).filter((s) =>
    Object.entries(labels).every(([k, v]) => s.labels.get(k) === v),
  );
  return samples.length === 0 ? NaN : samples.reduce((sum, s) => sum + s.value, 0);
}

// byLabel returns the samples of a metric as pairs of a label's value and a number.
export function byLabel(metrics, name, label) {
  return (metrics.get(name) ?? []).map((s) => [s.labels.get(label) ?? "", s.value]);
}

// quantile estimates a quantile of the values that a histogram has counted between two reads, as
// Prometheus does. It returns NaN if nothing was counted.
export function quantile(q, name, before, after) {
  const counts = (metrics) =>
    new Map(byLabel(metrics, `${name}_bucket`, "le").map(([le, n]) => [le === "+Inf" ? Infinity : Number(le), n]));
  const old = before ? counts(before) : new Map();
  const buckets = [...counts(after)].map(([le, n]) => [le, n - (old.get(le) ?? 0)]).sort((a, b) => a[0] - b[0]);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return NaN;
  const rank = q * all;
  let low = 0,
    below = 0;
  for (const [le, n] of buckets) {
    if (n >= rank) return le === Infinity ? low : low + ((le - low) * (rank - below)) / (n - below);
    low = le;
    below = n;
  }
  return low;
}
