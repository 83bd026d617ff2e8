import numpy as np
import pytest

from salzarr.bootstrap import Medians, SmallSampleWarning, resamples
from salzarr.statistics.summary import summarize


def drawn(images, repeats, seed):
    return np.concatenate(list(resamples(images, repeats, seed)))


@pytest.mark.parametrize("images", [7, 40, 3001])
def test_a_resample_draws_as_many_images_whatever_the_batches(monkeypatch, images):
    weights = drawn(images, 30, seed=3)
    assert (weights.sum(axis=1) == images).all()
    monkeypatch.setattr("salzarr.bootstrap._BATCH_BYTES", 8 * images * 7)
    assert len(list(resamples(images, 30, 3))) == 5
    np.testing.assert_array_equal(weights, drawn(images, 30, seed=3))
    assert (weights != drawn(images, 30, seed=4)).any()


def test_medians_of_resamples_are_numpys():
    rng = np.random.default_rng(0)
    for images in (1, 2, 5, 33, 400):
        values = 1e6 + rng.normal(size=(5, images)).round(1)
        values[1, : images // 2] = np.nan
        values[2] = np.nan
        values[3] = 0.1
        weights = drawn(images, 25, 1)
        medians = Medians(values).resampled(weights)
        for repeat, weight in enumerate(weights.astype(int)):
            for row, of_row in enumerate(values):
                sample = np.repeat(of_row, weight)
                sample = sample[~np.isnan(sample)]
                if len(sample):
                    assert medians[repeat, row] == np.median(sample)
                else:
                    assert np.isnan(medians[repeat, row])


def test_median_far_from_the_middle_is_still_found():
    values = np.arange(1000.0)[None]
    weights = np.zeros((2, 1000))
    weights[0, :3] = [500, 499, 1]
    weights[1, -1] = 1000
    np.testing.assert_array_equal(Medians(values).resampled(weights), [[0.5], [999.0]])


def test_few_images_are_warned_of(make_scores):
    with pytest.warns(SmallSampleWarning, match="over 11 images"):
        summarize(make_scores(images=11), bootstrap=10)
    summarize(make_scores(images=12), bootstrap=10)


def test_seed_decides(scores):
    first, again = summarize(scores, bootstrap=50, seed=1), summarize(scores, bootstrap=50, seed=1)
    assert first.identical(again)
    assert not first.equals(summarize(scores, bootstrap=50, seed=2))
