"""The command line against a scheduler and workers that are programs of their own."""

import os
import signal
import subprocess
import sys
import time

import dask
import numpy as np
import pytest
from cluster.programs import programs
from distributed import Client
from scores.faults import metric, random_maps, slow, store_of
from scores.test_kills import contents

from salzarr import compare, open_scores
from salzarr.errors import RunError

OTHER_VERSION = "import salzarr; salzarr.__version__ = '0.0.0'"
HIDDEN = """
import sys
def deny(event, args):
    if event == "open" and isinstance(args[0], str) and {path!r} in args[0]:
        raise FileNotFoundError(2, "No such file or directory", args[0])
sys.addaudithook(deny)
"""


def salzarr(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "salzarr", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command_line_on_a_cluster_of_programs(tmp_path):
    store = store_of(random_maps(3, 20), tmp_path / "maps.zarr")
    with dask.config.set(scheduler="threads"):
        compare(store, "mse,ssim", out=tmp_path / "here")
    with programs(tmp_path / "dask") as running:
        running.worker("--no-nanny")
        running.worker()
        done = salzarr(
            "compare", store, tmp_path / "r", "--metrics", "mse,ssim", "--scheduler", running.address,
            "--no-report", "--bootstrap", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert contents(tmp_path / "r" / "scores.zarr") == contents(tmp_path / "here" / "scores.zarr")
        assert (tmp_path / "r" / "summary.csv").exists()


@pytest.mark.parametrize(
    ("preload", "message"),
    [
        (OTHER_VERSION, r"worker tcp://\S+ has salzarr 0.0.0 \(here .*\); install the same versions there"),
        (
            HIDDEN,
            r"worker tcp://\S+ cannot read .*maps.zarr: .*; give a path or URL that every worker can read",
        ),
    ],
    ids=["other version", "hidden store"],
)
def test_workers_that_cannot_do_it_are_named_before_the_start(tmp_path, preload, message):
    store = store_of(random_maps(2, 8), tmp_path / "maps.zarr")
    (tmp_path / "preload.py").write_text(preload.format(path=store))
    with programs(tmp_path / "dask") as running:
        running.worker("--no-nanny")
        running.worker("--no-nanny", "--preload", str(tmp_path / "preload.py"))
        with Client(running.address) as client:
            client.wait_for_workers(2, timeout=60)
            with pytest.raises(RunError, match=message):
                compare(store, "mse", out=tmp_path / "r")
    assert not (tmp_path / "r" / "scores.zarr").exists()


@pytest.mark.slow
def test_the_scheduler_killed(tmp_path):
    store = store_of(random_maps(4, 60), tmp_path / "maps.zarr", images_per_chunk=2)
    metrics = ["mse", metric(slow)]
    timeouts = {"distributed.comm.timeouts.connect": "3s", "distributed.deploy.lost-worker-timeout": "3s"}
    with programs(tmp_path / "dask") as running, dask.config.set(timeouts):
        running.worker("--no-nanny")

        def kill(done, _total):
            if done == 5:
                os.kill(running.scheduler.pid, signal.SIGKILL)

        with Client(running.address) as client:
            client.wait_for_workers(1, timeout=60)
            begun = time.monotonic()
            with pytest.raises(
                RunError, match="the Dask scheduler is gone; every block that was finished is kept"
            ):
                compare(store, metrics, out=tmp_path / "r", progress=kill)
            assert time.monotonic() - begun < 60
    told = []
    compare(store, metrics, out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert told[-1][1] <= 25
    assert np.isfinite(open_scores(tmp_path / "r").slow).all()
