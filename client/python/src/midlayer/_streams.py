"""The calls that stream, for Client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator

from midlayer import _answers
from midlayer._connection import Connection, Duplex
from midlayer._methods import EMBED_STREAM, SCORE_LAYERS
from midlayer._requests import wire_example
from midlayer._texts import Chunk
from midlayer._window import Patience, Window
from midlayer.errors import Internal, MidlayerError, Unavailable
from midlayer.options import ExampleLike
from midlayer.report import ScoreReport
from midlayer.results import EmbedResult, Progress
from midlayer.v1.embedding_pb2 import EmbedRequest, EmbedStreamRequest, EmbedStreamResponse
from midlayer.v1.scoring_pb2 import ScoreLayersRequest, ScoreLayersResponse
from midlayer.v1.scoring_pb2 import ScoreOptions as WireScoreOptions

EXAMPLES_AHEAD = 64  # that wait to be sent


class _TextStream:
    """A call of EmbedStream that is made anew where it breaks, and then sends again what has no answer."""

    def __init__(self, connection: Connection, window: Window, patience: Patience) -> None:
        self._connection = connection
        self._window = window
        self._patience = patience
        self._is_done = False
        self._call = connection.open(EMBED_STREAM, patience.timeout)

    @property
    def has_next(self) -> bool:
        """Whether the oldest message has its answer, or needs none."""
        return not self._window.is_empty and (not self._window.awaits_answer or self._call.has_answer)

    def send(self, chunk: Chunk | None) -> None:
        """Sends the texts of a chunk. None: there are no more."""
        if chunk is None:
            self._is_done = True
            self._call.send(None)
        elif (message := self._window.push(chunk)) is not None:
            self._call.send(message)

    def next(self) -> EmbedResult | MidlayerError:
        """What became of the oldest message."""
        return self._window.take(self._receive() if self._window.awaits_answer else None)

    def _receive(self) -> EmbedStreamResponse:
        self._patience.asked()
        while True:
            try:
                answer = self._call.receive(self._patience.left())
            except Unavailable as error:
                time.sleep(self._patience.pause(error))
                self._call = self._open_again()
                continue
            if answer is None:
                raise Internal("the server sent fewer answers than messages")
            self._patience.answered()
            return answer

    def _open_again(self) -> Duplex[EmbedStreamRequest, EmbedStreamResponse]:
        call = self._connection.open(EMBED_STREAM, self._patience.timeout)
        for message in self._window.unanswered():
            call.send(message)
        if self._is_done:
            call.send(None)
        return call

    def finish(self) -> None:
        """Lets the server end the call, after the last answer."""
        with contextlib.suppress(MidlayerError):
            self._call.receive(self._patience.left())

    def cancel(self) -> None:
        """Ends the call, if it has not ended."""
        self._call.cancel()


def embed_stream(
    connection: Connection,
    request: EmbedRequest,
    chunks: Iterator[Chunk],
    patience: Patience,
    on_error: Callable[[MidlayerError], object] | None,
) -> Generator[EmbedResult, None, None]:
    """Results in the order of `chunks`. Takes these on the caller's thread, whenever no answer waits."""
    window = Window(request)
    stream = _TextStream(connection, window, patience)
    has_more = True
    try:
        while has_more or not window.is_empty:
            if has_more and not window.is_full and not stream.has_next:
                chunk = next(chunks, None)
                has_more = chunk is not None
                stream.send(chunk)
                continue
            found = stream.next()
            if isinstance(found, EmbedResult):
                yield found
            elif on_error is None:
                raise found
            else:
                on_error(found)
        stream.finish()
    finally:
        stream.cancel()


def score_layers(
    connection: Connection,
    options: WireScoreOptions,
    examples: Iterable[ExampleLike],
    on_progress: Callable[[Progress], object] | None,
    timeout: float | None,
) -> ScoreReport:
    """The report of a run. `timeout`: the longest silence of the server, in seconds."""
    call = connection.open(SCORE_LAYERS, timeout, EXAMPLES_AHEAD)
    try:
        is_open = call.send(ScoreLayersRequest(options=options))
        for place, example in enumerate(examples):
            if not is_open:
                break
            is_open = call.send(ScoreLayersRequest(example=wire_example(place, example)))
        call.send(None)
        return _read_report(call, on_progress, timeout)
    finally:
        call.cancel()


def _read_report(
    call: Duplex[ScoreLayersRequest, ScoreLayersResponse],
    on_progress: Callable[[Progress], object] | None,
    timeout: float | None,
) -> ScoreReport:
    report: ScoreReport | None = None
    while (answer := call.receive(timeout)) is not None:
        if answer.HasField("report"):
            report = ScoreReport(answer.report)
        elif on_progress is not None:
            on_progress(_answers.progress(answer.progress))
    if report is None:
        raise Internal("the server sent no report")
    return report
