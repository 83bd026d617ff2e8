"""kill -9 at random moments: the same command again ends with the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from pairwise.faults import random_maps, store_of

TESTS = os.path.dirname(os.path.dirname(__file__))
# Imports once and forks for each run, before there are any threads: a run then takes a second, not ten.
PROGRAM = """
import os, sys, traceback
sys.path.insert(0, sys.argv[1])
import dask, numpy, salzarr, salzarr.pairwise, salzarr.store
from pairwise.faults import metric, slow
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
            if not name.endswith(".partial") and name != "zarr.json":
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
            os.kill(process, signal.SIGKILL)
        status = int(self.program.stdout.readline())
        return status, time.perf_counter() - begun

    def kill_often(self, store, out, kills, duration, seed):
        """Kill a comparison so often, spread over the whole of it, and then let it end."""
        moments = random.Random(seed)
        killed = 0
        for _ in range(kills):
            # Each run goes on where the last one stopped, so that short ones are needed to hit the end too.
            status, _ = self.run(store, out, moments.uniform(0, 0.3 * duration))
            killed += status == signal.SIGKILL
        assert self.run(store, out)[0] == 0
        return killed


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
    assert runner.kill_often(store, tmp_path / "r", kills, duration, seed=kills) >= kills // 2
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_killed_while_growing(tmp_path, runner, kills):
    maps = random_maps(4, 120)
    small = {name: one[:61] for name, one in list(maps.items())[:3]}
    store = store_of(small, tmp_path / "growing.zarr", images_per_chunk=2)
    assert runner.run(store, tmp_path / "r")[0] == 0
    shutil.copytree(tmp_path / "r", tmp_path / "whole")
    store_of(maps, store, images_per_chunk=2, append=True)
    status, duration = runner.run(store, tmp_path / "whole")
    assert status == 0
    runner.kill_often(store, tmp_path / "r", kills, duration, seed=kills)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")
    assert os.listdir(tmp_path / "r") == ["scores.zarr"]
