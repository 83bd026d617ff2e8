"""Dask schedulers: which one there is, what its workers have, and how to start or join one."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask

from salzarr.errors import RunError, StoreError, UsageError

if TYPE_CHECKING:
    from distributed import Client


logger = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds to wait for a worker when there is none; Dask's configuration ``salzarr.patience`` changes it."""

ANSWER = 5.0
"""Seconds for a scheduler to answer at its address, where Dask waits 30; ``salzarr.answer`` changes it."""

ASKED = 3
"""Times that a worker whose connection broke is asked again, as long as the scheduler still lists it."""

SAME = ("salzarr", "zarr", "numpy")
"""Packages whose versions must be the same everywhere, or the numbers need not be."""

MEMORY_SHARE = 0.8
"""Of a process's memory for a run: a Dask worker pauses at 0.8 and is ended at 0.95."""


@dataclass(frozen=True)
class Capacity:
    """Worker processes, threads in each, and the bytes that each process may use (None if unknown)."""

    workers: int
    threads: int
    memory: int | None


def current_client() -> Client | None:
    """Return the distributed client that Dask would use here, if there is one."""
    try:
        get = dask.base.get_scheduler()
    except RuntimeError as error:
        if "asynchronous Client" not in str(error):
            raise
        raise UsageError(
            "the Dask client in use is asynchronous, and salzarr waits for results; make the Client without "
            "asynchronous=True"
        ) from None
    # A bound method, or a function that wraps one: what matters is whose it is.
    owner = getattr(get, "__self__", None)
    return owner if type(owner).__module__.startswith("distributed") else None


def capacity() -> Capacity:
    """Ask Dask how much runs at the same time."""
    from distributed.system import MEMORY_LIMIT

    client = current_client()
    if client is not None:
        await_workers(client)
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
        limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
        # The smallest worker decides: any task may be sent to it.
        memory = int(min(limits) * MEMORY_SHARE) if limits else None
        return Capacity(len(workers), max(w["nthreads"] for w in workers), memory)
    kind = local_kind()
    pool = dask.config.get("scheduler", None)  # may be an executor
    wanted = getattr(pool, "_max_workers", None) or dask.config.get("num_workers", None)
    count = 1 if kind == "sync" else wanted or dask.system.CPU_COUNT
    share = int(MEMORY_LIMIT * MEMORY_SHARE)
    return Capacity(count, 1, share // count) if kind == "processes" else Capacity(1, count, share)


def local_kind() -> str:
    """Return whether Dask's own scheduler runs tasks in ``processes``, ``threads`` or here (``sync``)."""
    import dask.local
    import dask.multiprocessing

    get = dask.base.get_scheduler()
    if get is dask.multiprocessing.get:
        return "processes"
    return "sync" if get is dask.local.get_sync else "threads"


def await_workers(client: Client) -> None:
    """Wait until a cluster has a worker, beside a task for which an adaptive cluster starts one."""
    if client.nthreads():
        return
    limit = dask.config.get("salzarr.patience", PATIENCE)
    until = time.monotonic() + limit
    task = client.submit(os.getpid, pure=False)
    try:
        while not client.nthreads():
            if time.monotonic() > until:
                address = getattr(client.scheduler, "address", "")
                raise RunError(
                    f"the scheduler {address} has had no worker for {limit:.0f} s; start one, as in "
                    f"'dask worker {address}', and give the same command again"
                )
            time.sleep(min(0.2, limit))
    finally:
        if client.status == "running":
            task.cancel()


@contextmanager
def connect(
    scheduler: str = "threads",
    *,
    workers: int | None = None,
    threads_per_worker: int | None = None,
    memory: int | None = None,
    dashboard: str | None = None,
) -> Iterator[Client | None]:
    """Start or join what the command line was asked to run on, and leave it afterwards.

    Parameters
    ----------
    scheduler : str
        ``threads``, ``processes`` (a cluster on this machine), ``sync``, or a running scheduler's address.
    workers : int, optional
        Threads, or processes; one for each core by default.
    threads_per_worker : int, default 1
        Of each process.
    memory : int, optional
        Bytes that each of the ``processes`` may use; Dask ends one that uses much more.
    dashboard : str, optional
        Address of Dask's dashboard for ``processes``, such as ``:8787``.

    Yields
    ------
    distributed.Client or None
        None for ``threads`` and ``sync``.
    """
    remote = "://" in scheduler
    if scheduler not in ("threads", "processes", "sync") and not remote:
        raise UsageError(
            "--scheduler takes threads, processes, sync or an address such as tcp://host:8786, "
            f"not {scheduler!r}"
        )
    useless = {
        "--workers": workers is not None and (remote or scheduler == "sync"),
        "--threads-per-worker": threads_per_worker is not None and scheduler != "processes",
        "--dashboard": dashboard is not None and scheduler != "processes",
    }
    for option, given in useless.items():
        if given:
            raise UsageError(f"{option} has no meaning with --scheduler {scheduler}; leave it out")
    for option, number in (("--workers", workers), ("--threads-per-worker", threads_per_worker)):
        if number is not None and number < 1:
            raise UsageError(f"{option} must be 1 or more, not {number}")
    if remote:
        with _joined(scheduler) as client:
            yield client
    elif scheduler == "processes":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=workers or dask.system.CPU_COUNT,
                threads_per_worker=threads_per_worker or 1,
                processes=True,
                memory_limit=int(memory / MEMORY_SHARE) if memory else "auto",
                # Without one, its port may still be any that is free, or two runs would fight for 8787.
                # Of this machine only, unless another address is given.
                dashboard_address=_on_loopback(dashboard or ":0"),
                scheduler_kwargs={"dashboard": dashboard is not None},
            ) as cluster,
            Client(cluster) as client,
        ):
            if dashboard:
                logger.warning("Dask's dashboard is at %s", client.dashboard_link)
            yield client
    else:
        with dask.config.set(scheduler=scheduler, num_workers=workers):
            yield None


def _on_loopback(address: str) -> str:
    """Return an address of Dask's dashboard; a bare port is that of the loopback interface.

    >>> _on_loopback(":8787"), _on_loopback("8787"), _on_loopback("0.0.0.0:8787")
    ('127.0.0.1:8787', '127.0.0.1:8787', '0.0.0.0:8787')
    """
    host, _, port = address.rpartition(":")
    return address if host else f"127.0.0.1:{port}"


@contextmanager
def _joined(address: str) -> Iterator[Client]:
    from distributed import Client

    limit = dask.config.get("salzarr.answer", ANSWER)
    try:
        with ThreadPoolExecutor(1) as apart:  # this thread may have an event loop of its own
            apart.submit(asyncio.run, asyncio.wait_for(_knock(address), limit)).result()
        client = Client(address)
    except (OSError, TimeoutError):
        raise RunError(
            f"no Dask scheduler answers at {address} within {limit:g} s; give the address that "
            "'dask scheduler' printed when it was started"
        ) from None
    except ValueError as error:
        raise RunError(f"no Dask scheduler can be at {address}: {error}") from None
    with client:
        yield client


async def _knock(address: str) -> None:
    """See whether a scheduler answers; a client would wait forever for one who is none and says nothing."""
    from distributed.comm import connect
    from distributed.security import Security

    comm = await connect(address, **Security().get_connection_args("client"))
    await comm.close()


def versions() -> dict[str, str]:
    """Return the versions of what must be the same on every worker."""
    return {name: str(importlib.import_module(name).__version__) for name in SAME}


def _look(read: Callable[[], object]) -> tuple[dict[str, str], str | None]:
    """On a worker: return which versions it has, and why it cannot read the store, if so."""
    try:
        read()
    except (StoreError, OSError) as error:  # an OSError that a worker raised would pass for its death
        return versions(), str(error)
    return versions(), None


def _ask(client: Client, question: Callable[[], Any]) -> dict[str, Any]:
    """Ask all workers; return the answers, or exceptions, of those that did not die, one at least."""
    until = time.monotonic() + dask.config.get("salzarr.patience", PATIENCE)
    left = ASKED
    while True:
        await_workers(client)
        # As a task, too: an adaptive cluster retires workers that have none, while they still import us.
        task = client.submit(question, pure=False)
        try:
            answers = client.run(question, on_error="return")
        finally:
            task.cancel()
        # Connections that break or are never made; whatever else is raised was raised on the worker.
        lost = {worker: answer for worker, answer in answers.items() if isinstance(answer, OSError)}
        heard = {worker: answer for worker, answer in answers.items() if worker not in lost}
        if heard and not lost:
            return heard
        left -= 1
        time.sleep(0.2)  # until the scheduler has noticed
        # One that is still listed would be given work: it is better asked than left out.
        if heard and (left <= 0 or lost.keys().isdisjoint(client.nthreads())):
            for worker, error in lost.items():
                logger.warning("worker %s was lost while it was checked, and is left out: %s", worker, error)
            return heard
        if time.monotonic() > until:
            why = "; ".join(f"{worker}: {type(error).__name__}: {error}" for worker, error in lost.items())
            raise RunError(
                f"no worker of the scheduler answers ({why or 'they come and go'}); see why in their logs, "
                "and give the same command again"
            )


def check_workers(client: Client | None, url: str, read: Callable[[], object]) -> None:
    """Refuse to start on workers of other versions, or that cannot read the maps; one that dies is left out.

    Parameters
    ----------
    client : Client or None
        Without one, there is nothing to check.
    url : str
        Of the maps store.
    read : callable
        Opens it as the jobs will; StoreError where that fails.
    """
    if client is None:
        return
    here = versions()
    for worker, answer in _ask(client, functools.partial(_look, read)).items():
        if isinstance(answer, BaseException):
            raise RunError(
                f"worker {worker} cannot run salzarr: {type(answer).__name__}: {answer}; install it there"
            )
        there, problem = answer
        other = [f"{name} {there[name]} (here {here[name]})" for name in SAME if there[name] != here[name]]
        if other:
            raise RunError(f"worker {worker} has {', '.join(other)}; install the same versions there")
        if problem is not None:
            raise RunError(
                f"worker {worker} cannot read {url}: {problem}; give a path or URL that every worker can read"
            )
