"""What calls take: outputs, options and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from midlayer.words import EntropyNormalization, Fusion, MetricMode, Pooling, Priority, State, Truncate, VectorFormat


@dataclass(frozen=True)
class Output:
    """One vector to make of every text: from which layers, and how.

    Attributes:
        layers: One layer or several, 0 (embedding output) to the number of blocks L, or -1 (the last) to -(L + 1).
            None: the promoted selection, and the last loaded layer where there is none.
        pooling: Default: with the selection's layer the pooling that it was measured with, else the model's own.
        state: "raw", or "normed": the model's final norm applied to middle layers too. Default: "raw", and with the
            selection's layer the state that it was measured with.
        fusion: How several layers become one vector. Default: "concat".
        weights: One a layer, for the fusion "weighted_sum" only.
        normalize: Whether the vector is scaled to length 1. Default: True.
        dimensions: Keep only the first so many, then normalise. Default: all.
        dense: Whether the model's own Dense modules follow the pooling. Default: for its last layer, as it was trained.
    """

    layers: int | Sequence[int] | None = None
    pooling: Pooling | None = None
    state: State | None = None
    fusion: Fusion | None = None
    weights: Sequence[float] | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    dense: bool | None = None


class EmbedOptions(TypedDict, total=False):
    """Options of embed() and embed_stream(). None, or not given: the server's default.

    Attributes:
        layer: As Output.layers, one of them.
        pooling: As Output.pooling.
        state: As Output.state.
        normalize: As Output.normalize.
        dimensions: As Output.dimensions.
        outputs: 1 to 64 outputs of every text, in place of the five options above; all come from one pass.
        truncate: What to do with a text of more tokens than the model takes. Default: "none", which refuses it.
        prompt_name: The model's prompt that is put before every text (Model.prompts). Default: the model's own.
        prompt: The prompt itself; "" for none.
        format: How numbers travel; vectors are float32 on arrival. int8 is 4 times smaller, and off by up to 1/254 of
            the largest value; binary keeps the signs alone: 1 above 0, else -1. Default: "float32".
        priority: Which texts go first on a busy server. Default: "interactive" up to 8 texts, else "bulk".
        expected_selection_id: FailedPrecondition unless this selection is the promoted one.
        expected_model_fingerprint: FailedPrecondition unless the answer would carry this fingerprint.
    """

    layer: int | None
    pooling: Pooling | None
    state: State | None
    normalize: bool | None
    dimensions: int | None
    outputs: Sequence[Output] | None
    truncate: Truncate | None
    prompt_name: str | None
    prompt: str | None
    format: VectorFormat | None
    priority: Priority | None
    expected_selection_id: str | None
    expected_model_fingerprint: str | None


@dataclass(frozen=True)
class Example:
    """One text of a data set, with what is known of it.

    Attributes:
        text: The text: of a class, of a pair, a query, or just a text.
        label: Its class.
        paired_text: A second text. With `score`: how alike the two are. Without: the passage that the text should find.
        score: How alike the two texts are, on any scale.
        id: Its name among the passages, with `passage` only.
        relevant_ids: Names of the passages that it should find.
        passage: It is a passage to be found, no query.
    """

    text: str
    label: str | None = None
    paired_text: str | None = None
    score: float | None = None
    id: str | None = None
    relevant_ids: Sequence[str] = ()
    passage: bool = False


# An example, the fields of one, or a text alone.
ExampleLike: TypeAlias = Example | Mapping[str, object] | str


class ScoreOptions(TypedDict, total=False):
    """Options of score_layers(). None, or not given: the server's default.

    Attributes:
        metrics: Metrics by name, or by group: unlabelled, views, self_retrieval, masked_self_retrieval, labelled,
            paired, all. Default: all that the examples allow, but views (16 passes a text) and masked_self_retrieval.
        poolings: Poolings to measure with. Default: the model's own.
        criterion: "auto" (default: the strongest evidence that there is), a metric with its direction
            ("prompt_entropy:min"), or a weighted rank of several ("silhouette_cosine:max=2,curvature:min=1").
        sample_size: Use at most so many examples, drawn at random. Default: 1,000.
        seed: Seed of everything random. Default: 0.
        store: Keep the result as a selection. Default: True.
        dataset_name: A data set in the server's data directory, in place of examples.
        mode: Whose formulas are computed. Default: "definition".
        alpha: Order of the Renyi entropies, above 0. Default: 1.
        normalization: What entropies are divided by. Default: "max-entropy".
        state: Which form of the layers is measured. Default: "raw".
        without_special_tokens: Leave special tokens out of metrics of tokens. Default: False.
        skip_leading_tokens: Leave so many leading tokens out of metrics of tokens. Default: 0.
        views: Augmented views of every text for LiDAR. Default: 16.
        permutations: Permutations for DiME. Default: 32.
        refresh: Score again although a report of the same model, data set and options is stored. Default: False.
        stop_early: End as soon as the choice is settled. Default: False.
        promote: Make the selection the default of Embed at once. Default: False.
        force: Promote on any evidence. Default: False.
        expected_current: With `promote`: only where the selection of this id is promoted now; "none": where none is.
        example_values: Report the values of single examples too. Default: False.
    """

    metrics: Sequence[str] | None
    poolings: Sequence[Pooling] | None
    criterion: str | None
    sample_size: int | None
    seed: int | None
    store: bool | None
    dataset_name: str | None
    mode: MetricMode | None
    alpha: float | None
    normalization: EntropyNormalization | None
    state: State | None
    without_special_tokens: bool | None
    skip_leading_tokens: int | None
    views: int | None
    permutations: int | None
    refresh: bool | None
    stop_early: bool | None
    promote: bool | None
    force: bool | None
    expected_current: str | None
    example_values: bool | None
