"""Metrics that misbehave, importable by worker processes; and a store to let them loose on."""

import os
import signal
import time

import dask
import numpy as np

from salzarr import convert
from salzarr.cluster import versions
from salzarr.metrics import custom

POISON = 1.5
"""A map whose first pixel is this makes the metrics below misbehave."""


def random_maps(models=3, images=12, shape=(16, 16), seed=0):
    rng = np.random.default_rng(seed)
    return {f"m{i}": rng.random((images, *shape), np.float32) for i in range(models)}


def store_of(maps, path, images_per_chunk=4, **options):
    """Convert maps into chunks of so many images."""
    first = next(iter(maps.values()))
    options = {"names": {name: [f"{k:04d}" for k in range(len(one))] for name, one in maps.items()}} | options
    with dask.config.set(scheduler="threads"):  # a cluster would be sent the arrays
        convert(maps, path, chunk_bytes=images_per_chunk * first[0].nbytes, **options)
    return str(path)


def poisoned(a):
    return a[0, 0] == POISON


def raising(a, b):
    """Raise on a poisoned map."""
    if poisoned(a):
        raise ZeroDivisionError("poison")
    return abs(float(a.sum() - b.sum()))


def killing(a, b):
    """Kill the process on a poisoned map."""
    if poisoned(a):
        os.kill(os.getpid(), signal.SIGKILL)
    return abs(float(a.sum() - b.sum()))


def die_once(note):
    """Kill the first process that is asked; the others answer as workers that can do the work."""
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return versions(), None
    return os.kill(os.getpid(), signal.SIGKILL)


def hungry(a, b):
    """Take 1 GB on a poisoned map."""
    if poisoned(a):
        taken = np.ones(2**27)
        time.sleep(3)
        return float(taken[0])
    return abs(float(a.sum() - b.sum()))


def slow(a, b):
    """Take 5 ms."""
    time.sleep(0.005)
    return abs(float(a.sum() - b.sum()))


def counting(a, b):
    """Leave a mark in the file that COUNTS names."""
    with open(os.environ["COUNTS"], "a") as file:
        file.write(".")
    return abs(float(a.sum() - b.sum()))


def counts():
    """Read how often :func:`counting` was called, and forget it."""
    path = os.environ["COUNTS"]
    made = os.path.getsize(path) if os.path.exists(path) else 0
    open(path, "w").close()
    return made


def metric(function):
    """Make a metric of one of these."""
    return custom(function, self_value=0, low=0)
