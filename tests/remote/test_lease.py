"""One run at a time on an object store, whatever becomes of the one that holds the lease."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import obstore
import pytest
from scores.faults import random_maps, store_of

import salzarr
from salzarr import compare, lease
from salzarr.errors import LockedError
from salzarr.lease import Lease
from salzarr.locks import lock

TESTS = Path(__file__).parents[1]
HOLD = """
import sys, time
from salzarr import lease, locks
lease.HEARTBEAT, lease.EXPIRY = 0.1, 2.0
with locks.lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(bucket):
    """Another process that holds the lease of a store."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, bucket.url + "/s.zarr"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("quick")
def test_a_second_run_is_refused_and_told_whose_the_first_is(bucket, other, tmp_path):
    message = rf"s.zarr is in use by a run on \S+ \(process {other.pid}\) since 20\S+ \S+ UTC; wait for it"
    store = store_of(random_maps(), tmp_path / "maps.zarr")
    begun = time.monotonic()
    with pytest.raises(LockedError, match=message):
        compare(store, "mse", out=tmp_path / "r", scores=bucket.url + "/s.zarr")
    assert time.monotonic() - begun < 15
    with pytest.raises(LockedError, match=message):
        salzarr.convert({"a": np.ones((1, 8, 8))}, bucket.url + "/s.zarr", names=["x"])
    assert bucket.names() == ["s.zarr.lock"]
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("quick")
def test_a_killed_run_is_succeeded(bucket, other, caplog):
    other.kill()
    begun = time.monotonic()
    with lock(bucket.url + "/s.zarr"):
        assert 1.9 < time.monotonic() - begun < 20
        assert f"is taken over from a run on {os.uname().nodename} (process {other.pid})" in caplog.text
    assert bucket.names() == []


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_silent_for_too_long_is_stopped(bucket, tmp_path):
    """A laptop that slept: its run finds out that another one has taken over, and ends."""
    url = bucket.url + "/s.zarr"
    code = HOLD.replace("time.sleep(60)", "[time.sleep(0.01) for _ in range(1000)]")
    with subprocess.Popen(
        [sys.executable, "-c", code, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sleeper:
        assert sleeper.stdout.readline() == "held\n"
        sleeper.send_signal(signal.SIGSTOP)
        with lock(url):
            sleeper.send_signal(signal.SIGCONT)
            error = sleeper.communicate(timeout=60)[1]
            assert "LockedError" in error
            assert "s.zarr was taken over by another run, since nothing was heard of this one" in error
            assert bucket.names() == ["s.zarr.lock"]  # and it took nothing away
    assert bucket.names() == []


@pytest.mark.usefixtures("quick")
def test_of_many_that_come_at_once_one_gets_it(bucket):
    held, refused = [], []

    def compete(number):
        try:
            with lock(bucket.url + "/s.zarr"):
                held.append(number)
                until = time.monotonic() + 30
                while len(refused) < 5 and time.monotonic() < until:  # none may come when it is free again
                    time.sleep(0.01)
        except LockedError:
            refused.append(number)

    runs = [threading.Thread(target=compete, args=(number,)) for number in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert (len(held), len(refused)) == (1, 5)


@pytest.mark.usefixtures("quick")
def test_of_many_that_find_a_dead_run_one_takes_over(bucket, other):
    other.kill()
    test_of_many_that_come_at_once_one_gets_it(bucket)


@pytest.mark.usefixtures("quick")
def test_one_that_waits_gets_it_when_it_is_given_back(bucket):
    url, order, begun = bucket.url + "/s.zarr", [], threading.Event()

    def first():
        with lock(url):
            order.append("first")
            begun.set()
            time.sleep(1)

    run = threading.Thread(target=first)
    run.start()
    assert begun.wait(30)
    with lock(url, wait=20):
        order.append("second")
    run.join()
    assert order == ["first", "second"]


@pytest.mark.usefixtures("quick")
def test_an_answer_that_is_lost_is_no_other_run(bucket, monkeypatch):
    """A put that is tried again meets what it has written itself."""
    held = Lease(bucket.url + "/s.zarr")

    class Twice:
        def __init__(self, client):
            self.client = client

        def __getattr__(self, name):
            return getattr(self.client, name)

        def put(self, *arguments, **options):
            self.client.put(*arguments, **options)
            return self.client.put(*arguments, **options)

    held.client = Twice(held.client)
    monkeypatch.setattr(Lease, "_check_conditions", lambda _: None)
    held.acquire(0)
    time.sleep(0.5)
    assert not held.lost
    held.release()
    assert bucket.names() == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["refuses", "overlooks"])
def test_a_server_without_conditions_gets_the_warning(bucket, monkeypatch, caplog, how):
    from obstore.exceptions import NotSupportedError

    class Server:
        def put(self, key, content, mode):
            if how == "refuses":
                raise NotSupportedError("no conditional put")
            return bucket.store.put(key, content)

        def get(self, key):
            return bucket.store.get(key)

        def delete(self, key):
            bucket.store.delete(key)

    monkeypatch.setattr(lease.location, "client", lambda _: Server())
    with lock(bucket.url + "/s.zarr"):
        pass
    assert "s.zarr; make sure that only one run writes to it" in caplog.text
    assert bucket.names() == []


def test_memory_gets_the_warning(caplog):
    with lock("memory://m/s.zarr"):
        pass
    assert "could not lock memory://m/s.zarr" in caplog.text


@pytest.mark.usefixtures("quick")
def test_a_lease_that_somebody_damaged_expires(bucket, caplog):
    obstore.put(bucket.store, "s.zarr.lock", b"what is this?")
    with caplog.at_level(logging.INFO), lock(bucket.url + "/s.zarr"):
        assert "is in use by a run on unknown" in caplog.text
    assert bucket.names() == []


@pytest.mark.usefixtures("quick")
def test_writers_that_end_together_complete_the_store(bucket):
    url, models = bucket.url + "/w.zarr", ["a", "b", "c"]

    def write(model):
        with salzarr.create(url, models=models, images=["x"], shape=(8, 8)) as store:
            store.write(model, ["x"], np.ones((1, 8, 8)))

    writers = [threading.Thread(target=write, args=(model,)) for model in models]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert salzarr.open_maps(url).shape == (3, 1, 8, 8)
    assert bucket.names() == ["w.zarr"]
