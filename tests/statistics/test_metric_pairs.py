import numpy as np
import pytest

from salzarr.scores.labels import units_of
from salzarr.statistics.group_differences import compare_groups
from salzarr.statistics.limits import matrix_ceilings
from salzarr.statistics.metric_pairs import changed_conclusions, metric_agreement
from salzarr.statistics.summary import summarize
from salzarr.statistics.two_groups import difference
from salzarr.units import Units


def copies(scores, times):
    """Repeat each image, as variants of one photograph."""
    images = scores.sizes["image"]
    copied = scores.isel(image=np.repeat(np.arange(images), times))
    return copied.assign_coords(
        photo=("image", copied.image.values), image=[f"{i:04d}" for i in range(images * times)]
    )


# -- Agreement of metrics -----------------------------------------------------------------------------------


def test_agreement_has_an_interval_over_units(make_scores):
    rng = np.random.default_rng(0)
    scores = make_scores(models=6, images=40)
    scores.mse[:] = rng.normal(size=(15, 1)) + 3 * rng.normal(size=(15, 40))
    scores["ssim_window_11"] = scores.ssim_window_11.copy(data=-scores.mse + rng.normal(size=(15, 40)))
    found = metric_agreement(scores, summarize(scores), bootstrap=300, repeats=99).sel(
        metric="mse", metric_2="ssim_window_11"
    )
    assert found.low < found.spearman < found.high
    assert found.n == 15
    assert found.p_smallest == pytest.approx(1 / 720)
    copied = copies(scores, 5)
    units = metric_agreement(copied, summarize(copied), units=units_of(copied, "photo"), bootstrap=300)
    same = units.sel(metric="mse", metric_2="ssim_window_11")
    assert same.low.item() == pytest.approx(found.low.item())
    pooled = metric_agreement(copied, summarize(copied), bootstrap=300)
    assert pooled.low.sel(metric="mse", metric_2="ssim_window_11") > same.low


def test_directed_metrics_are_compared_by_the_mean_of_both_ways(make_scores):
    scores = make_scores(models=6, images=60)
    found = metric_agreement(scores, summarize(scores), bootstrap=200, repeats=9)
    assert (found.low <= found.spearman + 1e-9).where(found.low.notnull(), other=True).all()
    assert found.low.sel(metric="kl", metric_2="mse") > 0.5


def test_three_models_cannot_show_anything(make_scores):
    scores = make_scores(models=3, images=20)
    found = metric_agreement(scores, summarize(scores), bootstrap=50)
    assert (found.p_smallest > 0.05).all()
    assert not (found.p <= 0.05).any()


# -- Conclusions --------------------------------------------------------------------------------------------


def test_changed_conclusions_are_named_with_their_pairs(make_scores):
    rng = np.random.default_rng(1)
    scores = make_scores(models=3, images=50)  # pairs (m0, m1), (m0, m2), (m1, m2)
    scores.mse[:] = rng.normal([[0], [5], [0.01]], 1, (3, 50))
    scores.ssim_window_11[:] = rng.normal([[0], [5], [5.01]], 1, (3, 50))  # more is more alike here
    rows = changed_conclusions(scores[["mse", "mse_reason", "ssim_window_11", "ssim_window_11_reason"]])
    row = rows.iloc[0]
    assert (row["certain"], row["reversed"]) == (1, 1)
    assert row[["model_a", "model_b", "other_a", "other_b"]].tolist() == ["m0", "m2", "m0", "m1"]
    assert changed_conclusions(make_scores(models=4)).reversed.sum() == 0


# -- Groups and ceilings ------------------------------------------------------------------------------------


def test_groups_differ_by_pair_and_metric(make_scores):
    scores = make_scores(models=3, images=40)
    right = np.arange(40) % 2 == 0
    scores.mse[:, right] += 1
    scores = scores.assign_coords(right=("image", right))
    table = compare_groups(scores, "right", repeats=200, permutations=199)
    assert len(table) == 3 + 3 + 6
    first = table.query("metric == 'mse'").iloc[0]
    expected = difference(
        scores.mse.values[:1], ~right, Units.by(scores.image.values.tolist()), repeats=200, permutations=199
    )
    assert (first["group_1"], first["group_2"]) == ("false", "true")
    assert first["difference"] == pytest.approx(expected.value[0])
    assert first["high"] < 0
    assert first["p"] == expected.p[0] == 1 / 200
    assert (table["q"] >= table["p"]).all()


def test_a_difference_takes_two_groups(make_scores):
    scores = make_scores().assign_coords(kind=("image", np.arange(30) % 3))
    with pytest.raises(ValueError, match="'kind' has 3: 0, 1, 2"):
        compare_groups(scores, "kind")


def test_ceilings_are_by_metric(make_scores):
    table = matrix_ceilings(make_scores(models=6, images=30), repeats=200)
    assert table.metric.tolist() == ["mse", "ssim_window_11", "kl"]
    assert ((table.lower_low < table.lower) & (table.lower < table.upper)).all()
    assert (table.lower > 0.9).all()
    copied = copies(make_scores(models=6, images=10), 4)
    units = matrix_ceilings(copied, units=units_of(copied, "photo"), repeats=50)
    assert (units.units == 10).all()
    assert (units.lower < matrix_ceilings(copied, repeats=50).lower).all()
