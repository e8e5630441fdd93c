# matplotlib does not say what its keyword arguments are.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
"""Reports as charts of matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

from midlayer.report import Curve, ScoreReport

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise ImportError('plot() needs matplotlib: pip install "midlayer[plot]"') from error

_COLUMNS = 3
_WIDTH, _HEIGHT = 4.0, 2.6  # of one chart, in inches


def draw(report: ScoreReport, metrics: Sequence[str] | None) -> Figure:
    """A grid of charts, one a curve. ValueError where no curve is of these metrics."""
    curves = [curve for curve in report.curves if metrics is None or curve.metric in metrics]
    if not curves:
        known = ", ".join(sorted({curve.metric for curve in report.curves}))
        raise ValueError(f"metrics: expected some of {known}, found {metrics}")
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for place, axis in enumerate(axes):
        if place < len(curves):
            _draw_curve(axis, curves[place], report.selection.layer)
        else:
            axis.set_visible(False)
    return figure


def _draw_curve(axis: Axes, curve: Curve, chosen: int) -> None:
    axis.errorbar(curve.layers, curve.values, yerr=2 * curve.standard_errors, marker=".", capsize=2)
    best = curve.layers == curve.best_layer
    axis.plot(curve.layers[best], curve.values[best], "o", color="tab:red")
    axis.axvline(chosen, color="0.7", linestyle=":", zorder=0)
    axis.set_title(f"{curve.title}, {'higher' if curve.higher_is_better else 'lower'} is better", fontsize="small")
    axis.set_xlabel("layer")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
