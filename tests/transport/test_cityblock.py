"""City-block transport: against POT on odd maps, and against what every distance must satisfy."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from salzarr import compiled
from salzarr.errors import InputError, RunError, ShapeError
from salzarr.transport import cityblock, gridflow, pot


def emd(a, b, grid="full"):
    return cityblock.distance(cityblock.prepare(a, grid), cityblock.prepare(b, grid))


def by_pot(a, b):
    """POT's own answer: nothing netted, nothing shared with the project but the cost's definition."""
    where = np.argwhere(np.ones(a.shape)).astype(float)
    cost = cdist(where, where, "cityblock")
    return ot.emd2((a / a.sum()).ravel(), (b / b.sum()).ravel(), cost, numItermax=10**7)


def delta(shape, *at):
    out = np.zeros(shape)
    for y, x in at:
        out[y, x] += 1
    return out


def plateaus(rng, shape):
    """A few levels in large steps, as of an upsampled class activation map."""
    small = rng.integers(0, 4, (3, 3)).astype(float)
    rows, cols = (np.arange(n) * 3 // n for n in shape)
    return small[np.ix_(rows, cols)] + delta(shape, (0, 0))


def odd_pair(rng, kind):
    shape = tuple(rng.integers(1, 26, 2))
    match kind:
        case "uniform":
            return rng.random((2, *shape)) + 1e-9
        case "heavy":
            return rng.random((2, *shape)) ** 10 + 1e-9
        case "deltas":
            return [delta(shape, tuple(rng.integers(shape))) for _ in range(2)]
        case "integers with zeros":
            return rng.integers(0, 4, (2, *shape)) + delta(shape, (0, 0)) * 1.0
        case "pareto":
            return rng.pareto(0.8, (2, *shape)) + 1e-300
        case "line":
            return rng.random((2, 1, rng.integers(1, 200)))
        case "column":
            return rng.random((2, rng.integers(1, 200), 1)) ** 4
        case "all but one pixel":
            a = rng.random(shape) + 1e-9
            return a, a + delta(shape, tuple(rng.integers(shape)))
        case "plateaus":
            return plateaus(rng, shape), plateaus(rng, shape)
        case "disjoint":
            a = rng.random(shape) * (rng.random(shape) < 0.5)
            return a + delta(shape, (0, 0)), (a == 0) * 1.0 + delta(shape, (-1, -1))
    raise AssertionError(kind)


KINDS = [
    "uniform", "heavy", "deltas", "integers with zeros", "pareto", "line", "column", "all but one pixel",
    "plateaus", "disjoint",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pot_on_odd_maps(kind):
    rng = np.random.default_rng([5, KINDS.index(kind)])
    for _ in range(30):
        a, b = odd_pair(rng, kind)
        forth, back = emd(a, b), emd(b, a)
        assert forth == back
        assert forth == pytest.approx(by_pot(a, b), abs=1e-9, rel=1e-9), a.shape


@pytest.mark.slow
@pytest.mark.parametrize("size", [40, 56])
def test_equals_pot_on_saliency_maps(size):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size] / size
    smooth = np.exp(-((x - 0.3) ** 2 + (y - 0.6) ** 2) * 40) + 0.01
    maps = [smooth, smooth * np.abs(rng.standard_t(2, (size, size))), plateaus(rng, (size, size)) + 0.1]
    for i in range(3):
        for j in range(i):
            assert emd(maps[i], maps[j]) == pytest.approx(by_pot(maps[i], maps[j]), abs=1e-9)


def test_prefixes_of_the_oracle_agree():
    """Netting, as engine=pot does, changes nothing."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 11, 8)) ** 3
    netted = pot.distance(pot.prepare(a), pot.prepare(b), "cityblock")
    assert netted == pytest.approx(by_pot(a, b), abs=1e-12)
    assert emd(a, b) == pytest.approx(netted, abs=1e-12)


small_maps = hnp.arrays(
    np.float64, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 50)
).filter(lambda maps: maps.any(axis=(1, 2)).all())


@settings(max_examples=60, deadline=None)
@given(small_maps)
def test_is_a_distance(maps):
    features = [cityblock.prepare(m) for m in maps]
    d = np.array([[cityblock.distance(a, b) for b in features] for a in features])
    assert (d == d.T).all()
    assert (d.diagonal() == 0).all()
    assert d[0, 2] <= d[0, 1] + d[1, 2] + 1e-10
    assert (d <= sum(maps.shape[1:]) - 2 + 1e-10).all()


@settings(max_examples=30, deadline=None)
@given(small_maps)
def test_lies_between_the_euclidean_distance_and_its_multiple(maps):
    a, b = maps[:2]
    euclidean = pot.distance(pot.prepare(a), pot.prepare(b), "euclidean")
    assert euclidean - 1e-9 <= emd(a, b) <= np.sqrt(2) * euclidean + 1e-9


def test_a_moved_block_costs_its_steps():
    a, b = np.zeros((2, 224, 224))
    a[20:40, 30:50] = b[35:55, 45:65] = 1
    assert emd(a, b) == 30.0


@pytest.mark.parametrize("shape", [(1, 4096), (4096, 1), (1, 65537), (64, 64), (3, 5000)])
def test_masses_cannot_overflow(shape):
    a, b = delta(shape, (0, 0)), delta(shape, (-1, -1))
    assert emd(a, b) == sum(shape) - 2


def test_equal_maps_are_at_zero_whatever_their_scale():
    rng = np.random.default_rng(1)
    for a in (rng.random((37, 20)), np.ones((5, 5)), delta((4, 6), (1, 2)), np.ones((1, 1))):
        assert emd(a, a) == 0.0
        assert emd(a, 4.0 * a) == 0.0
        assert emd(a * 1e-310, a * 1e300) == pytest.approx(0, abs=1e-9)


def test_units_are_pixels_of_the_map_on_every_grid():
    a, b = np.zeros((2, 300, 200))
    a[0:60, 0:60] = b[60:120, 120:180] = 1
    for grid in ("full", 300, 150, 100, 50):
        assert emd(a, b, grid) == pytest.approx(180, abs=1e-9), grid


def test_a_coarse_grid_is_close_on_maps_with_extent():
    y, x = np.mgrid[:112, :112] / 112
    a, b = (np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * 30) for cx, cy in [(0.3, 0.4), (0.6, 0.7)])
    assert emd(a, b, 28) == pytest.approx(emd(a, b), rel=0.01)


def test_different_grids_are_refused():
    with pytest.raises(ShapeError, match="one shape"):
        emd(np.ones((4, 5)), np.ones((5, 4)))
    with pytest.raises(ShapeError, match="one shape"):
        cityblock.distance(cityblock.prepare(np.ones((8, 8)), 4), cityblock.prepare(np.ones((4, 4))))


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 3)), np.array([[1.0, -1e-9]]), np.array([[np.nan, 1.0]]), np.full((2, 2), np.inf)]
)
def test_what_is_no_mass_is_refused(bad):
    with pytest.raises(InputError, match="non-negative"):
        cityblock.prepare(bad)


class TestCertificate:
    @pytest.fixture
    def solved(self):
        rng = np.random.default_rng(7)
        a, b = rng.random((2, 30, 23))
        supply, level = cityblock.solve(cityblock.prepare(a), cityblock.prepare(b))
        return supply.copy(), gridflow.Level(
            *(part.copy() if isinstance(part, np.ndarray) else part for part in level)
        )

    def test_holds(self, solved):
        supply, level = solved
        assert gridflow.certify(supply, level) == level.flow.sum() > 0

    def test_fails_when_a_flow_is_tampered_with(self, solved):
        supply, level = solved
        rng = np.random.default_rng(0)
        for edge in rng.permutation(np.argwhere(level.flow))[:20]:
            for change in (1, -1):
                level.flow[tuple(edge)] += change
                with pytest.raises(RunError, match="2 pixels unbalanced"):
                    gridflow.certify(supply, level)
                level.flow[tuple(edge)] -= change

    def test_fails_when_a_potential_is_tampered_with(self, solved):
        supply, level = solved
        level.potential[gridflow.pixels(np.arange(level.potential.size), level.shape)[10, 10]] += 4
        with pytest.raises(RunError, match="edges infeasible"):
            gridflow.certify(supply, level)

    def test_fails_on_a_feasible_flow_that_is_not_the_cheapest(self, solved):
        """A circulation keeps every pixel balanced; it can only run downhill by breaking the potential."""
        supply, level = solved
        potential = gridflow.pixels(level.potential, level.shape)
        potential[:] = np.add.outer(*map(np.arange, level.shape)) % 2
        with pytest.raises(RunError):
            gridflow.certify(supply, level)

    def test_fails_on_another_pair(self, solved):
        supply, level = solved
        with pytest.raises(RunError):
            gridflow.certify(supply[::-1].copy(), level)


def test_no_pair_takes_much_longer_than_the_others():
    """Kinds of maps on which a solver without a good start slows down a hundredfold."""
    rng = np.random.default_rng(2)
    shape = (112, 112)
    a = rng.random(shape)
    pairs = {
        "noise": rng.random((2, *shape)),
        "pareto": rng.pareto(0.8, (2, *shape)) + 1e-9,
        "plateaus": (plateaus(rng, shape), plateaus(rng, shape)),
        "delta": (delta(shape, (0, 0)), np.ones(shape)),
        "one pixel": (a, a + delta(shape, (50, 50))),
        "equal": (a, a),
        "line": rng.random((2, 1, 112 * 112)),
        "thin": rng.random((2, 7, 1792)),
    }
    seconds = {}
    for name, (first, second) in pairs.items():
        features = cityblock.prepare(first), cityblock.prepare(second)
        cityblock.distance(*features)
        begun = time.thread_time()
        cityblock.distance(*features)
        seconds[name] = time.thread_time() - begun
    assert max(seconds.values()) < 1.0, seconds


def test_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(4)
    features = [cityblock.prepare(rng.random((40 + 8 * (k % 2), 50)) ** 4) for k in range(8)]
    pairs = [(i, j) for i in range(8) for j in range(8) if i % 2 == j % 2] * 3
    one_by_one = [cityblock.distance(features[i], features[j]) for i, j in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert (
            list(pool.map(lambda p: cityblock.distance(features[p[0]], features[p[1]]), pairs)) == one_by_one
        )


def test_solving_leaves_the_gil_to_others():
    rng = np.random.default_rng(6)
    features = [cityblock.prepare(rng.random((224, 224))) for _ in range(2)]
    cityblock.distance(*features)
    solving = threading.Thread(target=lambda: [cityblock.distance(*features) for _ in range(3)])
    solving.start()
    steps = 0
    while solving.is_alive():
        steps += 1
        time.sleep(0.001)
    assert steps > 10


def test_a_cold_first_call_says_that_it_compiles(caplog, monkeypatch):
    class Cold:
        signatures = ()

        def __call__(self, level):
            until = time.monotonic() + 30
            while not caplog.text and time.monotonic() < until:  # said by a thread, when it gets its turn
                time.sleep(0.01)
            return solve(level)

    solve = gridflow.solve
    monkeypatch.setattr(gridflow, "solve", Cold())
    monkeypatch.setattr(compiled, "PATIENCE", 0.02)
    monkeypatch.setattr(compiled, "_told", set())
    with caplog.at_level(logging.INFO, logger="salzarr"):
        assert emd(delta((2, 2), (0, 0)), delta((2, 2), (1, 1))) == 2.0
    assert caplog.text.count("compiling the city-block transport") == 1
