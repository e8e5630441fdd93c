"""The dashboard and the alerts: in themselves, by Grafana's own types, and on a real Prometheus that reads real servers."""

import concurrent.futures
import json
import pathlib
import re
import shutil
import tempfile

import harness
import prometheus
import test_scoring
from harness import Server, client, eventually, grpcurl, require, run
from prometheus import DEPLOY, Prometheus, dashboard, panels, substitute

ALERTS = DEPLOY / "alerts.yaml"
UNIT_TESTS = DEPLOY / "alerts_test.yaml"
RUNBOOKS = harness.SOURCE / "docs/runbooks.md"
UNITS = {"short", "s", "reqps", "cps", "percentunit", "bytes", "celsius", "watt", "dtdurations"}
LONG = "the server reads the weights of the model once and runs every layer on the device"


def alerts():
    """The text of every alert, by name."""
    parts = re.split(r"(?m)^ +- alert: (\w+)$", ALERTS.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors():
    """What a link into the runbooks may name: GitHub's anchors of its headings."""
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
            for title in re.findall(r"(?m)^#+ (.*)$", RUNBOOKS.read_text())}


def metrics_of(query):
    """The names of metrics in a query: what is left of it without strings, labels, numbers and functions."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"\b[a-z_:][\w:]*\b(?!\s*\()", bare)
    return set(words) - {"and", "or", "unless", "bool", "offset", "le"}


class Rules(harness.TestCase):
    def test_promtool_finds_nothing_to_say(self):
        promtool = require(self, "promtool")
        done = run([promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(ALERTS.resolve(), harness.SOURCE / "helm/midlayer/files/alerts.yaml")
        done = run([promtool, "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus.yaml"])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_unit_tests_pass(self):
        done = run([require(self, "promtool"), "test", "rules", UNIT_TESTS.name], cwd=DEPLOY)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("SUCCESS", done.stdout)

    def test_every_alert_fires_in_one_unit_test_and_not_in_another(self):
        case = r"alertname: (\w+),?\s+eval_time: \w+,?\s+exp_alerts:"
        for expected in (r" \[\]", r"(?: &\w+)?\s+- exp_labels"):
            self.assertEqual(set(re.findall(case + expected, UNIT_TESTS.read_text())), set(alerts()))

    def test_every_alert_says_what_it_is_and_what_to_do(self):
        for name, text in alerts().items():
            with self.subTest(name):
                self.assertRegex(text, r"\n +severity: (critical|warning)\n")
                for part in ("summary", "description"):
                    self.assertRegex(text, rf"\n +{part}: \S")
                address = re.search(r"\n +runbook_url: (\S+)#(\S+)\n", text)
                self.assertEqual(address.group(2), name.lower())
                self.assertIn(address.group(2), anchors())
                before = ALERTS.read_text().split(f"- alert: {name}\n")[0].rstrip(" ").splitlines()[-1]
                self.assertRegex(before, r"^ +# ", "a comment on its threshold")

    def test_the_runbooks_are_of_alerts(self):
        titles = set(re.findall(r"(?m)^## (Midlayer\w+)$", RUNBOOKS.read_text()))
        self.assertEqual(titles, set(alerts()))


class Dashboard(harness.TestCase):
    def setUp(self):
        self.board = dashboard()

    def test_it_is_what_the_generator_makes(self):
        done = run(["python3", "-B", harness.SOURCE / "tools/dashboard.py", "--check"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(prometheus.DASHBOARD.resolve(), harness.SOURCE / "helm/midlayer/files/dashboard.json")

    def test_panels_have_what_they_need(self):
        kinds = {"timeseries", "heatmap", "stat", "table", "state-timeline"}
        every = [*self.board["panels"], *(inner for row in self.board["panels"] for inner in row.get("panels", []))]
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        titles = [panel["title"] for panel in every]
        self.assertEqual(sorted(titles), sorted(set(titles)))
        for panel in panels(self.board):
            with self.subTest(panel["title"]):
                self.assertIn(panel["type"], kinds)
                self.assertGreater(len(panel["description"]), 15)
                self.assertEqual(panel["datasource"]["uid"], "${datasource}")
                unit = panel["fieldConfig"]["defaults"].get("unit") or panel["options"].get("yAxis", {}).get("unit")
                if panel["type"] in ("timeseries", "heatmap", "stat"):
                    self.assertTrue(unit in UNITS or unit.startswith(("count:", "suffix:")), unit)
                if panel["type"] == "timeseries":
                    self.assertTrue(panel["options"]["legend"]["showLegend"])

    def test_queries_have_what_they_need(self):
        for panel in panels(self.board):
            with self.subTest(panel["title"]):
                references = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(references), len(set(references)))
                self.assertTrue(references)
                for target in panel["targets"]:
                    query = target["expr"]
                    self.assertTrue(target["legendFormat"])
                    self.assertEqual(target["datasource"]["uid"], "${datasource}")
                    self.assertEqual(set(re.findall(r"\[([^\]]*)\]", query)) - {"$__rate_interval"}, set())
                    if "histogram_quantile" in query:
                        self.assertRegex(query, r"histogram_quantile\([\d.]+, sum by \((\w+, )*le\) \(rate\(")
                    if " by (" in query:
                        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                            self.assertRegex(re.sub(r"\{[^}]*\}", "", query), rf"\b{label}\b", "no such label is left")
                    for name in metrics_of(query):
                        self.assertTrue(name == "up" or re.match(r"(midlayer|process)_", name), f"not a metric: {name}")
                        for selector in re.findall(rf"\b{name}\b(\{{[^}}]*\}})?", query):
                            self.assertIn('job=~"$job"', selector, f"{name} of every job there is")

    def test_variables_are_made_and_used(self):
        variables = self.board["templating"]["list"]
        made = {variable["name"] for variable in variables}
        text = json.dumps([self.board["panels"], [(each.get("query"), each.get("datasource")) for each in variables]])
        self.assertEqual(set(re.findall(r"\$\{?(\w*[a-z]\w*)", text)) - {"__rate_interval"}, made)
        self.assertEqual(self.board["uid"], "midlayer")
        self.assertNotIn("id", self.board, "which would be of one Grafana")

    def test_nothing_overlaps(self):
        for group in [self.board["panels"], *(panel["panels"] for panel in self.board["panels"] if panel.get("panels"))]:
            cells = set()
            for panel in group:
                grid = panel["gridPos"]
                self.assertLessEqual(grid["x"] + grid["w"], 24)
                columns, lines = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
                mine = {(x, y) for x in columns for y in lines}
                self.assertFalse(cells & mine, panel["title"])
                cells |= mine

    def test_links_lead_to_runbooks_and_every_alert_is_linked(self):
        links = self.board["links"] + [link for panel in panels(self.board) for link in panel.get("links", [])]
        base = re.search(r"runbook_url: (\S+)#", ALERTS.read_text()).group(1)
        found = set()
        for link in links:
            address, _, anchor = link["url"].partition("#")
            self.assertEqual(address, base)
            self.assertTrue(not anchor or anchor in anchors(), anchor)
            found.add(anchor)
        # The fast one stands for the slow one.
        self.assertEqual({name.lower() for name in alerts()} - found, {"midlayererrorbudgetslowburn"})


# The types of each kind of panel, as Grafana's package has them.
KINDS = {"timeseries": "timeseries/panelcfg/x/TimeSeries", "heatmap": "heatmap/panelcfg/x/Heatmap",
         "stat": "stat/panelcfg/x/Stat", "table": "table/panelcfg/x/Table",
         "state-timeline": "statetimeline/panelcfg/x/StateTimeline"}
COMPOSABLE = "@grafana/schema/dist/esm/raw/composable"
# JSON has strings where TypeScript has enums.
TYPES = """import type {{ Dashboard, FieldConfig }} from '@grafana/schema';
{imports}
type Json<T> = T extends string ? `${{T}}`
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? {{ [K in keyof T]: Json<T[K]> }}
  : T;
const dashboard: Json<Dashboard> = {board};
"""


def typescript(board):
    """The dashboard as a program that compiles where it is of Grafana's types. Options and fields of panels, for which the type
    of a dashboard has anything, are declared once more by kind."""
    modules = {kind: kind.replace("-", "") for kind in KINDS}
    imports = "\n".join(f"import type * as {modules[kind]} from '{COMPOSABLE}/{path}PanelCfg_types.gen';"
                        for kind, path in KINDS.items())
    lines = [TYPES.format(imports=imports, board=json.dumps(board))]

    def declare(kind, value):
        lines.append(f"const value{len(lines)}: Json<{kind}> = {json.dumps(value)};")

    for panel in panels(board):
        module, fields = modules[panel["type"]], panel["fieldConfig"]
        declare(f"{module}.Options", panel["options"])
        if "custom" in fields["defaults"]:
            declare(f"{module}.FieldConfig", fields["defaults"]["custom"])
        for override in fields["overrides"]:
            values = {each["id"]: each["value"] for each in override["properties"]}
            custom = {name.removeprefix("custom."): values.pop(name) for name in list(values) if name.startswith("custom.")}
            declare("Partial<FieldConfig>", values)
            if custom:
                declare(f"Partial<{module}.FieldConfig>", custom)
    return "\n".join(lines) + "\n"


class Types(harness.TestCase):
    def compile(self, board):
        """The errors that TypeScript finds."""
        node = require(self, "node")
        packages = harness.SOURCE / ".deps/npm/node_modules"
        if not packages.exists():
            harness.absent(self, ".deps/npm has no packages of tests/npm/package.json")
        with tempfile.TemporaryDirectory(prefix="midlayer-") as name:
            folder = pathlib.Path(name)
            (folder / "node_modules").symlink_to(packages)
            (folder / "check.ts").write_text(typescript(board))
            flags = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext")
            done = run([node, packages / "typescript/bin/tsc", *flags, "check.ts"], cwd=folder)
        return re.findall(r"(?m)^check\.ts.* error (.*)$", done.stdout) if done.returncode else []

    def test_it_is_of_grafanas_types(self):
        self.assertEqual(self.compile(dashboard()), [])

    def test_what_is_not_is_found(self):
        """One fault in each part that is declared."""
        board = dashboard()
        board["templating"]["list"][1]["sort"] = 77
        some = {panel["type"]: panel for panel in panels(board)}
        some["heatmap"]["options"]["color"]["mode"] = "rainbow"
        some["timeseries"]["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 2
        some["table"]["fieldConfig"]["overrides"][0]["properties"][0]["value"]["type"] = "gauges"
        del some["state-timeline"]["options"]["rowHeight"]
        self.assertEqual(len(self.compile(board)), 5)


class Live(test_scoring.ScoringCase):
    """Two servers with different load and selections, a third that waits for its store, and a Prometheus that reads them."""

    def setUp(self):
        super().setUp()
        program = require(self, "prometheus")
        library = self.directory / "lib"
        library.mkdir()
        shutil.copy(harness.BINARY / "tests/libfake_nvml.so", library / "libnvidia-ml.so.1")
        self.servers = []
        for flags in ((), ("--max-waiting-texts", "32"), ("--selection-store", "redis://127.0.0.1:1/0")):
            server = Server("bert", "--cache-entries", "1000", *flags, env={"LD_LIBRARY_PATH": str(library)})
            self.addCleanup(server.close)
            self.servers.append(server)
        self.prometheus = Prometheus(program, self.directory, self.servers)
        self.addCleanup(self.prometheus.close)
        self.instances = [server.facts["metrics"].split("/")[2] for server in self.servers]
        # What the pods that are not meant would add is down.
        self.assertTrue(eventually(lambda: len(self.prometheus.query("up")) == 6, 20))
        self.assertEqual({(labels["job"], value) for labels, (value,) in self.prometheus.query("up")},
                         {("midlayer", 1), ("embed", 1)})

    def load(self):
        """Some seconds of calls of all kinds: layers, poolings, streams, errors, refusals, texts that come again."""
        first, second, _ = self.servers
        benches = [(first, "--layer=0,1,2,3", "--pooling=mean", "--concurrency=4"),
                   (first, "--layer=2", "--pooling=cls", "--concurrency=1"),
                   (second, "--layer=1,3", "--concurrency=16", "--texts=8")]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = [pool.submit(client, "bench", *flags, "--words=8", "--duration=6", "--warmup=0", server=server)
                       for server, *flags in benches]
            while not all(bench.done() for bench in running):
                harness.embed_lines(first, [f"{LONG} {i}" for i in range(200)])
                grpcurl(self, second, harness.EMBED, data={"texts": ["x"], "layer": 99})
                grpcurl(self, second, harness.EMBED, data={"texts": ["the same again"], "layer": 1})
        self.assertGreater(second.metric('midlayer_rejected_total{reason="queue_full"}'), 0)
        self.assertEqual(running[0].result().returncode, 0, running[0].result().stderr)

    def promote(self, server, count):
        """The id of a selection scored on `count` examples, promoted on this server."""
        return self.promoted(server, test_scoring.pairs(count), "--refresh")

    def ask(self, query, **variables):
        return self.prometheus.query(substitute(query, **variables), seconds=12)

    def check_names(self):
        """What the dashboard, the alerts and the runbooks ask for is PromQL, of metrics that there are."""
        exported = {name for server in self.servers for name, _ in server.series()} | {"up"}
        queries = [target["expr"] for panel in panels(dashboard()) for target in panel["targets"]]
        queries += [rule["query"] for group in self.prometheus.ask("rules")["groups"] for rule in group["rules"]]
        blocks = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", RUNBOOKS.read_text())
        queries += [line for language, block in blocks if not language for line in block.splitlines()]
        for query in queries:
            self.prometheus.query(substitute(query))  # an error of PromQL raises
            recorded = {name for name in metrics_of(query) if name.startswith("namespace_job:")}
            self.assertLessEqual(metrics_of(query) - recorded, exported, query)

    def check_panels(self, **variables):
        """Every query of every panel returns numbers."""
        for panel in panels(dashboard()):
            for target in panel["targets"]:
                with self.subTest(panel["title"], legend=target["legendFormat"], **variables):
                    found = self.ask(target["expr"], **variables)
                    self.assertTrue(found, target["expr"])
                    values = [value for _, series in found for value in series]
                    self.assertTrue(any(value == value for value in values), "no number")
                    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                        self.assertTrue(any(label in labels for labels, _ in found), f"no label {label}: {found[0][0]}")

    def check_variables(self):
        """What the choices at the top of the dashboard offer."""
        values = {}
        for variable in dashboard()["templating"]["list"][1:]:
            series, label = re.match(r"label_values\((.*), (\w+)\)$", variable["query"]).groups()
            values[variable["name"]] = self.prometheus.ask(f"label/{label}/values", **{"match[]": substitute(series, job=".*")})
        self.assertEqual(values, {"namespace": ["search"], "job": ["embed", "midlayer"], "instance": sorted(self.instances),
                                  "layer": ["0", "1", "2", "3"]})

    def shown(self, title):
        """The last values of a panel's queries, by legend, as the labels and numbers of series."""
        panel = next(panel for panel in panels(dashboard()) if panel["title"] == title)
        return {target["legendFormat"]: self.prometheus.query(substitute(target["expr"])) for target in panel["targets"]}

    def agreement(self):
        """What the dashboard shows of it: how many selections; each replica's own, and whether it agrees."""
        count = self.shown("Selections")["Selections"]
        rows = {labels["instance"]: (labels["id"], value) for labels, (value,) in self.shown("Replicas")["selection"]}
        return [value for _, (value,) in count], rows

    def fires(self, name):
        return [alert for alert in self.prometheus.alerts() if alert["alertname"] == name and alert["job"] == prometheus.JOB]

    def test_every_panel_has_data_and_replicas_that_disagree_are_seen(self):
        first, second, _ = self.servers
        one, other = self.promote(first, 30), self.promote(second, 31)
        self.assertNotEqual(one, other)
        self.load()
        self.check_names()
        self.check_variables()
        self.check_panels()
        self.check_panels(job="embed", namespace="search")
        # Two that differ: no one knows which is right. The one that does not serve yet has no part in it.
        differ = {instance: (chosen[:12], 0) for instance, chosen in zip(self.instances[:2], (one, other), strict=True)}
        self.assertEqual(self.agreement(), ([2], differ))
        self.assertTrue(eventually(lambda: self.fires("MidlayerSelectionDisagreement"), 10))
        # One has none.
        self.assertEqual(self.selections(second, "promote", "none").returncode, 0)
        self.assertTrue(eventually(lambda: self.agreement()[0] == [2] and "none" in dict(self.agreement()[1].values()), 10))
        rules = {rule["name"]: rule for group in self.prometheus.ask("rules")["groups"] for rule in group["rules"]}
        found = self.prometheus.query(rules["MidlayerSelectionDisagreement"]["query"])
        self.assertEqual(sorted(labels["job"] for labels, _ in found), ["embed", "midlayer"])
        # The same evidence is the same selection.
        self.assertEqual(self.promote(second, 30), one)
        agreed = ([1], {instance: (one[:12], 1) for instance in self.instances[:2]})
        self.assertTrue(eventually(lambda: self.agreement() == agreed, 10), self.agreement())
        self.assertTrue(eventually(lambda: not self.fires("MidlayerSelectionDisagreement"), 10))
        self.assertLess(set(alerts()), set(rules))
        self.assertEqual([rule for rule in rules.values() if rule["health"] != "ok" or "lastError" in rule], [])
        # A replica that is gone.
        self.assertEqual(self.shown("Replicas down")["Replicas down"][0][1], [0])
        second.kill()
        self.assertTrue(eventually(lambda: self.shown("Replicas down")["Replicas down"][0][1] == [1], 10))
        self.assertTrue(eventually(lambda: self.fires("MidlayerReplicaDown"), 10))
