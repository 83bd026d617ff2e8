"""Whether the choice of metric or normalization changes what is concluded: the order of the pairs.

All functions take distances: values that are larger where two models are less alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from salzarr.bootstrap import resamples
from salzarr.descriptive import Floats
from salzarr.statistics.ceilings import correlations
from salzarr.statistics.intervals import expanded
from salzarr.units import Units, ratio


@dataclass(frozen=True)
class Correlations:
    """Rank correlations between metrics over pairs, (metric, metric) each, with an interval over units.

    NaN below three pairs that both have, or where all distances are the same.
    """

    spearman: Floats
    low: Floats
    high: Floats


def resampled(values: Floats, units: Units, repeats: int, seed: int = 0) -> Floats:
    """Mean of each row, (row, image), in each resample of the units: (repeat, row)."""
    sums, sizes = units.totals(values)
    drawn = resamples(units.count, repeats, seed)
    return np.concatenate([ratio(weights @ sums.T, weights @ sizes.T) for weights in drawn])


def rank_correlations(
    means: Sequence[Floats], drawn: Sequence[Floats], units: int, confidence: float = 0.95
) -> Correlations:
    """Correlate the orders in which metrics put the same pairs.

    Parameters
    ----------
    means : sequence of (pair,) float64
        Of each metric; NaN where a pair has no score.
    drawn : sequence of (repeat, pair) float64
        The same in resamples of the units, which all metrics share; see :func:`resampled`.
    units : int
        Number of units, which sets the level of the percentile interval.
    confidence : float

    Returns
    -------
    Correlations

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> units = Units.by([f"{i:02d}" for i in range(30)])
    >>> first = rng.normal(size=(12, 1)) + rng.normal(size=(12, 30))
    >>> both = [first, first + rng.normal(size=(12, 30))]
    >>> drawn = [resampled(values, units, 500) for values in both]
    >>> found = rank_correlations([values.mean(axis=1) for values in both], drawn, 30)
    >>> bool(found.low[0, 1] < found.spearman[0, 1] < found.high[0, 1])
    True
    """
    count = len(means)
    spearman, low, high = (np.full((count, count), np.nan) for _ in range(3))
    tail = float(expanded(units, confidence))
    for i in range(count):
        for j in range(i + 1):
            both = np.isfinite(means[i]) & np.isfinite(means[j])
            of_means = [stats.rankdata(means[k][both])[None] for k in (i, j)]
            spearman[i, j] = spearman[j, i] = correlations(*of_means)[0]
            if i != j and units > 1 and np.isfinite(spearman[i, j]):
                ranks = [stats.rankdata(drawn[k][:, both], axis=1, nan_policy="omit") for k in (i, j)]
                found = correlations(*ranks)
                found = found[np.isfinite(found)]
                if len(found):
                    low[i, j], high[i, j] = np.quantile(found, [tail, 1 - tail])
                    low[j, i], high[j, i] = low[i, j], high[i, j]
    return Correlations(spearman, low, high)


def told_apart(values: Floats, units: Units, confidence: float = 0.95) -> NDArray[np.int8]:
    """Order each two pairs whose mean difference has an interval that excludes 0.

    Parameters
    ----------
    values : (pair, image) float64
        NaN where a pair has no score.
    units : Units
    confidence : float
        Of Student's interval over units, of each two pairs alone.

    Returns
    -------
    (pair, pair) int8
        1 where the first is larger, -1 where the second is, 0 where they are not told apart.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal([[0], [0.1], [3]], 1, (3, 20))
    >>> told_apart(values, Units.by([f"{i:02d}" for i in range(20)])).tolist()
    [[0, 0, -1], [0, 0, -1], [1, 1, 0]]
    """
    sums, sizes = units.totals(values)
    whole = sizes.sum(axis=1)
    mean = ratio(sums.sum(axis=1), whole)
    left = sums - np.where(np.isnan(mean), 0.0, mean)[:, None] * sizes
    influence = np.divide(left, whole[:, None], out=np.zeros_like(left), where=whole[:, None] > 0)
    shared = influence @ influence.T
    own = np.diag(shared)
    square = own[:, None] + own - 2 * shared
    n = np.count_nonzero(sizes > 0, axis=1)
    n = np.minimum(n[:, None], n)
    fewest = np.maximum(n - 1, 1)
    reach = stats.t.ppf((1 + confidence) / 2, fewest) * np.sqrt(np.maximum(square, 0.0) * n / fewest)
    apart = mean[:, None] - mean
    with np.errstate(invalid="ignore"):
        sure = (n > 1) & (np.abs(apart) > reach + 1e-12 * np.abs(mean[:, None]))
    return np.where(sure, np.sign(np.nan_to_num(apart)), 0).astype(np.int8)


def reversals(one: NDArray[np.int8], other: NDArray[np.int8]) -> tuple[NDArray[np.intp], int]:
    """Find the pairs whose order is certain by either of two metrics and is not the same.

    Parameters
    ----------
    one, other : (pair, pair) int8
        From :func:`told_apart`, by one metric and by the other.

    Returns
    -------
    reversed : (n, 2) int
        Which two pairs; the first is the larger by ``one``.
    both : int
        How many twos of pairs are told apart by both.
    """
    upper = np.triu(np.ones(one.shape, bool), 1)
    both = int(np.count_nonzero(upper & (one != 0) & (other != 0)))
    return np.argwhere((one > 0) & (other < 0)), both
