"""A store as the source of another: nothing is lost, and nothing is read that need not be."""

import numpy as np
import pytest
import xarray as xr
from store.trees import CHUNK, SHAPE, contents, plant

import salzarr
from salzarr.errors import ChangedError, IncompleteError, ShapeError, UsageError
from salzarr.store import open_dataset


@pytest.fixture
def store(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    return tmp_path / "maps.zarr"


def test_a_copy_is_the_same_but_for_where_it_comes_from(tree, store, tmp_path):
    report = salzarr.convert(store, tmp_path / "copy.zarr", chunk_bytes=CHUNK)
    assert (report.written, report.missing) == (13, {"VGG": 1})
    before, after = (contents(path) for path in (store, tmp_path / "copy.zarr"))
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= {"zarr.json", "image/.metadata.json"}
    assert salzarr.verify(tmp_path / "copy.zarr", tree) == []
    assert salzarr.verify(tmp_path / "copy.zarr", store) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_values_come_over_bit_for_bit(dtype, tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, (5, *SHAPE), np.uint64).astype(np.dtype(dtype).str.replace("f", "u"))
    maps = bits.view(dtype)  # NaNs with payloads, denormals, infinities, minus zero
    maps[0, 0, :4] = np.array([np.nan, -np.inf, -0.0, 5e-324]).astype(dtype)
    salzarr.convert({"a": maps}, tmp_path / "maps.zarr", dtype=dtype)
    salzarr.convert(tmp_path / "maps.zarr", tmp_path / "copy.zarr", dtype=dtype)
    assert salzarr.open_maps(tmp_path / "copy.zarr").values[0].tobytes() == maps.tobytes()


def test_names_come_over_as_they_are(tmp_path):
    names = ["cat.jpg", "b.npy", " lead", "trail ", "n01/cat", "a,b", '"', "caf\u00e9", "x" * 300, ".."]
    salzarr.convert({"../a": np.ones((len(names), *SHAPE))}, tmp_path / "maps.zarr", names=names)
    salzarr.convert(tmp_path / "maps.zarr", tmp_path / "again.zarr")
    dataset = open_dataset(tmp_path / "again.zarr")
    assert (dataset.model.values.tolist(), dataset.image.values.tolist()) == (["../a"], names)


def test_stores_of_other_models_and_other_images_become_one(tmp_path):
    tree = plant(tmp_path / "Models")
    salzarr.convert(tree, tmp_path / "whole.zarr", chunk_bytes=CHUNK)
    salzarr.convert(tree, tmp_path / "1.zarr", chunk_bytes=CHUNK, models=["ResNet"])
    salzarr.convert(tree, tmp_path / "2.zarr", chunk_bytes=CHUNK, models=["VGG"], glob="*/**/[abcde].npy")
    salzarr.convert(tree, tmp_path / "3.zarr", chunk_bytes=CHUNK, models=["VGG"], glob="*/**/[efg].npy")
    for part in (1, 2, 3):
        report = salzarr.convert(tmp_path / f"{part}.zarr", tmp_path / "all.zarr", append=True)
    assert report.missing == {"VGG": 1}
    whole, joined = (open_dataset(tmp_path / name) for name in ("whole.zarr", "all.zarr"))
    xr.testing.assert_equal(joined.sel(model=whole.model, image=whole.image), whole)
    assert salzarr.verify(tmp_path / "all.zarr", tree) == []


def test_what_is_there_is_not_read_again(store, tmp_path, monkeypatch):
    from salzarr.store import stored_source

    salzarr.convert(store, tmp_path / "copy.zarr")
    monkeypatch.setattr(stored_source, "read_block", None)
    assert salzarr.convert(store, tmp_path / "copy.zarr").written == 0


def test_models_are_chosen_and_renamed(store, tmp_path):
    salzarr.convert(store, tmp_path / "vgg.zarr", models=["VGG"])
    report = salzarr.convert(store, tmp_path / "vgg.zarr", models={"new": "VGG"}, append=True)
    assert report.models == ("VGG", "new")
    with pytest.raises(UsageError, match="no model 'ViT'"):
        salzarr.convert(store, tmp_path / "x.zarr", models={"a": "ViT"})
    with pytest.raises(UsageError, match="choose with models="):
        salzarr.convert(store, tmp_path / "x.zarr", glob="*")


def test_a_resized_copy_has_facts_of_its_own(store, tmp_path):
    report = salzarr.convert(store, tmp_path / "small.zarr", size=(3, 4))
    assert report.resized == 13
    assert salzarr.verify(tmp_path / "small.zarr") == []
    assert salzarr.verify(tmp_path / "small.zarr", store) == []
    assert salzarr.convert(store, tmp_path / "small.zarr", size=(3, 4)).written == 0
    assert salzarr.convert(tmp_path / "small.zarr", tmp_path / "copy.zarr").resized == 13
    with pytest.raises(ShapeError, match="convert them all into a new store with size="):
        salzarr.convert(tmp_path / "small.zarr", store, models={"new": "VGG"}, append=True)


def test_stores_that_contradict_each_other_are_refused(tree, store, tmp_path):
    np.save(tree / "VGG/out/numpy_saliency_map/a.npy", np.zeros(SHAPE, np.float32))
    salzarr.convert(tree, tmp_path / "2.zarr")
    with pytest.raises(ChangedError, match=r"1 inputs are not .*2\.zarr: image a of VGG; give another"):
        salzarr.convert(tmp_path / "2.zarr", store, append=True)


def test_an_incomplete_store_is_refused(tmp_path):
    salzarr.create(tmp_path / "1.zarr", models=["a"], images=["x"], shape=SHAPE)
    with pytest.raises(IncompleteError, match="1 of a"):
        salzarr.convert(tmp_path / "1.zarr", tmp_path / "maps.zarr")


@pytest.mark.parametrize("options", [{}, {"append": True}, {"overwrite": True}])
def test_a_store_is_not_converted_into_itself(options, store, tmp_path):
    (tmp_path / "link.zarr").symlink_to(store)
    for source in (store, tmp_path / "link.zarr", f"file://{store}"):
        with pytest.raises(UsageError, match="both the source and the store"):
            salzarr.convert(source, store, **options)
    assert salzarr.verify(store) == []
