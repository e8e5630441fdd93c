"""embed(): the same vectors as the command line, every option, and errors that name the field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from midlayer import Client, EmbedOptions, FailedPrecondition, InvalidArgument, Output
from tests.harness import LONG_TEXT, TEXTS, TOLERANCE, Server, cli_vectors

PAIR = ["Layers of a small model.", LONG_TEXT]


@pytest.mark.parametrize(
    ("model", "options", "flags"),
    [
        ("bert", {}, []),
        ("bert", {"layer": 0}, ["--layer=0"]),
        ("bert", {"layer": -2}, ["--layer=-2"]),
        *(
            ("bert", {"layer": 2, "pooling": p}, ["--layer=2", f"--pooling={p}"])
            for p in ("cls", "mean", "last", "max")
        ),
        ("bert", {"layer": 2, "pooling": "weighted_mean"}, ["--layer=2", "--pooling=weighted_mean"]),
        ("gpt2", {"layer": 2, "state": "raw"}, ["--layer=2", "--state=raw"]),
        ("gpt2", {"layer": 2, "state": "normed"}, ["--layer=2", "--state=normed"]),
        ("bert", {"layer": 1, "normalize": False}, ["--layer=1", "--normalize=false"]),
        ("bert", {"layer": 1, "dimensions": 5}, ["--layer=1", "--dimensions=5"]),
        ("sentence", {"prompt_name": "query", "truncate": "right"}, ["--prompt-name=query", "--truncate=right"]),
        ("sentence", {"prompt": "about: ", "truncate": "left"}, ["--prompt=about: ", "--truncate=left"]),
    ],
)
def test_vectors_are_those_of_the_command_line(model: str, options: EmbedOptions, flags: list[str]) -> None:
    texts = [text for text in TEXTS if text]
    with Server(model) as server, Client(server.address) as client:
        result = client.embed(texts, **options)
        assert result.vectors.dtype == np.float32
        np.testing.assert_allclose(result.vectors, cli_vectors(server, texts, *flags), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_long_texts_are_cut_where_that_is_asked_for(client: Client, server: Server, side: Any) -> None:
    result = client.embed(PAIR, truncate=side)
    assert result.truncated.tolist() == [False, True]
    assert result.tokens[1] == 66
    np.testing.assert_allclose(result.vectors, cli_vectors(server, PAIR, f"--truncate={side}"), rtol=0, atol=TOLERANCE)
    with pytest.raises(InvalidArgument, match=r"^texts\[1\]: expected at most 66 tokens"):
        client.embed(PAIR, truncate="none")


def test_a_result_says_what_it_is(client: Client) -> None:
    model = client.model()
    result = client.embed(["one", "two words"], layer=-2)
    assert (result.layer, result.layers, result.pooling, result.state) == (2, (2,), "mean", "raw")
    assert (len(result), result.vectors.shape, result.first) == (2, (2, 32), 0)
    assert result.selection_id is None
    assert result.model_fingerprint == model.fingerprints[2]
    assert result.tokens[0] < result.tokens[1]
    assert not result.truncated.any()
    assert result.timing.forward > 0
    output = result.output
    assert (output.normalized, output.fusion, output.dense, output.layer_source) == (True, None, False, "request")
    assert repr(result) == "EmbedResult(<2 texts x 32 dimensions, layer 2 mean raw>)"
    assert client.embed(["one"]).output.layer_source == "default"


def test_several_outputs_come_from_one_pass(client: Client) -> None:
    whole_number: Any = np.int64(3)
    outputs = [
        Output(1, pooling="cls"),
        Output([1, 3]),
        Output([1, 3], fusion="mean", normalize=False),
        Output([1, 3], fusion="weighted_sum", weights=[0.25, 0.75], normalize=False),
        Output(whole_number, dimensions=4),
    ]
    result = client.embed(TEXTS, outputs=outputs)
    shapes = [output.vectors.shape[1] for output in result.outputs]
    assert shapes == [32, 64, 32, 32, 4]
    assert [output.fusion for output in result.outputs] == [None, "concat", "mean", "weighted_sum", None]
    one, three = (client.embed(TEXTS, layer=layer, normalize=False).vectors for layer in (1, 3))
    np.testing.assert_allclose(result.outputs[2].vectors, (one + three) / 2, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.outputs[3].vectors, one / 4 + three * 3 / 4, rtol=0, atol=1e-5)
    expected = client.embed(TEXTS, layer=1, pooling="cls").vectors
    np.testing.assert_allclose(result.outputs[0].vectors, expected, rtol=0, atol=TOLERANCE)
    with pytest.raises(ValueError, match=r"5 outputs: take one of \.outputs"):
        _ = result.vectors


def test_dense_modules_can_be_left_out() -> None:
    with Server("sentence") as server, Client(server.address) as client:
        with_dense, without = client.embed(["one"], outputs=[Output(), Output(dense=False)]).outputs
        assert (with_dense.dense, without.dense) == (True, False)
        assert with_dense.vectors.shape[1] == client.model().dense_dimensions
        assert without.vectors.shape[1] == client.model().hidden_size


@pytest.mark.parametrize(("kind", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2), ("int8", 1e-2)])
def test_short_formats_are_near(client: Client, kind: Any, tolerance: float) -> None:
    exact = client.embed(TEXTS, format="float32").vectors
    found = client.embed(TEXTS, format=kind).vectors
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance)


def test_binary_keeps_the_signs(client: Client) -> None:
    exact = client.embed(TEXTS, dimensions=27).vectors
    found = client.embed(TEXTS, dimensions=27, format="binary").vectors
    np.testing.assert_array_equal(found, np.where(exact > 0, 1, -1))


def test_expectations_and_priority(client: Client) -> None:
    fingerprint = client.model().fingerprints[3]
    result = client.embed(["one"], expected_model_fingerprint=fingerprint, priority="bulk")
    assert result.model_fingerprint == fingerprint
    with pytest.raises(FailedPrecondition, match="^expected_model_fingerprint: expected"):
        client.embed(["one"], expected_model_fingerprint="0")
    with pytest.raises(FailedPrecondition, match="^expected_selection_id: expected"):
        client.embed(["one"], expected_selection_id="0")


def test_more_texts_than_a_request_takes(client: Client, server: Server) -> None:
    texts = [f"text number {place}" for place in range(700)]
    before = server.requests("EmbedStream")
    result = client.embed(texts, layer=2)
    assert server.requests("EmbedStream") - before == 3
    assert len(result) == 700
    expected = np.concatenate([client.embed(texts[at : at + 100], layer=2).vectors for at in range(0, 700, 100)])
    np.testing.assert_allclose(result.vectors, expected, rtol=0, atol=TOLERANCE)
    assert client.embed((text for text in texts[:3]), layer=2).vectors.shape == (3, 32)


def test_more_bytes_than_a_message_takes(client: Client, server: Server) -> None:
    texts = [str(place) + " word" * 80_000 for place in range(5)]  # 400 kB each
    before = server.requests("EmbedStream")
    result = client.embed(texts, truncate="right")
    assert server.requests("EmbedStream") - before == 2
    assert result.tokens.tolist() == [66] * 5


def test_an_error_in_a_later_message_names_the_text_by_its_place(client: Client) -> None:
    texts = ["short"] * 400
    texts[300] = LONG_TEXT
    with pytest.raises(InvalidArgument, match=r"^texts\[300\]: expected at most 66 tokens") as caught:
        client.embed(texts)
    assert caught.value.texts == range(256, 400)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 9}, "layer: expected 0 to 3 or -4 to -1, found 9"),
        ({"layer": "3"}, "layer: expected a whole number of 32 bits, found '3'"),
        ({"layer": 2**40}, "layer: expected a whole number of 32 bits"),
        ({"pooling": "average"}, "pooling: expected one of cls, mean, last, max, weighted_mean, trained_last, "),
        ({"pooling": ["mean"]}, "pooling: expected a word, found"),
        ({"pooling": 2}, "pooling: expected one of cls, mean, "),
        ({"pooling": "trained_last"}, "pooling: expected a pooling of this server"),
        ({"state": "cooked"}, "state: expected one of raw, normed, found 'cooked'"),
        ({"truncate": "middle"}, "truncate: expected one of none, left, right, found 'middle'"),
        ({"format": "float64"}, "format: expected one of float32, float16, bfloat16, int8, binary, found"),
        ({"priority": "high"}, "priority: expected one of interactive, bulk, found 'high'"),
        ({"dimensions": 33}, "dimensions: expected at most 32, found 33"),
        ({"dimensions": -1}, "dimensions: expected a whole number from 0"),
        ({"normalize": "no"}, "normalize: expected True or False, found 'no'"),
        ({"prompt_name": "none"}, "prompt_name: expected no name"),
        ({"prompt_name": "a", "prompt": "b"}, "prompt: expected none beside prompt_name"),
        ({"outputs": [Output(1), Output(9)]}, r"outputs\[1\].layers: expected 0 to 3"),
        ({"outputs": [Output(pooling="average")]}, r"outputs\[0\].pooling: expected one of cls"),  # type: ignore[arg-type]
        ({"outputs": [Output(layers="12")]}, r"outputs\[0\].layers: expected a list, each a whole number"),  # type: ignore[arg-type]
        ({"outputs": [Output([1, 2], fusion="weighted_sum")]}, r"outputs\[0\].weights: expected 2"),
        ({"outputs": [3]}, r"outputs\[0\]: expected a midlayer.Output, found 3"),
        ({"outputs": [Output(1)], "layer": 1}, "outputs: expected layer, pooling"),
        ({"timeout": 0}, "timeout: expected more than 0 s, found 0"),
    ],
)
def test_bad_input_names_the_field(client: Client, options: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}"):
        client.embed(["x"], **options)


def test_bad_texts_are_named(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"^texts: expected a list of strings, found one string"):
        client.embed("one string")
    with pytest.raises(InvalidArgument, match=r"^texts: expected 1 to 256 texts"):
        client.embed([])
    with pytest.raises(InvalidArgument, match=r"^texts\[1\]: expected a string, found int"):
        client.embed(["a", 3])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match=r"^texts\[1\]: expected Unicode characters, found half a surrogate"):
        client.embed(["a", "b\ud800"])
    with pytest.raises(InvalidArgument, match=r"^texts\[0\]: expected at most 1048576 bytes, found 2000000"):
        client.embed(["x" * 2_000_000])


def test_an_unknown_option_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError, match=r"embed\(\) got an unexpected keyword argument 'lyer'"):
        client.embed(["x"], lyer=3)  # type: ignore[call-arg]


def test_the_limits_of_a_server_that_was_replaced_are_learned() -> None:
    texts = ["one text"] * 10
    with Server() as server, Client(server.address) as client:
        assert len(client.embed(texts)) == 10
        server.kill()
        with Server("bert", "--max-texts", "4", port=server.port):
            with pytest.raises(InvalidArgument, match="^texts: expected 1 to 4 texts"):
                client.embed(texts)
            assert len(client.embed(texts)) == 10


def test_model_and_health(client: Client, server: Server) -> None:
    model = client.model()
    assert (model.name, model.architecture, model.layers, model.max_layer) == ("bert", "bert", 3, 3)
    assert model.poolings == ("cls", "mean", "last", "max", "weighted_mean")
    assert (model.default_pooling, model.selection, model.default_prompt_name) == ("mean", None, None)
    assert client.health() == "SERVING"
    assert client.health("midlayer.v1.ScoringService") == "SERVING"
    assert repr(client) == f"Client('{server.address}')"
