"""The one numba decorator of the project."""

from __future__ import annotations

import dis
import inspect
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
    ``cache=True`` raises at import; then each process compiles the function again.

    What a function computes, to the last bit, must not depend on who compiled it. The process that compiles
    a caller goes on with the code of the functions it calls as they were compiled by themselves; one that
    loads the caller from the cache has the copies in there, optimized in their context. Without ``fastmath``
    both compute the same; with it, they may sum in different orders. Hence the rule: a function with
    ``fastmath`` that another compiled function calls is ``inline="always"``, so that there is one copy only,
    compiled with the caller's options. Nor does a function take ``fastmath`` or ``error_model`` from the
    caller that happened to be compiled first, as numba has it where they are not given.

    Parameters
    ----------
    function : callable, optional
        The function, when used as ``@jit``.
    **options
        Further options of :func:`numba.njit`, when used as ``@jit(fastmath=True)``.

    Raises
    ------
    ValueError
        On ``parallel=True``, and when the function calls one with ``fastmath`` that is not inlined.
    """
    if options.get("parallel"):
        raise ValueError("parallel=True aborts the process under Dask's threads; use one thread per task")
    options = {"fastmath": False, "error_model": "python", **options}

    def decorate(f: F) -> F:
        if loose := loose_callees(f):
            raise ValueError(
                f"{f.__qualname__} calls {', '.join(loose)}, compiled with fastmath: its last bits would "
                "depend on who compiles; compile it with inline='always', or without fastmath"
            )
        try:
            return numba.njit(f, nogil=True, cache=True, **options)  # type: ignore[no-any-return]
        except RuntimeError:  # "no locator available": nowhere to write a cache
            return numba.njit(f, nogil=True, **options)  # type: ignore[no-any-return]

    return decorate if function is None else decorate(function)


def loose_callees(function: Callable[..., Any]) -> list[str]:
    """Names of the functions with ``fastmath``, and not inlined, that a Python function refers to.

    Those of its globals, of its closure and of modules among them, that are defined by now.
    """
    known = inspect.getclosurevars(function)
    used = list(dis.get_instructions(function))
    names = {i.argval: known.globals.get(i.argval) for i in used if i.opname == "LOAD_GLOBAL"}
    names.update(known.nonlocals)
    attributes = {i.argval for i in used if i.opname in ("LOAD_ATTR", "LOAD_METHOD")}
    for module, value in list(names.items()):
        if inspect.ismodule(value):
            names |= {f"{module}.{name}": getattr(value, name, None) for name in attributes}
    return sorted(name for name, value in names.items() if _is_loose(value))


def _is_loose(value: object) -> bool:
    options = getattr(value, "targetoptions", {})
    return bool(options.get("fastmath")) and options.get("inline") != "always"


PATIENCE = 2.0
"""Seconds after which a first call is explained: one from the cache takes less."""

_told: set[str] = set()


@contextmanager
def announced(function: Any, what: str) -> Iterator[None]:
    """Log, once, that ``what`` is being compiled, if the first call of a compiled function takes long."""
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
