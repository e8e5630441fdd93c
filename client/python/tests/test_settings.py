"""What is made of a client's arguments; words; signatures. No server."""

from __future__ import annotations

import inspect
import math
from typing import Any, get_args

import grpc
import pytest

import midlayer
from midlayer import AsyncClient, Client, InvalidArgument, MidlayerError, Unavailable, errors, words
from midlayer._settings import Settings
from midlayer._window import Patience
from midlayer.words import Words


def make(**changed: Any) -> Settings:
    values: dict[str, Any] = {
        "target": "h:1",
        "tls": None,
        "token": None,
        "timeout": 60.0,
        "max_attempts": 5,
        "keepalive": 30.0,
    }
    return Settings(**(values | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": ""}, "target: expected HOST:PORT"),
        ({"timeout": 0}, "timeout: expected more than 0 s, found 0"),
        ({"timeout": math.nan}, "timeout: expected more than 0 s, found nan"),
        ({"max_attempts": 0}, "max_attempts: expected 1 to 5, found 0"),
        ({"max_attempts": 6}, "max_attempts: expected 1 to 5, found 6"),
        ({"keepalive": 29}, "keepalive: expected 30 s or more, found 29"),
    ],
)
def test_arguments_out_of_their_range_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}"):
        Client(**changed)


def test_the_channel() -> None:
    options = dict(make().channel_options())
    assert options["grpc.keepalive_time_ms"] == 30_000
    assert options["grpc.max_receive_message_length"] == -1
    assert "grpc.enable_http_proxy" not in options
    assert "grpc.keepalive_time_ms" not in dict(make(keepalive=math.inf).channel_options())


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1", "unix:/run/x"]
)
def test_this_machine_is_not_reached_through_a_proxy(target: str) -> None:
    assert dict(make(target=target).channel_options())["grpc.enable_http_proxy"] == 0


def test_only_calls_that_read_are_tried_again() -> None:
    config: dict[str, Any] = make(max_attempts=3).service_config()
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    (methods,) = config["methodConfig"]
    assert [name["method"] for name in methods["name"]] == ["Embed", "GetModel", "ListSelections", "GetSelection"]
    assert methods["retryPolicy"]["maxAttempts"] == 3
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert not methods["waitForReady"]
    assert "methodConfig" not in make(max_attempts=1).service_config()


def test_a_call_that_was_reset_may_be_tried_again() -> None:
    """A proxy resets the calls of a server that has gone; a server's own failure stays what it is."""
    reset = make().describe(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", None)
    assert isinstance(reset, Unavailable)
    assert "h:1 is not available (the call was reset)" in str(reset)
    assert isinstance(make().describe(grpc.StatusCode.INTERNAL, "a defect", None), errors.Internal)


def test_every_code_has_its_error() -> None:
    for code in grpc.StatusCode:
        error = errors.make_error(code, "one\nline\tof \x1b text")
        assert isinstance(error, MidlayerError)
        assert str(error) == "one line of   text"
        if code is not grpc.StatusCode.OK:
            assert error.code is code
            assert errors.code_of(code.value[0]) is code
    assert errors.code_of(99) is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("name", [name for name, value in vars(words).items() if isinstance(value, Words)])
def test_the_words_are_those_of_the_type_hints(name: str) -> None:
    kinds = {get_args(value) for value in vars(words).values() if get_args(value)}
    assert vars(words)[name].words in kinds


def test_words_of_a_newer_server() -> None:
    assert str(words.POOLINGS.word(99)) == "value 99"
    assert words.POOLINGS.word_or_none(0) is None


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_help_shows_the_options(kind: type[Client | AsyncClient]) -> None:
    for method, options in (
        (kind.embed, midlayer.EmbedOptions),
        (kind.embed_stream, midlayer.EmbedOptions),
        (kind.score_layers, midlayer.ScoreOptions),
    ):
        parameters = inspect.signature(method).parameters
        assert set(options.__annotations__) < set(parameters)
        assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)


def test_patience_ends() -> None:
    error = Unavailable("gone")
    for attempts in (1, 3):
        patience = Patience(None, attempts, is_per_answer=True)
        assert patience.left() is None
        for _ in range(attempts - 1):
            assert 0 < patience.pause(error) < 3
        with pytest.raises(Unavailable):
            patience.pause(error)
    patience = Patience(None, 3, is_per_answer=True)
    patience.answered()
    assert sum(patience.pause(error) for _ in range(50)) > 50
    with pytest.raises(InvalidArgument):
        patience.pause(InvalidArgument("wrong"))
    impatient = Patience(0.01, 3, is_per_answer=False)
    with pytest.raises(Unavailable):
        impatient.pause(error)
