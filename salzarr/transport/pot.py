"""Exact Earth Mover's Distance by POT's network simplex: the oracle, and an engine to choose.

Only what differs between the two maps is handed over. With a metric as ground distance, mass that both
have in the same place may stay there; that leaves about half the pixels as sources and half as sinks, a
quarter of the cost matrix.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from salzarr.errors import MetricError, RunError
from salzarr.transport import masses

Ground = Literal["euclidean", "cityblock"]

MAX_ITERATIONS = 10_000_000
"""Pivots before POT gives up; a pair at 56 x 56 takes some ten thousand."""

MAX_COSTS = 1 << 28
"""Largest cost matrix that is built: 2 GiB in float64."""


class Relative(NamedTuple):
    """A map of unit mass (h, w) as POT takes it, the side of its blocks, and its shape in pixels."""

    mass: npt.NDArray[np.float64]
    side: int
    shape: tuple[int, ...]


def prepare(map2d: npt.ArrayLike, grid: int | Literal["full"] = "full") -> Relative:
    """Scale a map to unit mass, on block sums (at most ``grid`` along the longer side) or all pixels.

    A map with a negative or non-finite pixel, or no mass, is refused: POT itself answers 0.0 to those.
    """
    values = masses.relative(map2d)
    blocks, side = masses.block_sums(values, max(values.shape) if grid == "full" else grid)
    return Relative(blocks / blocks.sum(), side, values.shape)


def distance(a: Relative, b: Relative, ground: Ground = "euclidean") -> float:
    """Return the Earth Mover's Distance of two prepared maps, in pixels.

    Refused are maps of two grids, a cost matrix above 2 GiB, and an answer that POT warns of.

    >>> before, after = np.zeros((2, 9, 9))
    >>> before[1, 1] = after[4, 5] = 1
    >>> distance(prepare(before), prepare(after)), distance(prepare(before), prepare(after), "cityblock")
    (5.0, 7.0)
    """
    import ot

    masses.require_one_grid((a.shape, a.side), (b.shape, b.side))
    surplus = a.mass - b.mass
    sources, sinks = np.argwhere(surplus > 0), np.argwhere(surplus < 0)
    if not (len(sources) and len(sinks)):
        return 0.0
    costs = len(sources) * len(sinks)
    if costs > MAX_COSTS:
        raise MetricError(
            f"engine=pot needs a matrix of {costs / 2**27:.0f} GiB for maps that differ in this many pixels; "
            "use engine=salzarr, or a coarser grid"
        )
    out, into = surplus[surplus > 0], -surplus[surplus < 0]
    cost = cdist(sources * float(a.side), sinks * float(a.side), ground)
    value, log = ot.emd2(out / out.sum(), into / into.sum(), cost, numItermax=MAX_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RunError(f"POT did not find the Earth Mover's Distance of two maps: {log['warning']}")
    return float(value) * float(out.sum())
