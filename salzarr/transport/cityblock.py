"""Exact earth mover's distance with city-block ground distance, as a flow between neighbouring pixels.

The problem
    Two maps a, b of unit mass on a height x width grid. Moving mass m from pixel p to pixel q costs
    m·(|y_p - y_q| + |x_p - x_q|). That distance is the length of a shortest path over 4-neighbours, so the
    transport is a minimum-cost flow on the grid graph: supply s = a - b, cost 1 per unit of mass and edge,
    no capacities. Its n nodes and 2n edges replace a cost matrix of n² entries. Masses are ``int64`` and
    potentials ``int32`` (:mod:`salzarr.transport.masses`), so that everything below is exact.

The proof that comes with every answer
    A potential φ with |φ(u) - φ(v)| ≤ 1 for neighbours u, v bounds the cost of any flow f that balances s:

        Σ s(u)·φ(u) = Σ_edges f(u→v)·(φ(u) - φ(v)) ≤ Σ_edges |f|.

    :func:`certify` checks, on the finished answer, that the flow balances s at every pixel, that φ is
    feasible on every edge, and that the two sums are the same integer: then f is a cheapest flow and φ
    proves it. An answer that fails raises; none goes unchecked.

The algorithm (primal-dual, coarse to fine)
    φ always differs by exactly ±1 between neighbours, because φ(y, x) has the parity of y + x. Every edge
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
    4. When no excess can reach a deficit, :func:`_raise_potentials` lifts each pixel by its distance (0 or 2
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

import logging
import threading
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from salzarr.compiled import jit
from salzarr.errors import RunError
from salzarr.transport import masses

if TYPE_CHECKING:
    import numpy.typing as npt

    from salzarr.transport.masses import Masses

    Shape = tuple[int, int]
    Nodes = npt.NDArray[np.int32]
    Bytes = npt.NDArray[np.uint8]

logger = logging.getLogger(__name__)

FAR = 1 << 30
"""The label of a pixel that has not been reached; as a distance, more than any grid's."""

WAVES = 6
"""Waves per level. Fewer leave more to push-relabel, more do not pay (measured at 224 x 224)."""


class Feature(NamedTuple):
    """What a map contributes to all its pairs.

    Attributes
    ----------
    levels : tuple of (h, w) int64
        Block sums, coarsest first, every level with a total of :func:`masses.unit` of the finest.
    scale : float
        Pixels of the stored map per unit of flow cost: side of a block over the integer of unit mass.
    """

    levels: tuple[Masses, ...]
    scale: float


class Level(NamedTuple):
    """The flow problem on one level.

    Pixel (y, x) is node ``(y + 1) * stride + x`` with ``stride = width + 1``: the spare column and rows have
    no arcs and no mass, so that loops over all nodes need no borders. The direction k of an arc is 0 right,
    1 left, 2 down, 3 up; ``k ^ 1`` is its opposite.

    Attributes
    ----------
    shape : (height, width)
    steps : (4,) int64
        From a node to its neighbour in each direction.
    excess : (node,) int64
        Mass that still has to leave (> 0) or arrive (< 0).
    flow : (node, 2) int64
        On the edge to the right and on the edge down; it runs downhill, so it is never negative.
    potential : (node,) int32
    downhill : (node,) uint8
        Bit k: the neighbour in direction k is lower.
    arcs : (node,) uint8
        Bit k: mass can leave in direction k; bit 4 + k: mass can come from direction k.
    surplus, deficit, label, waiting
        Scratch of the searches: two lists of nodes, distances, and whether a node is on a list or stranded.
    """

    shape: Shape
    steps: Masses
    excess: Masses
    flow: Masses
    potential: Nodes
    downhill: Bytes
    arcs: Bytes
    surplus: Nodes
    deficit: Nodes
    label: Nodes
    waiting: Bytes


def prepare(map2d: npt.ArrayLike, grid: int | Literal["full"] = "full") -> Feature:
    """Compute what a map contributes to the distances of all its pairs.

    Parameters
    ----------
    map2d : (height, width) non-negative finite values with a positive sum, in any unit.
    grid : int or "full"
        Transport block sums with at most this many blocks along the longer side, or all pixels.

    Returns
    -------
    Feature

    Raises
    ------
    ValueError
        If the map has a negative or non-finite pixel, or no mass.

    Examples
    --------
    >>> [level.shape for level in prepare(np.ones((20, 9))).levels]
    [(5, 3), (10, 5), (20, 9)]
    """
    blocks, side = (map2d, 1) if grid == "full" else masses.block_sums(map2d, grid)
    fine = masses.quantise(blocks)
    return Feature(masses.pyramid(fine), side / masses.unit(fine.shape))


def distance(a: Feature, b: Feature) -> float:
    """Return the exact earth mover's distance of two prepared maps, city-block ground distance, in pixels.

    Parameters
    ----------
    a, b : Feature
        From :func:`prepare`, of maps of the same shape and with the same grid.

    Returns
    -------
    float
        At most height + width - 2. Symmetric; 0 for maps that are equal up to a factor.

    Raises
    ------
    ValueError
        If the two grids differ.
    RunError
        If the certificate of optimality fails, which no input is known to cause.

    See Also
    --------
    ot.emd2 : the same number, from the n x n city-block cost matrix.

    Examples
    --------
    >>> before, after = np.zeros((2, 9, 9))
    >>> before[1:3, 1:3] = 1
    >>> after[6:8, 4:6] = 1
    >>> distance(prepare(before), prepare(after))
    8.0
    """
    if a.levels[-1].shape != b.levels[-1].shape or a.scale != b.scale:
        raise ValueError(
            f"Maps on grids of {a.levels[-1].shape} and {b.levels[-1].shape} pixels cannot be compared."
        )
    return certify(*solve(a, b)) * a.scale


def solve(a: Feature, b: Feature) -> tuple[Masses, Level]:
    """Return the finest level's supply and its solved problem, whose arrays the thread's next call reuses."""
    if not getattr(_solve_level, "signatures", None):
        logger.info("compiling the city-block transport: some seconds, once per machine")
    shapes = tuple(level.shape for level in a.levels)
    if getattr(_reused, "shapes", None) != shapes:
        _reused.shapes, _reused.levels = shapes, [_allocate(*shape) for shape in shapes]
    coarse: Level | None = None
    for level, fine_a, fine_b in zip(_reused.levels, a.levels, b.levels, strict=True):
        supply = fine_a - fine_b
        level.flow[:] = 0
        level.excess[:] = 0
        _pixels(level.excess, level.shape)[:] = supply
        if coarse is None:
            _pixels(level.potential, level.shape)[:] = np.add.outer(*map(np.arange, level.shape)) % 2
        else:
            _prolong(coarse.shape, coarse.potential, level.shape, level.potential)
        _solve_level(level)
        coarse = level
    return supply, level


_reused = threading.local()
"""Per thread: the levels of the shape solved last. Fresh ones cost 5 % in page faults."""


def _allocate(height: int, width: int) -> Level:
    nodes = (height + 2) * (width + 1)
    steps = np.array([1, -1, width + 1, -width - 1])
    excess, flow = np.zeros(nodes, np.int64), np.zeros((nodes, 2), np.int64)
    # 4 more: the searches write before they decide
    potential, surplus, deficit, label = (np.zeros(nodes + 4, np.int32) for _ in range(4))
    downhill, arcs, waiting = (np.zeros(nodes, np.uint8) for _ in range(3))
    return Level(
        (height, width), steps, excess, flow, potential, downhill, arcs, surplus, deficit, label, waiting
    )


def _pixels(nodes: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """View an array over nodes as (height, width)."""
    height, width = shape
    rows = nodes[: (height + 2) * (width + 1)].reshape(height + 2, width + 1)
    return rows[1:-1, :-1]


def certify(supply: Masses, level: Level) -> int:
    """Check that a flow is feasible and of least cost, and return that cost.

    Parameters
    ----------
    supply : (height, width) int64
        Mass to be moved away from each pixel; sums to 0.
    level : Level
        The solved problem; only its flow and potential are looked at.

    Returns
    -------
    int
        Mass times pixels.

    Raises
    ------
    RunError
        If mass is missing anywhere, the potential is infeasible, or the primal and dual costs differ.
    """
    unbalanced, steep, primal, dual = _check(supply, level.flow, level.potential)
    if unbalanced or steep or primal != dual:
        raise RunError(
            f"The city-block transport failed its certificate ({unbalanced} pixels unbalanced, {steep} edges "
            f"infeasible, cost {primal}, bound {dual}): please report the two maps."
        )
    return int(primal)


@jit
def _check(supply: Masses, flow: Masses, potential: Nodes) -> tuple[int, int, np.int64, np.int64]:
    """Count unbalanced pixels and infeasible edges or flows; return both with the primal and dual cost."""
    height, width = supply.shape
    stride = width + 1
    unbalanced = 0
    steep = 0
    primal = np.int64(0)
    dual = np.int64(0)
    for y in range(height):
        for x in range(width):
            u = (y + 1) * stride + x
            left = supply[y, x]
            dual += left * potential[u]
            for axis in range(2):
                step = stride if axis else 1
                if (y < height - 1) if axis else (x < width - 1):
                    steep += abs(potential[u] - potential[u + step]) > 1 or flow[u, axis] < 0
                    left -= flow[u, axis] if potential[u] > potential[u + step] else -flow[u, axis]
                    primal += abs(flow[u, axis])
                if (y > 0) if axis else (x > 0):
                    v = u - step
                    left += flow[v, axis] if potential[v] > potential[u] else -flow[v, axis]
            unbalanced += left != 0
    return unbalanced, steep, primal, dual


@jit
def _prolong(coarse_shape: Shape, coarse: Nodes, shape: Shape, fine: Nodes) -> None:
    """Double the coarse potential, interpolate it bilinearly, round to the parity of y + x.

    Values of 1-Lipschitz s go to the nearest integer p of the pixel's parity, s - 1 < p <= s + 1. Neighbours
    then differ by less than 3 and by an odd number: by 1, so the result is feasible.
    """
    h, w = coarse_shape
    height, width = shape
    for y in range(height):
        near = y // 2  # a fine pixel lies a quarter from its own block's centre, three from the next one's
        row = (near + 1) * (w + 1)
        next_row = (min(max(near - 1 + 2 * (y % 2), 0), h - 1) + 1) * (w + 1)
        for x in range(width):
            col = x // 2
            next_col = min(max(col - 1 + 2 * (x % 2), 0), w - 1)
            eighths = 3 * (3 * coarse[row + col] + coarse[row + next_col])
            eighths += 3 * coarse[next_row + col] + coarse[next_row + next_col]
            parity = (x + y) % 2
            fine[(y + 1) * (width + 1) + x] = 2 * ((eighths - 8 * parity + 8) >> 4) + parity


@jit
def _solve_level(level: Level) -> None:
    """Bring all surplus to where mass is missing, by flow and potentials that prove each other optimal."""
    _find_arcs(level)
    pixels = level.shape[0] * level.shape[1]
    waves = 0
    while True:
        positive, negative = _survey(level)
        if negative == 0:
            return
        sign = 1 if positive >= negative or waves == WAVES else -1
        reached, met = _reach(level, sign, positive, negative)
        if met == 0:
            _raise_potentials(level)
            _find_arcs(level)
        elif waves < WAVES:
            _wave(level, sign, reached)
            waves += 1
        else:
            if met < positive:
                _strand(level, positive)
            _push_relabel(level, met, 50 + pixels // 10)


@jit
def _find_arcs(level: Level) -> None:
    """Set downhill and arcs from the potential and the flow."""
    height, width = level.shape
    stride = width + 1
    level.arcs[:] = 0
    level.downhill[:] = 0
    for y in range(height):
        for x in range(width):
            u = (y + 1) * stride + x
            for axis in range(2):
                if (y == height - 1) if axis else (x == width - 1):
                    continue
                v = u + (stride if axis else 1)
                out = 1 << (2 * axis)  # the bit of the direction u to v; twice that is the opposite's
                if level.potential[u] > level.potential[v]:
                    level.downhill[u] |= out
                    there, back = True, level.flow[u, axis] > 0
                else:
                    level.downhill[v] |= 2 * out
                    there, back = level.flow[u, axis] > 0, True
                if there:
                    level.arcs[u] |= out
                    level.arcs[v] |= 32 * out
                if back:
                    level.arcs[u] |= 16 * out
                    level.arcs[v] |= 2 * out


@jit
def _survey(level: Level) -> tuple[int, int]:
    """List the nodes that have too much, unless stranded, and too little; return how many there are."""
    excess, surplus, deficit, waiting = level.excess, level.surplus, level.deficit, level.waiting
    positive = 0
    negative = 0
    for u in range(excess.size):
        surplus[positive] = u
        positive += (excess[u] > 0) & (waiting[u] == 0)
        deficit[negative] = u
        negative += excess[u] < 0
    return positive, negative


@jit
def _strand(level: Level, positive: int) -> None:
    """Take the surplus that cannot reach any deficit off the list, until potentials are raised.

    No push can change that, and a search that has met all the others can stop.
    """
    surplus, label, waiting = level.surplus, level.label, level.waiting
    live = 0
    for i in range(positive):
        u = surplus[i]
        surplus[live] = u
        live += label[u] < FAR
        waiting[u] = label[u] == FAR


@jit
def _reach(level: Level, sign: int, positive: int, negative: int) -> tuple[int, int]:
    """Label nodes by their distance to the deficits (sign 1) or from the surpluses (-1), nearest first.

    Stops when every node of the other kind is met. Returns how many nodes are labelled, in the order of the
    list that was started from, and how many of the other kind are among them.
    """
    excess, arcs, label = level.excess, level.arcs, level.label
    steps = level.steps
    queue, shift = (level.deficit, 4) if sign > 0 else (level.surplus, 0)
    end, others = (negative, positive) if sign > 0 else (positive, negative)
    label[:] = FAR
    for i in range(end):
        label[queue[i]] = 0
    met = 0
    start = 0
    while start < end and met < others:
        v = queue[start]
        start += 1
        met += sign * excess[v] > 0
        ways = arcs[v] >> shift
        nearer = label[v] + 1
        for k in range(4):  # without branches: they would be mispredicted half the time, at twice the cost
            u = v + steps[k]
            known = label[u]
            new = (ways >> k) & (known == FAR) & 1
            label[u] = nearer if new else known
            queue[end] = u
            end += new
    return end, met


@jit
def _wave(level: Level, sign: int, reached: int) -> None:
    """Hand all surplus (sign 1) or deficit (-1) to the next nearer layer, farthest first."""
    excess, flow, downhill, arcs, label = level.excess, level.flow, level.downhill, level.arcs, level.label
    steps = level.steps
    queue = level.deficit if sign > 0 else level.surplus
    shift = 0 if sign > 0 else 4
    for i in range(reached - 1, -1, -1):
        u = queue[i]
        rest = sign * excess[u]
        if rest <= 0:
            continue
        if label[u] == 0:
            return
        ways = arcs[u] >> shift
        free = downhill[u] if sign > 0 else ~downhill[u]
        nearer = label[u] - 1
        for k in range(4):
            v = u + steps[k]
            if not (ways >> k) & 1 or label[v] != nearer:
                continue
            edge, axis = min(u, v), k >> 1
            moved = rest
            if (free >> k) & 1:
                flow[edge, axis] += moved
                arcs[u] |= 1 << (k + 4 - shift)
                arcs[v] |= 1 << ((k ^ 1) + shift)
            else:  # take back what came the other way
                left = flow[edge, axis] - moved
                if left <= 0:
                    moved += left
                    left = 0
                    arcs[u] &= ~(1 << (k + shift))
                    arcs[v] &= ~(1 << ((k ^ 1) + 4 - shift))
                flow[edge, axis] = left
            excess[v] += sign * moved
            rest -= moved
            if rest == 0:
                break
        excess[u] = sign * rest


@jit
def _push_relabel(level: Level, active: int, relabels: int) -> None:
    """Push surplus towards the deficits, first in first out, until done or after so many relabels."""
    excess, flow, downhill, arcs, label = level.excess, level.flow, level.downhill, level.arcs, level.label
    queue, waiting = level.surplus, level.waiting
    steps = level.steps
    size = queue.size
    for i in range(active):
        waiting[queue[i]] = 1
    start = 0
    end = active
    while active > 0 and relabels > 0:
        u = queue[start]
        start = start + 1 if start + 1 < size else 0
        active -= 1
        waiting[u] = 0
        rest = excess[u]
        near = label[u]
        while rest > 0 and near < FAR:
            lowest = FAR
            ways = arcs[u]
            for k in range(4):
                if not (ways >> k) & 1:
                    continue
                v = u + steps[k]
                if label[v] != near - 1:
                    lowest = min(lowest, label[v])
                    continue
                edge, axis = min(u, v), k >> 1
                moved = rest
                if (downhill[u] >> k) & 1:
                    flow[edge, axis] += moved
                    arcs[u] |= 1 << (k + 4)
                    arcs[v] |= 1 << (k ^ 1)
                else:
                    left = flow[edge, axis] - moved
                    if left <= 0:
                        moved += left
                        left = 0
                        arcs[u] &= ~(1 << k)
                        arcs[v] &= ~(1 << ((k ^ 1) + 4))
                    flow[edge, axis] = left
                rest -= moved
                gained = excess[v] + moved
                excess[v] = gained
                if gained > 0 and not waiting[v]:
                    waiting[v] = 1
                    queue[end] = v
                    end = end + 1 if end + 1 < size else 0
                    active += 1
                if rest == 0:
                    break
            if rest > 0:  # what was admissible is used up: the nearest of the other neighbours is next
                near = lowest + 1 if lowest < FAR else FAR
                relabels -= 1
        label[u] = near
        excess[u] = rest
    for _ in range(active):
        waiting[queue[start]] = 0
        start = start + 1 if start + 1 < size else 0


@jit
def _raise_potentials(level: Level) -> None:
    """Raise each potential by the node's distance to the nearest deficit, up to the farthest surplus.

    Against an arc the distance is 0 where mass can pass, and 2 where the potential forbids it. Nodes beyond
    the farthest surplus are raised by its distance.
    """
    excess, arcs, label, potential = level.excess, level.arcs, level.label, level.potential
    height, width = level.shape
    steps, stride = level.steps, width + 1
    level.waiting[:] = 0
    queue, later = level.deficit, level.surplus
    label[:] = -1
    missing = 0
    end = 0
    for y in range(1, height + 1):
        for u in range(y * stride, y * stride + width):
            label[u] = FAR
            missing += excess[u] > 0
            if excess[u] < 0:
                label[u] = 0
                queue[end] = u
                end += 1
    distance = 0
    while end > 0 and missing > 0:
        start = 0
        count = 0
        while start < end:
            v = queue[start]
            start += 1
            if label[v] != distance:
                continue
            missing -= excess[v] > 0
            for k in range(4):
                u = v + steps[k]
                if label[u] <= distance:
                    continue
                if (arcs[v] >> (4 + k)) & 1:
                    label[u] = distance
                    queue[end] = u
                    end += 1
                elif label[u] > distance + 1:
                    label[u] = distance + 1
                    later[count] = u
                    count += 1
        queue, later = later, queue
        end = count
        distance += 1
    for u in range(potential.size):
        if label[u] >= 0:
            potential[u] += 2 * min(label[u], distance - 1)
