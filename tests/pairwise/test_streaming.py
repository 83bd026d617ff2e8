"""Statistics of scores that are never stored."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pairwise.faults import POISON, counting, counts, metric, raising, random_maps, store_of

from salzarr import compare, summarize, to_matrix
from salzarr.pairwise import streaming
from salzarr.pairwise.sketch import STATISTICS, Sketch

VALUES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(0, 60)),
    elements=st.floats(-1e6, 1e6) | st.just(np.nan),
)


def expected(values):
    """Compute the statistics by NumPy, row by row."""
    rows = []
    for row in values:
        row = row[~np.isnan(row)]
        n = len(row)
        if not n:
            rows.append([0] + [np.nan] * 8)
            continue
        std = row.std(ddof=1) if n > 1 else np.nan
        rows.append(
            [n, row.mean(), std, std / np.sqrt(n), row.min(), *np.quantile(row, [0.25, 0.5, 0.75]), row.max()]
        )
    return np.array(rows).T


@settings(deadline=None)
@given(VALUES, st.lists(st.integers(0, 60), max_size=5))
def test_parts_give_the_statistics_of_the_whole(values, cuts):
    edges = sorted({0, values.shape[1], *(min(cut, values.shape[1]) for cut in cuts)})
    parts = [Sketch.of(values[:, a:b], 64) for a, b in zip(edges, edges[1:] or [0], strict=False)]
    scale = max(1, np.nanmax(np.abs(values), initial=0))
    np.testing.assert_allclose(
        reduce(Sketch.merge, parts).statistics(), expected(values), rtol=1e-9, atol=1e-9 * scale
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from(["normal", "exponential", "near one", "few values"]))
@settings(max_examples=20, deadline=None)
def test_quartiles_are_within_a_percent_of_their_rank(seed, kind):
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(size=(2, 8192)),
        "exponential": lambda: rng.exponential(size=(2, 8192)) ** 3,
        "near one": lambda: 1 - rng.random((2, 8192)) * 1e-9,
        "few values": lambda: rng.integers(0, 4, (2, 8192)).astype(float),
    }[kind]()
    layer = [Sketch.of(part, 256) for part in np.split(values, 64, axis=1)]
    while len(layer) > 1:
        layer = [a.merge(b) for a, b in zip(layer[::2], layer[1::2], strict=True)]
    for q in (0.25, 0.5, 0.75):
        found = layer[0].quantile(q)[:, None]
        below, above = np.mean(values < found, axis=1), np.mean(values <= found, axis=1)
        assert (below - 0.01 <= q).all()
        assert (q <= above + 0.01).all()


def test_a_constant_row_has_that_mean_and_no_spread():
    found = reduce(Sketch.merge, [Sketch.of(np.full((1, 7), 0.1), 4) for _ in range(9)]).statistics()[:, 0]
    spread = {"n": 63, "std": 0.0, "se": 0.0}
    assert dict(zip(STATISTICS, found, strict=True)) == dict.fromkeys(STATISTICS, 0.1) | spread


@pytest.fixture
def gaps(tmp_path):
    maps = random_maps(4, 30)
    maps["m1"][3] = np.nan
    maps["m2"][7, 0, 0] = np.inf
    maps["m3"][11] = 0.5
    return store_of(maps, tmp_path / "maps.zarr", images_per_chunk=4)


def test_statistics_are_those_of_a_summary(gaps, tmp_path):
    metrics = "mse,pearson,ssim,kl"
    streamed = compare(gaps, metrics, out=tmp_path / "r", scores="none").sel(statistic=list(STATISTICS))
    summary = summarize(compare(gaps, metrics))
    assert not list((tmp_path / "r").glob("*"))
    for name in summary.variables:
        if summary[name].dtype.kind == "f":
            np.testing.assert_allclose(streamed[name], summary[name], rtol=1e-9, atol=1e-12)
        else:
            np.testing.assert_array_equal(streamed[name], summary[name])
        assert streamed[name].dims == summary[name].dims
    assert streamed.attrs["models"] == summary.attrs["models"]
    assert to_matrix(streamed, "kl").equals(to_matrix(streamed, "kl"))
    assert streamed.mse_reason.sel(reason="missing").sum() == 3


def test_the_interval_is_near_that_of_a_summary(tmp_path):
    store = store_of(random_maps(3, 200), tmp_path / "maps.zarr")
    streamed = compare(store, "mse", out=tmp_path / "r", scores="none")
    summary = summarize(compare(store, "mse"), bootstrap=2000, method="percentile")
    ends = ["mean_low", "mean_high"]
    width = np.ptp(summary.mse.sel(statistic=ends).values, axis=0).min()
    np.testing.assert_allclose(
        streamed.mse.sel(statistic=ends), summary.mse.sel(statistic=ends), atol=0.2 * width
    )


def test_with_very_many_pairs_there_is_no_interval(gaps, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BOOTSTRAP_BYTES", 1000)
    streamed = compare(gaps, "mse,kl", out=tmp_path / "r", scores="none")
    assert streamed.statistic.values.tolist() == list(STATISTICS)


def test_the_result_does_not_depend_on_who_comes_first(gaps, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "MOST_POINTS", 32)
    from salzarr import cluster

    first = compare(gaps, "mse", out=tmp_path / "r", scores="none")
    real = cluster.run
    monkeypatch.setattr(cluster, "run", lambda function, jobs, done: real(function, jobs[::-1], done))
    second = compare(gaps, "mse", out=tmp_path / "r", scores="none")
    for summary in (first, second):
        del summary.attrs["provenance"]  # it says when they were begun
    assert first.identical(second)


def test_progress(gaps, tmp_path):
    told = []
    compare(gaps, "mse", out=tmp_path / "r", scores="none", progress=lambda *both: told.append(both))
    assert told == [(done, 8) for done in range(9)]


def test_a_failed_image_is_counted_and_named(tmp_path):
    maps = random_maps(3, 12)
    maps["m1"][6, 0, 0] = POISON
    store = store_of(maps, tmp_path / "maps.zarr")
    with pytest.warns(UserWarning, match=r"1 of 12 images could not be scored: 0006 \(raising: ZeroDivision"):
        summary = compare(store, ["mse", metric(raising)], out=tmp_path / "r", scores="none")
    assert summary.raising.sel(statistic="n").values.tolist() == [11, 11, 11]
    assert summary.raising_reason.sel(reason="failed").values.tolist() == [1, 1, 1]
    assert list(summary.attrs["failed"]) == ["0006"]
    assert (summary.mse.sel(statistic="n") == 12).all()


def test_memory_does_not_grow_with_the_images():
    one = Sketch.of(np.random.default_rng(0).random((3, 10_000)), 64)
    assert one.points.shape == (3, 64)
    assert one.merge(one).points.shape == (3, 64)


# The command line: what fails is named and no success; what is interrupted begins anew.

TESTS = Path(__file__).parents[1]


def command(store, out, metrics):
    program = [sys.executable, "-m", "salzarr", "compare", store, str(out), "--metrics", metrics]
    options = ["--scores", "none", "--no-report", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    return {"args": program + options, "env": environment, "stderr": subprocess.PIPE, "text": True}


def test_a_failed_image_is_named_by_the_command_line(tmp_path):
    maps = random_maps(3, 12)
    maps["m1"][6, 0, 0] = POISON
    store = store_of(maps, tmp_path / "maps.zarr")
    done = subprocess.run(**command(store, tmp_path / "r", "mse,pairwise.faults:raising"), check=False)
    assert done.returncode == 1
    assert re.search("1 of 12 images could not be scored: 0006", done.stderr)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "r" / "summary.csv").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_interrupted_begins_anew(tmp_path, how, monkeypatch):
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    store = store_of(random_maps(3, 400), tmp_path / "maps.zarr", images_per_chunk=2)
    options = command(store, tmp_path / "r", "pairwise.faults:slow,pairwise.faults:counting")
    with subprocess.Popen(
        **options, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    ) as run:
        until = time.monotonic() + 60
        while not (tmp_path / "counts").exists() and time.monotonic() < until:
            time.sleep(0.02)
        run.send_signal(how)
        said = run.communicate(timeout=60)[1]
    assert 0 < counts() < 3 * 400
    assert not list((tmp_path / "r").glob("*"))
    if how == signal.SIGINT:
        assert run.returncode == 130
        assert "Interrupted; no scores are kept, so that the same command begins anew." in said
    compare(store, [metric(counting)], out=tmp_path / "r", scores="none")
    assert counts() == 3 * 400
