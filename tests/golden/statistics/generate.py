#!/usr/bin/env python3
"""Make statistics.json: what SciPy, dcor and scikit-learn compute, for the tests of server/statistics.

Made with scipy 1.17.1, dcor 0.7 and scikit-learn 1.9.1. Everything comes from one seed. NaN and infinities are strings.

    python generate.py
"""

import itertools
import json
import math
import warnings
from pathlib import Path

import dcor
import numpy as np
from scipy import stats
from sklearn.metrics import ndcg_score

ZEROS = ("wilcox", "pratt", "zsplit")
ALTERNATIVES = ("two-sided", "greater", "less")
METHODS = ("auto", "exact", "asymptotic")


def number(value):
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def distance(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    # Not the fast way, which loses most digits far from zero. dcor divides by zero for fewer than 4 points.
    functions = (dcor.distance_covariance_sqr, dcor.distance_correlation, dcor.distance_correlation_sqr)
    values = [function(x, y, method="naive") for function in functions]
    values.append(dcor.u_distance_correlation_sqr(x, y, method="naive") if len(x) > 3 else math.nan)
    return [number(value) for value in values]


def correlation_cases(rng):
    def draw(n, mix):
        x = rng.normal(size=n).round(3)
        return x, (mix * x + rng.normal(size=n)).round(3)

    n = 40
    swapped = np.arange(n)
    swapped[[3, 4]] = swapped[[4, 3]]
    pairs = {
        "two": ([1, 2], [3, 1]),
        "three": draw(3, 1),
        "four": draw(4, 0.5),
        "nine": draw(9, 0),
        "thirty-three": draw(33, 1),
        "thirty-four": draw(34, -0.3),
        "reversed": (np.arange(n), np.arange(n)[::-1]),
        "one pair swapped": (np.arange(n), swapped),
        "ties": (rng.integers(0, 4, 15), rng.integers(0, 3, 15)),
        "ties in x": (rng.integers(0, 4, 11), rng.normal(size=11).round(3)),
        "many ties": (rng.integers(0, 2, 60), rng.integers(0, 2, 60)),
        "three with a tie": ([1, 1, 2], [3, 1, 2]),
        "constant x": ([2, 2, 2, 2, 2], [1, 2, 3, 4, 5]),
        "constant y": ([1, 2, 3, 4], [0.1, 0.1, 0.1, 0.1]),
        "both constant": ([1, 1, 1, 1], [2, 2, 2, 2]),
        "huge": (rng.normal(size=8).round(3) * 1e210, rng.normal(size=8).round(3)),
        "far from zero": ((1e6 + rng.normal(size=12)).round(3), (1e6 + rng.normal(size=12)).round(3)),
        "parabola": (np.arange(-5, 6), np.arange(-5, 6) ** 2),
    }
    for name, (x, y) in pairs.items():
        x, y = np.asarray(x, float), np.asarray(y, float)
        results = {f.__name__: f(x, y) for f in (stats.spearmanr, stats.kendalltau, stats.pearsonr)}
        case = {"name": name, "x": x.tolist(), "y": y.tolist()}
        case |= {key: [number(result.statistic), number(result.pvalue)] for key, result in results.items()}
        if name != "huge":  # dcor overflows
            case["distance"] = distance(x, y)
        yield case


def point_cases(rng):
    for n, dimensions in ((4, (2, 1)), (12, (3, 2)), (7, (5, 5))):
        x, y = (rng.normal(size=(n, d)).round(3) for d in dimensions)
        yield {"x": x.tolist(), "y": y.tolist(), "distance": distance(x, y)}


def wilcoxon_cases(rng):
    samples = {
        "one": [1.5],
        "all positive": [1, 2, 3, 4, 5],
        "zeros and ties": [0, 1, -1, 2, 0, 3, 3],
        "all zero": [0, 0, 0],
        "all zero, many": [0] * 14,
        "thirteen with ties": rng.integers(1, 6, 13) * rng.choice([-1, 1], 13),
        "thirteen and zeros": rng.integers(-3, 4, 13),
        "fourteen with ties": rng.integers(1, 6, 14) * rng.choice([-1, 1], 14),
        "fifty": (rng.normal(size=50) + 0.3).round(6),
        "fifty-one": (rng.normal(size=51) + 0.3).round(6),
        "sixty with ties and zeros": rng.integers(-8, 10, 60),
    }
    for name, sample in samples.items():
        differences = np.asarray(sample, float)
        results = []
        for zeros, alternative, method, correction in itertools.product(ZEROS, ALTERNATIVES, METHODS, (False, True)):
            result = stats.wilcoxon(
                differences, zero_method=zeros, alternative=alternative, method=method, correction=correction
            )
            z = [number(result.zstatistic)] if method == "asymptotic" else []
            results.append([number(result.statistic), number(result.pvalue), *z])
        yield {"name": name, "differences": differences.tolist(), "results": results}


def ndcg_cases(rng):
    for n, relevant, k in ((20, 3, 10), (20, 12, 10), (5, 1, 10), (8, 8, 3), (30, 2, 1)):
        relevance = rng.permutation([1] * relevant + [0] * (n - relevant))
        yield {"relevance": relevance.tolist(), "k": k, "ndcg": ndcg_score([relevance], [np.arange(n, 0, -1)], k=k)}


def main():
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(20240607)
    golden = {
        "correlations": list(correlation_cases(rng)),
        "points": list(point_cases(rng)),
        "wilcoxon": list(wilcoxon_cases(rng)),
        "ndcg": list(ndcg_cases(rng)),
    }
    # One case a line.
    lists = [
        f'"{key}": [\n' + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]"
        for key, cases in golden.items()
    ]
    (Path(__file__).parent / "statistics.json").write_text("{\n" + ",\n".join(lists) + "\n}\n")


if __name__ == "__main__":
    main()
