"""The difference between two groups of images: its interval, and a test that permutes labels over units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salzarr.bootstrap import resamples
from salzarr.descriptive import Floats
from salzarr.statistics.intervals import expanded, percentile
from salzarr.units import Units, ratio

_BATCH_BYTES = 2**24


@dataclass(frozen=True)
class Difference:
    """Difference of the means of two groups, row by row: (row,) each.

    Attributes
    ----------
    value, low, high : float64
        First group less second.
    units_1, units_2 : int
        Units of each group with a value.
    p : float64
        Two-sided, by permuted labels; NaN where a unit has images of both groups or a group is one unit.
    """

    value: Floats
    low: Floats
    high: Floats
    units_1: NDArray[np.intp]
    units_2: NDArray[np.intp]
    p: Floats


def difference(
    values: Floats,
    first: NDArray[np.bool_],
    units: Units,
    *,
    repeats: int = 2000,
    permutations: int = 9999,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare the means of two groups of images.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value.
    first : (image,) bool
        Which images are of the first group; all others are of the second.
    units : Units
        Where no unit has images of both groups, units are drawn within each, and else all together.
    repeats, permutations : int
        Resamples for the interval (percentile, at the expanded level of the smaller group) and random
        permutations of the units' labels.
    confidence : float
    seed : int

    Returns
    -------
    Difference

    References
    ----------
    Janssen: Studentized permutation tests for non-i.i.d. hypotheses, 1997; Chung, Romano: Exact and
    asymptotically robust permutation tests, 2013. The studentized difference keeps its level where the groups
    differ in spread.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(1, 60))
    >>> right = np.arange(60) < 30
    >>> values[:, right] += 1
    >>> found = difference(values, right, Units.by([f"{i:02d}" for i in range(60)]))
    >>> bool(found.low[0] < found.value[0] < found.high[0]), found.p.round(4).tolist()
    (True, [0.0103])
    """
    parts = [units.totals(np.where(group, values, np.nan)) for group in (first, ~first)]
    means = [ratio(sums.sum(axis=1), sizes.sum(axis=1)) for sums, sizes in parts]
    n = [np.count_nonzero(sizes > 0, axis=1) for _, sizes in parts]
    there = [np.bincount(units.of[group], minlength=units.count) > 0 for group in (first, ~first)]
    nested = not (there[0] & there[1]).any()
    everywhere = np.ones(units.count, bool)
    one, two = (
        _means(*part, group if nested else everywhere, repeats, seed + nested * i)
        for i, (part, group) in enumerate(zip(parts, there, strict=True))
    )
    fewer = np.minimum(*n)
    value = means[0] - means[1]
    rows = len(values)
    low, high = percentile(
        one - two, value, np.zeros(rows), np.zeros(rows, bool), expanded(fewer, confidence)
    )
    some = np.where(fewer > 1, 1.0, np.nan)
    p = np.full(rows, np.nan)
    if nested:
        sums, sizes = units.totals(values)
        p = _permute(sums, sizes, there[0], permutations, seed)
    return Difference(value, low * some, high * some, n[0], n[1], p * some)


def _means(sums: Floats, sizes: Floats, members: NDArray[np.bool_], repeats: int, seed: int) -> Floats:
    """Mean of each row over some units in each resample of them: (repeat, row)."""
    sums, sizes = sums[:, members], sizes[:, members]
    drawn = resamples(sums.shape[1], repeats, seed)
    batches = [ratio(weights @ sums.T, weights @ sizes.T) for weights in drawn]
    return np.concatenate([np.empty((0, len(sums))), *batches])


def _permute(sums: Floats, sizes: Floats, first: NDArray[np.bool_], permutations: int, seed: int) -> Floats:
    """Two-sided p of each row's studentized difference."""
    center = ratio(sums.sum(axis=1), sizes.sum(axis=1))
    sums = sums - np.where(np.isnan(center), 0.0, center)[:, None] * sizes
    moments = [sums, sizes, sums**2, sums * sizes, sizes**2, (sizes > 0).astype(np.float64)]
    totals = [moment.sum(axis=1) for moment in moments]

    def studentized(groups: Floats) -> Floats:
        """|t| of each choice of the first group's units, (choice, unit), for each row."""
        means, variances = [], []
        inside = [groups @ moment.T for moment in moments]
        outside = [total - part for total, part in zip(totals, inside, strict=True)]
        for total, count, square, cross, size2, units in (inside, outside):
            mean = ratio(total, count)
            spread = np.maximum(square - 2 * mean * cross + mean**2 * size2, 0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                variances.append(spread / count**2 * units / (units - 1))
            means.append(mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.abs(means[0] - means[1]) / np.sqrt(variances[0] + variances[1])
        return np.where(np.isnan(found), 0.0, found)

    observed = studentized(first[None].astype(np.float64))[0]
    rng = np.random.default_rng(seed)
    extreme = np.zeros(len(sums))
    batch = max(1, _BATCH_BYTES // (8 * max(len(first), len(sums))))
    for start in range(0, permutations, batch):
        count = min(batch, permutations - start)
        groups = rng.permuted(np.broadcast_to(first, (count, len(first))), axis=1).astype(np.float64)
        extreme += np.count_nonzero(studentized(groups) >= observed * (1 - 1e-12), axis=0)
    return (extreme + 1) / (permutations + 1)
