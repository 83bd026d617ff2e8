"""The bracket at full resolution holds the exact distance wherever that can be computed."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest
from scipy import ndimage

from salzarr.errors import InputError, ShapeError
from salzarr.transport import bracket, cityblock, euclidean


def bracketed(a, b):
    return bracket.distance(bracket.prepare(a), bracket.prepare(b))


def exact(a, b):
    return euclidean.distance(euclidean.prepare(a, 10**6), euclidean.prepare(b, 10**6))[0]


@pytest.fixture
def fourteen(monkeypatch):
    """Solve only 14 x 14 blocks exactly, so that 56 x 56 pixels are bracketed."""
    monkeypatch.setattr(bracket, "COARSE", 14)
    monkeypatch.setattr(bracket, "FEW", 0)


def smooth(rng, shape):
    return ndimage.gaussian_filter(rng.random(shape), min(shape) / 9) ** 8


KINDS = {
    "smooth": smooth,
    "smooth and noisy": lambda rng, shape: smooth(rng, shape) * np.abs(rng.standard_t(3, shape)),
    "white noise": lambda rng, shape: rng.random(shape),
    "pareto": lambda rng, shape: rng.pareto(0.8, shape),
    "sparse": lambda rng, shape: (rng.random(shape) > 0.97) + (rng.random(shape) > 0.999),
    "plateaus": lambda rng, shape: np.kron(rng.integers(0, 4, (7, 7)), np.ones((8, 8)))[
        : shape[0], : shape[1]
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(56, 56), (45, 56), (31, 17)])
def test_holds_the_exact_distance(kind, shape, fourteen):
    rng = np.random.default_rng([3, list(KINDS).index(kind)])
    a, b = (np.asarray(KINDS[kind](rng, shape), dtype=float) for _ in range(2))
    value = exact(a, b)
    middle, half = bracketed(a, b)
    assert middle - half <= value <= middle + half
    assert bracketed(b, a) == (middle, half)
    assert bracketed(a, a) == (0.0, 0.0)
    if kind == "smooth":
        assert half <= 0.03 * value


def test_maps_whose_blocks_agree_are_bracketed_from_zero(fourteen):
    a, b = np.zeros((2, 56, 56))
    a[::4, ::4] = b[1::4, 2::4] = 1.0
    middle, half = bracketed(a, b)
    assert middle == half
    assert middle + half == pytest.approx(sqrt(5), abs=1e-9)
    assert exact(a, b) <= middle + half + 1e-9


def test_a_block_moved_by_15_15():
    a, b = np.zeros((2, 224, 224))
    a[40:50, 60:70] = b[55:65, 75:85] = 1.0
    middle, half = bracketed(a, b)
    assert half == 0.0
    assert middle == pytest.approx(hypot(15, 15), abs=1e-9)


def test_a_map_moved_by_15_15_at_full_resolution():
    blob = smooth(np.random.default_rng(4), (209, 209))
    middle, half = bracketed(np.pad(blob, ((0, 15), (0, 15))), np.pad(blob, ((15, 0), (15, 0))))
    assert middle - half <= hypot(15, 15) <= middle + half
    assert 0.0 < half <= 0.05 * middle


def test_city_block_at_full_resolution_agrees():
    rng = np.random.default_rng(5)
    a, b = smooth(rng, (224, 224)), smooth(rng, (224, 224))
    middle, half = bracketed(a, b)
    other = cityblock.distance(cityblock.prepare(a), cityblock.prepare(b))
    assert middle - half <= other <= sqrt(2) * (middle + half)
    assert half <= 0.01 * middle


@pytest.mark.parametrize("shape", [(300, 300), (130, 57), (1, 500), (64, 64)])
def test_any_size_and_aspect(shape):
    rng = np.random.default_rng(6)
    a, b = rng.random(shape), rng.random(shape)
    middle, half = bracketed(a, b)
    assert 0.0 <= half <= middle
    blocks = euclidean.distance(euclidean.prepare(a, 56), euclidean.prepare(b, 56))[0]
    side = -(-max(shape) // 56)
    y, x = (np.arange(n) % side - 0.5 * (min(side, n) - 1) for n in shape)  # all moved to the blocks' centers
    bound = np.sum(np.abs(a / a.sum() - b / b.sum()) * np.hypot(y[:, None], x))
    assert blocks - bound <= middle + half
    assert middle - half <= blocks + bound
    scaled = bracketed(a * 4.0, b)
    assert scaled == (middle, half)


def test_small_maps_are_exact():
    rng = np.random.default_rng(7)
    a, b = rng.random((2, 40, 56))
    assert bracketed(a, b) == (exact(a, b), 0.0)


def test_refuses_what_it_cannot_compare():
    with pytest.raises(ShapeError, match="one shape"):
        bracketed(np.ones((100, 100)), np.ones((100, 101)))
    with pytest.raises(InputError, match="non-negative"):
        bracketed(-np.ones((100, 100)), np.ones((100, 100)))


@pytest.mark.slow
def test_holds_the_exact_distance_at_112():
    rng = np.random.default_rng(8)
    a, b = smooth(rng, (112, 112)), smooth(rng, (112, 112))
    middle, half = bracketed(a, b)
    assert middle - half <= exact(a, b) <= middle + half
