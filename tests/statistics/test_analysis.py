import csv

import numpy as np
import pandas as pd
import pytest
from scores.faults import random_maps, store_of

import salzarr
from salzarr.errors import UsageError
from salzarr.scores import agreement, chance
from salzarr.scores.leave_one_out import consensus_bounds
from salzarr.statistics import analysis
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.columns import COLUMNS, meaning
from salzarr.statistics.summary import summarize, to_frame, write_table


def both(scores, maps, seed=0):
    """What takes the maps again: scores by chance, and with the consensus."""
    bounds = consensus_bounds(scores, maps)
    return {"chance": chance(scores, maps, seed=seed), "consensus": agreement(scores, maps), "bounds": bounds}


@pytest.fixture
def maps():
    return random_maps(models=4, images=40)


def test_everything_at_once(maps, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    labels = {"image": [f"{i:04d}" for i in range(40)], "kind": ["even", "odd", "odd", "odd"] * 10}
    scores = salzarr.compare(url, "mse,pearson", labels=labels)
    settings = Settings(100, 99, seed=3, group_by="kind")
    with pytest.warns(UserWarning, match="over 10 images") as said:
        found = analyze(scores, settings=settings, **both(scores, url, 3))
    assert len(said) == 1
    assert found.summary.identical(summarize(scores, bootstrap=100, seed=3))
    assert set(found.trees) == set(found.places) == {"mse", "pearson"}
    assert len(found.tests) == 2 * 4 * 3
    files = found.write(tmp_path / "results")
    assert {f.name for f in files} == {
        "summary.csv", "groups.csv", "images.csv", "reliability.csv", "agreement.csv", "tests.csv",
        "consensus.csv", "corrected.csv", "ceilings.csv", "group_differences.csv", "discriminability.csv",
        "conclusions.csv", "map_ceilings.csv",
    }  # fmt: skip
    assert pd.read_csv(tmp_path / "results" / "summary.csv").equals(to_frame(found.summary))
    for file in files:
        with file.open(newline="") as opened:
            header, *rows = csv.reader(opened)
        assert all(len(row) == len(header) for row in rows)


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_what_cannot_be_said_is_left_out(maps, monkeypatch, tmp_path):
    monkeypatch.setattr(analysis, "MOST_TESTS", 11)
    scores = salzarr.compare(maps, "mse").compute()
    found = analyze(scores, settings=Settings(10, 9))
    assert found.tests is None
    assert "name the models" in found.notes["tests"]
    assert found.groups is found.consensus is found.corrected is None
    assert "tests.csv" not in {f.name for f in found.write(tmp_path)}
    scores.mse[:] = np.nan
    empty = analyze(scores, settings=Settings(10, 9))
    assert empty.trees == empty.places == {}
    assert np.isnan(empty.reliability.reliability).all()
    assert np.isnan(empty.images["rank"]).all()


def test_reproducible_by_seed(maps):
    scores = salzarr.compare(maps, "mse,pearson").compute()
    first, again, other = (
        analyze(scores, settings=Settings(50, 49, seed=s), **both(scores, maps, s)) for s in (1, 1, 2)
    )
    for part in ("summary", "images", "reliability", "agreement", "consensus", "corrected"):
        assert getattr(first, part).identical(getattr(again, part)), part
    assert first.tests.equals(again.tests)
    assert first.places["mse"].identical(again.places["mse"])
    assert not first.corrected.equals(other.corrected)
    assert not first.tests.equals(other.tests)


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_every_table_says_over_how_many(maps, tmp_path):
    values = {name: one.copy() for name, one in maps.items()}
    values["m0"][5] = np.nan  # it is missing, so three of six pairs have no score there
    values["m1"][7] = 0.5
    scores = salzarr.compare(values, "mse, kl, pearson")
    found = analyze(scores, settings=Settings(20, 9), **both(scores, values))
    tables = found.tables()
    images = tables["images"]
    assert images["mse_n"].tolist() == images["kl_n"].tolist() == [6] * 5 + [3] + [6] * 34
    assert images["pearson_n"].tolist() == [6] * 5 + [3, 6, 3] + [6] * 32
    consensus = tables["consensus"].set_index(["metric", "model_a"])
    assert consensus.loc["mse", ["n", "others_min", "others_max"]].to_numpy().tolist() == [
        [39, 3, 3], [40, 2, 3], [40, 2, 3], [40, 2, 3],
    ]  # fmt: skip
    matrix = salzarr.to_matrix(found.summary, "mse")
    np.testing.assert_array_equal(matrix.n, salzarr.to_matrix(found.summary, "mse", "n"))
    assert matrix.n.values[0, 1:].tolist() == [39, 39, 39]
    assert (tables["summary"]["confidence"] == 0.95).all()
    found.write(tmp_path)
    with (tmp_path / "agreement.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["n"] for row in rows} == {"6"}
    assert all((row["p"] == "") == (row["metric"] == row["metric_2"]) for row in rows)


def test_no_cell_of_any_table_is_a_formula_or_minus_zero(tmp_path):
    table = pd.DataFrame({"=1+1": ["=1+1", "@x", "\nx", "safe"], "score": [-0.0, 0.0, np.nan, -1.5]})
    write_table(table, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["'=1+1", "score"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'@x", "'\nx", "safe"]
    assert [row[1] for row in rows[1:]] == ["0.0", "0.0", "", "-1.5"]


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_a_model_called_as_a_formula_is_text_in_every_csv(tmp_path):
    maps = dict(zip(["=1+1", "+b", "-c", "@d"], random_maps(models=4, images=8).values(), strict=True))
    labels = {"image": [f"{i:04d}" for i in range(8)], "=kind": ["=2+2"] * 8}
    scores = salzarr.compare(maps, "mse, kl", labels=labels)
    found = analyze(scores, settings=Settings(9, 9, group_by="=kind"), **both(scores, maps))
    assert "between two groups of images, and '=kind' has 1" in found.notes["group_differences"]
    files = found.write(tmp_path)
    for file in files:
        with file.open(newline="") as opened:
            for row in csv.reader(opened):
                for cell in row:
                    if cell.startswith(("=", "+", "-", "@")):
                        float(cell)


# -- Units --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_copies_of_images_say_nothing_new_in_any_table(maps):
    """Six copies of each image, told by their photograph: every table is as of the images alone."""
    alone = salzarr.compare(maps, "mse,pearson").compute()
    copied = alone.isel(image=np.repeat(np.arange(40), 6)).assign_coords(
        photo=("image", np.repeat(alone.image.values, 6)), image=[f"{i:04d}" for i in range(240)]
    )
    one = analyze(alone, settings=Settings(200, 199))
    many = analyze(copied, settings=Settings(200, 199, units="photo"))
    for name in ("mean", "se", "mean_low", "mean_high", "units"):
        for metric in ("mse", "pearson"):
            of_one, of_many = (of.summary[metric].sel(statistic=name) for of in (one, many))
            np.testing.assert_allclose(of_many, of_one, rtol=1e-9, err_msg=name)
    for name in ("p_permutation", "p_family", "p_all", "p_wilcoxon", "probability", "d_z"):
        np.testing.assert_allclose(many.tests[name], one.tests[name], err_msg=name)
    np.testing.assert_allclose(many.reliability.reliability, one.reliability.reliability)
    for name in ("spearman", "low", "high", "p"):
        np.testing.assert_allclose(many.agreement[name], one.agreement[name], err_msg=name)
    columns = ["units", "lower", "lower_low", "lower_high", "upper"]
    np.testing.assert_allclose(many.ceilings[columns], one.ceilings[columns])
    assert (many.summary.mse.sel(statistic="n") == 240).all()
    wrong = analyze(copied, settings=Settings(200, 199))
    assert (wrong.summary.mse.sel(statistic="se") < 0.5 * one.summary.mse.sel(statistic="se")).all()


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_units_that_weigh_the_same_are_their_means(maps):
    scores = salzarr.compare(maps, "mse").compute()
    photo = np.minimum(np.arange(40), 19)  # one of 21 images
    scores = scores.assign_coords(photo=("image", photo))
    found = analyze(scores, settings=Settings(50, 49, units="photo", unit_mean=True))
    each = scores.mse.groupby("photo").mean("image")
    np.testing.assert_allclose(found.summary.mse.sel(statistic="mean"), each.mean("photo"))
    assert (found.summary.mse.sel(statistic="n") == 20).all()


def test_tests_of_named_models_and_margins(maps):
    scores = salzarr.compare(maps, "mse,pearson").compute()
    found = analyze(scores, settings=Settings(9, 99, test_models=("m1",), margins={"mse": 1.0}))
    assert set(found.tests.model) == {"m1"}
    assert (found.tests.query("metric == 'mse'").p_equivalent <= 0.01).all()
    with pytest.raises(UsageError, match="no model 'm7' to test"):
        analyze(scores, settings=Settings(9, 9, test_models=("m7",)))


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_every_column_of_every_table_is_explained(maps):
    labels = {"image": [f"{i:04d}" for i in range(40)], "kind": ["even", "odd"] * 20}
    scores = salzarr.compare(maps, "mse,kl,ssim", labels=labels)
    settings = Settings(20, 19, group_by="kind", margins={"mse": 1.0})
    tables = analyze(scores, settings=settings, **both(scores, maps)).tables()
    assert set(tables) == set(COLUMNS)
    for name, table in tables.items():
        unknown = [column for column in table if meaning(name, column, ("mse", "kl", "ssim")) is None]
        assert not unknown, name
        assert not set(COLUMNS[name]) - set(table) - {"<metric>", "<metric>_rank", "<metric>_n"}, name
