"""The decorator of the kernels: what they compute does not depend on who compiled them."""

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

import salzarr
from salzarr import compiled
from salzarr.compiled import jit, loose_callees
from salzarr.metrics import METRICS

SCORES = """
import hashlib
import numpy as np
from salzarr.metrics import METRICS, score_block

maps = np.random.default_rng(12).random((5, 2, 180, 190)).astype(np.float32)
pairs = [(i, j) for j in range(5) for i in range(j)]
for name, metric in METRICS.items():
    chosen = metric.with_data_range(1.0) if metric.needs_data_range else metric
    small = maps[:2, :, :24, :24] if "emd" in name else maps  # at full resolution, these take long
    scored = score_block(small, pairs[:1] if "emd" in name else pairs, [chosen])[chosen.slug]
    print(name, hashlib.sha256(scored.values.tobytes()).hexdigest())
"""


def scores(cache):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SCORES], env=environment, capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in done.stdout.splitlines())


def test_scores_of_every_metric_do_not_depend_on_who_compiled(tmp_path):
    """The first process compiles, and the second finds it in the cache."""
    first = scores(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert kept
    assert first.keys() == METRICS.keys()
    assert scores(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == kept


@jit(fastmath=True)
def loose(values):
    total = 0.0
    for value in values:
        total += value
    return total


@jit(fastmath=True, inline="always")
def tied(values):
    return values.sum()


@jit
def strict(values):
    return values.sum()


def calls_loose(values):
    return loose(values)


def calls_of_a_module(values):
    return compiled.loose(values)


def calls_others(values):
    return tied(values) + strict(values)


def test_fastmath_that_is_called_must_be_inlined(monkeypatch):
    with pytest.raises(ValueError, match="calls_loose calls loose, compiled with fastmath: its last bits"):
        jit(calls_loose)
    monkeypatch.setattr(compiled, "loose", loose, raising=False)
    with pytest.raises(ValueError, match=r"calls_of_a_module calls compiled\.loose, compiled with fastmath"):
        jit(fastmath=True)(calls_of_a_module)

    def calls_from_its_closure(values):
        return inner(values)

    inner = loose
    with pytest.raises(ValueError, match="calls inner, compiled with fastmath"):
        jit(calls_from_its_closure)
    jit(calls_others)


def test_no_kernel_calls_fastmath_that_is_not_inlined():
    """Nor one that is defined below it, which the decorator cannot see."""
    kernels = []
    for module in pkgutil.walk_packages(salzarr.__path__, "salzarr."):
        if not module.name.endswith("__main__"):
            inside = vars(importlib.import_module(module.name)).values()
            kernels += [one for one in inside if hasattr(one, "py_func")]
    assert len(kernels) > 20
    assert [kernel for kernel in kernels if loose_callees(kernel.py_func)] == []


def test_options_are_not_those_of_the_caller():
    """numba gives a function those of whoever compiles it first, unless they are given."""

    @jit
    def divide(a, b):
        return a / b

    @jit(error_model="numpy", fastmath=True)
    def caller(a, b):
        return divide(a, b)

    with pytest.raises(ZeroDivisionError):
        caller(1.0, 0.0)
    assert divide.targetoptions["fastmath"] is False


def test_an_attribute_of_that_name_is_no_call():
    def uses_an_attribute(row):
        return row.loose

    assert loose_callees(uses_an_attribute) == []


def test_parallel_is_refused():
    with pytest.raises(ValueError, match="aborts the process under Dask's threads"):
        jit(parallel=True)(len)
