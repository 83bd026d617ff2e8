import numpy as np
import pytest
from scipy import stats

from salzarr.bootstrap import (
    INTERVALS,
    Medians,
    SmallSampleWarning,
    intervals,
    resampled_means,
    resamples,
)
from salzarr.statistics.summary import summarize


def by_name(found):
    return dict(zip(INTERVALS, found, strict=True))


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


def test_means_and_medians_of_resamples_are_numpys():
    rng = np.random.default_rng(0)
    for images in (1, 2, 5, 33, 400):
        values = 1e6 + rng.normal(size=(5, images)).round(1)
        values[1, : images // 2] = np.nan
        values[2] = np.nan
        values[3] = 0.1
        weights = drawn(images, 25, 1)
        means, medians = resampled_means(values, weights), Medians(values).resampled(weights)
        for repeat, weight in enumerate(weights.astype(int)):
            for row, of_row in enumerate(values):
                sample = np.repeat(of_row, weight)
                sample = sample[~np.isnan(sample)]
                if len(sample):
                    assert means[repeat, row] == pytest.approx(sample.mean(), rel=1e-12)
                    assert medians[repeat, row] == np.median(sample)
                else:
                    assert np.isnan(means[repeat, row])
                    assert np.isnan(medians[repeat, row])
        assert (means[:, 3] == 0.1).all()


def test_median_far_from_the_middle_is_still_found():
    values = np.arange(1000.0)[None]
    weights = np.zeros((2, 1000))
    weights[0, :3] = [500, 499, 1]
    weights[1, -1] = 1000
    np.testing.assert_array_equal(Medians(values).resampled(weights), [[0.5], [999.0]])


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_agrees_with_scipy(method):
    values = np.random.default_rng(1).gamma(1.5, size=60)
    scipys = {"bca": "BCa", "percentile": "percentile"}[method]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=60_000, method=scipys, random_state=2, batch=2000
    )
    found = by_name(intervals(values[None], repeats=60_000, method=method, seed=5))
    low, high = expected.confidence_interval
    assert found["mean_low"][0] == pytest.approx(low, abs=0.02 * (high - low))
    assert found["mean_high"][0] == pytest.approx(high, abs=0.02 * (high - low))


def test_bca_and_percentile_are_scipys_on_the_same_resamples():
    values = np.random.default_rng(6).gamma(1.0, size=51)
    weights = drawn(51, 999, seed=9)

    class Rng(np.random.Generator):
        def integers(self, low, high, size, **kwargs):
            return np.array([next(rows) for _ in range(size[0])])

    for statistic in (np.mean, np.median):
        rows = iter(np.array([np.repeat(np.arange(51), w) for w in weights.astype(int)]))
        expected = stats.bootstrap(
            (values,), statistic, n_resamples=999, method="BCa", random_state=Rng(np.random.PCG64())
        ).confidence_interval
        found = by_name(intervals(values[None], repeats=999, median_method="bca", seed=9))
        name = statistic.__name__
        assert found[f"{name}_low"][0] == pytest.approx(expected.low, rel=1e-9)
        assert found[f"{name}_high"][0] == pytest.approx(expected.high, rel=1e-9)


def test_the_same_resample_serves_all_rows():
    values = np.random.default_rng(0).normal(size=(1, 50))
    found = by_name(intervals(np.concatenate([values, values + 3, 2 * values]), repeats=400))
    for name in ("mean_low", "mean_high", "median_low", "median_high"):
        assert found[name][1] == pytest.approx(found[name][0] + 3)
        assert found[name][2] == pytest.approx(2 * found[name][0])


def test_gaps_are_left_out_and_constants_are_points():
    rng = np.random.default_rng(2)
    values = np.full((4, 60), np.nan)
    values[0, ::2] = rng.normal(size=30)
    values[1] = 0.1
    values[2, 7] = 5.0
    found = by_name(intervals(values, repeats=500))
    assert found["mean_low"][0] < np.nanmean(values[0]) < found["mean_high"][0]
    assert [found[name][1] for name in INTERVALS] == [0.1, 0.1, pytest.approx(0, abs=1e-12), 0.1, 0.1]
    for name in INTERVALS:  # one value, and none
        assert np.isnan(found[name][2:]).all()


def test_few_images_are_warned_of(make_scores):
    with pytest.warns(SmallSampleWarning, match="over 11 images"):
        summarize(make_scores(images=11), bootstrap=10)
    summarize(make_scores(images=12), bootstrap=10)


def test_seed_decides(scores):
    first, again = summarize(scores, bootstrap=50, seed=1), summarize(scores, bootstrap=50, seed=1)
    assert first.identical(again)
    assert not first.equals(summarize(scores, bootstrap=50, seed=2))


# -- Coverage -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize(
    ("law", "mean", "median"),
    [
        (stats.norm(), 0.0, 0.0),
        (stats.gamma(4), 4.0, float(stats.gamma(4).median())),  # a skewness of 1
    ],
    ids=["normal", "skewed"],
)
def test_intervals_reach_nominal_coverage(law, mean, median, method):
    """95 % ± 1 point at n = 200 over 5,000 samples; each is a row of its own resamples."""
    rng = np.random.default_rng(20)
    hits = {"mean": [], "median": []}
    for seed in range(100):
        values = law.rvs((50, 200), random_state=rng)
        found = by_name(intervals(values, repeats=2000, method=method, seed=seed))
        for name, truth in (("mean", mean), ("median", median)):
            hits[name].append((found[f"{name}_low"] <= truth) & (truth <= found[f"{name}_high"]))
    for name, hit in hits.items():
        assert np.mean(hit) == pytest.approx(0.95, abs=0.01), name
        print(name, method, np.mean(hit))
