"""The 1-D Wasserstein distance of pixel values: equal to SciPy on the flattened maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from salzarr.errors import ShapeError
from salzarr.transport import values


def distance(a, b):
    return values.distance(values.prepare(a), values.prepare(b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 9), (100, 80)])
def test_equals_scipy_on_the_flattened_maps(shape, dtype):
    rng = np.random.default_rng(1)
    for a, b in [
        rng.normal(size=(2, *shape)).astype(dtype),
        rng.integers(0, 3, (2, *shape)).astype(dtype),
        (rng.random(shape).astype(dtype), np.full(shape, 0.1, dtype)),
    ]:
        expected = wasserstein_distance(a.ravel().astype(float), b.ravel().astype(float))
        assert distance(a, b) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_place_plays_no_part():
    a, b = np.zeros((2, 60, 60))
    a[20:30, 20:30] = b[35:45, 35:45] = 1
    assert distance(a, b) == 0.0


def test_small_differences_on_a_large_offset_survive():
    a = np.linspace(0, 1, 10_000).reshape(100, 100) + 1e6
    assert distance(a, a + 2.0**-20) == pytest.approx(2.0**-20, rel=1e-9)
    small = np.full((300, 300), 0.1, np.float32)
    assert distance(small, small + np.float32(0.1)) == pytest.approx(
        float(np.float32(0.2)) - float(np.float32(0.1))
    )


def test_different_sizes_are_refused():
    with pytest.raises(ShapeError, match="cannot be compared"):
        distance(np.ones((2, 3)), np.ones((2, 2)))
