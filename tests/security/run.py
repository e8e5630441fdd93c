#!/usr/bin/env python3
"""Attacks on a real server, each for some seconds, beside calls of somebody else. Takes a Python with tests/e2e/requirements.txt.

Environment: as tests/e2e/harness.py.
"""

import argparse
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import harness  # noqa: E402
import scene  # noqa: E402
from attacks import ATTACKS  # noqa: E402

MODEL = harness.SOURCE / "models/all-MiniLM-L6-v2"
LAYER = 3
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
COLUMNS = ("attack", "what is sent", "how much", "what the server says", "memory before, at most, after", "processors", "others: calls, failed", "p50, p99")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each attack (default: 10)")
    parser.add_argument("--report", type=pathlib.Path, help="put the table into this page, between its markers")
    parser.add_argument("attack", nargs="*", choices=[[], *ATTACKS], help="default: all")
    return parser.parse_args()


def mib(value):
    return "–" if value is None else f"{value / scene.MIB:.0f}"


def milliseconds(value):
    return "–" if value is None else f"{value * 1000:.1f}"


def row(result):
    others = result["others"]
    failed = ", ".join(f"{count} {code}" for code, count in others["failed"].items()) or "0"
    what = " ".join((ATTACKS[result["attack"]].__doc__ or "").split())
    memory = ", ".join(mib(result[f"memory_{when}_bytes"]) for when in ("before", "most", "after"))
    cells = (result["attack"].replace("_", " "), what, f"{result['sent']:,} {result['unit']}", ", ".join(result["refused"]) or "nothing", f"{memory} MiB",
             f"{result['cpus']:.2f}", f"{others['calls']}, {failed}", f"{milliseconds(others['p50_seconds'])}, {milliseconds(others['p99_seconds'])} ms")
    return "| " + " | ".join(cells) + " |"


def put(path, results):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---:|---|---:|---:|---:|---:|", *map(row, results)]
    text = path.read_text()
    path.write_text(re.sub(f"(?s)(?<={BEGIN}).*(?={END})", lambda _: "\n".join(["", *lines, "", ""]), text))


def main():
    given = options()
    results = []
    for name in given.attack or ATTACKS:
        with scene.serve(MODEL) as server:
            results.append(scene.play(name, server, given.seconds, LAYER))
        print(json.dumps(results[-1]), flush=True)
    if given.report:
        put(given.report, results)
    return 0 if all(result["alive"] and not result["others"]["failed"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
