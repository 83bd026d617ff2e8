"""The only loop over jobs: on this machine as Dask is configured, or on the Dask client that is there."""

from __future__ import annotations

import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import cloudpickle
import dask
from threadpoolctl import threadpool_limits

from salzarr.cluster import await_workers, capacity, current_client, local_kind
from salzarr.errors import RunError

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Progress = Callable[[int, int], None]

CHECK = 2.0
"""Seconds without a result after which the scheduler is asked whether it has workers left."""

QUEUED = 2
"""Jobs in flight for each thread or process of this machine: one that runs, and the next."""

QUEUED_REMOTE, AT_LEAST = 4, 500
"""Jobs in flight for each thread of a cluster, and in all: an adaptive cluster grows with its queue."""


class Job(Protocol[Result_co]):
    """Work on some images, which can be sent to another process; the result is small."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def part(self, images: slice) -> Self:
        """Return the job for some of the images."""
        ...

    def __call__(self) -> Result_co:
        """Do the job."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job[Any])


def run(
    jobs: Sequence[AnyJob],
    done: Callable[[Any], None],
    progress: Progress | None = None,
    killed: Callable[[AnyJob, str], None] | None = None,
    *,
    here: bool = False,
) -> None:
    """Run jobs wherever Dask runs tasks, some at a time.

    A job that kills its worker process is run again alone, then in halves, until the images that kill are
    alone. Nothing else runs meanwhile, so that no other job is blamed for the same death.

    Parameters
    ----------
    jobs : sequence of Job
    done : callable
        ``done(result)`` of each job, or of each part of a job that was taken apart, in the caller's thread.
        The parts of one job come in the order of their images.
    progress : callable, optional
        ``progress(done, total)``, in jobs; first with 0.
    killed : callable, optional
        ``killed(job, why)`` for each job of one image that kills its worker process, in the order of the
        parts.
    here : bool, default False
        Run in this thread: for jobs that hold arrays, which would have to be sent.

    Raises
    ------
    RunError
        If the scheduler, or all its workers, are gone; or a job kills its worker and ``killed`` is not given.
    Exception
        What a job raises.

    Examples
    --------
    >>> class Sum(list):
    ...     def part(self, images):
    ...         return Sum(self[images])
    ...     def __call__(self):
    ...         return sum(self)
    >>> run([Sum([1, 2]), Sum([3])], print, here=True)
    3
    3
    """
    finished = 0

    def advance() -> None:
        nonlocal finished
        if progress is not None:
            progress(finished, len(jobs))
        finished += 1

    def keep(result: Any) -> None:
        done(result)
        advance()

    advance()
    for job, _ in _run(jobs, keep, here=here):
        _run_apart(job, done, killed)
        advance()


def _run_apart(
    job: AnyJob, done: Callable[[Any], None], killed: Callable[[AnyJob, str], None] | None
) -> None:
    """Run a job alone, then its halves, until the images that kill workers are alone."""
    for _, why in _run([job], done):
        half = len(job) // 2
        if half:
            _run_apart(job.part(slice(0, half)), done, killed)
            _run_apart(job.part(slice(half, len(job))), done, killed)
        elif killed is None:
            raise RunError(f"a task failed: {why}; give the workers more memory, or use fewer of them")
        else:
            killed(job, why)


def _run(
    jobs: Sequence[AnyJob], done: Callable[[Any], None], *, here: bool = False
) -> list[tuple[AnyJob, str]]:
    """Run jobs; return those that were running when a worker died, and what is known of it."""
    waiting, suspects = deque(jobs), list[tuple[AnyJob, str]]()
    while waiting:  # again after a pool of processes has broken
        with _workers(here=here) as workers:
            suspects += _run_on(workers, waiting, done)
    return suspects


def _run_on(
    workers: _Workers, waiting: deque[AnyJob], done: Callable[[Any], None]
) -> list[tuple[AnyJob, str]]:
    """Run the waiting jobs until none is left, or the pool of processes is broken."""
    finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    running: dict[Future[Any], AnyJob] = {}
    died: list[tuple[AnyJob, str]] = []
    broken = False
    while True:
        while waiting and not broken and len(running) < workers.width():
            job = waiting.popleft()
            try:
                future = workers.submit(job)
            except BrokenProcessPool:
                waiting.appendleft(job)
                broken = True
                break
            running[future] = job
            future.add_done_callback(finished.put)
        if not running:
            return died
        future = workers.wait(finished)
        job = running.pop(future)
        try:
            result = future.result()
        except BrokenProcessPool:
            # All processes are gone, and nobody knows which job it was.
            died.append((job, "its process died, perhaps for lack of memory"))
            broken = True
        except CancelledError:
            raise _scheduler_gone() from None
        except Exception as error:
            if not workers.is_death(error):
                raise
            died.append((job, "its workers died, perhaps for lack of memory"))
        else:
            done(result)


class _Workers:
    """Threads or processes of this machine."""

    def __init__(self, executor: Executor, width: int) -> None:
        self.executor, self._width = executor, width

    def width(self) -> int:
        """Return how many jobs may be in flight."""
        return self._width

    def submit(self, job: Job[Result]) -> Future[Result]:
        """Hand over a job."""
        if isinstance(self.executor, ProcessPoolExecutor):
            return self.executor.submit(_work_pickled, cloudpickle.dumps(job))
        return self.executor.submit(work, job)

    def wait(self, finished: queue.SimpleQueue[Future[Any]]) -> Future[Any]:
        """Return the next future that is finished."""
        return finished.get()

    def is_death(self, _error: Exception) -> bool:
        """Whether the error says that the job killed workers."""
        return False


class _ClusterWorkers(_Workers):
    """Workers of a Dask cluster, which may come and go."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.get_executor(pure=False), AT_LEAST)
        self.client, self._asked = client, -CHECK

    def width(self) -> int:
        self._check_scheduler()
        if time.monotonic() > self._asked + CHECK:
            with suppress(OSError, ValueError):
                self._width = max(AT_LEAST, QUEUED_REMOTE * sum(self.client.nthreads().values()))
            self._asked = time.monotonic()
        return self._width

    def wait(self, finished: queue.SimpleQueue[Future[Any]]) -> Future[Any]:
        while True:
            try:
                return finished.get(timeout=CHECK)
            except queue.Empty:
                self._check_scheduler()
                with suppress(OSError, ValueError):  # the client is trying to reconnect
                    await_workers(self.client)

    def is_death(self, error: Exception) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker)

    def _check_scheduler(self) -> None:
        if self.client.status in ("closing", "closed"):
            raise _scheduler_gone()


class _Here(Executor):
    """Run each job in this thread, when it is submitted."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


def work(job: Job[Result]) -> Result:
    """Do a job: what a Dask dashboard shows as the task's name."""
    return job()


def _work_pickled(job: bytes) -> Any:
    """Do a job that plain pickle may not be able to send, such as one with a function of the user's."""
    return cloudpickle.loads(job)()


@contextmanager
def _workers(*, here: bool) -> Iterator[_Workers]:
    """Start this machine's threads or processes, or take the client's workers; leave none of our jobs."""
    client = None if here else current_client()
    if client is not None:
        workers = _ClusterWorkers(client)
        with _seceded():
            try:
                yield workers
            finally:
                if client.status == "running":
                    workers.executor.shutdown(wait=False)
        return
    executor, width = _local_executor("sync" if here else local_kind())
    with _one_blas_thread():
        try:
            yield _Workers(executor, width)
        finally:
            executor.shutdown(cancel_futures=True)  # waits for what is running: it may be writing


def _local_executor(kind: str) -> tuple[Executor, int]:
    """Return what runs jobs on this machine, and how many it is handed at a time."""
    if kind == "sync":
        return _Here(), 1
    has = capacity()
    if kind == "threads":
        return ThreadPoolExecutor(has.threads), QUEUED * has.threads
    from dask.multiprocessing import get_context, initialize_worker_process

    given = dask.config.get("multiprocessing.initializer", None)
    start = partial(initialize_worker_process, user_initializer=given)
    pool = ProcessPoolExecutor(has.workers, get_context(), start)
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool:
        raise RunError(
            "processes die as they start; a script that uses them needs the line if __name__ == '__main__': "
            "before its commands, or choose threads"
        ) from None
    return pool, QUEUED * has.workers


@contextmanager
def _seceded() -> Iterator[None]:
    """In a Dask task, let others have its thread while it waits for them."""
    from distributed import rejoin, secede
    from distributed.worker import thread_state

    inside = hasattr(thread_state, "execution_state")
    if inside:
        secede()
    try:
        yield
    finally:
        if inside:
            rejoin()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread in this process and in those it starts: jobs are the parallelism."""
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


def _scheduler_gone() -> RunError:
    return RunError(
        "the Dask scheduler is gone; finished work is kept: start a cluster and give the same command again"
    )
