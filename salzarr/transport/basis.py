"""A first basis for the transportation simplex: a greedy flow, hung up as a spanning tree.

A basis is a spanning tree of sources and sinks whose arcs, one per node but the root, carry the whole
flow, with potentials that make its arcs tight. From good potentials, those of a coarser grid, a greedy
flow costs mostly less than 2 % more than the best one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from salzarr.compiled import jit
from salzarr.transport.plane import FAR, LANES, Nodes, best, length

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Masses = npt.NDArray[np.int64]


ROOT = 0  # the first sink
NOBODY = -1
SHORT_REACH = 1.0 / 64.0  # pixel


class Arcs(NamedTuple):
    """Tree arcs before they are hung on a root: source, sink and flow of each."""

    source: Integers
    sink: Integers
    flow: Masses


class Tree(NamedTuple):
    """A basis. Index: node as in Nodes; padding belongs to no tree."""

    parent: Integers
    after: Integers  # the next node in preorder, cyclic
    before: Integers  # the previous one
    last: Integers  # the last node of the subtree in preorder
    size: Integers  # nodes in the subtree
    flow: Masses  # on the arc to the parent, from the source to the sink
    cost: Floats  # its length
    potential: Floats  # the price of a unit of mass at the node, in pixels


@jit
def rows(values: Floats, nodes: Nodes) -> Floats:
    """View the sinks' part of an array over nodes as rows of LANES."""
    return values[: nodes.first_source].reshape(-1, LANES)


@jit
def span(nodes: Nodes, source: int, sink: int) -> float:
    """Return the distance between two nodes."""
    return length(nodes.y[sink] - nodes.y[source], nodes.x[sink] - nodes.x[source])


@jit
def component(leader: Integers, node: int) -> int:
    """Return the leader of a node's component, halving the path to it (union-find)."""
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node


@jit
def match(nodes: Nodes, potential: Floats, arcs: Arcs, leader: Integers) -> int:
    """Let each source in turn, the heaviest first, fill the sinks that are best by feasible potentials.

    Each step empties a source or fills a sink, so the arcs form a forest. Return their number.
    """
    ys = rows(nodes.y, nodes)
    xs = rows(nodes.x, nodes)
    prices = rows(potential, nodes).copy()
    rest = np.abs(nodes.mass)
    first = nodes.first_source
    count = 0
    for source in first + np.argsort(-nodes.mass[first : first + nodes.sources]):
        reach = SHORT_REACH  # no sink is better than the source's own potential; look for one nearly so
        while rest[source] > 0:
            least = -potential[source] - reach
            _, sink = best(ys, xs, prices, nodes.y[source], nodes.x[source], 0.0, least)
            if sink < 0:
                reach *= 16.0
                continue
            flow = min(rest[source], rest[sink])
            rest[source] -= flow
            rest[sink] -= flow
            if rest[sink] == 0:
                prices[sink // LANES, sink % LANES] = FAR
            arcs.source[count] = source
            arcs.sink[count] = sink
            arcs.flow[count] = flow
            count += 1
            leader[component(leader, source)] = component(leader, sink)
    return count


@jit
def connect(nodes: Nodes, potential: Floats, arcs: Arcs, leader: Integers, count: int) -> None:
    """Join the components of a forest by empty arcs, from a source to a sink nearer the root."""
    if count == nodes.sinks + nodes.sources - 1:
        return
    root = component(leader, ROOT)
    joined = np.empty(nodes.sinks, np.int32)  # the sinks that hang on the root already
    number = 0
    first_sink = np.full(leader.size, NOBODY, np.int32)  # of a component, then along `sibling`
    sibling = np.empty(nodes.sinks, np.int32)
    for sink in range(nodes.sinks):
        own = component(leader, sink)
        sibling[sink] = first_sink[own]
        first_sink[own] = sink
        if own == root:
            joined[number] = sink
            number += 1
    for source in range(nodes.first_source, nodes.first_source + nodes.sources):
        own = component(leader, source)
        if own == root:
            continue
        least = FAR
        nearest = ROOT
        for i in range(number):
            price = potential[joined[i]] + span(nodes, source, joined[i])
            if price < least:
                least = price
                nearest = joined[i]
        arcs.source[count] = source
        arcs.sink[count] = nearest
        arcs.flow[count] = 0
        count += 1
        sink = first_sink[own]
        while sink != NOBODY:
            joined[number] = sink
            number += 1
            sink = sibling[sink]
        leader[own] = root


@jit
def hang(nodes: Nodes, arcs: Arcs, tree: Tree) -> None:
    """Hang a spanning tree on its root: preorder, sizes, flows, and tight potentials from the root's."""
    count = nodes.sinks + nodes.sources
    begin = np.zeros(nodes.y.size + 1, np.int32)
    for arc in range(count - 1):
        begin[arcs.source[arc] + 1] += 1
        begin[arcs.sink[arc] + 1] += 1
    for node in range(nodes.y.size):
        begin[node + 1] += begin[node]
    cursor = begin.copy()
    incident = np.empty(2 * count, np.int32)
    for arc in range(count - 1):
        for node in (arcs.source[arc], arcs.sink[arc]):
            incident[cursor[node]] = arc
            cursor[node] += 1
    stack = np.empty(count, np.int32)
    order = np.empty(count, np.int32)
    tree.parent[ROOT] = NOBODY
    stack[0] = ROOT
    waiting = 1
    for place in range(count):
        waiting -= 1
        node = stack[waiting]
        order[place] = node
        for i in range(begin[node], begin[node + 1]):
            source = arcs.source[incident[i]]
            sink = arcs.sink[incident[i]]
            child = source + sink - node
            if child == tree.parent[node]:
                continue
            tree.parent[child] = node
            tree.flow[child] = arcs.flow[incident[i]]
            tree.cost[child] = span(nodes, source, sink)
            step = tree.cost[child] if child == source else -tree.cost[child]
            tree.potential[child] = tree.potential[node] + step
            stack[waiting] = child
            waiting += 1
    for place in range(count):
        node = order[place]
        tree.before[node] = order[place - 1]
        tree.after[order[place - 1]] = node
        tree.size[node] = 1
        tree.last[node] = node
    for place in range(count - 1, 0, -1):
        node = order[place]
        parent = tree.parent[node]
        tree.size[parent] += tree.size[node]
        if tree.last[parent] == parent:
            tree.last[parent] = tree.last[node]


@jit
def plant(nodes: Nodes, potential: Floats) -> Tree:
    """Return a first basis: a greedy flow by the given potentials, which it then replaces by its own."""
    size = nodes.y.size
    count = nodes.sinks + nodes.sources
    arcs = Arcs(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int64))
    leader = np.arange(size).astype(np.int32)
    connect(nodes, potential, arcs, leader, match(nodes, potential, arcs, leader))
    tree = Tree(
        np.full(size, NOBODY, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.int64),
        np.zeros(size),
        potential,
    )
    hang(nodes, arcs, tree)
    return tree
