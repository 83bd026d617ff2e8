"""Maps as exact integer masses: what every transport solver of this package starts from.

A map is a distribution of one unit of mass over its pixels. The solvers move mass in ``int64``, where
sums and differences are exact: identical maps differ by nothing, a flow balances or it does not, and a
certificate can be compared with ``==``. :func:`quantize` makes the integers, :func:`pyramid` the coarser
views from which the solvers start, :func:`block_sums` the reduced grid that ``grid=32`` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from salzarr.errors import InputError, ShapeError, UsageError

Floats = npt.NDArray[np.float64]
Masses = npt.NDArray[np.int64]


def unit(shape: Sequence[int]) -> int:
    """Return the integer that stands for a mass of one on a grid of this shape: a power of two.

    At most 2**45: with more, the sums of potentials in float64 lose digits. Mass times distance has to fit
    ``int64``: no mass moves further than ``height + width``, so ``unit * (height + width) <= 2**61`` bounds
    the primal and the dual sum of a solution, with two bits to spare for partial sums. At 2**52, one pixel's
    mass across 1 x 2049 wraps around in both, and a certificate that compares them is fooled.

    >>> unit((224, 224)) == 2**45, unit((1, 2**17)) == 2**43
    (True, True)
    """
    height, width = shape
    reach = int(height + width)
    exponent = min(45, 61 - (reach - 1).bit_length())
    assert exponent > 0, f"a {height} x {width} grid is too large for integer masses"
    assert (1 << exponent) * reach <= 1 << 61
    return 1 << exponent


def relative(map2d: npt.ArrayLike) -> Floats:
    """Check that a map (height, width) is one of mass, and scale its peak to 1: no sum of it overflows."""
    values = np.asarray(map2d, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(f"a map to transport must have 2 dimensions, not {values.ndim}")
    peak = values.max(initial=0.0)
    if not (np.isfinite(peak) and peak > 0.0 and values.min() >= 0.0):
        raise InputError(
            "a map to transport needs finite, non-negative values with a positive sum; "
            "normalize it first (for instance with normalize='abs')"
        )
    scaled: Floats = values / peak
    return scaled


def quantize(map2d: npt.ArrayLike) -> Masses:
    """Scale a map to unit mass and round it to int64 that sum to ``unit(shape)`` exactly.

    Running sums are rounded, not pixels: the errors of neighbors cancel, the total is exact by construction,
    an empty pixel stays empty, and a translated map gets the translated integers.

    >>> quantize([[1.0, 0.0], [2.0, 1.0]]) * 4 // unit((2, 2))
    array([[1, 0],
           [2, 1]])
    """
    values = relative(map2d)
    running = np.cumsum(values)
    total = unit(values.shape)
    shares = np.rint(running * (total / running[-1])).astype(np.int64)
    masses: Masses = np.diff(shares, prepend=0).reshape(values.shape)
    return masses


def halve(masses: Masses) -> Masses:
    """Sum blocks of 2 x 2 pixels; an odd last row or column is padded with zeros.

    >>> halve(np.arange(6).reshape(2, 3))
    array([[8, 7]])
    """
    height, width = masses.shape
    padded = np.pad(masses, ((0, height % 2), (0, width % 2)))
    rows = padded[0::2] + padded[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def pyramid(masses: Masses, smallest: int = 8) -> tuple[Masses, ...]:
    """Return ever coarser sums of 2 x 2 blocks, the coarsest first and the map (height, width) itself last.

    >>> [level.shape for level in pyramid(np.ones((50, 20), dtype=np.int64))]
    [(7, 3), (13, 5), (25, 10), (50, 20)]
    """
    levels = [masses]
    while max(levels[-1].shape) > smallest:
        levels.append(halve(levels[-1]))
    return tuple(levels[::-1])


def block_factor(shape: Sequence[int], grid: int) -> int:
    """Return the smallest whole block side that brings the longer side to at most ``grid`` blocks.

    >>> block_factor((224, 224), 32), block_factor((300, 20), 32), block_factor((5, 5), 32)
    (7, 10, 1)
    """
    if grid < 1:
        raise UsageError(f"the grid of the Earth Mover's Distance must be at least 1, not {grid}")
    return max(1, -(-max(shape) // grid))


def require_one_grid(a: tuple[Sequence[int], int], b: tuple[Sequence[int], int]) -> None:
    """Refuse to transport between maps of two shapes, or two block sides: (shape, side) each."""
    if a != b:
        raise ShapeError(
            f"mass is transported between maps of one shape on one grid, not between {a[0]} pixels in blocks "
            f"of {a[1]} and {b[0]} in blocks of {b[1]}"
        )


def block_sums(map2d: npt.ArrayLike, grid: int) -> tuple[Floats, int]:
    """Sum a map over square blocks, at most ``grid`` along the longer side; return (h, w) sums and the side.

    Blocks at the lower and right edges that are not whole are padded with zeros.

    >>> block_sums(np.ones((3, 5)), grid=3)
    (array([[4., 4., 2.],
           [2., 2., 1.]]), 2)
    """
    values = np.asarray(map2d, dtype=np.float64)
    side = block_factor(values.shape, grid)
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], side), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], side), axis=1), side
