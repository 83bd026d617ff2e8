from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from salzarr.statistics.ceilings import ceiling
from salzarr.statistics.mantel import mantel, orders, smallest_p
from salzarr.units import Units


def symmetric(rng, n):
    matrix = rng.random((n, n))
    return matrix + matrix.T


@pytest.mark.parametrize("models", [4, 5, 6])
def test_all_permutations_are_taken_up_to_seven_models(models):
    rng = np.random.default_rng(models)
    a = symmetric(rng, models)
    b = a + symmetric(rng, models)
    upper = np.triu_indices(models, 1)
    observed = spearmanr(a[upper], b[upper]).statistic
    moved = [spearmanr(a[upper], b[np.ix_(o, o)][upper]).statistic for o in permutations(range(models))]
    n, correlation, p = mantel(a, b, orders(models, 9999))
    assert n == len(upper[0])
    assert correlation == pytest.approx(observed)
    assert p == np.mean(np.abs(moved) >= abs(observed) - 1e-12)
    assert p >= smallest_p(models, 9999)


def test_gaps_move_with_their_models():
    rng = np.random.default_rng(0)
    a, b = symmetric(rng, 9), symmetric(rng, 9)
    a[2, 5] = a[5, 2] = np.nan
    n, correlation, p = mantel(a, b, orders(9, 500))
    cells = np.triu(np.isfinite(a), 1)
    assert n == 35
    assert correlation == pytest.approx(spearmanr(a[cells], b[cells]).statistic)
    assert 1 / 501 <= p <= 1


def test_below_four_models_nothing_can_be_significant():
    a = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
    assert mantel(a, a, orders(3, 9999)) == (3, 1.0, pytest.approx(1 / 3))
    assert smallest_p(3, 9999) > 0.05 > smallest_p(4, 9999)
    assert np.isnan(mantel(a[:2, :2], a[:2, :2], orders(2, 9)))[1:].all()


# -- Ceilings -----------------------------------------------------------------------------------------------


def test_ceilings_are_numpys_correlations():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 5))
    values[2, 3] = np.nan
    found = ceiling(values, Units.by(list("abcde")))
    for image in range(5):
        others = np.nanmean(np.delete(values, image, axis=1), axis=1)
        known = ~np.isnan(values[:, image])
        assert found.lower[image] == pytest.approx(np.corrcoef(values[known, image], others[known])[0, 1])
        every = np.nanmean(values, axis=1)
        assert found.upper[image] == pytest.approx(np.corrcoef(values[known, image], every[known])[0, 1])


def test_others_are_of_other_units():
    """Copies of an image would predict it without an error."""
    values = np.random.default_rng(2).normal(size=(30, 20))
    copied = np.repeat(values, 5, axis=1)
    names = [f"{i:02d}" for i in range(100)]
    units = Units.by(names, [f"{i // 5:02d}" for i in range(100)])
    assert ceiling(copied, Units.by(names)).lower.mean() > 0.15
    assert abs(ceiling(copied, units).lower.mean()) < 0.1
    assert np.isnan(ceiling(values[:2], Units.by(names[:20])).lower).all()
