"""Numbers 1 to 12 of the faults: each as it really happens."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from store import commands
from store.trees import CHUNK, SHAPE, a_map, contents, plant

import salzarr
from salzarr.errors import (
    ChangedError,
    CorruptError,
    IncompleteError,
    InputError,
    LockedError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    VersionError,
)
from salzarr.locks import lock
from salzarr.store import read_block
from salzarr.store.layout import open_writable

KILLING = Path(__file__).parent / "killing.py"


@pytest.fixture
def store(tree, tmp_path):
    salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    return tmp_path / "maps.zarr"


def killed_at_each(command, folder, every):
    commands.prepare(folder)
    done = subprocess.run(
        [sys.executable, KILLING, command, folder, str(every)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(("command", "every"), [("convert", 37), ("create", 53)])
def test_1_kill_9_at_some_writes(command, every, tmp_path):
    assert killed_at_each(command, tmp_path, every) > 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", ["convert", "append", "overwrite", "create", "join"])
def test_1_kill_9_at_every_single_write(command, tmp_path):
    kills = killed_at_each(command, tmp_path, 1)
    print(f"{command} was killed at {kills} points")
    assert kills > 30


def test_1_a_bad_input_costs_its_own_map_and_the_next_run_reads_no_other(tree, store, tmp_path, caplog):
    caplog.set_level(logging.INFO, "salzarr")
    again = tmp_path / "again.zarr"
    bad = tree / "VGG/out/numpy_saliency_map/e.npy"
    good = bad.read_bytes()
    bad.write_bytes(good[:-10])
    for _ in range(2):
        with pytest.raises(InputError, match=r"1 map could not.*\n.*e\.npy is truncated"):
            salzarr.convert(tree, again, chunk_bytes=CHUNK)
    with pytest.raises(IncompleteError, match="missing: 2 of VGG, maps could not be read: 1 of VGG"):
        salzarr.open_maps(again)
    assert salzarr.info(again)["unreadable"] == 1
    assert [str(problem) for problem in salzarr.verify(again)][1:] == []
    bad.write_bytes(good)
    report = salzarr.convert(tree, again, chunk_bytes=CHUNK)
    assert report.written == 1
    assert "unfinished" in caplog.text
    assert salzarr.verify(again, tree) == []
    assert contents(again / "maps") == contents(store / "maps")


def test_1_a_bad_input_that_is_removed_is_missing(tree, tmp_path):
    bad = tree / "VGG/out/numpy_saliency_map/e.npy"
    bad.write_bytes(b"")
    with pytest.raises(InputError, match=r"e\.npy"):
        salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    bad.unlink()
    assert salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK).written == 0
    facts = salzarr.info(tmp_path / "maps.zarr")
    assert (facts["complete"], facts["missing"], facts["unreadable"]) == (True, 2, 0)


def test_1_what_there_is_of_an_unfinished_store_can_be_compared(tree, tmp_path):
    bad = tree / "VGG/out/numpy_saliency_map/e.npy"
    good = bad.read_bytes()
    bad.write_bytes(good[:-10])
    with pytest.raises(InputError):
        salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    found = salzarr.compare(tmp_path / "maps.zarr", "mse,similarity", allow_incomplete=True)
    assert found.mse_reason.values.tolist() == [[0, 0, 1, 0, 1, 0, 0]]
    options = {"out": tmp_path / "results", "allow_incomplete": True, "metrics": "mse"}
    salzarr.compare(tmp_path / "maps.zarr", **options)
    bad.write_bytes(good)
    salzarr.convert(tree, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    found = salzarr.compare(tmp_path / "maps.zarr", **options)
    assert found.mse_reason.values.tolist() == [[0, 0, 1, 0, 0, 0, 0]]


def test_1_if_no_map_can_be_read_there_is_no_store(tree, tmp_path):
    for path in tree.rglob("*.npy"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.npy is empty"):
        salzarr.convert(tree, tmp_path / "maps.zarr")
    assert not (tmp_path / "maps.zarr").exists()


def test_1_an_all_nan_block_that_was_done_is_there(tmp_path):
    maps = np.full((7, *SHAPE), np.nan, np.float32)
    salzarr.convert({"a": maps}, tmp_path / "maps.zarr", chunk_bytes=CHUNK)
    assert len(contents(tmp_path / "maps.zarr/maps/c")) == 3
    assert np.isnan(read_block(tmp_path / "maps.zarr", [0], slice(0, 7))).all()
    assert salzarr.verify(tmp_path / "maps.zarr") == []


def test_2_partial_files_are_ignored(store, tree):
    for place in ("", "maps", "maps/c/0/0/0", "image/c"):
        (store / place / "zarr.json.0123.partial").write_bytes(b"truncated")
    np.testing.assert_array_equal(read_block(store, [1], slice(0, 1))[0, 0], a_map("VGG", "a"))
    assert salzarr.open_maps(store).load().shape == (2, 7, *SHAPE)
    assert salzarr.verify(store) == []
    plant(tree, images="h")
    assert salzarr.convert(tree, store, append=True).written == 2


def chunk_of(store, model, block):
    return store / f"maps/c/{model}/{block}/0/0"


def missing(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def torn(path):
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_3_4_5_deleting_a_bad_chunk_and_repeating_the_command_mends_it(store, tree):
    expected = contents(store)
    flipped(chunk_of(store, 1, 1))
    chunk_of(store, 1, 1).unlink()
    assert salzarr.convert(tree, store).written == 3
    assert contents(store) == expected
    assert salzarr.verify(store, tree) == []


def swapped(path):
    shutil.copy(path.parents[2] / "0/0/0", path)


FAULTS = [(3, missing, "missing"), (4, empty, "truncated"), (4, torn, "checksum"), (5, flipped, "checksum")]


@pytest.mark.parametrize(
    ("number", "fault", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_3_4_5_a_bad_chunk_is_named_by_model_and_images(number, fault, words, store):
    fault(chunk_of(store, 1, 1))
    with pytest.raises(CorruptError, match=words) as caught:
        read_block(store, slice(None), slice(2, 5))
    for text in ("VGG", "'d'", "'f'", "maps/c/1/1/0/0"):
        assert text in str(caught.value)
    read_block(store, slice(None), slice(0, 3))  # the others can be read
    [problem] = salzarr.verify(store)
    assert words in str(problem)
    assert (problem.model, problem.images) == ("VGG", ("d", "e", "f"))
    assert "VGG, images d to f (3): chunk maps/c/1/1/0/0" in str(problem)


def test_5_verify_lists_every_bad_chunk(store):
    missing(chunk_of(store, 0, 0))
    flipped(chunk_of(store, 0, 1))
    empty(chunk_of(store, 1, 2))
    assert [(p.model, p.images[0]) for p in salzarr.verify(store)] == [
        ("ResNet", "a"),
        ("ResNet", "d"),
        ("VGG", "g"),
    ]


def test_5_a_whole_chunk_in_the_wrong_place_is_found(store):
    swapped(chunk_of(store, 1, 1))
    problems = salzarr.verify(store)
    assert [p.images for p in problems] == [("d",), ("e",), ("f",)]
    assert "map_min" in str(problems[0])


@pytest.mark.parametrize("array", ["map_min", "image", "map_status"])
def test_5_damaged_facts_and_names_are_found(array, store):
    [chunk] = [path for path in (store / array / "c").rglob("*") if path.is_file()][:1]
    flipped(chunk)
    assert "damaged names or facts" in str(salzarr.verify(store)[0])
    if array == "map_min":
        with pytest.raises(CorruptError, match="facts"):
            salzarr.store.facts(store)


def test_5_a_damaged_chunk_is_not_added_to(store, tree):
    plant(tree, images="h")
    flipped(chunk_of(store, 1, 2))
    with pytest.raises(CorruptError, match="no maps can be added to it"):
        salzarr.convert(tree, store, append=True)


def test_6_a_full_disk_ends_the_run_and_more_room_finishes_it(tmp_path):
    """On a real file system of 1 MB."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False, capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        maps = {"a": np.random.default_rng(0).random((20, 128, 128), np.float32)}
        with pytest.raises(StoreError, match=r"No space left.*nothing that was finished is lost"):
            salzarr.convert(maps, small / "maps.zarr", chunk_bytes=1 << 16)
        until = time.monotonic() + 60
        while list(small.rglob("*.partial")):  # threads end the task that they are at
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(IncompleteError):
            salzarr.open_maps(small / "maps.zarr")
        subprocess.run(["mount", "-o", "remount,size=10m", small], check=True)
        salzarr.convert(maps, small / "maps.zarr", chunk_bytes=1 << 16)
        np.testing.assert_array_equal(salzarr.open_maps(small / "maps.zarr")[0], maps["a"])
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_7_an_output_that_cannot_be_written(tree, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        salzarr.convert(tree, tmp_path / "file" / "maps.zarr")
    with pytest.raises(StoreError, match="cannot be written"):
        salzarr.convert(tree, "/proc/maps.zarr")
    with pytest.raises(StoreError, match="cannot be written"):
        salzarr.convert(tree, tmp_path / "file")


@pytest.mark.parametrize("word", ["refused", "endpoint"])
def test_7_an_endpoint_that_does_not_answer(word, tree, monkeypatch):
    import fsspec.implementations.memory

    class Dead(fsspec.implementations.memory.MemoryFileSystem):
        protocol = "dead"

        def _dead(self, *args, **options):
            raise ConnectionError(f"connection {word}")

        pipe_file = cat_file = info = ls = exists = _open = _dead

    fsspec.register_implementation("dead", Dead, clobber=True)
    for use in (salzarr.open_maps, lambda url: salzarr.convert(tree, url)):
        with pytest.raises(StoreError, match=word):
            use("dead://bucket/maps.zarr")


def test_8_the_second_run_on_a_store_refuses(tree, tmp_path):
    with lock(tmp_path / "maps.zarr"), pytest.raises(LockedError, match="in use by another run"):
        salzarr.convert(tree, tmp_path / "maps.zarr")
    salzarr.convert(tree, tmp_path / "maps.zarr")


def test_8_a_lock_dies_with_its_process(tmp_path):
    code = f"""
import time
from salzarr.locks import lock
with lock({str(tmp_path / "maps.zarr")!r}):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockedError), lock(tmp_path / "maps.zarr"):
        pass
    process.kill()
    process.communicate()
    with lock(tmp_path / "maps.zarr"):
        assert os.listdir(tmp_path / "maps.zarr") == []


def test_9_changed_inputs_are_refused_by_name(store, tree):
    path = tree / "VGG/out/numpy_saliency_map/a.npy"
    np.save(path, a_map("VGG", "a") + 1)
    with pytest.raises(ChangedError, match=r"1 inputs are not those.*a\.npy"):
        salzarr.convert(tree, store)
    assert salzarr.open_maps(store).shape == (2, 7, *SHAPE)
    [problem] = salzarr.verify(store, tree)
    assert (problem.model, problem.images) == ("VGG", ("a",))
    assert "another map" in str(problem)


def test_9_a_refused_append_leaves_the_store_as_it_was(store, tree):
    before = (store / "zarr.json").read_bytes(), contents(store)
    np.save(tree / "VGG/out/numpy_saliency_map/a.npy", a_map("VGG", "a") + 1)
    plant(tree, models=["New"], images="xy")
    with pytest.raises(ChangedError, match="1 inputs are not those"):
        salzarr.convert(tree, store, append=True)
    assert ((store / "zarr.json").read_bytes(), contents(store)) == before


def test_9_a_map_that_was_missing_is_growth(store, tree):
    plant(tree, models=["VGG"], images="c", but=())
    with pytest.raises(StoreExistsError, match="1 maps are not in it"):
        salzarr.convert(tree, store)
    assert salzarr.open_maps(store).shape == (2, 7, *SHAPE)
    assert salzarr.convert(tree, store, append=True).missing == {}


def test_9_a_new_time_alone_is_no_change(store, tree):
    for path in tree.rglob("*.npy"):
        os.utime(path, (0, 0))
    assert salzarr.convert(tree, store).written == 0


def test_9_inputs_that_are_gone_are_refused(store, tree):
    (tree / "VGG/out/numpy_saliency_map/a.npy").unlink()
    with pytest.raises(ChangedError, match="1 maps of VGG that are no longer in the source"):
        salzarr.convert(tree, store)
    assert "in the store only" in str(salzarr.verify(store, tree)[0])


def test_9_new_inputs_of_an_unfinished_store_are_growth(tree, tmp_path):
    bad = tree / "VGG/out/numpy_saliency_map/e.npy"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)
    bad.write_bytes(good)
    plant(tree, images="hi")
    report = salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)
    assert report.images == 9
    assert salzarr.verify(tmp_path / "maps.zarr", tree) == []


def test_9_in_memory_maps_are_compared_by_their_bytes(tmp_path):
    maps = {"a": np.random.default_rng(0).random((4, *SHAPE))}
    salzarr.convert(maps, tmp_path / "maps.zarr")
    assert salzarr.convert(maps, tmp_path / "maps.zarr").written == 0
    with pytest.raises(ChangedError, match="4 inputs are not those"):
        salzarr.convert({"a": maps["a"] + 1}, tmp_path / "maps.zarr")


@pytest.mark.parametrize("content", ["other files", "another zarr", "scores"])
def test_10_overwrite_deletes_nothing_but_a_maps_store(content, tree, tmp_path):
    import zarr

    target = tmp_path / "precious"
    if content == "other files":
        target.mkdir()
        (target / "thesis.tex").write_text("years of work")
    else:
        group = zarr.open_group(target, mode="w")
        group.attrs["salzarr_kind"] = "scores" if content == "scores" else None
    before = sorted(target.iterdir())
    with pytest.raises(StoreExistsError, match="not a salzarr maps store"):
        salzarr.convert(tree, target, overwrite=True)
    with pytest.raises(StoreError):
        salzarr.convert(tree, target)
    assert sorted(target.iterdir()) == before


def test_11_a_newer_format_is_refused(store, tree):
    attrs = json.loads((store / "zarr.json").read_text())
    attrs["attributes"]["salzarr_format"] = 99
    (store / "zarr.json").write_text(json.dumps(attrs))
    for use in (salzarr.open_maps, lambda path: salzarr.convert(tree, path, append=True), salzarr.info):
        with pytest.raises(VersionError, match="upgrade salzarr"):
            use(store)


def test_11_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        salzarr.open_maps(tmp_path / "no.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("")
    with pytest.raises(StoreNotFoundError, match="is not a Zarr store"):
        salzarr.open_maps(tmp_path / "folder")
    (tmp_path / "folder/zarr.json").write_text("{ torn")
    with pytest.raises(StoreError, match=r"damaged metadata"):
        salzarr.open_maps(tmp_path / "folder")


def test_12_an_input_that_changes_during_the_run(tree, tmp_path, monkeypatch):
    from salzarr.sources import npy

    path = tree / "VGG/out/numpy_saliency_map/e.npy"
    real = npy.check_rows

    def touching(shape, indices, name):
        if name == str(path):
            os.utime(path, (1, 1))
        return real(shape, indices, name)

    monkeypatch.setattr(npy, "check_rows", touching)
    with pytest.raises(InputError, match=r"e\.npy changed while it was converted"):
        salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)
    monkeypatch.undo()
    salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)
    assert salzarr.verify(tmp_path / "maps.zarr", tree) == []


def test_12_an_input_that_vanishes_during_the_run(tree, tmp_path, monkeypatch):
    from salzarr.sources import npy

    path = tree / "VGG/out/numpy_saliency_map/e.npy"
    real, opened = npy.open_npy, []

    def vanishing(name):
        opened.append(name)
        if opened.count(str(path)) == 3:  # the first two look at its header
            path.unlink(missing_ok=True)
        return real(name)

    monkeypatch.setattr(npy, "open_npy", vanishing)
    with pytest.raises(InputError, match=r"(?s)everything else|all others are.*e\.npy"):
        salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)
    monkeypatch.undo()
    report = salzarr.convert(tree, tmp_path / "maps.zarr", size=SHAPE)  # it is missing then
    assert report.missing == {"VGG": 2}


def test_12_the_store_is_deleted_meanwhile(store):
    salzarr.store.open_dataset(store)
    shutil.rmtree(store)
    with pytest.raises(StoreError, match="does not exist"):
        read_block(store, [0], slice(0, 1))


def test_a_store_made_anew_is_not_read_from_memory(tmp_path):
    for value in (1, 2):
        salzarr.convert({"a": np.full((2, *SHAPE), value)}, tmp_path / "maps.zarr", overwrite=value > 1)
        assert read_block(tmp_path / "maps.zarr", [0], slice(0, 2)).mean() == value
        time.sleep(0.01)


def test_the_place_that_opens_for_writing_writes_empty_chunks(store):
    opened = open_writable(str(store))
    opened.arrays["map_status"][:] = 1  # nothing but fill values
    assert len(contents(store / "map_status/c")) == 2
