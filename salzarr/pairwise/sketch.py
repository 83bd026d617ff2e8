"""Statistics that can be merged: what is kept of scores that are not kept themselves.

Counts, means, variances and extremes are exact. Of the distribution, each row keeps a fixed number of points,
equally far apart in rank: all the values while they are few, and after that values interpolated between
them. One merge moves a rank by at most half the distance between two points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit

Floats = NDArray[np.float64]


STATISTICS = ("n", "mean", "std", "se", "min", "q25", "median", "q75", "max")
"""What :meth:`Sketch.statistics` gives: those of :func:`salzarr.summarize`."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Statistics of rows of numbers.

    Attributes
    ----------
    n : (row,) int64
        How many numbers each row had.
    mean, m2 : (row,) float64
        Their mean, and the sum of squared distances from it; 0 for none.
    low, high : (row,) float64
        Their extremes; NaN for none.
    points : (row, point) float64
        Ascending; the first min(n, point) of them are used.
    """

    n: NDArray[np.int64]
    mean: Floats
    m2: Floats
    low: Floats
    high: Floats
    points: Floats

    @classmethod
    def of(cls, values: Floats, points: int) -> Sketch:
        """Make one of rows of values, NaN where there is none.

        >>> Sketch.of(np.array([[1.0, np.nan, 3.0]]), points=8).statistics()[:2].ravel().tolist()
        [2.0, 2.0]
        """
        rows = values.shape[0]
        ordered = np.sort(values, axis=1)  # NaNs last
        n = np.count_nonzero(~np.isnan(values), axis=1)
        some = np.maximum(n, 1)
        rough = np.nansum(values, axis=1) / some
        # A second pass takes out the rounding of the first: a constant row has exactly that mean.
        mean = np.where(n, rough + np.nansum(values - rough[:, None], axis=1) / some, 0.0)
        m2 = np.nansum((values - mean[:, None]) ** 2, axis=1)
        nothing = np.full(rows, np.nan)
        low = np.where(n, ordered[:, 0], np.nan) if values.shape[1] else nothing
        high = np.where(n, ordered[np.arange(rows), some - 1], np.nan) if values.shape[1] else nothing
        kept = np.empty((rows, points))
        _merge_points(ordered, n, np.empty((rows, 0)), np.zeros(rows, np.int64), kept)
        return cls(n, mean, m2, low, high, kept)

    def merge(self, other: Sketch) -> Sketch:
        """Give the statistics of all numbers of both (Chan, Golub and LeVeque 1983)."""
        n = self.n + other.n
        some = np.maximum(n, 1)
        step = other.mean - self.mean
        mean = np.where(self.n == 0, other.mean, self.mean + step * (other.n / some))
        m2 = self.m2 + other.m2 + step**2 * (self.n * (other.n / some))
        kept = np.empty_like(self.points)
        _merge_points(self.points, self.n, other.points, other.n, kept)
        return Sketch(n, mean, m2, np.fmin(self.low, other.low), np.fmax(self.high, other.high), kept)

    def quantile(self, q: float) -> Floats:
        """Interpolate a quantile, as NumPy does by default: exact while n is at most the number of points."""
        kept = np.minimum(self.n, self.points.shape[1])
        place = (q * np.maximum(self.n - 1, 0) + 0.5) * kept / np.maximum(self.n, 1) - 0.5
        place = np.clip(place, 0, np.maximum(kept - 1, 0))
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(kept - 1, 0))
        rows = np.arange(len(self.n))
        low, high = self.points[rows, below], self.points[rows, above]
        return np.where(
            self.n > 0, np.clip(low + (place - below) * (high - low), self.low, self.high), np.nan
        )

    def statistics(self) -> Floats:
        """Give (statistic, row) in the order of :data:`STATISTICS`; NaN where there is nothing to tell."""
        with np.errstate(invalid="ignore", divide="ignore"):
            std = np.where(self.n > 1, np.sqrt(self.m2 / (self.n - 1)), np.nan)
            se = std / np.sqrt(self.n)
        mean = np.where(self.n > 0, self.mean, np.nan)
        quartiles = (self.quantile(q) for q in (0.25, 0.5, 0.75))
        return np.stack([self.n.astype(np.float64), mean, std, se, self.low, *quartiles, self.high])


@jit
def _merge_points(a: Any, n_a: Any, b: Any, n_b: Any, out: Any) -> None:
    """Merge rows of points, each of which stands for n / (number of points) values."""
    for row in range(out.shape[0]):
        some_a, some_b = min(n_a[row], a.shape[1]), min(n_b[row], b.shape[1])
        total = n_a[row] + n_b[row]
        kept = min(total, out.shape[1])
        i = j = filled = 0
        ranked, last_rank, last = 0.0, 0.0, 0.0
        while i + j < some_a + some_b:
            if i < some_a and (j >= some_b or a[row, i] <= b[row, j]):
                value, weight = a[row, i], n_a[row] / some_a
                i += 1
            else:
                value, weight = b[row, j], n_b[row] / some_b
                j += 1
            rank = ranked + weight / 2
            while filled < kept and (filled + 0.5) * total / kept <= rank:
                target = (filled + 0.5) * total / kept
                if i + j == 1 or target == rank or value == last:
                    out[row, filled] = value
                else:
                    out[row, filled] = last + (value - last) * (target - last_rank) / (rank - last_rank)
                filled += 1
            ranked, last_rank, last = ranked + weight, rank, value
        for rest in range(filled, kept):
            out[row, rest] = last
        for rest in range(kept, out.shape[1]):
            out[row, rest] = np.nan
