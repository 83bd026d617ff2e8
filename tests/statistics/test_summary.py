import csv

import dask
import numpy as np
import pandas as pd
import pytest

from salzarr.descriptive import DESCRIBE_BYTES
from salzarr.errors import BudgetError, InputError, UsageError
from salzarr.schema import Reason
from salzarr.statistics.rows import ScoreReader
from salzarr.statistics.summary import summarize, to_frame, to_matrix, write_csv

HOSTILE = ["=1+1", "+cmd", "-x", "@sum", "\ttab", "\rcr", "'quoted", "'=both"]
AWKWARD = ["a,b", 'q"q', "new\nline", "NA", "", "1"]


def test_agrees_with_pandas(scores):
    summary = summarize(scores)
    for slug in ("mse", "ssim_window_11"):
        expected = pd.DataFrame(scores[slug].values.T).describe()
        for statistic, row in {"n": "count", "q25": "25%", "median": "50%", "q75": "75%"}.items():
            np.testing.assert_allclose(summary[slug].sel(statistic=statistic), expected.loc[row], rtol=1e-13)
        for statistic in ("mean", "std", "min", "max"):
            np.testing.assert_allclose(
                summary[slug].sel(statistic=statistic), expected.loc[statistic], rtol=1e-13
            )
        se = pd.DataFrame(scores[slug].values.T).sem()
        np.testing.assert_allclose(summary[slug].sel(statistic="se"), se, rtol=1e-13)


def test_infinite_scores_stay_infinite(scores):
    scores.mse[0, 0] = np.inf
    found = summarize(scores).mse.isel(pair=0)
    assert found.sel(statistic=["mean", "max"]).values.tolist() == [np.inf, np.inf]
    assert np.isfinite(found.sel(statistic=["min", "median", "q75"])).all()


def test_directed_keeps_both(scores):
    summary = summarize(scores)
    assert summary.kl_b_to_a.dims == ("statistic", "pair")
    np.testing.assert_allclose(summary.kl_b_to_a.sel(statistic="mean"), scores.kl_b_to_a.mean("image"))
    matrix = to_matrix(summary, "kl")
    pair = 1  # (0, 2)
    forth, back = (scores[f"kl_{way}"][pair].mean() for way in ("a_to_b", "b_to_a"))
    assert matrix.values[0, 2] == pytest.approx(forth)
    assert matrix.values[2, 0] == pytest.approx(back)
    frame = to_frame(summary).query("metric == 'kl_b_to_a'")
    assert len(frame) == scores.sizes["pair"]
    row = frame.query("model_a == 'm0' and model_b == 'm2'")
    assert row["mean"].item() == pytest.approx(back)


def test_the_matrix_of_an_antisymmetric_metric_changes_its_sign(scores):
    scores.mse.attrs["symmetry"] = "antisymmetric"
    summary = summarize(scores)
    mean, smallest, std = (to_matrix(summary, "mse", name).values for name in ("mean", "min", "std"))
    np.testing.assert_array_equal(mean, -mean.T)
    assert mean[0, 2] == summary.mse.sel(statistic="mean")[1]
    assert smallest[2, 0] == -scores.mse[1].max()
    assert std[2, 0] == std[0, 2]


def test_counts_images_per_reason_and_pair(scores):
    scores.mse_reason[0, :10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    scores.mse_reason[0, 10:] = 0
    scores.mse[0, :10] = np.nan
    scores.mse[0, 10:] = 1.0
    scores.mse[1] = np.nan
    scores.mse_reason[1] = Reason.ZERO_MASS
    summary = summarize(scores)
    assert summary.reason.values.tolist() == [
        "missing",
        "non_finite",
        "constant",
        "zero_mass",
        "negative",
        "failed",
        "identical",
        "overflow",
        "unsigned",
        "empty",
    ]
    assert summary.mse_reason.isel(pair=0).values.tolist() == [1] * 10
    frame = to_frame(summary).query("metric == 'mse'")
    assert frame.iloc[0][["n", "missing", "failed"]].tolist() == [20, 1, 1]
    assert frame.iloc[1][["n", "zero_mass"]].tolist() == [0, 30]
    assert np.isnan(frame.iloc[1]["mean"])
    np.testing.assert_array_equal(
        summary.mse.sel(statistic="n") + summary.mse_reason.sum("reason"), scores.sizes["image"]
    )


def test_matrix_has_the_metrics_own_diagonal(scores):
    summary = summarize(scores)
    by_slug, by_spec = to_matrix(summary, "ssim_window_11"), to_matrix(summary, "ssim:window=11")
    assert by_slug.identical(by_spec)
    assert np.diag(by_slug).tolist() == [1.0] * 4
    assert np.diag(to_matrix(summary, "mse", "median")).tolist() == [0.0] * 4
    assert np.isnan(np.diag(to_matrix(summary, "mse", "n"))).all()
    np.testing.assert_array_equal(by_slug, by_slug.T)
    assert by_slug.sel(model_a="m1", model_b="m3").item() == pytest.approx(
        scores.ssim_window_11.isel(pair=4).mean()  # j-major: (0,1) (0,2) (1,2) (0,3) (1,3)
    )


def test_pairs_against_one_reference_leave_cells_empty(scores):
    matrix = to_matrix(summarize(scores.isel(pair=[0, 1, 3])), "mse")
    assert np.isfinite(matrix.values[0]).all()
    assert np.isnan(matrix.values[1, 2:]).all()


def test_a_pair_without_scores_is_a_missing_cell(scores):
    scores.mse[2] = np.nan
    assert np.isnan(to_matrix(summarize(scores), "mse").values[1, 2])


@pytest.mark.parametrize(("models", "images"), [(1, 5), (2, 0), (2, 1)])
def test_smallest_scores(make_scores, models, images, tmp_path):
    summary = summarize(make_scores(models, images))
    assert to_matrix(summary, "kl").shape == (models, models)
    write_csv(summary, tmp_path / "summary.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "summary.csv"), to_frame(summary), check_dtype=False)


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_statistics_per_group(scores):
    labels = ["right" if i % 3 else "wrong" for i in range(28)] + ["", ""]
    summary = summarize(scores.assign_coords(kind=("image", labels)), group_by="kind", bootstrap=50)
    assert summary.group.values.tolist() == ["right", "wrong"]
    wrong = scores.isel(image=np.flatnonzero(np.arange(28) % 3 == 0))
    alone = summarize(wrong, bootstrap=50)
    for slug in ("mse", "kl_b_to_a", "mse_reason"):
        assert summary[slug].sel(group="wrong", drop=True).identical(alone[slug])
    frame = to_frame(summary)
    assert frame.columns[:2].tolist() == ["metric", "group"]
    assert len(frame) == 2 * len(to_frame(alone))
    with pytest.raises(UsageError, match="choose it first"):
        to_matrix(summary, "mse")
    assert to_matrix(summary.sel(group="wrong"), "mse").identical(to_matrix(alone, "mse"))


def test_a_column_that_is_missing_or_empty_is_refused(scores):
    with pytest.raises(UsageError, match="no labels 'kind', there are none"):
        summarize(scores, group_by="kind")
    with pytest.raises(InputError, match="none of the 30 images has a label 'kind'"):
        summarize(scores.assign_coords(kind=("image", [""] * 30)), group_by="kind")


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_intervals_say_over_how_many_units_and_of_which_kind(make_scores):
    scores = make_scores(models=3, images=60)
    scores.mse[0, 20:] = np.nan
    scores = scores.assign_coords(photo=("image", np.arange(60) // 4), part=("image", np.arange(60) // 57))
    summary = summarize(scores, bootstrap=30)
    assert summary.mse_interval.values.tolist() == ["studentized", "bca", "bca"]
    assert summary.mse.sel(statistic="units").values.tolist() == [20, 60, 60]
    frame = to_frame(summarize(scores, units="photo", bootstrap=30))
    assert frame["units"].tolist()[:3] == [5, 15, 15]
    assert frame["n"].tolist()[:3] == [20, 60, 60]
    assert frame["interval"].tolist()[1:3] == ["studentized"] * 2


def test_dask_and_any_memory_give_the_same(scores):
    expected = summarize(scores, bootstrap=20)
    lazy = scores.chunk({"image": 7})
    one_pair = 2 * (30 * DESCRIBE_BYTES + 96 * 20)
    assert len(list(ScoreReader(lazy, one_pair).blocks("kl_b_to_a", row_bytes=96 * 20))) == 6
    assert len(list(ScoreReader(lazy, one_pair).blocks("kl", row_bytes=96 * 20))) == 12
    for memory in (2**30, 3 * one_pair, one_pair):
        found = summarize(ScoreReader(lazy, memory), bootstrap=20)
        for name, variable in expected.data_vars.items():
            if variable.dtype.kind == "U":
                assert (found[name] == variable).all()
            else:
                np.testing.assert_allclose(found[name], variable, rtol=1e-13)
    with pytest.raises(BudgetError, match="give more memory"):
        summarize(ScoreReader(lazy, one_pair - 1), bootstrap=20)


def test_small_lazy_scores_are_computed_once(scores):
    runs = []

    def get(graph, keys, **kwargs):
        runs.append(1)
        return dask.get(graph, keys, **kwargs)

    with dask.config.set(scheduler=get):
        summarize(scores.chunk({"image": 7}))
    assert len(runs) == 1


def test_order_of_models_pairs_and_images_does_not_matter(scores):
    rng = np.random.default_rng(1)
    shuffled = scores.isel(pair=rng.permutation(6), image=rng.permutation(30))
    shuffled.attrs["models"] = ["m3", "m1", "m0", "m2"]
    first, second = summarize(scores, bootstrap=100), summarize(shuffled, bootstrap=100)
    for statistic in ("mean", "q25", "mean_low", "median_high"):
        for slug in ("mse", "kl"):
            a, b = to_matrix(first, slug, statistic), to_matrix(second, slug, statistic)
            np.testing.assert_allclose(a, b.sel(model_a=a.model_a, model_b=a.model_b), rtol=1e-12)


def test_csv_survives_hostile_names(make_scores, tmp_path):
    summary = summarize(make_scores(names=HOSTILE + AWKWARD))
    path = tmp_path / "summary.csv"
    write_csv(summary, path)
    with path.open(newline="", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    frame = to_frame(summary)
    for name in ("model_a", "model_b"):
        cells = [row[header.index(name)].removeprefix("'") for row in rows]
        assert cells == frame[name].tolist()
    for name in ("metric", "model_a", "model_b"):
        cells = [row[header.index(name)] for row in rows]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert {row[header.index("model_a")] for row in rows} >= {"'=1+1", "'@sum", "'-x"}


def test_csv_numbers_are_full(tmp_path, scores):
    scores.mse[0] = -1 / 3
    scores.mse[0, 0] = np.nan
    write_csv(summarize(scores), tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["n"] == "29"
    assert row["mean"] == "-0.3333333333333333"


def test_unknown_names_are_answered_with_the_known(scores):
    summary = summarize(scores)
    with pytest.raises(UsageError, match="there are mse, ssim_window_11, kl"):
        to_matrix(summary, "emd")
    with pytest.raises(UsageError, match="it has n, mean"):
        to_matrix(summary, "mse", "mean_low")
    with pytest.raises(UsageError, match="no metric in this dataset"):
        summarize(scores[["mse"]])
    with pytest.raises(UsageError, match="confidence"):
        summarize(scores, confidence=95)
