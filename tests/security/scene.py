"""One attack on a real server, and what somebody else's calls saw of it meanwhile."""

import contextlib
import json
import os
import pathlib
import sys
import tempfile
import threading
import time

import balancers
import harness
from replicas import Replicas

HERE = pathlib.Path(__file__).parent
TOKEN = "user-0123456789abcdef"
MIB = 1 << 20
PAUSE = 0.02  # seconds between two calls of the bystander
NEW = 10      # every so many calls are over a connection of their own


class Bystander(threading.Thread):
    """Calls Embed, one call after the other, until stop(); then seen() tells."""

    def __init__(self, target, layer):
        super().__init__(daemon=True)
        import grpc
        self._grpc = grpc
        self._protos, self._services = harness.proto("embedding")
        self._target, self._layer = target, layer
        self._over = threading.Event()
        self.calls = []  # (when it began by the monotonic clock, seconds, code)
        self.start()

    def _call(self, channel):
        start, code = time.monotonic(), "OK"
        request = self._protos.EmbedRequest(texts=["a text of somebody who has nothing to do with it"], layer=self._layer)
        try:
            self._services.EmbeddingServiceStub(channel).Embed(request, timeout=harness.BOUND, metadata=[("authorization", f"Bearer {TOKEN}")])
        except self._grpc.RpcError as error:
            code = error.code().name
        self.calls.append((start, time.monotonic() - start, code))

    def _channel(self):
        return self._grpc.insecure_channel(self._target, [("grpc.use_local_subchannel_pool", 1)])

    def run(self):
        with self._channel() as kept:
            while not self._over.is_set():
                if len(self.calls) % NEW == NEW - 1:
                    with self._channel() as new:
                        self._call(new)
                else:
                    self._call(kept)
                self._over.wait(PAUSE)

    def stop(self):
        self._over.set()
        self.join()

    def seen(self, began, ended):
        """Calls that lay between the two times, and percentiles in seconds of those that succeeded; calls of any time that failed, by code."""
        calls = [(seconds, code) for start, seconds, code in self.calls if began <= start and start + seconds <= ended]
        good = sorted(seconds for seconds, code in calls if code == "OK")
        failed = [code for *_, code in self.calls if code != "OK"]
        return {"calls": len(calls), "failed": {code: failed.count(code) for code in sorted(set(failed))},
                "p50_seconds": good[len(good) // 2] if good else None, "p99_seconds": good[int(0.99 * len(good))] if good else None}


class Memory(threading.Thread):
    """The most memory that a process and its children have had, looked at every 20 ms."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self._process, self._over = process, threading.Event()
        self.before = self.most = self.now()
        self.start()

    def now(self):
        """Resident, in bytes; 0 where it has ended."""
        pid = self._process.pid
        with contextlib.suppress(OSError):
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pages = [int(pathlib.Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children)]
            return sum(pages) * os.sysconf("SC_PAGESIZE")
        return 0

    def run(self):
        while not self._over.wait(0.02):
            self.most = max(self.most, self.now())

    def stop(self):
        self._over.set()
        self.join()

    def seen(self):
        """Before, at most, and now."""
        return [self.before, self.most, self.now()]


@contextlib.contextmanager
def serve(model, balancer=None):
    """(a server that asks for a token, the balancer of that name in front of it or None)."""
    with tempfile.TemporaryDirectory(prefix="midlayer-") as folder:
        tokens = pathlib.Path(folder) / "tokens"
        tokens.write_text(f"ann {TOKEN}\n")
        with Replicas(model, "--token-file", tokens) as replicas:
            server = replicas.start(0)
            if balancer is None:
                yield server, None
                return
            with balancers.KINDS[balancer](balancers.find_program(balancer), replicas) as front:
                front.wait()
                yield server, front


def play(name, server, front, seconds, layer=1, options=None):
    """What attack `name` of attacks.py on the server, or on what is in front of it, came to in so many seconds. options: of the attack."""
    target = others_target = front.target if front else server.address
    if name == "slow_http":
        target = server.facts["metrics"].removeprefix("http://").removesuffix("/metrics")
    command = [sys.executable, "-B", HERE / "attacks.py", name, target, str(seconds), json.dumps(options or {})]
    cpu, began = server.cpu_seconds(), time.monotonic()
    with contextlib.ExitStack() as stack:
        def watch(one):
            stack.callback(one.stop)
            return one
        memory, front_memory = watch(Memory(server.process)), watch(Memory(front.process)) if front else None
        bystander = watch(Bystander(others_target, layer))
        done = harness.run(command, timeout=seconds + 2 * harness.BOUND)
        assert done.returncode == 0, done.stderr
    attack, took, alive = json.loads(done.stdout), time.monotonic() - began, server.process.poll() is None
    return {"attack": name, "seconds": took, **attack, "others": bystander.seen(attack["began"], attack["ended"]), "alive": alive,
            "memory_bytes": memory.seen(), "front_memory_bytes": front_memory.seen() if front else None,
            "processors": (server.cpu_seconds() - cpu) / took if alive else None}
