"""Workers of a cluster that read maps from, and write scores to, an object store."""

import os
import signal

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from scores.faults import metric, random_maps, slow, store_of
from scores.test_kills import contents

import salzarr
from salzarr import compare
from salzarr.store import read_block


@pytest.fixture
def client(endpoint):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as workers,
        Client(workers) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


def test_a_killed_worker_costs_nothing_but_time(bucket, client, tmp_path):
    maps = random_maps(4, 40)
    store = store_of(maps, bucket.url + "/maps.zarr", images_per_chunk=2)
    metrics = ["mse", metric(slow)]
    victims = list(client.run(os.getpid).values())[:1]

    def kill_one(done, _total):
        if done == 3 and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    compare(store, metrics, out=tmp_path / "r", scores=bucket.url + "/s.zarr", progress=kill_one)
    assert not victims
    with dask.config.set(scheduler="threads"):
        compare(store, metrics, out=tmp_path / "here")
    assert bucket.contents("s.zarr") == contents(tmp_path / "here" / "scores.zarr")
    assert bucket.names() == ["maps.zarr", "s.zarr"]


def test_convert_writes_there(bucket, client, tmp_path):
    maps = random_maps(2, 10)
    for name, one in maps.items():
        (tmp_path / "Models" / name).mkdir(parents=True)
        for number, values in enumerate(one):
            np.save(tmp_path / "Models" / name / f"{number:04d}.npy", values)
    url = bucket.url + "/maps.zarr"
    salzarr.convert(tmp_path / "Models", url, chunk_bytes=4 * maps["m0"][0].nbytes)
    for name, one in maps.items():
        np.testing.assert_array_equal(salzarr.open_maps(url).sel(model=name), one)
    assert salzarr.verify(url, tmp_path / "Models") == []
    assert bucket.names() == ["maps.zarr"]


def test_a_store_that_grew_or_was_made_anew_is_not_read_from_memory(bucket):
    """Workers outlive the stores that they read."""
    maps, url = random_maps(2, 6), bucket.url + "/maps.zarr"
    store_of({"m0": maps["m0"][:3]}, url)
    np.testing.assert_array_equal(read_block(url, [0], slice(0, 3))[0], maps["m0"][:3])
    store_of(maps, url, append=True)
    np.testing.assert_array_equal(read_block(url, [0, 1], slice(0, 6)), np.stack([*maps.values()]))
    store_of({name: one + 1 for name, one in maps.items()}, url, overwrite=True)
    np.testing.assert_array_equal(read_block(url, [1], slice(0, 6))[0], maps["m1"] + 1)
