"""Comparisons on clusters of processes, while things happen to them."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import Future

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from scores.faults import POISON, die_once, hungry, killing, metric, random_maps, slow, store_of
from scores.test_kills import contents

from salzarr import cluster, compare, convert, open_maps, open_scores, store
from salzarr.errors import BudgetError, InputError, RunError, UsageError, command_line
from salzarr.run import run
from salzarr.schema import Reason, Status


@pytest.fixture(scope="module")
def settings():
    # One death of a worker is forgiven, not three: dying takes time.
    with dask.config.set({"distributed.scheduler.allowed-failures": 1, "salzarr.patience": 20}):
        yield


@pytest.fixture(scope="module")
def workers(settings):
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as running:
        yield running


@pytest.fixture
def client(workers):
    with Client(workers) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A store whose comparison takes a second or two."""
    folder = tmp_path_factory.mktemp("long")
    store = store_of(random_maps(4, 60), folder / "maps.zarr", images_per_chunk=2)
    with dask.config.set(scheduler="threads"):
        compare(store, ["mse", metric(slow)], out=folder / "whole")
    return store, contents(folder / "whole")


def pids(client):
    return list(client.run(os.getpid).values())


def test_a_cluster_gives_the_bytes_of_threads(client, long, tmp_path):
    store, whole = long
    told = []
    compare(store, ["mse", metric(slow)], out=tmp_path / "r", progress=lambda *both: told.append(both))
    assert contents(tmp_path / "r") == whole
    assert told == [(done, 30) for done in range(31)]


def test_lazy_scores_follow_the_client(client, long):
    scores = compare(long[0], "mse,pearson")
    assert np.isfinite(scores.pearson.mean("image").values).all()
    np.testing.assert_array_equal(scores.mse, scores.mse.compute(scheduler="sync"))


def test_arrays_that_are_persisted_on_the_cluster_are_converted(client, tmp_path):
    maps = {name: da.random.random((6, 8, 8), chunks=(2, 8, 8)).persist() for name in "ab"}
    convert(maps, tmp_path / "maps.zarr", dtype="float64")
    np.testing.assert_array_equal(open_maps(tmp_path / "maps.zarr").sel(model="b"), maps["b"].compute())


# 13: workers killed, stragglers, tasks run twice, nobody left


def test_a_killed_worker_costs_nothing_but_time(client, long, tmp_path):
    store, whole = long
    victims = pids(client)

    def kill_one(done, _total):
        if done in (3, 12) and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    compare(store, ["mse", metric(slow)], out=tmp_path / "r", progress=kill_one)
    assert not victims
    assert contents(tmp_path / "r") == whole


def test_a_straggler_is_waited_for(client, long, tmp_path):
    store, whole = long
    sleeper = pids(client)[0]

    def stop(done, _total):
        if done == 3:
            os.kill(sleeper, signal.SIGSTOP)
            threading.Timer(3, os.kill, (sleeper, signal.SIGCONT)).start()

    compare(store, ["mse", metric(slow)], out=tmp_path / "r", progress=stop)
    assert contents(tmp_path / "r") == whole


def test_a_task_run_twice_writes_the_same(client, long, tmp_path, monkeypatch):
    from salzarr.scores import durable

    store, whole = long
    monkeypatch.setattr(durable, "run", lambda jobs, *others: run([*jobs, *jobs], *others))
    compare(store, ["mse", metric(slow)], out=tmp_path / "r")
    assert contents(tmp_path / "r") == whole


def test_all_workers_gone(settings, long, tmp_path):
    store, whole = long
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as lonely,
        Client(lonely) as client,
    ):
        client.wait_for_workers(1, timeout=60)

        def retire(done, _total):
            if done == 2:
                lonely.scale(0)

        with (
            dask.config.set({"salzarr.patience": 4}),
            pytest.raises(RunError, match=r"has had no worker for 4 s; start one, as in 'dask worker tcp://"),
        ):
            compare(store, ["mse", metric(slow)], out=tmp_path / "r", progress=retire)
    with dask.config.set(scheduler="threads"):
        compare(store, ["mse", metric(slow)], out=tmp_path / "r")
    assert contents(tmp_path / "r") == whole


# 14: a poison image


@pytest.fixture
def brittle(settings):
    """Workers whose first death is held against the task."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        # Two, since a nanny gives up on a worker that is killed while it starts.
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as running,
        Client(running) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


def poisoned_store(folder):
    maps = random_maps(3, 6)
    maps["m1"][3, 0, 0] = POISON
    return store_of(maps, folder / "maps.zarr", images_per_chunk=2)


def test_an_image_that_kills_workers_is_isolated(brittle, tmp_path):
    store = poisoned_store(tmp_path)
    with pytest.raises(RunError, match=r"1 of 6 images could not be scored: 0003 \(its workers died"):
        compare(store, ["mse", metric(killing)], out=tmp_path / "r")
    scores = open_scores(tmp_path / "r")
    assert (scores.mse_reason == Reason.FAILED).any("pair").values.nonzero()[0].tolist() == [3]
    assert np.isfinite(scores.killing.values[:, np.arange(6) != 3]).all()


@pytest.mark.slow
def test_an_image_that_kills_a_pool_of_processes_is_isolated(tmp_path):
    store = poisoned_store(tmp_path)
    with (
        dask.config.set(scheduler="processes", num_workers=1),
        pytest.raises(RunError, match=r"1 of 2 images could not be scored: 0003 \(its process died"),
    ):
        compare(store, [metric(killing)], out=tmp_path / "r", images=slice(2, 4))
    assert np.isfinite(open_scores(tmp_path / "r").killing.values[:, 0]).all()


@pytest.fixture
def small_workers(settings):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, memory_limit="600MB", dashboard_address=":0"
        ) as running,
        Client(running) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        yield client


def test_a_block_that_no_worker_can_hold_is_refused(small_workers, tmp_path):
    big = store_of(random_maps(2, 4, (1500, 1500)), tmp_path / "big.zarr")
    with pytest.raises(BudgetError, match=r"2 models of 1500x1500 needs .* and 457.7. MiB are allowed"):
        compare(big, "mse", out=tmp_path / "r")
    assert not (tmp_path / "r" / "scores.zarr").exists()


@pytest.mark.slow
def test_an_image_that_takes_too_much_memory_is_isolated(small_workers, tmp_path):
    with pytest.raises(RunError, match=r"1 of 6 images could not be scored: 0003 \(its workers died"):
        compare(poisoned_store(tmp_path), [metric(hungry)], out=tmp_path / "r")
    assert (open_scores(tmp_path / "r").hungry_reason == Reason.FAILED).sum() == 3


# Starting and joining


# The check of the workers before a run


class Fake:
    """A client whose workers give these answers in turns, the last ones for ever."""

    def __init__(self, *rounds, gone=()):
        self.rounds, self.gone, self.asked = list(rounds), gone, 0
        self.scheduler, self.status = None, "closed"

    def submit(self, function, *, pure):
        """Take a task that waits for workers, as a scheduler does."""
        return Future()

    def nthreads(self):
        return {worker: 1 for answers in self.rounds for worker in answers if worker not in self.gone}

    def run(self, question, *, on_error):
        assert on_error == "return"
        self.asked += 1
        return self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]


GOOD = (cluster.versions(), None)
OLD = ({**cluster.versions(), "numpy": "1.0"}, None)


@pytest.mark.parametrize(
    "error", [CommClosedError("closed"), OSError("timed out"), TimeoutError(), ConnectionResetError()]
)
def test_a_worker_that_dies_while_it_is_checked_is_left_out(caplog, error):
    fake = Fake({"tcp://a": error, "tcp://b": GOOD}, gone=["tcp://a"])
    cluster.check_workers(fake, "maps.zarr", int)
    assert fake.asked == 1
    assert "worker tcp://a was lost while it was checked, and is left out" in caplog.text


def test_a_worker_whose_connection_broke_is_asked_again(caplog):
    broken = {"tcp://a": CommClosedError("closed"), "tcp://b": GOOD}
    cluster.check_workers(Fake(broken, {"tcp://a": GOOD, "tcp://b": GOOD}), "maps.zarr", int)
    assert not caplog.text
    with pytest.raises(RunError, match=r"worker tcp://a has numpy 1\.0 \(here"):
        cluster.check_workers(Fake(broken, {"tcp://a": OLD, "tcp://b": GOOD}), "maps.zarr", int)
    fake = Fake(broken)  # listed, but never heard
    cluster.check_workers(fake, "maps.zarr", int)
    assert fake.asked == cluster.ASKED
    assert "worker tcp://a was lost" in caplog.text


def test_the_death_of_one_worker_hides_nothing_about_the_others():
    died = CommClosedError("closed")
    with pytest.raises(RunError, match="worker tcp://b cannot run salzarr: ImportError: no zarr; install it"):
        cluster.check_workers(Fake({"tcp://a": died, "tcp://b": ImportError("no zarr")}), "maps.zarr", int)
    with pytest.raises(RunError, match=r"worker tcp://b cannot read maps\.zarr: is not there; give a path"):
        cluster.check_workers(Fake({"tcp://a": died, "tcp://b": (GOOD[0], "is not there")}), "maps.zarr", int)


def test_where_all_workers_die_others_are_waited_for():
    died = {"tcp://a": CommClosedError("closed")}
    fake = Fake(died, {}, {"tcp://b": GOOD}, gone=["tcp://a"])
    cluster.check_workers(fake, "maps.zarr", int)
    assert fake.asked == 3
    with dask.config.set({"salzarr.patience": 0.3}):
        with pytest.raises(
            RunError, match=r"no worker of the scheduler answers \(tcp://a: CommClosedError: cl"
        ):
            cluster.check_workers(Fake(died), "maps.zarr", int)
        with pytest.raises(RunError, match="has had no worker for 0 s"):
            cluster.check_workers(Fake(died, gone=["tcp://a"]), "maps.zarr", int)


def test_a_worker_that_is_killed_while_it_is_checked(client, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_look", die_once)
    before = set(pids(client))
    cluster.check_workers(client, "maps.zarr", str(tmp_path / "note"))
    assert (tmp_path / "note").exists()
    assert before & set(client.run(os.getpid, on_error="ignore").values())


def test_connect_says_what_cannot_be():
    for scheduler, options, message in [
        ("slurm", {}, "takes threads, processes, sync or an address such as tcp://host:8786, not 'slurm'"),
        ("sync", {"workers": 2}, "--workers has no meaning with --scheduler sync"),
        (
            "threads",
            {"threads_per_worker": 2},
            "--threads-per-worker has no meaning with --scheduler threads",
        ),
        ("threads", {"dashboard": ":0"}, "--dashboard has no meaning"),
        ("processes", {"workers": 0}, "--workers must be 1 or more, not 0"),
    ]:
        with command_line(), pytest.raises(UsageError) as error, cluster.connect(scheduler, **options):
            pass
        with command_line():
            assert message in str(error.value)


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_connect_to_nobody(silent):
    """A port where nobody listens, and one where somebody does who is no scheduler."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        begun = time.monotonic()
        with (
            pytest.raises(
                RunError, match=rf"no Dask scheduler answers at {address} within 5 s; give the addr"
            ),
            cluster.connect(address),
        ):
            pass
        # Dask itself waits for 30 s, or for ever; the machine may be busy.
        assert time.monotonic() - begun < 25


def test_an_address_that_is_none():
    with pytest.raises(RunError, match="no Dask scheduler can be at abc://x"), cluster.connect("abc://x"):
        pass


def test_connect_starts_processes_and_ends_them(tmp_path):
    before = len(psutil.Process().children(recursive=True))
    with cluster.connect("processes", workers=1, threads_per_worker=2) as client:
        assert cluster.capacity().workers == 1
        assert cluster.capacity().threads == 2
        assert cluster.current_client() is client
        with cluster.connect("threads", workers=3):
            assert cluster.current_client() is None
            assert cluster.capacity().threads == 3
    until = time.monotonic() + 60
    # One more is multiprocessing's resource tracker.
    while len(psutil.Process().children(recursive=True)) > before + 1:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_capacity_without_a_cluster():
    with cluster.connect("sync"):
        assert (cluster.capacity().workers, cluster.capacity().threads) == (1, 1)
    with dask.config.set(scheduler="processes", num_workers=3):
        assert (cluster.capacity().workers, cluster.capacity().threads) == (3, 1)


def test_an_adaptive_cluster_starts_from_none(settings, long, tmp_path):
    """Workers come for tasks: they are submitted, or planned for, before workers are awaited."""
    store, whole = long
    with Client(n_workers=0, threads_per_worker=1, dashboard_address=":0") as client:
        client.cluster.adapt(minimum=0, maximum=2)
        compare(store, ["mse", metric(slow)], out=tmp_path / "r")
    assert contents(tmp_path / "r") == whole


def _compare(store, out):
    with dask.config.set(scheduler=None):
        compare(store, "mse", out=out)


def test_a_task_that_compares_does_not_wait_for_itself(settings, long, tmp_path):
    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as client:
        client.submit(_compare, long[0], tmp_path / "r").result(timeout=60)
    assert open_scores(tmp_path / "r").sizes["image"] == 60


def _die_of_poison(block):
    if (block == POISON).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return block


@pytest.mark.slow
def test_a_map_that_kills_workers_is_left_out_of_the_store(brittle, tmp_path):
    maps = random_maps(2, 6)
    maps["m1"][3, 0, 0] = POISON
    fatal = {name: da.from_array(one, chunks=(1, 16, 16)) for name, one in maps.items()}
    fatal["m1"] = fatal["m1"].map_blocks(_die_of_poison, meta=np.empty((0, 0, 0), np.float32))
    with pytest.raises(InputError, match=r"(?s)1 map could not be converted.*its workers died"):
        convert(fatal, tmp_path / "maps.zarr", chunk_bytes=4 * maps["m1"][0].nbytes)
    status = store.facts(tmp_path / "maps.zarr", allow_incomplete=True).map_status.values
    assert (status == Status.MISSING | Status.UNREADABLE).nonzero() == (1, 3)
    np.testing.assert_array_equal(
        open_maps(tmp_path / "maps.zarr", allow_incomplete=True)[1, 4:], maps["m1"][4:]
    )
