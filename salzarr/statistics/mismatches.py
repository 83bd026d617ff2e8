"""What scores of mismatched images say: the score beyond chance, with its interval.

A mismatched score depends on two images. What one image, or a unit of images, moves is therefore the sum over
both of its roles: as the image of the first model, and as the partner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from salzarr.descriptive import Floats, mean
from salzarr.statistics.intervals import of_means
from salzarr.units import Units, ratio


@dataclass(frozen=True)
class Mean:
    """Mean of each row, and how far it moves with each unit.

    Attributes
    ----------
    value : (row,) float64
    influence : (row, unit) float64
        First-order change of the value where a unit is drawn once more; a row sums to 0.
    shared : (row, dyad) float64
        The same of each two units that stand in one score together; no column for scores of one unit.
    """

    value: Floats
    influence: Floats
    shared: Floats


def of_matched(values: Floats, units: Units) -> Mean:
    """Average (row, image) scores over images, or over units if these weigh the same."""
    value = units.mean(values)
    left, sizes = units.totals(values - value[:, None])
    whole = sizes.sum(axis=1, keepdims=True)
    influence = np.divide(left, whole, out=np.zeros_like(left), where=whole > 0)
    return Mean(value, influence, np.empty((len(values), 0)))


def of_mismatched(values: Floats, partners: NDArray[np.intp], units: Units) -> Mean:
    """Average scores of mismatched images, of all draws of partners together.

    Parameters
    ----------
    values : (draw, row, image) float64
        Of the first model on an image and the second on its partner; NaN where there is none.
    partners : (draw, image) int
    units : Units
    """
    rough = mean(np.concatenate(values, axis=1))  # a constant row must give that constant
    each = [units.totals(of_draw - rough[:, None]) for of_draw in values]
    whole = np.sum([sizes.sum(axis=1) for _, sizes in each], axis=0)
    value = rough + ratio(np.sum([sums.sum(axis=1) for sums, _ in each], axis=0), whole)
    influence = np.zeros((values.shape[1], units.count))
    first, second = np.broadcast_to(units.of, partners.shape), units.of[partners]
    code = np.minimum(first, second) * units.count + np.maximum(first, second)
    dyads, dyad = np.unique(code, return_inverse=True)
    shared = np.zeros((values.shape[1], len(dyads)))
    for of_draw, own, other, both in zip(values, first, second, dyad.reshape(partners.shape), strict=True):
        known = ~np.isnan(of_draw)
        weight = known / np.maximum(whole, 1)[:, None]
        if units.equal:
            weight /= np.maximum(units.gather(known.astype(np.float64)), 1)[:, units.of]
        moved = np.where(known, of_draw - value[:, None], 0.0) * weight
        influence += moved @ _to(own, units.count) + moved @ _to(other, units.count)
        shared += moved @ _to(both, len(dyads))
    return Mean(value, influence, shared)


def _to(column: NDArray[np.intp], columns: int) -> csr_array:
    """Matrix that adds each image to its column: (image, column)."""
    rows = np.arange(len(column))
    return csr_array((np.ones(len(column)), (rows, column)), shape=(len(column), columns))


@dataclass(frozen=True)
class Corrected:
    """The score beyond chance of each row: (score - baseline) / (self - baseline).

    Attributes
    ----------
    score, baseline, value, low, high : (row,) float64
    units : (row,) int
        How many units have a score.
    constant : (row,) bool
        Whether one of the two models has the same map on all images: its score on a mismatched image is that
        on another one, and so the value is 0 by construction and has no interval.
    """

    score: Floats
    baseline: Floats
    value: Floats
    low: Floats
    high: Floats
    units: NDArray[np.intp]
    constant: NDArray[np.bool_]


def corrected(
    matched: Floats,
    mismatched: Floats,
    partners: NDArray[np.intp],
    units: Units,
    own: Floats | float,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Corrected:
    """Take chance out of scores, as a ratio of means and not a mean of ratios.

    Parameters
    ----------
    matched : (row, image) float64
    mismatched : (draw, row, image) float64
        See :func:`of_mismatched`.
    partners : (draw, image) int
    units : Units
    own : (row, image) float64 or float
        Score of a map with itself; of the maps of each image where it depends on the map.
    repeats : int
        Number of resamples of the units.
    confidence : float
    seed : int

    Returns
    -------
    Corrected
        NaN where the baseline is as good as a map with itself.

    References
    ----------
    Hájek: Asymptotic normality of simple linear rank statistics under alternatives, 1968 (projection).
    Aronow, Samii, Assenova: Cluster-robust variance estimation for dyadic data, Political Analysis, 2015.
    """
    itself = of_matched(np.broadcast_to(np.asarray(own, np.float64), matched.shape), units)
    score, chance = of_matched(matched, units), of_mismatched(mismatched, partners, units)
    value = beyond(score.value, chance.value, itself.value)
    room = np.where(np.isnan(value), np.nan, itself.value - chance.value)[:, None]
    by_chance = (score.value - itself.value)[:, None] / room**2
    by_self = (chance.value - score.value)[:, None] / room**2
    influence = score.influence / room + chance.influence * by_chance + itself.influence * by_self
    pseudo = pseudo_values(value, influence, chance.shared * by_chance)
    each = units.singles()
    found = of_means(pseudo, each, repeats=repeats, confidence=confidence, seed=seed)
    n = np.count_nonzero(units.totals(matched)[1] > 0, axis=1)
    constant = (n > 0) & _never_changes(matched, mismatched, partners)
    some = np.where((n > 1) & ~constant, 1.0, np.nan)
    value = np.where(constant & ~np.isnan(value), 0.0, value)
    return Corrected(score.value, chance.value, value, found.low * some, found.high * some, n, constant)


def _never_changes(matched: Floats, mismatched: Floats, partners: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether one of a row's two models has the same map on all images: (row,)."""
    scale = 1e-9 * np.fmax.reduce(np.abs(matched), axis=1, initial=0.0)[:, None]
    first = second = np.full(len(matched), True)
    for of_draw, partner in zip(mismatched, partners, strict=True):
        second = second & ~(np.abs(of_draw - matched) > scale).any(axis=1)
        first = first & ~(np.abs(of_draw - matched[:, partner]) > scale).any(axis=1)
    never: NDArray[np.bool_] = first | second
    return never


def pseudo_values(value: Floats, influence: Floats, shared: Floats) -> Floats:
    """Values of units whose mean varies as an estimate does that has these influences: (row, unit)."""
    # A score of two units is in the influence of both, and so its own square is counted twice. What corrects
    # that is itself an estimate, and is trusted the less the fewer units there are.
    units = influence.shape[1]
    whole = (influence**2).sum(axis=1)
    twice = (shared**2).sum(axis=1) * units / (units + 20)
    scale = np.sqrt(np.clip(ratio(whole - twice, whole), 0.25, 1.0))
    moved: Floats = units * influence * np.where(np.isnan(scale), 1.0, scale)[:, None]
    return value[:, None] + moved


def beyond(score: Floats, chance: Floats, own: Floats) -> Floats:
    """(score - chance) / (own - chance), NaN where chance is as good as a map with itself."""
    room = own - chance
    with np.errstate(invalid="ignore", divide="ignore"):
        some = np.abs(room) > 1e-12 * np.maximum(np.abs(own), 1e-300)
        return np.where(some, (score - chance) / room, np.nan)
