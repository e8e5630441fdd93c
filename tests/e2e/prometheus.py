"""A real Prometheus, configured by deploy/prometheus, that reads real servers; and what the dashboard asks it."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import harness

DEPLOY = harness.SOURCE / "deploy/prometheus"
DASHBOARD = harness.SOURCE / "deploy/grafana/midlayer.json"
JOB = "midlayer"
POD = {"namespace": "search", "pod_name": "embed-0", "pod_label_app_kubernetes_io_name": "midlayer", "pod_phase": "Running",
       "pod_label_app_kubernetes_io_instance": "embed", "pod_container_port_name": "http"}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels(board):
    """Those that show something, of collapsed rows too."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def substitute(query, window="10s", **variables):
    """A query with Grafana's variables put in: all of them chosen where nothing else is said."""
    values = {"__rate_interval": window, "namespace": ".*", "job": JOB, "instance": ".*", "layer": ".*"} | variables
    return re.sub(r"\$(\w*[a-z]\w*)", lambda name: values[name.group(1)], query)


def configuration(servers):
    """deploy/prometheus/prometheus.yaml for `servers`, read every second, and the job of prometheus-kubernetes.yaml beside it:
    what it would find on Kubernetes are the same servers, told by the labels that pods have there, and pods that are not
    meant."""
    targets = json.dumps([server.facts["metrics"].removeprefix("http://").removesuffix("/metrics") for server in servers])
    config = re.sub(r"targets: \[.*", f"targets: {targets}", (DEPLOY / "prometheus.yaml").read_text())
    job = (DEPLOY / "prometheus-kubernetes.yaml").read_text().split("scrape_configs:\n")[1]
    job = job.replace("job_name: midlayer", "job_name: kubernetes")
    others = ({"pod_container_port_name": "grpc"}, {"pod_phase": "Failed"}, {"pod_label_app_kubernetes_io_name": "other"})
    pods = [(POD, json.loads(targets)), *((POD | other, ["127.0.0.1:1"]) for other in others)]
    found = [{"targets": at, "labels": {f"__meta_kubernetes_{name}": value for name, value in pod.items()}}
             for pod, at in pods]
    job = re.sub(r"kubernetes_sd_configs:\n +- role: pod", f"static_configs: {json.dumps(found)}", job)
    return re.sub(r"(?m)^( +(?:scrape|evaluation)_interval:) 15s$", r"\1 1s", config + job)


class Prometheus:
    """Reads `servers` every second, and evaluates deploy/prometheus/alerts.yaml as often; an alert waits for one second instead
    of minutes. A context manager."""

    def __init__(self, program, directory, servers):
        rules = (DEPLOY / "alerts.yaml").read_text()
        (directory / "alerts.yaml").write_text(re.sub(r"(?m)^( +for:) \w+$", r"\1 1s", rules))
        (directory / "prometheus.yaml").write_text(configuration(servers))
        self._log = directory / "log"
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(
                [program, "--config.file", directory / "prometheus.yaml", "--storage.tsdb.path", directory / "data",
                 "--web.listen-address=127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=log, env=harness.environment())
        found = harness.eventually(lambda: re.search(r'msg="Listening on" address=(\S+)', self._log.read_text()))
        self.url = f"http://{found.group(1)}" if found else None
        if not found or not harness.eventually(self._ready):
            self.close()
            raise AssertionError(self._log.read_text())

    def _ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=harness.BOUND) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **parameters):
        """The data of an answer of its API. A query that it refuses raises AssertionError with its words."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(url, timeout=harness.BOUND) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None

    def query(self, query, seconds=0, step=1):
        """Series of (labels, values), now or through the last seconds."""
        if not seconds:
            return [(found["metric"], [float(found["value"][1])]) for found in self.ask("query", query=query)["result"]]
        now = time.time()
        found = self.ask("query_range", query=query, start=now - seconds, end=now, step=step)
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in found["result"]]

    def alerts(self):
        """Labels of those that fire."""
        return [alert["labels"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]

    def close(self):
        self.process.terminate()
        self.process.wait(harness.BOUND)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
