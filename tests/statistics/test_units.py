import numpy as np
import pytest

from salzarr.errors import UsageError
from salzarr.scores.derangements import derangements
from salzarr.units import Units


def named(images, of=None, **options):
    """Make units of images that are named in order; of says which unit each is of."""
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of], **options)


def test_sums_and_sizes_give_the_mean_over_images_or_over_units():
    values = np.array([[1.0, 2.0, 3.0, 10.0], [np.nan, 2.0, np.nan, 10.0], [np.nan] * 4])
    of = [0, 0, 0, 1]
    assert named(4, of).mean(values)[:2].tolist() == [4.0, 6.0]
    assert named(4, of, equal=True).mean(values)[:2].tolist() == [6.0, 6.0]
    assert np.isnan(named(4, of).mean(values)[2])
    assert named(4, of).means(values)[1].tolist() == [2.0, 10.0]


def test_units_follow_their_labels_and_not_the_order_of_images():
    rng = np.random.default_rng(0)
    of, values = rng.integers(0, 7, 40), rng.normal(size=(3, 40))
    order = rng.permutation(40)
    sums, sizes = named(40, of).totals(values)
    names = [f"{i:05d}" for i in order]
    moved = Units.by(names, [f"u{of[i]:05d}" for i in order])
    np.testing.assert_allclose(moved.totals(values[:, order])[0], sums)
    np.testing.assert_array_equal(moved.totals(values[:, order])[1], sizes)
    alone = Units.by(names)
    np.testing.assert_array_equal(alone.totals(values[:, order])[0], values)


def test_one_unit_is_refused_and_a_large_one_named():
    with pytest.raises(UsageError, match="all images are of 'cat'"):
        Units.by(["a", "b"], ["cat", "cat"])
    with pytest.raises(UsageError, match="1 units were named for 2 images"):
        Units.by(["a", "b"], ["cat"])
    with pytest.raises(UsageError, match="same name"):
        Units.by(["a", "a"])
    assert named(5, [0, 0, 0, 1, 2]).dominant == "u00000"
    assert named(4, [0, 0, 1, 2]).dominant is None
    assert named(1).dominant is None


def test_chosen_images_keep_their_units():
    units = named(5, [0, 1, 1, 2, 2]).choose(np.array([4, 1, 2]))
    assert units.labels == ("u00001", "u00002")
    assert units.of.tolist() == [1, 0, 0]


# -- Partners -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 1, 7, 100])
@pytest.mark.parametrize(
    "of",
    [
        np.arange(60),
        np.arange(60) % 20,  # variants of 20 photographs, named by variant
        np.arange(60) // 3,  # and by photograph
        np.arange(60) // 30,  # two halves
        np.minimum(np.arange(60), 31),  # one unit of 29 among single images
    ],
    ids=["alone", "by variant", "by photograph", "halves", "uneven"],
)
def test_partners_are_permutations_without_the_own_unit(of, chunk):
    units = named(60, of)
    for seed in range(5):
        drawn = derangements(units, 3, chunk=chunk, seed=seed)
        assert (np.sort(drawn, axis=1) == np.arange(60)).all()
        assert (units.of[drawn] != units.of).all()
    assert (drawn == derangements(units, 3, chunk=chunk, seed=4)).all()
    assert (drawn != derangements(units, 3, chunk=chunk, seed=5)).any()


def test_partners_come_from_everywhere_and_no_two_are_drawn_twice():
    counts = np.zeros((12, 12))
    for seed in range(3000):
        counts[np.arange(12), derangements(named(12), seed=seed)[0]] += 1
    apart = counts[~np.eye(12, dtype=bool)]
    assert (np.diag(counts) == 0).all()
    assert abs(apart / (3000 / 11) - 1).max() < 0.25
    every = derangements(named(6), 100)
    assert len(every) == 5
    assert ([np.delete(np.arange(6), i) for i in range(6)] == np.sort(every, axis=0).T).all()


def test_few_chunks_are_read_for_the_partners_of_one():
    partner = derangements(named(1000), chunk=50)[0]
    read = [len(np.unique(partner[start : start + 50] // 50)) for start in range(0, 1000, 50)]
    assert max(read) <= 3
    assert (np.diff(partner[:50]) != 1).mean() > 0.9  # shuffled inside


def test_a_dominant_unit_is_matched_with_all_others():
    units = named(10, [0] * 7 + [1, 2, 3])
    drawn = derangements(units, 2)
    assert (units.of[drawn] != units.of).all()
    assert set(drawn[0, :7]) == {7, 8, 9}


@pytest.mark.parametrize("images", [0, 1])
def test_a_baseline_of_one_image_is_refused(images):
    with pytest.raises(UsageError, match=f"at least two images, and there is {images}"):
        derangements(named(images))
