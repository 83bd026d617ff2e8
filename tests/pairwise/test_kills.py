"""kill -9 at random moments: the same command again ends with the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from pairwise.faults import random_maps, store_of

RUN = """
import sys
sys.path.insert(0, {tests!r})
import dask, salzarr, salzarr.pairwise
from pairwise.faults import metric, slow
import salzarr.metrics
print("ready", flush=True)
with dask.config.set(num_workers=2):
    salzarr.compare({store!r}, [*salzarr.metrics.as_metrics({metrics!r}), metric(slow)], out={out!r})
print("done", flush=True)
"""
TESTS = os.path.dirname(os.path.dirname(__file__))


def start(store, out, metrics="mse,pearson"):
    """Start a comparison in a process of its own, and wait until it is about to begin."""
    code = RUN.format(tests=TESTS, store=store, out=str(out), metrics=metrics)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def contents(folder):
    found = {}
    for root, _, files in os.walk(folder):
        for name in files:
            if not name.endswith(".partial") and name != "zarr.json":
                with open(os.path.join(root, name), "rb") as file:
                    found[os.path.relpath(os.path.join(root, name), folder)] = file.read()
    return found


def kill_until_done(store, out, kills, duration, seed, metrics="mse,pearson"):
    """Kill a comparison so often, at random moments, and then let it end."""
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = start(store, out, metrics)
        time.sleep(moments.uniform(0, duration / 2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert start(store, out, metrics).communicate()[0] == "done\n"
    return killed


def uninterrupted(store, out, metrics="mse,pearson"):
    process = start(store, out, metrics)
    begun = time.perf_counter()
    assert process.communicate()[0] == "done\n"
    return time.perf_counter() - begun


@pytest.mark.parametrize("kills", [3, pytest.param(36, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_killed_and_resumed(tmp_path, kills):
    store = store_of(random_maps(4, 120), tmp_path / "maps.zarr", images_per_chunk=2)
    duration = uninterrupted(store, tmp_path / "whole")
    # A few kills would not reach the end: each run gets some way.
    killed = kill_until_done(store, tmp_path / "r", kills, duration, seed=kills)
    assert killed >= kills // 2
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_killed_while_growing(tmp_path, kills):
    maps = random_maps(4, 120)
    small = {name: one[:61] for name, one in list(maps.items())[:3]}
    store = store_of(small, tmp_path / "growing.zarr", images_per_chunk=2)
    uninterrupted(store, tmp_path / "r")
    shutil.copytree(tmp_path / "r", tmp_path / "whole")
    store_of(maps, store, images_per_chunk=2, append=True)
    duration = uninterrupted(store, tmp_path / "whole")
    kill_until_done(store, tmp_path / "r", kills, duration, seed=kills)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path / "r")) == ["scores.zarr"]
