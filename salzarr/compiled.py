"""The one numba decorator of the project."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

import numba

logger = logging.getLogger(__name__)


F = TypeVar("F", bound="Callable[..., Any]")


@overload
def jit(function: F) -> F: ...
@overload
def jit(**options: Any) -> Callable[[F], F]: ...
def jit(function: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """Compile a function with numba: without the GIL, cached on disk where that is possible.

    ``parallel=True`` is refused: under Dask's threads it aborts the process. Parallelism comes from
    many tasks, each on one thread. Where neither the install nor the home can be written,
    ``cache=True`` raises at import; then the function is compiled anew in each process.

    Parameters
    ----------
    function : callable, optional
        The function, when used as ``@jit``.
    **options
        Further options of :func:`numba.njit`, when used as ``@jit(fastmath=True)``.

    Raises
    ------
    ValueError
        On ``parallel=True``.
    """
    if options.get("parallel"):
        raise ValueError("parallel=True aborts the process under Dask's threads; use one thread per task")

    def decorate(f: F) -> F:
        try:
            return numba.njit(f, nogil=True, cache=True, **options)  # type: ignore[no-any-return]
        except RuntimeError:  # "no locator available": nowhere to write a cache
            return numba.njit(f, nogil=True, **options)  # type: ignore[no-any-return]

    return decorate if function is None else decorate(function)


PATIENCE = 2.0
"""Seconds that a first call may take before it is said why: one from the cache takes less."""

_told: set[str] = set()


@contextmanager
def announced(function: Any, what: str) -> Iterator[None]:
    """Say, once, that ``what`` is being compiled, if the first call of a compiled function takes long."""
    if getattr(function, "signatures", True):
        yield
        return

    def tell() -> None:
        if what not in _told:
            _told.add(what)
            logger.info("compiling %s: some seconds, once per machine", what)

    timer = threading.Timer(PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
