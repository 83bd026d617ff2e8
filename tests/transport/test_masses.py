"""Integer masses: exact totals, no lost or invented pixel, no overflow."""

from itertools import pairwise

import numpy as np
import pytest

from salzarr.transport.masses import block_factor, block_sums, halve, pyramid, quantize, unit

RNG = np.random.default_rng(4)
ODD_MAPS = {
    "uniform noise": RNG.random((17, 23)),
    "one pixel": np.eye(1, 4096, 4095),
    "denormal": RNG.random((9, 9)) * 1e-310,
    "huge": RNG.random((9, 9)) * 1.7e308,
    "heavy tail": RNG.pareto(0.3, (40, 40)),
    "trailing zeros": np.pad(RNG.random((5, 5)), ((0, 9), (0, 4))),
    "float32": RNG.random((224, 224)).astype(np.float32),
    "all equal": np.full((33, 7), 0.1),
}


@pytest.mark.parametrize("name", ODD_MAPS)
def test_quantize_sums_to_one_unit_and_is_within_one_integer(name):
    values = np.asarray(ODD_MAPS[name], dtype=np.float64)
    masses = quantize(values)
    assert int(masses.sum()) == unit(values.shape)
    assert masses.min() >= 0
    assert not masses[values == 0].any()
    shares = values / values.max()
    assert np.abs(masses - shares * (unit(values.shape) / shares.sum())).max() <= 1.5


def test_quantize_does_not_depend_on_the_unit_of_the_map_or_its_place():
    values = RNG.random((12, 9))
    masses = quantize(values)
    np.testing.assert_array_equal(quantize(values * 2.0**-70), masses)
    moved = quantize(np.pad(values, ((3, 0), (2, 7))))
    assert unit((15, 18)) == unit((12, 9))
    np.testing.assert_array_equal(moved[3:, 2:11], masses)


@pytest.mark.parametrize(
    "values",
    [np.zeros((3, 3)), [[1.0, -1e-9]], [[1.0, np.nan]], [[np.inf, 1.0]], np.ones(4), np.ones((0, 3))],
)
def test_quantize_refuses_what_has_no_unit_mass(values):
    with pytest.raises(ValueError, match="map to transport"):
        quantize(values)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (224, 224), (3000, 5000), (1, 2**40)])
def test_mass_times_distance_never_overflows(shape):
    assert unit(shape) * (shape[0] + shape[1]) <= 2**61
    assert unit(shape) <= 2**45


def test_pyramid_keeps_every_mass_where_it_is():
    masses = quantize(RNG.random((53, 20)))
    levels = pyramid(masses)
    np.testing.assert_array_equal(levels[-1], masses)
    for coarse, fine in pairwise(levels):
        y, x = np.indices(fine.shape)
        expected = np.zeros_like(coarse)
        np.add.at(expected, (y // 2, x // 2), fine)
        np.testing.assert_array_equal(coarse, expected)
        np.testing.assert_array_equal(coarse, halve(fine))
    assert max(levels[0].shape) <= 8


@pytest.mark.parametrize("shape", [(224, 224), (300, 300), (31, 64), (1, 7), (97, 5)])
@pytest.mark.parametrize("grid", [1, 7, 32, 56])
def test_block_sums_are_the_smallest_grid_that_fits_and_keep_the_mass(shape, grid):
    values = RNG.random(shape)
    blocks, side = block_sums(values, grid)
    assert side == block_factor(shape, grid)
    assert max(blocks.shape) <= grid
    assert side == 1 or -(-max(shape) // (side - 1)) > grid
    for y, x in np.ndindex(blocks.shape):
        expected = values[y * side : (y + 1) * side, x * side : (x + 1) * side].sum()
        assert blocks[y, x] == pytest.approx(expected, rel=1e-13)


def test_a_grid_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        block_sums(np.ones((2, 2)), grid=0)
