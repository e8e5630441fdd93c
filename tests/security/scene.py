"""One attack on a real server, and what somebody else's calls saw of it meanwhile."""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import harness

HERE = pathlib.Path(__file__).parent
TOKEN = "user-0123456789abcdef"
MIB = 1 << 20
PAUSE = 0.02  # seconds between two calls of the bystander
NEW = 10      # every so many calls are over a connection of their own


class Bystander(threading.Thread):
    """Calls Embed, one call after the other, until stop()."""

    def __init__(self, server, layer):
        super().__init__(daemon=True)
        import grpc
        self._grpc = grpc
        self._protos, self._services = harness.proto("embedding")
        self._server, self._layer = server, layer
        self._over = threading.Event()
        self.calls = []  # (seconds, code)
        self.start()

    def _call(self, channel):
        start, code = time.monotonic(), "OK"
        request = self._protos.EmbedRequest(texts=["a text of somebody who has nothing to do with it"], layer=self._layer)
        try:
            self._services.EmbeddingServiceStub(channel).Embed(request, timeout=harness.BOUND, metadata=[("authorization", f"Bearer {TOKEN}")])
        except self._grpc.RpcError as error:
            code = error.code().name
        self.calls.append((time.monotonic() - start, code))

    def _channel(self):
        return self._grpc.insecure_channel(self._server.address, [("grpc.use_local_subchannel_pool", 1)])

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
        """Calls, those that failed by code, and percentiles of the rest in seconds."""
        self._over.set()
        self.join()
        good = sorted(seconds for seconds, code in self.calls if code == "OK")
        failed = [code for _, code in self.calls if code != "OK"]
        return {"calls": len(self.calls), "failed": {code: failed.count(code) for code in sorted(set(failed))},
                "p50_seconds": good[len(good) // 2] if good else None, "p99_seconds": good[int(0.99 * len(good))] if good else None}


class Memory(threading.Thread):
    """The most memory that a server has had, looked at every 20 ms."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self._server, self._over = server, threading.Event()
        self.before = self.most = server.memory()
        self.start()

    def run(self):
        while not self._over.wait(0.02) and self._server.process.poll() is None:
            self.most = max(self.most, self._server.memory())

    def stop(self):
        self._over.set()
        self.join()


def serve(model, *flags):
    """A server that asks for a token, and has answered a call."""
    with tempfile.NamedTemporaryFile("w", suffix=".tokens") as file:
        file.write(f"ann {TOKEN}\n")
        file.flush()
        server = harness.Server(model, "--token-file", file.name, *flags)
    server.follow()
    return server


def play(name, server, seconds, layer=1, options=None):
    """What attack `name` of attacks.py came to in so many seconds. options: of the attack, in place of its defaults."""
    target = server.address if name != "slow_http" else server.facts["metrics"].removeprefix("http://").removesuffix("/metrics")
    memory, cpu, began = Memory(server), server.cpu_seconds(), time.monotonic()
    bystander = Bystander(server, layer)
    command = [sys.executable, "-B", HERE / "attacks.py", name, target, str(seconds), json.dumps(options or {})]
    done = harness.run(command, timeout=seconds + 2 * harness.BOUND)
    assert done.returncode == 0, done.stderr
    others, took = bystander.stop(), time.monotonic() - began
    memory.stop()
    alive = server.process.poll() is None
    return {"attack": name, "seconds": took, **json.loads(done.stdout), "others": others, "alive": alive,
            "memory_before_bytes": memory.before, "memory_most_bytes": memory.most,
            "memory_after_bytes": server.memory() if alive else None, "cpus": (server.cpu_seconds() - cpu) / took if alive else None}
