"""The durable comparison: what is written, what a second run makes of it, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from scores.faults import POISON, metric, raising, random_maps, slow, store_of

from salzarr import compare, open_maps, open_scores
from salzarr.errors import (
    BudgetError,
    ChangedError,
    CorruptError,
    IncompleteError,
    LockedError,
    RunError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    UsageError,
    VersionError,
)
from salzarr.locks import lock
from salzarr.schema import Reason
from salzarr.scores import plan_comparison

FOUR = "mse,cosine,pearson,ssim"


def contents(folder):
    """Read all arrays' chunks and nothing that tells the time."""
    found = {}
    for root, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)
            if not name.endswith(".partial") and name not in ("zarr.json", ".metadata.json", "run.json"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = file.read()
    return found


def test_chunks_have_the_bytes_that_zarr_writes(store, tmp_path):
    compare(store, "mse,emd,kl", out=tmp_path / "r")
    url = tmp_path / "r" / "scores.zarr"
    ours = contents(url)
    with zarr.config.set({"array.write_empty_chunks": True}):
        for _, array in zarr.open_group(url, mode="r+").arrays():
            array[...] = array[...]
    assert contents(url) == ours
    assert {"kl_a_to_b/c/0/0", "kl_b_to_a_reason/c/0/0", "emd/c/0/0"} <= set(ours)


def test_a_log_does_not_make_a_folder_foreign(store, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "slurm-4711.out").write_text("began")
    compare(store, "mse", out=tmp_path / "r")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreExistsError, match="other files, such as thesis"):
        compare(store, "mse", out=tmp_path / "other")


def test_scores_are_those_of_a_lazy_comparison(store, tmp_path):
    scores = compare(store, f"{FOUR},kl", out=tmp_path / "r")
    lazy = compare(store, f"{FOUR},kl")
    assert list(scores.data_vars) == list(lazy.data_vars)
    for name in lazy.variables:
        np.testing.assert_array_equal(scores[name], lazy[name])
        assert {k: scores[name].attrs[k] for k in lazy[name].attrs} == lazy[name].attrs
    assert scores.attrs["models"] == ["m0", "m1", "m2"]
    assert open_scores(tmp_path / "r").equals(scores)
    assert open_scores(tmp_path / "r" / "scores.zarr").equals(scores)


def test_plain_xarray_opens_them_without_a_warning(store, tmp_path):
    scores = compare(store, FOUR, out=tmp_path / "r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(tmp_path / "r" / "scores.zarr")
        np.testing.assert_array_equal(plain.ssim, scores.ssim)
    assert plain.model_a.values.tolist() == ["m0", "m0", "m1"]
    assert set(plain.coords) == {"model_a", "model_b", "image", "model"}


def test_a_chunk_is_all_pairs_of_a_block_with_a_checksum(store, tmp_path):
    compare(store, "mse,kl", out=tmp_path / "r")
    group = zarr.open_group(tmp_path / "r" / "scores.zarr", mode="r")
    assert group["mse"].chunks == (3, 4)
    assert group["kl_b_to_a"].chunks == (3, 4)
    path = tmp_path / "r" / "scores.zarr" / "mse" / "c" / "0" / "1"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"(?i)crc32c|checksum"):
        open_scores(tmp_path / "r").mse.load()


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_schedulers_write_the_same_bytes(store, tmp_path, scheduler):
    compare(store, FOUR, out=tmp_path / "default")
    with dask.config.set(scheduler=scheduler, num_workers=2):
        compare(store, FOUR, out=tmp_path / "r")
    assert contents(tmp_path / "r") == contents(tmp_path / "default")


def test_progress_counts_blocks(store, tmp_path):
    told = []
    compare(store, "mse", out=tmp_path / "r", progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_finished_comparison_is_not_done_again(store, tmp_path):
    compare(store, "mse", out=tmp_path / "r")
    before = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "r").rglob("*")}
    told = []
    compare(store, "mse", out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert {path: os.stat(path).st_mtime_ns for path in (tmp_path / "r").rglob("*")} == before
    assert not told


def test_what_a_run_lost_is_computed_again(store, tmp_path):
    compare(store, FOUR, out=tmp_path / "r")
    whole = contents(tmp_path / "r")
    scores = tmp_path / "r" / "scores.zarr"
    group = zarr.open_group(scores, mode="r+", use_consolidated=False)
    group.attrs["complete"] = False
    os.remove(scores / "ssim_reason" / "c" / "0" / "1")
    os.remove(scores / "mse" / "c" / "0" / "2")  # written, but not its reasons: not done
    os.remove(scores / "mse_reason" / "c" / "0" / "2")
    (scores / "mse_reason" / "c" / "0" / "2.0123.partial").write_bytes(b"torn")
    told = []
    with pytest.raises(IncompleteError, match="was interrupted; finish it with the same"):
        open_scores(tmp_path / "r")
    half = open_scores(tmp_path / "r", allow_incomplete=True)
    assert (half.mse_reason[:, 8:] == Reason.FAILED).all()
    compare(store, FOUR, out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert told[-1] == (2, 2)
    assert not list(scores.rglob("*.partial"))
    assert contents(tmp_path / "r") == whole


def test_blocks_of_nothing_but_nan_are_done_once(maps, tmp_path):
    for one in maps.values():
        one[4:8] = np.nan
    store = store_of(maps, tmp_path / "maps.zarr")
    compare(store, "mse", out=tmp_path / "r")
    scores = tmp_path / "r" / "scores.zarr"
    zarr.open_group(scores, mode="r+", use_consolidated=False).attrs["complete"] = False
    told = []
    compare(store, "mse", out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert told == [(0, 0)]
    assert (open_scores(tmp_path / "r").mse_reason[:, 4:8] == Reason.MISSING).all()


def test_lost_chunks_of_a_complete_store_are_noticed(store, tmp_path):
    compare(store, "mse", out=tmp_path / "r")
    os.remove(tmp_path / "r" / "scores.zarr" / "mse" / "c" / "0" / "1")
    with pytest.raises(CorruptError, match="has lost chunk mse/c/0/1"):
        compare(store, "mse", out=tmp_path / "r")
    compare(store, "mse", out=tmp_path / "r", overwrite=True)


# 9: what must be as it was


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "minmax"}, r"definition of mse changed: normalize was none and is now minmax"),
        ({"metrics": "mse"}, "these results hold ssim, too; give metrics="),
        ({"models": ["m0", "m1"]}, "model m2 is not compared any more"),
        ({"images": 5}, r"image 0005, 0006, 0007 and 4 more are not compared any more"),
        ({"data_range": 3}, "definition of ssim changed: parameters was .* and is now"),
        ({"reference": "m1"}, "the reference model was None and is now m1"),
    ],
)
def test_changed_options_are_refused(store, tmp_path, options, message):
    compare(store, "mse,ssim", out=tmp_path / "r")
    before = contents(tmp_path / "r")
    with pytest.raises(ChangedError, match=message):
        compare(store, **({"metrics": "mse,ssim"} | options), out=tmp_path / "r")
    assert contents(tmp_path / "r") == before


def test_changed_maps_are_refused(maps, store, tmp_path):
    compare(store, "mse", out=tmp_path / "r")
    maps["m1"][7] += 1
    shutil.rmtree(store)
    store_of(maps, store)
    with pytest.raises(
        ChangedError, match=r"the maps of m1 changed, on image 0007; choose another .* overwrite=True"
    ):
        compare(store, "mse", out=tmp_path / "r")
    compare(store, "mse", out=tmp_path / "r", overwrite=True)


def test_a_changed_definition_is_refused(store, tmp_path):
    import dataclasses

    from salzarr.metrics import METRICS

    compare(store, "mse", out=tmp_path / "r")
    newer = dataclasses.replace(METRICS["mse"], revision=99)
    with pytest.raises(ChangedError, match="mse changed: revision was 1 and is now 99"):
        compare(store, [newer], out=tmp_path / "r")


def test_memory_does_not_change_the_grid(tmp_path):
    store = store_of(random_maps(6, 30, (64, 64)), tmp_path / "maps.zarr", images_per_chunk=10)
    compare(store, "mse", out=tmp_path / "r")
    plan = zarr.open_group(tmp_path / "r" / "scores.zarr", mode="r").attrs["plan"]
    assert (plan["block"], plan["tile"]) == (10, 6)
    zarr.open_group(tmp_path / "r" / "scores.zarr", mode="r+").attrs["complete"] = False
    compare(store, "mse", out=tmp_path / "r", memory="8GiB")
    assert zarr.open_group(tmp_path / "r" / "scores.zarr", mode="r").attrs["plan"] == plan


def test_tiles_give_the_same_scores(tmp_path):
    store = store_of(random_maps(7, 20, (64, 64)), tmp_path / "maps.zarr", images_per_chunk=10)
    with dask.config.set(scheduler="sync"):
        whole = plan_comparison(store, FOUR, calibrated=False)
        tight = whole.peak_bytes - whole.task_bytes // 3
        tiled = plan_comparison(store, FOUR, memory=tight, calibrated=False)
        assert tiled.tile < 7
        scores = compare(store, FOUR, out=tmp_path / "r", memory=tight)
    assert json.loads(scores.attrs["plan"])["tile"] == tiled.tile
    lazy = compare(store, FOUR)
    for name in lazy.data_vars:
        np.testing.assert_allclose(
            scores[name], lazy[name], rtol=1e-12, atol=1e-12 if name != "ssim" else 1e-6
        )


# 15: what cannot fit


def test_too_little_memory_is_refused_before_the_start(store, tmp_path):
    with pytest.raises(
        BudgetError, match=r"needs .* MiB in a process .* 100.00 MiB are allowed; allow more memory"
    ):
        compare(store, "mse", out=tmp_path / "r", memory="100MiB")
    assert not (tmp_path / "r" / "scores.zarr").exists()


# 8: one run at a time


def test_two_runs_on_one_folder(store, tmp_path):
    with lock(tmp_path / "r"), pytest.raises(LockedError, match="in use by another run"):
        compare(store, "mse", out=tmp_path / "r")
    compare(store, "mse", out=tmp_path / "r")


# 10: nothing that is not scores is ever deleted


def test_overwrite_deletes_nothing_but_scores(store, tmp_path):
    precious = tmp_path / "r" / "scores.zarr" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(StoreExistsError, match="not a store of scores, so it is not overwritten"):
            compare(store, "mse", out=tmp_path / "r", overwrite=overwrite)
    with pytest.raises(StoreExistsError, match="is itself a Zarr store"):
        compare(store, "mse", out=store, overwrite=True)
    for overwrite in (False, True):
        with pytest.raises(StoreError):
            compare(store, "mse", out=tmp_path / "q", scores=store, overwrite=overwrite)
    assert precious.read_text() == "years of work"
    assert open_maps(store).shape == (3, 12, 16, 16)


# 14: a poison image


def test_a_poison_image_is_isolated_and_named(maps, tmp_path):
    maps["m1"][6, 0, 0] = POISON
    store = store_of(maps, tmp_path / "maps.zarr")
    metrics = ["mse", metric(raising)]
    with pytest.raises(
        RunError,
        match=r"1 of 12 images could not be scored: 0006 \(raising: Zero.*: poison, for .* m1 and m2\)",
    ):
        compare(store, metrics, out=tmp_path / "r")
    scores = open_scores(tmp_path / "r")
    assert np.isfinite(scores.mse).all()
    failed = scores.raising_reason == Reason.FAILED
    assert failed.any("pair").values.nonzero()[0].tolist() == [6]
    assert np.isfinite(scores.raising.values[~failed.values]).all()
    # The same again tries that block, and only that, again.
    told = []
    with pytest.raises(RunError, match="0006"):
        compare(store, metrics, out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert told[-1] == (1, 1)


def test_a_failure_that_passes_is_made_good(store, tmp_path, monkeypatch):
    from salzarr.scores.scoring import Scoring

    compare(store, "mse", out=tmp_path / "whole")
    real, calls = Scoring.score, []

    def once(self, inputs):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("a hiccup")
        return real(self, inputs)

    monkeypatch.setattr(Scoring, "score", once)
    compare(store, "mse", out=tmp_path / "r")
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


def test_damaged_maps_fail_by_image_and_are_named(store, tmp_path):
    path = next(p for p in (tmp_path / "maps.zarr" / "maps" / "c" / "1" / "1").rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:-20])
    told = r"4 of 12 images could not be scored: 0004, 0005, 0006 and 1 more \(mse: .* m1, images"
    with pytest.raises(RunError, match=told):
        compare(store, "mse", out=tmp_path / "r")
    scores = open_scores(tmp_path / "r")
    assert (scores.mse_reason == Reason.FAILED).any("pair").values.nonzero()[0].tolist() == [4, 5, 6, 7]


# 6 and 7: where nothing can be written


def test_a_results_folder_that_cannot_be(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        compare(store, "mse", out=tmp_path / "file")
    with pytest.raises(UsageError, match="results are a local folder, not s3://bucket/r"):
        compare(store, "mse", out="s3://bucket/r")


def test_a_disk_that_is_full(store, tmp_path):
    code = f"""
import resource, salzarr
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
salzarr.compare({store!r}, "mse", out={str(tmp_path / "r")!r})
"""
    wide = store_of(random_maps(60, 12), tmp_path / "wide.zarr")
    done = subprocess.run(
        [sys.executable, "-c", code.replace(store, wide)], capture_output=True, text=True, check=False
    )
    assert "StoreError" in done.stderr
    assert "cannot be used: File too large; nothing that was finished is lost" in done.stderr


# 17: Ctrl-C


def interrupt(done, _total):
    if done == 1:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()


def test_an_interrupt_leaves_a_resumable_run(tmp_path):
    store = store_of(random_maps(3, 40), tmp_path / "maps.zarr")
    metrics = ["mse", metric(slow)]
    compare(store, metrics, out=tmp_path / "whole")
    # A shell that starts us in the background has SIGINT ignored, and Python leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            compare(store, metrics, out=tmp_path / "r", progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    time.sleep(0.2)  # threads end the task that they are at
    told = []
    compare(store, metrics, out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert 0 < told[-1][1] <= 10
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


# Scores elsewhere


def test_relative_paths_are_those_of_the_caller(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    from salzarr.scores import durable

    monkeypatch.setattr(durable, "run", lambda jobs, *_: seen.extend(jobs))
    compare("maps.zarr", "mse", out="r")
    assert {job.url for job in seen} == {str(tmp_path / "r" / "scores.zarr")}
    assert {job.inputs[0].url for job in seen} == {str(tmp_path / "maps.zarr")}


def test_damaged_scores_of_an_unfinished_run_are_made_anew(store, tmp_path):
    compare(store, "mse", out=tmp_path / "r")
    whole = contents(tmp_path / "r")
    scores = tmp_path / "r" / "scores.zarr"
    zarr.open_group(scores, mode="r+", use_consolidated=False).attrs["complete"] = False
    path = scores / "mse_reason" / "c" / "0" / "1"
    path.write_bytes(path.read_bytes()[:-3])
    compare(store, "mse", out=tmp_path / "r")
    assert contents(tmp_path / "r") == whole


def test_scores_elsewhere(store, tmp_path):
    scores = compare(store, "mse", out=tmp_path / "r", scores=str(tmp_path / "far" / "s.zarr"))
    assert not (tmp_path / "r" / "scores.zarr").exists()
    assert open_scores(tmp_path / "r").equals(scores)
    assert open_scores(str(tmp_path / "far" / "s.zarr")).equals(scores)
    compare(store, "mse", out=tmp_path / "r")  # it is remembered
    assert not (tmp_path / "r" / "scores.zarr").exists()


def test_what_open_scores_refuses(store, tmp_path):
    with pytest.raises(StoreNotFoundError, match=r"no scores in .*; make them with 'salzarr compare'"):
        open_scores(tmp_path)
    with pytest.raises(StoreError, match="a store of maps; give the results of salzarr compare"):
        open_scores(store)
    compare(store, "mse", out=tmp_path / "r")
    zarr.open_group(tmp_path / "r" / "scores.zarr", mode="r+", use_consolidated=False).attrs[
        "salzarr_format"
    ] = 99
    with pytest.raises(VersionError, match="format 99"):
        open_scores(tmp_path / "r")


def test_only_stored_maps_are_compared_durably(maps, tmp_path):
    with pytest.raises(UsageError, match=r"make one with salzarr.convert\(maps, 'maps.zarr'\)"):
        compare(maps, "mse", out=tmp_path / "r")


def test_where_the_scores_come_from_is_stored(store, tmp_path):
    scores = compare(store, "mse,ssim", out=tmp_path / "r")
    provenance = json.loads(scores.attrs["provenance"])
    assert provenance["maps"]["url"] == store
    assert provenance["runs"] == [{"tasks": 3, "computing": 3, "scores": 2 * 3 * 12}]
    assert "data_range" in scores.ssim.attrs["parameters"]


@pytest.mark.filterwarnings("ignore:maps after zscore have negative values")
def test_a_range_that_takes_a_pass_over_the_maps(store, tmp_path):
    from salzarr.metrics import normalize

    scores = compare(store, "ssim", normalize="zscore", out=tmp_path / "r")
    wide = normalize.apply(open_maps(store).values, "zscore")
    assert json.loads(scores.ssim.attrs["parameters"])["data_range"] == pytest.approx(np.ptp(wide))
    compare(store, "ssim", normalize="zscore", out=tmp_path / "r")


def test_dry_run(store, tmp_path):
    found = plan_comparison(store, FOUR)
    assert found.tasks == 3
    assert found.seconds > 0
    assert {load.name for load in found.loads} == set(FOUR.split(","))
    assert "projected" not in str(found)
    assert plan_comparison(store, FOUR, out=tmp_path / "r", calibrated=False).block == 4
    assert not (tmp_path / "r").exists()
    with pytest.raises(BudgetError):
        plan_comparison(store, FOUR, memory="1MiB")


def test_a_kill_while_overwriting_leaves_nothing_in_the_way(store, tmp_path):
    compare(store, "mse", out=tmp_path / "r")
    whole = contents(tmp_path / "r")
    (tmp_path / "r" / "scores.zarr").rename(tmp_path / "r" / "scores.zarr.discarded")
    os.remove(tmp_path / "r" / "scores.zarr.discarded" / "zarr.json")
    (tmp_path / "r" / "scores.zarr").mkdir()
    (tmp_path / "r" / "scores.zarr" / "zarr.json.7.partial").write_text("{")
    for overwrite in (True, True):
        compare(store, "mse", out=tmp_path / "r", overwrite=overwrite)
    assert contents(tmp_path / "r") == whole


def test_an_unfinished_store_can_be_compared_on_request(maps, tmp_path):
    store = store_of(maps, tmp_path / "maps.zarr")
    zarr.open_group(store, mode="r+", use_consolidated=False).attrs["complete"] = False
    with pytest.raises(IncompleteError):
        compare(store, "mse")
    lazy = compare(store, "mse", allow_incomplete=True)
    assert np.isfinite(lazy.mse).all()
    scores = compare(store, "mse", allow_incomplete=True, out=tmp_path / "r")
    np.testing.assert_array_equal(scores.mse, lazy.mse)
