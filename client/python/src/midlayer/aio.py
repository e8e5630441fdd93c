"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING

from midlayer import _answers, _async_streams, _calls
from midlayer._async_connection import AsyncConnection
from midlayer._requests import embed_request, score_options
from midlayer._settings import MAX_ATTEMPTS, Settings
from midlayer._signatures import shows
from midlayer._texts import Limits, as_async, cut, cut_async, refuse_one_string
from midlayer._window import Patience
from midlayer.client import DEFAULT_BATCH_SIZE, DEFAULT_KEEPALIVE, DEFAULT_TARGET, DEFAULT_TIMEOUT
from midlayer.errors import InvalidArgument, MidlayerError
from midlayer.options import EmbedOptions, ExampleLike, ScoreOptions
from midlayer.report import ScoreReport
from midlayer.results import EmbedResult, Model, Progress, Promotion, Selection, StoredSelection
from midlayer.tls import Tls
from midlayer.words import Health

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class AsyncClient:
    """Client for asyncio: the same methods, arguments and errors. To be made in the event loop that uses it.

    A call whose task is cancelled is cancelled on the server too.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        tls: Tls | bool = False,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        max_attempts: int = MAX_ATTEMPTS,
        keepalive: float = DEFAULT_KEEPALIVE,
    ) -> None:
        encryption = Tls() if tls is True else tls or None
        self._connection = AsyncConnection(Settings(target, encryption, token, timeout, max_attempts, keepalive))
        self._limits: Limits | None = None
        self.selections = AsyncSelections(self._connection)

    async def close(self) -> None:
        """Closes the channel, and cancels what is under way."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._connection.settings.target!r})"

    async def model(self, *, timeout: float | None = None) -> Model:
        """As Client.model()."""
        return await self._connection.run(_calls.model(), timeout)

    async def health(self, service: str = "", *, timeout: float | None = None) -> Health:
        """As Client.health()."""
        return await self._connection.run(_calls.health(service), timeout)

    @shows(EmbedOptions)
    async def embed(
        self, texts: Iterable[str], *, timeout: float | None = None, **options: Unpack[EmbedOptions]
    ) -> EmbedResult:
        """As Client.embed()."""
        refuse_one_string(texts)
        request = embed_request("embed", options)
        chunks = list(cut(texts, self._limits or await self._ask_limits(timeout)))
        try:
            if len(chunks) <= 1:
                return await self._connection.run(_calls.embed(request, chunks), timeout)
            patience = self._patience(timeout, is_per_answer=False)
            stream = _async_streams.embed_stream(self._connection, request, as_async(chunks), patience, None)
            return _answers.join([result async for result in stream])
        except InvalidArgument:
            self._limits = None  # perhaps those of a server that was replaced
            raise

    @shows(EmbedOptions)
    async def embed_stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        on_error: Callable[[MidlayerError], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[EmbedOptions],
    ) -> AsyncGenerator[EmbedResult, None]:
        """As Client.embed_stream(); texts may come from an asynchronous iterable, and are awaited beside the answers.

        Where a loop over it is left early, contextlib.aclosing() ends the call at once.
        """
        refuse_one_string(texts)
        request = embed_request("embed_stream", options)
        chunks = cut_async(texts, Limits.of(await self.model(timeout=timeout), batch_size))
        patience = self._patience(timeout, is_per_answer=True)
        async for result in _async_streams.embed_stream(self._connection, request, chunks, patience, on_error):
            yield result

    @shows(ScoreOptions)
    async def score_layers(
        self,
        examples: Iterable[ExampleLike] | AsyncIterable[ExampleLike] = (),
        *,
        on_progress: Callable[[Progress], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[ScoreOptions],
    ) -> ScoreReport:
        """As Client.score_layers(); examples may come from an asynchronous iterable."""
        seconds = self._connection.settings.seconds(timeout)
        wire = score_options(options)
        return await _async_streams.score_layers(self._connection, wire, examples, on_progress, seconds)

    async def _ask_limits(self, timeout: float | None) -> Limits:
        self._limits = Limits.of(await self.model(timeout=timeout))
        return self._limits

    def _patience(self, timeout: float | None, *, is_per_answer: bool) -> Patience:
        settings = self._connection.settings
        return Patience(settings.seconds(timeout), settings.max_attempts, is_per_answer)


class AsyncSelections:
    """Selections for asyncio: the same methods, arguments and errors."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, *, timeout: float | None = None) -> list[Selection]:
        """As Selections.list()."""
        return await self._connection.run(_calls.list_selections(), timeout)

    async def get(self, id: str, *, timeout: float | None = None) -> StoredSelection:  # noqa: A002
        """As Selections.get()."""
        return await self._connection.run(_calls.get_selection(id), timeout)

    async def promote(
        self,
        id: str,  # noqa: A002
        *,
        expected_current: str | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> Promotion:
        """As Selections.promote()."""
        return await self._connection.run(_calls.promote_selection(id, expected_current, force), timeout)

    async def delete(self, id: str, *, timeout: float | None = None) -> None:  # noqa: A002
        """As Selections.delete()."""
        await self._connection.run(_calls.delete_selection(id), timeout)
