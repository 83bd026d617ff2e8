"""Wilcoxon's signed-rank test of many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from salzarr.compiled import jit
from salzarr.descriptive import Floats


def wilcoxon_test(differences: Floats) -> Floats:
    """Wilcoxon's signed-rank test of each row (row, image): two-sided p.

    Zeros are dropped. p is exact up to 50 images if there are neither ties nor zeros, and from the normal
    approximation else. A row of nothing but zeros has p = 1, one of nothing but NaN has NaN.

    See Also
    --------
    scipy.stats.wilcoxon
    """
    known = ~np.isnan(differences)
    size = np.where(differences == 0, np.nan, np.abs(differences))
    order = np.argsort(size, axis=1)
    n = np.count_nonzero(~np.isnan(size), axis=1)
    positive, ties = _signed_ranks(
        np.take_along_axis(size, order, axis=1), np.take_along_axis(differences > 0, order, axis=1), n
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
        z = (positive - n * (n + 1) / 4) / spread
    p = np.where(known.any(axis=1), np.where(n > 0, 2 * stats.norm.sf(np.abs(z)), 1.0), np.nan)
    exact = (n > 0) & (n <= 50) & (ties == 0) & (n == known.sum(axis=1))
    for count in np.unique(n[exact]):
        rows = np.flatnonzero(exact & (n == count))
        whole = differences[rows][known[rows]].reshape(len(rows), count)
        p[rows] = stats.wilcoxon(whole, axis=1, method="exact").pvalue
    return p


@jit
def _signed_ranks(size: Any, positive: Any, n: Any) -> Any:
    """Sum of the ranks of the positive differences of each row, and Σ t³ - t over its t-fold ties."""
    sums, ties = np.zeros(len(n)), np.zeros(len(n))
    for row in range(len(n)):
        start = 0
        while start < n[row]:
            stop = start + 1
            while stop < n[row] and size[row, stop] == size[row, start]:
                stop += 1
            rank = 0.5 * (start + 1 + stop)
            for at in range(start, stop):
                if positive[row, at]:
                    sums[row] += rank
            ties[row] += float(stop - start) ** 3 - (stop - start)
            start = stop
    return sums, ties
