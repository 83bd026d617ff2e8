"""Labels of images: given with a comparison, stored with its scores, and what images are chosen by."""

import numpy as np
import pytest

import salzarr
from salzarr.errors import ChangedError, InputError, UsageError
from salzarr.scores.labels import groups_of, labels_of, units_of

NAMES = [f"img{i}" for i in range(6)]
TABLE = {
    "image": [f"img{i}.jpg" for i in range(6)],
    "class": ["cat", "dog", "cat", "dog", "owl", "cat"],
    "right": [1, 1, 0, 1, 0, 1],
    "size": [1.5, np.nan, 3, 4, 5, 6],
}


@pytest.fixture
def stored(tmp_path):
    rng = np.random.default_rng(0)
    maps = {name: rng.random((6, 8, 8), np.float32) for name in ("a", "b", "c")}
    return salzarr.convert(maps, tmp_path / "maps.zarr", names=NAMES) and str(tmp_path / "maps.zarr")


@pytest.fixture
def csv(tmp_path):
    rows = zip(*TABLE.values(), strict=True)
    lines = [";".join(TABLE), *(";".join("" if c != c else str(c) for c in row) for row in rows)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("durable", [False, True])
def test_labels_are_coordinates_of_the_scores(stored, csv, tmp_path, durable):
    out = {"out": tmp_path / "r"} if durable else {}
    scores = salzarr.compare(stored, "mse", labels=csv, where="right and `class` != 'dog'", **out)
    assert scores.image.values.tolist() == ["img0", "img5"]
    assert scores["class"].values.tolist() == ["cat", "cat"]
    assert scores["size"].values.tolist() == [1.5, 6]
    assert scores["right"].dtype == bool
    assert scores.attrs["where"] == "right and `class` != 'dog'"
    whole = salzarr.compare(stored, "mse", labels=TABLE)
    assert whole.mse.groupby("class").mean("image").sizes == {"pair": 3, "class": 3}


def test_labels_come_later_change_and_stay(stored, csv, tmp_path):
    out = tmp_path / "r"
    salzarr.compare(stored, "mse", out=out, images=NAMES[:4])
    before = salzarr.open_scores(out)
    found = salzarr.compare(stored, "mse", out=out, images=NAMES[:4], labels=csv)
    assert found["class"].values.tolist() == TABLE["class"][:4]
    np.testing.assert_array_equal(found.mse, before.mse)
    other = {"image": NAMES, "class": ["x"] * 6}
    assert salzarr.compare(stored, "mse", out=out, images=NAMES[:4], labels=other)["class"].values[0] == "x"
    grown = salzarr.compare(stored, "mse,mae", out=out, images=NAMES)
    assert grown["class"].values.tolist() == ["x"] * 4 + [""] * 2
    assert grown["size"].values[0] == 1.5


def test_the_chosen_names_are_stored_and_no_expression_is_evaluated_again(stored, csv, tmp_path):
    out = tmp_path / "r"
    salzarr.compare(stored, "mse", out=out, labels=csv, where="right")
    salzarr.compare(stored, "mse", out=out, images=["img0", "img1", "img3", "img5"])
    assert salzarr.open_scores(out).image.values.tolist() == ["img0", "img1", "img3", "img5"]
    with pytest.raises(ChangedError, match="not compared any more"):
        salzarr.compare(stored, "mse", out=out, labels=csv, where="not right")


def test_choices_that_cannot_be_are_refused(stored, csv):
    for where, why in (("right and size > 100", "true of none"), ("wrong", "the columns class, right, size")):
        with pytest.raises(UsageError, match=why):
            salzarr.compare(stored, "mse", labels=csv, where=where)
    with pytest.raises(UsageError, match="give labels="):
        salzarr.compare(stored, "mse", where="right")
    with pytest.raises((UsageError, InputError), match="mse"):
        salzarr.compare(stored, "mse", labels={"image": NAMES, "mse": range(6)})


# -- Primary metric -----------------------------------------------------------------------------------------


def test_a_primary_metric_is_marked_before_the_scoring(stored, tmp_path):
    assert salzarr.compare(stored, "mse,ssim", primary="ssim").attrs["primary"] == "ssim"
    out = tmp_path / "r"
    found = salzarr.compare(stored, "mse,mae", primary="mae", out=out)
    assert found.attrs["primary"] == "mae"
    assert [name for name in found if not name.endswith("reason")] == ["mae", "mse"]
    assert salzarr.compare(stored, "mse,mae", out=out).attrs["primary"] == "mae"
    with pytest.raises(ChangedError, match="mse is marked as the primary metric, and mae was marked before"):
        salzarr.compare(stored, "mse,mae", primary="mse", out=out)
    with pytest.raises(UsageError, match="none of those compared: mse"):
        salzarr.compare(stored, "mse", primary="mae")


def test_none_is_marked_afterwards(stored, tmp_path):
    salzarr.compare(stored, "mse", out=tmp_path / "r")
    with pytest.raises(ChangedError, match="none was marked before the scoring"):
        salzarr.compare(stored, "mse", primary="mse", out=tmp_path / "r")


# -- Units and groups ---------------------------------------------------------------------------------------


def test_units_and_groups_are_columns(stored, caplog):
    scores = salzarr.compare(stored, "mse", labels=TABLE)
    assert units_of(scores, "class").labels == ("cat", "dog", "owl")
    assert units_of(scores).count == 6
    assert {name: rows.tolist() for name, rows in groups_of(scores, "right").items()} == {
        "false": [2, 4],
        "true": [0, 1, 3, 5],
    }
    with pytest.raises(UsageError, match="no labels 'photo', there are class, right, size"):
        labels_of(scores, "photo")
    with pytest.raises(InputError, match="1 of 6 images have no 'size', such as img1"):
        units_of(scores, "size")
    assert sorted(groups_of(scores, "size")) == ["1.5", "3", "4", "5", "6"]
    assert "1 of 6 images have no 'size'" in caplog.text


def test_a_unit_of_most_images_is_named(stored, caplog):
    labels = {"image": NAMES, "photo": ["p"] * 4 + ["q", "r"]}
    units_of(salzarr.compare(stored, "mse", labels=labels), "photo")
    assert "the unit 'p' holds 4 of 6 images" in caplog.text


# -- Metrics once more --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:maps after zscore have negative values")
def test_metrics_are_computed_once_more_under_further_normalizations(stored, tmp_path):
    options = {"also_normalize": ["minmax", "zscore"], "data_range": 2.0}
    scores = salzarr.compare(stored, "ssim,emd", out=tmp_path / "r", **options)
    metrics = [name for name in scores if not name.endswith("reason")]
    assert metrics == [
        "ssim",
        "emd",
        "ssim_normalize_minmax",
        "emd_normalize_minmax",
        "ssim_normalize_zscore",
    ]
    alone = salzarr.compare(stored, "ssim", normalize="minmax")
    np.testing.assert_allclose(scores.ssim_normalize_minmax, alone.ssim, rtol=1e-6)
    assert scores.ssim_normalize_zscore.attrs["parameters"] != scores.ssim.attrs["parameters"]
