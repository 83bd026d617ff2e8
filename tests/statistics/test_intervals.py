import numpy as np
import pytest
from scipy import stats

from salzarr.bootstrap import resamples
from salzarr.statistics.intervals import expanded, of_means, of_medians
from salzarr.units import Units


def named(images, of=None, **options):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of], **options)


def test_the_expanded_level_is_students():
    for n in (5, 12, 50):
        z = stats.norm.ppf(expanded(n, 0.95)) * np.sqrt((n - 1) / n)
        assert z == pytest.approx(stats.t.ppf(0.025, n - 1))
    assert expanded(100_000, 0.95) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_large_samples_agree_with_scipy(method):
    values = np.random.default_rng(1).gamma(1.5, size=200)
    scipys = {"bca": "BCa", "percentile": "percentile"}[method]
    level = 1 - 2 * float(expanded(200, 0.95))
    low, high = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=30_000,
        confidence_level=level,
        method=scipys,
        random_state=2,
        batch=2000,
    ).confidence_interval
    found = of_means(values[None], named(200), repeats=30_000, method=method, seed=5)
    assert found.low[0] == pytest.approx(low, abs=0.02 * (high - low))
    assert found.high[0] == pytest.approx(high, abs=0.02 * (high - low))


def test_a_studentized_interval_is_bootstrap_t():
    values = np.random.default_rng(3).gamma(1.5, size=15)
    t = []
    for weight in np.concatenate(list(resamples(15, 500, 7))).astype(int):
        sample = np.repeat(values, weight)
        t.append((sample.mean() - values.mean()) / sample.std())
    low, high = values.mean() - values.std() * np.quantile(t, [0.975, 0.025])
    found = of_means(values[None], named(15), repeats=500, seed=7)
    assert found.method[0] == "studentized"
    assert found.low[0] == pytest.approx(low, rel=1e-9)
    assert found.high[0] == pytest.approx(min(high, values.max()), rel=1e-9)


def test_units_are_drawn_together():
    """Copies of each image say nothing new: the interval is that of the images alone."""
    values = np.random.default_rng(0).normal(size=(3, 30))
    alone = of_means(values, named(30))
    copied = of_means(np.repeat(values, 10, axis=1), named(300, np.repeat(np.arange(30), 10)))
    np.testing.assert_allclose(copied.low, alone.low)
    np.testing.assert_allclose(copied.high, alone.high)
    assert copied.units.tolist() == [30] * 3
    pooled = of_means(np.repeat(values, 10, axis=1), named(300))
    assert ((pooled.high - pooled.low) < 0.5 * (alone.high - alone.low)).all()


def test_means_of_units_weigh_the_same_if_wanted():
    of = np.repeat(np.arange(60), np.arange(60) % 5 + 1)
    values = np.random.default_rng(0).normal(size=(1, len(of))) + of / 10
    by_image, by_unit = of_means(values, named(len(of), of)), of_means(values, named(len(of), of, equal=True))
    assert by_image.method[0] == "percentile"
    assert by_unit.method[0] == "bca"
    assert by_image.low[0] < values.mean() < by_image.high[0]
    each = np.array([values[0, of == unit].mean() for unit in range(60)])
    alone = of_means(each[None], named(60))
    assert by_unit.low[0] == pytest.approx(alone.low[0])


def test_gaps_constants_and_too_little():
    values = np.full((5, 30), np.nan)
    values[0, ::2] = np.random.default_rng(2).normal(size=15)
    values[1] = 0.1
    values[2, 7] = 5.0
    values[4] = 1e9 + np.arange(30) % 2
    found = of_means(values, named(30), repeats=500)
    assert found.low[0] < np.nanmean(values[0]) < found.high[0]
    assert found.low[1] == found.high[1] == 0.1
    assert np.isnan(found.low[2:4]).all()
    assert found.units.tolist() == [15, 30, 1, 0, 30]
    assert 0.2 < found.low[4] - 1e9 < 0.5 < found.high[4] - 1e9 < 0.8


def test_too_few_different_values_are_not_studentized():
    values = np.array([[0.0] * 11 + [1.0]])
    found = of_means(values, named(12))
    assert found.method[0] == "bca"
    assert 0 <= found.low[0] < 1 / 12 < found.high[0] < 0.5


def test_intervals_do_not_depend_on_batches_or_on_the_order_of_images(monkeypatch):
    rng = np.random.default_rng(5)
    values, order = rng.normal(size=(2, 33)), rng.permutation(33)
    whole = of_means(values, named(33), repeats=100)
    moved = of_means(values[:, order], Units.by([f"{i:05d}" for i in order]), repeats=100)
    np.testing.assert_allclose(moved.low, whole.low)
    monkeypatch.setattr("salzarr.bootstrap._BATCH_BYTES", 8 * 33 * 7)
    np.testing.assert_allclose(of_means(values, named(33), repeats=100).low, whole.low, rtol=1e-12)


# -- Medians ------------------------------------------------------------------------------------------------


def test_medians_have_intervals_of_order_statistics():
    values = np.random.default_rng(0).normal(size=(2, 40)).round(1)
    values[1, 12:] = np.nan
    found = of_medians(values, named(40))
    for row, n, k in ((0, 40, 14), (1, 12, 3)):
        ordered = np.sort(values[row])[:n]
        assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95 > 1 - 2 * stats.binom.cdf(k, n, 0.5)
        assert ordered[k - 1] <= found.low[row] <= ordered[k]
        assert ordered[n - k - 1] <= found.high[row] <= ordered[n - k]
    assert np.isnan(of_medians(values[:, :5], named(5)).low).all()  # 93.75 % is all that five give
    assert of_medians(np.full((1, 9), 0.1), named(9)).high[0] == 0.1


def test_medians_over_units_are_resampled():
    each = np.random.default_rng(1).normal(size=(1, 30))
    copied = of_medians(np.repeat(each, 5, axis=1), named(150, np.repeat(np.arange(30), 5)))
    alone = of_medians(each, named(30))
    assert copied.units[0] == 30
    assert copied.high[0] - copied.low[0] == pytest.approx(alone.high[0] - alone.low[0], rel=0.5)
    pooled = of_medians(np.repeat(each, 5, axis=1), named(150))
    assert pooled.high[0] - pooled.low[0] < 0.7 * (alone.high[0] - alone.low[0])
