"""Reports as tables of pandas."""

from collections.abc import Iterator, Sequence

from midlayer.report import Curve

try:
    import pandas as pd
except ImportError as error:
    raise ImportError('to_pandas() needs pandas: pip install "midlayer[pandas]"') from error


def to_frame(curves: Sequence[Curve]) -> pd.DataFrame:
    """A row for each curve and layer."""
    frame: pd.DataFrame = pd.DataFrame([row for curve in curves for row in _rows(curve)])
    return frame


def _rows(curve: Curve) -> Iterator[dict[str, object]]:
    for place, layer in enumerate(curve.layers):
        yield {
            "metric": curve.metric,
            "pooling": curve.pooling,
            "layer": layer,
            "value": curve.values[place],
            "standard_error": curve.standard_errors[place],
            "rank": curve.ranks[place],
            "ties_with_best": curve.ties_with_best[place],
            "higher_is_better": curve.higher_is_better,
            "evidence": curve.evidence,
            "examples": curve.examples,
        }
