"""The tables and sentences of the page that need no script."""

import re

import numpy as np
import pytest

import salzarr
from salzarr.report.number_tables import FAITHFUL, absences, conditions, number_tables
from salzarr.statistics.analysis import Settings, analyze

pytestmark = pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")


def scores_of(models=3, images=30, **options):
    rng = np.random.default_rng(0)
    shared = rng.random((images, 8, 8))
    maps = {f"m{k}": shared + 0.2 * k * rng.random((images, 8, 8)) for k in range(models)}
    return salzarr.compare(maps, "mse,pearson,ssim", **options).compute()


def test_tables_on_the_page_are_those_of_the_files(made):
    tables = {table["id"]: table for table in number_tables(made.analysis)}
    assert set(tables) == {"ceilings", "discriminability", "map-ceilings", "conclusions", "group-differences"}
    told = made.analysis.discriminability
    shown = [row[3]["value"] for row in tables["discriminability"]["rows"]]
    assert shown == told["discriminability"].tolist()[: len(shown)]
    assert set(told["normalize"]) == {"none", "zscore"}
    for table in tables.values():
        assert f'id="{table["id"]}"' in made.page
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
    lower = made.analysis.ceilings.lower.tolist()
    assert [row[2]["value"] for row in tables["ceilings"]["rows"]] == lower


def test_the_page_says_what_its_numbers_are_of():
    labels = {
        "image": [f"{i:04d}" for i in range(30)],
        "photo": np.arange(30) // 2,
        "right": [1] * 26 + [0] * 4,
    }
    scores = scores_of(labels=labels, where="right", primary="pearson")
    analysis = analyze(scores, settings=Settings(50, 49, units="photo"))
    said = " ".join(conditions(analysis, scores))
    assert "Only images of which this is true are compared: right." in said
    assert "Images of one photo belong together (13 units of 26 images" in said
    assert "Primary metric, marked before the scoring: pearson." in said
    assert said.endswith(FAITHFUL)
    page = re.sub(r"<wbr>", "", salzarr.report.render(analysis, scores))
    assert "Agreement is not faithfulness" in page
    assert "Data range" in page


def test_what_is_missing_is_said(monkeypatch):
    scores = scores_of()
    monkeypatch.setattr("salzarr.statistics.analysis.MOST_TESTS", 2)
    said = " ".join(absences(analyze(scores, settings=Settings(20, 9))))
    assert "all tests of 3 models would be 3 for each metric; name the models" in said
    assert "--baseline" in said
    assert "With 3 models no p of the metrics' agreement can be 0.05 or less." in said
    two = " ".join(absences(analyze(scores_of(models=2), settings=Settings(20, 9))))
    assert "take three models" in two
