"""Metrics of distributions: each map is scaled to a mass of one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit
from salzarr.metrics.block import Block
from salzarr.metrics.metric import (
    DIAGONAL,
    HEIGHT,
    NEEDS_MASS,
    WIDTH,
    Caution,
    Metric,
    Pairs,
    ScoreFunction,
    Scores,
    check_parameter,
    is_number,
    register,
)
from salzarr.metrics.pixelwise import sum_of_distances, sum_of_squares
from salzarr.schema import Reason

MASS = "mass"
"""Name of the feature: the maps (model, image, pixel) float64, each with a sum of 1."""


def _unit(mass: Scores) -> Scores:
    """Divide each map (model, image, pixel) by its sum, in place; first by its maximum: no sum overflows."""
    mass /= mass.max(axis=2, keepdims=True)
    mass /= mass.sum(axis=2, keepdims=True)
    return mass


def unit_mass(block: Block) -> Scores:
    """Feature :data:`MASS` of a block; NaN for a map without mass."""
    return block.feature(MASS, lambda b: _unit(b.flat.astype(np.float64)))


EPS = float(np.finfo(np.float64).eps)


@jit(error_model="numpy")
def _kullback_leibler(mass: Scores, pairs: Pairs, ok: NDArray[np.bool_], eps: float, scores: Scores) -> None:
    """KL of the pairs that are ok, both ways; 0 for equal maps and where eps takes it below."""
    for image in range(mass.shape[1]):
        for pair in range(len(pairs)):
            if ok[pair, image]:
                a, b = mass[pairs[pair, 0], image], mass[pairs[pair, 1], image]
                forth = back = 0.0
                equal = True
                for p, q in zip(a, b):  # noqa: B905 (numba's zip takes no strict)
                    equal &= p == q
                    if p > 0:
                        forth += p * np.log(eps + p / (q + eps))
                    if q > 0:
                        back += q * np.log(eps + q / (p + eps))
                scores[0, pair, image] = 0.0 if equal else max(forth, 0.0)
                scores[1, pair, image] = 0.0 if equal else max(back, 0.0)


@register
def kl(eps: float = EPS) -> Metric:
    """Kullback-Leibler divergence KL(a ‖ b) of the first map from the second, in nats; directed.

    Parameters
    ----------
    eps : float
        Keeps it finite where b is 0 and a is not; there it sets the score alone, up to -log(eps) nats.

    References
    ----------
    MIT saliency benchmark, whose KLD(map1, map2) is KL(map2 ‖ map1)
    """
    check_parameter("kl: eps", eps, is_number(eps, 1e-300, 1), "a number from 1e-300 to 1")

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        scores = np.full((2, *ok.shape), np.nan)
        _kullback_leibler(unit_mass(block), pairs, ok, float(eps), scores)
        return scores

    return Metric(
        score,
        definition=f"KL(a ‖ b) = Σ a·log(eps + a / (b + eps)) of unit masses, natural log, eps {eps:.3g}",
        kind="dissimilarity",
        self_value=0.0,
        bounds=(0.0, np.inf),
        undefined=NEEDS_MASS,
        cautions=frozenset({Caution.ZEROS}),
        symmetry="directed",
        features=(MASS,),
        unit="nat",
        cost="medium",
        revision=2,
        map_bytes=8,
    )


@jit(error_model="numpy")
def _jensen_shannon(mass: Scores, pairs: Pairs, ok: NDArray[np.bool_], scores: Scores) -> None:
    """Sum terms that are never negative: with t = (p - q) / (p + q), m/2 ((1+t) log(1+t) + (1-t) log(1-t)).

    Entropies, which are sums of order 10, would lose divergences below 1e-15.
    """
    for image in range(mass.shape[1]):
        for pair in range(len(pairs)):
            if ok[pair, image]:
                a, b = mass[pairs[pair, 0], image], mass[pairs[pair, 1], image]
                total = 0.0
                for p, q in zip(a, b):  # noqa: B905 (numba's zip takes no strict)
                    if p != q:
                        t = abs(p - q) / (p + q)
                        term = (1 + t) * np.log1p(t)
                        if t < 1:
                            term += (1 - t) * np.log1p(-t)
                        total += (p + q) / 4 * term
                scores[pair, image] = min(total, np.log(2.0))


@register
def js() -> Metric:
    """Jensen-Shannon divergence in nats.

    References
    ----------
    Lin 1991; equals :func:`scipy.spatial.distance.jensenshannon` squared
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        scores = np.full(ok.shape, np.nan)
        _jensen_shannon(unit_mass(block), pairs, ok, scores)
        return scores

    return Metric(
        score,
        definition="½ KL(a ‖ m) + ½ KL(b ‖ m), m = (a + b) / 2, of unit masses, natural log",
        kind="dissimilarity",
        self_value=0.0,
        bounds=(0.0, float(np.log(2.0))),
        undefined=NEEDS_MASS,
        features=(MASS,),
        unit="nat",
        cost="medium",
        map_bytes=8,
    )


@register
def similarity(shift: Literal["always", "if_negative"] = "always") -> Metric:
    """Histogram intersection of the maps as distributions, called SIM.

    Parameters
    ----------
    shift : {"always", "if_negative"}
        Whether each map's minimum is subtracted always (the MIT benchmark; a constant map is then undefined)
        or only where it is negative (the Tübingen benchmark and pysaliency; a map without mass is undefined).

    References
    ----------
    MIT saliency benchmark, SIM; with shift=if_negative the Tübingen benchmark's and pysaliency's
    """
    check_parameter("similarity: shift", shift, shift in ("always", "if_negative"), "always or if_negative")
    always = shift == "always"
    name = f"mass above the minimum, {shift}"

    def shifted(block: Block) -> Scores:
        low = block.low if always else np.minimum(block.low, 0)
        return _unit(block.flat - low[..., None])

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        moved: Scores = sum_of_distances(block.feature(name, shifted), pairs, ok)
        return (1 - moved / 2).clip(0, 1)  # min(p, q) is (p + q - abs(p - q)) / 2

    return Metric(
        score,
        definition="Σ min(a, b) of the maps shifted to a minimum of 0"
        f"{'' if always else ' where it is below'} and scaled to a sum of 1 (SIM)",
        kind="similarity",
        self_value=1.0,
        bounds=(0.0, 1.0),
        undefined=frozenset({Reason.CONSTANT if always else Reason.ZERO_MASS}),
        nan_reason=Reason.ZERO_MASS,
        features=(name,),
        map_bytes=8,
    )


@register
def hellinger() -> Metric:
    """Hellinger distance.

    Notes
    -----
    Summed from differences of roots: √(1 - Σ√(ab)) loses small distances.

    References
    ----------
    Hellinger 1909
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        roots = block.feature("roots of mass", lambda b: np.sqrt(unit_mass(b)))
        distances: Scores = np.sqrt(sum_of_squares(roots, pairs, ok, np.ones(ok.shape)) / 2).clip(0, 1)
        return distances

    return Metric(
        score,
        definition="√(½ Σ(√a - √b)²) of unit masses",
        kind="dissimilarity",
        self_value=0.0,
        bounds=(0.0, 1.0),
        undefined=NEEDS_MASS,
        features=(MASS,),
        map_bytes=16,
    )


CENTERS = "centers of mass"
"""Name of the feature: (2, model, image) float64, y and x of each map's center of mass in pixels."""


def _centers(block: Block) -> Scores:
    mass = unit_mass(block).reshape(block.maps.shape)
    y, x = np.arange(block.shape[0]), np.arange(block.shape[1])
    return np.stack([mass.sum(axis=3) @ y, mass.sum(axis=2) @ x])


def _displacement(block: Block, pairs: Pairs) -> Scores:
    """Way from the center of mass of a pair's first map to that of its second: (2, pair, image), y and x."""
    centers = block.feature(CENTERS, _centers)
    return centers[:, pairs[:, 1]] - centers[:, pairs[:, 0]]


def _of_centers(score: ScoreFunction, **fields: Any) -> Metric:
    return Metric(
        score,
        kind="dissimilarity",
        self_value=0.0,
        undefined=NEEDS_MASS,
        features=(MASS, CENTERS),
        unit="pixels",
        map_bytes=8,
        **fields,
    )


@register
def center_distance() -> Metric:
    """Distance between the centers of mass, in pixels.

    References
    ----------
    equals the distance of :func:`scipy.ndimage.center_of_mass`
    """
    return _of_centers(
        lambda block, pairs, ok: np.hypot(*_displacement(block, pairs)),
        definition="distance between the centers of mass",
        bounds=(0.0, DIAGONAL),
    )


@register
def dx() -> Metric:
    """Horizontal displacement of the center of mass, in pixels: that of b minus that of a.

    Positive where b looks further to the right. It is the mean displacement of mass, whatever the transport.

    See Also
    --------
    dy, center_distance

    References
    ----------
    equals the difference of :func:`scipy.ndimage.center_of_mass`
    """
    return _of_centers(
        lambda block, pairs, ok: _displacement(block, pairs)[1],
        definition="x of the center of mass of b minus that of a: positive if b looks further to the right",
        bounds=(f"-{WIDTH}", WIDTH),
        symmetry="antisymmetric",
    )


@register
def dy() -> Metric:
    """Vertical displacement of the center of mass, in pixels: that of b minus that of a.

    Positive where b looks further down, as rows are counted from the top.

    See Also
    --------
    dx, center_distance

    References
    ----------
    equals the difference of :func:`scipy.ndimage.center_of_mass`
    """
    return _of_centers(
        lambda block, pairs, ok: _displacement(block, pairs)[0],
        definition="y of the center of mass of b minus that of a: positive if b looks further down",
        bounds=(f"-{HEIGHT}", HEIGHT),
        symmetry="antisymmetric",
    )
