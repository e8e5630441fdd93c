"""The client whose calls block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from midlayer import _answers, _calls, _streams
from midlayer._connection import Connection
from midlayer._requests import embed_request, score_options
from midlayer._settings import MAX_ATTEMPTS, Settings
from midlayer._signatures import shows
from midlayer._texts import Limits, cut, refuse_one_string
from midlayer._window import Patience
from midlayer.errors import InvalidArgument, MidlayerError
from midlayer.options import EmbedOptions, ExampleLike, ScoreOptions
from midlayer.report import ScoreReport
from midlayer.results import EmbedResult, Model, Progress, Promotion, Selection, StoredSelection
from midlayer.tls import Tls
from midlayer.words import Health

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 60.0  # seconds
DEFAULT_KEEPALIVE = 30.0  # seconds
DEFAULT_BATCH_SIZE = 32  # texts


class Client:
    """Calls one midlayer-server, or several behind one name, over one channel. Thread-safe; a context manager.

    Errors of every call: MidlayerError, and for each code of gRPC a class of its own (midlayer.errors).

    Args:
        target: HOST:PORT. A name of several addresses (dns:///NAME:PORT) spreads calls over all of them in turn; also
            ipv4:ADDRESS:PORT,ADDRESS:PORT and unix:PATH.
        tls: True encrypts, and trusts the system's roots; a Tls names other roots, or a certificate to show.
        token: Sent with every call as a bearer token. Without TLS it crosses the network for everybody to read.
        timeout: The longest that a call may take, in seconds, unless it says otherwise; math.inf: no limit.
        max_attempts: How often a call that only reads is tried while the server is unavailable, 1 to 5: with 5 over
            1.5 s.
        keepalive: Seconds between pings that find out whether a silent connection still is one, 30 or more; an answer
            may take 20. So a server that hangs is found before a call of the default timeout ends. math.inf: no pings.
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
        self._connection = Connection(Settings(target, encryption, token, timeout, max_attempts, keepalive))
        self._limits: Limits | None = None
        self.selections = Selections(self._connection)

    def close(self) -> None:
        """Closes the channel, and cancels what is under way."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._connection.settings.target!r})"

    def model(self, *, timeout: float | None = None) -> Model:
        """The model and the limits of the server."""
        return self._connection.run(_calls.model(), timeout)

    def health(self, service: str = "", *, timeout: float | None = None) -> Health:
        """Whether a service, "" for all of them, serves: "SERVING" or "NOT_SERVING". NotFound where there is none."""
        return self._connection.run(_calls.health(service), timeout)

    @shows(EmbedOptions)
    def embed(
        self, texts: Iterable[str], *, timeout: float | None = None, **options: Unpack[EmbedOptions]
    ) -> EmbedResult:
        """The vectors of texts, in order; all or nothing.

        More than the server takes in one request are sent in several, of at most max_texts texts (Model) and 1 MiB.

        Args:
            texts: The texts.
            timeout: The longest that the call may take, in seconds. Default: the client's.
            **options: See EmbedOptions.

        Raises:
            InvalidArgument: A text or an option is out of its range; the message names it.
            FailedPrecondition: Not the expected selection or fingerprint.
            ResourceExhausted: The server is full.
            Aborted: A selection was promoted between two requests of the call.
        """
        refuse_one_string(texts)
        request = embed_request("embed", options)
        chunks = list(cut(texts, self._limits or self._ask_limits(timeout)))
        try:
            if len(chunks) <= 1:
                return self._connection.run(_calls.embed(request, chunks), timeout)
            patience = self._patience(timeout, is_per_answer=False)
            return _answers.join(list(_streams.embed_stream(self._connection, request, iter(chunks), patience, None)))
        except InvalidArgument:
            self._limits = None  # perhaps those of a server that was replaced
            raise

    @shows(EmbedOptions)
    def embed_stream(
        self,
        texts: Iterable[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        on_error: Callable[[MidlayerError], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[EmbedOptions],
    ) -> Generator[EmbedResult, None, None]:
        """The vectors of any number of texts, in order, in bounded memory: at most 16 messages are on the way.

        A server that goes away after it has answered may come back, or another in its place, within `timeout`: what
        had no answer is then sent again. Each result says which selection and model made it; they may change midway.
        close() of what is returned, or contextlib.closing(), ends the call early.

        Args:
            texts: The texts. They are taken on the caller's thread, as answers come.
            batch_size: The most texts of a message, and of a result. A message also ends at 1 MiB.
            on_error: Called with the error of a message, whose `texts` says which texts got no vectors; the stream
                goes on. Default: the error is raised, and ends the stream.
            timeout: The longest wait for one answer, in seconds. Default: the client's.
            **options: See EmbedOptions.

        Yields:
            A result for each message; its `first` is the place of its first text.

        Raises:
            InvalidArgument: A text or an option is out of its range; the message names it.
        """
        refuse_one_string(texts)
        request = embed_request("embed_stream", options)
        chunks = cut(texts, Limits.of(self.model(timeout=timeout), batch_size))
        patience = self._patience(timeout, is_per_answer=True)
        return _streams.embed_stream(self._connection, request, chunks, patience, on_error)

    @shows(ScoreOptions)
    def score_layers(
        self,
        examples: Iterable[ExampleLike] = (),
        *,
        on_progress: Callable[[Progress], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[ScoreOptions],
    ) -> ScoreReport:
        """Scores every layer on a data set, and says which one is best and how sure that is.

        Args:
            examples: Texts, mappings with the fields of Example, or Examples; none with `dataset_name`.
            on_progress: Called as the run goes on.
            timeout: The longest silence of the server, in seconds. Default: the client's.
            **options: See ScoreOptions.

        Raises:
            InvalidArgument: An option or an example is out of its range; the message names it.
            FailedPrecondition: A promotion that is refused.
            NotFound: The server has no data set of that name.
            ResourceExhausted: The data set is larger than the server takes, or it has enough runs under way.
        """
        seconds = self._connection.settings.seconds(timeout)
        wire = score_options(options)
        return _streams.score_layers(self._connection, wire, examples, on_progress, seconds)

    def _ask_limits(self, timeout: float | None) -> Limits:
        self._limits = Limits.of(self.model(timeout=timeout))
        return self._limits

    def _patience(self, timeout: float | None, *, is_per_answer: bool) -> Patience:
        settings = self._connection.settings
        return Patience(settings.seconds(timeout), settings.max_attempts, is_per_answer)


class Selections:
    """The layers chosen for the model; the promoted one is what Embed uses where a request names no layer.

    Errors of every call: Unavailable where the store cannot be reached.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, timeout: float | None = None) -> list[Selection]:
        """All that are stored for this model, newest first."""
        return self._connection.run(_calls.list_selections(), timeout)

    def get(self, id: str, *, timeout: float | None = None) -> StoredSelection:  # noqa: A002
        """One of them with its report, by its whole id. NotFound where there is none."""
        return self._connection.run(_calls.get_selection(id), timeout)

    def promote(
        self,
        id: str,  # noqa: A002
        *,
        expected_current: str | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> Promotion:
        """Makes one the default of Embed, on all servers that share the store. Not tried again by itself.

        Args:
            id: Its whole id; "none": go back to none.
            expected_current: Only where the one of this id is promoted now; "none": where none is. Default: any.
            force: Promote on any evidence.
            timeout: The longest that the call may take, in seconds. Default: the client's.

        Raises:
            FailedPrecondition: Another than the expected one is promoted, the evidence is of spectra alone, or the
                model has other weights than the one that was scored.
            NotFound: There is none of that id.
        """
        return self._connection.run(_calls.promote_selection(id, expected_current, force), timeout)

    def delete(self, id: str, *, timeout: float | None = None) -> None:  # noqa: A002
        """Removes one by its whole id, on all servers. FailedPrecondition where it is the promoted one."""
        self._connection.run(_calls.delete_selection(id), timeout)
