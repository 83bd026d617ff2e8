"""Exact Earth Mover's Distance with Euclidean ground distance, on a grid of block sums.

The problem: maps a and b hold one unit of mass each over the pixel plane. Find the flow of mass from a to
b with the least sum of mass times Euclidean distance. Common mass stays where it is (a metric never gains
by moving it), so the pixels where a > b are the sources and those where a < b the sinks.

The algorithm, coarse to fine on 2 x 2 block sums:

1. The potentials of the coarser solution are interpolated to the finer grid, and made feasible: each
   source takes the least *price + distance* over all sinks, then each sink the most *price - distance*
   over all sources. Their dual value is a **lower bound**; on saliency maps it is within 0.01-0.2 % of
   the answer.
2. The heaviest source first, each fills the sinks that are best by those potentials. The cost of this flow
   is an **upper bound**, mostly within 2 %, and its arcs are the first basis.
3. The transportation simplex (:mod:`salzarr.transport.simplex`) improves the basis until no pair of a
   source and a sink violates, which proves it optimal. Or, with ``rtol``, until the bounds are close.

Every exact answer is checked by :func:`salzarr.transport.simplex.certified` before it is returned, in
integers and exact floats, at one to three hundredths of the time of the solution.

References
----------
Rubner, Tomasi and Guibas, "The earth mover's distance as a metric for image retrieval", IJCV 40, 2000.
"""

from __future__ import annotations

from math import floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from salzarr.compiled import announced, jit
from salzarr.errors import RunError
from salzarr.transport import masses
from salzarr.transport.basis import Tree, plant, rows
from salzarr.transport.plane import FAR, GRAIN, Nodes, conjugate, gather
from salzarr.transport.simplex import certified, cost, lowered, sweep

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


FIRST_THRESHOLD = 1.0  # pixel


class Blocks(NamedTuple):
    """A map as :func:`prepare` returns it, once for all its pairs."""

    masses: Integers  # of all levels of the pyramid, the coarsest first, one after the other
    shapes: Integers  # (level, 2): the height and width of each
    side: int  # of a block, in pixels of the map
    unit: int  # the integer that stands for all mass
    shape: tuple[int, ...]  # of the map, in pixels


class Solution(NamedTuple):
    """A flow and the bounds it proves, in integer masses times blocks."""

    nodes: Nodes
    tree: Tree
    lower: float
    upper: float
    exact: bool


@jit
def dual(nodes: Nodes, potential: Floats) -> float:
    """Make potentials feasible, in place and from those of the sinks alone; return their lower bound."""
    first = nodes.first_source
    split = first + nodes.sources
    ys, xs = rows(nodes.y, nodes), rows(nodes.x, nodes)
    conjugate(
        ys, xs, rows(potential, nodes), nodes.y[first:], nodes.x[first:], nodes.sources, potential[first:]
    )
    potential[split:] = -FAR
    back = -potential[first:]
    source_y, source_x = nodes.y[first:].reshape(-1, ys.shape[1]), nodes.x[first:].reshape(-1, ys.shape[1])
    conjugate(source_y, source_x, back.reshape(source_y.shape), nodes.y, nodes.x, nodes.sinks, potential)
    total = 0.0
    for node in range(nodes.sinks):
        potential[node] = -potential[node]
        total += potential[node] * np.float64(nodes.mass[node])
    for node in range(first, split):
        total += potential[node] * np.float64(nodes.mass[node])
    return total


@jit
def surface(nodes: Nodes, potential: Floats, height: int, width: int) -> Floats:
    """Spread the potentials of sources and sinks over the grid: the least price that mass meets there."""
    known = np.zeros((height, width), np.bool_)
    result = np.empty((height, width))
    for node in range(nodes.y.size):
        if nodes.mass[node] != 0:
            place = int(nodes.y[node]), int(nodes.x[node])
            known[place] = True
            result[place] = potential[node]
    empty_y, empty_x = np.nonzero(~known)
    values = np.empty(empty_y.size)
    conjugate(
        rows(nodes.y, nodes),
        rows(nodes.x, nodes),
        rows(potential, nodes),
        empty_y.astype(np.float64),
        empty_x.astype(np.float64),
        empty_y.size,
        values,
    )
    for i in range(values.size):
        result[empty_y[i], empty_x[i]] = values[i]
    return result


@jit
def interpolate(coarse: Floats, y: int, x: int) -> float:
    """Return twice the coarse potentials at a pixel of the grid of half the spacing, bilinearly."""
    height, width = coarse.shape
    v = 0.5 * y - 0.25
    u = 0.5 * x - 0.25
    row = floor(v)
    column = floor(u)
    top, bottom = max(row, 0), min(row + 1, height - 1)  # coarse covers the fine grid: row < height
    left, right = max(column, 0), min(column + 1, width - 1)
    v -= row
    u -= column
    above = (1.0 - u) * coarse[top, left] + u * coarse[top, right]
    below = (1.0 - u) * coarse[bottom, left] + u * coarse[bottom, right]
    doubled: float = 2.0 * ((1.0 - v) * above + v * below)
    return doubled


@jit
def solve(excess: Integers, coarse: Floats, rtol: float) -> Solution:
    """Transport the (height, width) excess masses, starting from the potentials of the coarser grid."""
    nodes = gather(excess)
    potential = np.full(nodes.y.size, FAR)
    for sink in range(nodes.sinks):
        guess = interpolate(coarse, int(nodes.y[sink]), int(nodes.x[sink]))
        potential[sink] = floor(guess / GRAIN) * GRAIN
    low = dual(nodes, potential)
    tree = plant(nodes, potential)
    high = cost(tree, nodes)
    threshold = FIRST_THRESHOLD
    queue = np.empty(nodes.sources, np.int32)
    while threshold >= 0.0 and (rtol == 0.0 or high > (1.0 + 2.0 * rtol) * low):
        enough = high - (1.0 + 2.0 * rtol) * low if rtol > 0.0 else np.inf
        violating, fallen = sweep(tree, nodes, threshold, enough, queue)
        high = cost(tree, nodes)
        if fallen >= enough:
            continue
        former = threshold
        threshold = lowered(threshold, violating, nodes)
        if rtol > 0.0 and threshold < former:
            low = max(low, dual(nodes, tree.potential.copy()))
    if threshold < 0.0:
        low = high
    return Solution(nodes, tree, low, high, threshold < 0.0)


@jit
def climb(a: Integers, b: Integers, shapes: Integers, rtol: float) -> Solution:
    """Solve from one level of the pyramids to the finest; levels on which a equals b are skipped."""
    potential = np.zeros((shapes[0, 0], shapes[0, 1]))
    offset = 0
    level = 0
    while True:
        height, width = shapes[level]
        end = offset + height * width
        excess = (a[offset:end] - b[offset:end]).reshape(height, width)
        finest = level == shapes.shape[0] - 1
        if finest or np.any(excess != 0):
            # Coarse levels are always solved exactly: with a tolerance there, the finest takes longer.
            solution = solve(excess, potential, rtol if finest else 0.0)
            if finest:
                return solution
            potential = surface(solution.nodes, solution.tree.potential, height, width)
        else:
            potential = np.zeros((height, width))
        offset = end
        level += 1


def transport(a: Blocks, b: Blocks, rtol: float = 0.0) -> Solution | None:
    """Return an optimal flow from a to b, or, with `rtol`, one within proven bounds; None if a equals b.

    Raises
    ------
    ShapeError
        If the maps differ in shape.
    RunError
        If the answer fails its own proof, which would be a bug.
    """
    masses.require_one_grid((a.shape, a.side), (b.shape, b.side))
    if np.array_equal(a.masses, b.masses):
        return None
    with announced(climb, "the Euclidean transport"):
        solution: Solution = climb(a.masses, b.masses, a.shapes, rtol)
    if solution.exact and not certified(solution.tree, solution.nodes):
        raise RunError(
            "the transport simplex returned a flow that it cannot prove optimal; please report the two maps"
        )
    return solution


def swapped(a: Blocks, b: Blocks) -> bool:
    """Return whether b comes before a in the order that gives (a, b) and (b, a) the same last bit."""
    if a.shape != b.shape:
        return False
    differing = np.flatnonzero(a.masses != b.masses)
    return bool(differing.size and a.masses[differing[0]] < b.masses[differing[0]])


def stack(quantized: Integers, side: int, unit: int, shape: tuple[int, ...]) -> Blocks:
    """Build the pyramid over integer masses of blocks."""
    levels = masses.pyramid(quantized)
    return Blocks(
        np.concatenate([level.ravel() for level in levels]),
        np.array([level.shape for level in levels]),
        side,
        unit,
        shape,
    )


def prepare(map2d: npt.ArrayLike, grid: int) -> Blocks:
    """Return the integer block sums of a map and their coarser levels, computed once for all its pairs."""
    blocks, side = masses.block_sums(map2d, grid)
    return stack(masses.quantize(blocks), side, masses.unit(blocks.shape), np.shape(map2d))


def distance(a: Blocks, b: Blocks, rtol: float = 0.0) -> tuple[float, float]:
    """Return the Earth Mover's Distance of two prepared maps, and how far it can be from the truth.

    Both in pixels of the stored maps. With rtol = 0 the distance is exact and the gap 0; else it lies within
    value ± gap, and ``gap <= rtol * value``. Exactly the same for (b, a), and exactly 0 for maps that are
    equal.

    >>> a, b = np.zeros((2, 10, 10))
    >>> a[1, 1] = b[4, 5] = 1
    >>> distance(prepare(a, grid=10), prepare(b, grid=10))
    (5.0, 0.0)
    """
    if swapped(a, b):
        a, b = b, a
    solution = transport(a, b, rtol)
    if solution is None:
        return 0.0, 0.0
    scale = a.side / a.unit
    half = 0.5 * (solution.upper - solution.lower)
    return (solution.lower + half) * scale, max(half, 0.0) * scale
