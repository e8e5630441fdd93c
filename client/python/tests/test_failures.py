"""What becomes of calls when the server is slow, full, ending or gone."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from midlayer import (
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidArgument,
    MidlayerError,
    NotFound,
    ResourceExhausted,
    Unavailable,
    _settings,
)
from tests.fake_server import FakeServer
from tests.harness import LONG_TEXT, SLOW, TOLERANCE, Server, eventually, free_port

TEXTS = [f"text number {place} of many" for place in range(2_000)]


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that the test may stop or end."""
    with Server() as server:
        yield server
        server.signal(signal.SIGCONT)


def test_nobody_there_says_what_to_do() -> None:
    with Client(f"127.0.0.1:{free_port()}", max_attempts=1) as client:
        with pytest.raises(Unavailable) as caught:
            client.embed(["x"])
        assert str(caught.value).startswith(f"cannot reach {client!r}"[:13])
        assert "(connection refused): is midlayer-server running? start it with" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_name_that_is_none_is_named() -> None:
    with Client("no.such.host.invalid:50051") as client, pytest.raises(Unavailable, match="^cannot reach no.such.host"):
        client.model()


CALLS: list[Callable[[Client], object]] = [
    lambda client: client.embed(["x"], timeout=0.3),
    lambda client: client.embed(["x"] * 1000, timeout=0.3),
    lambda client: client.model(timeout=0.3),
    lambda client: client.score_layers(["x"], timeout=0.3),
    lambda client: client.selections.list(timeout=0.3),
]


@pytest.mark.parametrize("call", CALLS)
def test_deadlines(own: Server, call: Callable[[Client], object]) -> None:
    with Client(own.address) as client:
        client.embed(["x"])
        own.stop()
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=rf"^no answer from {own.address} within 0.3 s: wait longer"):
            call(client)
        assert 0.25 < time.monotonic() - start < 5


def test_the_deadline_of_a_client_and_of_a_stream(own: Server) -> None:
    with Client(own.address, timeout=1) as client:
        results = client.embed_stream(TEXTS)
        assert next(results).first == 0
        time.sleep(1.2)  # of the caller: it does not count
        assert next(results).first == 32
        own.stop()
        with pytest.raises(DeadlineExceeded, match="within 1 s"):
            list(results)
        with pytest.raises(TimeoutError):
            client.model()
        own.signal(signal.SIGCONT)
        assert len(client.embed(["x"], timeout=math.inf)) == 1


def test_a_server_that_is_killed_in_the_middle_of_a_stream_and_started_again() -> None:
    with Server() as server, Client(server.address) as client:
        expected = client.embed(TEXTS, layer=2).vectors
        results = client.embed_stream(TEXTS, layer=2)
        found = [next(results) for _ in range(3)]
        server.kill()
        again: list[Server] = []
        starter = threading.Timer(1.0, lambda: again.append(Server(port=server.port)))
        starter.start()
        found += results
        starter.join()
        again[0].close()
        assert [result.first for result in found] == list(range(0, len(TEXTS), 32))
        vectors = np.concatenate([result.vectors for result in found])
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=TOLERANCE)


def test_a_server_that_is_killed_in_the_middle_of_a_stream_for_good() -> None:
    with Server() as server, Client(server.address, timeout=2) as client:
        results = client.embed_stream(TEXTS)
        next(results)
        server.kill()
        start = time.monotonic()
        with pytest.raises(Unavailable, match="^cannot reach"):
            list(results)
        assert 0.2 < time.monotonic() - start < 10


def test_one_attempt_is_one(own: Server) -> None:
    with Client(own.address, max_attempts=1) as client:
        results = client.embed_stream(TEXTS)
        next(results)
        own.kill()
        start = time.monotonic()
        with pytest.raises(Unavailable):
            list(results)
        assert time.monotonic() - start < 5  # other clients try for a minute


@pytest.mark.parametrize("attempts", [1, 3, 5])
def test_a_call_is_tried_again(attempts: int) -> None:
    with FakeServer() as fake, Client(f"127.0.0.1:{fake.port}", max_attempts=attempts) as client:
        fake.refusal = (grpc.StatusCode.UNAVAILABLE, "starting")
        fake.refused_calls = attempts - 1
        assert client.model().name == "fake"
        assert fake.calls == attempts
        fake.refused_calls = 2 * attempts
        with pytest.raises(Unavailable):
            client.model()
        assert fake.calls == 2 * attempts


def test_a_call_under_way_is_tried_again_on_another_server(own: Server) -> None:
    with Server() as other, Client(f"ipv4:{own.address},{other.address}") as client:
        eventually(lambda: _both_answer(client, own, other))
        own.stop()
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(client.embed, [text]) for text in TEXTS[:8]]
            eventually(lambda: sum(call.done() for call in calls) >= 4)
            time.sleep(0.1)
            assert not all(call.done() for call in calls), "none went to the server that is stopped"
            own.kill()
            assert all(len(call.result()) == 1 for call in calls)


def _both_answer(client: Client, *servers: Server) -> bool:
    client.embed(["x"])
    return all(server.requests("Embed") > 0 for server in servers)


def test_a_server_that_hangs_is_left_for_another_long_before_the_deadline(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settings, "MIN_KEEPALIVE_SECONDS", 1.0)
    monkeypatch.setattr(_settings, "_KEEPALIVE_TIMEOUT_SECONDS", 1.0)
    with Server() as other, Client(f"ipv4:{own.address},{other.address}", keepalive=1.0) as client:
        eventually(lambda: _both_answer(client, own, other))
        for text in TEXTS[:50]:  # so that a ping of gRPC, which measures busy connections, may be under way at the stop
            client.embed([text])
        own.stop()
        for text in TEXTS[:8]:
            assert len(client.embed([text], timeout=30)) == 1


def test_two_servers_take_turns(own: Server) -> None:
    with Server() as other, Client(f"ipv4:{own.address},{other.address}") as client:
        eventually(lambda: _both_answer(client, own, other))
        before = own.requests("Embed"), other.requests("Embed")
        for text in TEXTS[:20]:
            client.embed([text])
        assert (own.requests("Embed"), other.requests("Embed")) == (before[0] + 10, before[1] + 10)
        own.kill()
        for text in TEXTS[:20]:
            client.embed([text])


def test_a_dns_target(own: Server) -> None:
    with Client(f"dns:///localhost:{own.port}") as client:
        assert len(client.embed(["x"])) == 1


def test_a_full_server_refuses_calls_and_slows_streams_down() -> None:
    with Server("bert", *SLOW, "--max-waiting-texts", "1") as server, Client(server.address) as client:
        results = client.embed_stream((LONG_TEXT for _ in range(20_000)), truncate="right", batch_size=256)
        next(results)
        with pytest.raises(ResourceExhausted, match="^the queue is full: "):
            while True:
                client.embed(["x"], timeout=5)
        assert next(results).first == 256


def test_a_server_that_drains_ends_what_it_began_and_takes_nothing_new(own: Server) -> None:
    with Client(own.address) as client, Client(own.address, max_attempts=1) as newcomer:
        newcomer.model()
        results = client.embed_stream(TEXTS)
        done = len(next(results))
        own.signal(signal.SIGTERM)
        eventually(lambda: _is_refused(newcomer))
        assert done + sum(len(result) for result in results) == len(TEXTS)
        assert own.wait() == 0


def _is_refused(client: Client) -> bool:
    try:
        client.embed(["x"])
    except Unavailable:
        return True
    return False


def test_a_stream_goes_on_with_the_next_server_where_a_drain_takes_too_long() -> None:
    with Server("bert", *SLOW, "--drain-timeout", "0.2") as server, Client(server.address) as client:
        results = client.embed_stream(TEXTS)
        done = len(next(results))
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        with Server(port=server.port):
            assert done + sum(len(result) for result in results) == len(TEXTS)


def test_close_ends_what_is_under_way(own: Server) -> None:
    client = Client(own.address)
    results = client.embed_stream(TEXTS)
    next(results)
    own.stop()
    threading.Timer(0.3, client.close).start()
    with pytest.raises(Cancelled):
        list(results)


def test_other_errors_have_their_class(own: Server) -> None:
    with Client(own.address) as client:
        with pytest.raises(NotFound, match="^service: expected a service of this server"):
            client.health("no.such.Service")
        with pytest.raises(NotFound):
            client.selections.get("0" * 64)
        with pytest.raises(MidlayerError) as caught:
            client.embed(["x"], layer=99)
        assert type(caught.value) is InvalidArgument
        assert caught.value.code.name == "INVALID_ARGUMENT"
