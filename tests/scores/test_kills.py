"""kill -9 at random moments: the same command again ends with the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from scores.faults import random_maps, store_of

TESTS = os.path.dirname(os.path.dirname(__file__))
# Imports once and forks for each run, before there are any threads: a run then takes a second, not ten.
PROGRAM = """
import os, sys, traceback
sys.path.insert(0, sys.argv[1])
import dask, numpy, salzarr, salzarr.scores, salzarr.store
from scores.faults import metric, slow
from salzarr.metrics import as_metrics, score_block
from salzarr.plan import pairs
import distributed.system
metrics = [*as_metrics("mse,pearson"), metric(slow)]
score_block(numpy.random.default_rng(0).random((3, 1, 16, 16), numpy.float32), pairs(3), metrics)
for line in sys.stdin:
    store, out = line.split()
    run = os.fork()
    if run == 0:
        try:
            with dask.config.set(num_workers=2):
                salzarr.compare(store, metrics, out=out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(run, flush=True)
    print(os.waitpid(run, 0)[1], flush=True)
"""


def contents(folder):
    """Read all arrays' chunks: neither leftovers of a kill, nor metadata that tells the time."""
    found = {}
    for root, _, files in os.walk(folder):
        for name in files:
            if not name.endswith(".partial") and name not in ("zarr.json", ".metadata.json", "run.json"):
                with open(os.path.join(root, name), "rb") as file:
                    found[os.path.relpath(os.path.join(root, name), folder)] = file.read()
    return found


class Runner:
    """Runs comparisons, and kills them."""

    def __init__(self, program):
        self.program = program

    def run(self, store, out, kill_after=None):
        """Run one, kill it after so many seconds; return its exit status and how long it took."""
        self.program.stdin.write(f"{store} {out}\n")
        self.program.stdin.flush()
        process = int(self.program.stdout.readline())
        begun = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):  # it was faster
                os.kill(process, signal.SIGKILL)
        status = int(self.program.stdout.readline())
        return status, time.perf_counter() - begun

    def kill_often(self, store, out, whole, kills, longest, seed, begin):
        """Kill a comparison so often, at random moments; whenever one ends, check it and begin anew."""
        moments, killed = random.Random(seed), 0
        begin()
        while True:
            kill_after = moments.uniform(0, longest) if killed < kills else None
            status, _ = self.run(store, out, kill_after)
            assert status in (0, signal.SIGKILL)
            killed += status == signal.SIGKILL
            if status == 0:
                assert contents(out) == whole
                if kill_after is None:
                    return
                begin()


@pytest.fixture
def runner():
    with running() as found:
        yield found


@contextmanager
def running():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, TESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield Runner(program)
        program.stdin.close()


@pytest.mark.parametrize("kills", [8, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_killed_and_resumed(tmp_path, runner, kills):
    store = store_of(random_maps(4, 120), tmp_path / "maps.zarr", images_per_chunk=2)
    status, duration = runner.run(store, tmp_path / "whole")
    assert status == 0
    whole = contents(tmp_path / "whole")
    out = tmp_path / "r"
    runner.kill_often(
        store, out, whole, kills, 0.5 * duration, kills, lambda: shutil.rmtree(out, ignore_errors=True)
    )


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_killed_while_growing(tmp_path, runner, kills):
    maps = random_maps(4, 120)
    small = {name: one[:61] for name, one in list(maps.items())[:3]}
    store = store_of(small, tmp_path / "growing.zarr", images_per_chunk=2)
    small_scores, out = tmp_path / "small", tmp_path / "r"
    assert runner.run(store, small_scores)[0] == 0
    shutil.copytree(small_scores, tmp_path / "whole")
    store_of(maps, store, images_per_chunk=2, append=True)
    status, duration = runner.run(store, tmp_path / "whole")
    assert status == 0

    def begin():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(small_scores, out)

    whole = contents(tmp_path / "whole")
    runner.kill_often(store, out, whole, kills, duration, kills, begin)
    assert set(os.listdir(out)) <= {"run.json", "scores.zarr"}
