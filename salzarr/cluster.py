"""Where tasks run: whatever Dask scheduler the user has, asked for its size, checked, and handed jobs."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import dask

from salzarr.errors import RunError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client

logger = logging.getLogger(__name__)

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = 120.0
"""Seconds to wait for a worker when there is none; Dask's configuration ``salzarr.patience`` changes it."""

ANSWER = 5.0
"""Seconds for a scheduler to answer at its address, where Dask waits 30; ``salzarr.answer`` changes it."""

CHECK = 2.0
"""Seconds without news after which it is asked whether anybody is still there."""

ASKED = 3
"""Times that a worker whose connection broke is asked again, as long as the scheduler still lists it."""

IN_FLIGHT, AT_LEAST = 4, 500
"""Jobs handed to a scheduler for each thread it has, and in all: an adaptive cluster grows with its queue."""

SAME = ("salzarr", "zarr", "numpy")
"""Packages whose versions must be the same everywhere, or the numbers need not be."""

MEMORY_SHARE = 0.8
"""Of a process's memory for a run: a Dask worker pauses at 0.8 and is ended at 0.95."""


@dataclass(frozen=True)
class Capacity:
    """How much runs at the same time, and how much memory each process has.

    Attributes
    ----------
    workers, threads : int
        Processes, and tasks at a time in each of them.
    memory : int or None
        Bytes that one process can take.
    """

    workers: int
    threads: int
    memory: int | None


def current_client() -> Client | None:
    """Return the distributed client that Dask would use here, if there is one."""
    get = dask.base.get_scheduler()
    # A bound method, or a function that wraps one: what matters is whose it is.
    owner = getattr(get, "__self__", None)
    return owner if type(owner).__module__.startswith("distributed") else None


def capacity() -> Capacity:
    """Ask Dask how much runs at the same time.

    Raises
    ------
    RunError
        If a cluster has no workers.
    """
    from distributed.system import MEMORY_LIMIT

    client = current_client()
    if client is not None:
        await_workers(client)
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
        limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
        # The smallest worker decides: any task may be sent to it.
        memory = int(min(limits) * MEMORY_SHARE) if limits else None
        return Capacity(len(workers), max(w["nthreads"] for w in workers), memory)
    kind = _local_kind()
    count = 1 if kind == "sync" else dask.config.get("num_workers", None) or dask.system.CPU_COUNT
    share = int(MEMORY_LIMIT * MEMORY_SHARE)
    return Capacity(count, 1, share // count) if kind == "processes" else Capacity(1, count, share)


def _local_kind() -> str:
    """Say whether Dask's own scheduler runs tasks in processes, threads or here."""
    import dask.local
    import dask.multiprocessing

    get = dask.base.get_scheduler()
    if get is dask.multiprocessing.get:
        return "processes"
    return "sync" if get is dask.local.get_sync else "threads"


def await_workers(client: Client) -> None:
    """Wait until a cluster has a worker.

    Raises
    ------
    RunError
        If none comes.
    """
    limit = dask.config.get("salzarr.patience", PATIENCE)
    until = time.monotonic() + limit
    while not client.nthreads():
        if time.monotonic() > until:
            address = getattr(client.scheduler, "address", "")
            raise RunError(
                f"the scheduler {address} has had no worker for {limit:.0f} s; start one, as in "
                f"'dask worker {address}', and give the same command again"
            )
        time.sleep(min(0.2, limit))


def run(
    function: Callable[[Job], Result], jobs: Sequence[Job], done: Callable[[Result], None]
) -> list[tuple[Job, str]]:
    """Run a function on many jobs, wherever Dask runs tasks.

    Parameters
    ----------
    function : callable
        Returns something small; an exception that it raises ends the run.
    jobs : sequence
    done : callable
        Is told each result, in the caller's process, as it comes.

    Returns
    -------
    list of (job, str)
        The jobs that took their worker processes down with them, and what is known of it.

    Raises
    ------
    RunError
        If the scheduler, or all workers, are gone for good.
    """
    if not jobs:
        return []
    client = current_client()
    if client is not None:
        return _run_distributed(client, function, jobs, done)
    return _run_local(function, jobs, done)


def run_apart(
    function: Callable[[Any], Result],
    job: Any,
    images: int,
    blank: Callable[[Any, str], Result],
    join: Callable[[Result, Result], Result],
) -> Result:
    """Run a job that took its worker down by itself, then its halves, until the images that do it are alone.

    Nothing else runs meanwhile, so that no other job is blamed for the same death.

    Parameters
    ----------
    function : callable
        As for :func:`run`; it must not write.
    job
        Of so many images; ``job.part(slice)`` is the same for some of them.
    images : int
    blank : callable
        Makes the result of a job of one image that cannot be done, given why.
    join : callable
        Makes one result of two.
    """
    found: list[Result] = []
    died = run(function, [job], found.append)
    if not died:
        return found[0]
    if images == 1:
        return blank(job, died[0][1])
    half = images // 2
    first = run_apart(function, job.part(slice(0, half)), half, blank, join)
    return join(first, run_apart(function, job.part(slice(half, images)), images - half, blank, join))


def _run_local(
    function: Callable[[Job], Result], jobs: Sequence[Job], done: Callable[[Result], None]
) -> list[tuple[Job, str]]:
    from concurrent.futures.process import BrokenProcessPool

    from dask.callbacks import Callback

    told: set[int] = set()
    # Without arguments, since Dask looks for graphs in each field of each of them.
    tasks = [
        dask.delayed(functools.partial(_numbered, function, job, i), pure=False)()
        for i, job in enumerate(jobs)
    ]

    def tell(_key: object, value: Any, *_: object) -> None:
        if isinstance(value, _Numbered) and value.number not in told:
            told.add(value.number)
            done(value.result)

    try:
        with Callback(posttask=tell), _one_blas_thread():
            results = dask.compute(*tasks)
    except BrokenProcessPool:
        # All processes of the pool are gone, and nobody says which job it was: it is in one of the halves.
        left = [job for i, job in enumerate(jobs) if i not in told]
        if len(jobs) == 1:
            return [(job, "its process died, perhaps for lack of memory") for job in left]
        half = -(-len(left) // 2)
        return [dead for part in (left[:half], left[half:]) for dead in run(function, part, done)]
    for result in results:  # a scheduler of the user's may know no callbacks
        tell(None, result)
    return []


@dataclass(frozen=True)
class _Numbered:
    number: int
    result: Any


def _numbered(function: Callable[[Any], Any], job: Any, number: int) -> _Numbered:
    return _Numbered(number, function(job))


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread in this process and in those it starts: tasks are the parallelism."""
    from threadpoolctl import threadpool_limits

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run_distributed(
    client: Client, function: Callable[[Job], Result], jobs: Sequence[Job], done: Callable[[Result], None]
) -> list[tuple[Job, str]]:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    waiting = iter(jobs)
    running: dict[Any, Job] = {}
    died: list[tuple[Job, str]] = []
    width, asked = AT_LEAST, 0.0
    try:
        while True:
            if client.status in ("closing", "closed"):
                raise _scheduler_gone()
            if time.monotonic() > asked + CHECK:  # a cluster may grow while it works
                with suppress(OSError, ValueError):
                    width = max(AT_LEAST, IN_FLIGHT * sum(client.nthreads().values()))
                asked = time.monotonic()
            for job in islice(waiting, max(0, width - len(running))):
                future = client.submit(function, job, pure=False)
                running[future] = job
                future.add_done_callback(finished.put)
            if not running:
                return died
            future = _wait(client, lambda: finished.get(timeout=CHECK))
            job = running.pop(future)
            try:
                # Its worker may die before the result is fetched: it is then computed again, or fails.
                result = _wait(client, functools.partial(future.result, timeout=CHECK))
            except KilledWorker:
                died.append((job, "its workers died, perhaps for lack of memory"))
            except CancelledError:
                raise _scheduler_gone() from None
            else:
                done(result)
    finally:
        if running and client.status == "running":
            client.cancel(list(running), force=True)


def _wait(client: Client, attempt: Callable[[], Any]) -> Any:
    """Try until it comes; give up when there is nobody left from whom it could."""
    while True:
        try:
            return attempt()
        except (queue.Empty, TimeoutError):
            if client.status in ("closing", "closed"):
                raise _scheduler_gone() from None
            with suppress(OSError, ValueError):  # the connection is gone, and the client tries to get it back
                await_workers(client)


def _scheduler_gone() -> RunError:
    return RunError(
        "the Dask scheduler is gone; every block that was finished is kept, unless no scores are: start a "
        "cluster, and give the same command again"
    )


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
        ``threads`` (of this process), ``processes`` (a cluster of processes on this machine), ``sync``
        (one task after the other), or the address of a running scheduler, such as ``tcp://host:8786``.
    workers : int, optional
        Threads, or processes; by default one for each core.
    threads_per_worker : int, default 1
        Of each process.
    memory : int, optional
        Bytes that each of the ``processes`` may take; Dask ends one that takes much more.
    dashboard : str, optional
        Address of Dask's dashboard, such as ``:8787``, for ``processes``; none by default.

    Yields
    ------
    distributed.Client or None
        None for ``threads`` and ``sync``.

    Raises
    ------
    UsageError
        If the scheduler is none of these, or options are given that it has no use for.
    RunError
        If nobody answers at the address.
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
                dashboard_address=dashboard or ":0",
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
    """Versions of what must be the same on every worker."""
    return {name: str(importlib.import_module(name).__version__) for name in SAME}


def _look(url: str) -> tuple[dict[str, str], str | None]:
    """On a worker: which versions it has, and whether it can read the store."""
    from salzarr import store

    try:
        store.open_dataset(url, allow_incomplete=True)
    except (StoreError, OSError) as error:  # an OSError that a worker raised would pass for its death
        return versions(), str(error)
    return versions(), None


def _ask(client: Client, question: Callable[[], Any]) -> dict[str, Any]:
    """Ask all workers; return the answers, or exceptions, of those that did not die over it.

    Workers come and go: one that is lost is left out as long as others answer, and waited for if none does.

    Raises
    ------
    RunError
        If there are no workers, or none that answers.
    """
    until = time.monotonic() + dask.config.get("salzarr.patience", PATIENCE)
    left = ASKED
    while True:
        await_workers(client)
        answers = client.run(question, on_error="return")
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


def check_workers(client: Client | None, url: str) -> None:
    """Refuse to start on workers that cannot do the work; one that dies meanwhile is left out.

    Parameters
    ----------
    client : Client or None
        Without one, tasks run here, and there is nothing to check.
    url : str
        The maps store, as the tasks will open it.

    Raises
    ------
    RunError
        If there are no workers, or none answers; one has other versions of salzarr, zarr or NumPy, or none;
        or one cannot read the store.
    """
    if client is None:
        return
    here = versions()
    for worker, answer in _ask(client, functools.partial(_look, url)).items():
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
