"""The channel of AsyncClient, and calls over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Generic, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc import StatusCode

from midlayer._methods import Call, Method, Request, Response, Result
from midlayer._settings import Settings
from midlayer.errors import MidlayerError
from midlayer.tls import make_credentials

Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)
T = TypeVar("T")


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("the coroutine waits")


class AsyncConnection:
    """One channel, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        options = settings.channel_options()
        if settings.tls is None:
            self._channel = grpc.aio.insecure_channel(settings.target, options)
        else:
            credentials = make_credentials(settings.tls, settings.token)
            self._channel = grpc.aio.secure_channel(settings.target, credentials, options)

    async def run(self, call: Call[Request, Response, Result], timeout: float | None) -> Result:
        """The result of a call. MidlayerError where it fails."""
        method = call.method
        seconds = self.settings.seconds(timeout)
        stub = self._channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        try:
            answer = await stub(call.request, timeout=seconds, metadata=self.settings.metadata())
        except grpc.RpcError as error:
            raise self.settings.describe(error.code(), error.details(), seconds) from error
        return call.convert(answer)

    def open(
        self, method: Method[Sent, Received], timeout: float | None, capacity: int = 0
    ) -> AsyncDuplex[Sent, Received]:
        """A call of a method that streams both ways.

        Args:
            method: The method.
            timeout: The longest wait for room, or for an answer, in seconds; None: for ever.
            capacity: At most so many messages wait to be sent; 0: any number.
        """
        return AsyncDuplex(self._channel, self.settings, method, timeout, capacity)

    async def close(self) -> None:
        """Cancels what is under way."""
        await self._channel.close()


class AsyncDuplex(Generic[Sent, Received]):
    """A call that streams both ways. gRPC sends in a task of its own."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        settings: Settings,
        method: Method[Sent, Received],
        timeout: float | None,
        capacity: int,
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._outgoing: asyncio.Queue[Sent | None] = asyncio.Queue(capacity)  # None: no more
        self._end: tuple[StatusCode, str | None] | None = None  # how the call ended; None: it has not
        stub = channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        self._call = stub(self._requests(), metadata=settings.metadata())
        self._call.add_done_callback(self._ended)

    async def _requests(self) -> AsyncIterator[Sent]:
        while (message := await self._outgoing.get()) is not None:
            yield message

    def _ended(self, _: object) -> None:
        """Keeps the status, which gRPC replaces where a message cannot be sent after it came (grpc/grpc#36066).

        Ends gRPC's wait for another message, and send()'s wait for room.
        """
        self._end = _now(self._call.code()), _now(self._call.details())
        while not self._outgoing.empty():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(None)

    def post(self, message: Sent | None) -> None:
        """Sends a message without waiting, for calls of any capacity. None: there are no more."""
        self._outgoing.put_nowait(message)

    async def send(self, message: Sent | None) -> bool:
        """Whether the call still takes messages. None: there are no more. DeadlineExceeded where there is no room."""
        if self._end is not None:
            return False
        try:
            await asyncio.wait_for(self._outgoing.put(message), self._timeout)
        except asyncio.TimeoutError:
            raise self._too_late() from None
        return True

    async def receive(self, seconds: float | None) -> Received | None:
        """The next answer; None: the server has ended the call. MidlayerError where it failed, or after `seconds`."""
        try:
            answer = await asyncio.wait_for(self._call.read(), seconds)
        except asyncio.TimeoutError:
            raise self._too_late() from None
        except grpc.RpcError as error:
            raise self._settings.describe(*self._told(error), self._timeout) from error
        return None if answer is grpc.aio.EOF else cast("Received", answer)

    def _told(self, error: grpc.RpcError) -> tuple[StatusCode, str | None]:
        """How the server ended the call, whether that or INTERNAL of a message that could not be sent came first."""
        if self._end is None or self._end[0] is StatusCode.INTERNAL:
            return error.code(), error.details()
        return self._end

    def _too_late(self) -> MidlayerError:
        return self._settings.describe(StatusCode.DEADLINE_EXCEEDED, None, self._timeout)

    def cancel(self) -> None:
        """Ends the call, if it has not ended."""
        self._call.cancel()
