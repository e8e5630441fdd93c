#!/usr/bin/env python3
"""What a server does under more load than it can serve: goodput, how long accepted requests take, and how soon the others are refused.

    tools/setup.sh --bench
    bench/overload.py

A closed loop finds the peak; then open loops ask for a multiple of it, each beside a closed loop in the same round, so that whatever else the machine does meets both.
The load generator runs on the same processors, or with --apart on the other half of them, as if it were elsewhere. What each takes is told: processor time of the server for an
answer, and the load generator's part of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
from pathlib import Path

from server import ROOT, Server

WARMUP_SECONDS = 1


def bench(target: str, args: argparse.Namespace, *flags: str) -> dict:
    command = [args.binaries / "midlayer", "bench", "--target", target, "--layer", str(args.layer), "--words", str(args.words), "--connections", "8", "--warmup", str(WARMUP_SECONDS),
               "--duration", str(args.seconds), "--output", "json", *flags]  # fmt: skip
    out = subprocess.run(command, capture_output=True, text=True)
    if not out.stdout:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)


def measure(server: Server, args: argparse.Namespace, *flags: str) -> dict:
    """What `midlayer bench` tells, and beside it `rate`, answered requests of those that began within a second of its time: its own rate takes the time to the last
    answer, in which fewer and fewer are under way. And the processor time it took, warm-up included: the server's for an answer, its own as a part of the machine."""
    before, own = server.counters()["process_cpu_seconds_total"], resource.getrusage(resource.RUSAGE_CHILDREN)
    result = bench(server.target, args, *flags)
    after, own_after = server.counters()["process_cpu_seconds_total"], resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = args.seconds + WARMUP_SECONDS
    result["rate"] = result["all"]["requests"] / args.seconds
    result["server_ms_per_answer"] = 1e3 * (after - before) / (result["rate"] * seconds)
    result["generator"] = (own_after.ru_utime + own_after.ru_stime - own.ru_utime - own.ru_stime) / (seconds * os.cpu_count())
    return result


def refused(result: dict) -> dict:
    unexpected = result["failures"].keys() - {"RESOURCE_EXHAUSTED"}
    if unexpected or result["not_sent"]:
        raise SystemExit(f"expected answers and refusals only, found {result['failures']}, {result['not_sent']} not sent")
    return result["failures"].get("RESOURCE_EXHAUSTED", {"count": 0, "latency_seconds": {"percentiles": {"p50": 0, "p99": 0}, "max": 0}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2")
    parser.add_argument("--binaries", type=Path, default=ROOT / "build/release")
    parser.add_argument("--layer", type=int, default=-1, help="default: the last")
    parser.add_argument("--words", type=int, default=64, help="of a text (default 64)")
    parser.add_argument("--waiting", type=int, default=64, help="--max-waiting-texts of the server (default 64)")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32, help="of the closed loop (default 32)")
    parser.add_argument("--apart", action="store_true", help="the server on half of the processors, the load generator on the others")
    parser.add_argument("--times", type=float, nargs="+", default=[1.5, 3], help="loads, as multiples of the peak (default 1.5 3)")
    args = parser.parse_args()

    processors = served = sorted(os.sched_getaffinity(0))
    if args.apart:
        if len(processors) < 2:
            parser.error("--apart: expected two processors or more, found one")
        half = len(processors) // 2
        served, processors = processors[:half], processors[half:]
    os.sched_setaffinity(0, served)  # which the server inherits
    server = Server.start(args.binaries / "midlayer-server", ["--model", str(args.model), "--max-waiting-texts", str(args.waiting)])
    os.sched_setaffinity(0, processors)
    rows: dict[float, list[dict[str, float]]] = {times: [] for times in args.times}
    try:
        for _ in range(args.rounds):
            for times in args.times:
                closed = measure(server, args, "--concurrency", str(args.concurrency))
                peak = closed["rate"]
                result = measure(server, args, "--rate", str(times * peak), "--concurrency", str(args.waiting + 64))
                no, yes = refused(result), result["all"]
                rows[times].append({
                    "peak": peak, "goodput": result["rate"] / peak, "bound_ms": 1e3 * args.waiting / result["rate"],
                    "p50_ms": 1e3 * yes["latency_seconds"]["percentiles"]["p50"], "p99_ms": 1e3 * yes["latency_seconds"]["percentiles"]["p99"],
                    "refused_share": no["count"] / (no["count"] + yes["requests"]), "refused_p50_ms": 1e3 * no["latency_seconds"]["percentiles"]["p50"],
                    "refused_p99_ms": 1e3 * no["latency_seconds"]["percentiles"]["p99"],
                    "peak_server_ms": closed["server_ms_per_answer"], "server_ms": result["server_ms_per_answer"],
                    "peak_generator": closed["generator"], "generator": result["generator"]})  # fmt: skip
                print(f"{times} x {peak:.0f}/s: " + ", ".join(f"{name} {value:.3g}" for name, value in rows[times][-1].items()), flush=True)
    finally:
        server.stop()
    print(
        "\n| load | goodput to peak | accepted p50 / p99, ms | queue limit / goodput, ms | refused | refused in p50 / p99, ms "
        "| server's processor ms an answer: peak, load | load generator's part: peak, load |\n|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for times, rounds in rows.items():
        m = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        print(f"| {times:g} x {m['peak']:.0f}/s | {100 * m['goodput']:.0f} % | {m['p50_ms']:.0f} / {m['p99_ms']:.0f} | {m['bound_ms']:.0f} | "
              f"{100 * m['refused_share']:.0f} % | {m['refused_p50_ms']:.1f} / {m['refused_p99_ms']:.1f} "
              f"| {m['peak_server_ms']:.1f}, {m['server_ms']:.1f} | {100 * m['peak_generator']:.0f} %, {100 * m['generator']:.0f} % |")  # fmt: skip


if __name__ == "__main__":
    main()
