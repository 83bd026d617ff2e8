"""Convert: what goes in comes out, joined by image, in whatever way it is run."""

import json
import logging
import warnings

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from store.trees import CHUNK, SHAPE, a_map, contents, plant

import salzarr
from salzarr.errors import ChangedError, InputError, ShapeError, StoreError, StoreExistsError, UsageError
from salzarr.schema import Status
from salzarr.store import facts, info, open_dataset, read_block
from salzarr.store.chunks import Chunks


def test_a_tree_comes_back_by_name(tree, tmp_path, caplog):
    caplog.set_level(logging.INFO, "salzarr")
    done = []
    report = salzarr.convert(
        tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK, progress=lambda *n: done.append(n)
    )
    maps = salzarr.open_maps(tmp_path / "maps.zarr")
    assert maps.dims == ("model", "image", "y", "x")
    assert maps.dtype == np.float32
    assert maps.data.chunksize == (1, 3, *SHAPE)
    assert maps.encoding["source"] == str(tmp_path / "maps.zarr")
    for model in ("ResNet", "VGG"):
        for image in "abcdefg":
            values = maps.sel(model=model, image=image).values
            if (model, image) == ("VGG", "c"):
                assert np.isnan(values).all()
            else:
                np.testing.assert_array_equal(values, a_map(model, image))
    assert done[-1] == (13, 13)
    assert (report.images, report.written, report.shape) == (7, 13, SHAPE)
    assert report.missing == {"VGG": 1}
    assert report.extra == {"ResNet": 1}
    assert "VGG lacks 1 image that others have: c" in caplog.messages


def test_a_plain_open_zarr_reads_it_without_a_warning(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(tmp_path / "maps.zarr")
        np.testing.assert_array_equal(dataset.maps.sel(model="VGG", image="a"), a_map("VGG", "a"))
        assert dataset.map_status.sel(model="VGG").values.tolist() == [0, 0, Status.MISSING, 0, 0, 0, 0]
        assert dataset.attrs["complete"] is True


def test_the_manifest_holds_sizes_times_and_checksums(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    dataset = open_dataset(tmp_path / "maps.zarr").sel(model="VGG")
    path = tree / "VGG/out/numpy_saliency_map/a.npy"
    assert int(dataset.source_size.sel(image="a")) == path.stat().st_size
    assert int(dataset.source_mtime.sel(image="a")) == path.stat().st_mtime_ns
    assert int(dataset.source_size.sel(image="c")) == -1
    assert len(set(dataset.source_crc.values.tolist())) == 7


def test_facts_tell_what_is_wrong_with_maps(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.random((5, *SHAPE)) - 0.5
    maps[1], maps[2], maps[3, 0, 0], maps[4, 0, 0] = 2, 0, np.nan, -np.inf
    report = salzarr.convert({"a": maps}, tmp_path / "maps.zarr")
    assert report.degenerate == {"non_finite": 2, "constant": 1, "all_zero": 1, "negative": 3}
    known = facts(tmp_path / "maps.zarr").sel(model="a")
    assert known.map_status.values.tolist() == [0, 0, 0, Status.NON_FINITE, Status.NON_FINITE]
    np.testing.assert_allclose(known.map_max[:3], [maps[0].max(), 2, 0], rtol=1e-6)
    assert float(known.map_max[3]) == np.float32(np.nanmax(maps[3]))


def test_models_that_list_images_in_other_orders_meet_by_name(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.random((3, *SHAPE), np.float32)
    a = xr.DataArray(first, dims=("image", "y", "x"), coords={"image": ["x", "y", "z"]})
    b = a.isel(image=[2, 0, 1]) + 1
    salzarr.convert({"a": a, "b": b}, tmp_path / "maps.zarr")
    maps = salzarr.open_maps(tmp_path / "maps.zarr")
    np.testing.assert_array_equal(maps.sel(model="b"), maps.sel(model="a") + 1)


def test_an_xarray_object_with_models(tmp_path):
    values = np.random.default_rng(0).random((2, 4, *SHAPE))
    array = xr.DataArray(values, dims=("model", "image", "y", "x"), coords={"model": ["a", "b"]}).chunk(
        image=2
    )
    salzarr.convert(array, tmp_path / "maps.zarr", dtype="float64")
    maps = salzarr.open_maps(tmp_path / "maps.zarr")
    assert maps.dtype == np.float64
    np.testing.assert_array_equal(maps, values)


def test_a_store_is_a_source_and_its_missing_maps_stay_missing(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "one.zarr")
    report = salzarr.convert(tmp_path / "one.zarr", tmp_path / "two.zarr", size=(3, 4))
    assert report.missing == {"VGG": 1}
    assert report.resized == 13
    assert salzarr.open_maps(tmp_path / "two.zarr").shape == (2, 7, 3, 4)


def test_different_sizes_are_refused_with_a_table(tree, tmp_path):
    np.save(tree / "VGG/out/numpy_saliency_map/a.npy", np.ones((10, 12), np.float32))
    with pytest.raises(ShapeError) as caught:
        salzarr.convert(tree, tmp_path / "maps.zarr")
    lines = str(caught.value).splitlines()
    assert lines[1].split() == ["ResNet", "6x8", "(7)"]
    assert lines[2].split() == ["VGG", "6x8", "(5),", "10x12", "(1:", "a)"]
    assert 'size="6x8"' in lines[3]
    assert not (tmp_path / "maps.zarr").exists()


def test_resizing_is_recorded(tree, tmp_path):
    np.save(tree / "VGG/out/numpy_saliency_map/a.npy", np.ones((10, 12), np.float32))
    report = salzarr.convert(tree, tmp_path / "maps.zarr", size="6x8")
    assert report.resized == 1
    dataset = open_dataset(tmp_path / "maps.zarr")
    options = json.loads(dataset.attrs["fingerprint"])
    assert options["size"] == [6, 8]
    assert options["resize"].startswith("linear, between the centers of pixels, clamped at the border")
    assert int(dataset.map_status.sel(model="VGG", image="a")) == Status.RESIZED
    assert info(tmp_path / "maps.zarr")["resized"] == 1


def test_the_real_maps_need_a_size(tmp_path, pytestconfig):
    real = pytestconfig.rootpath.parent / "shared/data/Models"
    if not real.exists():
        pytest.skip("the real maps are not here")
    with pytest.raises(ShapeError, match=r"(?s)224x224.*300x300"):
        salzarr.convert(real, tmp_path / "maps.zarr")
    report = salzarr.convert(real, tmp_path / "maps.zarr", size=(224, 224))
    assert report.shape == (224, 224)
    assert report.resized == 5
    kept = np.load(next((real / "VGG16").rglob("batch_maps.npy")))
    np.testing.assert_array_equal(salzarr.open_maps(tmp_path / "maps.zarr").sel(model="VGG16"), kept)


def test_channels_need_a_rule(tmp_path):
    maps = {"a": np.random.default_rng(0).random((4, 3, *SHAPE))}
    with pytest.raises(ShapeError, match='channel="mean"'):
        salzarr.convert(maps, tmp_path / "maps.zarr")
    salzarr.convert(maps, tmp_path / "maps.zarr", channel="mean")
    np.testing.assert_allclose(salzarr.open_maps(tmp_path / "maps.zarr")[0], maps["a"].mean(1), rtol=1e-6)


def test_options_that_cannot_be_are_refused(tree, tmp_path):
    for options in ({"size": "6"}, {"size": (0, 3)}, {"size": 5}, {"channel": "median"}, {"dtype": "int8"}):
        with pytest.raises(UsageError):
            salzarr.convert(tree, tmp_path / "maps.zarr", **options)
    with pytest.raises(InputError, match="not list"):
        salzarr.convert([1, 2], tmp_path / "maps.zarr")


def test_the_same_command_again_does_nothing(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    before = (tmp_path / "maps.zarr/zarr.json").stat().st_mtime_ns
    assert salzarr.convert(tree, tmp_path / "maps.zarr").written == 0
    assert (tmp_path / "maps.zarr/zarr.json").stat().st_mtime_ns == before


def test_append_adds_models_and_images_at_the_end(tree, tmp_path):
    store = tmp_path / "maps.zarr"
    salzarr.convert(tree, store, chunk_bytes=CHUNK)
    plant(tree, models=("Alex", "ResNet", "VGG"), images="0cgh", but=())
    with pytest.raises(StoreExistsError, match="1 models and 2 images are not in it"):
        salzarr.convert(tree, store)
    report = salzarr.convert(tree, store, append=True)
    assert report.written == 9  # VGG's c, 0 and h of three models, c and g of the new one
    maps = salzarr.open_maps(store)
    assert maps.image.values.tolist() == [*"abcdefg", "0", "h"]
    assert maps.model.values.tolist() == ["ResNet", "VGG", "Alex"]
    for model in ("ResNet", "VGG"):
        for image in "abcdefg0h":
            np.testing.assert_array_equal(maps.sel(model=model, image=image), a_map(model, image))
    assert len(json.loads(open_dataset(store).attrs["provenance"])["runs"]) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xr.open_zarr(store).sizes["image"] == 9
    assert salzarr.verify(store, tree) == []


def test_append_needs_the_same_size(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    with pytest.raises(ShapeError, match="3x4, those of"):
        salzarr.convert({"new": np.ones((2, 3, 4))}, tmp_path / "maps.zarr", append=True, names=["a", "b"])


def test_append_does_not_join_maps_without_names(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    with pytest.raises(InputError, match="have no names"):
        salzarr.convert({"new": np.ones((7, *SHAPE))}, tmp_path / "maps.zarr", append=True)


def test_overwrite_replaces_a_store_and_keeps_what_is_not_its_own(tree, tmp_path):
    store = tmp_path / "maps.zarr"
    salzarr.convert(tree, store)
    (store / "notes.txt").write_text("mine")
    with pytest.raises(ShapeError):
        salzarr.convert({"a": np.ones((2, 3, *SHAPE))}, store, overwrite=True)
    assert salzarr.open_maps(store).sizes["image"] == 7  # refused before anything was deleted
    salzarr.convert({"a": np.ones((2, *SHAPE))}, store, overwrite=True)
    assert salzarr.open_maps(store).shape == (1, 2, *SHAPE)
    assert (store / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("how", [{"zarr_format": 3}, {"zarr_format": 2}, {"zarr_format": 3, "y": 2}])
def test_a_store_that_xarray_wrote_again_can_be_read_but_not_grown(how, tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    dataset = open_dataset(tmp_path / "maps.zarr").load()
    for name in dataset.variables:
        dataset[name].encoding = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (dataset.chunk(y=2) if "y" in how else dataset).to_zarr(
            tmp_path / "copy.zarr", zarr_format=how["zarr_format"]
        )
    assert info(tmp_path / "copy.zarr")["size"] == list(SHAPE)
    np.testing.assert_array_equal(
        read_block(tmp_path / "copy.zarr", slice(None), slice(1, 6)), dataset.maps[:, 1:6]
    )
    assert salzarr.verify(tmp_path / "copy.zarr") == []
    with pytest.raises(StoreError, match="another tool"):
        salzarr.convert(tree, tmp_path / "copy.zarr", append=True)


def test_other_options_are_refused_for_a_store_that_is_there(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    with pytest.raises(ChangedError, match=r"size was None and is now \[3, 4\]"):
        salzarr.convert(tree, tmp_path / "maps.zarr", size=(3, 4))


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_every_scheduler_writes_the_same_bytes(scheduler, tree, tmp_path):
    salzarr.convert(tree, tmp_path / "expected.zarr", chunk_bytes=CHUNK)
    with dask.config.set(scheduler=scheduler, num_workers=1 if scheduler == "processes" else None):
        salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    assert salzarr.verify(tmp_path / "maps.zarr", tree) == []
    assert contents(tmp_path / "maps.zarr") == contents(tmp_path / "expected.zarr")


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes(tree, tmp_path):
    from distributed import Client, LocalCluster

    salzarr.convert(tree, tmp_path / "expected.zarr", chunk_bytes=CHUNK)
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
        assert salzarr.verify(tmp_path / "maps.zarr", tree) == []
    assert contents(tmp_path / "maps.zarr") == contents(tmp_path / "expected.zarr")


def test_a_chunk_is_what_zarr_would_write(tmp_path):
    maps = {"a": np.random.default_rng(0).random((5, 40, 50), np.float32)}
    salzarr.convert(maps, tmp_path / "maps.zarr", chunk_bytes=3 * 40 * 50 * 4)
    written = zarr.open_array(tmp_path / "maps.zarr/maps", mode="r")
    other = zarr.create_array(
        tmp_path / "other.zarr",
        shape=written.shape,
        chunks=written.chunks,
        dtype=written.dtype,
        compressors=written.compressors,
        fill_value=np.nan,
    )
    other[:] = maps["a"][None]
    for block in ("0", "1"):
        ours = (tmp_path / f"maps.zarr/maps/c/0/{block}/0/0").read_bytes()
        assert ours == (tmp_path / f"other.zarr/c/0/{block}/0/0").read_bytes()
    assert Chunks("", written).native


def test_an_object_store_is_a_store(tree):
    url = "memory://bucket/maps.zarr"
    salzarr.convert(tree, url, chunk_bytes=CHUNK)
    np.testing.assert_array_equal(salzarr.open_maps(url).sel(model="VGG", image="a"), a_map("VGG", "a"))
    np.testing.assert_array_equal(read_block(url, [1], slice(0, 1))[0, 0], a_map("VGG", "a"))
    assert salzarr.verify(url, tree) == []
    with pytest.raises(StoreExistsError):
        salzarr.convert({"x": np.ones((1, *SHAPE))}, url, names=["a"])
    salzarr.convert(tree, url, overwrite=True)
    with pytest.raises(StoreError, match="does not exist"):
        salzarr.open_maps("memory://bucket/no.zarr")


def test_info_is_json(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr")
    found = json.loads(json.dumps(info(tmp_path / "maps.zarr")))
    assert found["models"]["VGG"]["missing"] == found["missing"] == 1
    assert found["images"] == 7
    assert found["size"] == list(SHAPE)
    assert found["complete"] is True
    assert [codec["name"] for codec in found["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert found["bytes"] == 13 * 6 * 8 * 4
    assert found["stored_bytes"] > 0


def test_stacks_without_names_that_are_joined_by_position_are_said(tmp_path, caplog):
    for model in "ab":
        (tmp_path / "Models" / model).mkdir(parents=True)
        np.save(tmp_path / "Models" / model / "batch_maps.npy", np.zeros((3, 4, 4), np.float32))
    salzarr.convert(tmp_path / "Models", tmp_path / "maps.zarr")
    assert "a, b have no names, and are joined by their positions" in caplog.text


def test_a_store_inside_the_folder_of_its_source_is_no_source_of_itself(tmp_path):
    for model in "ab":
        (tmp_path / model).mkdir()
        np.save(tmp_path / model / "cat.npy", np.ones(SHAPE, np.float32))
    salzarr.convert(tmp_path, tmp_path / "maps.zarr")
    assert salzarr.convert(tmp_path, tmp_path / "maps.zarr").written == 0
    assert salzarr.verify(tmp_path / "maps.zarr", source=tmp_path) == []
