"""Cases of labels, units and baselines, from a folder to the tables by way of the command line."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

import salzarr
from salzarr.cli import run


def said(capsys, *arguments, code=0):
    """Run one command in this process and return what it wrote."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run([str(argument) for argument in arguments])
    streams = capsys.readouterr()
    text = " ".join((streams.out + streams.err).split())
    assert found == code, text
    return text


def test_labels_named_as_files_meet_images(tmp_path, capsys):
    """The labels of a data set name img0.jpg, and the images are img0."""
    rng = np.random.default_rng(0)
    for model in "ab":
        (tmp_path / "M" / model).mkdir(parents=True)
        for i in range(4):
            np.save(tmp_path / "M" / model / f"img{i}.npy", rng.random((16, 16)))
    rows = [f"img{i}.jpg,{'ab'[i % 2]}" for i in range(4)]
    (tmp_path / "g.csv").write_text("\n".join(["image,label", *rows]))
    said(capsys, "convert", tmp_path / "M", tmp_path / "s.zarr")
    command = ["compare", tmp_path / "s.zarr", tmp_path / "r", "--metrics", "mse", "--no-report"]
    said(capsys, *command, "--labels", tmp_path / "g.csv", "--group-by", "label")
    assert pd.read_csv(tmp_path / "r" / "groups.csv").group.tolist() == ["a", "b"]


@pytest.mark.parametrize("by_photograph", [False, True])
def test_chance_is_the_score_on_another_photograph(tmp_path, capsys, by_photograph):
    """Four variants each of 30 photographs, named in either order; no partner is of the same photograph."""

    def field(*seed):
        made = gaussian_filter(np.random.default_rng(seed).standard_normal((32, 32)), 3)
        return made / made.std()

    photos = np.arange(120) // 4 if by_photograph else np.arange(120) % 30
    names = [f"{i:03d}" for i in range(120)]
    maps = {
        model: np.stack([field(1, p) + 0.5 * field(k, p, i) for i, p in enumerate(photos)]).astype("f4")
        for k, model in enumerate("ab", 2)
    }
    rows = [f"{name},p{photo}" for name, photo in zip(names, photos, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,photo", *rows]))
    salzarr.convert(maps, tmp_path / "s.zarr", names=names)
    command = ["compare", tmp_path / "s.zarr", tmp_path / "r", "--metrics", "pearson", "--no-report"]
    said(capsys, *command, "--baseline", "--labels", tmp_path / "labels.csv", "--units", "photo")
    a, b = (of.reshape(120, -1) for of in maps.values())
    correlation = np.corrcoef(a, b)[:120, 120:]
    chance = correlation[photos[:, None] != photos].mean()
    row = pd.read_csv(tmp_path / "r" / "corrected.csv").iloc[0]
    assert row["units"] == 30
    assert row["baseline"] == pytest.approx(chance, abs=0.03)
    expected = (np.diag(correlation).mean() - chance) / (1 - chance)
    assert row["corrected"] == pytest.approx(expected, abs=0.03)
    assert row["corrected_low"] < expected < row["corrected_high"]


@pytest.mark.parametrize(("normalize", "consensus"), [("none", False), ("abs", True), ("minmax", True)])
def test_a_baseline_of_signed_maps_costs_at_most_the_consensus(tmp_path, capsys, normalize, consensus):
    rng = np.random.default_rng(7)
    base = rng.normal(0, 1, (20, 16, 16))
    maps = {name: base + rng.normal(0, 1 + 0.3 * k, base.shape) for k, name in enumerate("abc")}
    salzarr.convert(maps, tmp_path / "s.zarr")
    command = ["compare", tmp_path / "s.zarr", tmp_path / "r", "--metrics", "pearson,ssim", "--baseline"]
    text = said(capsys, *command, "--normalize", normalize)
    results = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"corrected.csv", "discriminability.csv", "report.html"} <= results
    assert ("consensus.csv" in results) == consensus
    assert ("no table consensus" in text) == (not consensus)
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert ("no consensus as they are" in page) == (not consensus)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--units", "photo"], "no labels 'photo', there are kind, right"),
        (["--units", "right"], "all images are of 'true'"),
        (["--group-by", "class"], "no labels 'class'"),
        (["--unit-mean"], "give units="),
        (["--test-models", "z"], "no model 'z' to test"),
        (["--baseline", "--images", "1"], "at least two images"),
        (["--where", "kind == 'x'"], "true of none"),
        (["--where", "@pd.io"], "no expression over labels"),
        (["--primary", "ssim"], "none of those compared"),
        (["--margin", "mse"], "give SPEC=VALUE"),
    ],
)
def test_what_an_extra_needs_is_checked_before_the_first_score(tmp_path, capsys, options, why):
    rng = np.random.default_rng(0)
    salzarr.convert({name: rng.random((4, 8, 8)) for name in "ab"}, tmp_path / "s.zarr")
    rows = "".join(f"000{i};k{i % 2};1\n" for i in range(4))
    (tmp_path / "l.csv").write_text(f"image;kind;right\n{rows}")
    command = [
        "compare",
        tmp_path / "s.zarr",
        tmp_path / "r",
        "--metrics",
        "mse",
        "--labels",
        tmp_path / "l.csv",
    ]
    assert why in said(capsys, *command, *options, code=2)
    assert not (tmp_path / "r").exists()


def test_settings_are_kept_for_the_next_report(tmp_path, capsys):
    rng = np.random.default_rng(0)
    salzarr.convert({name: rng.random((40, 8, 8)) for name in "abc"}, tmp_path / "s.zarr")
    rows = "".join(f"{i:04d},p{i // 2}\n" for i in range(40))
    (tmp_path / "l.csv").write_text("image,photo\n" + rows)
    command = ["compare", tmp_path / "s.zarr", tmp_path / "r", "--metrics", "mse", "--no-report"]
    said(capsys, *command, "--labels", tmp_path / "l.csv", "--units", "photo", "--margin", "mse=0.1")
    first = pd.read_csv(tmp_path / "r" / "tests.csv")
    assert (first["units"] == 20).all()
    assert "p_equivalent" in first
    said(capsys, "report", tmp_path / "r")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "r" / "tests.csv"), first)
    said(capsys, "report", tmp_path / "r", "--units", "")
    assert (pd.read_csv(tmp_path / "r" / "tests.csv")["units"] == 40).all()


def test_tables_are_explained(capsys):
    text = said(capsys, "tables", "tests.csv")
    assert "p_family family-wise p over the metric's rows (step-down max-T)" in text
    assert "no table 'x'" in said(capsys, "tables", "x", code=2)
