import numpy as np
import pytest
from scipy import stats

from salzarr.errors import BudgetError, UsageError
from salzarr.scores.labels import units_of
from salzarr.statistics.closeness import closer, comparisons
from salzarr.statistics.rows import ScoreReader


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
    least = 2 * 8 * 20 * (30 + 4 * 30)  # the sums of a directed metric
    few = closer(ScoreReader(scores.chunk({"image": 8}), least), repeats=99)
    for name in whole.columns.drop("p_all"):
        np.testing.assert_array_equal(few[name], whole[name], err_msg=name)
    assert few["p_all"].isna().all()  # it would take the sums of all metrics at once
    with pytest.raises(BudgetError, match="name the models to be tested"):
        closer(ScoreReader(scores, least - 1), repeats=99)


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
    assert row["p_permutation"] == row["p_family"] == row["p_wilcoxon"] == 1
    assert row["probability"] == 0.5


# -- Units, families and margins ----------------------------------------------------------------------------


def test_images_of_one_unit_count_once(make_scores):
    scores = make_scores(models=4, images=12)
    copied = scores.isel(image=np.repeat(np.arange(12), 10))
    copied = copied.assign_coords(
        photo=("image", copied.image.values), image=[f"{i:03d}" for i in range(120)]
    )
    alone, units = closer(scores), closer(copied, units=units_of(copied, "photo"))
    assert (units["units"] == 12).all()
    assert (units["n"] == 120).all()
    for name in ("difference", "probability", "d_z", "p_permutation", "p_family", "p_all", "p_wilcoxon"):
        np.testing.assert_allclose(units[name], alone[name], rtol=1e-9, err_msg=name)
    assert (closer(copied)["p_permutation"] <= alone["p_permutation"]).all()


def test_families_are_metrics_and_all_is_all(make_scores):
    table = closer(make_scores(models=4, images=25, seed=3), repeats=499)
    for _, rows in table.groupby("metric"):
        assert (rows["p_family"] >= rows["p_permutation"]).all()
        assert (rows["p_all"] >= rows["p_family"]).all()
    alone = closer(make_scores(models=4, images=25, seed=3), metrics=["mse"], repeats=499)
    np.testing.assert_array_equal(alone["p_family"], table[table.metric == "mse"]["p_family"])
    np.testing.assert_array_equal(alone["p_all"], alone["p_family"])


def test_the_smallest_p_says_what_few_units_cannot_show(make_scores):
    table = closer(make_scores(models=3, images=5))
    assert (table["p_smallest"] == 0.0625).all()
    assert (table["p_permutation"] >= 0.0625).all()


def test_a_margin_tests_whether_models_are_alike(make_scores):
    scores = make_scores(models=3, images=40)
    table = closer(scores, margins={"mse": 0.5, "ssim:window=11": 0.001}, repeats=999).set_index("metric")
    assert table.loc["kl", "p_equivalent"].isna().all()
    assert (table.loc["ssim_window_11", "margin"] == 0.001).all()
    near = table.loc["mse"].query("model == 'm1'")  # m0 and m2 are as far from it
    assert near["p_equivalent"].item() < 0.05
    assert table.loc["mse"].query("model == 'm0'")["p_equivalent"].item() > 0.5
    with pytest.raises(UsageError, match="above 0"):
        closer(scores, margins={"mse": 0})


def test_rows_are_counted_before_they_are_tested(make_scores):
    assert len(closer(make_scores(models=5), metrics=["mse"], repeats=9)) == comparisons(5)
    assert len(closer(make_scores(models=5), metrics=["mse"], models=["m1"], repeats=9)) == comparisons(5, 1)
