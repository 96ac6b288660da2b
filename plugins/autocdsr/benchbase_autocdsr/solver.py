"""The point of a convex hull that is nearest to the origin, and the weight that preferences make of it.

Vectors are known by their inner products alone, so that nothing here grows with the model.
"""

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PREFERENCES = ((0.0, 1.0), (1.0, 0.0), (math.sqrt(0.5), math.sqrt(0.5)))
"""Of (attention, recommendation); the second is the target: attention may be large beside recommendation."""

TARGET = 1


def nearest_on_segment(first: float, product: float, second: float) -> float:
    """The weight of the first of two vectors in their combination nearest to the origin, from their inner products.

    Source: Sener and Koltun 2018, eq. (4): clip(((g2 - g1) . g2) / ||g1 - g2||^2, 0, 1).
    """
    apart = first - 2 * product + second
    if apart <= 0:  # the same vector twice
        return 0.5
    return min(1.0, max(0.0, (second - product) / apart))


def nearest_point(gram: Floats) -> Floats:
    """Weights (n,) of the hull's point nearest to the origin, for n vectors that lie in a plane; exact.

    The nearest point stands on an edge, unless the origin is inside; then the weights that give it are on a triangle.
    """
    n = len(gram)
    candidates = [np.eye(n)[0]] if n == 1 else [_on_edge(gram, i, j) for i, j in combinations(range(n), 2)]
    candidates += [weights for corners in combinations(range(n), 3) if (weights := _inside(gram, corners)) is not None]
    return min(candidates, key=lambda weights: float(weights @ gram @ weights))


def _on_edge(gram: Floats, i: int, j: int) -> Floats:
    weights = np.zeros(len(gram))
    weights[i] = nearest_on_segment(gram[i, i], gram[i, j], gram[j, j])
    weights[j] = 1 - weights[i]
    return weights


def _inside(gram: Floats, corners: tuple[int, ...]) -> Floats | None:
    """Weights of three vectors whose combination is zero, where there are such."""
    some = gram[np.ix_(corners, corners)]
    system = np.vstack([some, np.ones(3)])
    found, *_ = np.linalg.lstsq(system, np.array([0.0, 0.0, 0.0, 1.0]), rcond=None)
    if (found < 0).any() or abs(found.sum() - 1) > 1e-9 or found @ some @ found > 1e-12 * max(1.0, np.trace(some)):
        return None
    weights = np.zeros(len(gram))
    weights[list(corners)] = found
    return weights


def frank_wolfe(gram: Floats, iterations: int) -> Floats:
    """Weights (n,) near those of the hull's point nearest to the origin, after so many steps from the best pair.

    Source: Sener and Koltun 2018, algorithm 2.
    """
    n = len(gram)
    weights = min((_on_edge(gram, i, j) for i, j in combinations(range(n), 2)), default=np.ones(1),
                  key=lambda each: float(each @ gram @ each))
    for _ in range(iterations):
        slope = gram @ weights
        to = int(np.argmin(slope))
        step = nearest_on_segment(float(gram[to, to]), float(slope[to]), float(weights @ slope))
        weights = (1 - step) * weights
        weights[to] += step
    return weights


def preference_weight(cosine: float, recommendation: float, attention: float, iterations: int | None = None) -> float:
    """The weight of the attention's loss beside the recommendation's: alpha, from the cosine of the two gradients.

    `recommendation` and `attention` are the losses. Where the first is larger it is (1 - 2c) / (2 - c).

    Source: the released algorithm of AutoCDSR (Pareto multi-task learning, Lin et al. 2019, with three preferences).
    """
    unmet = []
    for place, preference in enumerate(PREFERENCES):
        way = (preference[0] - PREFERENCES[TARGET][0], preference[1] - PREFERENCES[TARGET][1])
        if place != TARGET and way[0] * attention + way[1] * recommendation > 0:
            unmet.append(way)
    points = np.array([(1.0, 0.0), (0.0, 1.0), *unmet])
    gram = points @ np.array([[1.0, cosine], [cosine, 1.0]]) @ points.T
    weights = nearest_point(gram) if iterations is None else frank_wolfe(gram, iterations)
    of_attention, of_recommendation = weights @ points
    return float(of_attention / of_recommendation)


def literal_weights(gram: Floats, recommendation: float, attention: float, preferences: int, strict: bool) -> Floats:
    """What each loss weighs, (2,), recommendation first, by the equation as written; zeros where it is degenerate.

    `gram` (2, 2) of the gradients. Without an unmet preference the recommendation alone counts.
    Source: AutoCDSR, eq. (11) and (12).
    """
    angle = np.arange(preferences + 1) * (np.pi / (2 * preferences))
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fits = vectors @ np.array([recommendation, attention])
    unmet = fits > fits[1] if strict else fits >= fits[1]
    if not unmet.any():
        return np.array([1.0, 0.0])
    ways = vectors[unmet] - vectors[1]
    return np.asarray(nearest_point(ways @ gram @ ways.T) @ ways)
