#!/usr/bin/env python3
"""Attacks on a real server, each for some seconds, beside calls of somebody else. Takes a Python with tests/e2e/requirements.txt.

Environment: as tests/e2e/harness.py.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "faults")]

import balancers  # noqa: E402
import harness  # noqa: E402
import scene  # noqa: E402
from attacks import ATTACKS  # noqa: E402

MODEL = harness.SOURCE / "models/all-MiniLM-L6-v2"
LAYER = 3
BEGIN, END = "<!-- {} -->\n", "<!-- end of {} -->\n"
COLUMNS = ("attack", "what is sent", "how much", "what is answered", "memory before, at most, after, MiB", "processors", "others: calls, failed",
           "p50, p99, ms")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each attack (default: 10)")
    parser.add_argument("--behind", choices=[kind for kind in balancers.KINDS if kind != "none"], help="attack this, in front of the server")
    parser.add_argument("--report", type=pathlib.Path, help="put the table into this page, between its markers")
    parser.add_argument("attack", nargs="*", help=f"{', '.join(ATTACKS)} (default: all)")
    given = parser.parse_args()
    for name in given.attack:
        if name not in ATTACKS:
            parser.error(f"attack: expected one of {', '.join(ATTACKS)}, found {name}")
    return given


def mib(sizes):
    return ", ".join(f"{size / scene.MIB:.0f}" for size in sizes)


def milliseconds(value):
    return "–" if value is None else f"{value * 1000:.1f}"


def row(result):
    others = result["others"]
    failed = ", ".join(f"{count} {code}" for code, count in others["failed"].items()) or "0"
    what = " ".join(ATTACKS[result["attack"]].__doc__.split())
    memory = mib(result["memory_bytes"]) + (f"; in front {mib(result['front_memory_bytes'])}" if result["front_memory_bytes"] else "")
    cells = (result["attack"].replace("_", " "), what, f"{result['sent']:,} {result['unit']}", ", ".join(result["refused"]) or "nothing", memory,
             f"{result['processors']:.2f}" if result["alive"] else "it has ended", f"{others['calls']}, {failed}",
             f"{milliseconds(others['p50_seconds'])}, {milliseconds(others['p99_seconds'])}")
    return "| " + " | ".join(cells) + " |"


def put(path, name, results):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---:|---|---:|---:|---:|---:|", *map(row, results)]
    text = path.read_text()
    begin, end = BEGIN.format(name), END.format(name)
    assert begin in text and end in text, f"{path} has no place for {name}"
    path.write_text(text.split(begin)[0] + begin + "\n".join(["", *lines, "", ""]) + end + text.split(end)[1])


def main():
    given = options()
    results = []
    for name in given.attack or ATTACKS:
        with scene.serve(MODEL, given.behind) as (server, front):
            results.append(scene.play(name, server, front, given.seconds, LAYER))
        print(json.dumps(results[-1]), flush=True)
    if given.report:
        put(given.report, given.behind or "alone", results)
    return 0 if all(result["alive"] and not result["others"]["failed"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
