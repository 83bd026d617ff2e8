"""Metrics of maps against points, such as fixations; equal to pysaliency's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit
from salzarr.metrics.block import Block
from salzarr.metrics.metric import NEEDS_MASS, Metric, Scores, check_parameter, is_number, register
from salzarr.metrics.pixelwise import REORDER, power_of_two
from salzarr.metrics.ranks import CONSTANT
from salzarr.metrics.targets import Places, Points
from salzarr.schema import Reason

SORTED = "sorted values"
"""Name of the feature: (model, image, pixel), the values of each map in ascending order."""

Row = NDArray[Any]


def _sorted(block: Block) -> Row:
    return np.sort(block.flat, axis=2)


def _each(
    block: Block, target: Points, ok: NDArray[np.bool_], score: Callable[[Row, Row, Places, int], float]
) -> Scores:
    """Score maps one by one by ``score(sorted values, values, points, image)``: (model, image)."""
    ordered = block.feature(SORTED, _sorted)
    scores = np.full(ok.shape, np.nan)
    for model, image in np.argwhere(ok):
        scores[model, image] = score(
            ordered[model, image], block.flat[model, image], target.places[image], image
        )
    return scores


def _above_chance(ordered: Row, values: Row) -> float:
    """Share of the ordered negatives that the mean value lies above; equal ones count half."""
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return float(np.mean(below)) / 2 / ordered.size


@jit
def _staircase(ordered: Row, positives: Row, fixated: Row) -> float:
    """Area below the ROC curve through the positives; NaN if every pixel is fixated.

    All three ascending: the values of all pixels, those at the points, and those of the pixels with a point.
    """
    negatives = ordered.size - fixated.size
    if negatives == 0:
        return np.nan
    area = hits = alarms = 0.0
    i = positives.size - 1
    while i >= 0:
        cut = positives[i]
        while i >= 0 and positives[i] == cut:
            i -= 1
        hit = 1.0 - (i + 1) / positives.size
        others = np.searchsorted(ordered, cut) - np.searchsorted(fixated, cut)
        alarm = 1.0 - others / negatives
        area += (alarm - alarms) * (hit + hits) / 2
        hits, alarms = hit, alarm
    return area + (1.0 - alarms)


@jit(fastmath=REORDER)
def _moments(row: Row, scale: float) -> tuple[float, float]:
    """Mean and population standard deviation of a row times a power of two."""
    total = 0.0
    for i in range(row.size):
        total += np.float64(row[i]) * scale
    mean = total / row.size
    total = squares = 0.0
    for i in range(row.size):
        away = np.float64(row[i]) * scale - mean
        total += away
        squares += away * away
    rest = total / row.size  # what rounding left of the mean
    return mean + rest, np.sqrt(squares / row.size - rest * rest)


def _area(score: Callable[..., Scores], **fields: Any) -> Metric:
    return Metric(
        score,
        **{
            "kind": "similarity",
            "self_value": np.nan,
            "bounds": (0.0, 1.0),
            "undefined": CONSTANT,
            "nan_reason": Reason.EMPTY,
            "features": (SORTED,),
            "against": "points",
            "map_bytes": 8,
            **fields,
        },
    )


@register
def nss() -> Metric:
    """Mean of the standardized map at the points (normalized scanpath saliency); undefined if constant.

    References
    ----------
    Peters et al. 2005; equals pysaliency's NSS, but for constant maps, which it gives 0
    """

    def moments(block: Block) -> Scores:
        """Power of two, and mean and standard deviation of the map times it: (3, model, image)."""
        scale = power_of_two(np.maximum(np.abs(block.low), np.abs(block.high)))
        found = np.stack([scale, scale, scale])
        for model, image in np.argwhere(block.unusable == Reason.SCORED):
            found[1:, model, image] = _moments(block.flat[model, image], scale[model, image])
        return found

    def score(block: Block, target: Points, ok: NDArray[np.bool_]) -> Scores:
        scale, mean, spread = block.feature("moments", moments)
        scores = np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok):
            values = block.flat[model, image][target.places[image]].astype(np.float64) * scale[model, image]
            scores[model, image] = (values.mean() - mean[model, image]) / spread[model, image]
        return scores

    return _area(
        score,
        definition="mean of the map at the points, in standard deviations (ddof 0) above its mean",
        bounds=(-np.inf, np.inf),
        features=("moments",),
        map_bytes=0,
    )


@register
def auc_judd() -> Metric:
    """Area under the ROC curve with thresholds at the points; negatives are the pixels without a point.

    References
    ----------
    Judd et al. 2009; equals pysaliency's AUC_Judd with jitter=False
    """

    def one(ordered: Row, values: Row, places: Places, image: int) -> float:
        return _staircase(ordered, np.sort(values[places]), np.sort(values[np.unique(places)]))

    return _area(
        lambda block, target, ok: _each(block, target, ok, one),
        definition="area under the ROC curve, thresholds at the points, negatives all pixels without a point",
    )


@register
def auc_uniform() -> Metric:
    """Area under the ROC curve; negatives are all pixels.

    References
    ----------
    Kuemmerer et al. 2018; equals pysaliency's AUC
    """
    return _area(
        lambda block, target, ok: _each(
            block, target, ok, lambda ordered, values, places, image: _above_chance(ordered, values[places])
        ),
        definition="area under the ROC curve, negatives all pixels",
    )


@register
def auc_shuffled() -> Metric:
    """Area under the ROC curve; negatives are the points of other images: a center bias earns nothing.

    References
    ----------
    Tatler et al. 2005; equals pysaliency's AUC with nonfixations="shuffled"
    """

    def score(block: Block, target: Points, ok: NDArray[np.bool_]) -> Scores:
        scores = np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok):
            others = None if target.others is None else target.others[image]
            if others is not None and len(others):
                values = block.flat[model, image]
                scores[model, image] = _above_chance(np.sort(values[others]), values[target.places[image]])
        return scores

    return _area(
        score,
        definition="area under the ROC curve, negatives the points of other images",
        features=(),
        map_bytes=0,
        pair_bytes=16,
    )


DENSITIES = {
    "sum": "the map divided by its sum",
    "softmax": "exp(map) divided by its sum: the map is a log density, but for a constant",
}


def _log_totals(block: Block, density: str) -> Scores:
    """Log of the sum of each map's values over its largest, or of their exponentials: (model, image)."""
    found = np.full(block.low.shape, np.nan)
    for model, image in np.argwhere(block.unusable == Reason.SCORED):
        row, high = block.flat[model, image], block.high[model, image]
        if density == "softmax":
            found[model, image] = np.log(np.sum(np.exp(row - high, dtype=np.float64)))
        else:
            scale = float(power_of_two(high))
            mean, _ = _moments(row, scale)
            found[model, image] = np.log(mean / (high * scale) * row.size)
    return found


@register
def information_gain(density: Literal["sum", "softmax"] | None = None, mix: float = 0.0) -> Metric:
    """Mean log2 of the map's density at the points, above that of a baseline: bits per point.

    Undefined, and said so, where the density is 0 at a point: the gain is minus infinity.

    Parameters
    ----------
    density : {"sum", "softmax"}
        How a map becomes a density: divided by its sum, or as a log density. Required, as the scores of one
        map differ by bits.
    mix : float
        Share of a uniform density mixed in, from 0 to below 1, which keeps a single 0 from deciding.

    References
    ----------
    Kuemmerer et al. 2015; equals pysaliency's information_gain
    """
    known = density is None or density in DENSITIES
    check_parameter("information_gain: density", density, known, " or ".join(DENSITIES))
    fits = is_number(mix, 0, 1) and mix < 1
    check_parameter("information_gain: mix", mix, fits, "a number from 0 to below 1")
    name = f"log total {density}"

    def score(block: Block, target: Points, ok: NDArray[np.bool_]) -> Scores:
        total = block.feature(name, partial(_log_totals, density=str(density)))
        n, scores = block.flat.shape[2], np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok):
            places, high = target.places[image], block.high[model, image]
            values = block.flat[model, image][places].astype(np.float64)
            logs = (values - high if density == "softmax" else np.log(values / high)) - total[model, image]
            if mix:
                logs = np.log((1 - mix) * np.exp(logs) + mix / n)
            base = np.full(len(places), -np.log(n))
            if target.baseline is not None:
                flat = target.baseline[image].ravel()
                base = np.log(flat[places] / flat.sum())
            scores[model, image] = np.mean(logs - base) / np.log(2)
        return scores

    return _area(
        score,
        definition="mean log2 density at the points above a baseline's"
        + ("" if density is None else f", the density {DENSITIES[density]}")
        + (f", mixed with {mix} of a uniform one" if mix else ""),
        bounds=(-np.inf, np.inf),
        undefined=NEEDS_MASS if density == "sum" else frozenset(),
        nan_reason=Reason.ZERO_MASS,
        required="density=sum or density=softmax: how a map becomes a density" if density is None else "",
        features=(name,),
        scale_dependent=density == "softmax",
        unit="bit",
        map_bytes=0,
        pair_bytes=24,
    )
