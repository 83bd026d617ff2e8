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
from scores.faults import counting, counts, random_maps, store_of

from salzarr import compare, convert, open_maps
from salzarr.errors import InputError, MetricError, ShapeError, UsageError
from salzarr.maps import StoreMaps
from salzarr.metrics import METRICS, as_metrics, score_block
from salzarr.plan import pairs
from salzarr.schema import Reason
from salzarr.scores.designs import UniquePairs
from salzarr.scores.lazy import lazy_scores
from salzarr.scores.request import Request
from salzarr.statistics.rows import variable_names

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
    assert scores.kl_b_to_a.dims == ("pair", "image")
    assert scores.kl_b_to_a.shape == (3, 12)


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
    stored = StoreMaps(
        tuple(f"network{i}" for i in range(models)), tuple(f"picture{i}" for i in range(images)),
        range(models), range(images), (224, 224), np.dtype("float32"), 20, "nowhere.zarr",
    )  # fmt: skip
    found = [m.with_data_range(1) if m.needs_data_range else m for m in as_metrics(metrics)]
    return Request(stored, tuple(found), UniquePairs(models))


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


@pytest.mark.parametrize("metrics", ["mse,cosine", "mse,pearson", "mae,emd", "mae,js,topk_iou"])
@pytest.mark.parametrize("chain", ["positive", "minmax", "positive+sum", "abs+max"])
def test_complete_cases_know_what_normalisation_makes_of_a_map(maps, metrics, chain, tmp_path):
    maps["m0"][2] = -maps["m0"][2] - 1  # nothing is left of it by positive
    maps["m1"][5] = 0.5
    maps["m2"][7] = 0
    for given in (maps, store_of(maps, tmp_path / "gaps.zarr")):
        scores = compare(given, metrics, normalize=chain, complete_cases=True).compute()
        assert 9 <= scores.sizes["image"] <= 12
        for name in variable_names(scores):
            assert np.isfinite(scores[name]).all(), name


def test_complete_cases_leave_out_maps_without_signs_where_signs_are_compared(maps):
    signed = {name: one - 0.5 for name, one in maps.items()}
    signed["m1"][3] += 1
    scores = compare(signed, "sign_agreement,mse", complete_cases=True).compute()
    assert scores.sizes["image"] == len(maps["m1"]) - 1
    assert (scores.sign_agreement_reason == 0).all()


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


@pytest.mark.parametrize("data_range", [None, 500.0])
def test_one_hot_pixel_in_one_map_draws_a_warning_of_the_range_that_it_makes(data_range):
    rng = np.random.default_rng(7)
    maps = {name: rng.random((12, 48, 48)) for name in "ab"}
    maps["a"][3, 20, 20] = maps["b"][5, 20, 20] = 500
    with pytest.warns(UserWarning, match="data range of ssim, 500, is 500 times that of the med"):
        scores = compare(maps, "ssim", data_range=data_range)
    assert scores.ssim.mean() > 0.9, "which says nothing of noise"
    compare(maps, "ssim", normalize="minmax")
    compare(maps, "psnr", data_range=1.0)


def test_opposite_maps_score_high_by_ssim_and_that_is_warned_of():
    maps = np.random.default_rng(7).random((4, 32, 32))
    with pytest.warns(UserWarning, match="the maps of b have negative values, for which ssim can be high"):
        scores = compare({"a": maps, "b": -maps}, "ssim,pearson")
    assert scores.ssim.mean() > 0.9
    np.testing.assert_allclose(scores.pearson, -1)


def test_lazy_array_with_no_range_is_refused(maps):
    with pytest.raises(MetricError, match="normalize='minmax'"):
        compare({name: da.asarray(one) for name, one in maps.items()}, "ssim")
    with (
        pytest.warns(UserWarning, match="maps after zscore have negative values"),
        pytest.raises(MetricError, match=r"data_range="),
    ):
        compare(maps, "ssim", normalize="zscore")


# What is refused, and what is warned of


def test_negative_maps_are_refused_before_the_run(store, maps):
    maps["m1"] -= 0.5
    with pytest.raises(
        MetricError, match=r'negative values in the maps of m1.*metrics="mse,kl:normalize=abs'
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
        ({"images": slice(0, 0)}, "no image is left to compare"),
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
    with pytest.raises(InputError, match=r"12 maps of m0 have no names, .* with the 11 maps of m1"):
        compare({"m0": maps["m0"], "m1": maps["m1"][:11]}, "mse")
    with pytest.raises(ShapeError, match=r"m0 \(16, 16\), m1 \(16, 11\); salzarr.convert can resize"):
        compare({"m0": maps["m0"], "m1": maps["m1"][..., :11]}, "mse")
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
    for pair in ({"a": named, "b": maps["m0"]}, {"b": maps["m0"], "a": named}):
        with pytest.raises(InputError, match=r"12 maps of b have no names, .* with the named maps of a"):
            compare(pair, "mse")


def test_images_that_a_model_lacks_have_no_score_and_a_notice(maps, tmp_path, caplog):
    named = xr.DataArray(maps["m0"], dims=("image", "y", "x"), coords={"image": [*"lkjihgfedcba"]})
    other = named.assign_coords(image=[*"mkjihgfedcba"])
    for given in ({"a": named, "b": other}, {"a": named.chunk(image=5), "b": other}):
        scores = compare(given, "mse").compute()
        assert scores.image.values.tolist() == [*"lkjihgfedcbam"]
        assert scores.mse_reason.values.tolist() == [[Reason.MISSING, *[0] * 11, Reason.MISSING]]
        convert(given, tmp_path / "maps.zarr", overwrite=True)
        check_same(scores, compare(tmp_path / "maps.zarr", "mse"))
    assert "maps are missing: 1 of a, 1 of b" in caplog.text
    counted = compare({"a": (named * 255).astype(np.uint8), "b": other}, "cosine").compute()
    assert counted.cosine_reason.values.tolist() == scores.mse_reason.values.tolist()


def check_same(scores, others):
    assert scores.image.values.tolist() == others.image.values.tolist()
    np.testing.assert_array_equal(scores.mse, others.mse)


def test_y_and_x_are_names(maps, tmp_path):
    named = xr.DataArray(maps["m0"], dims=("image", "y", "x"))
    turned = named.transpose("image", "x", "y")
    for given in ({"a": named, "b": turned}, {"a": turned, "b": named.transpose("x", "image", "y")}):
        assert (compare(given, "mse").mse == 0).all()
        convert(given, tmp_path / "maps.zarr", overwrite=True)
        np.testing.assert_array_equal(open_maps(tmp_path / "maps.zarr").sel(model="a"), maps["m0"])


def test_names_are_those_of_the_maps_that_were_given(store, tmp_path):
    maps = open_maps(store)
    renamed = maps.assign_coords(model=["m1", "m2", "m0"], image=[*"lkjihgfedcba"])
    for given in (renamed, renamed.isel(model=[2, 0], image=slice(3)), renamed.sel(model=["m2", "m0"])):
        lazy, loaded = compare(given, "mse"), compare(given.compute(), "mse")
        assert lazy.image.values.tolist() == given.image.values.tolist()
        assert lazy.model_a.values.tolist() == loaded.model_a.values.tolist()
        np.testing.assert_array_equal(lazy.mse, loaded.mse)
    with pytest.raises(UsageError, match="other names than in"):
        compare(renamed, "mse", out=tmp_path / "r")


def test_labels_of_images_and_models_go_with_the_scores(store, maps, tmp_path):
    labels = {"kind": ("image", [*"aabbaabbaabb"]), "method": ("model", ["cam", "lime", "cam"])}
    array = open_maps(store).assign_coords(labels)
    for given in (array, array.compute(), array.isel(image=slice(1, 9))):
        scores = compare(given, "mse", models=["m2", "m1"])
        assert scores.kind.values.tolist() == given.kind.values.tolist()
        assert (scores.method_a.values.tolist(), scores.method_b.values.tolist()) == (["cam"], ["lime"])
    assert compare(array, "mse").mse.groupby("kind").mean().sizes["kind"] == 2
    stored = compare(store, "mse", out=tmp_path / "r")
    assert "kind" not in stored.coords
    numbers = array.assign_coords(number=("image", np.arange(12) / 2))
    for _ in range(2):
        stored = compare(numbers, "mse", out=tmp_path / "r")
        lazy = compare(numbers, "mse").compute()
        assert set(stored.coords) == set(lazy.coords)
        for name in lazy.coords:
            assert stored[name].values.tolist() == lazy[name].values.tolist()
    one = array.sel(model="m0", drop=True).assign_coords(image=range(12)).compute()
    scores = compare({"a": one, "b": one.drop_vars("kind")}, "mse")
    assert scores.kind.values.tolist() == labels["kind"][1]
    with pytest.raises(UsageError, match="image '3' has the kind 'b' for one model and 'c' for another"):
        compare({"a": one, "b": one.assign_coords(kind=("image", [*"aabcaabbaabb"]))}, "mse")
    with pytest.raises(UsageError, match="label 'mse' has the name"):
        compare(one.expand_dims(model=["a", "b"]).rename(kind="mse"), "mse")


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
