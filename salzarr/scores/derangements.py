"""Partners for a baseline of chance: to each image another one that has nothing to do with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import UsageError
from salzarr.units import Units

_ROUNDS = 200


def derangements(
    units: Units, count: int = 1, *, chunk: int | None = None, seed: int = 0
) -> NDArray[np.intp]:
    """Draw partners of another unit for all images, over the whole set, several times.

    In each draw every image is the partner of one other. Only where one unit holds more than half of all
    images are those outside of it partners more than once.

    Parameters
    ----------
    units : Units
        No image gets a partner of its own unit.
    count : int
        Number of draws; no more are made than there are other images.
    chunk : int, optional
        Images that are stored together. With it the partners of a chunk's images come from about two other
        chunks, drawn from all, so that few are read; without it from anywhere.
    seed : int

    Returns
    -------
    (draw, image) int
        Position of each image's partner.

    Raises
    ------
    UsageError
        If there are fewer than two units.

    Examples
    --------
    >>> units = Units.by(["a1", "a2", "b1", "b2"], ["a", "a", "b", "b"])
    >>> drawn = derangements(units, 2)
    >>> drawn.shape, bool((units.of[drawn] != units.of).all())
    ((2, 4), True)
    """
    images = len(units.of)
    if units.count < 2:
        what = "unit of images" if images > units.count else "image"
        raise UsageError(f"a baseline of chance needs at least two {what}s, and there is {units.count}")
    rng = np.random.default_rng(seed)
    if units.dominant is not None:
        return np.stack([_beside_a_dominant(units, rng) for _ in range(min(count, images - 1))])
    starts = np.arange(0, images, images if chunk is None else chunk)
    blocks = [np.arange(start, min(start + (chunk or images), images)) for start in rng.permutation(starts)]
    order = np.concatenate([rng.permutation(block) for block in blocks])
    drawn = np.empty((min(count, images - 1), images), np.intp)
    for partner, shift in zip(drawn, rng.permutation(np.arange(1, images))[: len(drawn)], strict=True):
        partner[order] = np.roll(order, shift)
        if not _mend(partner, units.of, rng):
            partner[:] = _shifted_by_unit(units, rng)
    return drawn


def _mend(partner: NDArray[np.intp], unit: NDArray[np.intp], rng: np.random.Generator) -> bool:
    """Swap partners of the own unit for others, in place; False if it takes too long."""
    for _ in range(_ROUNDS):
        wrong = unit[partner] == unit
        if not wrong.any():
            return True
        one = np.flatnonzero(wrong)
        right = rng.permutation(np.flatnonzero(~wrong))
        one, other = one[: len(right)], right[: len(one)]
        fits = (unit[partner[other]] != unit[one]) & (unit[partner[one]] != unit[other])
        one, other = one[fits], other[fits]
        partner[one], partner[other] = partner[other], partner[one]
    return False


def _shifted_by_unit(units: Units, rng: np.random.Generator) -> NDArray[np.intp]:
    """Line the images up by unit, and take the one that stands the largest unit's size away."""
    place = rng.permutation(units.count)[units.of]
    order = np.lexsort([rng.random(len(place)), place])
    partner = np.empty_like(order)
    partner[order] = np.roll(order, int(units.sizes.max()))
    return partner


def _beside_a_dominant(units: Units, rng: np.random.Generator) -> NDArray[np.intp]:
    """Match a unit of more than half of the images with all others, again and again."""
    inside = units.of == int(np.argmax(units.sizes))
    within, without = (rng.permutation(np.flatnonzero(which)) for which in (inside, ~inside))
    partner = np.empty(len(units.of), np.intp)
    partner[within] = np.resize(without, len(within))
    partner[without] = within[: len(without)]
    return partner
