"""Cuts texts into messages."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

from midlayer.errors import InvalidArgument
from midlayer.results import Model

Thing = TypeVar("Thing")

MESSAGE_BYTES = 1 << 20  # a message takes no further text from here on


@dataclass(frozen=True)
class Limits:
    """Of one message: the most texts, and the most bytes of one text."""

    texts: int
    text_bytes: int

    @staticmethod
    def of(model: Model, batch_size: int | None = None) -> Limits:
        """Those of a server; `batch_size`: at most so many texts."""
        if batch_size is not None and batch_size < 1:
            raise InvalidArgument(f"batch_size: expected 1 or more, found {batch_size}")
        return Limits(min(model.max_texts, batch_size or model.max_texts), model.max_text_bytes)


@dataclass
class Chunk:
    """The texts of one message.

    Attributes:
        first: The place of the first one in the input.
        texts: All of them.
        size: Their bytes.
        fault: Why the only text cannot be sent; empty where it can.
    """

    first: int
    texts: list[str] = field(default_factory=list[str])
    size: int = 0
    fault: str = ""

    @property
    def places(self) -> range:
        """Where its texts are in the input."""
        return range(self.first, self.first + len(self.texts))


class Cutter:
    """Takes texts one by one, and gives chunks as they are full. A text that cannot be sent gets one of its own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._chunk = Chunk(0)

    def add(self, text: str) -> Iterator[Chunk]:
        """The chunks that are full with this text, mostly none."""
        size, fault = self._measure(text)
        if fault:
            yield from self.rest()
        self._chunk.texts.append(text)
        self._chunk.size += size
        self._chunk.fault = fault
        if fault or len(self._chunk.texts) >= self._limits.texts or self._chunk.size >= MESSAGE_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[Chunk]:
        """What is not yet given, if there is any."""
        chunk = self._chunk
        self._chunk = Chunk(chunk.places.stop)
        if chunk.texts:
            yield chunk

    def _measure(self, text: str) -> tuple[int, str]:
        """The bytes of a text, and why it cannot be sent."""
        if not isinstance(cast(object, text), str):
            return 0, f"expected a string, found {type(text).__name__}"
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            return 0, f"expected Unicode characters, found half a surrogate pair at {error.start}"
        limit = self._limits.text_bytes
        return size, f"expected at most {limit} bytes, found {size}" if size > limit else ""


def cut(texts: Iterable[str], limits: Limits) -> Iterator[Chunk]:
    """Chunks of all texts, in order, each as soon as it is full."""
    cutter = Cutter(limits)
    for text in texts:
        yield from cutter.add(text)
    yield from cutter.rest()


async def cut_async(texts: Iterable[str] | AsyncIterable[str], limits: Limits) -> AsyncIterator[Chunk]:
    """The same."""
    cutter = Cutter(limits)
    async for text in as_async(texts):
        for chunk in cutter.add(text):
            yield chunk
    for chunk in cutter.rest():
        yield chunk


async def as_async(things: Iterable[Thing] | AsyncIterable[Thing]) -> AsyncIterator[Thing]:
    """Any iterable as an asynchronous one."""
    if isinstance(things, AsyncIterable):
        async for thing in things:
            yield thing
    else:
        for thing in things:
            yield thing


def refuse_one_string(texts: object) -> None:
    """InvalidArgument for a string in place of many, whose letters would be embedded."""
    if isinstance(texts, (str, bytes)):
        raise InvalidArgument("texts: expected a list of strings, found one string")
