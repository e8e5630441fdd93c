#!/usr/bin/env python3
"""Measures midlayer-server by layer and number of clients, beside sentence-transformers in the same run.

    tools/setup.sh --bench
    bench/embed.py --texts texts.jsonl [more.jsonl …]

Texts are JSON Lines with a field "text". One text a request, closed loop, through gRPC on this machine, load by ghz.
Figures of one run belong together: compare ratios, not runs. Every combination is measured once a round, rounds alternate
between the contestants, and medians over the rounds are printed. What the server computed is read from its own /metrics: tokens,
and seconds in the model, so that the cost of a layer is known apart from transport and load generator.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHOD = "midlayer.v1.EmbeddingService/Embed"
TRUNCATE_RIGHT = 3

PEER = """
import json, sys, time
import torch
from sentence_transformers import SentenceTransformer
model_dir, seconds, threads, max_tokens = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
texts = json.load(sys.stdin)
torch.set_num_threads(threads)
model = SentenceTransformer(model_dir, device="cpu")
model.max_seq_length = max_tokens
tokens = [min(len(i), max_tokens) for i in model.tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]]
model.encode(texts[:8])
results = {}
for name, size in (("one at a time", 1), ("batches of 32", 32)):
    done = times = 0
    latencies = []
    start = time.perf_counter()
    at = 0
    while time.perf_counter() - start < seconds:
        part = range(at, min(at + size * (8 if size > 1 else 1), len(texts)))
        at = part.stop % len(texts)
        before = time.perf_counter()
        model.encode([texts[i] for i in part], batch_size=size, show_progress_bar=False)
        latencies.append(time.perf_counter() - before)
        done += sum(tokens[i] for i in part)
        times += len(part)
    took = time.perf_counter() - start
    latencies.sort()
    results[name] = {"requests_per_second": times / took, "tokens_per_second": done / took,
                     "p50_ms": latencies[len(latencies) // 2] * 1e3, "p99_ms": latencies[int(len(latencies) * .99)] * 1e3}
json.dump(results, sys.stdout)
"""


@dataclass
class Server:
    process: subprocess.Popen
    target: str
    metrics_url: str

    @staticmethod
    def start(binary: Path, arguments: list[str]) -> Server:
        process = subprocess.Popen(
            [binary, "--selection-store", "memory", *arguments, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        block = ""
        assert process.stdout
        for line in process.stdout:
            block += line
            if found := re.search(r"  metrics +(\S+)", line):
                return Server(process, re.search(r"  grpc +(\S+)", block).group(1), found.group(1))
        raise SystemExit(f"the server did not start:\n{block}")

    def counters(self) -> dict[str, float]:
        """Sums of the series that are needed, by name and, for layers, label."""
        text = urllib.request.urlopen(self.metrics_url).read().decode()
        wanted = r'^(midlayer_tokens_total|midlayer_stage_duration_seconds_sum\{stage="(?:forward|pool)"\}) (\S+)$'
        return {name: float(value) for name, value in re.findall(wanted, text, re.M)}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def read_texts(files: list[Path], count: int) -> list[str]:
    texts = [json.loads(line)["text"] for file in files for line in file.read_text().splitlines()]
    texts = [text for text in texts if text.strip()]
    random.Random(1).shuffle(texts)
    return texts[:count]


def run_load(ghz: str, server: Server, data: Path, clients: int, seconds: float) -> dict[str, float]:
    before = server.counters()
    out = subprocess.run(
        [ghz, "--insecure", "--call", METHOD, "-D", data, "-c", str(clients), "--connections", str(min(clients, 8)),
         "-z", f"{seconds}s", "--duration-stop", "wait", "-n", "0", "--format", "json", server.target],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = server.counters()
    report = json.loads(out.stdout)
    if set(report["statusCodeDistribution"]) != {"OK"}:
        raise SystemExit(f"requests failed: {report['statusCodeDistribution']} {report.get('errorDistribution')}")
    took = report["total"] / 1e9
    delta = {name: after[name] - before.get(name, 0) for name in after}
    tokens = delta["midlayer_tokens_total"]
    percentile = {p["percentage"]: p["latency"] / 1e6 for p in report["latencyDistribution"]}
    return {
        "requests_per_second": report["count"] / took,
        "tokens_per_second": tokens / took,
        "p50_ms": percentile[50],
        "p99_ms": percentile[99],
        "forward_us_per_token": 1e6 * delta['midlayer_stage_duration_seconds_sum{stage="forward"}'] / tokens,
        "pool_us_per_token": 1e6 * delta['midlayer_stage_duration_seconds_sum{stage="pool"}'] / tokens,
    }


def run_peer(python: str, model: Path, texts: list[str], seconds: float, threads: int, max_tokens: int) -> dict[str, dict]:
    out = subprocess.run(
        [python, "-c", PEER, model, str(seconds), str(threads), str(max_tokens)],
        input=json.dumps(texts), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if out.returncode:
        raise SystemExit(f"sentence-transformers failed:\n{out.stderr}")
    return json.loads(out.stdout)


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def print_table(results: dict[str, dict[str, float]]) -> None:
    print(f"\n| {'what':<34} | requests/s | tokens/s | p50 ms | p99 ms |\n|{'-' * 36}|---:|---:|---:|---:|")
    for name, r in results.items():
        print(f"| {name:<34} | {r['requests_per_second']:.0f} | {r['tokens_per_second']:.0f} | {r['p50_ms']:.1f} | {r['p99_ms']:.1f} |")


def print_costs(costs: dict[int, float], layers: int) -> None:
    """Cost of a token at layer ℓ against the embedding step plus ℓ/L of the blocks' cost."""
    print("\n| layer | µs a token in the model | expected from ℓ/L | ratio |\n|---:|---:|---:|---:|")
    for layer, cost in sorted(costs.items()):
        expected = costs[0] + (costs[layers] - costs[0]) * layer / layers
        print(f"| {layer} | {cost:.1f} | {expected:.1f} | {cost / expected:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="JSON Lines files with a field text")
    parser.add_argument("--count", type=int, default=2048, help="texts drawn from them, seeded (default 2048)")
    parser.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2")
    parser.add_argument("--server", type=Path, default=ROOT / "build/release/midlayer-server")
    parser.add_argument("--server-flags", default="", help="more flags of midlayer-server, as one string")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--layers", type=int, nargs="+", help="default: all from 0")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ghz", default=str(ROOT / ".deps/bin/ghz"))
    parser.add_argument("--peer-python", default=str(ROOT / ".deps/bench-venv/bin/python"), help="a Python with sentence-transformers; empty: no peer")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()

    config = json.loads((args.model / "config.json").read_text())
    depth = config.get("num_hidden_layers", config.get("n_layers"))
    layers = args.layers if args.layers is not None else list(range(depth + 1))
    texts = read_texts(args.texts, args.count)
    server = Server.start(args.server, ["--model", str(args.model), *args.server_flags.split()])
    max_tokens = 256
    runs: dict[str, list[dict[str, float]]] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for round_number in range(args.rounds):
                for clients in args.clients:
                    for layer in layers:
                        data = Path(folder) / f"{layer}.json"
                        data.write_text(json.dumps([{"texts": [t], "layer": layer, "truncate": TRUNCATE_RIGHT} for t in texts]))
                        result = run_load(args.ghz, server, data, clients, args.seconds)
                        runs.setdefault(f"layer {layer}, {clients} clients", []).append(result)
                        print(f"round {round_number + 1}: layer {layer}, {clients} clients: {result['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
                if args.peer_python:
                    for name, result in run_peer(args.peer_python, args.model, texts, args.seconds, os.cpu_count() or 1, max_tokens).items():
                        runs.setdefault(f"sentence-transformers, {name}", []).append(result)
                        print(f"round {round_number + 1}: sentence-transformers, {name}: {result['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
    finally:
        server.stop()
    medians = {name: median_of(results) for name, results in runs.items()}
    print_table(medians)
    busiest = max(args.clients)
    costs = {layer: medians[f"layer {layer}, {busiest} clients"]["forward_us_per_token"] for layer in layers}
    if {0, depth} <= set(costs):
        print_costs(costs, depth)
    if args.json:
        args.json.write_text(json.dumps({"medians": medians, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
