"""Writes fixtures.json: what scikit-learn says of small labelled and paired sets of vectors.

    pip install numpy scipy scikit-learn        (1.26.4, 1.17.1 and 1.9.1 wrote the file that is here)
    python generate.py
"""

import json
import pathlib

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ndcg_score, silhouette_samples
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

RANDOM = np.random.RandomState(4)


def vectors(rows, columns, labels=None, spread=1.5):
    x = RANDOM.randn(rows, columns)
    if labels is not None:
        x += spread * RANDOM.randn(max(labels) + 1, columns)[labels]
    return np.round(x, 3)


def silhouette(name, x, labels):
    samples = {d: silhouette_samples(x, labels, metric=d).tolist() for d in ("cosine", "manhattan")}
    # scikit-learn's own distances are off by 1e-8 where vectors coincide.
    samples["euclidean"] = silhouette_samples(cdist(x, x), labels, metric="precomputed").tolist()
    return {"name": name, "x": x.tolist(), "labels": labels, "samples": samples}


def silhouettes():
    three = [i % 3 for i in range(15)]
    duplicated = vectors(8, 3, [0, 0, 0, 0, 1, 1, 1, 1])
    duplicated[1] = duplicated[0]
    duplicated[5] = duplicated[4]
    duplicated[7] = duplicated[2]  # across classes
    zero = vectors(7, 3, [0, 0, 0, 1, 1, 1, 1])
    zero[2] = 0
    return [silhouette("three classes", vectors(15, 4, three), three),
            silhouette("singleton class", vectors(7, 3), [5, 5, -2, 5, 9, 9, 9]),
            silhouette("duplicates", duplicated, [0, 0, 0, 0, 1, 1, 1, 1]),
            silhouette("zero vector", zero, [0, 0, 0, 1, 1, 1, 1]),
            silhouette("far from the origin", vectors(9, 4, three[:9]) + 500, three[:9])]


def fit(x, labels, c):
    return LogisticRegression(C=c, tol=1e-12, max_iter=100000).fit(x, labels)


def probe(name, x, labels, test, c=1.0, standardize=False, folds=4):
    labels = np.array(labels)
    def scale(part):
        return StandardScaler(with_mean=standardize, with_std=standardize).fit(part)

    whole = scale(x)
    model = fit(whole.transform(x), labels, c)
    fold_of = RANDOM.permutation(len(x)) % folds
    correct = np.zeros(len(x))
    for fold in range(folds):
        inside = fold_of == fold
        part = scale(x[~inside])
        correct[inside] = fit(part.transform(x[~inside]), labels[~inside], c).predict(part.transform(x[inside])) == labels[inside]
    return {"name": name, "x": x.tolist(), "labels": labels.tolist(), "test": test.tolist(), "c": c,
            "standardize": standardize, "probabilities": model.predict_proba(whole.transform(test)).tolist(),
            "fold_of": fold_of.tolist(), "correct": correct.tolist()}


def probes():
    two = [0, 0, 1, 0, 1, 1] * 4
    three = [0, 7, 3, 3] * 7
    wide = [0, 1, 2] * 5
    return [probe("binary", vectors(24, 5, two, 0.6), two, vectors(4, 5)),
            probe("three classes", vectors(28, 4, three, 0.8), three, vectors(4, 4), c=0.3),
            probe("more features than examples", vectors(15, 22, wide, 0.5), wide, vectors(4, 22), folds=3),
            probe("standardised", vectors(28, 4, three, 0.8) * [1, 40, 0.02, 1] + [0, 300, 1, 0], three, vectors(4, 4),
                  standardize=True),
            probe("one constant feature, standardised", np.hstack([vectors(24, 2, two), np.full((24, 1), 0.1)]), two,
                  vectors(3, 3), standardize=True)]


def vote(labels, nearest):
    """The label of most; of equals that whose nearest member comes first."""
    near = [labels[i] for i in nearest]
    return max(near, key=lambda label: (near.count(label), -near.index(label)))


def neighbours():
    labels = [2, 4, 4, 8] * 8
    x = vectors(32, 4, labels, 0.7)
    found = {}
    for k in (1, 2, 4, 7, 31):
        # Asked without points, scikit-learn leaves each point out of its own neighbours.
        nearest = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(x).kneighbors(return_distance=False)
        found[str(k)] = [vote(labels, row) for row in nearest]
    return {"x": x.tolist(), "labels": labels, "predictions": found}


def retrieval():
    queries, passages = vectors(6, 5), vectors(30, 5)
    relevant = [sorted(RANDOM.choice(30, size, replace=False).tolist()) for size in (1, 2, 3, 5, 12, 30)]
    truth = np.zeros((6, 30))
    for query, indices in enumerate(relevant):
        truth[query, indices] = 1
    scores = cosine_similarity(queries, passages)
    return {"queries": queries.tolist(), "passages": passages.tolist(), "relevant": relevant,
            "ndcg_at_10": [ndcg_score(truth[i:i + 1], scores[i:i + 1], k=10) for i in range(6)],
            # By hand, over the passages from the best on.
            "recall_at_10": [truth[i][np.argsort(-scores[i])[:10]].sum() / truth[i].sum() for i in range(6)],
            "reciprocal_rank": [1 / (1 + np.argmax(truth[i][np.argsort(-scores[i])])) for i in range(6)]}


fixtures = {"silhouette": silhouettes(), "probe": probes(), "knn": neighbours(), "retrieval": retrieval()}
path = pathlib.Path(__file__).parent / "fixtures.json"
path.write_text(json.dumps(fixtures, separators=(",", ":"), sort_keys=True) + "\n")
