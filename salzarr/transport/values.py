"""Wasserstein distance of two maps' pixel values, in one dimension: where the values are plays no part.

Equally many values on both sides are matched in sorted order, so that sorting once per map is all the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from salzarr.compiled import jit
from salzarr.errors import ShapeError

Sorted = npt.NDArray[np.floating[Any]]


def prepare(map2d: npt.NDArray[np.floating[Any]]) -> Sorted:
    """Return the sorted pixel values of a map, in its own precision: (height * width,)."""
    return np.sort(map2d, axis=None)


def distance(a: Sorted, b: Sorted) -> float:
    """Return the mean absolute difference of sorted values, summed in float64: that of the values' order.

    >>> distance(prepare(np.array([[0.0, 1.0], [2.0, 3.0]])), prepare(np.array([[5.0, 2.0], [3.0, 4.0]])))
    2.0
    """
    if a.size != b.size:
        raise ShapeError(f"maps of {a.size} and {b.size} pixels cannot be compared")
    return float(_mean_difference(a, b))


@jit(fastmath=True)
def _mean_difference(a: Sorted, b: Sorted) -> float:
    total = 0.0
    for i in range(a.size):
        total += abs(np.float64(a[i]) - np.float64(b[i]))
    return total / a.size
