import numpy as np
import pytest
from scipy import stats

from salzarr.statistics.conclusions import rank_correlations, resampled, reversals, told_apart
from salzarr.units import Units


def named(images, of=None):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of])


def test_correlations_are_spearmans_over_the_pairs_that_both_have():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(10, 1)) + rng.normal(size=(10, 25)) for _ in range(3)]
    rows[1] = rows[0] + 0.3 * rows[1]
    rows[2][4] = np.nan
    drawn = [resampled(values, named(25), 300) for values in rows]
    means = [values.mean(axis=1) for values in rows]
    found = rank_correlations(means, drawn, 25)
    assert found.spearman[0, 1] == pytest.approx(stats.spearmanr(means[0], means[1]).statistic)
    kept = np.delete(np.arange(10), 4)
    assert found.spearman[2, 0] == pytest.approx(stats.spearmanr(means[0][kept], means[2][kept]).statistic)
    assert found.low[0, 1] < found.spearman[0, 1] <= found.high[0, 1]
    assert found.spearman[2, 2] == 1
    assert (found.spearman == found.spearman.T).all()


def test_a_change_of_order_is_named_only_where_both_orders_are_certain():
    rng = np.random.default_rng(1)
    one = rng.normal([[0], [1], [5]], 1, (3, 60))
    other = rng.normal([[4], [1], [4.01]], 1, (3, 60))
    first, second = told_apart(one, named(60)), told_apart(other, named(60))
    found, both = reversals(first, second)
    assert found.tolist() == [[1, 0]]  # of the first and the last the second metric is not certain
    assert both == 2


def test_what_pairs_share_drops_out_of_their_difference_and_copies_add_nothing():
    rng = np.random.default_rng(2)
    shared = 5 * rng.normal(size=20)
    values = shared + rng.normal([[0], [0.9]], 1, (2, 20))
    assert told_apart(values, named(20))[1, 0] == 1
    close = shared + rng.normal([[0], [0.3]], 1, (2, 20))
    assert told_apart(close, named(20))[1, 0] == 0
    copied = np.repeat(close, 30, axis=1)
    assert told_apart(copied, named(600, np.repeat(np.arange(20), 30)))[1, 0] == 0
    assert told_apart(copied, named(600))[1, 0] != 0


def test_the_interval_of_a_difference_is_students():
    rng = np.random.default_rng(3)
    for shift in np.linspace(0, 1, 21):
        values = rng.normal([[shift], [0]], 1, (2, 15))
        p = stats.ttest_rel(values[0], values[1]).pvalue
        assert (told_apart(values, named(15))[0, 1] != 0) == (p < 0.05)
