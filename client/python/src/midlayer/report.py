"""The report of a scoring run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray

from midlayer import _answers
from midlayer.results import Selection
from midlayer.v1.scoring_pb2 import MetricCurve
from midlayer.v1.scoring_pb2 import ScoreReport as WireReport
from midlayer.words import DIRECTIONS, EVIDENCES, POOLINGS, Direction, Evidence, Pooling

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of all layers.

    Attributes:
        metric: The metric's name (docs/metrics.md).
        pooling: The pooling that it was measured with; None for metrics of tokens.
        evidence: What kind of evidence it is.
        higher_is_better: The direction that ranks and choice use.
        theory: What theory says is better; None: nothing known.
        observed: What went with better task scores in published results; None: nothing known.
        examples: How many examples it is over.
        best_layer: The best layer; the shallowest where several tie exactly.
        inflection_layers: Layers where the smoothed curve turns, the largest turn first.
        layers: int64, (layers,).
        values: float64, (layers,); NaN where it is not defined.
        standard_errors: float64, (layers,); NaN where there is none.
        ranks: int64, (layers,): 1 is best, ties share a place, 0 where the value is NaN.
        ties_with_best: bool, (layers,): as good as the best within 2 standard errors of the difference.
        example_values: float32, (layers, examples), with ScoreOptions.example_values; else (layers, 0).
        example_indices: int64, (examples,): the places of these examples in the input.
    """

    metric: str
    pooling: Pooling | None
    evidence: Evidence | None
    higher_is_better: bool
    theory: Direction | None
    observed: Direction | None
    examples: int
    best_layer: int
    inflection_layers: tuple[int, ...]
    layers: NDArray[np.int64]
    values: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    ranks: NDArray[np.int64]
    ties_with_best: NDArray[np.bool_]
    example_values: NDArray[np.float32]
    example_indices: NDArray[np.int64]

    @property
    def title(self) -> str:
        """Its metric, and its pooling where it has one."""
        return f"{self.metric} ({self.pooling})" if self.pooling else self.metric

    def __repr__(self) -> str:
        return f"<Curve {self.title} of {len(self.layers)} layers, best {self.best_layer}>"


class ScoreReport:
    """What a scoring run found. Facts that have no property here are in to_dict()."""

    def __init__(self, wire: WireReport) -> None:
        self._wire = wire

    @cached_property
    def selection(self) -> Selection:
        """The chosen layer with its evidence."""
        return _answers.selection(self._wire.selection)

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Every metric for every layer."""
        return tuple(_curve(curve) for curve in self._wire.curves)

    @property
    def ties(self) -> tuple[int, ...]:
        """Layers as good as the chosen one within 2 standard errors of the difference, the chosen one included."""
        return tuple(self._wire.ties)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._wire.model

    @property
    def layers(self) -> int:
        """The number of blocks L of the model."""
        return self._wire.layers

    @property
    def examples(self) -> int:
        """Examples measured, passages included."""
        return self._wire.examples

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on what the numbers do not show."""
        return tuple(self._wire.notes)

    @property
    def cached(self) -> bool:
        """Whether it was stored before and not computed again."""
        return self._wire.cached

    def curve(self, metric: str, pooling: Pooling | None = None) -> Curve:
        """The first curve of a metric, of any pooling where None. KeyError names the metrics that there are."""
        for curve in self.curves:
            if curve.metric == metric and pooling in (None, curve.pooling):
                return curve
        raise KeyError(f"{metric}: expected one of {', '.join(curve.title for curve in self.curves)}")

    def to_dict(self) -> dict[str, Any]:
        """All of it, as `midlayer score --output=json` writes it (docs/report.schema.json)."""
        return MessageToDict(self._wire, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)

    def to_pandas(self) -> DataFrame:
        """A row for each metric, pooling and layer. ImportError without pandas (the extra `pandas`)."""
        from midlayer._frames import to_frame

        return to_frame(self.curves)

    def plot(self, metrics: Sequence[str] | None = None) -> Figure:
        """A chart for each curve (of these metrics), the best layer marked. ImportError without the extra `plot`."""
        from midlayer._charts import draw

        return draw(self, metrics)

    def __repr__(self) -> str:
        chosen = self.selection
        return (
            f"<ScoreReport of {self.model}: layer {chosen.layer} by {chosen.criterion}, {chosen.confidence} confidence>"
        )


def _curve(wire: MetricCurve) -> Curve:
    scores = wire.scores
    errors = [score.standard_error if score.HasField("standard_error") else np.nan for score in scores]
    return Curve(
        metric=wire.metric,
        pooling=POOLINGS.word_or_none(wire.pooling),
        evidence=EVIDENCES.word_or_none(wire.evidence),
        higher_is_better=wire.higher_is_better,
        theory=DIRECTIONS.word_or_none(wire.theory),
        observed=DIRECTIONS.word_or_none(wire.observed),
        examples=wire.examples,
        best_layer=wire.best_layer,
        inflection_layers=tuple(wire.inflection_layers),
        layers=np.array([score.layer for score in scores], np.int64),
        values=np.array([score.value for score in scores], np.float64),
        standard_errors=np.array(errors, np.float64),
        ranks=np.array([score.rank for score in scores], np.int64),
        ties_with_best=np.array([score.ties_with_best for score in scores], np.bool_),
        example_values=np.array([list(score.example_values) for score in scores], np.float32),
        example_indices=np.array(list(wire.example_indices), np.int64),
    )
