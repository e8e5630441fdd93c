"""Those who are measured: each starts, gives vectors to compare, and takes a load."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from peers.corpus import Corpus, embed_by_cli
from peers.load import HttpConnection, Result, run_ghz, run_http, summary
from server import ROOT, Server

HERE = Path(__file__).parent
START_SECONDS = 180


@dataclass(frozen=True)
class Tools:
    """Programs, and what every contestant is held to."""

    model: Path
    server: Path
    cli: Path
    ghz: str
    python: str
    infinity: str
    router: str
    threads: int
    max_tokens: int
    server_flags: list[str]
    work: Path


class Contestant(ABC):
    in_process = False

    def __init__(self, tools: Tools, name: str, dtype: str) -> None:
        self.tools, self.name, self.dtype = tools, name, dtype

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def vectors(self, texts: list[str]) -> list[list[float]]: ...

    @abstractmethod
    def measure(self, corpus: Corpus, load: int, seconds: float) -> Result:
        """`load`: clients of a server, texts of a batch of an engine."""

    @abstractmethod
    def stop(self) -> None: ...


class Midlayer(Contestant):
    def __init__(self, tools: Tools, dtype: str, last: int) -> None:
        super().__init__(tools, "midlayer", dtype)
        self._last = last
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        assert self._server
        return self._server

    def start(self) -> None:
        flags = ["--model", str(self.tools.model), "--dtype", self.dtype, "--max-tokens", str(self.tools.max_tokens), "--device", "cpu"]
        self._server = Server.start(self.tools.server, [*flags, "--threads", str(self.tools.threads), *self.tools.server_flags])

    def answers(self, texts: list[str], layer: int) -> list[dict]:
        return embed_by_cli(self.tools.cli, self.server.target, texts, layer, self.tools.work)

    def vectors(self, texts: list[str]) -> list[list[float]]:
        return [answer["embedding"] for answer in self.answers(texts, self._last)]

    def measure(self, corpus: Corpus, load: int, seconds: float) -> Result:
        return self.measure_layers(corpus, [self._last] * len(corpus.texts), load, seconds)

    def measure_layers(self, corpus: Corpus, layers: list[int], clients: int, seconds: float) -> Result:
        """Tokens, and seconds in the model, as the server itself counts them: so the cost of a layer is known apart from the transport."""
        data = corpus.write_requests(self.tools.work, layers)
        before = self.server.counters()
        requests, took, latencies = run_ghz(self.tools.ghz, self.server.target, data, clients, seconds)
        delta = {name: value - before.get(name, 0) for name, value in self.server.counters().items()}
        tokens = delta["midlayer_tokens_total"]
        stages = {stage: delta[f'midlayer_stage_duration_seconds_sum{{stage="{stage}"}}'] for stage in ("forward", "pool")}
        return summary(requests, tokens, took, latencies) | {f"{stage}_us_per_token": 1e6 * sum_ / tokens for stage, sum_ in stages.items()}

    def embed_stream(self, corpus: Corpus, count: int) -> Result:
        """So many texts through `midlayer embed`, which streams them, into a file."""
        file = self.tools.work / "bulk.jsonl"
        file.write_text("\n".join(json.dumps({"text": corpus.texts[i % len(corpus.texts)]}) for i in range(count)))
        command = [self.tools.cli, "embed", "--target", self.server.target, "--input", file, "--layer", str(self._last), "--truncate", "right"]
        before = time.perf_counter()
        with (self.tools.work / "bulk.npy").open("wb") as out:
            done = subprocess.run([*command, "--output", "npy", "--timeout", "0"], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"midlayer embed: {done.stderr.strip()}")
        return {"texts": count, "tokens_per_second": corpus.tokens_of(count) / (time.perf_counter() - before)}

    def stop(self) -> None:
        if self._server:
            self._server.stop()


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def measure_start(contestant: Midlayer, text: str) -> Result:
    """A server of its own: seconds from its start to a first vector, and what it holds when idle."""
    fresh = Midlayer(contestant.tools, contestant.dtype, -1)
    before = time.perf_counter()
    fresh.start()
    try:
        fresh.vectors([text])
        took = time.perf_counter() - before
        time.sleep(0.5)
        return {"first_vector_seconds": took, "resident_mib": resident_mib(fresh.server.process.pid)}
    finally:
        fresh.stop()


class Process(Contestant):
    """One that is a process of our own, whose log is kept."""

    process: subprocess.Popen | None = None

    def spawn(self, command: list[str], *, talks: bool = False) -> subprocess.Popen:
        offline = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(self.tools.threads)}
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with self.log.open("w") as log:
            # The process runs in a folder of its own, where no package of ours hides one of its own.
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe if talks else log, stderr=log, text=True, env=os.environ | offline, cwd=self.tools.work
            )
        return self.process

    @property
    def log(self) -> Path:
        return self.tools.work / f"{self.name} {self.dtype}.log"

    def fail(self, what: str) -> RuntimeError:
        lines = [line for line in self.log.read_text().splitlines() if line.strip()]
        return RuntimeError(f"{what}: {lines[-1].strip() if lines else 'no word of why'}")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Engine(Process):
    """A library in a process of its own, without any transport (peers/engines.py)."""

    in_process = True

    def start(self) -> None:
        onnx = self.tools.work / "model.onnx"
        arguments = [self.name, str(self.tools.model.resolve()), self.dtype, str(self.tools.threads), str(self.tools.max_tokens), str(onnx)]
        self.spawn([self.tools.python, str(HERE / "engines.py"), *arguments], talks=True)
        self._read()

    def _read(self) -> object:
        assert self.process
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            raise self.fail("it ended")
        return json.loads(line)

    def _ask(self, what: dict) -> object:
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self._read()

    def vectors(self, texts: list[str]) -> list[list[float]]:
        return self._ask({"vectors": texts})  # type: ignore[return-value]

    def measure(self, corpus: Corpus, load: int, seconds: float) -> Result:
        done: dict = self._ask({"texts": corpus.texts, "batch": load, "seconds": seconds})  # type: ignore[assignment]
        return summary(done["requests"], corpus.tokens_of(done["requests"]), done["seconds"], done["latencies"])


class PlainServer(Process):
    """grpcio and sentence-transformers, driven as midlayer is (peers/plain_server.py)."""

    def start(self) -> None:
        stubs = self.tools.work / "stubs"
        stubs.mkdir(exist_ok=True)
        limits = [str(self.tools.threads), str(self.tools.max_tokens)]
        folders = [str(ROOT / "proto"), str(stubs)]
        process = self.spawn([self.tools.python, str(HERE / "plain_server.py"), str(self.tools.model.resolve()), *limits, *folders], talks=True)
        assert process.stdout
        if not (port := process.stdout.readline().strip()):
            raise self.fail("it did not start")
        self._target = f"127.0.0.1:{port}"

    def vectors(self, texts: list[str]) -> list[list[float]]:
        return [answer["embedding"] for answer in embed_by_cli(self.tools.cli, self._target, texts, -1, self.tools.work)]

    def measure(self, corpus: Corpus, load: int, seconds: float) -> Result:
        data = corpus.write_requests(self.tools.work, [-1] * len(corpus.texts))
        requests, took, latencies = run_ghz(self.tools.ghz, self._target, data, load, seconds)
        return summary(requests, corpus.tokens_of(requests), took, latencies)


class HttpServer(Process):
    """One that takes JSON by HTTP on a port that it is told."""

    path = ""

    @abstractmethod
    def command(self, port: int) -> list[str]: ...

    @abstractmethod
    def body(self, text: str) -> bytes: ...

    @abstractmethod
    def vector(self, answer: object) -> list[float]: ...

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        process = self.spawn(self.command(self._port))
        for _ in range(START_SECONDS * 2):
            if process.poll() is not None:
                raise self.fail("it ended")
            try:
                self.vectors(["a first text"])
                return
            except (OSError, asyncio.IncompleteReadError):
                time.sleep(0.5)
        raise self.fail(f"no answer by HTTP in {START_SECONDS} s")

    def vectors(self, texts: list[str]) -> list[list[float]]:
        async def ask() -> list[list[float]]:
            connection = HttpConnection(self._port)
            try:
                return [self.vector(json.loads(await connection.post(self.path, self.body(text)))) for text in texts]
            finally:
                connection.close()

        return asyncio.run(ask())

    def measure(self, corpus: Corpus, load: int, seconds: float) -> Result:
        bodies = [self.body(text) for text in corpus.texts]
        requests, took, latencies = asyncio.run(run_http(self._port, self.path, bodies, load, seconds))
        return summary(requests, corpus.tokens_of(requests), took, latencies)


class Infinity(HttpServer):
    path = "/embeddings"

    def command(self, port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        model = ["--model-id", str(self.tools.model.resolve()), "--served-model-name", "model", "--engine", "torch", "--device", "cpu"]
        return [self.tools.infinity, "v2", *model, "--dtype", self.dtype, "--batch-size", "32", "--no-model-warmup", *where]

    def body(self, text: str) -> bytes:
        return json.dumps({"model": "model", "input": [text]}).encode()

    def vector(self, answer: object) -> list[float]:
        return answer["data"][0]["embedding"]  # type: ignore[index]


class Router(HttpServer):
    """text-embeddings-inference, as its build for HTTP."""

    path = "/embed"

    def command(self, port: int) -> list[str]:
        where = ["--hostname", "127.0.0.1", "--port", str(port), "--max-concurrent-requests", "4096"]
        return [self.tools.router, "--model-id", str(self.tools.model.resolve()), "--pooling", "mean", "--dtype", self.dtype, *where]

    def body(self, text: str) -> bytes:
        return json.dumps({"inputs": text, "truncate": True, "normalize": True}).encode()

    def vector(self, answer: object) -> list[float]:
        return answer[0]  # type: ignore[index]


def has_modules(python: str, *modules: str) -> bool:
    if not shutil.which(python):
        return False
    check = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in {modules!r}))"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def find_peers(tools: Tools) -> tuple[list[Contestant], dict[str, str]]:
    """Those that are installed here, and why the others are left out."""
    # Name, kind, dtypes, modules of Python or program that it takes.
    known: list[tuple[str, type[Contestant], list[str], tuple[str, ...] | str]] = [
        ("sentence-transformers", Engine, ["float32", "bfloat16"], ("sentence_transformers",)),
        ("onnxruntime", Engine, ["float32"], ("onnxruntime", "onnx", "sentence_transformers")),
        ("openvino", Engine, ["float32", "bfloat16"], ("openvino", "onnx", "sentence_transformers")),
        ("grpcio + sentence-transformers", PlainServer, ["float32"], ("grpc_tools", "sentence_transformers")),
        ("infinity", Infinity, ["float32", "bfloat16"], tools.infinity),
        ("text-embeddings-inference", Router, ["float32"], tools.router),
    ]
    found: list[Contestant] = []
    missing: dict[str, str] = {}
    for name, kind, dtypes, needs in known:
        installed = bool(shutil.which(needs)) if isinstance(needs, str) else has_modules(tools.python, *needs)
        if installed:
            found += [kind(tools, name, dtype) for dtype in dtypes]
        else:
            missing[name] = "not installed"
    return found, missing
