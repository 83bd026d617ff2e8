"""create: from the loop that makes the maps, in any order, from several processes."""

import subprocess
import sys

import numpy as np
import pytest
from store.trees import CHUNK, SHAPE, a_map

import salzarr
from salzarr.errors import (
    ChangedError,
    IncompleteError,
    InputError,
    LockedError,
    ShapeError,
    StoreExistsError,
    UsageError,
)
from salzarr.schema import Status
from salzarr.store import open_dataset

IMAGES = list("abcdefg")


def make(store, models=("A", "B"), **options):
    return salzarr.create(store, models=models, images=IMAGES, shape=SHAPE, chunk_bytes=CHUNK, **options)


def batch(model, images):
    return np.stack([a_map(model, image) for image in images])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maps.zarr"


@pytest.mark.parametrize("buffer_bytes", [0, 2 * CHUNK, 1 << 28])
def test_batches_in_any_order_make_the_store_that_convert_makes(buffer_bytes, path, tmp_path):
    with make(path, buffer_bytes=buffer_bytes) as store:
        for images in ("gc", "fab", "d", "e"):
            for model in "AB":
                store.write(model, list(images), batch(model, images))
    salzarr.convert(
        {m: batch(m, IMAGES) for m in "AB"}, tmp_path / "other.zarr", chunk_bytes=CHUNK, names=IMAGES
    )
    for name in ("maps", "map_min", "map_sum", "map_status", "source_crc"):
        ours, theirs = (open_dataset(p)[name].values for p in (path, tmp_path / "other.zarr"))
        np.testing.assert_array_equal(ours, theirs)
    assert salzarr.verify(path) == []


def test_what_was_not_written_is_missing(path):
    with make(path) as store:
        store.write("A", ["b"], batch("A", "b"))
        store.write("B", IMAGES, batch("B", IMAGES))
    status = open_dataset(path).map_status.sel(model="A").values
    assert status.tolist() == [Status.MISSING, 0, *[Status.MISSING] * 5]


def test_a_batch_may_be_changed_afterwards(path):
    values = batch("A", "a")
    with make(path, models=["A"]) as store:
        store.write("A", ["a"], values)
        values[:] = 0
        store.write("A", IMAGES[1:], batch("A", IMAGES[1:]))
    np.testing.assert_array_equal(salzarr.open_maps(path)[0, 0], a_map("A", "a"))


def test_channels_and_lists_are_taken(path):
    with make(path, models=["A"], channel="mean") as store:
        store.write("A", ["a"], [[a_map("A", "a")]])  # (1, 1, H, W)
        store.write("A", ["b"], np.stack([batch("A", "bc")]))  # two channels
    maps = salzarr.open_maps(path)[0]
    np.testing.assert_array_equal(maps[0], a_map("A", "a"))
    np.testing.assert_allclose(maps[1], batch("A", "bc").mean(0), rtol=1e-6)


def test_a_model_that_nobody_writes_leaves_the_store_incomplete(path, caplog):
    with make(path) as store:
        store.write("A", IMAGES, batch("A", IMAGES))
    assert "is incomplete: B not written yet" in caplog.text
    with pytest.raises(IncompleteError, match="7 of B"):
        salzarr.open_maps(path)
    with make(path) as store:
        assert store.remaining("A") == []
        store.write("B", IMAGES, batch("B", IMAGES))
    assert salzarr.verify(path) == []


def test_an_error_keeps_what_there_is_and_the_next_run_goes_on(path):
    with pytest.raises(ZeroDivisionError), make(path, models=["A"]) as store:  # noqa: PT012
        store.write("A", ["a", "b", "c", "d"], batch("A", "abcd"))
        raise ZeroDivisionError
    with pytest.raises(IncompleteError):
        salzarr.open_maps(path)
    with make(path, models=["A"]) as store:
        assert store.remaining("A") == ["e", "f", "g"]
        store.write("A", IMAGES, batch("A", IMAGES))  # those that are there already are compared
    assert salzarr.verify(path) == []
    np.testing.assert_array_equal(salzarr.open_maps(path)[0], batch("A", IMAGES))


def test_another_map_than_an_earlier_run_wrote_is_refused(path):
    with pytest.raises(ZeroDivisionError), make(path, models=["A"]) as store:  # noqa: PT012
        store.write("A", ["a"], batch("A", "a"))
        raise ZeroDivisionError
    with (
        pytest.raises(ChangedError, match="differs from the one of an earlier run"),
        make(path, models=["A"]) as store,
    ):
        store.write("A", ["a"], batch("A", "b"))


@pytest.mark.parametrize(
    ("model", "images", "values", "error", "words"),
    [
        ("C", ["a"], np.ones((1, *SHAPE)), UsageError, "model 'C' was not declared"),
        ("A", ["z"], np.ones((1, *SHAPE)), UsageError, "image 'z' was not declared"),
        ("A", ["a", "a"], np.ones((2, *SHAPE)), UsageError, "written already"),
        ("A", ["a"], np.ones((2, *SHAPE)), ShapeError, r"needs \(1, H, W\)"),
        ("A", ["a"], np.ones(SHAPE), ShapeError, r"needs \(1, H, W\)"),
        ("A", ["a"], np.ones((1, 5, 5)), ShapeError, "but maps of 6x8 were declared"),
        ("A", ["a"], np.ones((1, 3, *SHAPE)), ShapeError, "channels"),
        ("A", ["a"], np.ones((1, *SHAPE), complex), InputError, "real numbers"),
        ("A", ["a"], np.full((1, *SHAPE), 1e300), InputError, "float64"),
    ],
)
def test_what_cannot_be_written_is_refused(model, images, values, error, words, path):
    with pytest.raises(error, match=words), make(path) as store:
        store.write(model, images, values)


def test_what_cannot_be_created_is_refused(path):
    with pytest.raises(UsageError, match="given twice"):
        make(path, models=["A", "A"])
    with pytest.raises(UsageError, match="at least one"):
        make(path, models=[])
    with pytest.raises(UsageError, match="not positive"):
        salzarr.create(path, models=["A"], images=["a"], shape=(0, 5))
    with pytest.raises(UsageError, match="not open"):
        make(path).write("A", ["a"], np.ones((1, *SHAPE)))
    with pytest.raises(ChangedError, match="other models"):
        make(path, models=["X"])
    with make(path) as store:
        for model in "AB":
            store.write(model, IMAGES, batch(model, IMAGES))
    with pytest.raises(StoreExistsError, match="is complete; choose another"):
        make(path)
    make(path, overwrite=True)


def test_a_model_is_written_by_one_process_at_a_time(path):
    with make(path) as first:
        first.write("A", ["a"], batch("A", "a"))
        with pytest.raises(LockedError, match="another process writes model 'A'"), make(path) as second:
            second.write("A", ["b"], batch("A", "b"))
        with pytest.raises(LockedError):
            salzarr.convert({"A": np.ones((1, *SHAPE))}, path)


@pytest.mark.slow
def test_several_processes_write_a_store_together(path, tmp_path):
    code = """
import sys
sys.path.insert(0, sys.argv[3])
from store.test_writer import IMAGES, batch, make
with make(sys.argv[1], models=[*"ABCD"]) as store:
    for images in ("gc", "fab", "de"):
        store.write(sys.argv[2], list(images), batch(sys.argv[2], images))
"""
    tests = str(__file__).rsplit("/", 2)[0]
    running = [subprocess.Popen([sys.executable, "-c", code, path, model, tests]) for model in "ABCD"]
    assert [process.wait() for process in running] == [0] * 4
    assert salzarr.verify(path) == []
    np.testing.assert_array_equal(
        salzarr.open_maps(path), np.stack([batch(model, IMAGES) for model in "ABCD"])
    )


def test_factors_of_the_models_are_coordinates(tmp_path):
    given = {"models": ["a/1", "a/2"], "images": ["x"], "shape": SHAPE}
    with salzarr.create(
        tmp_path / "maps.zarr", **given, factors={"seed": [1, 2], "method": ["ig", "ig"]}
    ) as store:
        for model in given["models"]:
            store.write(model, ["x"], np.ones((1, *SHAPE)))
    maps = salzarr.open_maps(tmp_path / "maps.zarr")
    assert maps.seed.values.tolist() == ["1", "2"]
    assert maps.groupby("seed").mean().sizes["seed"] == 2
    for factors, words in (
        ({"seed": [1]}, "1 values for 2 models"),
        ({"maps": [1, 2]}, "something else of that name"),
        ({"a seed": [1, 2]}, "one word"),
    ):
        with pytest.raises(UsageError, match=words):
            salzarr.create(tmp_path / "other.zarr", **given, factors=factors)


def test_a_store_that_was_begun_with_other_factors_is_not_joined(tmp_path):
    given = {"models": ["a"], "images": ["x"], "shape": SHAPE}
    salzarr.create(tmp_path / "maps.zarr", **given, factors={"seed": ["1"]})
    with pytest.raises(ChangedError, match="factors"):
        salzarr.create(tmp_path / "maps.zarr", **given, factors={"seed": ["2"]})
