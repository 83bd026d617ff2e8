import csv

import numpy as np
import pandas as pd
import pytest
from scores.faults import random_maps, store_of

import salzarr
from salzarr.scores import agreement, chance
from salzarr.statistics import analysis
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.summary import summarize, to_frame, write_table


def both(scores, maps, seed=0):
    """What takes the maps again: scores by chance, and with the consensus."""
    return {"chance": chance(scores, maps, seed=seed), "consensus": agreement(scores, maps)}


@pytest.fixture
def maps():
    return random_maps(models=4, images=40)


def test_everything_at_once(maps, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    scores = salzarr.compare(url, "mse,pearson")
    groups = {f"{i:04d}": "even" if i % 4 == 0 else "odd" for i in range(40)}
    with pytest.warns(UserWarning, match="over 10 images") as said:
        found = analyze(scores, groups=groups, settings=Settings(100, 99, seed=3), **both(scores, url, 3))
    assert len(said) == 1  # though the groups, and the pairs of images of the baseline, are few as well
    assert found.summary.identical(summarize(scores, bootstrap=100, seed=3))
    assert set(found.trees) == set(found.places) == {"mse", "pearson"}
    assert len(found.tests) == 2 * 4 * 3
    files = found.write(tmp_path / "results")
    assert {f.name for f in files} == {
        "summary.csv", "groups.csv", "images.csv", "reliability.csv", "agreement.csv", "tests.csv",
        "consensus.csv", "corrected.csv",
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
    labels = {f"{i:04d}": "=2+2" for i in range(8)}
    scores = salzarr.compare(maps, "mse, kl")
    found = analyze(scores, groups=labels, settings=Settings(9, 9), **both(scores, maps))
    files = found.write(tmp_path)
    for file in files:
        with file.open(newline="") as opened:
            for row in csv.reader(opened):
                for cell in row:
                    if cell.startswith(("=", "+", "-", "@")):
                        float(cell)
