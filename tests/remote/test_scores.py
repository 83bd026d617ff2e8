"""Scores on an object store: what holds for those on a disk holds for them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import obstore
import pytest
import xarray as xr
from scores.faults import counting, counts, metric, random_maps, store_of
from scores.test_growth import same
from scores.test_kills import contents

import salzarr
from salzarr import compare, open_scores
from salzarr.errors import ChangedError, IncompleteError, StoreExistsError, UsageError
from salzarr.location import zarr_store
from salzarr.metrics import as_metrics

TESTS = Path(__file__).parents[1]


@pytest.fixture
def counter(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    return [*as_metrics("mse,kl"), metric(counting)]


def test_they_are_those_of_a_local_run(bucket, tmp_path, counter):
    store = store_of(random_maps(), bucket.url + "/maps.zarr")
    far = compare(store, counter, out=tmp_path / "r", scores=bucket.url + "/s.zarr")
    assert counts() == 3 * 12
    here = compare(store, counter, out=tmp_path / "here")
    xr.testing.assert_equal(far.load(), here.load())
    assert bucket.contents("s.zarr") == contents(tmp_path / "here" / "scores.zarr")
    assert bucket.names() == ["maps.zarr", "s.zarr"]
    assert sorted(os.listdir(tmp_path / "r")) == ["run.json", "scores.url"]
    counts()
    told = []
    compare(store, counter, out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert counts() == 0
    assert told == []


def test_they_grow(bucket, tmp_path, counter):
    maps = random_maps(4, 13)
    store = store_of({name: one[:9] for name, one in list(maps.items())[:2]}, tmp_path / "maps.zarr")
    scores = bucket.url + "/deep/s.zarr"
    compare(store, counter, out=tmp_path / "r", scores=scores)
    store_of(maps, store, append=True)
    counts()
    wanted = [*counter, *as_metrics("pearson")]
    grown = compare(store, wanted, out=tmp_path / "r", scores=scores)
    assert counts() == 6 * 13 - 1 * 9
    same(grown, compare(store, wanted, out=tmp_path / "scratch"))
    assert [item["path"].split("/")[1] for item in obstore.list(bucket.store).collect()].count("s.zarr") > 20
    listed = obstore.list_with_delimiter(bucket.store, "deep")
    assert (listed["common_prefixes"], listed["objects"]) == (["deep/s.zarr"], [])
    with pytest.raises(ChangedError, match="these results hold pearson, too"):
        compare(store, counter, out=tmp_path / "r")


def test_overwriting_them_begins_anew(bucket, tmp_path, counter):
    maps = random_maps(3, 8)
    scores = bucket.url + "/s.zarr"
    compare(store_of(maps, tmp_path / "maps.zarr"), counter, out=tmp_path / "r", scores=scores)
    few = store_of({name: one[:5] + 1 for name, one in maps.items()}, tmp_path / "few.zarr")
    anew = compare(few, counter, out=tmp_path / "r", overwrite=True)
    same(anew, compare(few, counter))
    assert not [name for name in bucket.contents("s.zarr") if name.endswith("/2")]


def test_other_objects_are_left_alone(bucket, tmp_path):
    store = store_of(random_maps(), tmp_path / "maps.zarr")
    obstore.put(bucket.store, "data/notes.txt", b"mine")
    with pytest.raises(StoreExistsError, match="data holds other objects; choose another place"):
        compare(store, "mse", out=tmp_path / "r", scores=bucket.url + "/data", overwrite=True)
    assert bucket.contents("data") == {"notes.txt": b"mine"}
    with pytest.raises(UsageError, match="is a whole bucket; give a place in it, such as s3://"):
        compare(store, "mse", out=tmp_path / "r2", scores=bucket.url)


def test_everything_that_reads_scores_reads_them(bucket, tmp_path):
    store = store_of(random_maps(), bucket.url + "/maps.zarr")
    compare(store, "mse,ssim", out=tmp_path / "r", scores=bucket.url + "/s.zarr")
    assert salzarr.verify(store) == []
    summary = salzarr.summarize(open_scores(tmp_path / "r"))
    assert np.isfinite(salzarr.to_matrix(summary, "mse")).all()
    assert open_scores(bucket.url + "/s.zarr").equals(open_scores(tmp_path / "r"))
    for command in (["report"], ["plot", "matrix"], ["plot", "gallery"]):
        done = cli(command[0], str(tmp_path / "r"), *command[1:])
        assert done.returncode == 0, done.stderr
    for command in ("verify", "info"):
        done = cli(command, store)
        assert done.returncode == 0, done.stderr
    written = set(os.listdir(tmp_path / "r"))
    assert {"summary.csv", "report.html", "matrix_mse.png", "gallery_mse.png"} <= written


def cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "salzarr", *map(str, arguments)],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


# kill -9: a child does the run, and is killed right before its n-th change to the object store.

PROGRAM = """
import os, sys, signal, traceback
sys.path.insert(0, sys.argv[1])
import dask, numpy, salzarr, salzarr.scores, salzarr.store, obstore, zarr.storage, distributed.system
from salzarr import lease
lease.HEARTBEAT, lease.EXPIRY = 0.05, 1.0
count = 0

def counted(change):
    async def changed(*arguments, **options):
        global count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return await change(*arguments, **options)
    return changed

for name in ("set", "delete"):
    setattr(zarr.storage.ObjectStore, name, counted(getattr(zarr.storage.ObjectStore, name)))
for line in sys.stdin:
    store, out, scores, metrics, at = line.split()
    kill_at, run = int(at), os.fork()
    if run == 0:
        try:
            with dask.config.set(scheduler="threads", num_workers=2):
                salzarr.compare(store, metrics, out=out, scores=scores)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        print(count, flush=True)
        os._exit(0)
    status = os.waitpid(run, 0)[1]
    if status:
        print(-status, flush=True)
"""


class Runner:
    """Runs comparisons, each in a process of its own."""

    def __init__(self, program):
        self.program = program

    def run(self, *arguments, kill_at=0):
        """Return how many changes there were; or minus how it ended."""
        self.program.stdin.write(" ".join(map(str, [*arguments, kill_at])) + "\n")
        self.program.stdin.flush()
        return int(self.program.stdout.readline())


@pytest.fixture
def runner(endpoint):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, TESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield Runner(program)
        program.stdin.close()


EVERY = [29, pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.timeout(1800)
def test_killed_and_resumed(bucket, tmp_path, runner, every):
    store = store_of(random_maps(3, 8), tmp_path / "maps.zarr", images_per_chunk=2)
    compare(store, "mse,kl", out=tmp_path / "here")
    changes = runner.run(store, tmp_path / "r", f"{bucket.url}/whole.zarr", "mse,kl")
    assert changes > 17
    steps = {*range(1, changes + 1, every), changes - 1, changes}  # the last two finish the store
    for step in sorted(steps):
        arguments = store, tmp_path / str(step), f"{bucket.url}/{step}.zarr", "mse,kl"
        assert runner.run(*arguments, kill_at=step) == -signal.SIGKILL
        assert runner.run(*arguments) > 0
        assert bucket.contents(f"{step}.zarr") == contents(tmp_path / "here" / "scores.zarr")
        # A plain xarray opens them without a warning: they are consolidated.
        assert xr.open_zarr(zarr_store(f"{bucket.url}/{step}.zarr")).attrs["complete"] is True
    assert bucket.names() == sorted(["whole.zarr", *(f"{step}.zarr" for step in steps)])


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.timeout(3000)
def test_killed_while_growing(bucket, tmp_path, runner, every):
    maps = random_maps(3, 9)
    store = store_of({"m0": maps["m0"][:5], "m1": maps["m1"][:5]}, tmp_path / "maps.zarr", images_per_chunk=2)

    def begin(name):
        assert runner.run(store_before, tmp_path / name, f"{bucket.url}/{name}.zarr", "mse") > 0

    store_before = tmp_path / "before.zarr"
    store_of({"m0": maps["m0"][:5], "m1": maps["m1"][:5]}, store_before, images_per_chunk=2)
    store_of(maps, store, images_per_chunk=2, append=True)
    begin("whole")
    changes = runner.run(store, tmp_path / "whole", f"{bucket.url}/whole.zarr", "mse,kl")
    whole = bucket.contents("whole.zarr")
    same(open_scores(tmp_path / "whole"), compare(store, "mse,kl"))
    for step in range(1, changes + 1, every):
        begin(str(step))
        arguments = store, tmp_path / str(step), f"{bucket.url}/{step}.zarr", "mse,kl"
        assert runner.run(*arguments, kill_at=step) == -signal.SIGKILL
        # Whatever it was killed at: the old scores are there, or all of the new ones, or it is said.
        try:
            assert open_scores(tmp_path / str(step)).mse.notnull().all()
        except IncompleteError:
            grown = open_scores(f"{bucket.url}/{step}.zarr.growing")
            assert grown.mse.notnull().all()
        assert runner.run(*arguments) > 0
        assert bucket.contents(f"{step}.zarr") == whole
    kept = ["whole.zarr", *(f"{step}.zarr" for step in range(1, changes + 1, every))]
    assert bucket.names() == sorted(kept)


def test_what_a_run_did_is_noted(bucket, tmp_path):
    store = store_of(random_maps(), tmp_path / "maps.zarr")
    scores = compare(store, "mse", out=tmp_path / "r", scores=bucket.url + "/s.zarr")
    assert json.loads(scores.attrs["provenance"])["runs"] == [{"tasks": 3, "computing": 3, "scores": 36}]
