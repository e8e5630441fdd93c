#!/usr/bin/env python3
"""Checks the plan of plan.py against a model of 0.5 billion parameters, random weights, on the CPU.

    tools/setup.sh --bench
    bench/large_models/load.py --folder DIR --json large.json
    bench/large_models/plan.py --measured large.json > docs/large_models.md

Takes about 4 minutes, 4 GB of memory and 1 GB in DIR, where the model is made and kept. Measured in fresh processes, contestants
alternating: midlayer-server from its start until it serves, at three depths, and transformers' from_pretrained, with the memory
of both; then passes of 1,024 tokens through the server at five depths. The file of the weights is in the page cache throughout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from plan import measured_section
from server import Server
from shapes import MEASURED, MODELS

LAYERS = MODELS[MEASURED].layers
DTYPES = ("float32", "bfloat16")
LOAD_LAYERS = (0, LAYERS // 2, LAYERS)
PASS_LAYERS = tuple(LAYERS * part // 4 for part in range(5))
RISE_LAYERS = (LAYERS // 4, LAYERS)
TEXTS, TEXT_TOKENS = 8, 128  # one batch of the server
TINY_MODEL = ROOT / "tests/golden/models/qwen2"  # 0.1 MB of weights: what is left is the process
GIVEN_BACK = {"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}  # jemalloc keeps nothing of what is freed
SAMPLE_SECONDS = 0.02
MEMORY = {"VmHWM": "peak_resident", "VmRSS": "resident", "RssAnon": "anonymous", "RssFile": "file"}


def memory_of(pid: int) -> dict[str, int]:
    """Bytes, by the names of MEMORY; nothing once the process has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {MEMORY[name]: 1024 * int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", status, re.M) if name in MEMORY}


@contextmanager
def anonymous_peak(pid: int) -> Iterator[list[int]]:
    """A list that holds the largest anonymous memory seen so far; the kernel keeps a peak of the resident memory only."""
    peak, stop = [0], threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], memory_of(pid).get("anonymous", 0))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def snapshot(pid: int, peak: list[int]) -> dict[str, int]:
    now = memory_of(pid)
    return now | {"peak_anonymous": max(peak[0], now["anonymous"])}


def load_server(args: argparse.Namespace, model: Path, dtype: str, layers: int) -> dict:
    """Starts midlayer-server; seconds until it serves, and its memory then."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [args.server, "--model", model, "--max-layer", str(layers), "--dtype", dtype, "--device", "cpu", "--threads", str(args.threads),
         "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--selection-store", "memory"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with anonymous_peak(process.pid) as peak:
            if not any(line.startswith("  grpc ") for line in process.stdout):
                raise SystemExit(f"{args.server} did not serve {model}")
            return {"seconds": time.perf_counter() - start, **snapshot(process.pid, peak)}
    finally:
        process.terminate()
        process.communicate()


def load_peer(args: argparse.Namespace, dtype: str, layers: int) -> dict:
    """from_pretrained in a fresh Python; seconds of each stage, and its memory after the first pass."""
    process = subprocess.Popen(
        [args.python, HERE / "peer.py", args.folder, dtype, str(layers), str(args.threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    try:
        stages = {}
        with anonymous_peak(process.pid) as peak:
            for line in process.stdout:
                stage = json.loads(line)
                stages[stage.pop("stage")] = stage | snapshot(process.pid, peak)
                if "first pass" in stages:
                    return stages
                process.stdin.write("\n")
        raise SystemExit("transformers did not load the model")
    finally:
        process.kill()
        process.communicate()


def measure_loads(args: argparse.Namespace) -> list[dict]:
    """Every combination once a round."""
    tiny = [{"program": "process", "dtype": dtype, "layers": 0} for dtype in DTYPES]
    servers = [{"program": "midlayer", "dtype": dtype, "layers": layers} for dtype in DTYPES for layers in LOAD_LAYERS]
    peers = [{"program": "transformers", "dtype": dtype, "layers": layers} for dtype in DTYPES for layers in LOAD_LAYERS[1:]]
    loads = [load | {"runs": []} for load in tiny + servers + peers]
    for number in range(args.rounds):
        for load in loads:
            program, dtype, layers = load["program"], load["dtype"], load["layers"]
            print(f"load, round {number + 1}: {program}, {dtype}, {layers} layers", file=sys.stderr)
            if program == "transformers":
                load["runs"].append(load_peer(args, dtype, layers))
            else:
                load["runs"].append(load_server(args, TINY_MODEL if program == "process" else args.folder, dtype, layers))
    return loads


def write_texts(file: Path) -> None:
    """Each of more than TEXT_TOKENS tokens; the server cuts them."""
    source = random.Random(1)
    words = ["".join(source.choices(string.ascii_lowercase, k=6)) for _ in range(TEXTS * TEXT_TOKENS)]
    file.write_text("".join(" ".join(words[text::TEXTS]) + "\n" for text in range(TEXTS)))


@contextmanager
def serving(args: argparse.Namespace, dtype: str) -> Iterator[tuple[Server, Path]]:
    """A server of the whole model, and a file with the texts of one batch."""
    server = Server.start(
        args.server,
        ["--model", str(args.folder), "--dtype", dtype, "--device", "cpu", "--threads", str(args.threads),
         "--max-tokens", str(TEXT_TOKENS), "--batch-tokens", str(TEXTS * TEXT_TOKENS)],
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as folder:
            texts = Path(folder) / "texts.txt"
            write_texts(texts)
            yield server, texts
    finally:
        server.stop()


def run_pass(args: argparse.Namespace, server: Server, texts: Path, layer: int) -> dict:
    """One batch through the server: seconds in the model, and how far resident memory rose."""
    pid = server.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the kernel's peak starts again from here
    rest, before = memory_of(pid), server.counters()
    subprocess.run(
        [args.client, "embed", "--target", server.target, "--layer", str(layer), "--input", texts, "--batch", str(TEXTS),
         "--truncate", "right", "--timeout", "0"],
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    after, peak = server.counters(), memory_of(pid)["peak_resident"]
    tokens = after["midlayer_tokens_total"] - before["midlayer_tokens_total"]
    if tokens != TEXTS * TEXT_TOKENS:
        raise SystemExit(f"expected {TEXTS * TEXT_TOKENS} tokens, computed {tokens:.0f}")
    forward = 'midlayer_stage_duration_seconds_sum{stage="forward"}'
    return {"seconds": after[forward] - before[forward], "rise": peak - rest["resident"]}


def measure_passes(args: argparse.Namespace, dtype: str) -> list[dict]:
    """Every depth once a round, after a pass that is not counted."""
    passes = [{"dtype": dtype, "layer": layer, "runs": []} for layer in PASS_LAYERS]
    with serving(args, dtype) as (server, texts):
        run_pass(args, server, texts, LAYERS)
        for number in range(args.rounds):
            for one in passes:
                print(f"pass, round {number + 1}: {dtype}, layer {one['layer']}", file=sys.stderr)
                one["runs"].append(run_pass(args, server, texts, one["layer"]))
    return passes


def measure_rises(args: argparse.Namespace, dtype: str) -> dict:
    """How far passes raise memory where malloc keeps none of it, and where it does; after a pass that sets the process up."""
    rises: dict = {"dtype": dtype}
    for name, variables in (("given_back", GIVEN_BACK), ("default", {})):
        with patch.dict(os.environ, variables), serving(args, dtype) as (server, texts):
            print(f"memory of passes: {dtype}, {name}", file=sys.stderr)
            run_pass(args, server, texts, 0)
            rises[name] = [run_pass(args, server, texts, layer)["rise"] for layer in RISE_LAYERS]
    return rises


def sha256_bytes_per_second(file: Path) -> float:
    """Of the same library that the server hashes with; reads the whole file into the page cache too."""
    with file.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
        stream.seek(0)
        start = time.perf_counter()
        hashlib.file_digest(stream, "sha256")
        return stream.tell() / (time.perf_counter() - start)


def processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the model is, or is made where there is none")
    parser.add_argument("--json", type=Path, required=True, help="write all figures here")
    parser.add_argument("--server", type=Path, default=ROOT / "build/release/midlayer-server")
    parser.add_argument("--client", type=Path, default=ROOT / "build/release/midlayer")
    parser.add_argument("--python", type=Path, default=ROOT / ".deps/bench-venv/bin/python", help="a Python with transformers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both contestants (default: all cores)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    weights = args.folder / "model.safetensors"
    if not weights.exists():
        subprocess.run([args.python, HERE / "random_model.py", args.folder], check=True)
    measured = {
        "processor": processor(),
        "threads": args.threads,
        "rounds": args.rounds,
        "batch": {"texts": TEXTS, "text_tokens": TEXT_TOKENS},
        "file_bytes": weights.stat().st_size,
        "sha256_bytes_per_second": sha256_bytes_per_second(weights),
        "loads": measure_loads(args),
        "passes": [one for dtype in DTYPES for one in measure_passes(args, dtype)],
        "rise_layers": RISE_LAYERS,
        "rises": [measure_rises(args, dtype) for dtype in DTYPES],
    }
    args.json.write_text(json.dumps(measured, indent=1))
    print(measured_section(measured))


if __name__ == "__main__":
    main()
