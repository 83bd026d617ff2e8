import csv

import numpy as np
import pytest
from pairwise.faults import random_maps, store_of

import salzarr
from salzarr.statistics import analysis
from salzarr.statistics.analysis import analyse
from salzarr.statistics.summary import read_csv, summarize, to_frame


@pytest.fixture
def maps():
    return random_maps(models=4, images=40)


def test_everything_at_once(maps, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    scores = salzarr.compare(url, "mse,pearson")
    groups = {f"{i:04d}": "even" if i % 4 == 0 else "odd" for i in range(40)}
    with pytest.warns(UserWarning, match="over 10 images"):
        found = analyse(scores, maps=url, groups=groups, bootstrap=100, permutations=99, seed=3)
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
