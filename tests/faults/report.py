"""Tables of what came of the faults."""

from balancers import KINDS
from faults import FAULTS

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
TITLES = {"haproxy": "HAProxy", "nginx": "nginx", "envoy": "Envoy", "none": "No balancer: clients take turns among addresses"}
STATE = "Stores and files"
COLUMNS = ("fault", "requests", "errors", "errors without new tries", "tried again by balancer, clients", "lost, twice, wrong",
           "p99", "slowest", "longest gap", "recovered after")
NOTES = {
    "back_after_seconds": "the replica answers again {:.1f} s after the fault began",
    "first_answer_after_start_seconds": "the first answer comes {:.2f} s after a replica is ready",
    "share_of_slow_replica": "the slow replica has {:.0%} of the answers",
    "half_of_its_share_after_seconds": "the new replica has half of its share {:.1f} s after it is ready",
    "share_of_new_replica": "then {:.0%} of the answers",
    "exit_code": "exit code {}",
    "is_ready_without_store": "/readyz says that it is ready: {}",
    "list_exit_code": "exit code of `midlayer selections list` meanwhile: {}",
    "score_exit_code_with_room": "exit code of the same run of `midlayer score` once there is room: {}",
    "still_running": "both replicas still run: {}",
}


def count_errors(errors):
    """Errors by kind and code, those of both clients together."""
    counts = {}
    for name, count in errors.items():
        kind = name.split(" ", 1)[1]
        counts[kind] = counts.get(kind, 0) + count
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "0"


def seconds(value):
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def row(result):
    tried = ", ".join("–" if result[by] is None else str(result[by]) for by in ("retried_by_balancer", "retried_by_clients"))
    cells = (result["fault"], f"{result['requests']:,}", count_errors(result["errors"]),
             f"{count_errors(result['errors_once'])} of {result['once']:,}", tried,
             f"{result['lost']}, {result['twice']}, {result['wrong']}", seconds(result["p99_seconds"]),
             seconds(result["slowest_seconds"]), seconds(result["longest_gap_seconds"]), seconds(result["recovered_seconds"]))
    return "| " + " | ".join(cells) + " |"


def note(result):
    """What is to be said beside the row, as an item of a list; None: nothing."""
    said = [NOTES[name].format(value) for name, value in result["notes"].items() if name in NOTES and value is not None]
    if "score" in result["notes"]:
        said.append("`midlayer score` ends with `" + result["notes"]["score"].rsplit(": ", 2)[-2].strip("0123456789/") + "`")
    if "list" in result["notes"]:
        said.append(f"`midlayer selections list` fails after {result['notes']['list']['seconds']:.1f} s")
    return f"- {result['fault']}: {'; '.join(said)}." if said else None


def table(title, results):
    order = list(FAULTS)
    results = sorted(results, key=lambda result: order.index(result["fault"]))
    lines = [f"### {title}", "", "| " + " | ".join(COLUMNS) + " |", "|---|---:|---|---|---:|---:|---:|---:|---:|---:|"]
    lines += map(row, results)
    notes = [said for said in map(note, results) if said]
    return "\n".join([*lines, *([""] if notes else []), *notes, ""])


def page(results):
    known = [result for result in results if result["fault"] in FAULTS]
    parts = ["\n".join(f"- **{fault.name}**: {fault.what}" for fault in FAULTS.values()) + "\n"]
    for kind in KINDS:
        found = [result for result in known if result["balancer"] == kind and FAULTS[result["fault"]].behind_all]
        if found:
            parts.append(table(TITLES[kind], found))
    found = [result for result in known if not FAULTS[result["fault"]].behind_all]
    if found:
        parts.append(table(f"{STATE}, behind {TITLES[found[0]['balancer']]}", found))
    return "\n".join(parts)


def put(path, results):
    """Replaces what is between the markers of a page."""
    text = path.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    path.write_text(text[:begin] + "\n" + page(results) + "\n" + text[end:])
