"""The calls that stream, for AsyncClient."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

from midlayer import _answers
from midlayer._async_connection import AsyncConnection, AsyncDuplex
from midlayer._methods import EMBED_STREAM, SCORE_LAYERS
from midlayer._requests import wire_example
from midlayer._streams import EXAMPLES_AHEAD
from midlayer._texts import Chunk, as_async
from midlayer._window import Patience, Window
from midlayer.errors import Internal, MidlayerError, Unavailable
from midlayer.options import ExampleLike
from midlayer.report import ScoreReport
from midlayer.results import EmbedResult, Progress
from midlayer.v1.embedding_pb2 import EmbedRequest, EmbedStreamRequest, EmbedStreamResponse
from midlayer.v1.scoring_pb2 import ScoreLayersRequest, ScoreLayersResponse
from midlayer.v1.scoring_pb2 import ScoreOptions as WireScoreOptions


class _AsyncTextStream:
    """A call of EmbedStream that is made anew where it breaks, and then sends again what has no answer.

    send() and next() may be under way at once: neither waits between looking at the window and acting on it.
    """

    def __init__(self, connection: AsyncConnection, window: Window, patience: Patience) -> None:
        self._connection = connection
        self._window = window
        self._patience = patience
        self._is_done = False
        self._call = connection.open(EMBED_STREAM, patience.timeout)

    def send(self, chunk: Chunk | None) -> None:
        """Sends the texts of a chunk. None: there are no more."""
        if chunk is None:
            self._is_done = True
            self._call.post(None)
        elif (message := self._window.push(chunk)) is not None:
            self._call.post(message)

    async def next(self) -> EmbedResult | MidlayerError:
        """What became of the oldest message."""
        return self._window.take(await self._receive() if self._window.awaits_answer else None)

    async def _receive(self) -> EmbedStreamResponse:
        self._patience.asked()
        while True:
            try:
                answer = await self._call.receive(self._patience.left())
            except Unavailable as error:
                await asyncio.sleep(self._patience.pause(error))
                self._call = self._open_again()
                continue
            if answer is None:
                raise Internal("the server sent fewer answers than messages")
            self._patience.answered()
            return answer

    def _open_again(self) -> AsyncDuplex[EmbedStreamRequest, EmbedStreamResponse]:
        call = self._connection.open(EMBED_STREAM, self._patience.timeout)
        for message in self._window.unanswered():
            call.post(message)
        if self._is_done:
            call.post(None)
        return call

    async def finish(self) -> None:
        """Lets the server end the call, after the last answer."""
        with contextlib.suppress(MidlayerError):
            await self._call.receive(self._patience.left())

    def cancel(self) -> None:
        """Ends the call, if it has not ended."""
        self._call.cancel()


class _Pump:
    """Takes chunks while answers are awaited: at most one of each at once."""

    def __init__(self, chunks: AsyncIterator[Chunk], stream: _AsyncTextStream, window: Window) -> None:
        self._chunks = chunks
        self._stream = stream
        self._window = window
        self._has_more = True
        self._pull: asyncio.Task[Chunk | None] | None = None
        self._answer: asyncio.Task[EmbedResult | MidlayerError] | None = None

    async def next(self) -> EmbedResult | MidlayerError | None:
        """What became of the oldest message; None: that was all."""
        while self._has_more or not self._window.is_empty:
            await self._wait()
            if self._pull is not None and self._pull.done():
                chunk = self._pull.result()
                self._pull = None
                self._has_more = chunk is not None
                self._stream.send(chunk)
            if self._answer is not None and self._answer.done():
                answer, self._answer = self._answer, None
                return answer.result()
        return None

    async def _wait(self) -> None:
        if self._has_more and self._pull is None and not self._window.is_full:
            self._pull = asyncio.ensure_future(_next_of(self._chunks))
        if self._answer is None and not self._window.is_empty:
            self._answer = asyncio.ensure_future(self._stream.next())
        await asyncio.wait(self._tasks(), return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Ends what is under way."""
        self._stream.cancel()
        for task in self._tasks():
            task.cancel()
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in (self._pull, self._answer) if task is not None]


async def _next_of(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    return await anext(chunks, None)


async def embed_stream(
    connection: AsyncConnection,
    request: EmbedRequest,
    chunks: AsyncIterator[Chunk],
    patience: Patience,
    on_error: Callable[[MidlayerError], object] | None,
) -> AsyncGenerator[EmbedResult, None]:
    """Results in the order of `chunks`."""
    window = Window(request)
    stream = _AsyncTextStream(connection, window, patience)
    pump = _Pump(chunks, stream, window)
    try:
        while (found := await pump.next()) is not None:
            if isinstance(found, EmbedResult):
                yield found
            elif on_error is None:
                raise found
            else:
                on_error(found)
        await stream.finish()
    finally:
        await pump.stop()


async def score_layers(
    connection: AsyncConnection,
    options: WireScoreOptions,
    examples: Iterable[ExampleLike] | AsyncIterable[ExampleLike],
    on_progress: Callable[[Progress], object] | None,
    timeout: float | None,
) -> ScoreReport:
    """The report of a run. `timeout`: the longest silence of the server, in seconds."""
    call = connection.open(SCORE_LAYERS, timeout, EXAMPLES_AHEAD)
    try:
        is_open = await call.send(ScoreLayersRequest(options=options))
        place = 0
        async for example in as_async(examples):
            if not is_open:
                break
            is_open = await call.send(ScoreLayersRequest(example=wire_example(place, example)))
            place += 1
        await call.send(None)
        return await _read_report(call, on_progress, timeout)
    finally:
        call.cancel()


async def _read_report(
    call: AsyncDuplex[ScoreLayersRequest, ScoreLayersResponse],
    on_progress: Callable[[Progress], object] | None,
    timeout: float | None,
) -> ScoreReport:
    report: ScoreReport | None = None
    while (answer := await call.receive(timeout)) is not None:
        if answer.HasField("report"):
            report = ScoreReport(answer.report)
        elif on_progress is not None:
            on_progress(_answers.progress(answer.progress))
    if report is None:
        raise Internal("the server sent no report")
    return report
