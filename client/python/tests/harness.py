"""What the tests share: the real server, and the command line beside it.

Environment: MIDLAYER_BINARY_DIR, where midlayer-server and midlayer were built.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parents[1]
BINARY = Path(os.environ.get("MIDLAYER_BINARY_DIR", REPOSITORY / "build/release"))
MODELS = REPOSITORY / "tests/golden/models"
TEXTS: list[str] = json.loads((REPOSITORY / "tests/golden/texts.json").read_text())
SLOW = ("--batch-tokens", "66")  # a text a batch
LONG_TEXT = "the server reads the weights of the model once and runs every layer on the device " * 5
BOUND = 60.0  # seconds, which only something broken takes
TOLERANCE = 1e-6  # of values: the same text beside others may differ in the last bits

T = TypeVar("T")


def environment() -> dict[str, str]:
    """The environment without what would configure the programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MIDLAYER_")}


def eventually(condition: Callable[[], T]) -> T:
    """Waits for `condition`; its value."""
    end = time.monotonic() + BOUND
    while not (value := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
    return value


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cli(*arguments: object) -> str:
    """The standard output of the command `midlayer`."""
    command = [str(BINARY / "midlayer"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def cli_vectors(server: Server, texts: Sequence[str], *flags: str) -> NDArray[np.float32]:
    """The vectors that `midlayer embed` gives: (texts, dimensions)."""
    lines = cli("embed", f"--target={server.address}", *flags, "--", *texts).splitlines()
    return np.array([json.loads(line)["embedding"] for line in lines], np.float32)


class Server:
    """midlayer-server with a golden model on a free port. Ready once constructed; a context manager."""

    def __init__(self, model: str = "bert", *flags: object, port: int = 0) -> None:
        command = [str(BINARY / "midlayer-server"), "--model", str(MODELS / model), "--listen", f"127.0.0.1:{port}"]
        command += ["--metrics-listen", "127.0.0.1:0", "--device", "cpu", "--threads", "1"]
        command += [] if "--selection-store" in flags else ["--selection-store", "memory"]
        command += map(str, flags)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment()
        )
        facts = self._read_block()
        if "grpc" not in facts:
            self._errors.seek(0)
            message = f"no start-up block: {self._errors.read()}"
            self.close()
            raise AssertionError(message)
        self.address = facts["grpc"]
        self.port = int(self.address.rsplit(":", 1)[1])
        self._metrics = facts["metrics"]

    def _read_block(self) -> dict[str, str]:
        assert self.process.stdout is not None
        facts: dict[str, str] = {}
        watchdog = threading.Timer(BOUND, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            name, *value = line.split(None, 1)
            facts[name] = "".join(value).strip()
            if name == "metrics":
                break
        watchdog.cancel()
        return facts

    def metric(self, series: str) -> float:
        """A series' value; 0 where it is not there."""
        with urllib.request.urlopen(self._metrics, timeout=BOUND) as answer:
            found = re.search(rf"^{re.escape(series)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def requests(self, method: str, code: str = "OK") -> float:
        """How many calls of a method ended with a code."""
        return self.metric(f'midlayer_requests_total{{code="{code}",method="{method}"}}')

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """Stops it for a while: it answers nothing until SIGCONT."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self.process.communicate(timeout=BOUND)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
