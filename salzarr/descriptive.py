"""Statistics of rows of numbers with gaps: NumPy in, NumPy out, all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STATISTICS = ("n", "mean", "std", "se", "min", "q25", "median", "q75", "max")
"""The statistics of :func:`describe`, in this order."""

DESCRIBE_BYTES = 48
"""Memory that :func:`describe` needs per value, the value included."""


def quantile(ordered: Floats, n: NDArray[np.integer[Any]], q: Floats | float) -> Floats:
    """Return a quantile of each row by linear interpolation, NumPy's and pandas' default.

    Parameters
    ----------
    ordered : (row, value) float64
        Each row sorted, its NaNs last, as :func:`numpy.sort` leaves them.
    n : (row,) int
        How many values of the row are not NaN.
    q : float or (row,) float64
        Which quantile, 0 to 1.

    Returns
    -------
    (row,) float64
        NaN where a row has no value.

    Examples
    --------
    >>> quantile(np.array([[1.0, 2.0, 4.0, np.nan]]), np.array([3]), 0.75)
    array([3.])
    """
    if ordered.shape[1] == 0:
        return np.full(len(ordered), np.nan)
    at = np.where(np.isnan(q), 0.0, q) * np.maximum(n - 1, 0)
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    rows = np.arange(len(ordered))
    low, high = ordered[rows, below], ordered[rows, above]
    # A value that is met, or lies between two equal ones, is given as it is: no rounding, no inf - inf.
    with np.errstate(invalid="ignore"):
        value = np.where((low == high) | (at == below), low, low + (at - below) * (high - low))
    found: Floats = np.where((n > 0) & ~np.isnan(q), value, np.nan)
    return found


def mean(values: Floats) -> Floats:
    """Return the mean of each row without its NaNs; NaN for a row of nothing else."""
    n = np.count_nonzero(~np.isnan(values), axis=1)
    with np.errstate(invalid="ignore"):
        rough = np.nansum(values, axis=1) / n
        # A second pass takes out the rounding of the first: a constant row must give that constant.
        refined = rough + np.nansum(values - rough[:, None], axis=1) / n
    found: Floats = np.where(np.isfinite(rough), refined, rough)
    return found


def describe(values: Floats) -> Floats:
    """Count, average and order the values of each row, without its NaNs.

    Parameters
    ----------
    values : (row, value) float64

    Returns
    -------
    (statistic, row) float64
        In the order of :data:`STATISTICS`. ``std`` is the sample's (divisor n - 1) and ``se``, the standard
        error of the mean, is std / √n: both NaN below two values. A row of NaNs has n = 0 and NaN elsewhere.

    See Also
    --------
    pandas.DataFrame.describe

    Examples
    --------
    >>> found = describe(np.array([[1.0, 2.0, 6.0, np.nan]]))[:, 0]
    >>> dict(zip(STATISTICS, found.round(2).tolist(), strict=True))["se"]
    1.53
    """
    n = np.count_nonzero(~np.isnan(values), axis=1)
    center = mean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = np.nansum((values - center[:, None]) ** 2, axis=1)
        std = np.where(n > 1, np.sqrt(square / (n - 1)), np.nan)
        se = std / np.sqrt(n)
    ordered = np.sort(values, axis=1)
    low, q25, median, q75, high = (quantile(ordered, n, q) for q in (0.0, 0.25, 0.5, 0.75, 1.0))
    return np.stack([n.astype(np.float64), center, std, se, low, q25, median, q75, high])
