"""Whether a metric tells an image's own map from another image's.

It is a property of a metric on these maps, and no ground for choosing the metric that is reported on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salzarr.descriptive import Floats, mean
from salzarr.statistics.intervals import of_means
from salzarr.statistics.mismatches import of_mismatched, pseudo_values
from salzarr.units import Units


@dataclass(frozen=True)
class Discriminability:
    """Share of mismatched partners that an image's own partner beats.

    Attributes
    ----------
    of_pairs : (pair,) float64
        Averaged over images; NaN where a pair has no score.
    value, low, high : float
        Averaged over images, then over pairs; the interval is over units of images.
    units : int
    """

    of_pairs: Floats
    value: float
    low: float
    high: float
    units: int


def discriminability(
    matched: Floats,
    mismatched: Floats,
    partners: NDArray[np.intp],
    units: Units,
    *,
    similarity: bool,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Discriminability:
    """Compare each score with those of the same map and other images' partners; a tie counts one half.

    Parameters
    ----------
    matched : (pair, image) float64
    mismatched : (draw, pair, image) float64
        Of the first model on an image and the second on its partner.
    partners : (draw, image) int
    units : Units
    similarity : bool
        Whether more is more alike.
    repeats, confidence, seed
        Confidence of the interval.

    Returns
    -------
    Discriminability
        0.5 says that own partners are told apart no better than by chance, 1 that always.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> units = Units.by([f"{i:02d}" for i in range(40)])
    >>> partners = np.stack([np.roll(np.arange(40), shift) for shift in (1, 2)])
    >>> own, other = rng.normal(1, 1, (3, 40)), rng.normal(0, 1, (2, 3, 40))
    >>> found = discriminability(own, other, partners, units, similarity=True)
    >>> round(found.value, 2), bool(found.low > 0.5)
    (0.81, True)
    """
    sign = 1.0 if similarity else -1.0
    with np.errstate(invalid="ignore"):
        beaten = 0.5 + 0.5 * np.sign(sign * (matched - mismatched))
    of_pairs = of_mismatched(beaten, partners, units)
    known = ~np.isnan(of_pairs.value)
    if not known.any():
        return Discriminability(of_pairs.value, np.nan, np.nan, np.nan, 0)
    value = float(of_pairs.value[known].mean())
    influence, shared = (part[known].mean(axis=0)[None] for part in (of_pairs.influence, of_pairs.shared))
    pseudo = pseudo_values(np.array([value]), influence, shared)
    each = units.singles()
    found = of_means(pseudo, each, repeats=repeats, confidence=confidence, seed=seed)
    n = int(np.count_nonzero(~np.isnan(mean(units.means(matched).T))))
    low, high = np.clip([found.low[0], found.high[0]], 0.0, 1.0)
    return Discriminability(of_pairs.value, value, float(low), float(high), n)
