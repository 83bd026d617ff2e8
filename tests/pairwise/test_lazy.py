"""The lazy comparison: nothing is computed before it is asked for, and nothing that is not asked for."""

import time
import warnings

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from foreign import OnlyDlpack
from pairwise.faults import counting, counts, random_maps, store_of

from salzarr import compare, open_maps
from salzarr.errors import MetricError, ShapeError, UsageError
from salzarr.metrics import METRICS, as_metrics, score_block
from salzarr.pairwise.lazy import lazy_scores
from salzarr.pairwise.request import Request, StoredMaps
from salzarr.plan import pairs
from salzarr.schema import Reason

FOUR = "mse,cosine,pearson,ssim"


def refuse(*_args, **_kwargs):
    raise AssertionError("something was computed")


def truth(maps, metrics=FOUR, data_range=None):
    """Score all maps as one block."""
    wide = np.stack(list(maps.values()))
    metrics = as_metrics(metrics)
    spread = float(wide.max() - wide.min()) if data_range is None else data_range
    metrics = [m.with_data_range(spread) if m.needs_data_range else m for m in metrics]
    return score_block(wide, pairs(len(maps)), metrics)


def check(scores, maps, metrics=FOUR, **options):
    for slug, scored in truth(maps, metrics, **options).items():
        np.testing.assert_array_equal(scores[slug], scored.values)
        np.testing.assert_array_equal(scores[f"{slug}_reason"], scored.reason)


def test_every_kind_of_maps_gives_the_same(maps, store):
    array = xr.DataArray(
        np.stack(list(maps.values())), dims=("model", "image", "y", "x"), coords={"model": list(maps)}
    )
    inputs = [
        store,
        open_maps(store),
        maps,
        array,
        array.transpose("y", "image", "x", "model"),
        array.chunk(image=5),
        {name: da.from_array(one, chunks=(3, 8, 8)) for name, one in maps.items()},
    ]
    for given in inputs:
        options = {} if isinstance(given, str) else {"data_range": 0.75}
        scores = compare(given, FOUR, **options)
        check(scores, maps, data_range=options.get("data_range"))
    check(compare(list(maps.values()), FOUR, names=list(maps)), maps)


def test_pairs_are_named(maps):
    scores = compare(maps, "mse")
    assert list(zip(scores.model_a.values, scores.model_b.values, strict=True)) == [
        *(("m0", "m1"), ("m0", "m2"), ("m1", "m2"))
    ]
    assert scores.image.values.tolist()[:2] == ["0000", "0001"]
    assert scores.attrs["models"] == ["m0", "m1", "m2"]
    assert scores.mse.attrs["metric"] == "mse"


def test_building_starts_nothing(store):
    with dask.config.set(scheduler=refuse):
        scores = compare(store, "mse,cosine,pearson,ssim,emd,kl")
        scores.ssim.mean("image")
    assert scores.kl.dims == ("direction", "pair", "image")
    assert scores.kl.shape == (2, 3, 12)


def test_one_metric_computes_no_other(maps, store, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    scores = compare(store, [*as_metrics(FOUR), counting])
    scores.mse.compute(scheduler="sync")
    scores.ssim.mean("image").compute(scheduler="sync")
    assert counts() == 0
    scores.counting.compute(scheduler="sync")
    assert counts() == 3 * 12


def test_no_emd_is_called(store, monkeypatch):
    called = []
    real = METRICS["emd"].score

    def spy(*args):
        called.append(1)
        return real(*args)

    metric = METRICS["emd"]
    spied = type(metric)(**{**metric.__dict__, "score": spy, "factory": None})
    scores = compare(store, [METRICS["mse"], spied])
    scores.mse.compute(scheduler="sync")
    assert not called
    scores.emd.compute(scheduler="sync")
    assert called


def test_one_read_and_one_score_task_per_block(store):
    scores = compare(store, "mse,cosine,pearson,ssim")
    seen = []
    with dask.config.set(scheduler="sync"), dask.callbacks.Callback(pretask=lambda key, *_: seen.append(key)):
        dask.compute(scores.mse, scores.cosine, scores.pearson)
    blocks = 3
    # One reads, one scores, each variable is taken from that, and put together.
    assert len(seen) <= (1 + 1 + 3) * blocks + 3
    seen.clear()
    with dask.config.set(scheduler="sync"), dask.callbacks.Callback(pretask=lambda key, *_: seen.append(key)):
        scores.mse.compute()
    assert len(seen) <= 2 * blocks + 1


def big_request(images, models=10, metrics="mse,cosine,pearson,ssim,kl"):
    stored = StoredMaps(
        "nowhere.zarr", tuple(range(models)), range(images), (224, 224), np.dtype("float32"), chunk=20
    )
    names = tuple(f"network{i}" for i in range(models))
    found = [m.with_data_range(1) if m.needs_data_range else m for m in as_metrics(metrics)]
    return Request(stored, names, np.array([f"picture{i}" for i in range(images)], object), tuple(found))


def test_graph_of_a_hundred_thousand_images_is_built_in_a_second():
    request = big_request(100_000)
    begun = time.process_time()  # not the time that others take from a busy machine
    scores = lazy_scores(request)
    mean = scores.ssim.mean("image")
    assert time.process_time() - begun < 1
    assert scores.mse.data.npartitions == 5_000
    assert mean.shape == (45,)


def test_tasks_carry_no_arrays_and_no_names():
    request = big_request(20_000)
    graph = dict(lazy_scores(request).mse.data.__dask_graph__())
    sizes = [len(cloudpickle.dumps(task)) for key, task in graph.items() if isinstance(key, tuple)]
    assert max(sizes) < 2_500
    whole = cloudpickle.dumps(graph)
    assert b"picture" not in whole
    assert b"network" not in whole


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_schedulers_agree(store, maps, scheduler):
    check(compare(store, FOUR).compute(scheduler=scheduler), maps)


def test_a_selection_of_models_and_images(store, maps):
    scores = compare(store, "mse", models=["m2", "m0"], images=["0007", "0001", "0002", "0011"])
    chosen = {name: maps[name][[7, 1, 2, 11]] for name in ("m2", "m0")}
    check(scores, chosen, "mse")
    assert scores.image.values.tolist() == ["0007", "0001", "0002", "0011"]
    assert compare(store, "mse", images=5).sizes["image"] == 5
    assert compare(store, "mse", images=slice(3, 8)).image.values.tolist()[0] == "0003"
    assert compare(maps, "mse", images=slice(3, 8)).mse.equals(compare(store, "mse", images=slice(3, 8)).mse)


def test_a_reference(store, maps):
    scores = compare(store, "mse", reference="m1")
    assert scores.model_a.values.tolist() == ["m1", "m1"]
    assert scores.model_b.values.tolist() == ["m0", "m2"]
    np.testing.assert_array_equal(scores.mse[0], compare(store, "mse").mse[0])


def test_own_normalisation_goes_before_the_common_one(maps):
    scores = compare(maps, "mse,mae:normalize=max", normalize="minmax")
    assert scores.mse.attrs["normalize"] == "minmax"
    assert scores.mae_normalize_max.attrs["normalize"] == "max"


def test_complete_cases_leave_out_images(maps, tmp_path):
    maps["m1"][3] = np.nan
    maps["m0"][5] = 1.0
    store = store_of(maps, tmp_path / "gaps.zarr")
    for given in (maps, store):
        kept = compare(given, "mse", complete_cases=True)
        assert "0003" not in kept.image.values
        assert "0005" in kept.image.values
        assert (kept.mse_reason == 0).all()
        assert compare(given, "pearson", complete_cases=True).sizes["image"] == 10


@pytest.mark.parametrize("metrics", ["mse,cosine", "mse,pearson", "mae,emd", "mae,kl,topk_iou"])
@pytest.mark.parametrize("chain", ["positive", "minmax", "positive+sum", "abs+max"])
def test_complete_cases_know_what_normalisation_makes_of_a_map(maps, metrics, chain, tmp_path):
    maps["m0"][2] = -maps["m0"][2] - 1  # nothing is left of it by positive
    maps["m1"][5] = 0.5
    maps["m2"][7] = 0
    for given in (maps, store_of(maps, tmp_path / "gaps.zarr")):
        scores = compare(given, metrics, normalize=chain, complete_cases=True).compute()
        assert 9 <= scores.sizes["image"] <= 12
        for name in metrics.split(","):
            assert np.isfinite(scores[name]).all(), name


def test_missing_maps_have_a_reason(maps):
    maps["m1"][3] = np.nan
    maps["m2"][4, 0, 0] = np.inf
    scores = compare(maps, "mse").compute()
    assert scores.mse_reason[:, 3].values.tolist() == [Reason.MISSING, 0, Reason.MISSING]
    assert scores.mse_reason[:, 4].values.tolist() == [0, Reason.NON_FINITE, Reason.NON_FINITE]
    assert np.isnan(scores.mse.values).sum() == 4


# SSIM's data range


def data_range(scores):
    import json

    return json.loads(scores.ssim.attrs["parameters"])["data_range"]


def test_range_is_given_or_known(store, maps):
    wide = np.stack(list(maps.values()))
    assert data_range(compare(store, "ssim")) == float(wide.max()) - float(wide.min())
    assert data_range(compare(maps, "ssim")) == float(wide.max()) - float(wide.min())
    assert data_range(compare(store, "ssim", data_range=7)) == 7
    assert data_range(compare(open_maps(store) * 2, "ssim", normalize="minmax")) == 1
    two = compare(store, "ssim", models=["m0", "m1"], images=2)
    assert data_range(two) == float(np.ptp(wide[:2, :2]))


def test_range_of_the_facts_is_not_trusted_once_maps_were_changed(store):
    with pytest.raises(MetricError, match="data_range="):
        compare(open_maps(store) * 2, "ssim")
    with pytest.raises(MetricError, match="data_range="):
        compare(open_maps(store).isel(image=slice(1, 3)), "ssim")


def test_lazy_array_with_no_range_is_refused(maps):
    with pytest.raises(MetricError, match="normalize='minmax'"):
        compare({name: da.asarray(one) for name, one in maps.items()}, "ssim")
    with pytest.raises(MetricError, match=r"zscore|data_range="):
        compare(maps | {}, "ssim", normalize="zscore")


# What is refused, and what is warned of


def test_negative_maps_are_refused_before_the_run(store, maps):
    maps["m1"] -= 0.5
    with pytest.raises(
        MetricError, match=r"negative values in the maps of m1.*--metrics mse,kl:normalize=abs"
    ):
        compare(maps, "mse,kl")
    compare(maps, "mse,kl:normalize=abs")


def test_very_different_ranges_are_warned_of(maps):
    maps["m1"] *= 100
    with pytest.warns(UserWarning, match="mse mostly compares their scales"):
        compare(maps, "mse,pearson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(maps, "pearson")
        compare(maps, "mse", normalize="minmax")


def test_too_small_maps(maps):
    with pytest.raises(MetricError, match="too small for hog"):
        compare(maps, "hog")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["m0", "zebra"]}, "there is no model 'zebra'; there are m0, m1, m2"),
        ({"models": ["m0", "m0"]}, "model 'm0' stands twice"),
        ({"models": ["m0"]}, "two models or more, not 1"),
        ({"reference": "zebra"}, "there is no reference model 'zebra'; there are m0, m1, m2"),
        ({"images": ["0099"]}, "there is no image '0099'"),
        ({"images": slice(0, 0)}, "no image to compare"),
        ({"names": ["a", "b", "c"]}, "a dict of arrays has its names"),
        ({"scores": "elsewhere", "overwrite": True}, "scores, overwrite only have a meaning with out="),
    ],
)
def test_what_cannot_be_is_refused(maps, options, message):
    with pytest.raises(UsageError, match=message):
        compare(maps, "mse", **options)


def test_maps_that_are_none(maps):
    with pytest.raises(UsageError, match="2 arrays need as many names, not 1"):
        compare([maps["m0"], maps["m1"]], "mse", names=["a"])
    with pytest.raises(UsageError, match="as many names"):
        compare([maps["m0"], maps["m1"]], "mse")
    with pytest.raises(UsageError, match="not int"):
        compare(7, "mse")
    with pytest.raises(ShapeError, match=r"m0 \(12, 16, 16\), m1 \(11, 16, 16\)"):
        compare({"m0": maps["m0"], "m1": maps["m1"][:11]}, "mse")
    with pytest.raises(UsageError, match="model, image, y and x"):
        compare(xr.DataArray(maps["m0"], dims=("image", "y", "x")), "mse")
    with pytest.raises(UsageError, match=r"such as dataset\.maps"):
        compare(xr.Dataset({"maps": ("x", [1.0])}), "mse")
    with pytest.raises(UsageError, match="coordinate 'model'"):
        compare(xr.DataArray(np.ones((2, 3, 4, 4)), dims=("model", "image", "y", "x")), "mse")


def test_images_in_memory_are_joined_by_their_names(maps):
    named = xr.DataArray(maps["m0"], dims=("image", "y", "x"), coords={"image": [*"lkjihgfedcba"]})
    for other in (named[::-1], named[::-1].chunk(image=5), named[::-1].transpose("y", "x", "image")):
        scores = compare({"a": named, "b": other}, "mse")
        assert scores.image.values.tolist() == [*"lkjihgfedcba"]
        assert not scores.mse.values.any()
    for other in (named[:-1], named.assign_coords(image=[*"mkjihgfedcba"]), maps["m0"]):
        for pair in ({"a": named, "b": other}, {"b": other, "a": named}):
            with pytest.raises(UsageError, match=r"do not have the same names.*salzarr\.convert"):
                compare(pair, "mse")


def test_arrays_of_others_are_taken_in_memory(maps):
    class Tensor:  # what matters of a torch.Tensor that requires its gradient
        def __init__(self, values, detached=False):
            self.values, self.detached, self.shape = values, detached, values.shape

        def detach(self):
            return Tensor(self.values, detached=True)

        def __array__(self, dtype=None, copy=None):
            assert self.detached, "torch refuses"
            return self.values

    for kind in (Tensor, OnlyDlpack, np.ndarray.tolist):
        check(compare({name: kind(one) for name, one in maps.items()}, "mse"), maps, "mse")


def test_names_may_be_typed_in_another_normal_form(maps, tmp_path):
    named = {"m0": "caf\u00e9", "m1": "b", "m2": "c"}
    images = {name: ["\u00f6l", *map(str, range(11))] for name in named.values()}
    store = store_of({named[name]: one for name, one in maps.items()}, tmp_path / "n.zarr", names=images)
    scores = compare(store, "mse", models=["b", "cafe\u0301"], reference="cafe\u0301", images=["o\u0308l"])
    assert scores.image.values.tolist() == ["\u00f6l"]
    np.testing.assert_array_equal(scores.mse, compare(store, "mse").mse[:1, :1])


def test_image_order_does_not_matter(maps):
    backwards = {name: one[::-1] for name, one in maps.items()}
    np.testing.assert_array_equal(compare(maps, "mse").mse[:, ::-1], compare(backwards, "mse").mse)


def test_many_small_images_in_memory():
    maps = random_maps(2, 3000, (8, 8))
    check(compare(maps, "mse"), maps, "mse")
