"""From the figures of a run to tables in Markdown and plots. All ratios are taken within a round, then their median and quartiles."""

from __future__ import annotations

import statistics
from pathlib import Path

from peers.load import Result
from peers.plots import Chart, Line

# Lists have one entry a round; keys are text, as in the JSON file.
Series = list[Result]
Figures = dict


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def cell(values: list[float], form: str = ",.0f") -> str:
    if not values:
        return ""
    low, middle, high = spread(values)
    return f"{middle:{form}}" if low == high else f"{middle:{form}} ({low:{form}}–{high:{form}})"


def of(series: Series, key: str = "tokens_per_second") -> list[float]:
    return [result[key] for result in series]


def ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=False)]


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def load_name(in_process: bool, load: str) -> str:
    if in_process:
        return "in process, one at a time" if load == "1" else f"in process, batches of {load}"
    return f"{load} clients" if load != "1" else "1 client"


def measured_loads(figures: Figures, corpus: str) -> dict[str, dict[str, Series]]:
    """By contestant; without those that failed before they had a figure."""
    kept = {name: {load: series for load, series in loads.items() if series} for name, loads in figures["throughput"][corpus].items()}
    return {name: loads for name, loads in kept.items() if loads}


def throughput_table(figures: Figures, corpus: str) -> str:
    """Every contestant at every load, beside midlayer of its dtype at the same load, or at the main one for engines."""
    measured, limits, main = measured_loads(figures, corpus), figures["forward"].get(corpus, {}), figures["setup"]["main_clients"]
    rows = []
    for name, loads in measured.items():
        contestant = figures["contestants"][name]
        dtype, in_process = contestant["dtype"], contestant["in_process"]
        roofline = of(limits[dtype], "roofline") if dtype in limits else []
        for load, series in loads.items():
            ours = measured[f"midlayer {dtype}"].get(str(main) if in_process else load, [])
            ratio = [] if name.startswith("midlayer") else ratios(of(ours), of(series))
            # Of sorted batches, the time of one text means nothing.
            delays = ["", ""] if in_process and load != "1" else [cell(of(series, key), ".1f") for key in ("p50_ms", "p99_ms")]
            share = cell([100 * r for r in ratios(of(series), roofline)], ".0f")
            rows.append([name, load_name(in_process, load), cell(of(series)), *delays, cell(ratio, ".2f"), share])
    return table(["contestant", "load", "tokens/s", "p50 ms", "p99 ms", "midlayer's tokens/s to these", "% of the roofline"], rows)


def forward_table(figures: Figures, corpus: str) -> str:
    rows = []
    for dtype, series in figures["forward"].get(corpus, {}).items():
        ours = of(figures["throughput"][corpus][f"midlayer {dtype}"][str(figures["setup"]["main_clients"])])
        forward = of(series, "forward")
        rows.append([dtype, cell(of(series, "roofline")), cell(forward), cell([100 * r for r in ratios(ours, forward)], ".0f")])
    if not rows:
        return "Roofline and bare forward pass: not measured (the program forward is not built, or --quick).\n"
    return table(["dtype", "roofline, tokens/s", "bare forward, tokens/s", "midlayer, % of the bare forward"], rows)


def layer_costs(layers: dict[str, Series]) -> dict[int, list[dict[str, float]]]:
    """By layer, for each round: µs a token in the model and by the clock, and both against the embedding step plus ℓ/L of the blocks."""
    pure = {int(layer): series for layer, series in layers.items() if layer != "mixed"}
    last = max(pure)
    costs: dict[int, list[dict[str, float]]] = {}
    for layer, series in sorted(pure.items()):
        for here, first, full in zip(series, pure[0], pure[last], strict=False):
            entry = {}
            for name, cost in (("model", lambda r: r["forward_us_per_token"]), ("clock", lambda r: 1e6 / r["tokens_per_second"])):
                expected = cost(first) + (cost(full) - cost(first)) * layer / last
                entry |= {name: cost(here), f"{name}_ratio": cost(here) / expected, f"{name}_share": cost(here) / cost(full) * last / max(layer, 1)}
            costs.setdefault(layer, []).append(entry)
    return costs


def layer_table(layers: dict[str, Series]) -> str:
    rows = []
    for layer, costs in layer_costs(layers).items():
        by = {key: [cost[key] for cost in costs] for key in costs[0]}
        plain = cell(by["clock_share"], ".3f") if layer else ""
        throughput = cell(of(layers[str(layer)]))
        rows.append([str(layer), throughput, cell(by["model"], ".1f"), cell(by["model_ratio"], ".3f"), cell(by["clock"], ".1f"),
                     cell(by["clock_ratio"], ".3f"), plain])  # fmt: skip
    head = ["layer", "tokens/s", "µs a token in the model", "to layer 0 + ℓ/L of the blocks", "µs a token by the clock", "to the same", "to ℓ/L of layer L"]
    return table(head, rows)


def mixed_line(series: Series) -> str:
    got, expected = of(series), of(series, "expected_tokens_per_second")
    return f"Layers drawn at random: {cell(got)} tokens/s, {cell(ratios(got, expected), '.3f')} of the weighted (harmonic) mean of the pure ones.\n"


def growth_table(growth: dict[str, Series]) -> str:
    lengths = sorted(growth, key=int)
    first = growth[lengths[0]]
    rows = [
        [length, cell(of(growth[length])), cell(of(growth[length], "p50_ms"), ".1f"), cell(of(growth[length], "forward_us_per_token"), ".1f"),
         cell(ratios(of(first), of(growth[length])), ".2f")]
        for length in lengths
    ]  # fmt: skip
    return table(["tokens a text", "tokens/s", "p50 ms", "µs a token in the model", f"cost of a token, of that at {lengths[0]}"], rows)


def single_table(figures: Figures) -> str:
    """By name; the bare pass of each dtype is what contestants of that dtype are held against."""
    rows = []
    for name, series in figures["single"].items():
        bare = of(figures["single"].get(f"bare forward pass {name.rsplit(' ', 1)[1]}", []), "p50_ms")
        p50, p99 = of(series, "p50_ms"), [result["p99_ms"] for result in series if "p99_ms" in result]
        where = "in process" if figures["contestants"].get(name, {"in_process": True})["in_process"] else "server"
        rows.append([name, where, cell(p50, ".2f"), cell(p99, ".1f"), cell(ratios(p50, bare), ".2f")])
    return table(["contestant", "where", "p50 ms", "p99 ms", "p50 to the bare pass"], rows)


def bulk_table(figures: Figures) -> str:
    rows = [
        [dtype, str(series[0]["texts"]), cell(of(series)), cell(of(series, "engine_tokens_per_second")),
         cell([100 * ratio for ratio in ratios(of(series), of(series, "engine_tokens_per_second"))], ".0f")]
        for dtype, series in figures["bulk"].items()
    ]  # fmt: skip
    return table(["dtype", "texts", "EmbedStream, tokens/s", "the engine in process, tokens/s", "%"], rows)


def start_table(figures: Figures) -> str:
    rows = [[dtype, cell(of(series, "first_vector_seconds"), ".2f"), cell(of(series, "resident_mib"))] for dtype, series in figures["start"].items()]
    return table(["dtype", "seconds from start to first vector", "MiB resident, idle"], rows)


def markdown(figures: Figures) -> str:
    setup, main = figures["setup"], figures["setup"]["main_clients"]
    parts = [
        "# midlayer-server beside its peers\n",
        f"Written by bench/peers.py: {setup['rounds']} rounds of {setup['seconds']:g} s each, {setup['threads']} threads, {setup['processor']}; "
        f"model {setup['model']}, texts cut at {setup['max_tokens']} tokens. Median (lower–upper quartile); ratios are taken within a round.\n",
        "Lowest cosine to midlayer's float32 vectors: " + ", ".join(f"{name} {value:.6f}" for name, value in figures["cosines"].items()) + ".\n",
    ]
    if figures["left_out"]:
        parts.append("Left out: " + "; ".join(f"{name} ({why})" for name, why in figures["left_out"].items()) + ".\n")
    for corpus in figures["throughput"]:
        about = figures["corpora"][corpus]
        parts += [f"## Texts: {corpus}\n", f"{about['texts']} texts of {about['mean_tokens']:.1f} tokens on average.\n", forward_table(figures, corpus)]
        parts += [throughput_table(figures, corpus), f"![tokens/s](throughput_{corpus}.svg)\n![latency](latency_{corpus}.svg)\n"]
    for dtype, layers in figures["layers"].items():
        parts += [f"## Cost by layer, {dtype}, {main} clients\n", layer_table(layers), mixed_line(layers["mixed"])]
    parts.append("![cost by layer](layers.svg)\n")
    for dtype, growth in figures["growth"].items():
        parts += [f"## Growth with length, {dtype}, {main} clients\n", growth_table(growth)]
    parts += ["![cost by length](growth.svg)\n", f"## A single text of {setup['short']} tokens, nothing else to do\n", single_table(figures)]
    parts += ["## Bulk\n", bulk_table(figures), "## Start and memory\n", start_table(figures)]
    return "\n".join(parts)


def client_charts(figures: Figures, corpus: str) -> tuple[Chart, Chart]:
    speed = Chart(f"Throughput, texts: {corpus}", "clients", "tokens/s", log_x=True)
    delay = Chart(f"Latency, texts: {corpus}", "clients", "ms; solid p50, dashed p99", log_x=True, log_y=True)
    clients = [float(number) for number in figures["setup"]["clients"]]
    for colour, (name, loads) in enumerate(measured_loads(figures, corpus).items()):
        if figures["contestants"][name]["in_process"]:
            best = max(median(of(series)) for series in loads.values())
            speed.lines.append(Line(f"{name}, in process", [(min(clients), best), (max(clients), best)], colour, dashed=True))
            continue
        speed.lines.append(Line(name, [(float(load), median(of(series))) for load, series in loads.items()], colour))
        for key, dashed in (("p50_ms", False), ("p99_ms", True)):
            points = [(float(load), median(of(series, key))) for load, series in loads.items()]
            delay.lines.append(Line(f"{name}, {key[:3]}", points, colour, dashed))
    return speed, delay


def cost_charts(figures: Figures) -> tuple[Chart, Chart]:
    by_layer = Chart("Cost of a token by layer", "layer; dashed: layer 0 + ℓ/L of the blocks", "µs a token, by the clock")
    for colour, (dtype, layers) in enumerate(figures["layers"].items()):
        points = [(float(layer), median([cost["clock"] for cost in costs])) for layer, costs in layer_costs(layers).items()]
        by_layer.lines += [Line(f"midlayer {dtype}", points, colour), Line("proportional", [points[0], points[-1]], colour, dashed=True)]
    by_length = Chart("Cost of a token by length of the texts", "tokens a text", "µs a token, by the clock", log_x=True)
    for colour, (dtype, growth) in enumerate(figures["growth"].items()):
        points = [(float(length), median([1e6 / value for value in of(growth[length])])) for length in sorted(growth, key=int)]
        by_length.lines.append(Line(f"midlayer {dtype}", points, colour))
    return by_layer, by_length


def write_plots(figures: Figures, folder: Path) -> None:
    charts: dict[str, Chart] = {}
    for corpus in figures["throughput"]:
        charts[f"throughput_{corpus}"], charts[f"latency_{corpus}"] = client_charts(figures, corpus)
    charts["layers"], charts["growth"] = cost_charts(figures)
    for name, chart in charts.items():
        (folder / f"{name}.svg").write_text(chart.svg())
