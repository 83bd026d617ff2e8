import numpy as np
import pytest
from scipy import stats

from salzarr.statistics.flips import Contrasts, Flips, equivalence_test, sign_flip_test
from salzarr.units import Units


def named(images, of=None, **options):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of], **options)


def against_zero(differences, units=None):
    values = np.vstack([differences, np.zeros((1, differences.shape[1]))])
    rows = np.arange(len(differences))
    contrasts = np.stack([rows, np.full_like(rows, len(differences))], axis=1)
    return Contrasts(values, contrasts, units or named(differences.shape[1]))


def test_few_units_are_tested_exactly_as_scipy_does():
    rng = np.random.default_rng(0)
    differences = rng.normal(0.4, 1, (6, 9)).round(1)
    (found,) = sign_flip_test([against_zero(differences)], Flips(9, 600))
    for row, p in zip(differences, found.p, strict=True):
        expected = stats.permutation_test(
            (row,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(expected.pvalue, abs=1e-12)
    # Images of one unit are flipped together: as many copies as you like say nothing more.
    copied = against_zero(np.repeat(differences, 4, axis=1), named(36, np.repeat(np.arange(9), 4)))
    np.testing.assert_allclose(sign_flip_test([copied], Flips(9, 600))[0].p, found.p)
    assert copied.units.tolist() == [9] * 6


def test_the_smallest_possible_p():
    contrasts = against_zero(np.arange(1.0, 6)[None])
    (found,) = sign_flip_test([contrasts], Flips(5, 9999))
    assert found.p[0] == Flips(5, 9999).smallest(contrasts.units)[0] == 0.0625
    assert Flips(200, 9999).smallest(np.array([200, 5, 0])).tolist() == [1e-4, 0.0625, 1.0]


def test_family_wise_p_are_step_down_max_t():
    rng = np.random.default_rng(1)
    differences = rng.normal([[0.0], [0.5], [0.9], [0.1]], 1, (4, 11)) * [[1], [100], [0.01], [1]]
    (found,) = sign_flip_test([against_zero(differences)], Flips(11, 5000))
    signs = 1 - 2 * (np.arange(2**11)[:, None] >> np.arange(11) & 1)
    t = np.abs(signs @ differences.T) / np.sqrt((differences**2).sum(axis=1))
    observed = np.abs(differences.sum(axis=1)) / np.sqrt((differences**2).sum(axis=1))
    order = np.argsort(-observed)
    expected, before = np.empty(4), 0.0
    for step, row in enumerate(order):
        before = max(before, np.mean(t[:, order[step:]].max(axis=1) >= observed[row] - 1e-12))
        expected[row] = before
    np.testing.assert_allclose(found.p_family, expected)
    np.testing.assert_allclose(found.p_all, expected)
    parts = [against_zero(differences[:2]), against_zero(differences[2:])]
    split = sign_flip_test(parts, Flips(11, 5000))
    np.testing.assert_allclose(np.concatenate([part.p_all for part in split]), expected)
    assert (np.concatenate([part.p_family for part in split]) <= expected + 1e-12).all()


def test_gaps_take_the_images_that_both_have():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 50))
    values[0, :10] = values[1, :10] = np.nan  # the same gaps
    values[2, 5:20] = np.nan
    contrasts = np.array([[0, 1], [0, 2], [2, 3], [1, 3]])
    together = Contrasts(values, contrasts, named(50))
    (found,) = sign_flip_test([together], Flips(50, 3000, seed=4))
    for k, (i, j) in enumerate(contrasts):
        filled = against_zero(np.nan_to_num(values[i] - values[j])[None])
        assert found.p[k] == sign_flip_test([filled], Flips(50, 3000, seed=4))[0].p[0]
        apart = (values[i] - values[j])[~np.isnan(values[i] - values[j])]
        assert together.mean[k] == pytest.approx(apart.mean())
        assert together.d_z[k] == pytest.approx(apart.mean() / apart.std(ddof=1))
        assert together.wins[k] == (apart > 0).mean()
    values[3] = np.nan
    (found,) = sign_flip_test([Contrasts(values, contrasts, named(50))], Flips(50, 99))
    assert np.isnan([found.p[2:], found.p_family[2:], found.p_all[2:]]).all()


def test_effects_are_of_units():
    differences = np.array([[1.0, 1, 1, -1, 0, 0, 2, 2]])
    contrasts = against_zero(differences, named(8, [0, 0, 0, 1, 2, 2, 3, 3]))
    assert contrasts.wins[0] == 2.5 / 4
    assert contrasts.mean[0] == 6 / 8
    each = np.array([1.0, -1, 0, 2])
    assert contrasts.d_z[0] == pytest.approx(each.mean() / each.std(ddof=1))
    equal = against_zero(differences, named(8, [0, 0, 0, 1, 2, 2, 3, 3], equal=True))
    assert equal.mean[0] == 0.5


def test_ties_count_and_zero_differences_have_p_1():
    values = 0.1 + np.zeros((3, 40))
    values[2] += np.where(np.arange(40) % 2, 0.3, -0.3)
    contrasts = Contrasts(values, np.array([[0, 1], [0, 2]]), named(40))
    (found,) = sign_flip_test([contrasts], Flips(40, 500))
    assert found.p.tolist() == found.p_family.tolist() == found.p_all.tolist() == [1.0, 1.0]
    assert contrasts.wins.tolist() == [0.5, 0.5]
    assert np.isnan(contrasts.d_z[0])


def test_batches_names_and_seed(monkeypatch):
    rng = np.random.default_rng(6)
    values = rng.normal(0.1, 1, (6, 70))
    values[1, 3] = np.nan
    pairs = np.array([[0, 1], [2, 3], [4, 5], [1, 5]])

    def p(images, units, seed=1):
        (found,) = sign_flip_test([Contrasts(images, pairs, units)], Flips(70, 300, seed))
        return np.concatenate([found.p, found.p_family])

    whole = p(values, named(70))
    assert (whole != p(values, named(70), seed=2)).any()
    order = rng.permutation(70)
    np.testing.assert_array_equal(p(values[:, order], Units.by([f"{i:05d}" for i in order])), whole)
    monkeypatch.setattr("salzarr.statistics.flips._BATCH_BYTES", 8 * 70 * 7)
    np.testing.assert_array_equal(p(values, named(70)), whole)


# -- Equivalence --------------------------------------------------------------------------------------------


def test_equivalence_is_two_one_sided_tests():
    rng = np.random.default_rng(2)
    differences = np.stack([rng.normal(0.1, 0.3, 10), rng.normal(0.6, 0.3, 10)])
    found = equivalence_test(against_zero(differences), 0.5, Flips(10, 2000))
    for row, p in zip(differences, found, strict=True):
        one_sided = [
            stats.permutation_test(
                (shifted,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="greater"
            ).pvalue
            for shifted in (0.5 + row, 0.5 - row)
        ]
        assert p == pytest.approx(max(one_sided))
    assert found[0] < 0.05 < found[1]


def test_the_margin_is_of_the_mean_whatever_the_size_of_units():
    rng = np.random.default_rng(2)
    each = rng.normal(0, 0.2, (1, 12))
    alone = equivalence_test(against_zero(each), 0.3, Flips(12, 5000))
    copied = against_zero(np.repeat(each, 5, axis=1), named(60, np.repeat(np.arange(12), 5)))
    assert equivalence_test(copied, 0.3, Flips(12, 5000)) == pytest.approx(alone)
    uneven = against_zero(
        np.repeat(each, [1] * 11 + [5], axis=1), named(16, [*range(11), *[11] * 5], equal=True)
    )
    assert equivalence_test(uneven, 0.3, Flips(12, 5000)) == pytest.approx(alone)
