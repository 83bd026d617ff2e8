"""Metadata is data: whatever happens to it is found, in one sentence, and never a wrong number."""

import json
import os
import random

import numpy as np
import pytest

import salzarr
from salzarr import store
from salzarr.cli import run
from salzarr.errors import ChangedError, CorruptError, LockedError, SalzarrError
from salzarr.locks import lock_place
from salzarr.scores.mismatched import chance
from salzarr.store import power


def maps(images=23):
    rng = np.random.default_rng(1)
    return {name: rng.random((30, 8, 8))[:images] for name in ("a", "b", "c")}


@pytest.fixture
def made(tmp_path):
    place = tmp_path / "maps.zarr"
    store.convert(maps(), place, chunk_bytes=2000)
    return place


def files(place):
    return sorted(path for path in place.rglob("*") if path.is_file())


def test_a_shape_that_lost_an_image_is_found(made, tmp_path, capsys):
    path = made / "maps" / "zarr.json"
    path.write_text(path.read_text().replace("23", "22", 1))
    with pytest.raises(CorruptError, match=r"damaged metadata: maps/zarr.json is not as it was written"):
        salzarr.compare(made, "mse", out=tmp_path / "results")
    for command in (["verify", made], ["info", made], ["compare", made, tmp_path / "results"]):
        assert run([str(word) for word in command]) == 3
        assert "maps/zarr.json" in capsys.readouterr().err


def test_the_consolidated_copy_and_the_seal_itself_are_checked(made):
    for path in (made / "zarr.json", made / "image" / ".metadata.json"):
        whole = path.read_text()
        path.write_text(whole.replace("2", "3", 1))
        with pytest.raises(SalzarrError):
            store.open_maps(made)
        path.write_text(whole)
    assert store.open_maps(made).shape == (3, 23, 8, 8)


def test_a_store_without_a_seal_is_read(made):
    (made / "image" / ".metadata.json").unlink()
    assert store.open_maps(made).shape == (3, 23, 8, 8)


def test_growth_breaks_the_seal_and_sets_a_new_one(made):
    store.convert(maps(25), made, append=True)
    assert store.open_maps(made).sizes["image"] == 25
    assert store.verify(made) == []


def test_reads_outside_the_store_are_errors(made):
    with pytest.raises(CorruptError, match="has 3 models and 23 images, and others were asked for"):
        store.read_block(made, [0], slice(20, 24))
    with pytest.raises(CorruptError):
        store.read_block(made, [3], slice(0, 2))


@pytest.mark.parametrize("kind", ["maps", "scores"])
def test_random_flips_are_found_or_harmless(made, tmp_path, kind):
    """Every kind of file: metadata, names, facts, chunks, the consolidated copy and the seal."""
    results = tmp_path / "results"
    right = salzarr.compare(made, "mse", out=results).mse.values
    place = made if kind == "maps" else results / "scores.zarr"
    draw, refused = random.Random(3), 0
    for path in files(place) * 2:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            if kind == "maps":
                problems = store.verify(made)
                found = salzarr.compare(made, "mse").mse.values if not problems else right
                refused += bool(problems)
            else:
                found = salzarr.open_scores(results).mse.values
            assert np.array_equal(found, right), path
        except (SalzarrError, ValueError):  # lazy scores: Zarr's own checksum error
            refused += 1
        finally:
            path.write_bytes(whole)
    assert refused > len(files(place))


def test_hand_edited_attributes_are_one_sentence(made, tmp_path):
    results = tmp_path / "results"
    salzarr.compare(made, "mse", out=results)
    path = results / "scores.zarr" / "zarr.json"
    whole = json.loads(path.read_text())
    for name in whole["attributes"]:
        for value in (None, 7, "x", [], {}):
            edited = whole | {"attributes": whole["attributes"] | {name: value}}
            path.write_text(json.dumps(edited))
            with pytest.raises(SalzarrError):
                salzarr.open_scores(results)
    path.write_text(json.dumps(whole))


def test_nothing_stored_decides_what_is_imported(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("open('imported', 'w').close()\ndef f(a, b): return 0.0\n")
    scores = salzarr.compare(made, "mse").compute()
    for name in ("mse", "mse_reason"):
        scores[name].attrs["spec"] = "planted:f"
    with pytest.raises(SalzarrError, match="a file does not decide what is imported"):
        chance(scores, made)
    assert not (tmp_path / "imported").exists()


def test_what_refers_to_a_file_is_written_after_it_is_on_the_disk(tmp_path, monkeypatch):
    """Replay: at each entry of the journal, and at the last mark, nothing before it can be lost."""
    on_disk, renamed, checks = set(), set(), []
    replace, fsync = os.replace, os.fsync

    def recorded_fsync(file):
        on_disk.add(os.readlink(f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}"))
        fsync(file)

    def recorded_replace(source, target):
        replace(source, target)
        target = os.fspath(target)
        renamed.add(target)
        if "/.journal/" in target or (target.endswith("maps.zarr/zarr.json") and is_complete(target)):
            chunks = {path for path in renamed if "/maps/c/" in path}
            checks.append(chunks <= on_disk and {os.path.dirname(path) for path in chunks} <= on_disk)

    def is_complete(path):
        with open(path) as file:
            return json.load(file)["attributes"].get("complete", False)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    place = tmp_path / "maps.zarr"
    store.convert(maps(), place, chunk_bytes=2000)
    assert checks
    assert all(checks)
    unsynced = {os.fspath(path) for path in files(place)} - on_disk
    assert unsynced == set()
    assert power.sync_files([os.fspath(place / "zarr.json")]) is None


def test_a_damaged_block_of_scores_ends_a_report_with_one_sentence(made, tmp_path, capsys):
    results = tmp_path / "results"
    salzarr.compare(made, "mse", out=results)
    path = results / "scores.zarr" / "mse" / "c" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[9] ^= 4
    path.write_bytes(data)
    assert run(["report", str(results)]) == 3
    assert "is damaged: a checksum does not match" in capsys.readouterr().err


def test_two_runs_on_one_place_of_scores(made, tmp_path):
    place = tmp_path / "elsewhere" / "scores.zarr"
    with lock_place(place), pytest.raises(LockedError, match="is in use by another run"):
        salzarr.compare(made, "mse", out=tmp_path / "results", scores=str(place))
    salzarr.compare(made, "mse", out=tmp_path / "results", scores=str(place))
    assert sorted(os.listdir(place.parent)) == ["scores.zarr"]


def test_maps_that_are_replaced_while_they_are_compared(made, tmp_path):
    def replace(done, total):
        if done == total:  # scored, not finished
            os.rename(made, tmp_path / "old.zarr")
            os.rename(other, made)

    other = tmp_path / "other.zarr"
    store.convert({name: values + 1 for name, values in maps().items()}, other, chunk_bytes=2000)
    with pytest.raises(ChangedError, match="was replaced or changed while it was compared"):
        salzarr.compare(made, "mse", out=tmp_path / "results", progress=replace)


def test_maps_are_not_overwritten_while_they_are_compared(made, tmp_path):
    def overwrite(done, total):
        with pytest.raises(LockedError):
            store.convert(maps(), made, overwrite=True)

    assert salzarr.compare(made, "mse", out=tmp_path / "results", progress=overwrite).mse.notnull().all()
