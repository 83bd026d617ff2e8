"""The loop over jobs: on threads, on processes and here, and what becomes of jobs that fail or kill."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import dask
import pytest

from salzarr.errors import RunError
from salzarr.run import run

KINDS = ["sync", "threads", pytest.param("processes", marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Numbers:
    """Returns its images; one that is among the killers kills its process."""

    images: tuple
    killers: tuple = ()

    def __len__(self):
        return len(self.images)

    def part(self, images):
        return Numbers(self.images[images], self.killers)

    def __call__(self):
        if set(self.images) & set(self.killers):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.images


@pytest.mark.parametrize("kind", KINDS)
def test_every_job_is_done_once_and_told(kind):
    results, told = [], []
    jobs = [Numbers((k, k + 1)) for k in range(0, 40, 2)]
    with dask.config.set(scheduler=kind, num_workers=2):
        run(jobs, results.append, lambda *both: told.append(both))
    assert sorted(results) == [job.images for job in jobs]
    assert told == [(done, 20) for done in range(21)]


def test_nothing_to_do():
    told = []
    run([], told.append, lambda *both: told.append(both))
    assert told == [(0, 0)]


@pytest.mark.parametrize("kind", ["sync", "threads"])
def test_an_error_ends_the_run_and_no_job_goes_on_after_it(kind):
    started = []

    class Job(Numbers):
        def __call__(self):
            started.append(self.images)
            if self.images == (3,):
                raise ZeroDivisionError("three")
            time.sleep(0.01)

    with dask.config.set(scheduler=kind, num_workers=2), pytest.raises(ZeroDivisionError, match="three"):
        run([Job((k,)) for k in range(100)], lambda _: None)
    count = len(started)
    assert count < 20
    time.sleep(0.1)
    assert len(started) == count


def test_few_jobs_are_in_flight_and_done_is_called_here():
    lock, ahead, most = threading.Lock(), 0, 0

    class Job(Numbers):
        def __call__(self):
            nonlocal ahead, most
            with lock:
                ahead += 1
                most = max(most, ahead)

    def done(_):
        nonlocal ahead
        assert threading.current_thread() is threading.main_thread()
        with lock:
            ahead -= 1

    with dask.config.set(scheduler="threads", num_workers=3):
        run([Job((k,)) for k in range(500)], done)
    assert ahead == 0
    assert most <= 6


@pytest.mark.slow
def test_images_that_kill_are_taken_apart():
    results, killed, told = [], [], []
    jobs = [Numbers(tuple(range(k, k + 5)), killers=(7, 11)) for k in range(0, 20, 5)]
    with dask.config.set(scheduler="processes", num_workers=1):
        run(
            jobs,
            results.append,
            lambda *both: told.append(both),
            killed=lambda job, why: killed.append((job.images, why)),
        )
    assert sorted(killed) == [((7,), why := "its process died, perhaps for lack of memory"), ((11,), why)]
    assert sorted(k for some in results for k in some) == [k for k in range(20) if k not in (7, 11)]
    assert told[-1] == (4, 4)
    with dask.config.set(scheduler="processes", num_workers=1), pytest.raises(RunError, match="process died"):
        run([Numbers((7,), (7,))], results.append)


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import dask, numpy as np, salzarr\n"
        "dask.config.set(scheduler='processes', num_workers=1)\n"
        "salzarr.convert({'a': np.ones((2, 8, 8))}, 'maps.zarr')\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "RunError: processes die as they start; a script" in done.stderr
