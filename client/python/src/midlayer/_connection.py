"""The channel of Client, and calls over it that block."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import StatusCode

from midlayer._methods import Call, Method, Request, Response, Result
from midlayer._settings import Settings
from midlayer.errors import MidlayerError
from midlayer.tls import make_credentials

Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)


class Connection:
    """One channel. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        options = settings.channel_options()
        if settings.tls is None:
            self._channel = grpc.insecure_channel(settings.target, options)
        else:
            credentials = make_credentials(settings.tls, settings.token)
            self._channel = grpc.secure_channel(settings.target, credentials, options)

    def run(self, call: Call[Request, Response, Result], timeout: float | None) -> Result:
        """The result of a call. MidlayerError where it fails."""
        method = call.method
        seconds = self.settings.seconds(timeout)
        stub = self._channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        try:
            answer = stub(call.request, timeout=seconds, metadata=self.settings.metadata())
        except grpc.RpcError as error:
            raise self.settings.describe(error.code(), error.details(), seconds) from error
        return call.convert(answer)

    def open(self, method: Method[Sent, Received], timeout: float | None, capacity: int = 0) -> Duplex[Sent, Received]:
        """A call of a method that streams both ways.

        Args:
            method: The method.
            timeout: The longest wait for room, or for an answer, in seconds; None: for ever.
            capacity: At most so many messages wait to be sent; 0: any number.
        """
        return Duplex(self._channel, self.settings, method, timeout, capacity)

    def close(self) -> None:
        """Cancels what is under way."""
        self._channel.close()


class Duplex(Generic[Sent, Received]):
    """A call that streams both ways, for one thread. gRPC sends on a thread of its own, and another one reads."""

    def __init__(
        self,
        channel: grpc.Channel,
        settings: Settings,
        method: Method[Sent, Received],
        timeout: float | None,
        capacity: int,
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._outgoing: queue.Queue[Sent | None] = queue.Queue(capacity)  # None: no more
        self._incoming: queue.SimpleQueue[Received | grpc.RpcError | None] = queue.SimpleQueue()  # None: no more
        self._is_over = threading.Event()
        stub = channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        self._call = stub(iter(self._outgoing.get, None), metadata=settings.metadata())
        threading.Thread(target=self._read, name=f"midlayer-{method.name}", daemon=True).start()

    def _read(self) -> None:
        end: grpc.RpcError | None = None
        try:
            for answer in self._call:
                self._incoming.put(answer)
        except grpc.RpcError as error:
            end = error
        self._is_over.set()
        self._release_sender()
        self._incoming.put(end)

    def _release_sender(self) -> None:
        """Ends gRPC's wait for another message, and send()'s wait for room."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._outgoing.get_nowait()
        self._outgoing.put(None)

    def send(self, message: Sent | None) -> bool:
        """Whether the call still takes messages. None: there are no more. DeadlineExceeded where there is no room."""
        if self._is_over.is_set():
            return False
        try:
            self._outgoing.put(message, timeout=self._timeout)
        except queue.Full:
            raise self._too_late() from None
        return True

    @property
    def has_answer(self) -> bool:
        """Whether receive() would not wait."""
        return not self._incoming.empty()

    def receive(self, seconds: float | None) -> Received | None:
        """The next answer; None: the server has ended the call. MidlayerError where it failed, or after `seconds`."""
        try:
            answer = self._incoming.get(timeout=seconds)
        except queue.Empty:
            raise self._too_late() from None
        if isinstance(answer, grpc.RpcError):
            raise self._settings.describe(answer.code(), answer.details(), self._timeout) from answer
        return answer

    def _too_late(self) -> MidlayerError:
        return self._settings.describe(StatusCode.DEADLINE_EXCEEDED, None, self._timeout)

    def cancel(self) -> None:
        """Ends the call, if it has not ended."""
        self._call.cancel()
