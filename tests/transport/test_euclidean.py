"""Euclidean transport: equal to POT on odd maps, proven optimal, and a distance in every respect."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from math import hypot, sqrt

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.spatial.distance import cdist

from salzarr.errors import InputError, ShapeError, UsageError
from salzarr.transport import cityblock, euclidean
from salzarr.transport.simplex import certified


def emd(a, b, grid=10**6, rtol=0.0):
    value, gap = euclidean.distance(euclidean.prepare(a, grid), euclidean.prepare(b, grid), rtol)
    return (value, gap) if rtol else value


def by_pot(a, b):
    """POT's answer for what the maps do not share; POT drops digits when asked to move everything."""
    excess = a / a.sum() - b / b.sum()
    sources, sinks = np.argwhere(excess > 0).astype(float), np.argwhere(excess < 0).astype(float)
    give, take = excess[excess > 0], -excess[excess < 0]
    if min(give.sum(), take.sum()) < 1e-14:
        return 0.0
    mean = 0.5 * (give.sum() + take.sum())
    cost = cdist(sources, sinks)
    return mean * ot.emd2(give / give.sum(), take / take.sum(), cost, numItermax=10**8)


def delta(shape, *at):
    out = np.zeros(shape)
    for y, x in at:
        out[y, x] += 1
    return out


def saliency(rng, n):
    """A smooth map with noise, as of a gradient method."""
    smooth = ndimage.gaussian_filter(rng.random((n, n)), n / 10)
    return np.abs(rng.standard_t(3, (n, n))) * (smooth - smooth.min() + 0.02)


def cam(rng, n):
    """A 7 x 7 class activation map, upsampled: plateaus and ramps."""
    coarse = ndimage.gaussian_filter(rng.normal(size=(7, 7)), 1.0)
    return ndimage.zoom(
        np.maximum(coarse - np.quantile(coarse, 0.3), 0), n / 7, order=1, mode="nearest", grid_mode=True
    )


ODD = {
    "uniform": lambda rng, shape: rng.random((2, *shape)) + 1e-9,
    "heavy tail": lambda rng, shape: rng.random((2, *shape)) ** 10 + 1e-300,
    "pareto": lambda rng, shape: rng.pareto(0.8, (2, *shape)) + 1e-300,
    "deltas": lambda rng, shape: [delta(shape, rng.integers(shape)) for _ in range(2)],
    "few pixels": lambda rng, shape: [delta(shape, *rng.integers(shape, size=(5, 2))) for _ in range(2)],
    "integers with zeros": lambda rng, shape: rng.integers(0, 4, (2, *shape)) + delta(shape, (0, 0)),
    "all but one pixel": lambda rng, shape: [m := rng.random(shape) + 0.1, m + delta(shape, (-1, 0)) / 2],
    "mirrored": lambda rng, shape: [m := rng.integers(0, 3, shape) + 1.0, m[::-1, ::-1].copy()],
    "one level against two": lambda rng, shape: [np.ones(shape), 1.0 + (rng.random(shape) > 0.5)],
    "plateaus": lambda rng, shape: np.kron(rng.integers(1, 4, (2, 3, 3)), np.ones((1, *shape)))[
        :, : shape[0], : shape[1]
    ],
}


@pytest.mark.parametrize("kind", ODD)
def test_equals_pot_on_odd_maps(kind):
    rng = np.random.default_rng(list(ODD).index(kind))
    for case in range(30):
        shape = (1, int(rng.integers(2, 200))) if case % 6 == 5 else tuple(rng.integers(1, 26, 2))
        a, b = (np.asarray(m, dtype=float) for m in ODD[kind](rng, shape))
        value = emd(a, b)
        assert value == pytest.approx(by_pot(a, b), abs=1e-9)
        assert emd(b, a) == value
        assert emd(a, a) == 0.0


def test_ends_on_ties():
    """Excess of a few equal integers: empty arcs in most bases, on which a careless simplex cycles."""
    rng = np.random.default_rng(9)
    for _ in range(300):
        shape = tuple(rng.integers(1, 12, 2))
        a = rng.integers(0, 1 + rng.choice([1, 2, 5]), shape) + delta(shape, (0, 0))
        b = rng.permuted(a.ravel()).reshape(shape)
        assert emd(a, b) == pytest.approx(by_pot(a, b), abs=1e-9)


def test_equals_pot_that_moves_everything_on_saliency_maps():
    rng = np.random.default_rng(0)
    places = np.argwhere(np.ones((28, 28))).astype(float)
    for make in (saliency, cam):
        a, b = make(rng, 28), make(rng, 28)
        expected = ot.emd2(
            (a / a.sum()).ravel(), (b / b.sum()).ravel(), cdist(places, places), numItermax=10**7
        )
        assert emd(a, b) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (3, 6, 7), elements=st.floats(0, 1e6)))
def test_triangle_inequality_and_bounds(maps):
    maps = maps + 1e-3
    ab, bc, ac = emd(maps[0], maps[1]), emd(maps[1], maps[2]), emd(maps[0], maps[2])
    assert ac <= ab + bc + 1e-9
    assert 0.0 <= ab <= hypot(5, 6)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (2, 5, 8), elements=st.floats(0, 1)), st.floats(1e-6, 1e6), st.integers(-30, 30)
)
def test_the_unit_of_a_map_does_not_matter(maps, scale, exponent):
    a, b = maps + 1e-3
    value = emd(a, b)
    assert emd(a * 2.0**exponent, b) == value
    assert emd(a * scale, b) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("shape", [(224, 224), (300, 300), (300, 60)])
def test_a_translation_by_whole_blocks_is_exact(shape):
    rng = np.random.default_rng(1)
    side = euclidean.prepare(np.ones(shape), 32).side
    a = np.zeros(shape)
    a[: 20 * side, : 3 * side] = rng.random((20 * side, 3 * side))
    b = np.roll(a, (3 * side, 2 * side), axis=(0, 1))
    assert emd(a, b, grid=32) == pytest.approx(side * hypot(3, 2), abs=1e-9)


def test_grids_of_one_map_agree_in_pixels():
    y, x = np.mgrid[:300, :300]
    a, b = (np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 1800) for cy, cx in ((110, 90), (190, 170)))
    values = {grid: emd(a, b, grid) for grid in (16, 32, 56)}
    for value in values.values():
        assert value == pytest.approx(hypot(80, 80), rel=0.01)


def test_nothing_overflows():
    for shape, ends, expected in [
        ((1, 4096), [(0, 0), (0, 4095)], 4095.0),
        ((1, 2049), [(0, 0), (0, 2048)], 2048.0),
        ((900, 1200), [(0, 0), (899, 1199)], hypot(899, 1199)),
    ]:
        assert emd(*(delta(shape, end) for end in ends)) == pytest.approx(expected, abs=1e-9)


def test_city_block_lies_between_once_and_root_two():
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b = rng.random((2, *rng.integers(2, 20, 2))) ** 4 + 1e-6
        other = cityblock.distance(cityblock.prepare(a), cityblock.prepare(b))
        assert emd(a, b) <= other + 1e-9
        assert other <= sqrt(2) * emd(a, b) + 1e-9


@pytest.mark.parametrize("rtol", [0.2, 0.01, 0.001])
def test_a_relative_tolerance_is_kept_and_certified(rtol):
    rng = np.random.default_rng(3)
    pairs = [
        (saliency(rng, 32), saliency(rng, 32)),
        (cam(rng, 35), cam(rng, 35)),
        (saliency(rng, 28), cam(rng, 28)),
    ]
    pairs += [[np.asarray(m, dtype=float) for m in make(rng, (17, 12))] for make in ODD.values()]
    for a, b in pairs:
        exact = emd(a, b)
        value, gap = emd(a, b, rtol=rtol)
        assert abs(value - exact) <= gap + 1e-12
        assert gap <= rtol * exact + 1e-12
        assert emd(b, a, rtol=rtol) == (value, gap)


def solved(seed=4, n=12):
    rng = np.random.default_rng(seed)
    a, b = (euclidean.prepare(rng.random((n, n)), n) for _ in range(2))
    return euclidean.transport(a, b)


def test_the_certificate_holds_for_the_answer_only():
    nodes, tree, *_ = solved()
    assert certified(tree, nodes)
    busy = int(np.argmax(tree.flow))
    child = next(n for n in range(nodes.sinks) if tree.parent[n] >= 0)

    def tampered(field, index, change):
        values = getattr(tree, field).copy()
        values[index] += change
        return certified(tree._replace(**{field: values}), nodes)

    assert not tampered("flow", busy, 1)
    assert not tampered("flow", busy, -1)
    assert not tampered("flow", busy, -2 * tree.flow[busy])
    assert not tampered("potential", child, 2.0**-36)
    assert not tampered("potential", busy, -(2.0**-36))
    assert not tampered("cost", busy, 2.0**-36)
    assert not certified(tree, nodes._replace(mass=nodes.mass * 2))
    assert not certified(tree, nodes._replace(y=nodes.y * 1.5))


def test_a_feasible_flow_that_is_not_optimal_is_not_certified():
    rng = np.random.default_rng(5)
    a, b = (euclidean.prepare(saliency(rng, 24), 24) for _ in range(2))
    loose = euclidean.transport(a, b, rtol=0.05)
    assert not loose.exact
    assert not certified(loose.tree, loose.nodes)


def test_refuses_what_it_cannot_compare():
    with pytest.raises(ShapeError, match="one shape"):
        emd(np.ones((4, 5)), np.ones((5, 4)))
    with pytest.raises(InputError, match="positive sum"):
        emd(np.zeros((4, 4)), np.ones((4, 4)))
    with pytest.raises(UsageError, match="at least 1"):
        emd(np.ones((4, 4)), np.ones((4, 4)), grid=0)


def test_pairs_in_threads_give_the_same_numbers():
    rng = np.random.default_rng(6)
    maps = [euclidean.prepare(saliency(rng, 24), 24) for _ in range(6)]
    pairs = [(a, b) for i, a in enumerate(maps) for b in maps[:i]]
    alone = [euclidean.distance(a, b) for a, b in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(euclidean.distance, *zip(*pairs, strict=True))) == alone


@pytest.mark.slow
def test_no_kind_of_map_is_a_tail():
    """Plateaus, white noise, Pareto tails and equal masses take at most a few times as long as others."""
    rng = np.random.default_rng(7)
    n = 56
    pareto = rng.pareto(0.8, (2, n, n)) + 1e-300
    shifted = cam(rng, n)
    cases = {
        "saliency": (saliency(rng, n), saliency(rng, n)),
        "cam": (cam(rng, n), cam(rng, n)),
        "cam moved": (np.pad(shifted, ((0, 8), (0, 9))), np.pad(shifted, ((8, 0), (9, 0)))),
        "white noise": rng.random((2, n, n)),
        "pareto": pareto,
        "levels": rng.integers(0, 3, (2, n, n)) + 1.0,
        "mirrored": (m := saliency(rng, n), m[::-1, ::-1].copy()),
        "a third": (np.where(np.arange(n) < n // 3, saliency(rng, n), 0), saliency(rng, n)),
    }
    emd(*cases["saliency"])
    seconds = {}
    for name, (a, b) in cases.items():
        start = time.thread_time()
        emd(a, b)
        seconds[name] = time.thread_time() - start
    assert max(seconds.values()) <= 6 * seconds["saliency"], seconds


@pytest.mark.slow
def test_equals_pot_at_56():
    rng = np.random.default_rng(8)
    for make in (saliency, cam):
        a, b = make(rng, 56), make(rng, 56)
        assert emd(a, b) == pytest.approx(by_pot(a, b), abs=1e-9)
