#include "client/cli/html_report.h"

namespace midlayer::cli {

const char kPageStyle[] = R"(
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #1d1c1a; --soft: #66625a; --rule: #e3dfd6; --faint: #f1eee7;
  --chosen: #b8420f; --task: #0f6b4f; --self: #1d5cb0; --geometry: #7a4aa8; --other: #66625a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141413; --card: #1d1c1b; --ink: #eceae5; --soft: #a29d93; --rule: #34322e; --faint: #262522;
    --chosen: #f59a5f; --task: #58c79b; --self: #82b1f7; --geometry: #c49df0; --other: #a29d93;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
main, footer { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
.task { --accent: var(--task); } .self { --accent: var(--self); }
.geometry { --accent: var(--geometry); } .other { --accent: var(--other); }
header { padding: 2.5rem 0 0; }
.eyebrow { margin: 0 0 .6rem; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
h1 { margin: 0; max-width: 34ch; font-size: clamp(1.5rem, 1rem + 2.4vw, 2.4rem); line-height: 1.2; font-weight: 650;
  letter-spacing: -.015em; text-wrap: balance; overflow-wrap: anywhere; }
h1 em { color: var(--chosen); font-style: normal; }
.lead { max-width: 68ch; margin: 1rem 0 0; font-size: 1.0625rem; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 .25rem; font-size: 1.3rem; line-height: 1.3; letter-spacing: -.01em; }
h2 + .facts { margin-top: .9rem; padding-top: 0; border-top: 0; }
h2 + p, .about { max-width: 68ch; margin: 0 0 1rem; color: var(--soft); }
h3 { margin: 0; font-size: .95rem; line-height: 1.35; font-weight: 620; overflow-wrap: anywhere; }
.group { display: flex; align-items: baseline; gap: .5rem; margin: 1.75rem 0 0; font-size: 1.05rem; }
.group::before { content: ""; width: .65rem; height: .65rem; border-radius: 50%; background: var(--accent); }
.about { margin: .1rem 0 .9rem; font-size: .925rem; }
.depth { display: flex; flex-wrap: wrap; gap: 3px; margin: 1.5rem 0 0; padding: 0; list-style: none; }
.depth li { flex: 0 0 clamp(1.6rem, calc((100% - (var(--n) - 1) * 3px) / var(--n)), 4rem); padding: .3rem 0; border-radius: .3rem;
  background: var(--faint); color: var(--soft); text-align: center; font-size: .8rem; font-variant-numeric: tabular-nums; }
.depth .tied { box-shadow: inset 0 0 0 1.5px var(--chosen); color: var(--ink); }
.depth .chosen { background: var(--chosen); color: var(--paper); font-weight: 700; }
.under { margin: .45rem 0 0; color: var(--soft); font-size: .85rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr)); gap: 1.1rem 2rem;
  margin: 1.75rem 0 0; padding: 1.25rem 0 0; border-top: 1px solid var(--rule); }
.facts div { min-width: 0; } .facts .wide { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: .1rem 0 0; overflow-wrap: anywhere; }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.notes { margin: 1.5rem 0 0; padding: .9rem 1.1rem; border-left: 3px solid var(--chosen); background: var(--faint);
  border-radius: 0 .4rem .4rem 0; }
.notes ul { margin: 0; padding-left: 1.1rem; } .notes li { max-width: 75ch; overflow-wrap: anywhere; }
.notes li + li { margin-top: .35rem; }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.4rem; margin: .75rem 0 0; padding: 0; list-style: none;
  color: var(--soft); font-size: .85rem; }
.legend li { display: inline-flex; align-items: center; gap: .45rem; } .legend svg { width: 1.5rem; height: .9rem; flex: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .9rem 1rem .7rem; background: var(--card); border: 1px solid var(--rule); border-radius: .6rem;
  display: flex; flex-direction: column; min-width: 0; break-inside: avoid; }
figure:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent, var(--chosen)); outline-offset: 2px; }
figcaption { flex: 1; }
.tag { font-weight: 400; color: var(--soft); white-space: nowrap; }
.direction { margin: .15rem 0 .5rem; color: var(--soft); font-size: .8rem; line-height: 1.4; }
.direction b { color: var(--accent); font-weight: 620; }
output { display: block; min-height: 1.4em; margin-top: .35rem; font-size: .875rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
.chart { display: block; width: 100%; height: auto; touch-action: pan-y; overflow: visible; }
.chart text { fill: var(--soft); font-size: 10.5px; text-anchor: middle; font-variant-numeric: tabular-nums; }
.chart .value { text-anchor: end; } .chart .empty { font-size: 12px; }
.grid { stroke: var(--rule); stroke-width: 1; } .band { fill: var(--accent); opacity: .16; }
.whisker { stroke: var(--accent); stroke-width: 6; opacity: .2; }
.line { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.chart .chosen { stroke: var(--chosen); stroke-width: 1.5; stroke-dasharray: 4 3; }
.cursor { stroke: var(--ink); stroke-width: 1; opacity: 0; }
.point { fill: var(--accent); stroke: var(--card); stroke-width: 1.2; }
.point.tie { fill: var(--card); stroke: var(--accent); stroke-width: 1.8; }
.active .cursor { opacity: .45; } .point.on { r: 5.5px; stroke: var(--ink); stroke-width: 1.5; }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: .6rem; background: var(--card); margin: .5rem 0 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { vertical-align: bottom; font-weight: 620; line-height: 1.3; white-space: normal; min-width: 6.5rem; }
thead small { display: block; color: var(--soft); font-weight: 400; }
.numbers th:first-child { position: sticky; left: 0; z-index: 1; min-width: 4rem; background: var(--card);
  border-right: 1px solid var(--rule); font-weight: 500; }
.numbers tr.chosen > th { color: var(--chosen); font-weight: 700; box-shadow: inset 3px 0 0 var(--chosen); }
.numbers td { background: color-mix(in srgb, var(--accent) calc(var(--g, 0) * 24%), transparent); }
td small { color: var(--soft); font-size: .8em; } td.best { font-weight: 700; }
td.best::before { content: "\25CF\00A0"; color: var(--accent); } td.tie::before { content: "\25CB\00A0"; color: var(--accent); }
.correlations th, .correlations td:nth-child(2) { text-align: left; } .correlations th[scope=col]:nth-child(n+3) { text-align: right; }
.correlations td:first-of-type { white-space: normal; } .correlations tbody th { font-weight: 500; white-space: normal; }
.bar { display: inline-block; position: relative; width: 5rem; height: .55rem; margin-right: .6rem; border-radius: .15rem;
  background: linear-gradient(var(--soft), var(--soft)) 50% 0 / 1px 100% no-repeat, var(--faint); }
.bar + b { display: inline-block; min-width: 2.9rem; font-weight: inherit; }
.bar i { position: absolute; top: 0; bottom: 0; border-radius: .15rem; background: var(--geometry); opacity: .8; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr)); gap: .8rem 2rem; margin: .75rem 0 0; }
.pairs dd { font-variant-numeric: tabular-nums; }
footer { margin-top: 3.5rem; padding-top: 1rem; padding-bottom: 2.5rem; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { header { padding-top: 1.5rem; } main, footer { padding-left: 1rem; padding-right: 1rem; } h2 { margin-top: 2.25rem; } }
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --faint: #f2f2f2;
    --chosen: #a03a0c; --task: #0f6b4f; --self: #1d5cb0; --geometry: #7a4aa8; color-scheme: light; }
  body { font-size: 9.5pt; } .scroll { overflow: visible; border: 0; } table { font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; } thead th { min-width: 0; } .numbers th:first-child { position: static; }
  .charts { grid-template-columns: repeat(3, 1fr); gap: .6rem; } h2, .group, .about { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)";

const char kPageScript[] = R"(
for (const figure of document.querySelectorAll("figure[data-readings]")) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output"), cursor = figure.querySelector(".cursor");
  const readings = figure.dataset.readings.split("|"), xs = (svg.dataset.x || "").trim().split(/\s+/).map(Number);
  const home = Number(figure.dataset.home);
  if (!cursor) continue;
  let at = home;
  const mark = (on) => { const point = svg.querySelector(`[data-i="${at}"]`); if (point) point.classList.toggle("on", on); };
  const show = (to, active) => {
    mark(false);
    at = Math.max(0, Math.min(xs.length - 1, to));
    cursor.setAttribute("x1", xs[at]);
    cursor.setAttribute("x2", xs[at]);
    figure.classList.toggle("active", active);
    mark(active);
    output.textContent = readings[at];
  };
  const point = (event) => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * 320;
    show(xs.reduce((best, value, i) => Math.abs(value - x) < Math.abs(xs[best] - x) ? i : best, 0), true);
  };
  const leave = () => show(document.activeElement === figure ? at : home, document.activeElement === figure);
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", leave);
  figure.addEventListener("focus", () => show(at, true));
  figure.addEventListener("blur", () => show(home, false));
  figure.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: xs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to, true);
  });
}
)";

}  // namespace midlayer::cli
