"""Minimum-cost flow between the neighboring pixels of one grid, for :mod:`salzarr.transport.cityblock`.

The docstring there has the algorithm and the proof; here are the residual graph, the searches on it, and the
certificate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from salzarr.compiled import jit
from salzarr.errors import RunError
from salzarr.transport.masses import Masses

Shape = tuple[int, int]
Nodes = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]


FAR = 1 << 30
"""The label of a pixel that has not been reached; as a distance, more than any grid's."""

WAVES = 6
"""Waves per level. Fewer leave more to push-relabel, more do not pay (measured at 224 x 224)."""


class Level(NamedTuple):
    """The flow problem on one level.

    Pixel (y, x) is node ``(y + 1) * stride + x`` with ``stride = width + 1``: the spare column and rows have
    no arcs and no mass, so that loops over all nodes need no borders. The direction k of an arc is 0 right,
    1 left, 2 down, 3 up; ``k ^ 1`` is its opposite.

    Attributes
    ----------
    shape : (height, width)
    steps : (4,) int64
        From a node to its neighbor in each direction.
    excess : (node,) int64
        Mass that still has to leave (> 0) or arrive (< 0).
    flow : (node, 2) int64
        On the edge to the right and on the edge down; it runs downhill, so it is never negative.
    potential : (node,) int32
    downhill : (node,) uint8
        Bit k: the neighbor in direction k is lower.
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


def allocate(height: int, width: int) -> Level:
    """Make an empty problem: 43 bytes per pixel."""
    nodes = (height + 2) * (width + 1)
    steps = np.array([1, -1, width + 1, -width - 1])
    excess, flow = np.zeros(nodes, np.int64), np.zeros((nodes, 2), np.int64)
    # 4 more: the searches write before they decide
    potential, surplus, deficit, label = (np.zeros(nodes + 4, np.int32) for _ in range(4))
    downhill, arcs, waiting = (np.zeros(nodes, np.uint8) for _ in range(3))
    return Level(
        (height, width), steps, excess, flow, potential, downhill, arcs, surplus, deficit, label, waiting
    )


def pixels(nodes: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """View an array over nodes as (height, width)."""
    height, width = shape
    rows = nodes[: (height + 2) * (width + 1)].reshape(height + 2, width + 1)
    return rows[1:-1, :-1]


@jit
def solve(level: Level) -> None:
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
    """Set downhill and arcs from the potential and the flow; nothing is stranded now."""
    height, width = level.shape
    stride = width + 1
    level.waiting[:] = 0
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
            if rest > 0:  # what was admissible is used up: the nearest of the other neighbors is next
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


def certify(supply: Masses, level: Level) -> int:
    """Check that a solved level is feasible and of least cost; return the cost: mass times pixels.

    ``supply`` (height, width) int64 is to be moved away from each pixel, and sums to 0.
    """
    unbalanced, steep, primal, dual = _check(supply, level.flow, level.potential)
    if unbalanced or steep or primal != dual:
        raise RunError(
            f"the city-block transport failed its certificate ({unbalanced} pixels unbalanced, {steep} edges "
            f"infeasible, cost {primal}, bound {dual}); please report the two maps"
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
