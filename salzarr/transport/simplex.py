"""The transportation simplex over all pairs of sources and sinks in the plane, in memory O(nodes).

A basis is a spanning tree of sources and sinks whose arcs, one per node but the root, carry the whole
flow; potentials that make the tree's arcs tight (``potential[source] - potential[sink] == distance``)
follow from it. A pair with ``potential[source] - potential[sink] > distance`` *violates*: routing through
it is cheaper. A pivot lets it into the tree and sends as much mass around the cycle it closes as the
flows against it allow; the first that is emptied leaves. When no pair violates, the flow is optimal:

    cost = sum(flow * distance) = sum(mass * potential) <= cost of any other flow,

the equality because flow runs on tight arcs only, the inequality because every pair's distance is at
least the difference of its potentials. :func:`certified` checks just these premises, from scratch.

What makes it fast:

- **No arc list.** Pairs are priced by :func:`salzarr.transport.plane.best`, O(nodes) memory in all.
- **Thresholds.** A sweep over the sources pivots at once on each source's worst violation, if above a
  threshold that falls from 1 pixel to 0: nearly the pivots of Dantzig's rule (the worst pair first) at
  the price of a sweep. At 56 x 56 it took 9,000-13,000 pivots against 16,000-40,000 without.
- **The tree as a preorder list** (``after``, ``before``, ``last``): a subtree is a run of the list. It is
  moved by relinking, and shifting its potentials follows one pointer per node; whichever of the
  subtree and the rest is smaller is shifted.

**It cannot cycle.** Every empty arc of the tree points from its source up to its sink (the tree is
*strongly feasible*), and among the arcs that block a pivot the last along the cycle, seen from its apex,
leaves, which keeps the tree so [1]_. Potentials are exact (see :mod:`~salzarr.transport.plane`), so
rounding cannot make an arc violate forever.

References
----------
.. [1] W. H. Cunningham, "A network simplex method", Mathematical Programming 11, 1976.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from salzarr.compiled import jit
from salzarr.transport.basis import NOBODY, ROOT, Tree, rows, span
from salzarr.transport.plane import Nodes, best

Integers = npt.NDArray[np.int32]


FINEST_THRESHOLD = 1e-5  # pixel; below it, every violation counts


@jit
def blocking(tree: Tree, first_source: int, source: int, sink: int) -> tuple[int, int, bool]:
    """Find the apex of the cycle that an arc closes, and the tree arc that leaves.

    Mass goes from source to sink along the new arc, on up to the apex, and down to the source: against
    the arcs of the sources on the source's side, and of the sinks on the sink's. Among the emptiest of
    them the last along that way leaves: the highest on the sink's side, else the lowest on the source's.
    Return (apex, lower end of the leaving arc, whether it is on the source's side).
    """
    parent = tree.parent
    size = tree.size
    flow = tree.flow
    least = np.int64(1) << 62
    leaving = NOBODY
    below_source = True
    a = source
    b = sink
    while a != b:
        if size[a] < size[b]:
            if a >= first_source and flow[a] < least:
                least = flow[a]
                leaving = a
                below_source = True
            a = parent[a]
        else:
            if b < first_source and flow[b] <= least:
                least = flow[b]
                leaving = b
                below_source = False
            b = parent[b]
    return a, leaving, below_source


@jit
def augment(tree: Tree, first_source: int, source: int, sink: int, apex: int, mass: int) -> None:
    """Send mass around the cycle."""
    parent = tree.parent
    flow = tree.flow
    node = source
    while node != apex:
        flow[node] += -mass if node >= first_source else mass
        node = parent[node]
    node = sink
    while node != apex:
        flow[node] += mass if node >= first_source else -mass
        node = parent[node]


@jit
def cut(tree: Tree, top: int, apex: int) -> None:
    """Take the subtree under `top` out of the preorder list, and out of sizes below the apex."""
    before = tree.before[top]
    last = tree.last[top]
    after = tree.after[last]
    tree.after[before] = after
    tree.before[after] = before
    node = tree.parent[top]
    while node != apex:
        tree.size[node] -= tree.size[top]
        node = tree.parent[node]
    node = tree.parent[top]
    while node != NOBODY and tree.last[node] == last:
        tree.last[node] = before
        node = tree.parent[node]


@jit
def turn(tree: Tree, top: int, new_top: int, host: int, mass: int, cost: float) -> None:
    """Re-root the loose subtree of `top` at `new_top`, whose arc to `host` carries `mass`.

    Of the stem from `new_top` up to `top`, each node hands over the arc to its parent, and its subtree
    is listed as: itself, what preceded the former stem node's subtree, and what followed it.
    """
    parent, after, before, last = tree.parent, tree.after, tree.before, tree.last
    total = tree.size[top]
    node = new_top
    above = host
    inner = 0  # former size of the subtree below the node
    preceding = before[node]
    inner_last = last[node]
    following = after[inner_last]
    tail = inner_last
    while True:
        up, old_mass, old_cost, old_size = parent[node], tree.flow[node], tree.cost[node], tree.size[node]
        parent[node], tree.flow[node], tree.cost[node], tree.size[node] = above, mass, cost, total - inner
        if node == top:
            break
        above, mass, cost, inner = node, old_mass, old_cost, old_size
        node = up
        end = preceding
        preceding = before[node]
        after[tail] = node
        before[node] = tail
        tail = end
        if last[node] != inner_last:
            after[end] = following
            before[following] = end
            inner_last = last[node]
            following = after[inner_last]
            tail = inner_last
    while node != host:
        last[node] = tail
        node = parent[node]


@jit
def attach(tree: Tree, top: int, host: int, apex: int) -> None:
    """List the loose subtree of `top` right after `host`, and count it in sizes below the apex."""
    tail = tree.last[top]
    following = tree.after[host]
    tree.after[host] = top
    tree.before[top] = host
    tree.after[tail] = following
    tree.before[following] = tail
    node = host
    while node != NOBODY and tree.last[node] == host:
        tree.last[node] = tail
        node = tree.parent[node]
    node = host
    while node != apex:
        tree.size[node] += tree.size[top]
        node = tree.parent[node]


@jit
def shift(tree: Tree, top: int, amount: float) -> None:
    """Add to the potentials of a subtree, or subtract from all others if they are fewer."""
    potential = tree.potential
    after = tree.after
    if 2 * tree.size[top] <= tree.size[ROOT]:
        node = np.uintp(top)  # unsigned: numba then spares the check for an index from the end
        for _ in range(tree.size[top]):
            potential[node] += amount
            node = np.uintp(after[node])
        return
    node = np.uintp(after[tree.last[top]])
    for _ in range(tree.size[ROOT] - tree.size[top]):
        potential[node] -= amount
        node = np.uintp(after[node])


@jit
def pivot(tree: Tree, nodes: Nodes, source: int, sink: int, violation: float) -> float:
    """Let a violating pair into the tree; return by how much the cost falls."""
    first_source = nodes.first_source
    apex, leaving, below_source = blocking(tree, first_source, source, sink)
    mass = tree.flow[leaving]
    if mass > 0:
        augment(tree, first_source, source, sink, apex, mass)
    top = source if below_source else sink
    host = sink if below_source else source
    cut(tree, leaving, apex)
    turn(tree, leaving, top, host, mass, span(nodes, source, sink))
    attach(tree, top, host, apex)
    shift(tree, top, -violation if below_source else violation)
    return float(mass * violation)


@jit
def sweep(tree: Tree, nodes: Nodes, threshold: float, enough: float, queue: Integers) -> tuple[int, float]:
    """Pivot on the worst violation of each source that exceeds the threshold.

    Sources that had one are looked at again, until none of them has another: violations come in
    clusters. Stop when the cost has fallen by `enough`. Return how many sources had one, and that fall.
    """
    ys = rows(nodes.y, nodes)
    xs = rows(nodes.x, nodes)
    prices = rows(tree.potential, nodes)
    for i in range(nodes.sources):
        queue[i] = nodes.first_source + i
    waiting = nodes.sources
    violating = -1
    fallen = 0.0
    while waiting > 0 and fallen < enough:
        again = 0
        for i in range(waiting):
            source = queue[i]
            gain = tree.potential[source]
            violation, sink = best(ys, xs, prices, nodes.y[source], nodes.x[source], gain, threshold)
            if sink >= 0:
                fallen += pivot(tree, nodes, source, sink, violation)
                queue[again] = source
                again += 1
                if fallen >= enough:
                    break
        waiting = again
        if violating < 0:
            violating = again
    return violating, fallen


@jit
def lowered(threshold: float, violating: int, nodes: Nodes) -> float:
    """Return the threshold of the next sweep: lower when few sources violated this one, -1 if none left."""
    if threshold == 0.0:
        return -1.0 if violating == 0 else 0.0
    if 5 * violating > nodes.sources:
        return threshold
    return 0.25 * threshold if threshold > FINEST_THRESHOLD else 0.0


@jit
def cost(tree: Tree, nodes: Nodes) -> float:
    """Return the mass times distance of a flow."""
    total = 0.0
    for node in range(nodes.y.size):
        total += np.float64(tree.flow[node]) * tree.cost[node]
    return total


@jit
def certified(tree: Tree, nodes: Nodes) -> bool:
    """Check that a flow ships every mass, and that its potentials prove it optimal, all exactly."""
    moved = np.zeros(nodes.y.size, np.int64)
    for node in range(nodes.y.size):
        parent = tree.parent[node]
        if parent == NOBODY:
            continue
        source, sink = (node, parent) if node >= nodes.first_source else (parent, node)
        if source < nodes.first_source or sink >= nodes.first_source or tree.flow[node] < 0:
            return False
        if tree.potential[source] - tree.potential[sink] != span(nodes, source, sink):
            return False
        if tree.cost[node] != span(nodes, source, sink):
            return False
        moved[source] += tree.flow[node]
        moved[sink] -= tree.flow[node]
    for node in range(nodes.y.size):
        if moved[node] != nodes.mass[node]:
            return False
    ys = rows(nodes.y, nodes)
    xs = rows(nodes.x, nodes)
    prices = rows(tree.potential, nodes)
    for source in range(nodes.first_source, nodes.first_source + nodes.sources):
        _, sink = best(ys, xs, prices, nodes.y[source], nodes.x[source], tree.potential[source], 0.0)
        if sink >= 0:
            return False
    return True
