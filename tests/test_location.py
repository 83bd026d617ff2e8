"""Paths and URLs: absolute wherever they are opened, as they were typed wherever they are shown."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import salzarr
from salzarr.errors import UsageError
from salzarr.location import locate


def test_a_path_is_absolute_and_reads_as_it_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for typed, path in (
        ("maps.zarr/", tmp_path / "maps.zarr"),
        ("./a/../maps.zarr", tmp_path / "maps.zarr"),
        ("~/maps.zarr", tmp_path / "home" / "maps.zarr"),
        (f"file://{tmp_path}/maps.zarr", tmp_path / "maps.zarr"),
    ):
        location = locate(typed)
        assert location == str(path) == os.fspath(location)
        assert Path(location) == path
        assert f"{location}" == typed.rstrip("/")
        monkeypatch.chdir("/")
        assert f"{pickle.loads(pickle.dumps(location))}" == f"{location}"
        assert locate(location) is location
        monkeypatch.chdir(tmp_path)


def test_a_url_stays_as_it_is():
    assert locate("s3://bucket/maps.zarr/") == "s3://bucket/maps.zarr"
    assert locate("memory://m/maps.zarr").below("a").beside(".old") == "memory://m/maps.zarr/a.old"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(UsageError, match="is no path; give a path, or a URL such as"):
        salzarr.convert({"a": np.ones((1, 8, 8))}, path)


def test_messages_and_records(tmp_path, monkeypatch):
    """What is shown is what was typed; what is recorded is found from elsewhere."""
    monkeypatch.chdir(tmp_path)
    maps = {name: np.random.default_rng(0).random((4, 16, 16)) for name in "ab"}
    report = salzarr.convert(maps, "maps.zarr")
    assert f"{report.store}" == "maps.zarr"
    scores = salzarr.compare("maps.zarr", "mse", out="results")
    monkeypatch.chdir("/")
    assert salzarr.open_scores(tmp_path / "results").equals(scores)
    salzarr.publish(tmp_path / "results", pictures=False, baseline=True, bootstrap=0)
