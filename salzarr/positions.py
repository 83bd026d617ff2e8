"""Positions along an axis: which of them lie together, and how they are best read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Positions = range | tuple[int, ...]


def spans(positions: NDArray[np.intp], chunk: int) -> list[slice]:
    """Return ranges that hold all positions, cut only where a chunk ends and the next position is not next.

    >>> spans(np.array([7, 1, 3, 2, 20, 8]), 5)
    [slice(1, 4, None), slice(7, 9, None), slice(20, 21, None)]
    """
    ordered = np.unique(positions)
    cuts = np.flatnonzero((np.diff(ordered) > 1) & (np.diff(ordered // chunk) > 0)) + 1
    edges = [0, *cuts.tolist(), len(ordered)]
    return [slice(int(ordered[a]), int(ordered[b - 1]) + 1) for a, b in pairwise(edges) if b > a]


def compact(positions: range | Sequence[int]) -> Positions:
    """Write positions that are consecutive as a range.

    >>> compact([3, 4, 5]), compact([3, 5])
    (range(3, 6), (3, 5))
    """
    if not len(positions):
        return range(0)
    whole = range(positions[0], positions[0] + len(positions))
    return whole if list(positions) == list(whole) else tuple(positions)


def as_index(positions: Positions) -> slice | list[int]:
    """Return an index that takes consecutive positions without a copy."""
    if isinstance(positions, range):
        return slice(positions.start, positions.stop)
    return list(positions)
