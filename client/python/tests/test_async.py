"""AsyncClient: the same results and errors, side by side, and cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from midlayer import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    EmbedResult,
    Example,
    FailedPrecondition,
    InvalidArgument,
    MidlayerError,
    Output,
    Progress,
    ResourceExhausted,
    Unavailable,
)
from tests.harness import LONG_TEXT, SLOW, TOLERANCE, Server, eventually
from tests.test_scoring import PAIRS

COUNT = 5_000
TEXTS = [f"text number {place} of many" for place in range(COUNT)]


@pytest.fixture
async def own() -> AsyncIterator[tuple[Server, AsyncClient]]:
    """A server that the test may stop or end, and its client."""
    with Server() as server:
        async with AsyncClient(server.address) as client:
            yield server, client
        server.signal(signal.SIGCONT)


async def test_the_same_as_the_client_that_blocks(client: Client, server: Server) -> None:
    async with AsyncClient(server.address) as other:
        assert await other.model() == client.model()
        assert await other.health() == "SERVING"
        found, expected = await other.embed(TEXTS[:9], layer=2), client.embed(TEXTS[:9], layer=2)
        np.testing.assert_allclose(found.vectors, expected.vectors, rtol=0, atol=TOLERANCE)
        many = await other.embed(TEXTS[:700], outputs=[Output(1), Output([1, 2])])
        assert [output.vectors.shape for output in many.outputs] == [(700, 32), (700, 64)]
        with pytest.raises(InvalidArgument, match="^layer: expected 0 to 3"):
            await other.embed(["x"], layer=9)
        with pytest.raises(InvalidArgument, match="^texts: expected a list"):
            await other.embed("x")
        assert repr(other) == f"AsyncClient('{server.address}')"


async def test_calls_run_side_by_side(server: Server) -> None:
    async with AsyncClient(server.address) as client:
        results = await asyncio.gather(*(client.embed([text]) for text in TEXTS[:50]))
        assert all(len(result) == 1 for result in results)


@pytest.mark.parametrize("is_async", [False, True])
async def test_order_and_bounded_memory(server: Server, is_async: bool) -> None:
    taken = done = 0

    def blocking() -> Iterator[str]:
        nonlocal taken
        for text in TEXTS:
            taken += 1
            yield text

    async def waiting() -> AsyncIterator[str]:
        for text in blocking():
            if taken % 100 == 0:
                await asyncio.sleep(0)
            yield text

    async with AsyncClient(server.address) as client:
        expected = await client.embed(TEXTS, layer=2)
        async for result in client.embed_stream(waiting() if is_async else blocking(), layer=2):
            assert result.first == done
            assert taken - done <= 18 * 32  # 16 messages on the way, one that waits, and this one
            span = slice(done, done + len(result))
            np.testing.assert_allclose(result.vectors, expected.vectors[span], rtol=0, atol=TOLERANCE)
            done += len(result)
    assert done == COUNT


async def test_answers_larger_than_grpc_takes_by_itself(server: Server) -> None:
    wide = Output([1] * 256)  # 32 KiB a text, 8 MiB a message
    async with AsyncClient(server.address) as client:
        done = 0
        async for result in client.embed_stream(TEXTS[:2048], outputs=[wide], batch_size=256):
            await asyncio.sleep(0.05)
            assert result.vectors.shape == (256, 8192)
            done += len(result)
    assert done == 2048


async def test_results_come_while_texts_are_awaited(server: Server) -> None:
    last = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        yield "one"
        await last.wait()
        yield "two"

    async with AsyncClient(server.address) as client:
        results = client.embed_stream(texts(), batch_size=1)
        assert (await anext(results)).first == 0
        last.set()
        assert [result.first async for result in results] == [1]


async def test_errors_of_messages(server: Server) -> None:
    texts = ["short"] * 100
    texts[25] = LONG_TEXT
    texts[50] = "\udc00"
    errors: list[MidlayerError] = []
    async with AsyncClient(server.address) as client:
        results = [each async for each in client.embed_stream(texts, batch_size=10, on_error=errors.append)]
        assert [error.texts for error in errors] == [range(20, 30), range(50, 51)]
        assert sum(len(result) for result in results) == 89
        with pytest.raises(InvalidArgument, match=r"^texts\[25\]: expected at most 66 tokens"):
            await _all(client.embed_stream(texts))
        with pytest.raises(OSError, match="^the disk is gone$"):
            await _all(client.embed_stream(_broken()))


async def _all(results: AsyncIterator[EmbedResult]) -> list[EmbedResult]:
    return [result async for result in results]


async def _broken() -> AsyncIterator[str]:
    yield "one"
    raise OSError("the disk is gone")


async def test_deadlines(own: tuple[Server, AsyncClient]) -> None:
    server, client = own
    await client.embed(["x"])
    server.stop()
    calls = [
        client.embed(["x"], timeout=0.3),
        client.embed(["x"] * 1000, timeout=0.3),
        client.score_layers(["x"], timeout=0.3),
        client.selections.list(timeout=0.3),
        _all(client.embed_stream(["x"], timeout=0.3)),
    ]
    start = time.monotonic()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert 0.25 < time.monotonic() - start < 5
    assert [type(error) for error in errors] == [DeadlineExceeded] * len(calls)
    assert all(f"no answer from {server.address} within 0.3 s" in str(error) for error in errors)


async def test_a_cancelled_task_ends_the_call_on_the_server() -> None:
    limits = ("--max-texts", "100000", "--max-waiting-texts", "100000", "--max-text-bytes", "10000000")
    with Server("bert", *SLOW, *limits) as server:
        async with AsyncClient(server.address) as client:
            task = asyncio.create_task(client.embed([LONG_TEXT] * 2_000, truncate="right", layer=3))
            await asyncio.to_thread(eventually, lambda: server.metric("midlayer_texts_total") > 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(eventually, lambda: server.requests("Embed", "CANCELLED") == 1)
            assert server.metric("midlayer_texts_total") < 2_000
            assert len(await client.embed(["still there"])) == 1


async def test_a_stream_that_is_left_or_cancelled_ends_on_the_server() -> None:
    with Server("bert", *SLOW) as server:
        async with AsyncClient(server.address) as client:
            texts = [LONG_TEXT] * 50_000
            async with contextlib.aclosing(client.embed_stream(texts, truncate="right")) as results:
                assert (await anext(results)).first == 0
            await asyncio.to_thread(eventually, lambda: server.requests("EmbedStream", "CANCELLED") > 0)
            task = asyncio.create_task(_all(client.embed_stream(texts, truncate="right")))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(eventually, lambda: server.metric("midlayer_queue_texts") == 0)
            while len(asyncio.all_tasks()) > 1:  # gRPC's own end a moment later
                await asyncio.sleep(0.005)


async def test_a_server_that_is_killed_in_the_middle_of_a_stream_and_started_again(
    own: tuple[Server, AsyncClient],
) -> None:
    server, client = own
    results = client.embed_stream(TEXTS, layer=2)
    found = [await anext(results) for _ in range(3)]
    server.kill()
    again: list[Server] = []
    starter = threading.Timer(1.0, lambda: again.append(Server(port=server.port)))
    starter.start()
    found += [result async for result in results]
    await asyncio.to_thread(starter.join)
    expected = await client.embed(TEXTS, layer=2)
    again[0].close()
    assert [result.first for result in found] == list(range(0, COUNT, 32))
    vectors = np.concatenate([result.vectors for result in found])
    np.testing.assert_allclose(vectors, expected.vectors, rtol=0, atol=TOLERANCE)
    with pytest.raises(Unavailable, match="^cannot reach"):
        await client.embed(["x"])


async def test_a_server_that_drains(own: tuple[Server, AsyncClient]) -> None:
    server, client = own
    results = client.embed_stream(TEXTS)
    done = len(await anext(results))
    server.signal(signal.SIGTERM)
    async for result in results:
        done += len(result)
    assert done == COUNT
    assert await asyncio.to_thread(server.wait) == 0


async def test_a_full_server() -> None:
    with Server("bert", *SLOW, "--max-waiting-texts", "1") as server:
        async with AsyncClient(server.address) as client:
            results = client.embed_stream([LONG_TEXT] * 20_000, truncate="right", batch_size=256)
            await anext(results)
            with pytest.raises(ResourceExhausted, match="^the queue is full"):
                while True:
                    await client.embed(["x"])
            assert (await anext(results)).first == 256


async def test_an_early_refusal_is_told_whatever_is_being_sent() -> None:
    """grpc.aio tells INTERNAL, most times, where a message cannot be sent after the server's answer came."""
    with Server("bert", "--max-score-examples", "100") as server:
        async with AsyncClient(server.address) as client:
            for _ in range(20):
                with pytest.raises(ResourceExhausted, match="^examples: expected at most 100"):
                    await client.score_layers(f"text {place}" for place in itertools.count())


async def test_two_servers_take_turns(own: tuple[Server, AsyncClient]) -> None:
    one, _ = own
    with Server() as other:
        async with AsyncClient(f"ipv4:{one.address},{other.address}") as client:
            while min(one.requests("Embed"), other.requests("Embed")) <= 5:
                await client.embed(["x"])


async def test_from_examples_to_the_layer_that_embed_uses(own: tuple[Server, AsyncClient]) -> None:
    _, client = own
    progress: list[Progress] = []
    report = await client.score_layers(PAIRS, metrics=["pair_spearman"], on_progress=progress.append)
    chosen = report.selection
    assert [selection.id for selection in await client.selections.list()] == [chosen.id]
    assert (await client.selections.get(chosen.id)).report.curves[0].metric == "pair_spearman"
    assert (await client.selections.promote(chosen.id, expected_current="none")).previous_id is None
    assert (await client.embed(["x"])).selection_id == chosen.id
    with pytest.raises(FailedPrecondition):
        await client.selections.delete(chosen.id)
    await client.selections.promote("none")
    await client.selections.delete(chosen.id)
    with pytest.raises(InvalidArgument, match=r"^examples\[1\]"):
        await client.score_layers(["a text", ""])

    async def pairs() -> AsyncIterator[Example]:
        for pair in PAIRS:
            await asyncio.sleep(0)
            yield pair

    assert (await client.score_layers(pairs(), metrics=["pair_spearman"])).selection.id == chosen.id
