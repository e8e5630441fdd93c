"""What both clients' streams of texts share: which messages are on the way, and when to give up. No I/O."""

from __future__ import annotations

import random
import re
import time
from collections import deque
from dataclasses import dataclass

from midlayer import _answers
from midlayer._settings import MAX_RETRY_SECONDS, RETRY_SECONDS
from midlayer._texts import Chunk
from midlayer.errors import InvalidArgument, MidlayerError, Unavailable, code_of, make_error
from midlayer.results import EmbedResult
from midlayer.v1.embedding_pb2 import EmbedRequest, EmbedStreamRequest, EmbedStreamResponse

MAX_MESSAGES = 16
MAX_BYTES = 16 << 20  # of texts
_TEXT = re.compile(r"^texts\[(\d+)\]")


@dataclass(frozen=True)
class _Sent:
    chunk: Chunk
    message: EmbedStreamRequest | None  # None: it cannot be sent


class Window:
    """The messages of one stream that have no answer yet, oldest first."""

    def __init__(self, request: EmbedRequest) -> None:
        """`request` is what all messages have beside their texts."""
        self._request = request
        self._sent: deque[_Sent] = deque()
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether all have their answer."""
        return not self._sent

    @property
    def is_full(self) -> bool:
        """Whether no more may be sent before an answer comes."""
        return len(self._sent) >= MAX_MESSAGES or self._bytes >= MAX_BYTES

    def push(self, chunk: Chunk) -> EmbedStreamRequest | None:
        """The message to send for it; None where it cannot be sent."""
        message = None
        if not chunk.fault:
            message = EmbedStreamRequest(request=self._request)
            message.request.texts.extend(chunk.texts)
        self._sent.append(_Sent(chunk, message))
        self._bytes += chunk.size
        return message

    def unanswered(self) -> list[EmbedStreamRequest]:
        """What has to be sent again where a stream broke."""
        return [sent.message for sent in self._sent if sent.message is not None]

    @property
    def awaits_answer(self) -> bool:
        """Whether the next result comes from the server."""
        return bool(self._sent) and self._sent[0].message is not None

    def take(self, answer: EmbedStreamResponse | None) -> EmbedResult | MidlayerError:
        """What became of the oldest message. `answer` is the server's, None unless awaits_answer."""
        sent = self._sent.popleft()
        self._bytes -= sent.chunk.size
        if answer is None:
            return _refused(sent.chunk, InvalidArgument(f"texts[0]: {sent.chunk.fault}"))
        if answer.WhichOneof("result") == "response":
            return _answers.embed_result(answer.response, len(sent.chunk.texts), sent.chunk.first)
        return _refused(sent.chunk, make_error(code_of(answer.error.code), answer.error.message))


def _refused(chunk: Chunk, error: MidlayerError) -> MidlayerError:
    """The same error with the places of the input in place of those of the message."""
    places = chunk.places
    message = _TEXT.sub(lambda match: f"texts[{places.start + int(match[1])}]", str(error))
    if len(places) > 1:
        message += f" (texts {places.start} to {places.stop - 1} got no vectors)"
    moved = make_error(error.code, message)
    moved.texts = places
    return moved


class Patience:
    """How long a stream waits for an answer, and whether it is made anew where it broke."""

    def __init__(self, timeout: float | None, max_attempts: int, is_per_answer: bool) -> None:
        """`timeout` in seconds, None: for ever; of each answer, or of all."""
        self.timeout = timeout
        self._max_attempts = max_attempts
        self._is_per_answer = is_per_answer
        self._has_answer = False
        self._attempts = 1
        self._end = self._next_end()

    def _next_end(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def asked(self) -> None:
        """A wait begins."""
        if self._is_per_answer and self._attempts == 1:
            self._end = self._next_end()

    def answered(self) -> None:
        """An answer came."""
        self._has_answer = True
        self._attempts = 1

    def left(self) -> float | None:
        """Seconds until the wait is over, 0 at least; None: it never is."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def pause(self, error: MidlayerError) -> float:
        """Seconds to wait before a new stream is made after `error`; raises it where that is no use.

        A server that never answered gets as many tries as any call. One that did is being restarted, or replaced by
        another: it gets all the time that there is.
        """
        is_over = self._attempts >= self._max_attempts and not self._has_answer
        if not isinstance(error, Unavailable) or self._max_attempts == 1 or is_over:
            raise error
        seconds = min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** min(self._attempts - 1, 10))
        left = self.left()
        if left is not None and left < seconds:
            raise error
        self._attempts += 1
        return seconds * random.uniform(0.8, 1.2)
