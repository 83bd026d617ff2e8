import numpy as np
import pytest
from scipy import stats

from salzarr.statistics.two_groups import difference
from salzarr.units import Units


def named(images, of=None, **options):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of], **options)


def test_p_is_that_of_a_permuted_welch_statistic():
    rng = np.random.default_rng(0)
    first = np.arange(50) < 20
    values = rng.normal(0, np.where(first, 2.0, 1.0), (4, 50)) + np.outer([0, 0.5, 1.0, 2.0], first)
    found = difference(values, first, named(50))
    for row, p in zip(values, found.p, strict=True):
        expected = stats.permutation_test(
            (row[first], row[~first]),
            lambda a, b, axis: stats.ttest_ind(a, b, axis=axis, equal_var=False).statistic,
            n_resamples=9999,
            random_state=1,
            vectorized=True,
        ).pvalue
        assert p == pytest.approx(expected, abs=4 * np.sqrt(expected / 5000) + 1e-3)


def test_units_are_permuted_and_drawn_whole():
    rng = np.random.default_rng(1)
    first = np.arange(24) < 10
    values = rng.normal(size=(2, 24)) + first
    alone = difference(values, first, named(24))
    of = np.repeat(np.arange(24), 5)
    copied = difference(np.repeat(values, 5, axis=1), np.repeat(first, 5), named(120, of))
    for name in ("value", "low", "high", "p", "units_1", "units_2"):
        np.testing.assert_allclose(getattr(copied, name), getattr(alone, name), atol=1e-9)
    assert alone.units_1.tolist() == [10, 10]


def test_units_of_both_groups_have_an_interval_and_no_p():
    rng = np.random.default_rng(2)
    first = np.arange(60) % 2 == 0
    values = rng.normal(size=(1, 60)) + np.repeat(5 * rng.normal(size=30), 2)
    found = difference(values, first, named(60, np.arange(60) // 2))
    assert np.isnan(found.p[0])
    apart = difference(values, first, named(60))
    assert found.high[0] - found.low[0] < 0.5 * (apart.high[0] - apart.low[0])  # what they share drops out


def test_too_little_is_not_claimed():
    values = np.full((2, 10), np.nan)
    values[0] = np.arange(10)
    found = difference(values, np.arange(10) < 1, named(10))
    assert found.value[0] == 0 - 5
    assert np.isnan([found.low, found.high, found.p]).all()
