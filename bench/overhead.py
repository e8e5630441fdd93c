#!/usr/bin/env python3
"""What telemetry, tokens and TLS cost a server under load, and whether midlayer bench and ghz measure the same.

    tools/setup.sh --bench
    bench/overhead.py

Servers with different flags stand side by side, and each in turn gets the load for a few seconds while the others idle: one round. Figures
are ratios to the plain server within a round, so that whatever else the machine does meets all alike: median and quartiles over the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

from server import METHOD, ROOT, Server

WORDS = "the river of a quiet market and seven letters to old in paper house with light city for north number".split()
TOKEN = "0123456789abcdefghijklmnopqrstuv"
CLI = "build/release/midlayer"


def certificate(folder: Path) -> list[str]:
    """Flags of a server with a certificate of its own for 127.0.0.1."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]


class Scraper:
    """A Prometheus that asks once a second, as no real one does: they ask every 15 to 60."""

    def __init__(self, url: str) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()

    def _run(self, url: str) -> None:
        while not self._end.wait(1):
            urllib.request.urlopen(url).read()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


def bench(target: str, texts: Path, args: argparse.Namespace, *flags: str) -> dict[str, float]:
    command = [ROOT / CLI, "bench", "--target", target, "--layer", str(args.layer), "--concurrency", str(args.clients), "--input", texts, "--warmup", "0.5",
               "--duration", str(args.seconds), "--connections", str(min(args.clients, 8)), "--output", "json", *flags]  # fmt: skip
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(out.stdout)["all"]
    percentiles = result["latency_seconds"]["percentiles"]
    return {"requests_per_second": result["requests_per_second"], "p50_ms": percentiles["p50"] * 1e3, "p99_ms": percentiles["p99"] * 1e3}


def ghz(target: str, data: Path, args: argparse.Namespace) -> dict[str, float]:
    out = subprocess.run(
        [args.ghz, "--insecure", "--call", METHOD, "-D", data, "-c", str(args.clients), "--connections", str(min(args.clients, 8)),
         "-z", f"{args.seconds}s", "--duration-stop", "wait", "-n", "0", "--format", "json", target],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads(out.stdout)
    percentile = {p["percentage"]: p["latency"] / 1e6 for p in report["latencyDistribution"]}
    return {"requests_per_second": report["count"] / (report["total"] / 1e9), "p50_ms": percentile[50], "p99_ms": percentile[99]}


def print_table(rounds: list[dict[str, dict[str, float]]]) -> None:
    print("\n| against the plain server | requests/s | p50 | p99 |\n|---|---:|---:|---:|")
    for name in rounds[0]:
        cells = []
        for key in ("requests_per_second", "p50_ms", "p99_ms"):
            if name == "plain":
                cells.append(f"{statistics.median(r[name][key] for r in rounds):.1f}{'' if key[0] == 'r' else ' ms'}")
                continue
            low, middle, high = statistics.quantiles([r[name][key] / r["plain"][key] for r in rounds], n=4)
            cells.append(f"{middle:.3f} ({low:.3f}–{high:.3f})")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2")
    parser.add_argument("--layer", type=int, default=-1, help="default: the last")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--ghz", default=str(ROOT / ".deps/bin/ghz"))
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw = random.Random(1)
        texts = [" ".join(draw.choices(WORDS, k=16)) for _ in range(512)]
        (folder / "texts").write_text("\n".join(texts))
        (folder / "data.json").write_text(json.dumps([{"texts": [text], "layer": args.layer} for text in texts]))
        (folder / "tokens").write_text(f"bench {TOKEN}\n")
        (folder / "token").write_text(TOKEN)
        tls, tokens = certificate(folder), ["--token-file", str(folder / "tokens")]
        show_token, show_ca = ["--bearer-token-file", str(folder / "token")], ["--tls-ca", str(folder / "cert.pem")]
        # Name: flags of the server, flags of the client, whether it is scraped.
        variants = {"plain": ([], [], False), "plain again": ([], [], False), "scraped every second": ([], [], True), "tokens": (tokens, show_token, False),
                    "TLS": (tls, show_ca, False), "TLS, tokens, scraped": (tls + tokens, show_ca + show_token, True)}  # fmt: skip
        servers = {name: Server.start(ROOT / "build/release/midlayer-server", ["--model", str(args.model), *v[0]]) for name, v in variants.items()}
        rounds: list[dict[str, dict[str, float]]] = []
        try:
            for number in range(args.rounds):
                results: dict[str, dict[str, float]] = {}
                order = [*variants, "plain, by ghz"]
                draw.shuffle(order)
                for name in order:
                    if name == "plain, by ghz":
                        results[name] = ghz(servers["plain"].target, folder / "data.json", args)
                        continue
                    scraper = Scraper(servers[name].metrics_url) if variants[name][2] else None
                    results[name] = bench(servers[name].target, folder / "texts", args, *variants[name][1])
                    if scraper:
                        scraper.stop()
                rounds.append({name: results[name] for name in [*variants, "plain, by ghz"]})
                print(f"round {number + 1}: " + ", ".join(f"{name} {r['requests_per_second']:.1f}" for name, r in rounds[-1].items()), flush=True)
        finally:
            for server in servers.values():
                server.stop()
        print_table(rounds)


if __name__ == "__main__":
    main()
