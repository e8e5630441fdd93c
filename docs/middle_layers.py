"""Draws docs/middle_layers.svg: how good the layers of Pythia-410M are as embeddings.

Numbers: mean main score over 32 MTEB tasks by layer (0 is the embedding output), from the stored results of
"Layer by Layer" (Skean et al., ICML 2025), repository OFSkean/information_flow at a6ad508649b0, experiments/results.
Usage: python3 docs/middle_layers.py > docs/middle_layers.svg
"""

SCORES = [
    0.450424, 0.448545, 0.461119, 0.462211, 0.48635, 0.469103, 0.489828, 0.497202, 0.492945, 0.487213, 0.486917, 0.503445,
    0.500928, 0.504561, 0.507716, 0.508647, 0.507377, 0.519246, 0.516784, 0.516586, 0.509729, 0.502107, 0.498114, 0.492316,
    0.468207,
]
LEFT, TOP, WIDTH, HEIGHT = 60, 50, 560, 220
LOW, HIGH = 0.44, 0.53


def x(layer: int) -> float:
    return LEFT + WIDTH * layer / (len(SCORES) - 1)


def y(score: float) -> float:
    return TOP + HEIGHT * (HIGH - score) / (HIGH - LOW)


def point(layer: int, label: str, anchor: str, dy: int) -> str:
    score = SCORES[layer]
    return (
        f'<circle cx="{x(layer):.1f}" cy="{y(score):.1f}" r="5" class="mark"/>'
        f'<text x="{x(layer):.1f}" y="{y(score) + dy:.1f}" text-anchor="{anchor}" class="strong">{label} {score:.3f}</text>'
    )


def main() -> None:
    best = max(range(len(SCORES)), key=SCORES.__getitem__)
    last = len(SCORES) - 1
    path = " ".join(f"{x(i):.1f},{y(s):.1f}" for i, s in enumerate(SCORES))
    grid = "".join(
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(v):.1f}" y2="{y(v):.1f}" class="grid"/>'
        f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>'
        for v in (0.44, 0.46, 0.48, 0.50, 0.52)
    )
    ticks = "".join(f'<text x="{x(i):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{i}</text>' for i in range(0, 25, 4))
    print(
        f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 330" role="img" aria-label="Score by layer of Pythia-410M">
<style>
text {{ font: 12px sans-serif; fill: #57606a }} .strong {{ font-weight: bold; fill: #0969da }} .title {{ font-size: 15px; font-weight: bold }}
.grid {{ stroke: #8c959f; stroke-opacity: .3 }} .curve {{ fill: none; stroke: #0969da; stroke-width: 2.5 }} .mark {{ fill: #0969da }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #9198a1 }} .strong {{ fill: #4493f8 }} .curve {{ stroke: #4493f8 }} .mark {{ fill: #4493f8 }} }}
</style>
<text x="{LEFT}" y="24" class="title">Pythia-410M: mean score on 32 MTEB tasks, by layer</text>
{grid}{ticks}
<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">layer (0: embedding output, 24: last)</text>
<polyline points="{path}" class="curve"/>
{point(best, f"layer {best}:", "middle", -12)}
{point(last, "last:", "end", 24)}
</svg>"""
    )


if __name__ == "__main__":
    main()
