"""Load in a closed loop, one text a request: ghz for gRPC, a few lines of asyncio for HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path

from server import METHOD

Result = dict[str, float]


def summary(requests: int, tokens: float, seconds: float, latencies: list[float]) -> Result:
    """Figures of a measurement; latencies in seconds."""
    ordered = sorted(latencies)
    return {
        "requests_per_second": requests / seconds,
        "tokens_per_second": tokens / seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
    }


def run_ghz(ghz: str, target: str, data: Path, clients: int, seconds: float) -> tuple[int, float, list[float]]:
    """Requests answered, seconds taken, latencies in seconds: for servers of midlayer's proto."""
    out = subprocess.run(
        [ghz, "--insecure", "--call", METHOD, "-D", data, "-c", str(clients), "--connections", str(min(clients, 8)), "-z", f"{seconds}s",
         "--duration-stop", "wait", "-n", "0", "--timeout", "120s", "--format", "json", "--import-paths", Path(__file__).parents[2] / "proto",
         "--proto", "midlayer/v1/embedding.proto", target],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if out.returncode:
        raise RuntimeError(f"ghz: {out.stderr.strip()}")
    report = json.loads(out.stdout)
    if set(report["statusCodeDistribution"]) != {"OK"}:
        raise RuntimeError(f"requests failed: {report['statusCodeDistribution']} {report.get('errorDistribution')}")
    return report["count"], report["total"] / 1e9, [detail["latency"] / 1e9 for detail in report["details"]]


class HttpConnection:
    """One kept-alive connection that posts JSON; HTTP/1.1 as servers of embeddings speak it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        if "content-length" in headers:
            answer = await reader.readexactly(int(headers["content-length"]))
        else:
            answer = await self._read_chunks(reader)
        if " 200 " not in status + " ":
            raise RuntimeError(f"{status}: {answer[:300]!r}")
        return answer

    @staticmethod
    async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
        answer = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            answer += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return answer

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()


async def run_http(port: int, path: str, bodies: list[bytes], clients: int, seconds: float) -> tuple[int, float, list[float]]:
    """As run_ghz; every client asks for the next text as soon as it has the answer to its last."""
    latencies: list[float] = []
    taken = 0
    start = time.perf_counter()

    async def client() -> None:
        nonlocal taken
        connection = HttpConnection(port)
        try:
            while (before := time.perf_counter()) - start < seconds:
                body = bodies[taken % len(bodies)]
                taken += 1
                await connection.post(path, body)
                latencies.append(time.perf_counter() - before)
        finally:
            connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return len(latencies), time.perf_counter() - start, latencies
