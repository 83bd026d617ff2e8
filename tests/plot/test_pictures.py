import io

import dask
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.text import Text
from PIL import Image

import salzarr
from salzarr.errors import UsageError
from salzarr.plot import (
    divergent_images,
    group_panels,
    maps_sheet,
    metric_agreement,
    model_map,
    score_distributions,
)
from salzarr.plot.kinds import KINDS
from salzarr.plot.map_pictures import flaws, photograph, tile
from salzarr.statistics.ranking import rank_images
from salzarr.statistics.structure import distances


def labels(ax, axis):
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


def all_texts(ax):
    children = [ax, *ax.child_axes]
    return [
        t for one in children for t in one.findobj(lambda a: hasattr(a, "get_parse_math")) if t.get_text()
    ]


@pytest.fixture
def material(scores, summary, groups, agreement, maps):
    return {
        "scores": scores, "summary": summary, "groups": groups, "agreement": agreement, "maps": maps
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_from_what_it_says_it_needs(kind, material):
    what = KINDS[kind]
    arguments = [material[name] for name in what.needs] + ["pearson"] * what.per_metric
    ax = what.draw(*arguments)
    for form in ("svg", "pdf", "png"):
        ax.figure.savefig(io.BytesIO(), format=form)
    mine = [t for t in all_texts(ax) if "$" in t.get_text()]
    assert not any(t.get_parse_math() for t in mine)
    other = what.draw(*arguments, ax=ax.figure.add_subplot())
    assert other.figure is ax.figure


# -- Distributions ------------------------------------------------------------------------------------------


def test_a_violin_covers_the_scores_of_its_pair(scores):
    ax = score_distributions(scores, "pearson", pairs=[("VGG16", "$a_$")])
    (violin,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    (path,) = violin.get_paths()
    values = scores.pearson.isel(pair=0).values
    assert path.vertices[:, 0].min() == pytest.approx(np.nanmin(values))
    assert path.vertices[:, 0].max() == pytest.approx(np.nanmax(values))
    dot = ax.lines[-1].get_xdata()
    assert float(np.squeeze(dot)) == pytest.approx(np.nanmedian(values))
    assert labels(ax, "y") == ["VGG16 – $a_$"]


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_a_violin_of_very_small_or_large_scores(scores, unit):
    scores["pearson"] = scores.pearson * unit
    ax = score_distributions(scores, "pearson", pairs=[("VGG16", "$a_$")])
    assert np.isfinite(ax.collections[0].get_paths()[0].vertices).all()


def test_the_most_alike_pair_is_at_the_top(scores):
    for metric, sign in (("pearson", -1), ("mse", 1)):
        ax = score_distributions(scores, metric)
        best = int(np.argmin(sign * scores[metric].median("image").values))
        ends = [str(scores[end].values[best])[:4] for end in ("model_a", "model_b")]
        assert [name[:4] for name in labels(ax, "y")[0].split(" – ")] == ends
        assert ax.xaxis_inverted() == (metric == "mse")


def test_of_a_directed_metric_each_direction_is_drawn(scores):
    ax = score_distributions(scores, "kl", pairs=[("$a_$", "VGG16")])
    assert labels(ax, "y") == ["$a_$ → VGG16"]
    assert float(np.squeeze(ax.lines[-1].get_xdata())) == pytest.approx(
        np.nanmedian(scores.kl_b_to_a.isel(pair=0))
    )
    assert len(labels(score_distributions(scores, "kl"), "y")) == 12


def test_of_many_pairs_the_ends_are_drawn_and_that_is_said(invent):
    ax = score_distributions(invent(12), "emd")
    assert len(labels(ax, "y")) == 30
    assert "the 15 most and the 15 least alike of 66 pairs" in ax.title.get_text()


def test_few_or_equal_scores_are_ticks_and_not_a_density(invent):
    scores = invent(3, images=4)
    assert not [c for c in score_distributions(scores, "emd").collections if isinstance(c, PolyCollection)]
    constant = invent(3, images=50)
    constant["emd"][:] = 1.0
    assert not [c for c in score_distributions(constant, "emd").collections if isinstance(c, PolyCollection)]


def test_a_pair_that_was_not_compared_is_refused(scores):
    with pytest.raises(UsageError, match="'nobody' were not compared"):
        score_distributions(scores, "mse", pairs=[("VGG16", "nobody")])


# -- Models and metrics -------------------------------------------------------------------------------------


def test_the_map_keeps_the_distances(summary):
    ax = model_map(summary, "pearson", names=["a", "b", "c", "d"])
    points = np.asarray(ax.collections[0].get_offsets())
    wanted = distances(summary, "pearson").values
    found = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert np.corrcoef(found[np.triu_indices(4, 1)], wanted[np.triu_indices(4, 1)])[0, 1] > 0.95
    assert sorted(text.get_text() for text in ax.texts) == ["a", "b", "c", "d"]
    assert ax.get_aspect() == 1.0


def test_names_on_the_map_do_not_cover_each_other(invent):
    summary = salzarr.summarize(invent(60, 3))
    ax = model_map(summary, "emd")
    ax.figure.savefig(io.BytesIO(), format="png")
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines to far ones
    clear = [not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert np.mean(clear) > 0.999
    assert len(boxes) > 25
    left_out = 60 - len(boxes)
    assert (f"names left out for room: {left_out}" in ax.title.get_text()) == bool(left_out)


def test_the_agreement_of_metrics_is_a_labelled_matrix(agreement):
    ax = metric_agreement(agreement)
    assert labels(ax, "x") == labels(ax, "y") == ["pearson", "mse", "kl"]
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert texts[(0, 0)] == "1.00"
    assert texts[(0, 1)].rstrip("*") == texts[(1, 0)].rstrip("*")


def test_groups_share_order_and_colors(groups):
    ax = group_panels(groups, "mse")
    panels, legend = ax.child_axes[:-1], ax.child_axes[-1]
    assert [p.get_title(loc="left").split("  ")[0] for p in panels] == ["$d_$", "</script>", "cats"]
    limits = {(p.collections[0].norm.vmin, p.collections[0].norm.vmax) for p in panels}
    assert len(limits) == 1
    assert legend.yaxis_inverted()
    with pytest.raises(UsageError, match="no groups"):
        group_panels(groups.isel(group=0), "mse")


def test_of_many_groups_the_largest_are_drawn(invent):
    scores = invent(3, images=99)
    labels = [f"g{k if k < 40 else 7:02d}" for k in range(99)]
    ax = group_panels(salzarr.summarize(scores.assign_coords(g=("image", labels)), group_by="g"), "emd")
    titles = [panel.get_title(loc="left") for panel in ax.child_axes[:-1]]
    assert len(titles) == 24
    assert any(title.startswith("g07  n = 60") for title in titles)
    assert "the largest of 40 groups" in ax.title.get_text()


# -- Maps ---------------------------------------------------------------------------------------------------


def test_a_sheet_has_models_down_and_images_across(maps):
    ax = maps_sheet(
        maps, models=["$a_$", "VGG16"], images=["n01/val_004", "n01/val_001", "n01/val_002"], side=40
    )
    assert labels(ax, "y") == ["$a_$", "VGG16"]
    assert labels(ax, "x") == ["n01/val_004", "n01/val_001", "n01/val_002"]
    picture = ax.images[0].get_array()
    one = maps.sel(model="VGG16", image="n01/val_001").values
    (y, x) = ax.get_yticks()[1], ax.get_xticks()[1]
    shown = picture[round(y - 14.5) : round(y + 15.5), round(x - 19.5) : round(x + 20.5), :3]
    assert np.array_equal(shown, tile(one, 40))


def test_a_sheet_reads_only_what_it_shows(maps):
    def read(block, block_info=None):
        _, image = block_info[0]["chunk-location"][:2]
        assert image < 3, "an image that is not shown was read"
        return block

    lazy = maps.chunk({"model": 1, "image": 1})
    watched = lazy.copy(data=lazy.data.map_blocks(read, dtype=lazy.dtype))
    with dask.config.set(scheduler="synchronous"):
        maps_sheet(watched, images=[f"n01/val_{k:03d}" for k in range(3)], side=16)


@pytest.mark.parametrize("wanted", [{"models": ["nobody"]}, {"images": ["nothing"]}, {"models": []}])
def test_a_sheet_of_what_is_not_there_is_refused(maps, wanted):
    with pytest.raises(UsageError, match=r"no (model|image) .* in these maps|name at least one"):
        maps_sheet(maps, **wanted)


def test_a_map_as_a_picture():
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    assert tile(ramp, 16).shape == (16, 16, 3)
    assert tile(ramp[:4], 16).shape == (8, 16, 3)
    brightness = tile(ramp, 8).astype(float).sum(axis=2)
    assert (np.diff(brightness.mean(axis=1)) > 0).all()
    signed = tile(np.array([[-1.0, 0.0, 1.0]]), 3)[0].astype(int)
    assert (signed[1] > 240).all()
    assert signed[0, 2] > signed[0, 0]
    assert signed[2, 0] > signed[2, 2]


def test_one_hot_pixel_does_not_black_out_a_map():
    hot = np.random.default_rng(0).random((64, 64))
    hot[5, 5] = 1e6
    assert tile(hot, 64).mean() > 60


@pytest.mark.parametrize("value", [np.nan, 0.0, 0.25, -3.0, np.inf, 1e-300, 1e30])
def test_degenerate_maps_have_a_picture(value):
    assert tile(np.full((5, 7), value), 14).shape == (10, 14, 3)


def test_missing_pixels_are_grey():
    half = np.ones((8, 8))
    half[:, :4] = np.nan
    half[0, 7] = 0
    assert (tile(half, 8)[2, 0] == (0xE3, 0xE5, 0xE9)).all()


# -- Galleries and photographs ------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, maps):
    folder = tmp_path / "photos"
    (folder / "n01").mkdir(parents=True)
    for k, image in enumerate(maps.image.values):
        Image.new("RGB", (60, 40), (200, k, 0)).save(folder / f"{image}.{'JPEG' if k % 2 else 'png'}")
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    (folder / "text.png").write_text("not a picture")
    return folder


def test_a_gallery_begins_with_the_image_on_which_the_models_differ_most(scores, maps, photos):
    ranks = rank_images(scores)["pearson"]
    worst = [str(i).removeprefix("n01/") for i in ranks.image.values[np.argsort(ranks.values)[:3]]]
    ax = divergent_images(scores, maps, "pearson", count=3, photos=photos)
    assert [label.split("\n")[0].removeprefix("n01/") for label in labels(ax, "y")] == worst
    assert labels(ax, "x")[0] == "photograph"
    assert len(labels(ax, "x")) == 1 + 4 + 1
    best = divergent_images(scores, maps, "pearson", count=3, agree=True)
    assert not {label.split("\n")[0] for label in labels(best, "y")} & {f"n01/{name}" for name in worst}


def test_a_gallery_of_a_pair_shows_its_two_maps_and_their_difference(scores, maps):
    ax = divergent_images(scores, maps, "kl", pair=("$a_$", "VGG16"), count=2)
    assert labels(ax, "x") == ["$a_$", "VGG16", "difference"]
    values = scores.kl_b_to_a.isel(pair=0)
    worst = str(values.image.values[np.nanargmax(values.values)])
    assert labels(ax, "y")[0] == f"{worst}\n{float(values.max()):.4g}"


def test_a_gallery_takes_maps_as_compare_does(scores, maps):
    given = {str(name): maps.sel(model=name, drop=True)[::-1] for name in maps.model.values}
    images = [[i.get_array() for i in divergent_images(scores, m, "mse").get_images()] for m in (maps, given)]
    np.testing.assert_array_equal(*images)


def test_a_gallery_refuses_what_is_not_there(scores, maps):
    with pytest.raises(UsageError, match="no model 'nobody'"):
        divergent_images(scores, maps, "mse", models=["VGG16", "nobody"])
    with pytest.raises(UsageError, match="at least two models"):
        divergent_images(scores, maps, "mse", models=["VGG16"])
    empty = scores.copy()
    empty["mse"] = xr.full_like(scores.mse, np.nan)
    with pytest.raises(UsageError, match="no image has a score"):
        divergent_images(empty, maps, "mse")


def test_photographs_come_from_their_folder_alone(photos, tmp_path):
    assert photograph(photos, "n01/val_000", 30).shape == (20, 30, 3)
    assert photograph(photos, "n01/val_001", 30).shape == (20, 30, 3)
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    outside = ["../secret", str(tmp_path / "secret"), "link", "text", "nothing", "n01", "", "a\0b", "x" * 300]
    assert [photograph(photos, name, 30) for name in outside] == [None] * len(outside)


def test_what_a_picture_of_a_map_does_not_show_is_written_on_it(maps):
    chosen = maps.isel(image=[3, 5, 6, 7, 8]).copy()
    chosen[0, 2], chosen[3, 3, 2, 2], chosen[3, 4] = 0, np.inf, np.nan
    expected = np.full((4, 5), "", object)
    expected[1, 0], expected[2, 1], expected[0, 2] = "missing", "constant 0.25", "all zero"
    expected[3, 3], expected[3, 4] = "non-finite", "missing"
    assert flaws(chosen).tolist() == expected.tolist()
    assert sorted(text.get_text() for text in maps_sheet(chosen).texts) == sorted(expected[expected != ""])

    status = np.zeros((4, 5), np.uint8)
    status[1, 0], status[3, 3:] = 1, 2
    expected[3, 4] = "non-finite"  # a file that is all NaN
    known = chosen.assign_coords(map_status=(("model", "image"), status))
    assert flaws(known).tolist() == expected.tolist()


def test_a_gallery_marks_the_maps_without_values(scores, maps):
    ax = divergent_images(scores, maps, "mse", count=30)
    assert {"missing", "constant 0.25"} <= {text.get_text() for text in ax.texts}


def test_a_pair_with_fewer_scores_says_how_many(scores):
    shown = labels(score_distributions(scores, "pearson"), "y")
    assert sorted(name.split("  n=")[1] for name in shown if "  n=" in name) == ["28", "29", "29", "29", "29"]


def test_panels_of_groups_carry_their_numbers(groups):
    ax = group_panels(groups, "pearson")
    names = [str(label) for label in groups.group.values]
    for label, panel in zip(names, ax.child_axes, strict=False):
        matrix = salzarr.to_matrix(groups.sel(group=label), "pearson").values
        shown = {tuple(map(round, text.get_position()[::-1])): text.get_text() for text in panel.texts}
        assert float(shown[0, 1]) == pytest.approx(matrix[0, 1], abs=0.006)
        assert len(shown) == np.isfinite(matrix).sum()
