#!/usr/bin/env python3
"""Make representation.json: small inputs and what the published formulas make of them, in plain numpy.

    python generate.py        # needs numpy; writes beside itself

Each value is computed the long way (all pairs, matrix square roots, D x D matrices), so that it shares no shortcut with
server/scoring. Inputs are rounded to 4 digits.
"""

import json
from pathlib import Path

import numpy as np

RNG = np.random.default_rng(20250601)


def entropy(k, alpha=1.0):
    lam = np.linalg.eigvalsh(k)
    lam = lam[lam > len(lam) * np.finfo(float).eps * lam.max()]
    p = lam / lam.sum()
    return float(-(p * np.log(p)).sum() if alpha == 1 else np.log((p**alpha).sum()) / (1 - alpha))


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def angle(u, v):
    return np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))


def turning(x, folded):
    v = np.diff(x, axis=0)
    angles = np.array([angle(v[i], v[i + 1]) for i in range(len(v) - 1)])
    return float(np.mean(np.minimum(angles, np.pi - angles) if folded else angles))


def two_nn(x):
    distances = np.sort(np.linalg.norm(x[:, None] - x[None], axis=2), axis=1)
    log_mu = np.sort(np.log(distances[:, 2] / distances[:, 1]))
    n = len(x)
    used = int(0.9 * n)
    y = -np.log(1 - np.arange(1, used + 1) / n)
    return float(np.linalg.lstsq(log_mu[:used, None], y, rcond=None)[0][0])


def tokens(shape):
    x = np.round(np.cumsum(RNG.normal(size=shape), axis=0) + 3, 4)
    z = unit(x - x.mean(0))
    n, d = x.shape
    clamped = np.maximum(z @ z.T if n <= d else z.T @ z, 0)
    return {
        "x": x.tolist(),
        "prompt_entropy": {str(a): entropy(z @ z.T, a) for a in (0.5, 1, 2, 3)},
        "prompt_entropy_reference": {
            "1": entropy(clamped),
            "2": float(-np.log((clamped**2).sum() / len(clamped) ** 2)),
        },
        "curvature": turning(x, False),
        "curvature_2025": turning(z, True),
        "curvature_2024": float(np.mean([angle(z[i], z[i + 1]) for i in range(n - 1)])),
        "intrinsic_dimension": two_nn(x),
        "pooled_centered": z.mean(0).tolist(),
    }


def rank(x):
    n, d = x.shape
    sigma = np.linalg.svd(x, compute_uv=False)
    lam = sigma**2
    p1, p2, p3 = lam / lam.sum(), sigma / sigma.sum(), sigma / sigma.sum() + 1e-7
    covariance = np.linalg.eigvalsh(np.cov(x.T))
    z = unit(x)
    cosines = [z[i] @ z[j] for i in range(n) for j in range(n) if i != j]
    gram = np.sum((z @ z.T) ** 2)
    return {
        "effective_rank": float(np.exp(-(p1 * np.log(p1)).sum())),
        "roy_vetterli": float(np.exp(-(p2 * np.log(p2)).sum())),
        "rank_me": float(np.exp(-(p3 * np.log(p3)).sum())),
        "participation_ratio": float(lam.sum() ** 2 / (lam**2).sum()),
        "stable_rank": float(lam.sum() / lam.max()),
        "ne_sum": float(covariance.sum() / covariance.max()),
        "self_cluster": float((d * gram - n * (d + n - 1)) / ((d - 1) * (n - 1) * n)),
        "anisotropy": float(np.mean(cosines)),
    }


def jackknife(x, name, groups):
    values = np.array([rank(x[np.arange(len(x)) % groups != g])[name] for g in range(groups)])
    return float(np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum()))


def dataset(shape):
    x = np.round(RNG.normal(size=shape) * np.linspace(2, 0.2, shape[1]) + 0.5, 4)
    centered = x - x.mean(0)
    return {
        "x": x.tolist(),
        "rank": rank(x),
        "dataset_entropy": entropy(x @ x.T),
        "dataset_entropy_centered": entropy(centered @ centered.T),
        "dataset_entropy_reference": entropy(np.maximum(x @ x.T if shape[0] <= shape[1] else x.T @ x, 0)),
        "jackknife_groups": 4,
        "jackknife": {name: jackknife(x, name, 4) for name in ("effective_rank", "ne_sum", "anisotropy")},
    }


def nt_xent(a, b, t):
    z = np.concatenate([a, b])
    n = len(a)
    losses = []
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i]
        logits = np.array([z[i] @ z[j] / t for j in others])
        losses.append(float(np.log(np.exp(logits).sum()) - z[i] @ z[(i + n) % (2 * n)] / t))
    return losses


def one_direction(a, b, t):
    return [float(np.log(np.exp(b @ a[i] / t).sum()) - a[i] @ b[i] / t) for i in range(len(a))]


def lidar(x, delta):
    n, a, d = x.shape
    c = x.mean(1)
    m = c.mean(0)
    between = (c - m).T @ (c - m) / n
    within = sum(np.outer(v - c[i], v - c[i]) for i in range(n) for v in x[i]) / (n * a) + delta * np.eye(d)
    lam, q = np.linalg.eigh(within)
    root = q @ np.diag(lam**-0.5) @ q.T
    return root @ between @ root


def dime(a, b, permutations):
    ka, kb = a @ a.T, b @ b.T
    shuffled = [entropy(ka * kb[np.ix_(p, p)]) for p in permutations]
    return {
        "value": float(np.mean(shuffled) - entropy(ka * kb)),
        "standard_error": float(np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))),
    }


def views(shape):
    n, a, d = shape
    x = np.round(RNG.normal(size=(n, 1, d)) + 0.3 * RNG.normal(size=shape), 4)
    permutations = [RNG.permutation(n).tolist() for _ in range(5)]
    first, second = x[:, 0], x[:, 1]
    return {
        "x": x.tolist(),
        "permutations": permutations,
        "temperature": 0.5,
        "nt_xent": nt_xent(first, second, 0.5),
        "nt_xent_cosine": nt_xent(unit(first), unit(second), 0.5),
        "one_direction": one_direction(first, second, 0.5),
        "one_direction_cosine": one_direction(unit(first), unit(second), 0.5),
        "delta": 0.01,
        "lidar": entropy(lidar(x, 0.01)),
        "lidar_trace": float(np.trace(lidar(x, 0.01))),
        "dime": dime(first, second, permutations),
    }


def main():
    content = {
        "tokens": [tokens((7, 12)), tokens((16, 5)), tokens((10, 10))],
        "datasets": [dataset((9, 4)), dataset((6, 11))],
        "views": [views((5, 3, 8)), views((8, 2, 4))],
    }
    path = Path(__file__).parent / "representation.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
