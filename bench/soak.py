#!/usr/bin/env python3
"""Half an hour at 80 % of what a server can do, of all that clients do to it: random sizes, layers and poolings, several outputs, streams, short deadlines, cancelled
calls, one bad request in twenty, and scoring runs one after the other.

    tools/setup.sh --tests
    .deps/python-client/bin/python bench/soak.py --minutes 30

Before the load every text is embedded alone, at every layer and pooling: every vector of the load is compared with that. Each request must end once, and as its kind may
end; then the server ends by SIGTERM with exit code 0. Memory is read every two seconds, and its slope is that of the least squares after a sixth, and after half of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from midlayer import AsyncClient, MidlayerError, ResourceExhausted
from midlayer.v1 import embedding_pb2, types_pb2
from server import ROOT, Server

WORDS = "the river of a quiet market and seven letters to old in paper house with light city for north number".split()
EMBED, STREAM = (f"/midlayer.v1.EmbeddingService/{method}" for method in ("Embed", "EmbedStream"))
POOLINGS = [types_pb2.POOLING_MEAN, types_pb2.POOLING_MAX, types_pb2.POOLING_CLS]
TOLERANCE = 2e-6  # of values of vectors of length 1: beside others a text may differ in the last bits
# How often, and how it may end.
KINDS = {
    "plain": (66, {"OK"}), "outputs": (10, {"OK"}), "stream": (4, {"OK"}), "deadline": (5, {"OK", "DEADLINE_EXCEEDED"}), "cancel": (10, {"OK", "CANCELLED"}),
    "bad": (5, {"INVALID_ARGUMENT"}),
}  # fmt: skip


@dataclass
class Expected:
    """What an Embed request asks for."""

    texts: list[int]
    outputs: list[tuple[int, int]]  # layer, index of the pooling

    def request(self, texts: list[str]) -> embedding_pb2.EmbedRequest:
        outputs = [embedding_pb2.OutputSpec(layers=[layer], pooling=POOLINGS[pooling]) for layer, pooling in self.outputs]
        return embedding_pb2.EmbedRequest(texts=[texts[i] for i in self.texts], outputs=outputs)


class Soak:
    def __init__(self, target: str, args: argparse.Namespace) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [grpc.aio.insecure_channel(target, options) for _ in range(8)]
        self.draw = random.Random(args.seed)
        self.texts = [" ".join(self.draw.choices(WORDS, k=int(2 ** self.draw.uniform(0, 8)))) for _ in range(args.texts)]
        self.ends: Counter[tuple[str, str]] = Counter()
        self.begun = self.compared = 0
        self.largest = 0.0
        self.wrong: list[str] = []
        self.score_ends: Counter[str] = Counter()
        self.longest_busy = 0.0  # seconds from the end of a cancelled scoring run for its caller to the last refusal because of it

    def call(self, method: str, response: type):
        """The method with requests that are bytes already, on one of the connections."""
        channel = self.draw.choice(self.channels)
        make = {EMBED: channel.unary_unary, STREAM: channel.stream_stream}[method]
        return make(method, request_serializer=bytes, response_deserializer=response.FromString)

    async def look_before(self, layers: int) -> None:
        """The vectors of every text alone, in self.golden[text, layer, pooling]."""
        self.layers = layers
        wanted = [(layer, pooling) for layer in range(layers + 1) for pooling in range(len(POOLINGS))]
        golden = []
        for i in range(len(self.texts)):
            answer = await self.call(EMBED, embedding_pb2.EmbedResponse)(Expected([i], wanted).request(self.texts).SerializeToString())
            golden.append([vector.values for vector in answer.embeddings[0].vectors])
        self.golden = np.array(golden, np.float32).reshape(len(self.texts), layers + 1, len(POOLINGS), -1)

    def expected(self, outputs: int) -> Expected:
        texts = [self.draw.randrange(len(self.texts)) for _ in range(int(2 ** self.draw.uniform(0, 4)))]
        return Expected(texts, [(self.draw.randint(0, self.layers), self.draw.randrange(len(POOLINGS))) for _ in range(outputs)])

    def compare(self, asked: Expected, answer: embedding_pb2.EmbedResponse) -> None:
        for text, embedding in zip(asked.texts, answer.embeddings, strict=True):
            for (layer, pooling), vector in zip(asked.outputs, embedding.vectors, strict=True):
                apart = float(np.abs(np.array(vector.values, np.float32) - self.golden[text, layer, pooling]).max())
                self.compared += 1
                self.largest = max(self.largest, apart)
                if not apart <= TOLERANCE:
                    self.wrong.append(f"text {text}, layer {layer}, pooling {pooling}: {apart}")

    def bad(self) -> bytes:
        good = self.expected(1).request(self.texts)
        bad = self.draw.choice(["layer", "empty", "pooling", "long", "bytes", "utf8"])
        if bad == "layer":
            good.outputs[0].layers[0] = 99
        elif bad == "empty":
            del good.texts[:]
        elif bad == "pooling":
            good.outputs[0].pooling = 77
        elif bad == "long":
            good.texts.append("long " * 2000)
        elif bad == "bytes":
            return self.draw.randbytes(50)
        return b"\x0a\x02\xff\xfe" if bad == "utf8" else good.SerializeToString()

    async def embed(self, kind: str) -> None:
        asked = self.expected(3 if kind == "outputs" else 1)
        data = self.bad() if kind == "bad" else asked.request(self.texts).SerializeToString()
        timeout = self.draw.uniform(0.001, 0.1) if kind == "deadline" else 60
        call = self.call(EMBED, embedding_pb2.EmbedResponse)(data, timeout=timeout)
        if kind == "cancel":
            asyncio.get_running_loop().call_later(self.draw.uniform(0, 0.1), call.cancel)
        answer = await call
        if kind == "bad":
            return
        self.compare(asked, answer)

    async def stream(self) -> None:
        asked = [self.expected(1) for _ in range(8)]
        messages = (embedding_pb2.EmbedStreamRequest(request=one.request(self.texts)).SerializeToString() for one in asked)
        call = self.call(STREAM, embedding_pb2.EmbedStreamResponse)(iter(messages), timeout=60)
        answers = [answer.response async for answer in call]
        for one, answer in zip(asked, answers, strict=True):
            self.compare(one, answer)

    async def one(self, kind: str) -> None:
        code = "OK"
        try:
            await (self.stream() if kind == "stream" else self.embed(kind))
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        except asyncio.CancelledError:
            code = "CANCELLED"
        self.ends[kind, code] += 1

    async def capacity(self, seconds: float) -> float:
        """Requests a second of the mix in a closed loop, without scoring. Those with a short deadline wait there, and mostly end before they are computed; fewer do
        at a lower load, so a part of this is somewhat more than that part of the work."""
        end, count = time.monotonic() + seconds, 0

        async def client() -> None:
            nonlocal count
            while time.monotonic() < end:
                await self.one(self.kind())
                count += 1

        await asyncio.gather(*[client() for _ in range(32)])
        self.ends.clear()
        return count / seconds

    def kind(self) -> str:
        return self.draw.choices(list(KINDS), [often for often, _ in KINDS.values()])[0]

    async def score(self, client: AsyncClient, until: float) -> None:
        """Scoring runs one after the other; every third is cancelled midway. The place of a cancelled run is free once it has ended in the server."""
        cancelled_at = 0.0
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(self.draw.uniform(0, 5) if self.draw.random() < 1 / 3 else None):
                    await client.score_layers(self.draw.sample(self.texts, 100), refresh=True)
                end = "report"
            except ResourceExhausted:
                end, self.longest_busy = "refused", max(self.longest_busy, time.monotonic() - cancelled_at)
                await asyncio.sleep(0.1)
            except MidlayerError as error:  # DeadlineExceeded is a TimeoutError too
                end = repr(error)
            except TimeoutError:
                end, cancelled_at = "cancelled", time.monotonic()
            self.score_ends[end] += 1

    async def load(self, rate: float, until: float) -> None:
        """Requests at random times, `rate` a second."""
        under_way: set[asyncio.Task[None]] = set()
        at = time.monotonic()
        while at < until:
            at += self.draw.expovariate(rate)
            await asyncio.sleep(max(0, at - time.monotonic()))
            self.begun += 1
            task = asyncio.create_task(self.one(self.kind()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)


class Memory:
    """The resident memory of a process, in MiB, by seconds."""

    def __init__(self, pid: int) -> None:
        self.pid, self.begin = pid, time.monotonic()
        self.read: list[tuple[float, float]] = []

    async def watch(self) -> None:
        while True:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            self.read.append((time.monotonic() - self.begin, pages * 4096 / 2**20))
            await asyncio.sleep(2)

    def slope(self, after: float) -> tuple[float, float]:
        """MiB an hour after this part of the time, and its standard error."""
        seconds, mebibytes = np.array(self.read).T
        late = seconds > seconds[-1] * after
        (slope, _), covariance = np.polyfit(seconds[late], mebibytes[late], 1, cov=True)
        return slope * 3600, float(covariance[0, 0] ** 0.5) * 3600

    def median(self, begin: float) -> float:
        """Of a minute from this part of the time on."""
        seconds, mebibytes = np.array(self.read).T
        begin *= seconds[-1] - 60
        return float(np.median(mebibytes[(seconds >= begin) & (seconds <= begin + 60)]))


async def run(server: Server, args: argparse.Namespace) -> tuple[Soak, Memory, float]:
    soak = Soak(server.target, args)
    await soak.look_before(args.layers)
    capacity = await soak.capacity(args.capacity_seconds)
    print(f"{capacity:.1f} requests/s in a closed loop of 32", flush=True)
    memory = Memory(server.process.pid)
    watching = asyncio.create_task(memory.watch())
    until = time.monotonic() + 60 * args.minutes
    async with AsyncClient(server.target, timeout=600) as client:
        scoring = asyncio.create_task(soak.score(client, until))
        await soak.load(args.part * capacity, until)
        await scoring
    watching.cancel()
    for channel in soak.channels:
        await channel.close()
    return soak, memory, capacity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2")
    parser.add_argument("--layers", type=int, default=6, help="of the model (default 6)")
    parser.add_argument("--binaries", type=Path, default=ROOT / "build/release")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--part", type=float, default=0.8, help="of the capacity (default 0.8)")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--capacity-seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as store:
        server = Server.start(args.binaries / "midlayer-server", ["--model", str(args.model)], store=f"file:{store}")
        try:
            soak, memory, capacity = asyncio.run(run(server, args))
            crashed = server.process.poll()
        finally:
            server.stop()
    unexpected = {end: count for end, count in soak.ends.items() if end[1] not in KINDS[end[0]][1]}
    print(f"{soak.begun} requests begun at {args.part:g} of {capacity:.1f}/s, {sum(soak.ends.values())} ended: "
          + ", ".join(f"{kind} {code} {count}" for (kind, code), count in sorted(soak.ends.items())))  # fmt: skip
    print(f"{soak.compared} vectors compared, {len(soak.wrong)} wrong, largest difference {soak.largest:.2g}; scoring runs: {dict(soak.score_ends)}, "
          f"refused until {soak.longest_busy:.1f} s after one was cancelled")  # fmt: skip
    slopes = ", ".join("{:+.1f} ± {:.1f} MiB an hour after {}".format(*memory.slope(after), name) for after, name in [(1 / 6, "a sixth"), (1 / 2, "half")])
    print(f"resident memory: {', '.join(f'{memory.median(part):.0f}' for part in (0, 1 / 6, 1 / 2, 1))} MiB at the beginning, after a sixth, half and all of the time; "
          f"slope {slopes}; exit code {server.process.returncode}")  # fmt: skip
    if (
        crashed is not None
        or server.process.returncode != 0
        or soak.wrong
        or unexpected
        or sum(soak.ends.values()) != soak.begun
        or soak.score_ends.keys() - {"report", "cancelled", "refused"}
        or soak.longest_busy > 60
        or not soak.score_ends["report"]
    ):
        sys.exit(f"not as it should be: {unexpected} {soak.wrong[:5]}")


if __name__ == "__main__":
    main()
