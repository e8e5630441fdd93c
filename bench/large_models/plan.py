#!/usr/bin/env python3
"""Makes docs/large_models.md: what large models cost by depth, computed from their shapes, and a check against a measured one.

    bench/large_models/plan.py --measured large.json > docs/large_models.md    # large.json: from load.py

Without --measured, the plan alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import costs
from shapes import GPUS, MEASURED, MODELS, Gpu, Shape

BATCH_TOKENS = 1024  # --batch-tokens by default, on a GPU
STREAMS = 2  # --streams by default
TEXT_TOKENS = 128
LONG_TEXT_TOKENS = 2048
SHORT_TEXT_TOKENS = 32
QUARTERS = (1, 2, 3, 4)
EFFICIENCY = 0.5
RESERVE_BYTES = 1e9
MEBIBYTE = 1 << 20

HEAD = f"""# Large models, by depth

Made by `bench/large_models/plan.py`; to make it again:

```sh
bench/large_models/load.py --folder DIR --json large.json && bench/large_models/plan.py --measured large.json > docs/large_models.md
```

The first part is **computed, not measured**: from the shapes in the models' config.json and published figures of GPUs. The last part checks the
plan against a model of 0.5 billion parameters. GB are 10⁹ bytes, MiB 2²⁰; bfloat16 stands for float16 too, which is as wide.

A model must fit into one GPU: nothing is split. `--device cuda:0,cuda:1` makes replicas. What fits a small GPU is a model up to the layer that is
used: `--max-layer N` keeps the embedding table and N blocks, and never the output head."""

MODELS_TEXT = """## Models

Letters as in [ARCHITECTURE.md](../ARCHITECTURE.md); K heads of keys and values; I is the width of the MLP, which is plain in Pythia and gated in the
others. Millions of parameters: the whole checkpoint, with its output head, comes to the published number in every row, else the script stops."""

WEIGHTS_TEXT = """## Weights on the device, GB

Weights of matrix products and tables in the dtype, norms in float32."""

ACTIVATIONS_TEXT = f"""## Activations of a batch

What lives at the same time in the largest step of a block, which is the MLP in all of these models: the residual stream and its norm in
float32, gate and up, the activated gate and the product in the dtype. Nothing of a lower layer is kept, so depth does not change it. Scores
of the attention are never stored. MB for {BATCH_TOKENS:,} tokens (`--batch-tokens` on a GPU; half as many on a CPU); in proportion for more, and once for
each batch under way (`--streams` of a GPU, `--threads` of a CPU); a scoring run adds its own chunk."""

FLOPS_TEXT = f"""## Arithmetic of a token, GFLOP

2 × the parameters of the matrix products, and 4·T·N·H for the attention, of each layer up to the one asked for; texts of T = {TEXT_TOKENS} tokens.
The last two columns: the share of the attention, at that length and at {LONG_TEXT_TOKENS:,} tokens. Layer 0 is a look-up."""

GPUS_TEXT = f"""## GPUs

Published peaks without sparsity; float32 without tensor cores, as the server does not turn TF32 on. **Assumed**: {100 * EFFICIENCY:.0f} % of the
peak for arithmetic, the whole bandwidth for reading weights, and {RESERVE_BYTES / 1e9:.0f} GB for CUDA, its libraries and the tables of rotary embeddings. The last
columns: batches of fewer tokens wait for memory, larger ones for arithmetic, whatever the model and the depth."""

DEEPEST_TEXT = f"""## The deepest layer that fits

Weights, activations of {STREAMS} batches of {BATCH_TOKENS:,} tokens (the default of `--streams`) and the reserve. A dash: not even the embedding
table."""

TIME_TEXT = f"""## Time of 1,000 tokens, ms

The longer of arithmetic and of reading the weights once, in proportion to the layer either way, for a batch of {BATCH_TOKENS:,} tokens in texts of
{TEXT_TOKENS}. **Computed, not measured**: norms and launches of kernels cost extra, most of all where blocks are small. A dash: does not fit. The last
column is one text of {SHORT_TEXT_TOKENS} tokens alone through all layers, in ms: there, reading the weights is the limit."""


def short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head: list[str], rows: Iterable[list[str]], text_columns: int = 1) -> str:
    rules = "|---" * text_columns + "|---:" * (len(head) - text_columns) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], rules, *lines[1:]])


def depth(shape: Shape, quarter: int) -> int:
    """The layer at that many quarters, halves rounded up."""
    return (2 * quarter * shape.layers + 4) // 8


def by_quarter(shape: Shape, cell: Callable[[int], str]) -> list[str]:
    return [cell(depth(shape, quarter)) for quarter in QUARTERS]


QUARTER_HEADS = [f"{25 * quarter} %" for quarter in QUARTERS]


def models_table() -> str:
    head = ["model", "`model_type`", "L", "D", "N", "K", "H", "I", "vocabulary", "embedding, M", "a block, M", "checkpoint, M"]
    rows = []
    for shape in MODELS.values():
        sizes = (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.head_size, shape.intermediate, shape.vocabulary)
        parameters = (costs.embedding_parameters(shape), costs.block_parameters(shape), costs.checkpoint_parameters(shape))
        rows.append([shape.name, shape.model_type, *(str(size) for size in sizes), *(short(count / 1e6) for count in parameters)])
    return table(head, rows, 2)


def weights_table() -> str:
    head = ["model", "layers at 25, 50, 75, 100 %"] + [f"{dtype} {part}" for dtype in costs.WIDTH for part in QUARTER_HEADS]
    rows = []
    for shape in MODELS.values():
        cells = []
        for dtype in costs.WIDTH:
            cells += by_quarter(shape, lambda layer: short(costs.weight_bytes(shape, layer, dtype) / 1e9))
        rows.append([shape.name, ", ".join(by_quarter(shape, str)), *cells])
    return table(head, rows, 2)


def activations_table() -> str:
    head = ["model", *(f"{dtype}, KB a token" for dtype in costs.WIDTH), *(f"{dtype}, MB a batch" for dtype in costs.WIDTH)]
    rows = []
    for shape in MODELS.values():
        sizes = [costs.activation_bytes_per_token(shape, dtype) for dtype in costs.WIDTH]
        rows.append([shape.name, *(short(size / 1e3) for size in sizes), *(short(BATCH_TOKENS * size / 1e6) for size in sizes)])
    return table(head, rows)


def attention_share(shape: Shape, text_tokens: int) -> str:
    attention = costs.attention_flops_per_token(shape, text_tokens)
    return f"{100 * attention / costs.flops_per_token(shape, 1, text_tokens):.1f} %"


def flops_table() -> str:
    head = ["model", *QUARTER_HEADS, f"attention, T = {TEXT_TOKENS}", f"T = {LONG_TEXT_TOKENS:,}"]
    rows = []
    for shape in MODELS.values():
        cells = by_quarter(shape, lambda layer: short(costs.flops_per_token(shape, layer, TEXT_TOKENS) / 1e9))
        rows.append([shape.name, *cells, attention_share(shape, TEXT_TOKENS), attention_share(shape, LONG_TEXT_TOKENS)])
    return table(head, rows)


def gpus_table() -> str:
    head = ["GPU", "bfloat16, TFLOPS", "float32, TFLOPS", "bandwidth, TB/s", "memory, GB", *(f"{dtype}, tokens" for dtype in costs.WIDTH)]
    rows = []
    for gpu in GPUS:
        figures = (gpu.bfloat16_tflops, gpu.float32_tflops, gpu.terabytes_per_second, gpu.gigabytes)
        turns = [f"{costs.break_even_tokens(gpu, dtype, EFFICIENCY):.0f}" for dtype in costs.WIDTH]
        rows.append([gpu.name, *(f"{figure:g}" for figure in figures), *turns])
    return table(head, rows)


def deepest(shape: Shape, dtype: str, gpu: Gpu) -> int:
    return costs.deepest_layer(shape, dtype, gpu, STREAMS * BATCH_TOKENS, RESERVE_BYTES)


def deepest_cell(shape: Shape, dtype: str, gpu: Gpu) -> str:
    layer = deepest(shape, dtype, gpu)
    return "–" if layer < 0 else f"all {layer}" if layer == shape.layers else f"{layer} of {shape.layers}"


def deepest_table() -> str:
    head = ["model", *(f"{gpu.name}, {dtype}" for gpu in GPUS for dtype in costs.WIDTH)]
    columns = [(gpu, dtype) for gpu in GPUS for dtype in costs.WIDTH]
    return table(head, ([shape.name, *(deepest_cell(shape, dtype, gpu) for gpu, dtype in columns)] for shape in MODELS.values()))


def time_cell(shape: Shape, layer: int, dtype: str, gpu: Gpu, batch_tokens: int, text_tokens: int, reported_tokens: int) -> str:
    """Milliseconds of so many tokens, when they are part of such a batch."""
    if layer > deepest(shape, dtype, gpu):
        return "–"
    seconds = costs.pass_seconds(shape, layer, dtype, gpu, batch_tokens, text_tokens, EFFICIENCY)
    return short(1e3 * seconds * reported_tokens / batch_tokens)


def time_table(gpu: Gpu) -> str:
    head = ["model", *(f"bfloat16 {part}" for part in QUARTER_HEADS), "float32 100 %", "one short text, bfloat16"]
    rows = []
    for shape in MODELS.values():
        layers = [("bfloat16", depth(shape, quarter)) for quarter in QUARTERS] + [("float32", shape.layers)]
        cells = [time_cell(shape, layer, dtype, gpu, BATCH_TOKENS, TEXT_TOKENS, 1000) for dtype, layer in layers]
        one = time_cell(shape, shape.layers, "bfloat16", gpu, SHORT_TEXT_TOKENS, SHORT_TEXT_TOKENS, SHORT_TEXT_TOKENS)
        rows.append([shape.name, *cells, one])
    return table(head, rows)


# --- checked against a measured model --------------------------------------------------------------


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def mebibytes(value: float) -> str:
    return f"{value / MEBIBYTE:,.0f}"


def percent_more(found: float, expected: float) -> str:
    return f"{round(100 * (found / expected - 1), 1) + 0.0:+.1f} %"  # + 0.0: no -0.0


def loads_of(measured: dict, *programs: str) -> list[dict]:
    return [load for load in measured["loads"] if load["program"] in programs]


def weights_check(measured: dict) -> str:
    """Planned bytes of weights against anonymous memory at rest, less that of the process."""
    process = {load["dtype"]: median(load["runs"], "anonymous") for load in loads_of(measured, "process")}
    head = ["dtype", "layers", "planned, MiB", "measured, MiB", "more than planned", "peak while loading, MiB"]
    rows = []
    for load in loads_of(measured, "midlayer"):
        dtype, layers = load["dtype"], load["layers"]
        planned = costs.weight_bytes(MODELS[MEASURED], layers, dtype)
        at_rest, peak = (median(load["runs"], key) - process[dtype] for key in ("anonymous", "peak_anonymous"))
        rows.append([dtype, str(layers), mebibytes(planned), mebibytes(at_rest), percent_more(at_rest, planned), mebibytes(peak)])
    return table(head, rows)


def memory_cells(runs: list[dict]) -> list[str]:
    return [mebibytes(median(runs, key)) for key in ("anonymous", "file", "peak_anonymous", "peak_resident")]


def peer_seconds(runs: list[dict]) -> list[float]:
    """Of import, load, first pass, and all of them."""
    by_run = [[run[stage]["seconds"] for stage in ("import", "load", "first pass")] for run in runs]
    return [statistics.median(stage) for stage in zip(*([*seconds, sum(seconds)] for seconds in by_run))]


def loads_table(measured: dict) -> str:
    head = ["program", "dtype", "layers", "import, s", "load, s", "first pass, s", "all, s",
            "anonymous, MiB", "file pages, MiB", "peak anonymous, MiB", "peak resident, MiB"]  # fmt: skip
    rows = []
    for load in loads_of(measured, "midlayer", "transformers"):
        runs = load["runs"]
        if load["program"] == "midlayer":
            seconds = ["", "", "", f"{median(runs, 'seconds'):.1f}"]
        else:
            seconds = [f"{stage:.1f}" for stage in peer_seconds(runs)]
            runs = [run["first pass"] for run in runs]
        rows.append([load["program"], load["dtype"], str(load["layers"]), *seconds, *memory_cells(runs)])
    return table(head, rows, 2)


def line_through(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: what it is at 0, and its slope."""
    fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return fit.intercept, fit.slope


def passes_table(measured: dict, dtype: str) -> str:
    shape, batch = MODELS[MEASURED], measured["batch"]
    tokens = batch["texts"] * batch["text_tokens"]
    seconds = {one["layer"]: min(run["seconds"] for run in one["runs"]) for one in measured["passes"] if one["dtype"] == dtype}
    at_zero, slope = line_through(list(seconds.items()))
    head = ["layer", "planned, GFLOP", "measured, ms", "GFLOP/s", "part of the time of all layers", "ℓ/L", "off the line, ms"]
    rows, farthest = [], 0.0
    for layer, took in seconds.items():
        off = took - at_zero - slope * layer
        farthest = max(farthest, abs(off))
        gflop = tokens * costs.flops_per_token(shape, layer, batch["text_tokens"]) / 1e9
        rate = f"{gflop / took:.0f}" if layer else "–"
        shares = [f"{took / seconds[shape.layers]:.3f}", f"{layer / shape.layers:.3f}", f"{round(1e3 * off):+d}"]
        rows.append([str(layer), f"{gflop:.0f}", f"{1e3 * took:.0f}", rate, *shares])
    line = (
        f"The line through them: {round(1e3 * at_zero)} ms and {1e3 * slope:.1f} ms a layer; no depth is farther from it than "
        f"{100 * farthest / seconds[shape.layers]:.1f} % of the time of all layers."
    )
    return f"**{dtype}**\n\n{table(head, rows, 0)}\n\n{line}"


def activations_check(measured: dict) -> str:
    """Planned activations against how far passes raised memory."""
    shape, batch = MODELS[MEASURED], measured["batch"]
    tokens = batch["texts"] * batch["text_tokens"]
    names = {"given_back": "given back", "default": "default"}
    layers = measured["rise_layers"]
    head = ["dtype", "planned, MiB", *(f"{label}, layer {layer}, MiB" for label in names.values() for layer in layers)]
    rows = []
    for rises in measured["rises"]:
        planned = tokens * costs.activation_bytes_per_token(shape, rises["dtype"])
        rows.append([rises["dtype"], mebibytes(planned), *(mebibytes(rise) for name in names for rise in rises[name])])
    return table(head, rows)


def peer_facts(measured: dict) -> tuple[str, float]:
    """Versions, and anonymous memory before there is a model."""
    imports = [run["import"] for run in loads_of(measured, "transformers")[0]["runs"]]
    return f"transformers {imports[0]['transformers']} (torch {imports[0]['torch']})", median(imports, "anonymous")


def measured_section(measured: dict) -> str:
    hashing = measured["file_bytes"] / measured["sha256_bytes_per_second"]
    versions, python = peer_facts(measured)
    process = median(loads_of(measured, "process")[0]["runs"], "anonymous")
    batch = measured["batch"]
    tokens = batch["texts"] * batch["text_tokens"]
    return f"""## Checked against a measured model

Random weights in the shape of {MEASURED}: bfloat16, one file of {measured["file_bytes"] / 1e9:.2f} GB, in the page cache. On {measured["processor"]}, cores used:
{measured["threads"]}, no GPU, beside {versions}. Every load in a fresh process; medians, rounds: {measured["rounds"]}.

### Weights

Anonymous memory of midlayer-server when it serves, less that of the same server with a model of 0.1 MB ({mebibytes(process)} MiB).

{weights_check(measured)}

### Load

midlayer: from the start of the process until it serves, which includes a tokenizer, SHA-256 of all that it loads (for fingerprints; {hashing:.1f} s for
the whole file at the rate of Python's hashlib here) and a pass of 8 tokens. transformers: `AutoModel.from_pretrained`, without tokenizer and
hashes, fewer layers by `num_hidden_layers`; then a pass of 8 tokens. Python with its imports has {mebibytes(python)} MiB of anonymous memory before there is a
model.

Where dtype and file agree, transformers reads weights only when they are used, and they stay pages of the file, which the kernel may drop and
processes share; midlayer has its own copy and drops the file's pages. Peak resident counts pages of the file that were there for a moment; peak
anonymous is sampled every 20 ms.

{loads_table(measured)}

### Depth

One batch of {batch["texts"]} texts of {batch["text_tokens"]} tokens through the server; time in the model, from its metrics, the shortest of all
rounds: whatever else the machine does only adds. The plan says: in proportion to ℓ.

{passes_table(measured, "float32")}

{passes_table(measured, "bfloat16")}

### Activations

How far a pass of {tokens:,} tokens raises resident memory. By default jemalloc keeps freed memory for some seconds, in pieces: a rise is then
more than planned, or less where pieces fit. *Given back*: `MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0` in the environment, so that the
memory of a tensor goes when the tensor does.

{activations_check(measured)}"""


# --- the document ----------------------------------------------------------------------------------


def check_shapes() -> None:
    for shape in MODELS.values():
        found = costs.checkpoint_parameters(shape)
        if found != shape.checkpoint_parameters:
            raise SystemExit(f"{shape.name}: expected {shape.checkpoint_parameters} parameters, found {found}")


def planned_sections() -> list[str]:
    times = [f"### {gpu.name}\n\n{time_table(gpu)}" for gpu in GPUS]
    return [
        HEAD,
        f"{MODELS_TEXT}\n\n{models_table()}",
        f"{WEIGHTS_TEXT}\n\n{weights_table()}",
        f"{ACTIVATIONS_TEXT}\n\n{activations_table()}",
        f"{FLOPS_TEXT}\n\n{flops_table()}",
        f"{GPUS_TEXT}\n\n{gpus_table()}",
        f"{DEEPEST_TEXT}\n\n{deepest_table()}",
        "\n\n".join([TIME_TEXT, *times]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, help="figures of load.py")
    args = parser.parse_args()
    check_shapes()
    sections = planned_sections()
    if args.measured:
        sections.append(measured_section(json.loads(args.measured.read_text())))
    print("\n\n".join(sections))


if __name__ == "__main__":
    main()
