"""Line charts as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

LEFT, TOP, WIDTH, HEIGHT, LEGEND = 70, 50, 460, 260, 320
COLOURS = ["#0969da", "#cf222e", "#1a7f37", "#8250df", "#bf8700", "#1b7c83", "#bc4c00", "#bf3989", "#57606a", "#33b3ae", "#e16f24", "#a475f9"]
STYLE = """
text { font: 12px sans-serif; fill: #57606a } .title { font-size: 15px; font-weight: bold }
.grid { stroke: #8c959f; stroke-opacity: .3 } .curve { fill: none; stroke-width: 2.2 } .dashed { stroke-dasharray: 5 4; stroke-width: 1.6 }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } }
"""

Points = list[tuple[float, float]]


@dataclass
class Line:
    name: str
    points: Points
    colour: int
    dashed: bool = False


@dataclass
class Chart:
    title: str
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    lines: list[Line] = field(default_factory=list)

    def svg(self) -> str:
        xs = sorted({x for line in self.lines for x, _ in line.points})
        ys = [y for line in self.lines for _, y in line.points]
        if not xs:
            return ""
        y_ticks = decades(min(ys), max(ys)) if self.log_y else even_ticks(max(ys))
        at_x = scale(xs[0], xs[-1], LEFT, LEFT + WIDTH, self.log_x)
        at_y = scale(y_ticks[0], y_ticks[-1], TOP + HEIGHT, TOP, self.log_y)
        grid = "".join(
            f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at_y(v):.1f}" y2="{at_y(v):.1f}" class="grid"/>'
            f'<text x="{LEFT - 8}" y="{at_y(v) + 4:.1f}" text-anchor="end">{v:,g}</text>'
            for v in y_ticks
        )
        ticks = "".join(f'<text x="{at_x(x):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{x:g}</text>' for x in xs)
        drawn = "".join(draw_line(line, place, at_x, at_y) for place, line in enumerate(self.lines))
        height = max(TOP + HEIGHT + 60, TOP + 18 * len(self.lines) + 20)
        return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + LEGEND} {height}" role="img" aria-label="{escape(self.title)}">
<style>{STYLE}</style>
<text x="{LEFT}" y="20" class="title">{escape(self.title)}</text>
<text x="{LEFT}" y="38">{escape(self.y_label)}</text>
{grid}{ticks}
<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">{escape(self.x_label)}</text>
{drawn}
</svg>
"""


def scale(low: float, high: float, start: float, end: float, logarithmic: bool) -> Callable[[float], float]:
    def by(value: float) -> float:
        return math.log(value) if logarithmic else value

    span = by(high) - by(low) or 1
    return lambda value: start + (end - start) * (by(value) - by(low)) / span


def even_ticks(high: float) -> list[float]:
    """About five round numbers from 0 to the first above."""
    rough = (high or 1) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    return [step * i for i in range(math.ceil(high / step) + 1)]


def decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def draw_line(line: Line, place: int, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> str:
    colour = COLOURS[line.colour % len(COLOURS)]
    look = f'class="curve{" dashed" if line.dashed else ""}" stroke="{colour}"'
    path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line.points)
    right, level = LEFT + WIDTH + 16, TOP + 18 * place
    dots = "" if line.dashed else "".join(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in line.points)
    return (
        f'<polyline points="{path}" {look}/>{dots}\n'
        f'<line x1="{right}" x2="{right + 22}" y1="{level}" y2="{level}" {look}/>'
        f'<text x="{right + 28}" y="{level + 4}">{escape(line.name)}</text>'
    )
