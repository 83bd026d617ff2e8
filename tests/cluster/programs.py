"""A Dask scheduler and workers as programs of their own, on loopback."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Programs:
    """A scheduler, and as many workers as were started."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        note = folder / "scheduler.json"
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(note),
        )  # fmt: skip
        until = time.monotonic() + 60
        while not note.exists() and time.monotonic() < until:
            time.sleep(0.1)
        import json

        self.address = json.loads(note.read_text())["address"]

    def worker(self, *options):
        """Start a worker with one thread."""
        return self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(self.folder), *options,
        )  # fmt: skip

    def _start(self, module, *options):
        paths = [TESTS, os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with open(self.folder / f"{module}.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *options], env=environment, stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def stop(self):
        """End all of them."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def programs(folder):
    """Start a scheduler, and end it with its workers."""
    folder.mkdir(exist_ok=True)
    started = Programs(folder)
    try:
        yield started
    finally:
        started.stop()
