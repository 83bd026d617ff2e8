"""One run at a time on an object store: a lease that a run renews, and loses when it falls silent.

It is an object beside the store, created by a conditional put and renewed only as the version that this run
wrote last. A run that finds a lease polls it for changes, by its own clock alone. So a killed run holds up
the next one for half a minute, and nobody has to clean up.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from salzarr import location
from salzarr.errors import LockedError, storage_errors

log = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two renewals: so long does it take to refuse a second run, too."""

EXPIRY = 30.0
"""Seconds of silence after which a run is taken for dead; a machine may stall for some heartbeats."""


class UnconditionalError(Exception):
    """The object store has no conditional put."""


@contextmanager
def lease(url: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lease of a store; LockedError if another run holds it, or took it over meanwhile."""
    held = Lease(url)
    with storage_errors(url):
        held.acquire(wait)
    try:
        yield
    except KeyboardInterrupt:
        if not held.lost:
            raise
    finally:
        held.release()
    if held.lost:
        raise LockedError(
            f"{url} was taken over by another run, since nothing was heard of this one for {EXPIRY:.0f} s; "
            "when that has ended, give the same command again"
        )


class Lease:
    """The lease of one store, as one run sees it."""

    def __init__(self, url: str) -> None:
        folder, name = location.parent(url)
        self.url, self.key, self.client = url, f"{name}.lock", location.client(folder)
        self.lost = False
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._me = {"host": gethostname(), "pid": os.getpid(), "since": since, "run": uuid.uuid4().hex}
        self._version: Any = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._in_main = threading.current_thread() is threading.main_thread()

    def acquire(self, wait: float) -> None:
        """Take the lease when it is free or its holder silent; LockedError if the holder renews it."""
        until, seen, heard = time.monotonic() + wait, None, 0.0
        while True:
            version, holder = self._look()
            if version is None:
                if self._put("create"):
                    self._check_conditions()
                    break
                continue
            now = time.monotonic()
            if version != seen:
                if seen is None:
                    log.info("%s is in use by %s; seeing whether that is alive", f"{self.url}", _who(holder))
                elif now > until:
                    raise LockedError(f"{self.url} is in use by {_who(holder)}; wait for it, or stop it")
                seen, heard = version, now
            elif now - heard > EXPIRY and self._put(seen):
                log.warning("%s is taken over from %s, which is gone", f"{self.url}", _who(holder))
                break
            time.sleep(HEARTBEAT / 10)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back; if that fails, it expires."""
        self._stop.set()
        self._thread.join()
        try:
            # Renewed, it is ours for long enough to delete it: there is no conditional delete.
            if not self.lost and self._put(self._version):
                self.client.delete(self.key)
        except Exception as error:
            log.warning("the lease of %s could not be given back, and expires: %s", f"{self.url}", error)

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self.lost = not self._put(self._version)
            except Exception as error:  # the next may get through; if none does, the run itself fails
                log.info("the lease of %s could not be renewed: %s", f"{self.url}", error)
            if self.lost:
                if self._in_main:
                    _thread.interrupt_main()
                return

    def _put(self, mode: Any) -> bool:
        """Write the lease under a condition; return whether it is ours now."""
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

        content = json.dumps(self._me | {"beat": time.monotonic_ns()}).encode()  # another ETag each time
        try:
            self._version = _version(self.client.put(self.key, content, mode=mode))
        except (AlreadyExistsError, PreconditionError):
            # The answer to a put may be lost; tried again, it meets what it has written itself.
            version, holder = self._look()
            if holder.get("run") != self._me["run"]:
                return False
            self._version = version
        except (NotSupportedError, NotImplementedError) as error:
            raise UnconditionalError(str(error)) from None
        return True

    def _look(self) -> tuple[Any, dict[str, Any]]:
        """Return the version and the content of the lease; None and nothing if there is none."""
        try:
            found = self.client.get(self.key)
            content = bytes(found.bytes())
        except FileNotFoundError:
            return None, {}
        version = _version(found.meta)
        try:
            return version, dict(json.loads(content))
        except ValueError:  # nothing of ours; it expires all the same
            return version, {}

    def _check_conditions(self) -> None:
        """Refuse a server that ignores conditions: there is a lease now, so that none can be created."""
        from obstore.exceptions import AlreadyExistsError

        try:
            self.client.put(self.key, b"{}", mode="create")
        except AlreadyExistsError:
            return
        self.client.delete(self.key)
        raise UnconditionalError(f"{self.url} is on a server that ignores conditional writes")


def _version(found: Mapping[str, Any]) -> dict[str, str]:
    """Pick what tells a version of an object from others: S3 has ETags, others numbers."""
    return {key: found[key] for key in ("e_tag", "version") if found.get(key) is not None}


def _who(holder: dict[str, Any]) -> str:
    """Name the holder of a lease."""
    host, pid, since = (holder.get(key, "unknown") for key in ("host", "pid", "since"))
    return f"a run on {host} (process {pid}) since {since}"
