"""How results were made: the command as typed, or the call as written, for people to repeat."""

from __future__ import annotations

import inspect
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from salzarr.errors import CorruptError, redacted

RECORD = "run.json"
"""File of a results folder that says how the results were made."""

_typed: ContextVar[str | None] = ContextVar("typed", default=None)


@contextmanager
def typed_command(arguments: Sequence[str]) -> Iterator[None]:
    """Record what is called meanwhile as this command line."""
    token = _typed.set(redacted(shlex.join(["salzarr", *arguments])))
    try:
        yield
    finally:
        _typed.reset(token)


def call_of(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """Spell the command that was typed, or else the call of a library function.

    Parameters
    ----------
    function : callable
    given : mapping
        Its arguments by name, such as its ``locals()``; those that have their default are left out, and what
        cannot be spelled, such as an array, is the name of the parameter.

    Examples
    --------
    >>> def compare(maps, metrics="mse", *, out=None, progress=None): ...
    >>> call_of(compare, {"maps": "maps.zarr", "metrics": "mse,ssim", "out": None, "progress": print})
    "salzarr.compare('maps.zarr', 'mse,ssim')"
    """
    if (typed := _typed.get()) is not None:
        return typed
    words = []
    for name, parameter in inspect.signature(function).parameters.items():
        value, text = given[name], _spelled(given[name])
        if name == "progress" or value is parameter.default:
            continue
        if text is not None and text == _spelled(parameter.default):
            continue
        text = text or name
        words.append(text if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else f"{name}={text}")
    return redacted(f"salzarr.{function.__name__}({', '.join(words)})")


def _spelled(value: Any) -> str | None:
    """Spell a plain value in Python; None if it is not one."""
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, list | tuple):
        texts = [_spelled(one) for one in value]
        return None if None in texts else f"[{', '.join(map(str, texts))}]"
    if isinstance(value, dict):
        pairs = [(_spelled(key), _spelled(one)) for key, one in value.items()]
        return None if None in sum(pairs, ()) else f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
    spec = getattr(value, "spec", value)  # of a metric
    return repr(spec) if isinstance(spec, str | int | float | bool | slice | None) else None


def add_to_record(results: str | os.PathLike[str], **entries: Any) -> None:
    """Add entries to what a results folder says of how it was made; values are plain JSON."""
    path = Path(results) / RECORD
    known = read_record(results)
    record = known | json.loads(json.dumps(entries))
    if record == known:
        return
    partial = path.with_name(f".{RECORD}.partial")
    partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    partial.replace(path)


def read_record(results: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a results folder says of how it was made.

    Raises
    ------
    CorruptError
        If the file is damaged.
    """
    path = Path(results) / RECORD
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CorruptError(f"{path} is damaged ({error}); delete it and run the command again") from None
    if not isinstance(record, dict):
        raise CorruptError(f"{path} is damaged (no JSON object); delete it and run the command again")
    return record
