#!/usr/bin/env python3
"""The figures of bench/gpu_check.sh: how fast a GPU serves, how much of it is used and what memory it takes.

A model of 0.5 billion parameters with random weights is made in a temporary folder. For every combination of dtype, layer, tokens a batch
and streams a server is started, loaded through its own client for some seconds, and asked for its counters; sentence-transformers, where this
Python has it, encodes the same texts in process, after its vectors were compared. FLOPs of the model (of a token: twice the parameters of the
products up to the layer, and the attention over the whole text) to the published peak of the GPU. Python with torch and numpy; nothing is fetched.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "large_models")]

import costs
from peers.corpus import embed_by_cli
from peers.measure import cosine
from server import Server
from shapes import GPUS, MEASURED, MODELS

LAYERS = MODELS[MEASURED].layers
TEXTS_A_FILE = 40_000
# Words a text, from and below, by the tokens where texts are cut; a word is about two.
WORDS = {128: (4, 120), 512: (400, 401)}
COUNTED = 512  # first texts, whose tokens are counted
LOWEST_COSINE = {"float32": 0.9999, "bfloat16": 0.99, "float16": 0.999}


@dataclass
class Setting:
    dtype: str = "bfloat16"
    max_tokens: int = 128
    layer: int = LAYERS
    batch_tokens: int = 16384
    streams: int = 2
    pure: bool = False


SETTINGS = [
    *(Setting(layer=LAYERS * part // 4) for part in (4, 3, 2, 1)),
    *(Setting(batch_tokens=tokens) for tokens in (1024, 4096, 65536)),
    Setting(streams=1),
    Setting(streams=4),
    Setting(pure=True),
    Setting(max_tokens=512),
    Setting(dtype="float16"),
    Setting(dtype="float32"),
]
PEER_SETTINGS = [Setting(), Setting(max_tokens=512)]
QUICK = [Setting(), Setting(layer=LAYERS // 2), Setting(streams=1), Setting(max_tokens=512)]


class GpuWatch(threading.Thread):
    """Samples utilisation (percent) and memory (MiB) of the first GPU while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        query = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--loop-ms=200"]
        self.process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        for line in self.process.stdout:
            utilisation, memory = line.split(",")
            self.samples.append((float(utilisation), float(memory)))

    def stop(self) -> dict[str, float]:
        self.process.terminate()
        self.join()
        if not self.samples:
            return {}
        utilisation, memory = zip(*self.samples)
        return {"utilisation_percent": statistics.median(utilisation), "memory_mib": max(memory)}


def write_texts(folder: Path) -> dict[int, Path]:
    """Files of texts on a line each, by the tokens where they are cut."""
    source = random.Random(1)
    words = ["".join(source.choices(string.ascii_lowercase, k=3)) for _ in range(1000)]
    files = {}
    for max_tokens, (shortest, below) in WORDS.items():
        texts = (" ".join(source.choices(words, k=source.randrange(shortest, below))) for _ in range(TEXTS_A_FILE))
        files[max_tokens] = folder / f"texts_{max_tokens}.txt"
        files[max_tokens].write_text("\n".join(texts) + "\n")
    return files


def peak_flops(args: argparse.Namespace, dtype: str) -> float | None:
    """Published, of the first GPU, where shapes.py has it."""
    if args.device == "cpu":
        return None
    name = subprocess.run(["nvidia-smi", "--id=0", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True).stdout
    return next((costs.peak_flops(gpu, dtype) for gpu in GPUS if gpu.name.split()[0] in name), None)


def model_flops_utilisation(args: argparse.Namespace, setting: Setting, rate: float, lengths: list[int]) -> dict[str, float]:
    """Of so many tokens a second of texts of these lengths; nothing where the peak is not known."""
    of_a_token = sum(n * costs.flops_per_token(MODELS[MEASURED], setting.layer, n) for n in lengths) / sum(lengths)
    peak = peak_flops(args, setting.dtype)
    return {} if peak is None else {"model_flops_utilisation": rate * of_a_token / peak}


def midlayer_environment(args: argparse.Namespace) -> dict[str, str]:
    return dict(os.environ) | ({"LD_LIBRARY_PATH": args.libraries} if args.libraries else {})


def start(args: argparse.Namespace, model: Path, setting: Setting) -> Server:
    return Server.start(
        args.server,
        ["--model", str(model), "--device", args.device, "--dtype", setting.dtype, "--pure-low-precision", str(setting.pure).lower(),
         "--max-tokens", str(setting.max_tokens), "--batch-tokens", str(setting.batch_tokens), "--streams", str(setting.streams), "--tokenizer-threads", "8",
         "--max-waiting-texts", "16384"],
        midlayer_environment(args),
    )  # fmt: skip


def first_answers(args: argparse.Namespace, server: Server, texts: Path, layer: int) -> list[dict]:
    first = texts.read_text().splitlines()[:COUNTED]
    return embed_by_cli(args.client, server.target, first, layer, texts.parent, midlayer_environment(args))


def measure(args: argparse.Namespace, model: Path, texts: Path, setting: Setting) -> dict:
    """Tokens per second through EmbedStream, from the server's own counters between two moments of a running load."""
    began = time.perf_counter()
    server = start(args, model, setting)
    loaded = time.perf_counter() - began
    lengths = [answer["tokens"] for answer in first_answers(args, server, texts, 0)]
    command = [args.client, "embed", "--target", server.target, "--layer", str(setting.layer), "--input", texts, "--truncate", "right",
               "--dimensions", "8", "--timeout", "0"]  # fmt: skip
    clients = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=midlayer_environment(args)) for _ in range(args.clients)]
    try:
        time.sleep(args.seconds / 4)  # until it is warm
        watch = GpuWatch() if args.device != "cpu" else None
        if watch:
            watch.start()
        before, start_time = server.counters(), time.perf_counter()
        time.sleep(args.seconds)
        if any(client.poll() is not None for client in clients):
            raise SystemExit("a client ended before the measurement did: more texts are needed")
        after, took = server.counters(), time.perf_counter() - start_time
        busy = watch.stop() if watch else {}
    finally:
        for client in clients:
            client.kill()
            client.wait()
        server.stop()
    rate = (after["midlayer_tokens_total"] - before["midlayer_tokens_total"]) / took
    used = model_flops_utilisation(args, setting, rate, lengths)
    return {"contestant": "midlayer", **asdict(setting), "start_seconds": loaded, "tokens_per_second": rate, **used, **busy}


def measure_peer(args: argparse.Namespace, model: Path, texts: Path, setting: Setting) -> dict:
    """sentence-transformers at its best batch, all layers, and whether it gives midlayer's vectors."""
    best: dict = {"tokens_per_second": 0.0}
    for batch in args.peer_batches:
        command = [sys.executable, HERE / "gpu_peer.py", model, texts, setting.dtype, args.device, str(setting.max_tokens), str(batch), str(args.seconds)]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        best = max(best, done | {"batch_texts": batch}, key=lambda result: result["tokens_per_second"])
    server = start(args, model, setting)
    try:
        ours = first_answers(args, server, texts, LAYERS)
    finally:
        server.stop()
    lowest = min(cosine(a["embedding"], b) for a, b in zip(ours, best.pop("vectors"), strict=False))
    if lowest < LOWEST_COSINE[setting.dtype]:
        raise SystemExit(f"sentence-transformers gives other vectors: lowest cosine {lowest:.4f}, expected {LOWEST_COSINE[setting.dtype]}")
    used = model_flops_utilisation(args, setting, best["tokens_per_second"], [answer["tokens"] for answer in ours])
    return {"contestant": "sentence-transformers", **asdict(setting), **best, "lowest_cosine": lowest, **used}


def row(measured: dict) -> str:
    def number(key: str, form: str, factor: float = 1) -> str:
        return format(factor * measured[key], form) if key in measured else ""

    batch = f"{measured['batch_texts']} texts" if "batch_texts" in measured else f"{measured['batch_tokens']} tokens"
    cells = [measured["contestant"], measured["dtype"] + (" pure" if measured["pure"] else ""), measured["layer"], measured["max_tokens"], batch,
             "" if "batch_texts" in measured else measured["streams"], number("start_seconds", ".1f"), number("tokens_per_second", ",.0f"), number("model_flops_utilisation", ".0f", 100),
             number("utilisation_percent", ".0f"), number("memory_mib", ",.0f")]  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def ratios(measured: list[dict]) -> list[str]:
    """Midlayer to sentence-transformers, where both did the same."""
    lines = []
    for peer in (one for one in measured if one["contestant"] != "midlayer"):
        same = [one for one in measured if one["contestant"] == "midlayer" and all(one[key] == peer[key] for key in asdict(Setting()))]
        ratio = same[0]["tokens_per_second"] / peer["tokens_per_second"]
        lines.append(
            f"{peer['dtype']}, texts cut at {peer['max_tokens']} tokens: {ratio:.2f} times sentence-transformers, lowest cosine {peer['lowest_cosine']:.4f}."
        )
    return lines


class Report:
    """Prints and writes what has been measured so far."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._results = args.results
        self._measured: list[dict] = []
        self._lines = [f"{MEASURED}, random weights, on {args.device}.", "",
                       "| contestant | dtype | layer | texts cut at, tokens | a batch | streams | start, s | tokens/s | model FLOPs, % of the peak "
                       "| GPU busy, % | memory, MiB |", "|---|---|" + "---:|" * 9]  # fmt: skip
        print("\n".join(self._lines), flush=True)

    def add(self, measured: dict) -> None:
        self._measured.append(measured)
        self._say(row(measured))

    def end(self, has_peer: bool) -> None:
        self._say("")
        for line in ratios(self._measured) if has_peer else ["sentence-transformers is left out: this Python does not have it."]:
            self._say(line)

    def _say(self, line: str) -> None:
        print(line, flush=True)
        self._lines.append(line)
        (self._results / "gpu_check.json").write_text(json.dumps(self._measured, indent=1))
        (self._results / "gpu_check.md").write_text("\n".join(self._lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--client", type=Path, required=True)
    parser.add_argument("--libraries", default="", help="LD_LIBRARY_PATH of server and client, not of this Python")
    parser.add_argument("--results", type=Path, required=True, help="folder for gpu_check.json and gpu_check.md")
    parser.add_argument("--device", default="cuda", help="cpu: tries this script out where there is no GPU")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--peer-batches", type=int, nargs="+", default=[32, 128, 512], help="texts; the best counts (default 32 128 512)")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    has_peer = importlib.util.find_spec("sentence_transformers") is not None

    report = Report(args)
    with tempfile.TemporaryDirectory() as folder:
        model, texts = Path(folder) / "model", write_texts(Path(folder))
        subprocess.run([sys.executable, HERE / "large_models/random_model.py", model], check=True)
        for setting in QUICK if args.quick else SETTINGS:
            report.add(measure(args, model, texts[setting.max_tokens], setting))
        for setting in PEER_SETTINGS if has_peer else []:  # last: where a batch does not fit, the rest has been written
            report.add(measure_peer(args, model, texts[setting.max_tokens], setting))
    report.end(has_peer)


if __name__ == "__main__":
    main()
