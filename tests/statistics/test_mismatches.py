import numpy as np
import pytest

from salzarr.scores.derangements import derangements
from salzarr.statistics.discriminability import discriminability
from salzarr.statistics.mismatches import corrected, of_mismatched
from salzarr.units import Units


def named(images, of=None, **options):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of], **options)


def scored(table, partners):
    """Look the scores of matched and of mismatched images up in a table (row, image, image)."""
    images = np.arange(table.shape[-1])
    return table[:, images, images], np.stack([table[:, images, partner] for partner in partners])


def test_an_influence_is_the_sum_over_both_roles():
    """Leaving a unit out moves the mean of all mismatches as its influence says, to first order."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, 40, 40)) + rng.normal(size=(2, 40, 1)) + rng.normal(size=(2, 1, 40))
    units = named(40)
    partners = derangements(units, 39)
    found = of_mismatched(scored(table, partners)[1], partners, units)
    off = ~np.eye(40, dtype=bool)
    np.testing.assert_allclose(found.value, [row[off].mean() for row in table])
    np.testing.assert_allclose(found.influence.sum(axis=1), 0, atol=1e-12)
    for unit in range(40):
        kept = np.delete(np.arange(40), unit)
        left = table[:, kept][:, :, kept][:, ~np.eye(39, dtype=bool)].mean(axis=1)
        np.testing.assert_allclose(
            found.value - left, found.influence[:, unit] * 40 / 38, rtol=0.03, atol=1e-3
        )


def test_units_gather_the_influences_of_their_images():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(3, 24, 24))
    of = np.arange(24) % 6
    units = named(24, of)
    partners = derangements(units, 3)
    values = scored(table, partners)[1]
    values[0, 1, 5] = np.nan
    whole, alone = (of_mismatched(values, partners, of_units) for of_units in (units, named(24)))
    np.testing.assert_allclose(whole.value, alone.value)
    np.testing.assert_allclose(whole.influence, units.gather(alone.influence), atol=1e-12)
    equal = of_mismatched(values, partners, named(24, of, equal=True))
    np.testing.assert_allclose(equal.value[0], np.mean([units.means(v)[0] for v in values]))


def test_the_corrected_score_is_a_ratio_of_means():
    rng = np.random.default_rng(2)
    table = 0.2 + 0.1 * rng.normal(size=(2, 30, 30))
    table[:, np.arange(30), np.arange(30)] += 0.4
    units = named(30)
    partners = derangements(units, 4)
    matched, mismatched = scored(table, partners)
    found = corrected(matched, mismatched, partners, units, 1.0)
    expected = (matched.mean(axis=1) - mismatched.mean(axis=(0, 2))) / (1 - mismatched.mean(axis=(0, 2)))
    np.testing.assert_allclose(found.value, expected)
    assert ((found.low < expected) & (expected < found.high)).all()
    assert not found.constant.any()
    own = np.repeat(found.baseline[:, None], 30, axis=1)
    assert np.isnan(corrected(matched, mismatched, partners, units, own).value).all()


def test_maps_own_self_scores_take_the_place_of_one():
    rng = np.random.default_rng(2)
    table = 0.2 + 0.1 * rng.normal(size=(1, 30, 30))
    table[:, np.arange(30), np.arange(30)] += 0.4
    units = named(30)
    partners = derangements(units, 4)
    matched, mismatched = scored(table, partners)
    own = 0.8 + 0.1 * rng.random((1, 30))
    found = corrected(matched, mismatched, partners, units, own)
    chance = mismatched.mean()
    assert found.value[0] == pytest.approx((matched.mean() - chance) / (own.mean() - chance))
    assert found.low[0] < found.value[0] < found.high[0]


@pytest.mark.parametrize("axis", [1, 2], ids=["second model", "first model"])
def test_a_constant_models_corrected_score_is_0_by_construction(axis):
    rng = np.random.default_rng(3)
    table = np.repeat(rng.random((1, 20, 1) if axis == 1 else (1, 1, 20)), 20, axis=3 - axis)
    units = named(20)
    partners = derangements(units, 2)
    found = corrected(*scored(table, partners), partners, units, 1.0)
    assert found.constant[0]
    assert found.value[0] == 0
    assert np.isnan([found.low[0], found.high[0]]).all()


@pytest.mark.parametrize("by_photograph", [True, False])
def test_the_baseline_of_variants_is_that_of_other_photographs(by_photograph):
    """Four variants each of 30 photographs, named in either order: chance is right to 0.03."""
    rng = np.random.default_rng(4)
    photograph = np.arange(120) // 4 if by_photograph else np.arange(120) % 30
    same = photograph[:, None] == photograph
    noise = 0.05 * rng.normal(size=(1, 120, 120))
    table = np.where(same, 0.8, 0.1) + noise
    units = named(120, photograph)
    partners = derangements(units, 4)
    found = corrected(*scored(table, partners), partners, units, 1.0)
    assert found.baseline[0] == pytest.approx(table[0][~same].mean(), abs=0.01)
    assert found.value[0] == pytest.approx((0.8 - 0.1) / 0.9, abs=0.03)


# -- Discriminability ---------------------------------------------------------------------------------------


def test_own_partners_are_counted_image_by_image():
    matched = np.array([[3.0, 1.0, 2.0, np.nan]])
    mismatched = np.array([[[1.0, 1.0, 4.0, 0.0]]])
    found = discriminability(matched, mismatched, np.array([[1, 0, 3, 2]]), named(4), similarity=True)
    assert found.of_pairs.tolist() == [0.5]  # a win, a tie, a loss
    assert found.units == 3
    reverse = discriminability(-matched, -mismatched, np.array([[1, 0, 3, 2]]), named(4), similarity=False)
    assert reverse.of_pairs.tolist() == [0.5]


def test_pairs_are_averaged_and_never_pooled():
    """Two pairs on far apart scales, each telling all of its images apart."""
    rng = np.random.default_rng(0)
    table = rng.random((2, 30, 30)) * [[[1]], [[1000]]]
    table[:, np.arange(30), np.arange(30)] += [[1], [1000]]
    partners = derangements(named(30), 4)
    found = discriminability(*scored(table, partners), partners, named(30), similarity=True)
    assert found.value == found.low == found.high == 1
    assert np.isnan(
        discriminability(
            np.full((2, 30), np.nan), np.full((4, 2, 30), np.nan), partners, named(30), similarity=True
        ).value
    )
