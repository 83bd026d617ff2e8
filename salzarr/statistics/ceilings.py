"""How well a matrix of scores can be predicted at all, given how much images differ (a noise ceiling)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from salzarr.descriptive import Floats, mean
from salzarr.units import Units


@dataclass(frozen=True)
class Ceiling:
    """Correlation of each unit's vector of pairs with the mean vector: (unit,) each, NaN where there is none.

    Attributes
    ----------
    lower : float64
        With the mean of the other units: what a model that knows these could reach.
    upper : float64
        With the mean of all: what no prediction can exceed on average, since it contains the unit itself.
    """

    lower: Floats
    upper: Floats


def ceiling(values: Floats, units: Units) -> Ceiling:
    """Correlate each unit's scores with the mean of the others and of all, over pairs.

    Parameters
    ----------
    values : (pair, image) float64
        NaN where a pair has no score; pairs without one in a unit, or in the others, are left out there.
    units : Units

    Returns
    -------
    Ceiling
        NaN below three pairs, below two units, or where all scores of a unit are the same.

    References
    ----------
    Nili et al.: A toolbox for representational similarity analysis, PLOS Computational Biology, 2014.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(size=(20, 1)) + rng.normal(size=(20, 30))
    >>> found = ceiling(values, Units.by([f"{i:02d}" for i in range(30)]))
    >>> float(found.lower.mean().round(2)), float(found.upper.mean().round(2))
    (0.66, 0.68)
    """
    if len(values) < 3 or units.count < 2:
        return Ceiling(*(np.full(units.count, np.nan) for _ in range(2)))
    center = mean(values)
    sums, sizes = units.totals(values - np.where(np.isnan(center), 0.0, center)[:, None])
    offset = np.where(np.isnan(center), 0.0, center)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(sizes > 0, sums / sizes, np.nan) + offset
        left = sizes.sum(axis=1, keepdims=True) - sizes
        others = np.where(left > 0, (sums.sum(axis=1, keepdims=True) - sums) / left, np.nan) + offset
        every = sums.sum(axis=1, keepdims=True) / sizes.sum(axis=1, keepdims=True) + offset
    return Ceiling(correlations(own.T, others.T), correlations(own.T, np.broadcast_to(every, own.shape).T))


def correlations(a: Floats, b: Floats) -> Floats:
    """Pearson's correlation of each row of a with that of b over what both have; NaN below three values."""
    known = np.isfinite(a) & np.isfinite(b)
    n = known.sum(axis=1)
    a, b = (np.where(known, x, np.nan) for x in (a, b))
    a, b = (np.where(known, x - mean(x)[:, None], 0.0) for x in (a, b))
    square = (a**2).sum(axis=1) * (b**2).sum(axis=1)
    r = np.divide((a * b).sum(axis=1), np.sqrt(square), out=np.full(len(a), np.nan), where=square > 0)
    return np.where(n > 2, np.clip(r, -1.0, 1.0), np.nan)
