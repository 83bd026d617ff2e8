"""The parts of the transportation simplex: the search, the first basis, and the surgery on the tree."""

from __future__ import annotations

import numpy as np
import pytest

from salzarr.transport.basis import NOBODY, ROOT, plant, rows
from salzarr.transport.euclidean import dual
from salzarr.transport.plane import FAR, GRAIN, LANES, best, conjugate, gather
from salzarr.transport.simplex import certified, cost, lowered, sweep


def problem(seed, shape, levels=None):
    """Balanced excess masses: few integers, so with many ties, or many."""
    rng = np.random.default_rng(seed)
    excess = rng.integers(-levels, levels + 1, shape) if levels else rng.integers(-(2**40), 2**40, shape)
    excess[-1, -1] = 1
    excess[0, 0] -= excess.sum()
    nodes = gather(excess)
    potential = np.full(nodes.y.size, FAR)
    potential[: nodes.sinks] = 0.0
    return nodes, potential


def test_gather_keeps_every_mass_at_its_place():
    excess = np.array([[3, 0, -1], [0, -2, 0]])
    nodes = gather(excess)
    assert (nodes.sinks, nodes.sources, nodes.first_source) == (2, 1, LANES)
    again = np.zeros_like(excess)
    np.add.at(again, (nodes.y.astype(int), nodes.x.astype(int)), nodes.mass)
    np.testing.assert_array_equal(again, excess)


def test_masses_that_do_not_balance_are_refused():
    with pytest.raises(ValueError, match="balance"):
        gather(np.array([[3, 0, -1], [0, -1, 0]]))


@pytest.mark.parametrize("points", [LANES, 5 * LANES])
def test_best_and_conjugate_are_those_of_brute_force(points):
    rng = np.random.default_rng(points)
    ys, xs, prices = rng.integers(0, 40, (3, points // LANES, LANES)).astype(float)
    prices = np.floor(prices / 7 / GRAIN) * GRAIN
    to_y, to_x = rng.integers(0, 40, (2, 50)).astype(float)
    out = np.empty(50)
    conjugate(ys, xs, prices, to_y, to_x, 50, out)
    for y, x, least in zip(to_y, to_x, out, strict=True):
        length = np.rint(np.hypot(ys - y, xs - x) / GRAIN) * GRAIN
        assert least == (prices + length).min()
        value, found = best(ys, xs, prices, y, x, 9.0, -FAR / 2)
        assert value == 9.0 - least
        assert (prices + length).flat[found] == least
        assert best(ys, xs, prices, y, x, 9.0, value) == (value, -1)


def assert_is_a_basis(tree, nodes):
    """A spanning tree, well listed, with a flow that ships every mass and tight potentials."""
    members = [*range(nodes.sinks), *range(nodes.first_source, nodes.first_source + nodes.sources)]
    order = [ROOT]
    while tree.after[order[-1]] != ROOT:
        order.append(int(tree.after[order[-1]]))
    assert sorted(order) == members
    assert [int(tree.before[node]) for node in order] == [order[-1], *order[:-1]]
    place = {node: i for i, node in enumerate(order)}
    moved = np.zeros_like(nodes.mass)
    size = dict.fromkeys(members, 1)
    for node in reversed(order):
        run = order[place[node] : place[node] + size[node]]
        assert tree.size[node] == size[node]
        assert tree.last[node] == run[-1]
        parent = int(tree.parent[node])
        if node == ROOT:
            assert parent == NOBODY
            continue
        size[parent] += size[node]
        assert place[parent] < place[node]
        source, sink = max(node, parent), min(node, parent)
        assert sink < nodes.first_source <= source
        assert tree.flow[node] > 0 or (tree.flow[node] == 0 and node == source), "not strongly feasible"
        assert tree.potential[source] - tree.potential[sink] == tree.cost[node]
        moved[source] += tree.flow[node]
        moved[sink] -= tree.flow[node]
    np.testing.assert_array_equal(moved, nodes.mass)


@pytest.mark.parametrize("levels", [1, 2, None])
@pytest.mark.parametrize("shape", [(1, 2), (1, 40), (9, 8), (12, 15)])
def test_every_sweep_leaves_a_strongly_feasible_basis_and_no_higher_cost(shape, levels):
    nodes, potential = problem(1, shape, levels)
    bound = dual(nodes, potential)
    tree = plant(nodes, potential)
    assert_is_a_basis(tree, nodes)
    queue = np.empty(nodes.sources, np.int32)
    threshold = 1.0
    while threshold >= 0:
        before = cost(tree, nodes)
        violating, fallen = sweep(tree, nodes, threshold, np.inf, queue)
        assert_is_a_basis(tree, nodes)
        assert cost(tree, nodes) == pytest.approx(before - fallen, rel=1e-12)
        threshold = lowered(threshold, violating, nodes)
    assert certified(tree, nodes)
    assert bound <= cost(tree, nodes) * (1 + 1e-12)


def test_a_dual_solution_is_feasible_for_every_pair():
    nodes, potential = problem(2, (10, 11))
    potential[: nodes.sinks] = np.random.default_rng(3).integers(0, 50, nodes.sinks) / 4
    dual(nodes, potential)
    prices = rows(potential, nodes)
    ys, xs = rows(nodes.y, nodes), rows(nodes.x, nodes)
    for source in range(nodes.first_source, nodes.first_source + nodes.sources):
        args = ys, xs, prices, nodes.y[source], nodes.x[source], potential[source]
        assert best(*args, 0.0)[1] == -1
        assert best(*args, -GRAIN)[1] >= 0, "a source could ask for more"
