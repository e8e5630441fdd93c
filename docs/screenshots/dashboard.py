#!/usr/bin/env python3
"""Draws what the panels of the dashboard show, from a real Prometheus that reads two real servers: docs/screenshots/dashboard.svg.

    ./quickstart && tools/setup.sh --tests
    docs/screenshots/dashboard.py

This is not Grafana, but the same queries, laid out in the same grid and coloured by the same thresholds. The servers keep selections of their own,
so that they can be seen to disagree until both have promoted the same one.
"""

from __future__ import annotations

import concurrent.futures
import html
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("MIDLAYER_BINARY_DIR", str(ROOT / "build/release"))
sys.path.insert(0, str(ROOT / "tests/e2e"))
import harness
import prometheus
import test_scoring

OUT = Path(__file__).resolve().parent / "dashboard.svg"
MODEL = ROOT / "models/all-MiniLM-L6-v2"
SECONDS = 90  # of load, and of what is drawn
CELL, LINE, GAP = 58, 28, 6  # width and height of a cell of the grid
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffb357", "#96d98d", "#ca95e5"]
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "transparent": "#d8dee9"}


def load(servers: list[harness.Server], folder: Path) -> None:
    """Calls of several layers, streams, refusals, two scoring runs, and two promotions one after the other."""

    def bench(server: harness.Server, *flags: str, seconds: int = SECONDS) -> None:
        harness.client("bench", *flags, f"--duration={seconds}", "--warmup=0", server=server, timeout=2 * seconds)

    def promote(server: harness.Server, after: float) -> None:
        time.sleep(after)
        data = folder / "pairs.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in test_scoring.pairs(200)))
        harness.client("score", f"--dataset={data}", "--metrics=pair_spearman", "--promote", server=server)

    def stream(server: harness.Server, after: float) -> None:
        time.sleep(after)
        harness.embed_lines(server, [f"a line of a long file, number {i}" for i in range(3000)], layer=6)

    first, second = servers
    with concurrent.futures.ThreadPoolExecutor() as pool:
        work = [pool.submit(bench, first, "--layer=1,2,3,4,5,6", "--concurrency=4"), pool.submit(bench, second, "--layer=3,6", "--rate=20")]
        work += [pool.submit(promote, first, 20), pool.submit(promote, second, 45), pool.submit(stream, second, 30)]
        time.sleep(SECONDS * 0.7)
        bench(second, "--layer=6", "--concurrency=48", "--texts=16", seconds=SECONDS // 6)
        for each in work:
            each.result()


# Drawing.


def text(x: float, y: float, words: str, size: int = 11, fill: str = "#d8dee9", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{html.escape(words)}</text>'


def rectangle(x: float, y: float, w: float, h: float, fill: str, opacity: float = 1) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def number(value: float, unit: str) -> str:
    """A value as a person reads it."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    if unit == "dateTimeFromNow":
        return f"{time.time() - value / 1000:.0f} s ago"
    suffix = {"s": " s", "dtdurations": " s", "reqps": " req/s", "short": "", "": ""}.get(unit, " " + unit.split(":")[-1].strip())
    return (f"{value / 1000:.3g}k" if abs(value) >= 1000 else f"{value:.3g}") + suffix


def threshold(panel: dict, value: float) -> str:
    found = "blue"
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]:
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return NAMED[found]


def state(mappings: list[dict], value: float) -> tuple[str, str]:
    found = mappings[0]["options"].get(f"{value:g}", {"text": f"{value:g}", "color": "blue"})
    return found["text"], NAMED[found["color"]]


class Panel:
    """A panel's place in the picture, and its data."""

    def __init__(self, panel: dict, top: float, ask: prometheus.Prometheus, end: float) -> None:
        grid = panel["gridPos"]
        self.panel, self.end, self.unit = panel, end, panel["fieldConfig"]["defaults"].get("unit", "")
        self.x, self.y, self.w, self.h = grid["x"] * CELL, top, grid["w"] * CELL - GAP, grid["h"] * LINE - GAP
        self.series = []  # legend, labels, {seconds: value}
        for target in panel["targets"]:
            query = prometheus.substitute(target["expr"])
            if target["instant"]:
                found = ask.ask("query", query=query, time=end)["result"]
                self.series.append((target["refId"], [(each["metric"], float(each["value"][1])) for each in found]))
                continue
            for each in ask.ask("query_range", query=query, start=end - SECONDS, end=end, step=1)["result"]:
                legend = target["legendFormat"]
                for name in ("instance", *each["metric"]):
                    legend = legend.replace("{{" + name + "}}", each["metric"].get(name, ""))
                self.series.append((legend, {at - end + SECONDS: float(value) for at, value in each["values"]}))

    def draw(self) -> list[str]:
        parts = [rectangle(self.x, self.y, self.w, self.h, "#181b1f"), text(self.x + 8, self.y + 15, self.panel["title"], 12, "#ffffff")]
        kind = {"timeseries": self.lines, "stat": self.stat, "heatmap": self.heatmap, "table": self.table, "state-timeline": self.bars}
        return parts + (kind[self.panel["type"]]() if self.series else [text(self.x + 8, self.y + 40, "no data")])

    def across(self, seconds: float) -> float:
        return self.x + 58 + (self.w - 68) * seconds / SECONDS

    def lines(self) -> list[str]:
        points = [value for _, values in self.series for value in values.values() if not math.isnan(value)]
        top = 1.05 * (max(points, default=0) or 1)
        bottom, height = self.y + self.h - 34, self.h - 62
        parts = []
        for part in (0, 0.5, 1):
            y = bottom - height * part
            parts += [f'<path d="M{self.across(0):.0f} {y:.0f}H{self.across(SECONDS):.0f}" stroke="#2c3235"/>',
                      text(self.across(0) - 4, y + 4, number(top * part, self.unit), 9, "#9fa7b3", "end")]
        place = self.x + 8
        for index, (legend, values) in enumerate(self.series):
            colour = COLOURS[index % len(COLOURS)]
            seen = [(at, value) for at, value in values.items() if not math.isnan(value)]
            path = "".join(f"{'L' if i else 'M'}{self.across(at):.1f} {bottom - height * value / top:.1f}" for i, (at, value) in enumerate(seen))
            parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
            if place + 6 * len(legend) < self.x + self.w:
                parts.append(text(place, self.y + self.h - 9, legend, 10, colour))
            place += 6 * len(legend) + 14
        return parts

    def stat(self) -> list[str]:
        value = list(self.series[0][1].values())[-1]
        return [text(self.x + self.w / 2, self.y + self.h / 2 + 16, number(value, self.unit), 26, threshold(self.panel, value), "middle")]

    def heatmap(self) -> list[str]:
        rows = sorted(self.series, key=lambda row: float(row[0]))
        height = (self.h - 34) / len(rows)
        counts, below = [], {}
        for _, values in rows:  # each bucket has those below it
            counts.append({at: value - below.get(at, 0) for at, value in values.items()})
            below = values
        most = max(value for row in counts for value in row.values()) or 1
        parts = []
        for index, ((bound, _), row) in enumerate(zip(rows, counts, strict=True)):
            y = self.y + self.h - 8 - (index + 1) * height
            parts.append(text(self.across(0) - 4, y + height / 2 + 3, bound if bound == "+Inf" else number(float(bound), "s"), 9, "#9fa7b3", "end"))
            parts += [rectangle(self.across(at), y, (self.w - 68) / SECONDS, height - 1, "#ff9830", (value / most) ** 0.5)
                      for at, value in row.items() if value > 0]
        return parts

    def bars(self) -> list[str]:
        height = min((self.h - 30) / len(self.series), 40)
        parts = []
        for index, (legend, values) in enumerate(self.series):
            y = self.y + 26 + index * height
            runs = []  # from, to, value
            for at, value in values.items():
                if runs and runs[-1][2] == value and at - runs[-1][1] < 2:
                    runs[-1][1] = at
                else:
                    runs.append([at, at, value])
            for begin, stop, value in runs:
                words, colour = state(self.panel["fieldConfig"]["defaults"]["mappings"], value)
                parts.append(rectangle(self.across(begin), y + 14, self.across(stop + 1) - self.across(begin), height - 18, colour, 0.8))
                if stop - begin > 8:
                    parts.append(text(self.across(begin) + 4, y + 14 + height / 2, words, 10, "#111217"))
            parts.append(text(self.x + 8, y + 10, legend, 10))
        return parts

    def table(self) -> list[str]:
        organised = self.panel["transformations"][-1]["options"]
        formats = {each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]} for each in self.panel["fieldConfig"]["overrides"]}
        shared = set.intersection(*[set(labels) for _, found in self.series for labels, _ in found])
        rows: dict[tuple, dict] = {}
        for reference, found in self.series:  # as Grafana merges tables: by the labels that all have
            for labels, value in found:
                row = rows.setdefault(tuple(sorted((name, labels[name]) for name in shared)), {})
                row |= labels | {"Value" if len(self.series) == 1 else f"Value #{reference}": value}
        columns = organised["renameByName"]
        width, parts = (self.w - 16) / len(columns), []
        for number_of, row in enumerate([columns, *sorted(rows.values(), key=str)]):
            for place, (name, title) in enumerate(columns.items()):
                x, y, value, form = self.x + 8 + place * width, self.y + 38 + 22 * number_of, row.get(name, "–"), formats.get(title, {})
                if isinstance(value, float) and "mappings" in form:
                    value, colour = state(form["mappings"], value)
                    parts.append(rectangle(x - 4, y - 14, width - 2, 19, colour, 0.8))
                elif isinstance(value, float) and "unit" not in form:
                    parts.append(rectangle(x + 44, y - 10, max(value, 0) * (width - 52), 11, NAMED["blue"], 0.8))
                words = number(value, form.get("unit", "short")) if isinstance(value, float) else value
                parts.append(text(x, y, words, 11, "#9fa7b3" if number_of == 0 else "#ffffff"))
        return parts


def picture(ask: prometheus.Prometheus, end: float) -> str:
    """Row by row; those of GPUs are left out, for there is none."""
    parts, top = [], 44.0
    for row in (each for each in prometheus.dashboard()["panels"] if each["type"] == "row" and each["title"] != "GPU"):
        board = prometheus.dashboard()["panels"]
        following = next((each["gridPos"]["y"] for each in board if each["type"] == "row" and each["id"] > row["id"]), math.inf)
        inside = row["panels"] or [p for p in board if p["type"] != "row" and row["gridPos"]["y"] < p["gridPos"]["y"] < following]
        parts.append(text(4, top + 14, row["title"], 14, "#ffffff"))
        first = min(panel["gridPos"]["y"] for panel in inside)
        for panel in inside:
            parts += Panel(panel, top + 24 + (panel["gridPos"]["y"] - first) * LINE, ask, end).draw()
        top += 30 + (max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in inside) - first) * LINE
    title = (f"Data of the panels of deploy/grafana/midlayer.json through {SECONDS} s, from Prometheus and two servers of all-MiniLM-L6-v2 on one core "
             "each. Drawn by docs/screenshots/dashboard.py; this is not Grafana.")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{24 * CELL}" height="{top:.0f}" font-family="DejaVu Sans, Arial, sans-serif">'
            f'{rectangle(0, 0, 24 * CELL, top, "#111217")}{text(4, 20, title, 13, "#9fa7b3")}{"".join(parts)}</svg>\n')


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = [harness.Server(MODEL, "--cache-entries", "500", *flags) for flags in ((), ("--max-waiting-texts", "512"))]
        program = ROOT / ".deps/bin/prometheus"
        try:
            with prometheus.Prometheus(program, folder, servers) as ask:
                harness.eventually(lambda: len(ask.query("up")) == 4)
                load(servers, folder)
                OUT.write_text(picture(ask, time.time()))
        finally:
            for server in servers:
                server.close()


if __name__ == "__main__":
    main()
