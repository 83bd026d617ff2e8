"""Confidence intervals of means over images or units of images, right at small numbers of them.

The estimand is the mean over images. Images of one unit are drawn together, and so a mean in a resample is a
ratio: the units' sums over the units' sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr, ndtri

from salzarr.bootstrap import Medians, resamples, skew
from salzarr.descriptive import Floats, mean, quantile
from salzarr.units import Units, ratio

Kind = Literal["auto", "bca", "percentile", "studentized"]

SMALL = 50
"""Below so many units a mean's interval is studentized."""

_FLAT = 0.01
"""Share of resamples without a spread from which on a studentized interval is not to be had."""


@dataclass(frozen=True)
class Interval:
    """Confidence intervals of some rows.

    Attributes
    ----------
    low, high : (row,) float64
        NaN below two units.
    units : (row,) int
        How many units have a value: the n of the interval.
    method : (row,) str
        ``studentized``, ``bca`` or ``percentile``.
    """

    low: Floats
    high: Floats
    units: NDArray[np.intp]
    method: NDArray[np.str_]


def expanded(n: NDArray[np.integer] | int, confidence: float) -> Floats:
    """Tail probability that makes a percentile interval of a mean of n values as wide as Student's.

    References
    ----------
    Hesterberg: What teachers should know about the bootstrap, The American Statistician, 2015, section 5.3.
    """
    n = np.maximum(np.asarray(n, np.float64), 2.0)
    tail: Floats = ndtr(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - confidence) / 2, n - 1))
    return tail


def of_means(
    values: Floats,
    units: Units,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    method: Kind = "auto",
    seed: int = 0,
) -> Interval:
    """Bootstrap the mean of each row, by units.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value.
    units : Units
        Units of the images; with ``equal`` the mean is that over units.
    repeats : int
        Number of resamples, the same for all rows.
    confidence : float
        Between 0 and 1.
    method : {"auto", "studentized", "bca", "percentile"}
        ``auto`` takes the studentized interval below 50 units, within the range of the units' means, and BCa
        from there on; the percentile interval where units differ in size, or where too few values differ to
        studentize. BCa and percentile are at Hesterberg's expanded level.
    seed : int

    Returns
    -------
    Interval

    See Also
    --------
    scipy.stats.bootstrap : without units and gaps.

    References
    ----------
    Efron, Tibshirani: An Introduction to the Bootstrap, 1993, sections 12.5 (bootstrap-t) and 14.3 (BCa).

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(5, 1, (1, 20))
    >>> found = of_means(values, Units.by([f"{i:02d}" for i in range(20)]))
    >>> found.low.round(1), found.high.round(1), str(found.method[0])
    (array([4.4]), array([5.2]), 'studentized')
    """
    center = mean(values)
    # What is left after the row's mean: no digits are lost to a large one, and a constant row stays constant.
    sums, sizes = units.totals(values - np.where(np.isnan(center), 0.0, center)[:, None])
    filled = sizes > 0
    n = np.count_nonzero(filled, axis=1)
    if not repeats:
        nothing = np.full(len(values), np.nan)
        return Interval(nothing, nothing, n, np.full(len(values), "", "<U12"))
    shift = ratio(sums.sum(axis=1), sizes.sum(axis=1))
    smallest = np.where(filled, sizes, np.inf).min(axis=1, initial=np.inf)
    uneven = (n > 0) & (sizes.max(axis=1, initial=0) != smallest)
    drawn = _draw(sums, sizes, units.count, repeats, seed, studentize=method in ("auto", "studentized"))
    chosen = _methods(method, n, uneven, drawn)
    left = sums - np.where(np.isnan(shift), 0.0, shift)[:, None] * sizes
    acceleration = np.where(chosen == "bca", skew(np.where(filled, left, np.nan)), 0.0)
    low, high = percentile(drawn.means, shift, acceleration, chosen == "bca", expanded(n, confidence))
    if drawn.ratios is not None and (chosen == "studentized").any():
        spread = ratio(np.sqrt((left**2).sum(axis=1)), sizes.sum(axis=1))
        ordered, known = np.sort(drawn.ratios.T, axis=1), np.count_nonzero(~np.isnan(drawn.ratios), axis=0)
        tails = [quantile(ordered, known, level) for level in ((1 + confidence) / 2, (1 - confidence) / 2)]
        of_units = np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=filled)
        ends = np.fmin.reduce(of_units, axis=1), np.fmax.reduce(of_units, axis=1)
        with np.errstate(invalid="ignore"):
            below, above = (np.clip(shift - tail * spread, *ends) for tail in tails)
        low, high = np.where(chosen == "studentized", [below, above], [low, high])
    some = np.where(n > 1, 1.0, np.nan)
    return Interval((center + low) * some, (center + high) * some, n, chosen)


def of_medians(
    values: Floats, units: Units, *, repeats: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Find an interval of the median of each row, over images.

    Where each image is a unit it is that of order statistics, which holds whatever the law of the values and
    draws nothing; else the percentile interval of units that are drawn together, at the expanded level.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value.
    units, repeats, confidence, seed
        As for :func:`of_means`.

    Returns
    -------
    Interval
        NaN where no interval of these values has the confidence, as of fewer than six images at 95 %.

    References
    ----------
    Hettmansperger, Sheather: Confidence intervals based on interpolated order statistics, 1986.

    Examples
    --------
    >>> found = of_medians(np.arange(10.0)[None], Units.by([str(i) for i in range(10)]))
    >>> found.low.round(2), found.high.round(2)
    (array([1.66]), array([7.34]))
    """
    medians = Medians(values)
    if units.alone:
        low, high = _order_statistics(medians.ordered, medians.n, confidence)
        return Interval(low, high, medians.n, np.full(len(values), "order", "<U12"))
    drawn = resamples(units.count, repeats, seed)
    of_medians = np.concatenate([medians.resampled(weights[:, units.of]) for weights in drawn])
    n = np.count_nonzero(units.totals(values)[1] > 0, axis=1)
    rows = len(values)
    low, high = percentile(
        of_medians, np.zeros(rows), np.zeros(rows), np.zeros(rows, bool), expanded(n, confidence)
    )
    some = np.where(n > 1, 1.0, np.nan)
    return Interval(low * some, high * some, n, np.full(rows, "percentile", "<U12"))


def _order_statistics(ordered: Floats, n: NDArray[np.intp], confidence: float) -> tuple[Floats, Floats]:
    """Interval of the median of each sorted row, its NaNs last."""
    low, high = (np.full(len(ordered), np.nan) for _ in range(2))
    for count in np.unique(n[n > 1]):
        rows = np.flatnonzero(n == count)
        k = np.arange(1, count // 2 + 1)
        covered = 1 - 2 * stats.binom.cdf(k - 1, count, 0.5)  # by the k-th value from either end
        inside = np.flatnonzero(covered >= confidence)
        if not len(inside):
            continue
        last = int(inside[-1])
        share, step = 0.0, k[last]
        if last + 1 < len(k):
            part = (covered[last] - confidence) / (covered[last] - covered[last + 1])
            share = (count - step) * part / (step + (count - 2 * step) * part)
        near = min(int(step), count - 1)
        at = (step - 1, near, count - step, count - 1 - near)
        first, second, last_but_one, end = (ordered[rows, place] for place in at)
        low[rows] = np.where(first == second, first, (1 - share) * first + share * second)
        high[rows] = np.where(end == last_but_one, end, (1 - share) * last_but_one + share * end)
    return low, high


def standard_error(values: Floats, units: Units) -> Floats:
    """Return the standard error of the mean of each (row, image), from what units vary: (row,)."""
    center = units.mean(values)
    left, sizes = units.totals(values - center[:, None])
    n = np.count_nonzero(sizes > 0, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.sqrt((left**2).sum(axis=1) * n / (n - 1)) / sizes.sum(axis=1)
    return np.where(n > 1, found, np.nan)


@dataclass(frozen=True)
class _Drawn:
    """Means of resamples and, if wanted, their distances from the mean in standard errors: (repeat, row)."""

    means: Floats
    ratios: Floats | None


def _draw(sums: Floats, sizes: Floats, units: int, repeats: int, seed: int, *, studentize: bool) -> _Drawn:
    few = np.count_nonzero(sizes > 0, axis=1) < SMALL
    studentize = studentize and bool(few.any())
    shift = ratio(sums.sum(axis=1), sizes.sum(axis=1))
    scale = np.abs(sums).max(axis=1, initial=0.0)
    means, ratios = [], []
    for weights in resamples(units, repeats, seed):
        total = weights @ sizes.T
        means.append(ratio(weights @ sums.T, total))
        if studentize:
            square = weights @ (sums**2).T - 2 * means[-1] * (weights @ (sums * sizes).T)
            square += means[-1] ** 2 * (weights @ (sizes**2).T)
            # What rounding leaves of no spread at all is no spread.
            square = np.where(square > 1e-12 * scale**2, square, 0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios.append((means[-1] - shift) * total / np.sqrt(square))
    return _Drawn(np.concatenate(means), np.concatenate(ratios) if studentize else None)


def _methods(method: Kind, n: NDArray[np.intp], uneven: NDArray[np.bool_], drawn: _Drawn) -> NDArray[np.str_]:
    """Kind of each row's interval."""
    if method == "bca" or method == "percentile":
        return np.full(len(n), method, "<U12")
    if drawn.ratios is None:
        return np.where(uneven, "percentile", "bca")
    flat = np.mean(~np.isfinite(drawn.ratios), axis=0) > _FLAT
    studentized = ~flat & ((n < SMALL) | (method == "studentized"))
    return np.select([studentized, uneven], ["studentized", "percentile"], "bca")


def percentile(
    distribution: Floats,
    estimate: Floats,
    acceleration: Floats,
    corrected: NDArray[np.bool_],
    tail: Floats,
) -> tuple[Floats, Floats]:
    """Percentile interval of each row or, where it is to be corrected, BCa."""
    ordered = np.sort(distribution.T, axis=1)
    known = np.count_nonzero(~np.isnan(ordered), axis=1)
    at = np.where(np.isnan(estimate), 0.0, estimate)[:, None]
    below = np.count_nonzero(ordered < at, axis=1) + np.count_nonzero(ordered <= at, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = np.where(corrected, ndtri(below / (2 * known)), 0.0)
        shifted = [bias + z for z in (ndtri(tail), -ndtri(tail))]
        levels = [ndtr(bias + z / (1 - acceleration * z)) for z in shifted]
    return quantile(ordered, known, levels[0]), quantile(ordered, known, levels[1])
