"""Exact Earth Mover's Distance with city-block ground distance, as a flow between neighboring pixels.

The problem
    Two maps a, b of unit mass on a height x width grid. Moving mass m from pixel p to pixel q costs
    m·(|y_p - y_q| + |x_p - x_q|). That distance is the length of a shortest path over 4-neighbors, so the
    transport is a minimum-cost flow on the grid graph: supply s = a - b, cost 1 per unit of mass and edge,
    no capacities. Its n nodes and 2n edges replace a cost matrix of n² entries. Masses are ``int64`` and
    potentials ``int32`` (:mod:`salzarr.transport.masses`), so that everything below is exact.

The proof that comes with every answer
    A potential φ with |φ(u) - φ(v)| ≤ 1 for neighbors u, v bounds the cost of any flow f that balances s:

        Σ s(u)·φ(u) = Σ_edges f(u→v)·(φ(u) - φ(v)) ≤ Σ_edges |f|.

    :func:`salzarr.transport.gridflow.certify` checks, on the finished answer, that the flow balances s at
    every pixel, that φ is feasible on every edge, and that the two sums are the same integer: then f is a
    cheapest flow and φ proves it. An answer that fails raises; none goes unchecked.

The algorithm (primal-dual, coarse to fine)
    φ always differs by exactly ±1 between neighbors, because φ(y, x) has the parity of y + x. Every edge
    is then *tight* downhill and only downhill: flow runs downhill (complementary slackness), any amount of
    it, and what has been sent can be taken back. Two bytes per pixel hold that residual graph.

    1. On the coarsest block sums φ = (y + x) mod 2. On a finer level, φ is twice the coarse φ, interpolated
       bilinearly and rounded to the right parity, which keeps it feasible. The flow starts at zero.
    2. *Waves* send all excess along tight edges: breadth-first layers around the deficits, then every pixel,
       the farthest first, hands its excess to the next layer. The same from the other side (deficits are
       handed to the excesses) when there are more deficits than excesses, so that many small ones merge
       into few large ones; thousands of each become some hundred within a few waves.
    3. What is left is a maximum flow with bottlenecks: push-relabel, first in first out, with the layers
       as labels, renewed after every n/10 relabels.
    4. When no excess can reach a deficit, potentials are raised: each pixel by its distance (0 or 2
       per edge) to the next deficit. Feasibility and the flow survive, at least one more edge becomes tight,
       and the dual sum grows, so this ends. It is rarely needed more than three times a level: the coarse φ
       is that good.

References
----------
Goldberg and Tarjan, "A new approach to the maximum-flow problem", J. ACM 35 (1988), 921-940.
Ling and Okada, "An efficient earth mover's distance algorithm for robust histogram comparison", IEEE TPAMI 29
(2007), 840-853, which puts city-block transport on the grid graph.
"""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from salzarr.compiled import announced, jit
from salzarr.transport import gridflow, masses
from salzarr.transport.gridflow import Level, Nodes, Shape
from salzarr.transport.masses import Masses


class Pyramid(NamedTuple):
    """Block sums of a map, the coarsest first, each of total :func:`masses.unit` of the finest.

    ``side`` is that of a block in pixels of the stored map, ``shape`` the stored map's.
    """

    levels: tuple[Masses, ...]
    side: int
    shape: Shape


def prepare(map2d: npt.ArrayLike, grid: int | Literal["full"] = "full") -> Pyramid:
    """Return the pyramid of a map's block sums, computed once for all its pairs.

    >>> [level.shape for level in prepare(np.ones((20, 9))).levels]
    [(5, 3), (10, 5), (20, 9)]
    """
    blocks, side = (map2d, 1) if grid == "full" else masses.block_sums(map2d, grid)
    fine = masses.quantize(blocks)
    return Pyramid(masses.pyramid(fine), side, np.shape(map2d))


def distance(a: Pyramid, b: Pyramid) -> float:
    """Return the exact Earth Mover's Distance of two prepared maps, city-block ground distance, in pixels.

    At most height + width - 2, symmetric, 0 for maps that are equal up to a factor. A failed certificate of
    optimality raises, which no input is known to cause.

    >>> before, after = np.zeros((2, 9, 9))
    >>> before[1:3, 1:3] = 1
    >>> after[6:8, 4:6] = 1
    >>> distance(prepare(before), prepare(after))
    8.0
    """
    masses.require_one_grid((a.shape, a.side), (b.shape, b.side))
    return gridflow.certify(*solve(a, b)) * (a.side / masses.unit(a.levels[-1].shape))


def solve(a: Pyramid, b: Pyramid) -> tuple[Masses, Level]:
    """Return the finest level's supply and its solved problem, whose arrays the thread's next call reuses."""
    shapes = tuple(level.shape for level in a.levels)
    if getattr(_reused, "shapes", None) != shapes:
        _reused.shapes, _reused.levels = shapes, [gridflow.allocate(*shape) for shape in shapes]
    coarse: Level | None = None
    for level, fine_a, fine_b in zip(_reused.levels, a.levels, b.levels, strict=True):
        supply = fine_a - fine_b
        level.flow[:] = 0
        level.excess[:] = 0
        gridflow.pixels(level.excess, level.shape)[:] = supply
        if coarse is None:
            gridflow.pixels(level.potential, level.shape)[:] = np.add.outer(*map(np.arange, level.shape)) % 2
        else:
            _prolong(coarse.shape, coarse.potential, level.shape, level.potential)
        with announced(gridflow.solve, "the city-block transport"):
            gridflow.solve(level)
        coarse = level
    return supply, level


_reused = threading.local()
"""Per thread: the levels of the shape solved last. Fresh ones cost 5 % in page faults."""


@jit
def _prolong(coarse_shape: Shape, coarse: Nodes, shape: Shape, fine: Nodes) -> None:
    """Double the coarse potential, interpolate it bilinearly, round to the parity of y + x.

    Values of 1-Lipschitz s go to the nearest integer p of the pixel's parity, s - 1 < p <= s + 1. Neighbors
    then differ by less than 3 and by an odd number: by 1, so the result is feasible.
    """
    h, w = coarse_shape
    height, width = shape
    for y in range(height):
        near = y // 2  # a fine pixel lies a quarter from its own block's center, three from the next one's
        row = (near + 1) * (w + 1)
        next_row = (min(max(near - 1 + 2 * (y % 2), 0), h - 1) + 1) * (w + 1)
        for x in range(width):
            col = x // 2
            next_col = min(max(col - 1 + 2 * (x % 2), 0), w - 1)
            eighths = 3 * (3 * coarse[row + col] + coarse[row + next_col])
            eighths += 3 * coarse[next_row + col] + coarse[next_row + next_col]
            parity = (x + y) % 2
            fine[(y + 1) * (width + 1) + x] = 2 * ((eighths - 8 * parity + 8) >> 4) + parity
