"""Replicas on addresses that stay theirs when they are started again, and a name for those that are ready."""

import contextlib
import socket
import struct
import threading
import urllib.error
import urllib.request

import harness

HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


def free_port(*hosts, kind=socket.SOCK_STREAM):
    """A port that nobody has on any of `hosts`."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = stack.enter_context(socket.socket(socket.AF_INET, kind))
            first.bind((hosts[0], 0))
            port = first.getsockname()[1]
            for host in hosts[1:]:
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((host, port))
            return port


class Replicas:
    """Up to three servers, of which some run; all have the same ports on addresses of their own, as pods have. A context
    manager."""

    def __init__(self, model, *flags):
        self.model, self.flags = model, flags
        self.port = free_port(*HOSTS)
        self.metrics_port = free_port(*HOSTS)
        self.servers = [None] * len(HOSTS)

    def start(self, place, *flags, **options):
        """Starts one; ready when it returns."""
        if self.servers[place]:
            self.servers[place].close()
        listen = ["--listen", f"{HOSTS[place]}:{self.port}", "--metrics-listen", f"{HOSTS[place]}:{self.metrics_port}"]
        self.servers[place] = harness.Server(self.model, *listen, *self.flags, *flags, **options)
        self.servers[place].follow()
        return self.servers[place]

    def is_ready(self, place):
        try:
            with urllib.request.urlopen(f"http://{HOSTS[place]}:{self.metrics_port}/readyz", timeout=1) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def embedded(self):
        """How many requests each that runs has answered, by place."""
        series = 'midlayer_requests_total{code="OK",method="Embed"}'
        running = {place: server for place, server in enumerate(self.servers) if server and server.process.poll() is None}
        return {place: server.metric(series) for place, server in running.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            if server:
                server.close()


class Name:
    """A DNS server for one name, whose addresses are the replicas that are ready: a headless service of Kubernetes."""

    SECONDS = 1  # between two looks at the replicas, and how long an answer may be kept

    def __init__(self, replicas):
        self._replicas = replicas
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self._ready = []
        self._over = threading.Event()
        self.target = f"dns://127.0.0.1:{self._socket.getsockname()[1]}/midlayer.test:{replicas.port}"
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._look, self._serve)]
        for thread in self._threads:
            thread.start()

    def _look(self):
        while not self._over.is_set():
            self._ready = [host for place, host in enumerate(HOSTS) if self._replicas.is_ready(place)]
            self._over.wait(self.SECONDS)

    def _serve(self):
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                query, address = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(query), address)

    def _answer(self, query):
        """The addresses where they are asked for (type A), and nothing for any other type."""
        end = query.index(b"\0", 12) + 1
        kind = struct.unpack(">H", query[end:end + 2])[0]
        found = self._ready if kind == 1 else []
        header = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0)
        rows = [struct.pack(">HHHIH", 0xC00C, 1, 1, self.SECONDS, 4) + socket.inet_aton(host) for host in found]
        return header + query[12:end + 4] + b"".join(rows)

    def wait(self, count):
        """Waits until so many replicas are found under the name."""
        assert harness.eventually(lambda: len(self._ready) == count), f"{self._ready} instead of {count}"

    def close(self):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()
