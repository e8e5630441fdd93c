#include "server/telemetry/status_page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace midlayer {

namespace {

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

constexpr char kHead[] = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>midlayer</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --bar: #4078c0; --soft: #888; }
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
  h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
  table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; }
  th { font-weight: normal; color: var(--soft); } td { overflow-wrap: anywhere; }
  .numbers td, .numbers th { text-align: right; font-variant-numeric: tabular-nums; }
  .numbers td:first-child, .numbers th:first-child { text-align: left; }
  .bar { display: block; height: .7rem; background: var(--bar); border-radius: 2px; min-width: 1px; }
  .wide { width: 16rem; } #state { color: var(--soft); } svg { border-bottom: 1px solid var(--line); }
  @media (prefers-color-scheme: dark) { :root { --bar: #6ea8fe; } }
</style>
<h1>midlayer</h1>
<p id="state" role="status">reading /metrics …</p>
<table>
)html";

constexpr char kTail[] = R"html(</table>
<h2>Texts per second, last two minutes</h2>
<svg id="rate" width="480" height="60" role="img" aria-label="texts per second"></svg> <span id="rate-now"></span>
<h2>Requests</h2><table class="numbers" id="requests"></table>
<h2>Answered embeddings by layer</h2><table class="numbers" id="layers"></table>
<h2>Time in each block for one batch</h2><table class="numbers" id="blocks"></table>
<h2>Time by stage</h2><table class="numbers" id="stages"></table>
<script>
"use strict";
// {name: [{labels, value}]} of Prometheus' text format.
function parse(text) {
  const series = {};
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const label of (found[2] || "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) labels[label[1]] = label[2];
    (series[found[1]] ||= []).push({labels, value: Number(found[3])});
  }
  return series;
}
const sum = (list) => (list || []).reduce((total, one) => total + one.value, 0);
// A quantile of a histogram, linear within its bucket, as Prometheus computes it.
function quantile(buckets, q) {
  const sorted = buckets.map((b) => [b.labels.le === "+Inf" ? Infinity : Number(b.labels.le), b.value]).sort((a, b) => a[0] - b[0]);
  const wanted = q * sorted[sorted.length - 1][1];
  let low = 0, before = 0;
  for (const [edge, count] of sorted) {
    if (count >= wanted && count > before) return edge === Infinity ? low : low + (edge - low) * (wanted - before) / (count - before);
    low = edge; before = count;
  }
  return low;
}
const duration = (s) => s < 0.001 ? (s * 1e6).toFixed(0) + " µs" : s < 1 ? (s * 1e3).toFixed(1) + " ms" : s.toFixed(2) + " s";
function fill(id, head, rows) {
  const table = document.getElementById(id);
  table.replaceChildren();
  for (const cells of [head, ...rows]) {
    const row = table.insertRow();
    cells.forEach((cell) => {
      const td = document.createElement(cells === head ? "th" : "td");
      if (cell instanceof Node) td.append(cell); else td.textContent = cell;
      row.append(td);
    });
  }
  if (rows.length === 0) table.insertRow().insertCell().textContent = "none yet";
}
function bar(part) {
  const box = document.createElement("div"), inner = document.createElement("span");
  box.className = "wide"; inner.className = "bar"; inner.style.width = (100 * part).toFixed(1) + "%";
  box.append(inner);
  return box;
}
// Rows of a histogram by one label: count, mean, p50, p99 and a bar of the mean.
function histogram(series, name, label, order) {
  const groups = new Map();
  for (const one of series[name + "_count"] || []) {
    const key = one.labels[label];
    const group = groups.get(key) || {count: 0, total: 0, buckets: new Map()};
    group.count += one.value;
    groups.set(key, group);
  }
  for (const one of series[name + "_sum"] || []) groups.get(one.labels[label]).total += one.value;
  for (const one of series[name + "_bucket"] || []) {
    const buckets = groups.get(one.labels[label]).buckets;
    buckets.set(one.labels.le, (buckets.get(one.labels.le) || 0) + one.value);
  }
  const used = [...groups].filter(([, group]) => group.count > 0).sort(order);
  const longest = Math.max(...used.map(([, group]) => group.total / group.count), 1e-12);
  return used.map(([key, group]) => {
    const list = [...group.buckets].map(([le, value]) => ({labels: {le}, value}));
    const mean = group.total / group.count;
    return [key, group.count, duration(mean), duration(quantile(list, .5)), duration(quantile(list, .99)), bar(mean / longest)];
  });
}
const byNumber = (a, b) => a[0] - b[0], asTheyCome = () => 0;
const rates = [];
let last = null;
function chart(texts) {
  const now = Date.now() / 1000;
  if (last) { rates.push(Math.max(0, (texts - last.texts) / (now - last.now))); if (rates.length > 60) rates.shift(); }
  last = {now, texts};
  const most = Math.max(...rates, 1), svg = document.getElementById("rate");
  svg.replaceChildren();
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", rates.map((rate, i) => `${480 - 8 * (rates.length - 1 - i)},${58 - 54 * rate / most}`).join(" "));
  line.setAttribute("fill", "none"); line.setAttribute("stroke", "var(--bar)"); line.setAttribute("stroke-width", "2");
  svg.append(line);
  document.getElementById("rate-now").textContent = rates.length ? rates[rates.length - 1].toFixed(1) + " /s now, " + most.toFixed(1) + " at most" : "";
}
async function refresh() {
  const state = document.getElementById("state");
  try {
    const series = parse(await (await fetch("/metrics", {cache: "no-store"})).text());
    const ready = await fetch("/readyz", {cache: "no-store"});
    state.textContent = (ready.ok ? "serving" : "not serving: " + (await ready.text()).trim()) + " · " + sum(series.midlayer_queue_texts) +
      " texts wait · " + sum(series.midlayer_texts_total).toLocaleString() + " texts and " + sum(series.midlayer_tokens_total).toLocaleString() + " tokens computed";
    chart(sum(series.midlayer_texts_total));
    fill("requests", ["method", "code", "count"], (series.midlayer_requests_total || []).map((one) => [one.labels.method, one.labels.code, one.value]));
    const head = (what) => [what, "count", "mean", "p50", "p99", ""];
    fill("layers", head("layer"), histogram(series, "midlayer_embed_duration_seconds", "layer", byNumber));
    fill("blocks", head("block"), histogram(series, "midlayer_layer_forward_seconds", "layer", byNumber));
    fill("stages", head("stage"), histogram(series, "midlayer_stage_duration_seconds", "stage", asTheyCome));
  } catch (error) {
    state.textContent = "the server does not answer: " + error.message;
  }
  setTimeout(refresh, 2000);
}
refresh();
</script>
</html>
)html";

}  // namespace

std::string StatusPage(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string page = kHead;
  for (const auto& [name, value] : facts) {
    absl::StrAppend(&page, "<tr><th scope=\"row\">", Escaped(name), "<td>", Escaped(value), "\n");
  }
  return page + kTail;
}

}  // namespace midlayer
