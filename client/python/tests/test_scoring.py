"""score_layers(), reports, selections."""

# pandas and matplotlib do not say all of their types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from midlayer import (
    Client,
    Example,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Progress,
    ResourceExhausted,
    ScoreReport,
)
from tests.harness import REPOSITORY, Server, cli

WORDS = ["the", "layer", "model", "small", "server", "vector", "text", "token", "last", "middle", "reads", "weights"]


def make_texts(count: int) -> list[str]:
    """Of 5 to 14 words, the same on every call."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, 5 + place % 10)) + f" {place}" for place in range(count)]


PAIRS = [
    Example(text, paired_text=f"the small model {place % 7}", score=place % 5)
    for place, text in enumerate(make_texts(40))
]


@pytest.fixture
def own() -> Iterator[Client]:
    """A client of a server with a store of its own."""
    with Server() as server, Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def report(server: Server) -> ScoreReport:
    with Client(server.address) as client:
        return client.score_layers(PAIRS, metrics=["pair_spearman", "prompt_entropy"], example_values=True)


def test_from_examples_to_the_layer_that_embed_uses(own: Client) -> None:
    progress: list[Progress] = []
    report = own.score_layers(PAIRS, metrics=["pair_spearman"], on_progress=progress.append)
    assert {each.stage for each in progress} <= {"forward", "metrics"}
    chosen = report.selection
    assert (chosen.evidence, chosen.metric, chosen.promoted) == ("task", "pair_spearman", False)
    assert own.embed(["x"]).selection_id is None
    promotion = own.selections.promote(chosen.id, expected_current="none")
    assert promotion.selection is not None
    assert (promotion.selection.id, promotion.previous_id) == (chosen.id, None)
    result = own.embed(["x"])
    assert (result.selection_id, result.layer, result.pooling) == (chosen.id, chosen.layer, chosen.pooling)
    assert result.output.layer_source == "selection"
    assert own.embed(["x"], expected_selection_id=chosen.id).layer == chosen.layer
    model = own.model()
    assert model.selection is not None
    assert model.selection.id == chosen.id
    assert own.score_layers(PAIRS, metrics=["pair_spearman"]).cached


def test_score_and_promote_at_once(own: Client) -> None:
    report = own.score_layers(PAIRS, metrics=["pair_spearman"], promote=True, expected_current="none")
    assert report.selection.promoted
    assert own.embed(["x"]).selection_id == report.selection.id
    with pytest.raises(FailedPrecondition):
        own.score_layers(PAIRS, metrics=["pair_spearman"], promote=True, expected_current="none")


def test_selections(own: Client) -> None:
    assert own.selections.list() == []
    one = own.score_layers(PAIRS, metrics=["pair_spearman"]).selection
    other = own.score_layers(make_texts(40), metrics=["prompt_entropy"], criterion="prompt_entropy:min").selection
    assert {selection.id for selection in own.selections.list()} == {one.id, other.id}
    stored = own.selections.get(one.id)
    assert (stored.id, stored.created) == (one.id, one.created)
    assert stored.report.curve("pair_spearman").evidence == "task"
    with pytest.raises(FailedPrecondition, match="force"):
        own.selections.promote(other.id)
    own.selections.promote(other.id, force=True)
    with pytest.raises(FailedPrecondition):
        own.selections.promote(one.id, expected_current="none")
    assert own.selections.promote(one.id, expected_current=other.id).previous_id == other.id
    with pytest.raises(FailedPrecondition, match="promote another one or none"):
        own.selections.delete(one.id)
    assert own.selections.promote("none").selection is None
    own.selections.delete(one.id)
    with pytest.raises(NotFound):
        own.selections.get(one.id)


def test_every_option_reaches_the_server(own: Client) -> None:
    report = own.score_layers(
        make_texts(30),
        metrics=["prompt_entropy", "lidar"],
        poolings=["mean", "cls"],
        criterion="prompt_entropy:max",
        sample_size=20,
        seed=7,
        store=False,
        mode="reference-2025",
        alpha=2.0,
        normalization="log-n",
        state="raw",
        without_special_tokens=True,
        skip_leading_tokens=1,
        views=3,
        permutations=5,
        refresh=True,
        stop_early=True,
        example_values=True,
    )
    options = report.to_dict()["options"]
    expected = {
        "poolings": ["POOLING_MEAN", "POOLING_CLS"],
        "criterion": "prompt_entropy:max",
        "sample_size": 20,
        "seed": "7",
        "store": False,
        "mode": "METRIC_MODE_REFERENCE_2025",
        "alpha": 2.0,
        "normalization": "ENTROPY_NORMALIZATION_LOG_N",
        "state": "STATE_RAW",
        "without_special_tokens": True,
        "skip_leading_tokens": 1,
        "views": 3,
        "permutations": 5,
        "stop_early": True,
        "example_values": True,
    }
    assert expected.items() <= options.items()
    assert own.selections.list() == []


def test_kinds_of_examples(own: Client, tmp_path: Path) -> None:
    texts = make_texts(24)
    labelled = [{"text": text, "label": str(place % 2)} for place, text in enumerate(texts)]
    assert own.score_layers(labelled, metrics=["knn_accuracy"]).curve("knn_accuracy").evidence == "task"
    passages = [Example(f"passage {text}", id=str(place), passage=True) for place, text in enumerate(texts)]
    queries = [Example(text, relevant_ids=[str(place)]) for place, text in enumerate(texts)]
    report = own.score_layers(iter(passages + queries), metrics=["retrieval_mrr"])
    assert report.examples == 48
    (tmp_path / "named.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labelled))
    with Server("bert", "--datasets", tmp_path) as server, Client(server.address) as client:
        named = client.score_layers(dataset_name="named", metrics=["knn_accuracy"])
        assert named.selection.dataset_digest == own.selections.list()[-1].dataset_digest
        with pytest.raises(NotFound):
            client.score_layers(dataset_name="other")


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        (["a text"] * 3, {"criterion": "best"}, "options.criterion: expected auto"),
        (
            ["a text"] * 3,
            {"mode": "reference-2023"},
            "mode: expected one of definition, reference-2024, reference-2025",
        ),
        (["a text"] * 3, {"poolings": ["mean", "median"]}, "poolings: expected one of cls, mean"),
        (["a text"] * 3, {"poolings": "mean"}, "poolings: expected a list, each a word"),
        (["a text"] * 3, {"metrics": "curvature"}, "metrics: expected a list, each a string"),
        (["a text"] * 3, {"normalization": "log-q"}, "normalization: expected one of raw, log-n, log-d, max-entropy, "),
        (["a text"] * 3, {"views": 1}, "options.views: expected 2 to 64"),
        (["a text"] * 3, {"seed": -1}, "seed: expected a whole number from 0"),
        (["a text", ""], {}, r"examples\[1\]"),
        (["a text", {"txt": "b"}], {}, r"examples\[1\]: expected the fields text, label, .*found txt"),
        (["a text", Example("b", score="high")], {}, r"examples\[1\].score: expected a number, found 'high'"),  # type: ignore[arg-type]
        (["a text", Example("b", relevant_ids="3")], {}, r"examples\[1\].relevant_ids: expected a list"),
    ],
)
def test_bad_input_is_named(client: Client, examples: Any, options: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}"):
        client.score_layers(examples, **options)


def test_an_error_of_the_source_is_raised_as_it_is(client: Client) -> None:
    def broken() -> Iterator[str]:
        yield from make_texts(10)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="^the disk is gone$"):
        client.score_layers(broken())
    assert client.health() == "SERVING"


def test_an_early_refusal_ends_the_sending() -> None:
    sent = 0

    def endless() -> Iterator[str]:
        nonlocal sent
        while True:
            sent += 1
            yield f"text {sent}"

    with Server("bert", "--max-score-examples", "100") as server, Client(server.address) as client:
        with pytest.raises(ResourceExhausted, match="^examples: expected at most 100"):
            client.score_layers(endless())


def test_curves_are_arrays(report: ScoreReport) -> None:
    assert repr(report).startswith("<ScoreReport of bert: layer ")
    assert (report.model, report.layers, report.examples) == ("bert", 3, 40)
    assert report.selection.layer in report.ties
    assert report.notes
    curve = report.curve("pair_spearman", "mean")
    assert repr(curve) == f"<Curve pair_spearman (mean) of 4 layers, best {curve.best_layer}>"
    assert curve.layers.tolist() == [0, 1, 2, 3]
    assert curve.higher_is_better
    assert curve.values[curve.best_layer] == curve.values.max()
    assert curve.ranks[curve.best_layer] == 1
    assert (curve.standard_errors > 0).all()
    assert curve.ties_with_best[curve.best_layer]
    entropy = report.curve("prompt_entropy")
    assert (entropy.pooling, entropy.evidence) == (None, "spectral")
    assert entropy.example_values.shape == (4, entropy.examples)
    assert entropy.example_indices.shape == (entropy.examples,)
    with pytest.raises(KeyError, match="expected one of pair_spearman"):
        report.curve("accuracy")


def test_to_dict_is_the_report_of_the_command_line(report: ScoreReport, server: Server, tmp_path: Path) -> None:
    schema = json.loads((REPOSITORY / "docs/report.schema.json").read_text())
    jsonschema.validate(report.to_dict(), schema)
    dataset = tmp_path / "pairs.jsonl"
    rows = [{"text": each.text, "paired_text": each.paired_text, "score": each.score} for each in PAIRS]
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--metrics=pair_spearman,prompt_entropy", "--example-values", "--output=json"]
    written = json.loads(cli("score", f"--target={server.address}", "--dataset", dataset, *flags))
    assert written["cached"]
    found = report.to_dict()
    for path in ("curves", "selection", "ties", "options", "notes"):
        assert _rounded(written[path]) == _rounded(found[path])


def _rounded(value: Any) -> Any:
    """Both write float32 with as many digits as it takes, but not the same ones."""
    return json.loads(json.dumps(value), parse_float=lambda digits: float(np.float32(digits)))


def test_to_pandas(report: ScoreReport) -> None:
    frame = report.to_pandas()
    assert len(frame) == 4 * len(report.curves)
    best = frame[(frame.metric == "pair_spearman") & (frame["rank"] == 1)]
    assert best.layer.tolist() == [report.curve("pair_spearman").best_layer]


def test_plot(report: ScoreReport, tmp_path: Path) -> None:
    figure = report.plot()
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert [title.split(",")[0] for title in titles] == [curve.title for curve in report.curves]
    figure.savefig(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 1000
    assert len(report.plot(["prompt_entropy"]).axes) == 1
    with pytest.raises(
        ValueError, match="^metrics: expected some of pair_pearson, |^metrics: expected some of pair_spearman"
    ):
        report.plot(["accuracy"])
