"""One writer at a time: a lock on a folder, which the system drops with its process, kill -9 included.

On an object store it is a lease instead; see :mod:`salzarr.lease`.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from salzarr.errors import LockedError, StoreError, storage_errors
from salzarr.lease import UnconditionalError, lease
from salzarr.location import is_object_store, local_path, locate

log = logging.getLogger(__name__)

CANNOT = (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
"""What file systems answer that lock no folders, or nothing at all."""

UNLOCKED = "could not lock %s; make sure that only one run writes to it"


@contextmanager
def lock(path: str | os.PathLike[str], *, shared: bool = False, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a store or a results folder, which is created if it does not exist.

    The folder itself is locked (``flock``), so that no lock file can be left behind; a file beside it where
    the file system cannot lock folders (some NFS); a lease on an object store. Where none of these works, a
    warning is logged.

    Parameters
    ----------
    path : path or URL
    shared : bool, default False
        Let others hold it too, if they also share it. A lease cannot be shared.
    wait : float, default 0
        Seconds to wait for another run to let go.

    Raises
    ------
    LockedError
        If another run holds it.
    StoreError
        If the folder or the object store cannot be written.
    """
    place = locate(path)
    folder = local_path(place)
    if folder is None:
        with ExitStack() as held:
            if shared or not _take_lease(place, wait, held):
                log.warning(UNLOCKED, f"{place}")
            yield
        return
    try:
        new = not os.path.isdir(folder)
        os.makedirs(folder, exist_ok=True)
        file = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}; choose another place") from None
    kind, until = fcntl.LOCK_SH if shared else fcntl.LOCK_EX, time.monotonic() + wait
    try:
        with storage_errors(folder):
            if not _flock(file, folder, kind, until):
                beside = os.open(folder + ".lock", os.O_RDWR | os.O_CREAT, 0o644)
                os.close(file)
                file = beside
                if not _flock(file, folder, kind, until):
                    log.warning(UNLOCKED, f"{place}")
        yield
    finally:
        if new and not os.listdir(folder):  # refused before anything was written
            os.rmdir(folder)
        os.close(file)


@contextmanager
def lock_place(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a place whose folder is replaced meanwhile: of a file beside it, removed afterwards.

    On an object store it is the lease of :func:`lock`. Raises as :func:`lock` does.
    """
    place = locate(path)
    folder = local_path(place)
    if folder is None:
        with lock(place):
            yield
        return
    beside = folder + ".lock"
    with storage_errors(place):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        while True:
            file = os.open(beside, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if not _flock(file, folder, fcntl.LOCK_EX, time.monotonic()):
                    log.warning(UNLOCKED, f"{place}")
                if os.path.exists(beside) and os.path.samestat(os.stat(beside), os.fstat(file)):
                    break  # or another run has removed it as we opened it
            except BaseException:
                os.close(file)
                raise
            os.close(file)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        os.close(file)


def _take_lease(url: str, wait: float, held: ExitStack) -> bool:
    """Hold a lease, if the place is one that knows leases."""
    if not is_object_store(url):
        return False
    try:
        held.enter_context(lease(url, wait=wait))
    except UnconditionalError:
        return False
    return True


def _flock(file: int, folder: str, kind: int, until: float) -> bool:
    """Lock an open file or folder; return whether the file system can."""
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise LockedError(f"{folder} is in use by another run; wait for it, or stop it") from None
            time.sleep(0.05)
        except OSError as error:
            if error.errno in CANNOT:
                return False
            raise
        else:
            return True
