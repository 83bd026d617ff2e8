"""An object store that is not there, or does not work: one sentence, soon, and exit code 1."""

import time

import numpy as np
import pytest
from remote.server import answering, environment
from remote.test_scores import cli
from scores.faults import random_maps, store_of

import salzarr
from salzarr import compare, location
from salzarr.errors import UnreachableError, UsageError

SAID = "check the address and the credentials, then give the same command again"


@pytest.fixture
def local(tmp_path):
    return store_of(random_maps(), tmp_path / "maps.zarr")


def refused(words, *arguments, **environment):
    begun = time.monotonic()
    done = cli(*arguments, **environment)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert words in error
    assert SAID in error
    assert time.monotonic() - begun < 60  # the machine may be busy; obstore alone tries for three minutes


@pytest.mark.parametrize("fault", ["bucket", "dead", "unknown", "503", "403"])
def test_scores_that_cannot_be_reached(fault, endpoint, local, tmp_path):
    words = {
        "bucket": "there is no such bucket",
        "dead": "tcp connect error",
        "unknown": "dns error",
        "503": "it answers 503 Service Unavailable",
        "403": "it answers 403 Forbidden",
    }
    places = {"bucket": endpoint, "dead": "http://127.0.0.1:1", "unknown": "http://nowhere.invalid"}
    command = ["compare", local, tmp_path / "r", "--metrics", "mse", "--scores", "s3://wrong/s.zarr"]
    with answering(int(fault) if fault.isdigit() else 503) as failing:
        refused(
            f"s3://wrong/s.zarr cannot be reached: {words[fault]}",
            *command,
            **environment(places.get(fault, failing)),
        )
    assert not (tmp_path / "r").exists()


def test_maps_that_cannot_be_reached(endpoint, local, tmp_path):
    with answering(503) as failing:
        for place, words in ((endpoint, "no such bucket"), (failing, "503"), ("http://127.0.0.1:1", "tcp")):
            refused(words, "info", "s3://wrong/maps.zarr", **environment(place))
    refused("no such bucket", "compare", "s3://wrong/maps.zarr", tmp_path / "r")
    with pytest.raises(UnreachableError, match="no such bucket"):
        salzarr.convert({"a": np.ones((1, 8, 8))}, "s3://wrong/maps.zarr", names=["x"])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after", [30, 100])
def test_a_server_that_fails_in_the_middle(after, bucket, endpoint, local, tmp_path):
    scores = bucket.url + "/s.zarr"
    command = ["compare", local, tmp_path / "r", "--metrics", "mse", "--scores", scores, "--no-report"]
    with answering(503, behind=endpoint, after=after) as failing:
        refused("503 Service Unavailable", *command, **environment(failing))
    resumed = compare(local, "mse", out=tmp_path / "r", scores=scores)
    np.testing.assert_array_equal(resumed.mse, compare(local, "mse").mse)
    assert bucket.names() == ["s.zarr"]


def test_maps_that_vanish_in_the_middle_are_no_failed_images(bucket, endpoint, tmp_path):
    maps = store_of(random_maps(), bucket.url + "/maps.zarr")
    with answering(503, behind=endpoint, after=60) as failing:
        refused("503", "compare", maps, tmp_path / "r", "--metrics", "mse", **environment(failing))


@pytest.mark.parametrize("after", [12, 22], ids=["opened", "computed"])
def test_scores_that_cannot_be_read_when_they_are_reported(after, bucket, endpoint, local, tmp_path):
    compare(local, "mse", out=tmp_path / "r", scores=bucket.url + "/s.zarr")
    with answering(503, behind=endpoint, after=after) as failing:
        refused("503", "report", tmp_path / "r", **environment(failing))


def test_a_server_that_hiccups_is_asked_again(bucket, endpoint, monkeypatch, local, tmp_path):
    """A busy server answers 503 now and then: that is ridden out."""
    with answering(503, behind=endpoint, every=5) as failing:
        for name, value in environment(failing).items():
            monkeypatch.setenv(name, value)
        scores = compare(local, "mse", out=tmp_path / "r", scores=bucket.url + "/s.zarr")
        np.testing.assert_array_equal(scores.mse, compare(local, "mse").mse)


def test_without_obstore_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"needs obstore; install it with pip install 'salzarr\[remote\]'"):
        location.client("s3://bucket/another")


def test_a_path_is_taken_as_it_is_written(bucket):
    for name in ("a b%20c#d?e.zarr", "ü.zarr"):
        url = f"{bucket.url}/{name}"
        salzarr.convert({"a": np.ones((1, 8, 8))}, url, names=["x"])
        assert salzarr.open_maps(url).shape == (1, 1, 8, 8)
    assert len(bucket.names()) == 2
