import csv

import numpy as np
import pandas as pd
import pytest
from scores.faults import random_maps, store_of

import salzarr
from salzarr.statistics import analysis
from salzarr.statistics.analysis import analyse
from salzarr.statistics.summary import read_csv, summarize, to_frame, write_table


@pytest.fixture
def maps():
    return random_maps(models=4, images=40)


def test_everything_at_once(maps, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    scores = salzarr.compare(url, "mse,pearson")
    groups = {f"{i:04d}": "even" if i % 4 == 0 else "odd" for i in range(40)}
    with pytest.warns(UserWarning, match="over 10 images") as said:
        found = analyse(scores, maps=url, groups=groups, bootstrap=100, permutations=99, seed=3)
    assert len(said) == 1  # though the groups, and the pairs of images of the baseline, are few as well
    assert found.summary.identical(summarize(scores, bootstrap=100, seed=3))
    assert set(found.clusters) == set(found.places) == {"mse", "pearson"}
    assert len(found.tests) == 2 * 4 * 3
    files = found.write(tmp_path / "results")
    assert {f.name for f in files} == {
        "summary.csv", "groups.csv", "images.csv", "reliability.csv", "agreement.csv", "tests.csv",
        "consensus.csv", "corrected.csv",
    }  # fmt: skip
    assert read_csv(tmp_path / "results" / "summary.csv").equals(to_frame(found.summary))
    for file in files:
        with file.open(newline="") as opened:
            header, *rows = csv.reader(opened)
        assert all(len(row) == len(header) for row in rows)


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_what_cannot_be_said_is_left_out(maps, monkeypatch, tmp_path):
    monkeypatch.setattr(analysis, "MOST_TESTS", 11)
    scores = salzarr.compare(maps, "mse").compute()
    found = analyse(scores, bootstrap=10, permutations=9)
    assert found.tests is None
    assert found.groups is found.consensus is found.corrected is None
    assert "tests.csv" not in {f.name for f in found.write(tmp_path)}
    scores.mse[:] = np.nan
    empty = analyse(scores, bootstrap=10, permutations=9)
    assert empty.clusters == empty.places == {}
    assert np.isnan(empty.reliability.reliability).all()
    assert np.isnan(empty.images["rank"]).all()


def test_reproducible_by_seed(maps):
    scores = salzarr.compare(maps, "mse,pearson").compute()
    first, again, other = (
        analyse(scores, maps=maps, bootstrap=50, permutations=49, seed=s) for s in (1, 1, 2)
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
    found = analyse(scores, maps=values, bootstrap=20, permutations=9)
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
    labels = {f"{i:04d}": "=2+2" for i in range(8)}
    scores = salzarr.compare(maps, "mse, kl")
    files = analyse(scores, maps=maps, groups=labels, bootstrap=9, permutations=9).write(tmp_path)
    for file in files:
        with file.open(newline="") as opened:
            for row in csv.reader(opened):
                for cell in row:
                    if cell.startswith(("=", "+", "-", "@")):
                        float(cell)
