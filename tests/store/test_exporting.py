"""export and merge: nothing is lost on the way out, or from several stores into one."""

import numpy as np
import pytest
from store.trees import CHUNK, SHAPE, a_map, contents, plant

import salzarr
from salzarr.errors import ChangedError, IncompleteError, StoreExistsError, UsageError
from salzarr.store import open_dataset
from salzarr.store.exporting import safe_path


@pytest.fixture
def store(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    return tmp_path / "maps.zarr"


@pytest.mark.parametrize("stacked", [True, False])
def test_every_bit_comes_back(stacked, store, tmp_path):
    done = []
    files = salzarr.export(store, tmp_path / "out", stacked=stacked, progress=lambda *n: done.append(n))
    assert len(files) == (2 if stacked else 13)
    assert done[-1] == (13, 13)
    if stacked:
        assert np.load(tmp_path / "out/VGG/batch_maps.npy").tobytes() == b"".join(
            a_map("VGG", image).tobytes() for image in "abdefg"
        )
    else:
        for image in "abdefg":
            assert np.load(tmp_path / f"out/VGG/{image}.npy").tobytes() == a_map("VGG", image).tobytes()
    salzarr.convert(tmp_path / "out", tmp_path / "again.zarr", chunk_bytes=CHUNK)
    assert contents(tmp_path / "again.zarr/maps") == contents(store / "maps")
    assert contents(tmp_path / "again.zarr/image") == contents(store / "image")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_values_come_back_bit_for_bit(dtype, tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, (5, *SHAPE), np.uint64).astype(np.dtype(dtype).str.replace("f", "u"))
    maps = bits.view(dtype)  # NaNs with payloads, denormals, infinities, minus zero
    maps[0, 0, :4] = np.array([np.nan, -np.inf, -0.0, 5e-324]).astype(dtype)
    salzarr.convert({"a": maps}, tmp_path / "maps.zarr", dtype=dtype)
    salzarr.export(tmp_path / "maps.zarr", tmp_path / "out")
    assert np.load(tmp_path / "out/a/batch_maps.npy").tobytes() == maps.tobytes()


def test_names_come_back_as_they_are(tmp_path):
    names = ["cat.jpg", "b.npy", " lead", "trail ", "n01/cat", "a,b", '"', "caf\u00e9", "x" * 300]
    salzarr.convert({"a": np.ones((len(names), *SHAPE))}, tmp_path / "maps.zarr", names=names)
    salzarr.export(tmp_path / "maps.zarr", tmp_path / "out")
    salzarr.convert(tmp_path / "out", tmp_path / "again.zarr")
    assert open_dataset(tmp_path / "again.zarr").image.values.tolist() == names
    files = salzarr.export(tmp_path / "maps.zarr", tmp_path / "one", images=["cafe\u0301"], stacked=False)
    assert [path.rsplit("/", 1)[1] for path in files] == ["caf\u00e9.npy"]


def test_only_some_models_and_images(store, tmp_path):
    files = salzarr.export(store, tmp_path / "out", models=["VGG"], images=["g", "a", "c"], stacked=False)
    assert [path.rsplit("/", 1)[1] for path in files] == ["g.npy", "a.npy"]
    with pytest.raises(UsageError, match="no model 'ViT'"):
        salzarr.export(store, tmp_path / "out", models=["ViT"])
    with pytest.raises(UsageError, match="no image 'z'"):
        salzarr.export(store, tmp_path / "out", images=["z"])


def test_files_that_are_there_are_kept_unless_told_otherwise(store, tmp_path):
    salzarr.export(store, tmp_path / "out")
    with pytest.raises(StoreExistsError, match=r"batch_maps\.npy exists"):
        salzarr.export(store, tmp_path / "out")
    salzarr.export(store, tmp_path / "out", overwrite=True)


HOSTILE = [
    "../../outside",
    "..",
    ".",
    "/etc/passwd",
    "a//b",
    "x" * 300,
    "ü" * 200,
    "nul\\x",
    "%2E",
    "-rf",
    "n01/cat",
]


@pytest.mark.parametrize("stacked", [True, False])
def test_22_nothing_is_written_outside_the_folder(stacked, tmp_path):
    maps = {name: np.ones((len(HOSTILE), *SHAPE)) for name in HOSTILE}
    salzarr.convert(maps, tmp_path / "maps.zarr", names=HOSTILE)
    salzarr.export(tmp_path / "maps.zarr", tmp_path / "deep/er/out", stacked=stacked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "maps.zarr"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["er"]
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["out"]
    assert len({safe_path(name) for name in HOSTILE}) == len(HOSTILE)
    files = list((tmp_path / "deep/er/out").rglob("*.npy"))
    assert len(files) == (len(HOSTILE) if stacked else len(HOSTILE) ** 2)


def test_stores_of_other_models_and_other_images_become_one(tmp_path):
    tree = plant(tmp_path / "Models")
    salzarr.convert(tree, tmp_path / "whole.zarr", chunk_bytes=CHUNK)
    salzarr.convert(tree, tmp_path / "1.zarr", chunk_bytes=CHUNK, models=["ResNet"])
    salzarr.convert(tree, tmp_path / "2.zarr", chunk_bytes=CHUNK, models=["VGG"], glob="*/**/[abcde].npy")
    salzarr.convert(tree, tmp_path / "3.zarr", chunk_bytes=CHUNK, models=["VGG"], glob="*/**/[efg].npy")
    report = salzarr.merge([tmp_path / f"{n}.zarr" for n in (1, 2, 3)], tmp_path / "maps.zarr")
    assert report.missing == {"VGG": 1}
    assert contents(tmp_path / "maps.zarr") == contents(tmp_path / "whole.zarr")
    assert salzarr.verify(tmp_path / "maps.zarr", tree) == []


def test_merging_keeps_what_was_resized(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "1.zarr", size=(3, 4))
    assert salzarr.merge([tmp_path / "1.zarr"], tmp_path / "maps.zarr").resized == 13
    dataset = open_dataset(tmp_path / "maps.zarr")
    assert dataset.attrs["fingerprint"]["size"] == [3, 4]


def test_stores_that_contradict_each_other_are_refused(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "1.zarr")
    np.save(tree / "VGG/out/numpy_saliency_map/a.npy", np.zeros(SHAPE, np.float32))
    salzarr.convert(tree, tmp_path / "2.zarr")
    with pytest.raises(ChangedError, match=r"2\.zarr has another map of VGG, image 'a'"):
        salzarr.merge([tmp_path / "1.zarr", tmp_path / "2.zarr"], tmp_path / "maps.zarr")
    salzarr.convert(tree, tmp_path / "3.zarr", dtype="float64")
    with pytest.raises(ChangedError, match="not converted with the same dtype; convert one again"):
        salzarr.merge([tmp_path / "2.zarr", tmp_path / "3.zarr"], tmp_path / "maps.zarr")
    with pytest.raises(UsageError, match="at least one"):
        salzarr.merge([], tmp_path / "maps.zarr")


def test_an_incomplete_store_is_not_merged_or_exported(tmp_path):
    salzarr.create(tmp_path / "1.zarr", models=["a"], images=["x"], shape=SHAPE)
    for use in (
        lambda s: salzarr.merge([s], tmp_path / "maps.zarr"),
        lambda s: salzarr.export(s, tmp_path / "out"),
    ):
        with pytest.raises(IncompleteError, match="1 of a"):
            use(tmp_path / "1.zarr")
