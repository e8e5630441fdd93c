#!/usr/bin/env python3
"""Writes the Grafana dashboard: rows of panels, each with its title, unit, queries by legend, and what it tells.

    tools/dashboard.py            # writes helm/midlayer/files/dashboard.json
    tools/dashboard.py --check    # fails where that file is not what would be written

In a query, {@} and {@, label="value"} select the replicas that the variables at the top of the dashboard name. Replicas belong
together where they share job and namespace; the latter is there on Kubernetes only, and matches as empty elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "helm/midlayer/files/dashboard.json"
RUNBOOKS = "https://midlayer.example/docs/runbooks.md"  # the same as in alerts.yaml; whoever publishes them puts their address here
SELECTOR = 'namespace=~"$namespace", job=~"$job", instance=~"$instance"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA = 42  # of Grafana 13; nothing here needs more than Grafana 11
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"

# The codes that are the server's own fault, as OpenTelemetry's conventions for gRPC servers have them; RESOURCE_EXHAUSTED is counted as a refusal.
FAULTS = 'method=~"Embed.*", code=~"UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS"'
FAULT_RATIO = (
    f"(sum(rate(midlayer_requests_total{{@, {FAULTS}}}[$__rate_interval])) or vector(0))"
    ' / sum(rate(midlayer_requests_total{@, method=~"Embed.*"}[$__rate_interval]))'
)

# One series of value 1 a replica that serves, with the labels id and layer; those without a selection answer with the last layer. A replica that
# waits for the store has none yet to disagree with.
NO_SELECTION = 'label_replace(label_replace(midlayer_build_info{@}, "id", "none", "", ""), "layer", "last", "", "")'
SELECTION = (
    f"((midlayer_selection_info{{@}} or on (namespace, job, instance) {NO_SELECTION})"
    " unless on (namespace, job, instance) midlayer_serving{@} == 0)"
)
MODEL = "midlayer_model_info{@}"
INFO_LABELS = "namespace, job, instance, version, name, dtype, device, layers, fingerprint"


# Pieces of queries.


def different(series: str, label: str) -> str:
    """How many values the label has on replicas that should agree."""
    return f"max(count by (namespace, job) (count by (namespace, job, {label}) ({series})))"


def agrees(series: str, label: str) -> str:
    """Of each replica, whether more than half of all have its value of the label."""
    share = f"count by (namespace, job, {label}) ({series}) / on (namespace, job) group_left () count by (namespace, job) ({series})"
    return f"{series} * on (namespace, job, {label}) group_left () ({share} > bool 0.5)"


def short(query: str, label: str) -> str:
    """The first 12 characters of a digest, as the programs show it."""
    return f'label_replace({query}, "{label}", "$1", "{label}", "(.{{12}}).*")'


def per_second(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def quantile(q: float, buckets: str, by: str = "") -> str:
    return f"histogram_quantile({q}, sum by ({', '.join(filter(None, [by, 'le']))}) (rate({buckets}[$__rate_interval])))"


def mean(histogram: str, by: str) -> str:
    """The mean of what a histogram observed; its name is followed by {@…}."""
    name, selector = histogram.split("{", 1)
    return f"{per_second(f'{name}_sum{{{selector}', by)} / {per_second(f'{name}_count{{{selector}', by)}"


def pair(buckets: str, by: str, legend: str) -> dict[str, str]:
    return {f"{legend} p{100 * q:g}": quantile(q, buckets, by) for q in (0.5, 0.99)}


# Kinds of panels.


def steps(good: str, *limits: tuple[float, str]) -> dict:
    return {"mode": "absolute", "steps": [{"color": good, "value": None}, *({"color": color, "value": at} for at, color in limits)]}


def states(low: tuple[str, str], high: tuple[str, str]) -> list[dict]:
    """Text and colour of 0 and of 1."""
    return [{"type": "value", "options": {str(i): {"text": text, "color": color} for i, (text, color) in enumerate((low, high))}}]


def link(title: str, anchor: str) -> dict:
    return {"title": title, "url": RUNBOOKS + anchor, "type": "link", "icon": "doc", "tooltip": "", "tags": [], "asDropdown": False,
            "includeVars": False, "keepTime": False, "targetBlank": True}


def panel(kind: str, title: str, queries: dict[str, str], text: str, size: tuple[int, int], runbook: str = "", form: str = "range") -> dict:
    """queries: PromQL by legend. size: width, of 24, and height. runbook: the alert that watches the same."""
    targets = []
    for index, (legend, query) in enumerate(queries.items()):
        targets.append({
            "refId": chr(ord("A") + index), "datasource": DATASOURCE, "editorMode": "code", "expr": query.replace("@", SELECTOR),
            "legendFormat": legend, "range": form != "table", "instant": form == "table",
            "format": {"range": "time_series"}.get(form, form),
        })
    result = {"type": kind, "title": title, "description": text, "datasource": DATASOURCE, "targets": targets,
              "gridPos": {"w": size[0], "h": size[1], "x": 0, "y": 0}}
    if runbook:
        result["links"] = [link(f"Runbook: {runbook}", f"#{runbook.lower()}")]
    return result


def graph(title: str, unit: str, queries: dict[str, str], text: str, width: int = 8, limit: float | None = None, top: float | None = None,
          stacked: bool = False, runbook: str = "") -> dict:
    """Lines over time. limit: a dashed line from which on one should worry. top: the largest value that there can be."""
    result = panel("timeseries", title, queries, text, (width, 8), runbook)
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
              "thresholdsStyle": {"mode": "off" if limit is None else "dashed"}}
    defaults = {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": custom,
                "thresholds": steps("transparent", *([] if limit is None else [(limit, RED)]))}
    if top is not None:
        defaults["max"] = top
    result["fieldConfig"] = {"defaults": defaults, "overrides": []}
    result["options"] = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                         "tooltip": {"mode": "multi", "sort": "desc"}}
    return result


def stat(title: str, unit: str, query: str, text: str, thresholds: dict, runbook: str = "") -> dict:
    """One number, the last one, over its own course."""
    result = panel("stat", title, {title: query}, text, (3, 4), runbook)
    result["fieldConfig"] = {"defaults": {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": thresholds, "noValue": "–"},
                             "overrides": []}
    result["options"] = {"colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "value",
                         "wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard",
                         "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return result


def heatmap(title: str, unit: str, query: str, text: str, width: int) -> dict:
    result = panel("heatmap", title, {"{{le}}": query}, text, (width, 8), form="heatmap")
    result["fieldConfig"] = {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []}
    result["options"] = {
        "calculate": False, "cellGap": 1, "cellValues": {"unit": "short"}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "color": {"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64,
                  "reverse": False},
        "filterValues": {"le": 1e-9}, "legend": {"show": True}, "rowsFrame": {"layout": "auto", "value": "requests"}, "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True}, "yAxis": {"axisPlacement": "left", "unit": unit},
    }
    return result


def timeline(title: str, queries: dict[str, str], text: str, width: int, mappings: list[dict], runbook: str = "") -> dict:
    """A bar a series, coloured by what its values mean."""
    result = panel("state-timeline", title, queries, text, (width, 8), runbook)
    result["fieldConfig"] = {"defaults": {"mappings": mappings, "color": {"mode": "thresholds"}, "thresholds": steps(BLUE),
                                          "custom": {"fillOpacity": 80, "lineWidth": 0}}, "overrides": []}
    result["options"] = {"mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.85,
                         "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                         "tooltip": {"mode": "single", "sort": "none"}}
    return result


def table(title: str, queries: dict[str, str], text: str, size: tuple[int, int], columns: dict[str, str], runbook: str = "",
          formats: dict[str, dict] | None = None, numbers: tuple[str, ...] = ()) -> dict:
    """queries: their values are the columns "Value #A" and so on. columns: the title of each column that is shown, in order.
    formats: unit, mappings and the like, by title. numbers: labels that are sorted as numbers."""
    result = panel("table", title, queries, text, size, runbook, form="table")
    conversions = [{"targetField": name, "destinationType": "number"} for name in numbers]
    result["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "convertFieldType", "options": {"fields": {}, "conversions": conversions}},
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"excludeByName": {}, "indexByName": {name: i for i, name in enumerate(columns)},
                                       "renameByName": columns}},
    ]
    overrides = [{"matcher": {"id": "byName", "options": name}, "properties": [{"id": key, "value": value} for key, value in made.items()]}
                 for name, made in (formats or {}).items()]
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    result["fieldConfig"] = {"defaults": {"custom": custom, "noValue": "–"}, "overrides": overrides}
    result["options"] = {"frameIndex": 0, "showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": next(iter(columns.values()))}]}
    return result


COLOURED = {"custom.cellOptions": {"type": "color-background", "mode": "basic"}}

OVERVIEW = [
    stat("Replicas up", "short", "sum(up{@})", "Replicas whose metrics Prometheus could read.", steps(RED, (1, GREEN)), "MidlayerDown"),
    stat("Replicas down", "short", "count(up{@} == 0) or vector(0)", "Replicas that should be there and did not answer Prometheus. Worry at 1.",
         steps(GREEN, (1, RED)), "MidlayerReplicaDown"),
    stat("Requests", "reqps", "sum(rate(midlayer_requests_total{@}[$__rate_interval]))",
         "Calls, and messages of streams, that ended in a second, however they ended.", steps(BLUE), "MidlayerNoTraffic"),
    stat("Texts", "count:texts/s", "sum(rate(midlayer_texts_total{@}[$__rate_interval]))",
         "Texts that went through the model in a second; those that the cache answered did not.", steps(BLUE)),
    stat("p99 of Embed", "s", quantile(0.99, 'midlayer_request_duration_seconds_bucket{@, method="Embed", code="OK"}'),
         "99 of 100 answered calls of Embed took no longer. Compare it with what your callers wait for.", steps(GREEN, (1, AMBER), (5, RED))),
    stat("Errors", "percentunit", FAULT_RATIO, "Share of Embed and EmbedStream that failed by the server's own fault. Worry above 0.1 %.",
         steps(GREEN, (0.001, AMBER), (0.01, RED)), "MidlayerErrorBudgetFastBurn"),
    stat("Selections", "short", different(SELECTION, "id"),
         "Different selections in force among the serving replicas of one job, none counted as one. 1: all agree. 2 or more: the same request gets another "
         "layer from another replica.", steps(GREEN, (2, RED)), "MidlayerSelectionDisagreement"),
    stat("Models", "short", different(MODEL, "fingerprint"),
         "Different fingerprints among replicas of one job. 1: all make the same vectors. Worry at 2, outside of a change of the model, where all "
         "loaded equally many layers.",
         steps(GREEN, (2, RED)), "MidlayerModelMismatch"),
    table("Replicas", {
        "up": "max by (namespace, job, instance) (up{@})",
        "model": f"max by ({INFO_LABELS}) ("
                 + short(f"({agrees(MODEL, 'fingerprint')}) * on (namespace, job, instance) group_left (version) midlayer_build_info{{@}}",
                         "fingerprint") + ")",
        "selection": f"max by (namespace, job, instance, id, layer) ({short(agrees(SELECTION, 'id'), 'id')})",
        "started": "max by (namespace, job, instance) (process_start_time_seconds{@}) * 1000",
    }, "Every replica: what it runs, and whether more than half of the replicas of its job have the same model and the same selection. Red: it "
       "does not answer, or it differs (of two that differ, both are red). One that does not serve has no selection here.", (24, 7), {
        "instance": "Replica", "Value #A": "State", "version": "Version", "name": "Model", "dtype": "dtype", "device": "Device",
        "layers": "Layers", "fingerprint": "Fingerprint", "Value #B": "Same model", "layer": "Selected layer", "id": "Selection",
        "Value #C": "Same selection", "Value #D": "Started",
    }, "MidlayerSelectionDisagreement", {
        "State": COLOURED | {"mappings": states(("down", RED), ("up", GREEN))},
        "Same model": COLOURED | {"mappings": states(("differs", RED), ("yes", GREEN))},
        "Same selection": COLOURED | {"mappings": states(("differs", RED), ("yes", GREEN))},
        "Started": {"unit": "dateTimeFromNow"},
    }),
]

EMBED_BUCKETS = 'midlayer_embed_duration_seconds_bucket{@, layer=~"$layer"}'
LATENCY = [
    heatmap("Answered requests by time taken", "s", f"sum by (le) (increase({EMBED_BUCKETS}[$__rate_interval]))",
            "How many requests took how long, of the layers chosen above, queue and tokenizing included. Two bands: two kinds of requests, by "
            "length or layer. A band that rises: the queue grows.", 12),
    graph("Time by method", "s", pair('midlayer_request_duration_seconds_bucket{@, code="OK"}', "method", "{{method}}"),
          "Answered calls, of EmbedStream each message, by method. Embed goes before EmbedStream, whose messages may wait long without harm.",
          12, limit=1),
    *[graph(f"p{100 * q:g} by layer", "s", {"{{layer}}": quantile(q, EMBED_BUCKETS, "layer")},
            f"{100 * q:g} of 100 answered requests took no longer, by the deepest layer that they asked for. A layer ℓ of L costs about ℓ/L, so "
            "lines that are all equal mean that requests wait rather than compute.") for q in (0.5, 0.95, 0.99)],
    graph("Time by stage", "s", pair("midlayer_stage_duration_seconds_bucket{@}", "stage", "{{stage}}"),
          "Tokenizing (a request), queue (a text), forward and pool (a batch; on a GPU forward has both). The stage that grows with the load "
          "is the one to look at.", 12),
    graph("Time in each block", "s", {"layer {{layer}}": mean("midlayer_layer_forward_seconds{@}", "layer")},
          "Mean time of a batch in each block; layer 0 is the embeddings. Blocks of one model are alike: batches become smaller where their "
          "texts leave, so deeper blocks are quicker where few ask for them.", 12),
]

THROUGHPUT = [
    graph("Requests by method and code", "reqps", {"{{method}} {{code}}": per_second("midlayer_requests_total{@}", "method, code")},
          "Calls, and messages of streams, that ended in a second.", stacked=True, runbook="MidlayerNoTraffic"),
    graph("Errors by code", "reqps", {"{{code}}": per_second('midlayer_requests_total{@, code!="OK"}', "code")},
          "What did not end with OK. INVALID_ARGUMENT, UNAUTHENTICATED, NOT_FOUND and CANCELLED are the callers' doing; UNKNOWN, INTERNAL, "
          "UNAVAILABLE, DATA_LOSS and DEADLINE_EXCEEDED the server's.", runbook="MidlayerErrorBudgetFastBurn"),
    graph("Error ratio", "percentunit", {"errors": FAULT_RATIO},
          "Share of Embed and EmbedStream that failed by the server's own fault. Alerts burn a budget of 0.1 %: they fire at 1.44 % within an "
          "hour, or 0.6 % within six.", limit=0.0144, runbook="MidlayerErrorBudgetFastBurn"),
    graph("Texts by replica", "count:texts/s", {"{{instance}}": per_second("midlayer_texts_total{@}", "instance")},
          "Texts that went through the model. Replicas of one kind should be alike: where they are not, clients keep their connections to some "
          "(--max-connection-age).", stacked=True),
    graph("Tokens by replica", "count:tokens/s", {"{{instance}}": per_second("midlayer_tokens_total{@}", "instance")},
          "Tokens that went through the model: what a replica can do is best told in these.", stacked=True),
    graph("Batch fill", "percentunit",
          {"{{instance}}": f"{mean('midlayer_batch_tokens{@}', 'instance')} / max by (instance) (midlayer_batch_tokens_limit{{@}})"},
          "Mean tokens of a batch to the most that one may have (--batch-tokens). Low on an idle server, which waits for nobody; near 100 % "
          "under load. Above: single texts that are longer than the limit."),
    graph("Texts of a batch", "short", {"{{instance}}": mean("midlayer_batch_rows{@}", "instance")}, "Mean texts of a batch."),
    graph("Batches run again in halves", "short", {"{{instance}} {{reason}}": "sum by (instance, reason) (midlayer_batch_splits_total{@})"},
          "Batches that failed and were run in parts, since the replica was started. out_of_memory: lower --batch-tokens or --streams. error: the "
          "message of the call that failed says why.", runbook="MidlayerBatchOutOfMemory"),
    graph("Cache hits", "percentunit",
          {"{{instance}}": per_second('midlayer_cache_lookups_total{@, result="hit"}', "instance") + " / "
                           + per_second("midlayer_cache_lookups_total{@}", "instance")},
          "Share of texts that were answered without the model. Nothing where --cache-entries is 0. Low with a full cache: it is too small, or "
          "texts do not come again.", top=1),
]

QUEUE = [
    graph("Wait in the queue", "s",
          {f"p{100 * q:g} {priority}": quantile(q, f'midlayer_stage_duration_seconds_bucket{{@, stage="queue", priority="{priority}"}}')
           for priority in ("interactive", "bulk") for q in (0.5, 0.99)},
          "How long a text waited for its batch: interactive texts go first; bulk are those of streams and of calls with more than 8.",
          limit=1, runbook="MidlayerQueueWaitHigh"),
    graph("Texts in the queue", "short", {"{{instance}}": "sum by (instance) (midlayer_queue_texts{@})"},
          "Tokenized texts that wait for a batch.", runbook="MidlayerQueueWaitHigh"),
    graph("Tokens in the queue", "short", {"{{instance}}": "sum by (instance) (midlayer_queue_tokens{@})"},
          "Tokens that wait for a batch. By the tokens/s of the replica: seconds until the last of them is computed.",
          runbook="MidlayerQueueWaitHigh"),
    graph("Room taken", "percentunit",
          {"{{instance}}": "sum by (instance) (midlayer_waiting_texts{@}) / sum by (instance) (midlayer_waiting_texts_limit{@})"},
          "Texts inside the server to the most that there may be (--max-waiting-texts). Streams stop at 75 %; at 100 % calls are refused.",
          12, limit=0.9, top=1, runbook="MidlayerRefusals"),
    graph("Rejections by reason", "reqps", {"{{reason}}": per_second("midlayer_rejected_total{@}", "reason")},
          "Refused before a vector was computed. queue_full: more replicas are needed. deadline: callers gave up first. invalid and unauthorized: "
          "callers' mistakes. score_runs, score_size: limits of scoring.", 12, stacked=True, runbook="MidlayerRefusals"),
]

SCORES = short("midlayer_selection_score{@} * on (namespace, job, instance) group_left (id) midlayer_selection_info{@}", "id")
SELECTIONS = [
    timeline("Selection in force by replica", {"{{instance}}: layer {{layer}}, {{id}}": short(agrees(SELECTION, "id"), "id")},
             "A bar for each replica and each selection that it had in force, or none, while it served. Red: half of the replicas of its job or fewer "
             "have it. Red for two seconds at a promotion is how they follow each other; red for longer is a replica that does not see the store.",
             16, states(("differs", RED), ("agrees", GREEN)), "MidlayerSelectionDisagreement"),
    table("Score by layer", {"score": f"max by (id, metric, layer) ({SCORES})"},
          "The metric that decided the selection in force, at every layer. The chosen layer is the best of those that are not told apart, so "
          "not always the longest bar.", (8, 8), {"layer": "Layer", "Value": "Score", "metric": "Metric", "id": "Selection"},
          formats={"Score": {"custom.cellOptions": {"type": "gauge", "mode": "basic"}, "decimals": 3, "color": {"mode": "fixed", "fixedColor": BLUE}}},
          numbers=("layer",)),
    graph("Switches", "short", {"{{instance}}": "sum by (instance) (increase(midlayer_selection_switches_total{@}[$__rate_interval]))"},
          "How often the selection in force changed. Every promotion moves every replica once.", runbook="MidlayerSelectionDisagreement"),
    timeline("Selection store", {"{{instance}}": "min by (instance) (midlayer_selection_store_up{@})"},
             "Whether each replica's last reading of the store succeeded. Without it they go on with what they know, but those that start then "
             "refuse requests without a layer.", 8, states(("unreachable", RED), ("read", GREEN)), "MidlayerSelectionStoreDown"),
    graph("Scoring runs under way", "short", {"{{instance}}": "sum by (instance) (midlayer_score_running{@})",
                                              "{{instance}} progress": "max by (instance) (midlayer_score_progress_ratio{@})"},
          "Runs of ScoreLayers, and how far the passes of the one that reported last are (0 to 1). They take what Embed leaves, and a tenth."),
    graph("Scoring runs ended", "short", {"{{instance}} {{code}}": "sum by (instance, code) (midlayer_score_runs_total{@})"},
          "Runs that ended since the replica was started, by gRPC code.", 12),
    graph("Scoring time by stage", "s", {"{{instance}} {{stage}}": "sum by (instance, stage) (midlayer_score_stage_seconds_total{@})"},
          "Seconds that answered runs took since the replica was started: forward (the model), accumulate (metrics of single texts, beside it), "
          "finish (metrics of whole sets). They are counted when a run ends.", 12),
]

GPU_LEGEND = "{{instance}} {{gpu}}"
GPU = [
    graph("GPU utilisation", "percentunit", {GPU_LEGEND: "midlayer_gpu_utilization_ratio{@}"},
          "Part of the time in which the GPU computed. Low under load: the tokenizer (--tokenizer-threads), or batches that are too small.", 6, top=1),
    graph("GPU memory", "percentunit", {GPU_LEGEND: "midlayer_gpu_memory_used_bytes{@} / midlayer_gpu_memory_total_bytes{@}"},
          "Memory that is taken, by whomever. libtorch keeps what it once took: a high level that stays is no leak, but leaves no room for larger "
          "batches.", 6, limit=0.95, top=1, runbook="MidlayerGpuMemoryHigh"),
    graph("GPU temperature", "celsius", {GPU_LEGEND: "midlayer_gpu_temperature_celsius{@}"},
          "Above some 85 °C most GPUs become slower on purpose.", 6, limit=85),
    graph("GPU power", "watt", {GPU_LEGEND: "midlayer_gpu_power_watts{@}"}, "What the GPU draws.", 6),
]

PROCESS = [
    timeline("Health", {"{{instance}}": "max by (instance) (midlayer_serving{@})"},
             "What each replica's own health says. Red: its model does not answer, or it is ending.", 24,
             states(("not serving", RED), ("serving", GREEN)), "MidlayerNotServing"),
    graph("Resident memory", "bytes", {"{{instance}}": "process_resident_memory_bytes{@}"},
          "The model, activations of the largest batch so far, and the cache of vectors. It should level off: a line that rises for days is a leak."),
    graph("Processors", "suffix: cores", {"{{instance}}": "rate(process_cpu_seconds_total{@}[$__rate_interval])"},
          "Processor time a second. At the number of --threads, a server on a CPU does what it can."),
    graph("Open files", "percentunit", {"{{instance}}": "process_open_fds{@} / process_max_fds{@}"},
          "Open file descriptors to the most that there may be. Each connection takes one.", limit=0.8, top=1),
    graph("Threads", "short", {"{{instance}}": "process_threads{@}"}, "Threads of the process. They level off under the first load."),
    graph("Vectors in the cache", "short", {"{{instance}}": "midlayer_cache_vectors{@}"}, "Vectors kept by --cache-entries."),
    graph("Uptime", "dtdurations", {"{{instance}}": "time() - process_start_time_seconds{@}"},
          "Seconds since the process was started. A saw: it is started again and again.", runbook="MidlayerRestarts"),
]

# Rows: title, whether it is collapsed, panels. What only some have or seldom look at is collapsed.
ROWS = [
    ("Overview", False, OVERVIEW),
    ("Latency", False, LATENCY),
    ("Throughput, errors, batches", False, THROUGHPUT),
    ("Queue and refusals", False, QUEUE),
    ("Selection and scoring", False, SELECTIONS),
    ("GPU", True, GPU),
    ("Process", True, PROCESS),
]


def variable(name: str, label: str, metric: str, sort: int = 7, **more: object) -> dict:
    """A choice of the values that a label has, all at first."""
    return {"type": "query", "name": name, "label": label, "datasource": DATASOURCE, "query": f"label_values({metric}, {name})", "refresh": 2,
            "regex": "", "sort": sort, "multi": True, "includeAll": True, "current": {"text": ["All"], "value": ["$__all"]}} | more


# All jobs are named rather than matched by .*, for up{} has those of other programs. What has no namespace matches .* too.
VARIABLES = [
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": ""},
    variable("namespace", "Namespace", "midlayer_build_info", allValue=".*"),
    variable("job", "Job", 'midlayer_build_info{namespace=~"$namespace"}'),
    variable("instance", "Replica", 'midlayer_build_info{namespace=~"$namespace", job=~"$job"}', allValue=".*"),
    variable("layer", "Layer", f"midlayer_embed_duration_seconds_count{{{SELECTOR}}}", sort=3, allValue=".*"),
]


def place(panels: list[dict], y: int) -> int:
    """Lays panels out from the left, and in new lines where one is full. The first free line."""
    x = height = 0
    for each in panels:
        grid = each["gridPos"]
        if x + grid["w"] > 24:
            x, y, height = 0, y + height, 0
        grid["x"], grid["y"] = x, y
        x, height = x + grid["w"], max(height, grid["h"])
    return y + height


def dashboard() -> dict:
    panels: list[dict] = []
    y = 0
    for title, collapsed, inside in ROWS:
        row = {"type": "row", "title": title, "collapsed": collapsed, "gridPos": {"w": 24, "h": 1, "x": 0, "y": y}, "panels": []}
        bottom = place(inside, y + 1)
        if collapsed:
            row["panels"] = inside
        panels += [row] if collapsed else [row, *inside]
        y = y + 1 if collapsed else bottom
    for number, each in enumerate((p for outer in panels for p in [outer, *outer.get("panels", [])]), start=1):
        each["id"] = number
    return {
        "uid": "midlayer", "title": "midlayer", "tags": ["midlayer", "embeddings"], "schemaVersion": SCHEMA, "editable": True,
        "description": "Replicas of midlayer: latency by layer, throughput, queue, selections, GPUs. Made by tools/dashboard.py.",
        "links": [link("Runbooks", "")], "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
        "templating": {"list": VARIABLES}, "panels": panels,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the Grafana dashboard.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the file is not what would be written")
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if not parser.parse_args().check:
        FILE.write_text(text)
    elif not FILE.exists() or FILE.read_text() != text:
        print(f"{FILE.name} is not what tools/dashboard.py makes: run it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
