#!/usr/bin/env python3
"""Faults under load: real servers behind a real balancer, the C++ and the Python client, and answers that are known beforehand.

Environment: as tests/e2e/harness.py, and MIDLAYER_PYTHON_VENV, a Python with the package of client/python. Balancers are looked
for on PATH, in .deps/bin and in /usr/sbin; one that is not there is left out. disk-full takes root.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import balancers  # noqa: E402
import harness  # noqa: E402
import report  # noqa: E402
import scenario  # noqa: E402
from faults import FAULTS  # noqa: E402

MODEL = harness.SOURCE / "models/all-MiniLM-L6-v2"


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of load from the fault on, at least (default: 20)")
    parser.add_argument("--balancer", action="append", choices=list(balancers.KINDS), help="one or several (default: all)")
    parser.add_argument("--json", type=pathlib.Path, help="add the results to this file, in place of earlier ones")
    parser.add_argument("--report", type=pathlib.Path, help="put the tables of all results into this page, between its markers")
    parser.add_argument("fault", nargs="*", metavar="FAULT", help=f"{', '.join(FAULTS)} (default: all)")
    given = parser.parse_args()
    for name in given.fault:
        if name not in FAULTS:
            parser.error(f"FAULT: expected one of {', '.join(FAULTS)}, found {name}")
    return given


def scenes(kinds, names):
    """Pairs of a fault and a kind of balancer. What the balancer has no part in is seen behind the first one only."""
    for kind in kinds:
        for name in names:
            if FAULTS[name].behind_all or kind == kinds[0]:
                yield FAULTS[name], kind


def main():
    given = options()
    kinds = [kind for kind in given.balancer or balancers.KINDS if kind == "none" or balancers.find_program(kind)]
    results = json.loads(given.json.read_text()) if given.json and given.json.exists() else []
    for fault, kind in scenes(kinds, given.fault or FAULTS):
        result = scenario.play(fault, kind, scenario.Plan(MODEL, rest=given.seconds))
        print(json.dumps(result), flush=True)
        results = [one for one in results if (one["fault"], one["balancer"]) != (fault.name, kind)] + [result]
        if given.json:
            given.json.write_text("[" + ",\n ".join(json.dumps(one) for one in results) + "]\n")
    if given.report:
        report.put(given.report, results)
    return 0 if all(result["lost"] == result["twice"] == result["wrong"] == 0 for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
