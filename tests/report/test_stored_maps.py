"""The maps that a page carries: what their gray levels mean, and which of them fit its size."""

import base64
import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import salzarr
from salzarr.report import Page, render
from salzarr.report.map_budget import representatives
from salzarr.report.tiles import store
from salzarr.statistics.analysis import Settings, analyze


def levels(tile):
    _, _, text = tile.uri.partition("base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L")).astype(float)


def smooth(shape, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    cy, cx = rng.uniform(0.3, 0.7, 2) * shape
    return np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (0.1 * shape[0] * shape[1]))


def test_levels_become_the_values_again():
    one = 3 + 5 * smooth((64, 48))
    tile = store(one, 64)
    again = tile.low + levels(tile) / 255 * (tile.high - tile.low)
    assert tile.low == pytest.approx(one.min())
    assert tile.high == pytest.approx(one.min() + np.quantile(one - one.min(), 0.995))
    assert np.abs(again - np.minimum(one, tile.high)).mean() < 0.01 * np.ptp(one)


def test_zero_is_in_the_middle_of_a_map_with_negative_values():
    one = smooth((32, 32)) - 0.2
    tile = store(one, 32)
    assert tile.low == -tile.high < 0
    again = tile.low + levels(tile) / 255 * (tile.high - tile.low)
    assert np.abs(again - np.clip(one, tile.low, tile.high)).mean() < 0.02


def test_pixels_that_are_not_finite_are_level_0_and_no_other_is():
    one = smooth((32, 32))
    one[:5] = np.nan
    one[7, 7] = np.inf
    tile = store(one, 32)
    np.testing.assert_array_equal(levels(tile) == 0, ~np.isfinite(one))


@pytest.mark.parametrize(
    ("one", "low", "high"),
    [(np.full((4, 4), 0.37), 0.37, 0.37), (np.zeros((4, 4)), 0, 0), (np.full((4, 4), 1e308), 1e300, 1e300)],
)
def test_a_constant_map_has_a_range_of_one_value(one, low, high):
    tile = store(one, 4)
    assert (tile.low, tile.high) == (low, high)


def test_a_map_without_values_has_no_picture():
    assert store(np.full((4, 4), np.nan), 4).uri is None


def test_no_map_is_stored_larger_than_it_is():
    assert levels(store(smooth((20, 40)), 256)).shape == (20, 40)
    assert levels(store(smooth((400, 200)), 96)).shape == (96, 48)


def test_of_many_models_a_gallery_shows_some_that_are_spread_over_the_tree():
    assert representatives(5, None) == [0, 1, 2, 3, 4]
    leaves = [*range(0, 40, 2), *range(1, 40, 2)]
    chosen = representatives(40, leaves)
    assert len(set(chosen)) == 14
    assert {leaves[0], leaves[-1]} <= set(chosen)


@pytest.fixture(scope="module")
def compared():
    """Five models on 60 images whose pairs have different extremes, and their maps."""
    rng = np.random.default_rng(1)
    names, images = [f"m{k}" for k in range(5)], [f"i{k:02d}" for k in range(60)]
    values = np.stack([[smooth((48, 48), k) + 0.2 * rng.random((48, 48)) for k in range(60)] for _ in names])
    maps = xr.DataArray(values, {"model": names, "image": images}, ("model", "image", "y", "x"))
    scores = salzarr.compare(maps, "mse, pearson").compute()
    return analyze(scores, settings=Settings(0, 9)), scores, maps


def test_the_extremes_of_every_pair_carry_their_maps(compared, read_page):
    analysis, scores, maps = compared
    page, metrics = read_page(render(analysis, scores, Page(maps=maps)))
    listed = [
        (image, model)
        for data in metrics.values()
        for end in ("least", "most")
        for pair, row in zip(page["pairs"], data["extremes"][end], strict=True)
        for image, _ in row
        for model in pair
    ]
    assert len({image for image, _ in listed}) > 40
    assert all(page["maps"][image]["maps"].get(str(model)) for image, model in listed)
    assert page["stored"]["carried"] == page["stored"]["wanted"]


def test_a_page_keeps_its_size_and_names_what_did_not_fit(compared, read_page, caplog):
    analysis, scores, maps = compared
    caplog.set_level("INFO")
    text = render(analysis, scores, Page(maps=maps, size=500_000))
    page, _ = read_page(text)
    assert len(text.encode()) <= 500_000
    stored = page["stored"]
    assert 0 < stored["carried"] < stored["wanted"]
    assert f"{stored['carried']} of {stored['wanted']} maps" in caplog.text
    needed = render(analysis, scores, Page(maps=maps, size=int(1.3 * stored["needed"])))
    assert read_page(needed)[0]["stored"]["carried"] == stored["wanted"]
    first = page["gallery"][0]
    assert len(page["maps"][first]["maps"]) == 5  # what is seen first is kept longest


def test_a_page_too_small_for_any_map_is_still_made(compared, read_page):
    analysis, scores, maps = compared
    page, _ = read_page(render(analysis, scores, Page(maps=maps, size=1000)))
    assert page["maps"] == {}
    assert page["stored"]["carried"] == 0
