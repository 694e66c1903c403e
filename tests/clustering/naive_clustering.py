"""The clustering rules of SBCL by loops over single classes, in float64 NumPy."""

from typing import Any

import numpy as np


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def greedy(scores: Any, caps: Any) -> Any:
    """Assign the best pair first; scores (S, M), -inf: never; caps (M,). Returns clusters (S,), -1 without one."""
    room, found = list(caps), -np.ones(len(scores), int)
    for pair in np.argsort(-scores, axis=None, kind="stable"):
        sample, cluster = divmod(int(pair), scores.shape[1])
        if scores[sample, cluster] > -np.inf and found[sample] < 0 and room[cluster]:
            found[sample] = cluster
            room[cluster] -= 1
    return found


def nearest(cosines: Any) -> Any:
    return cosines.argmax(1)


def capped(cosines: Any) -> Any:
    samples, clusters = cosines.shape
    return greedy(cosines, [-(-samples // clusters)] * clusters)


def balanced(cosines: Any) -> Any:
    samples, clusters = cosines.shape
    weighted = cosines / abs(cosines.sum(0))
    found = greedy(weighted, [samples // clusters] * clusters)
    rest = greedy(np.where(found[:, None] < 0, weighted, -np.inf), [1] * clusters)
    return np.maximum(found, rest)


def lloyd(features: Any, start: Any, assign: Any, max_iterations: Any = 50, tolerance: Any = 1e-3) -> Any:
    features = np.asarray(features, np.float64)
    centers = features[list(start)]
    iterations, shift = 0, np.inf
    while iterations < max_iterations and shift**2 >= tolerance:
        cosines = unit(features) @ unit(centers).T
        found = assign(cosines)
        worst = iter(np.argsort(cosines[np.arange(len(features)), found], kind="stable"))
        moved = np.stack(
            [
                features[found == cluster].mean(0) if (found == cluster).any() else features[next(worst)]
                for cluster in range(len(centers))
            ]
        )
        shift = np.linalg.norm(moved - centers, axis=1).sum()
        centers, iterations = moved, iterations + 1
    return found, centers, iterations
