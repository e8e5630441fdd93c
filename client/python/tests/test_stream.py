"""embed_stream(): order, bounded memory, errors of single messages."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from midlayer import Client, EmbedResult, InvalidArgument, MidlayerError, Output
from tests.harness import LONG_TEXT, SLOW, TOLERANCE, Server, eventually

COUNT = 5_000
IN_FLIGHT = 16  # messages
TEXTS = [f"text number {place} of many" for place in range(COUNT)]


class Source:
    """Texts, and how many were taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        for text in TEXTS:
            self.taken += 1
            self.threads.add(threading.get_ident())
            yield text


@pytest.fixture(scope="module")
def expected(server: Server) -> EmbedResult:
    with Client(server.address) as client:
        return client.embed(TEXTS, layer=2)


@pytest.mark.parametrize("batch_size", [1, 32, 256])
def test_order_and_bounded_memory(client: Client, expected: EmbedResult, batch_size: int) -> None:
    source, done = Source(), 0
    for result in client.embed_stream(source, layer=2, batch_size=batch_size):
        assert result.first == done
        assert source.taken - done <= (IN_FLIGHT + 1) * batch_size
        span = slice(done, done + len(result))
        np.testing.assert_allclose(result.vectors, expected.vectors[span], rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(result.tokens, expected.tokens[span])
        assert len(result) == min(batch_size, COUNT - done)
        done += len(result)
    assert done == COUNT
    assert source.threads == {threading.get_ident()}


def test_several_outputs_and_options(client: Client) -> None:
    for result in client.embed_stream(TEXTS[:100], layer=1, pooling="cls", dimensions=3, format="float16"):
        assert (result.layer, result.pooling, result.vectors.shape[1]) == (1, "cls", 3)


def test_answers_larger_than_grpc_takes_by_itself(client: Client) -> None:
    wide = Output([1] * 256)  # 32 KiB a text, 8 MiB a message
    assert client.embed(TEXTS[:256], outputs=[wide]).vectors.shape == (256, 8192)
    done = 0
    for result in client.embed_stream(TEXTS[:2048], outputs=[wide], batch_size=256):
        time.sleep(0.05)
        assert result.vectors.shape == (256, 8192)
        done += len(result)
    assert done == 2048


def test_no_texts_give_no_results(client: Client) -> None:
    assert list(client.embed_stream([])) == []


def test_results_come_while_texts_do(client: Client) -> None:
    taken: list[int] = []

    def slow_texts() -> Iterator[str]:
        for place in range(6):
            taken.append(place)
            yield f"text {place}"
            time.sleep(0.3)

    results = client.embed_stream(slow_texts(), batch_size=1)
    assert next(results).first == 0
    assert len(taken) < 6


def test_one_bad_message_ends_the_stream(client: Client) -> None:
    texts = ["short"] * 100
    texts[70] = LONG_TEXT
    results = client.embed_stream(texts, batch_size=10)
    done = [next(results).first for _ in range(7)]
    assert done == list(range(0, 70, 10))
    with pytest.raises(
        InvalidArgument, match=r"^texts\[70\]: expected at most 66 tokens.* \(texts 70 to 79 got no"
    ) as caught:
        next(results)
    assert caught.value.texts == range(70, 80)


def test_or_is_told_and_the_others_go_on(client: Client) -> None:
    texts: list[str] = ["short"] * 100
    texts[25] = LONG_TEXT
    texts[50] = "\udc00"
    texts[51] = "x" * 2_000_000
    texts[99] = None  # type: ignore[call-overload]
    errors: list[MidlayerError] = []
    results = list(client.embed_stream(texts, batch_size=10, on_error=errors.append))
    assert [error.texts for error in errors] == [range(20, 30), range(50, 51), range(51, 52), range(99, 100)]
    assert [str(error).split(":")[0] for error in errors] == ["texts[25]", "texts[50]", "texts[51]", "texts[99]"]
    done = [place for result in results for place in range(result.first, result.first + len(result))]
    assert done == [*range(20), *range(30, 50), *range(52, 99)]


def test_an_error_that_is_of_no_text_says_which_got_no_vectors(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"^layer: expected 0 to 3 .*found 9 \(texts 0 to 3 got no vectors\)$"):
        list(client.embed_stream(["short"] * 4, layer=9))


def test_bad_arguments_are_refused_at_once(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="^texts: expected a list"):
        client.embed_stream("one string")
    with pytest.raises(InvalidArgument, match="^batch_size: expected 1 or more, found 0"):
        client.embed_stream(["x"], batch_size=0)
    with pytest.raises(InvalidArgument, match="^pooling: expected one of"):
        client.embed_stream(["x"], pooling="average")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"embed_stream\(\) got an unexpected"):
        client.embed_stream(["x"], lyer=3)  # type: ignore[call-arg]


def test_an_error_of_the_source_is_raised_as_it_is(client: Client) -> None:
    def broken() -> Iterator[str]:
        yield from TEXTS[:100]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="^the disk is gone$"):
        list(client.embed_stream(broken()))


def test_a_stream_that_is_left_is_cancelled_and_leaves_no_threads() -> None:
    with Server("bert", *SLOW) as server, Client(server.address) as client:
        before = threading.active_count()
        for result in client.embed_stream((LONG_TEXT for _ in range(100_000)), truncate="right"):
            assert result.first == 0
            break
        gc.collect()
        eventually(lambda: server.requests("EmbedStream", "CANCELLED") > 0)
        eventually(lambda: server.metric("midlayer_queue_texts") == 0)
        eventually(lambda: threading.active_count() <= before)
        assert len(client.embed(["still there"])) == 1
