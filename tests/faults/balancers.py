"""The load balancers of deploy/, made from the files there: only addresses and folders are replaced."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import harness
from replicas import HOSTS, Name, free_port

DEPLOY = harness.SOURCE / "deploy"


class Call:
    """A call as the balancer's log has it. `client_attempt`: how often the client had tried it before."""

    def __init__(self, path, retries, client_attempt):
        self.method = path.rsplit("/", 1)[-1]
        self.retries = retries
        self.client_attempt = client_attempt


class Balancer:
    """One that runs in front of replicas. `target` is what clients are given. A context manager."""

    def __init__(self, program, replicas, tls=None, collector=None):
        """tls: a folder with midlayer.pem (certificate and key), midlayer.key and ca.pem; then the lines for TLS are in force,
        on both sides. collector: the port of an OpenTelemetry collector; then the lines for traces are."""
        self._tls, self._collector = tls, collector
        self.directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.port, self.admin_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.target = f"127.0.0.1:{self.port}"
        self._log = open(os.path.join(self.directory.name, "log"), "a+")
        config = os.path.join(self.directory.name, self.FILE)
        with open(config, "w") as file:
            file.write(self.config(replicas))
        self.process = subprocess.Popen(self.command(program, config), stdin=subprocess.DEVNULL, stdout=self._log,
                                        stderr=self._log)
        if not harness.eventually(self._listens, 10):
            message = f"{self.NAME} does not listen: {self.log()}"
            self.close()
            raise AssertionError(message)

    def config(self, replicas):
        """The text of the file in deploy/, with the addresses of `replicas`."""
        text = (DEPLOY / self.NAME / self.FILE).read_text()
        for example, host in zip(("192.0.2.11", "192.0.2.12", "192.0.2.13"), HOSTS, strict=True):
            text = replaced(text, example, host)
        text = with_lines(text, "tls") if self._tls else text
        if self._collector:
            text = replaced(with_lines(text, "otel"), "otel-collector, port_value: 4317", f"127.0.0.1, port_value: {self._collector}")
        for old, new in self.replacements(replicas):
            text = replaced(text, old, new)
        return replaced(text, f"/etc/{self.NAME}/", f"{self._tls}/") if self._tls else text

    def wait(self):
        """Waits until it knows which replicas are there."""
        time.sleep(3)  # a check of health that fails twice

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        with open(self._log.name) as file:
            return file.read()

    def stop(self):
        """Ends it, so that its log is whole."""
        self.process.terminate()
        self.process.wait(harness.BOUND)

    def close(self):
        self.stop()
        self._log.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def replaced(text, old, new):
    assert re.search(old, text), f"{old} is not in the file"
    return re.sub(old, new, text)


def with_lines(text, mark):
    """The lines that begin with #MARK in force, and not the one before each that has the same key."""
    lines = []
    for line in text.splitlines():
        if found := re.match(rf"( *)#{mark} ( *)((?:server )?\S+)(.*)", line):
            indent, key, rest = found[1] + found[2], found[3], found[4]
            former = [place for place, one in enumerate(lines) if one.startswith(f"{indent}{key} ")]
            if former and key.split()[0] in ("bind", "server", "listen", "grpc_pass"):
                del lines[former[-1]]
            line = indent + key + rest
        lines.append(line)
    return "\n".join(lines) + "\n"


class HAProxy(Balancer):
    NAME, FILE = "haproxy", "haproxy.cfg"
    # … retries behind four counts, two queues, what was captured of the request and of the answer, and the request.
    LINE = re.compile(r" \d+/\d+/\d+/\d+/\+?(\d+) \d+/\d+ \{(\d*)\} \{\d*\} \"POST \S*(/midlayer\S+)")

    def replacements(self, replicas):
        return ((r"(192|127)(\.[\d.]+):50051", rf"\1\2:{replicas.port}"), ("port 9090", f"port {replicas.metrics_port}"),
                (r"bind :50051", f"bind 127.0.0.1:{self.port}"), ("bind :8405", f"bind 127.0.0.1:{self.admin_port}"))

    @staticmethod
    def command(program, config):
        return [program, "-db", "-f", config]

    def calls(self):
        return [Call(path, int(retries), int(attempt or 0)) for retries, attempt, path in self.LINE.findall(self.log())]


class Nginx(Balancer):
    NAME, FILE = "nginx", "nginx.conf"

    def replacements(self, replicas):
        return ((r"(127\.[\d.]+):50051", rf"\1:{replicas.port}"), ("listen 50051", f"listen 127.0.0.1:{self.port}"),
                ("/tmp/", f"{self.directory.name}/"))

    @staticmethod
    def command(program, config):
        return [program, "-c", config, "-e", "stderr", "-g", "daemon off;"]

    def calls(self):
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith('{"time"')]
        return [Call(line["path"], line["replica"].count(","), int(line["attempts"] or 0)) for line in lines]


class Envoy(Balancer):
    NAME, FILE = "envoy", "envoy.yaml"

    def replacements(self, replicas):
        return ((r"(address: 127\.0\.0\.1\d, port_value:) 50051", rf"\1 {replicas.port}"),
                (r"address: 0\.0\.0\.0, port_value: 50051", f"address: 127.0.0.1, port_value: {self.port}"),
                ("port_value: 9901", f"port_value: {self.admin_port}"))

    @staticmethod
    def command(program, config):
        return [program, "-c", config, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]

    def calls(self):
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith('{"')]
        return [Call(line["path"], int(line["attempts"] or 1) - 1, int(line["client_attempts"] or 0)) for line in lines]


class NoBalancer(Name):
    """No balancer: clients take turns among the addresses of a name."""

    NAME = "none"

    def __init__(self, _program, replicas):
        super().__init__(replicas)

    def stop(self):
        self.close()

    def wait(self):
        super().wait(2)

    @staticmethod
    def calls():
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


KINDS = {kind.NAME: kind for kind in (HAProxy, Nginx, Envoy, NoBalancer)}


def find_program(name):
    """The path of a balancer's program; None where it is not to be found, or needs none."""
    places = [os.environ.get("PATH", ""), str(harness.SOURCE / ".deps/bin"), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))
