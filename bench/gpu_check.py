#!/usr/bin/env python3
"""The figures of bench/gpu_check.sh: how fast a GPU serves, how busy it is and what memory it takes.

A model of 0.5 billion parameters with random weights is made in a temporary folder. For every combination of dtype, layer, tokens a batch
and streams a server is started, loaded through its own client for some seconds, and asked for its counters. Python with torch and
numpy; nothing is fetched.
"""

from __future__ import annotations

import argparse
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

from server import Server
from shapes import MEASURED, MODELS

LAYERS = MODELS[MEASURED].layers
TEXT_WORDS = 60  # about 128 tokens, where the tokenizer cuts
TEXTS_A_FILE = 40_000


@dataclass
class Setting:
    dtype: str = "bfloat16"
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
    Setting(dtype="float16"),
    Setting(dtype="float32"),
]
QUICK = [Setting(), Setting(layer=LAYERS // 2), Setting(streams=1)]


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


def write_texts(file: Path) -> None:
    source = random.Random(1)
    words = ["".join(source.choices(string.ascii_lowercase, k=3)) for _ in range(1000)]
    with file.open("w") as stream:
        for _ in range(TEXTS_A_FILE):
            stream.write(" ".join(source.choices(words, k=source.randrange(4, 2 * TEXT_WORDS))) + "\n")


def start(args: argparse.Namespace, model: Path, setting: Setting) -> Server:
    return Server.start(
        args.server,
        ["--model", str(model), "--device", args.device, "--dtype", setting.dtype, "--pure-low-precision", str(setting.pure).lower(),
         "--batch-tokens", str(setting.batch_tokens), "--streams", str(setting.streams), "--tokenizer-threads", "8",
         "--max-waiting-texts", "16384"],
    )  # fmt: skip


def measure(args: argparse.Namespace, model: Path, texts: Path, setting: Setting) -> dict:
    """Tokens per second through EmbedStream, from the server's own counters between two moments of a running load."""
    began = time.perf_counter()
    server = start(args, model, setting)
    loaded = time.perf_counter() - began
    command = [args.client, "embed", "--target", server.target, "--layer", str(setting.layer), "--input", texts, "--truncate", "right",
               "--dimensions", "8", "--timeout", "0"]  # fmt: skip
    clients = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(args.clients)]
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
    tokens = after["midlayer_tokens_total"] - before["midlayer_tokens_total"]
    return {**asdict(setting), "start_seconds": loaded, "tokens_per_second": tokens / took, **busy}


def row(measured: dict) -> str:
    cells = [measured["dtype"] + (" pure" if measured["pure"] else ""), measured["layer"], measured["batch_tokens"], measured["streams"],
             f"{measured['start_seconds']:.1f}", f"{measured['tokens_per_second']:,.0f}",
             f"{measured.get('utilisation_percent', float('nan')):.0f}", f"{measured.get('memory_mib', float('nan')):,.0f}"]  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--client", type=Path, required=True)
    parser.add_argument("--libraries", default="", help="LD_LIBRARY_PATH of server and client, not of this Python")
    parser.add_argument("--results", type=Path, required=True, help="folder for gpu_check.json and gpu_check.md")
    parser.add_argument("--device", default="cuda", help="cpu: tries this script out where there is no GPU")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()

    lines = [f"{MEASURED}, random weights, on {args.device}; texts of 4 to 128 tokens.", "",
             "| dtype | layer | tokens a batch | streams | start, s | tokens/s | GPU busy, % | memory, MiB |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    print("\n".join(lines), flush=True)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        model, texts = Path(folder) / "model", Path(folder) / "texts.txt"
        subprocess.run([sys.executable, HERE / "large_models/random_model.py", model], check=True)
        write_texts(texts)
        if args.libraries:
            os.environ["LD_LIBRARY_PATH"] = args.libraries
        for setting in QUICK if args.quick else SETTINGS:
            measured.append(measure(args, model, texts, setting))
            lines.append(row(measured[-1]))
            print(lines[-1], flush=True)
            (args.results / "gpu_check.json").write_text(json.dumps(measured, indent=1))
            (args.results / "gpu_check.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
