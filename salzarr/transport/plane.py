"""Sources and sinks in the plane, and the search for the best sink of a source.

The transport solvers of this package price *all* pairs of sources and sinks, yet never store one: a
distance is cheaper to compute than to load. :func:`best` compares squares, ``gain**2 > dy**2 + dx**2``,
over rows of 32 points, a loop that compilers turn into vector instructions, and takes a square root only
where that says that the answer improves. On one core it looks at some five pairs per nanosecond, so that
pruning the search by boxes was not worth its branches (162 against 212 ns for 1,640 sinks).

Distances are rounded to multiples of :data:`GRAIN` = 2**-36 pixel. Sums and differences of such numbers
below 2**16 are exact in float64, hence so are the potentials of a solver: what is tight is tight under
``==``, nothing drifts, and no tolerance is needed to prove an optimum.
"""

from __future__ import annotations

from math import floor, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from salzarr.compiled import jit

Floats = npt.NDArray[np.float64]
Masses = npt.NDArray[np.int64]


LANES = 32  # points per row: a whole number of vector registers, so that no loop has a remainder
GRAIN = 2.0**-36  # pixel
FAR = 1e100  # the price of a place that holds no sink; its square is still finite


class Nodes(NamedTuple):
    """The pixels that have mass to give (sources) or to take (sinks), sinks first.

    Both kinds are padded to whole rows of :data:`LANES`; ``first_source`` is where the second begins.
    """

    y: Floats
    x: Floats
    mass: Masses  # > 0 for a source, < 0 for a sink, 0 for padding
    sinks: int
    sources: int
    first_source: int


@jit
def gather(excess: Masses) -> Nodes:
    """Return the sources and sinks of a (height, width) grid of excess masses, in raster order."""
    height, width = excess.shape
    sinks = 0
    sources = 0
    balance = np.int64(0)
    for y in range(height):
        for x in range(width):
            sinks += excess[y, x] < 0
            sources += excess[y, x] > 0
            balance += excess[y, x]
    if balance != 0:
        raise ValueError("the masses to transport do not balance")
    first_source = -(-sinks // LANES) * LANES
    size = first_source - (-sources // LANES) * LANES
    nodes = Nodes(np.zeros(size), np.zeros(size), np.zeros(size, np.int64), sinks, sources, first_source)
    sink = 0
    source = first_source
    for y in range(height):
        for x in range(width):
            if excess[y, x] == 0:
                continue
            node = sink if excess[y, x] < 0 else source
            nodes.y[node] = y
            nodes.x[node] = x
            nodes.mass[node] = excess[y, x]
            if excess[y, x] < 0:
                sink += 1
            else:
                source += 1
    return nodes


@jit
def length(dy: float, dx: float) -> float:
    """Return the Euclidean distance, rounded to a multiple of GRAIN."""
    return floor(sqrt(dy * dy + dx * dx) / GRAIN + 0.5) * GRAIN


@jit
def best(
    ys: Floats, xs: Floats, prices: Floats, y: float, x: float, gain: float, beat: float
) -> tuple[float, int]:
    """Find the point that maximises ``gain - price - distance`` from (y, x), if above `beat`.

    Parameters
    ----------
    ys, xs, prices : (rows, LANES) float64; the price is FAR where there is no point.
    y, x, gain : float
        Where the mass starts, and what it is worth there.
    beat : float
        Only points that beat this count. A good guess makes the search fast.

    Returns
    -------
    value : float
        The maximum, or `beat`.
    index : int
        Its flat index, or -1 if no point beats it.
    """
    found = -1
    value = beat
    for row in range(ys.shape[0]):
        top = gain - value
        better = 0
        for k in range(LANES):
            dy = ys[row, k] - y
            dx = xs[row, k] - x
            slack = top - prices[row, k]
            better += 1 if slack * abs(slack) > dy * dy + dx * dx else 0
        if better == 0:
            continue
        for k in range(LANES):
            dy = ys[row, k] - y
            dx = xs[row, k] - x
            slack = gain - value - prices[row, k]
            if slack > 0.0 and slack * slack > dy * dy + dx * dx:
                candidate = gain - prices[row, k] - length(dy, dx)
                if candidate > value:
                    value = candidate
                    found = row * LANES + k
    return value, found


@jit
def conjugate(
    ys: Floats, xs: Floats, prices: Floats, to_y: Floats, to_x: Floats, count: int, out: Floats
) -> None:
    """Set ``out[i]`` to the least ``price + distance`` from point i, for the first `count` points.

    The least price a unit of mass meets from there: 1-Lipschitz in the place, whatever the prices.
    """
    columns = ys.shape[1]
    guess = 0
    for i in range(count):
        y = to_y[i]
        x = to_x[i]
        row = guess // columns
        k = guess - row * columns
        least = prices[row, k] + length(ys[row, k] - y, xs[row, k] - x)
        value, found = best(ys, xs, prices, y, x, 0.0, -least)
        if found >= 0:
            guess = found  # neighbors in raster order mostly share their best point
        out[i] = -value
