import numpy as np
import pytest
from scipy import stats

from salzarr.errors import UsageError
from salzarr.statistics.inference import closer, sign_flip_test, split_half, wilcoxon_test
from salzarr.statistics.rows import ScoreReader

ZERO = np.array([[0, 1]])


def against_zero(differences, **options):
    """Test rows against 0."""
    values = np.vstack([differences, np.zeros((1, differences.shape[1]))])
    rows = np.arange(len(differences))
    return sign_flip_test(values, np.stack([rows, np.full_like(rows, len(differences))], axis=1), **options)


# -- Sign flips ---------------------------------------------------------------------------------------------


def test_few_images_are_tested_exactly_as_scipy_does():
    rng = np.random.default_rng(0)
    differences = rng.normal(0.4, 1, (6, 9)).round(1)
    found = against_zero(differences, repeats=600)
    for row, p in zip(differences, found, strict=True):
        expected = stats.permutation_test(
            (row,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_images_are_tested_as_scipy_does():
    differences = np.random.default_rng(1).normal(0.15, 1, (3, 80))
    found = against_zero(differences, repeats=20_000)
    for row, p in zip(differences, found, strict=True):
        expected = stats.permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=20_000, vectorized=True, random_state=2
        ).pvalue
        assert p == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 10_000) + 1e-3)


def test_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(2)
    for images, gaps in ((60, 0.0), (60, 0.2), (11, 0.0)):
        values = rng.standard_t(3, (2000, images)) + rng.normal(size=images)
        values[rng.random(values.shape) < gaps] = np.nan
        contrasts = np.arange(2000).reshape(-1, 2)
        p = sign_flip_test(values, contrasts, repeats=499 if images > 20 else 4000)
        assert stats.kstest(p, "uniform").pvalue > 1e-3
        for level in (0.01, 0.05, 0.2):
            assert np.mean(p <= level) <= level + 3.5 * np.sqrt(level * (1 - level) / 1000)


def test_gaps_take_the_images_that_both_have():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 50))
    values[0, :10] = values[1, :10] = np.nan  # the same gaps
    values[2, 5:20] = np.nan
    contrasts = np.array([[0, 1], [0, 2], [2, 3], [1, 3]])
    found = sign_flip_test(values, contrasts, repeats=3000, seed=4)
    for (i, j), p in zip(contrasts, found, strict=True):
        filled = np.nan_to_num(values[i] - values[j])[None]
        assert p == against_zero(filled, repeats=3000, seed=4)[0]
    values[3] = np.nan
    assert np.isnan(sign_flip_test(values, contrasts, repeats=99)[2:]).all()


def test_ties_count_and_zero_differences_have_p_1():
    values = 0.1 + np.zeros((3, 40))
    values[2] += np.where(np.arange(40) % 2, 0.3, -0.3)
    p = sign_flip_test(values, np.array([[0, 1], [0, 2]]), repeats=500)
    assert p.tolist() == [1.0, 1.0]


def test_p_is_never_zero_and_the_seed_and_names_decide():
    rng = np.random.default_rng(5)
    values = np.stack([np.zeros(60), np.ones(60), rng.normal(0.2, 1, 60)])
    contrasts = np.array([[0, 1], [0, 2]])
    found = sign_flip_test(values, contrasts, repeats=999, seed=1)
    assert found[0] == 1 / 1000
    assert (found == sign_flip_test(values, contrasts, repeats=999, seed=1)).all()
    assert found[1] != sign_flip_test(values, contrasts, repeats=999, seed=2)[1]
    moved = rng.permutation(60)
    order = np.argsort(moved)
    shuffled = sign_flip_test(values[:, moved], contrasts, repeats=999, seed=1, order=order)
    np.testing.assert_array_equal(shuffled, found)


def test_batches_do_not_matter(monkeypatch):
    values = np.random.default_rng(6).normal(0.1, 1, (6, 70))
    values[1, 3] = np.nan
    contrasts = np.array([[0, 1], [2, 3], [4, 5], [1, 5]])
    whole = sign_flip_test(values, contrasts, repeats=300)
    monkeypatch.setattr("salzarr.statistics.inference._BATCH_BYTES", 8 * 70 * 7)
    np.testing.assert_array_equal(sign_flip_test(values, contrasts, repeats=300), whole)


# -- Wilcoxon -----------------------------------------------------------------------------------------------


def test_wilcoxon_is_scipys():
    rng = np.random.default_rng(7)
    differences = rng.normal(0.3, 1, (9, 120))
    differences[0, 35:] = differences[1, 29:] = differences[2, 8:] = differences[3, 50:] = np.nan  # exact
    differences[4, 60:] = np.nan  # too many to be exact
    differences[5] = differences[5].round()  # ties and zeros
    differences[6, 20:] = np.nan
    differences[6] = differences[6].round(1)
    differences[7] = 0
    differences[8] = np.nan
    found = wilcoxon_test(differences)
    for row, p in zip(differences[:7], found, strict=False):
        assert p == pytest.approx(stats.wilcoxon(row[~np.isnan(row)]).pvalue, rel=1e-12)
    assert found[7] == 1
    assert np.isnan(found[8])
    alone = [wilcoxon_test(row[None])[0] for row in differences]
    np.testing.assert_array_equal(found, alone)


# -- Which is closer ----------------------------------------------------------------------------------------


def test_the_nearer_model_is_found(make_scores):
    table = closer(make_scores(models=5, images=40), repeats=999)
    assert len(table) == 3 * 5 * 6
    row = table.query("metric == 'mse' and model == 'm0' and other_1 == 'm1' and other_2 == 'm4'").iloc[0]
    assert row["closer"] == "m1"
    assert row["difference"] == pytest.approx(3, abs=0.3)
    assert row["p_permutation"] == 1 / 1000
    assert row["q_permutation"] < 0.05
    assert row["n"] == 40
    place = {f"m{i}": i for i in range(5)}
    sure = table[(table.q_permutation < 0.01) & (table.q_wilcoxon < 0.01)]
    for _, r in sure.iterrows():
        far = r["other_1"] if r["closer"] == r["other_2"] else r["other_2"]
        assert abs(place[r["closer"]] - place[r["model"]]) <= abs(place[far] - place[r["model"]])


def test_signs_follow_the_metric_and_the_direction(make_scores):
    scores = make_scores(models=3, images=30)
    table = closer(scores, repeats=99).set_index(["metric", "model"])
    assert table.loc[("ssim_window_11", "m0"), "difference"] == pytest.approx(
        (scores.ssim_window_11[0] - scores.ssim_window_11[1]).mean().item()
    )
    # of m1: f(m1, m0) is b_to_a of pair (m0, m1); f(m1, m2) is a_to_b of pair (m1, m2)
    expected = scores.kl_a_to_b[2].mean() - scores.kl_b_to_a[0].mean()
    assert table.loc[("kl", "m1"), "difference"] == pytest.approx(expected.item())


def test_false_discoveries_are_controlled_over_the_whole_table(scores):
    table = closer(scores, repeats=199)
    for test in ("permutation", "wilcoxon"):
        np.testing.assert_allclose(
            table[f"q_{test}"], stats.false_discovery_control(table[f"p_{test}"].to_numpy())
        )


def test_rows_do_not_depend_on_memory_or_lazy_scores(make_scores):
    scores = make_scores(models=5, missing=0.1)
    whole = closer(scores, repeats=99)
    few = closer(ScoreReader(scores.chunk({"image": 8}), 64 * 30 * 5), repeats=99)
    assert whole.equals(few) or np.allclose(
        whole.select_dtypes("number"), few.select_dtypes("number"), rtol=1e-12
    )


def test_one_question_alone(scores):
    table = closer(scores, metrics=["ssim:window=11"], models=["m2"], repeats=99)
    assert set(table.metric) == {"ssim_window_11"}
    assert set(table.model) == {"m2"}
    assert len(table) == 3
    with pytest.raises(UsageError, match="no model 'm9'"):
        closer(scores, models=["m9"])


def test_against_one_reference(scores):
    table = closer(scores.isel(pair=[0, 1, 3]), metrics=["mse"], repeats=99)
    assert set(table.model) == {"m0"}
    assert len(table) == 3


@pytest.mark.parametrize(("models", "images"), [(2, 30), (1, 3), (3, 0)])
def test_nothing_to_compare_is_an_empty_table(make_scores, models, images):
    table = closer(make_scores(models, images), repeats=9)
    assert len(table) == 0
    assert "q_wilcoxon" in table


def test_equal_models_are_not_told_apart(make_scores):
    scores = make_scores(models=3)
    scores.mse[1] = scores.mse[0]  # m2 is to m0 as m1 is
    row = closer(scores, metrics=["mse"], models=["m0"], repeats=99).iloc[0]
    assert row["closer"] == ""
    assert row["p_permutation"] == row["p_wilcoxon"] == 1


# -- Reliability --------------------------------------------------------------------------------------------


def test_reliability_is_that_of_the_full_set(make_scores):
    """Pairs with means of variance 1 and images with noise of variance s²: reliability 1 / (1 + s² / n)."""
    rng = np.random.default_rng(0)
    scores = make_scores(models=40, images=50)
    truth = rng.normal(size=(scores.sizes["pair"], 1))
    scores["mse"] = scores.mse.copy(data=truth + 5 * rng.normal(size=scores.mse.shape))
    found = split_half(scores[["mse", "mse_reason"]], repeats=200)
    assert found.reliability.item() == pytest.approx(1 / (1 + 25 / 50), abs=0.05)
    assert found.low < found.reliability < found.high


def test_reliability_of_noise_is_zero_and_of_constants_one(make_scores):
    scores = make_scores(models=30, images=40, missing=0.1)
    rng = np.random.default_rng(0)
    scores.mse[:] = rng.normal(size=scores.mse.shape)
    scores.ssim_window_11[:] = rng.normal(size=(scores.sizes["pair"], 1))
    found = split_half(scores, repeats=200)
    assert abs(found.reliability[0]) < 0.25
    assert found.reliability[1] == pytest.approx(1)
    assert found.identical(split_half(scores, repeats=200))


@pytest.mark.parametrize(("models", "images"), [(2, 30), (5, 1)])
def test_reliability_of_too_little_is_not_claimed(make_scores, models, images):
    assert np.isnan(split_half(make_scores(models, images), repeats=10).reliability).all()
