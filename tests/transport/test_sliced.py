"""Sliced Wasserstein: equal to POT on the same projections."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from salzarr.errors import InputError, ShapeError
from salzarr.transport import pot, sliced

UNIT = sliced.DIRECTIONS / np.hypot(*sliced.DIRECTIONS.T)[:, None]


def distance(a, b):
    return sliced.distance(sliced.prepare(a), sliced.prepare(b))


def by_pot(a, b):
    y, x = np.indices(a.shape)
    where = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    mass = [(m / m.sum()).ravel() for m in (a, b)]
    return ot.sliced_wasserstein_distance(where, where, *mass, projections=UNIT.T, p=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (30, 1), (2, 2), (5, 5), (13, 40), (61, 17), (64, 64)])
@pytest.mark.parametrize("power", [1, 8])
def test_equals_pot_on_the_same_projections(shape, power):
    a, b = np.random.default_rng(0).random((2, *shape)) ** power
    assert distance(a, b) == pytest.approx(by_pot(a, b), rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_equals_pot_at_full_size():
    a, b = np.random.default_rng(0).random((2, 224, 224)) ** 4
    assert distance(a, b) == pytest.approx(by_pot(a, b), rel=1e-9)


def test_directions_are_coprime_distinct_and_evenly_spread():
    assert len(UNIT) == 32
    assert (np.gcd(*sliced.DIRECTIONS.T) == 1).all()
    angles = np.sort(np.degrees(np.arctan2(UNIT[:, 1], UNIT[:, 0])) % 180)
    assert np.abs(angles - np.arange(32) * 180 / 32).max() < 0.75


def test_a_shifted_map_costs_the_mean_of_the_projected_shift():
    a, b = np.zeros((2, 40, 50))
    a[5:9, 3:8] = b[20:24, 30:35] = 1
    assert distance(a, b) == pytest.approx(np.abs(UNIT @ [27, 15]).mean(), rel=1e-12)


def test_is_a_distance_below_the_euclidean_one():
    rng = np.random.default_rng(3)
    maps = rng.random((3, 12, 9)) ** 5
    d = np.array([[distance(a, b) for b in maps] for a in maps])
    assert (d == d.T).all()
    assert (d.diagonal() == 0).all()
    assert d[0, 2] <= d[0, 1] + d[1, 2] + 1e-12
    assert d[0, 1] <= pot.distance(pot.prepare(maps[0]), pot.prepare(maps[1]))


def test_scale_and_dtype_play_no_part():
    a, b = np.random.default_rng(3).random((2, 7, 8)).astype(np.float32)
    assert distance(a, 8 * a) == 0.0
    assert distance(a, b) == distance(a.astype(float) * 2.0**-900, b.astype(float) * 2.0**1000)


def test_transposed_and_mirrored_maps_are_as_far_apart():
    a, b = np.random.default_rng(5).random((2, 11, 6))
    for turn in (np.transpose, np.fliplr, np.flipud):
        assert distance(turn(a), turn(b)) == pytest.approx(distance(a, b), rel=1e-12)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ShapeError, match="one shape"):
        distance(np.ones((4, 5)), np.ones((5, 5)))
    for bad in (np.zeros((2, 2)), -np.eye(2), np.full((2, 2), np.nan)):
        with pytest.raises(InputError, match="non-negative"):
            sliced.prepare(bad)
