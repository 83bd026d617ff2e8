"""The terminal: tables on stdout, progress and notes on stderr, one sentence per error."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from salzarr.errors import redacted

if TYPE_CHECKING:
    from rich.console import Console


logger = logging.getLogger(__name__)


def console(*, stderr: bool = False) -> Console:
    """Return a console without markup (a model may be called ``[red]``), wide if it is no terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=1000, soft_wrap=True)
    return made


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    right: bool = False,
) -> None:
    """Print a table; numbers stand to the right, or all but the first column; None is shown as a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(title=title and Text(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        numeric = any(isinstance(row[i], int | float) for row in rows) or (right and i > 0)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    console().print(table)


def show_matrix(
    rows: Sequence[str], columns: Sequence[str], texts: Sequence[Sequence[str]], title: str
) -> None:
    """Print a matrix, its columns by number where their names take too much room."""
    room = console().width - max(map(len, rows), default=0)
    if sum(max(len(name), 6) + 2 for name in columns) > room and len(columns) == len(rows):
        columns = [str(k) for k in range(1, len(columns) + 1)]
        rows = [f"{k:>2} {name}" for k, name in enumerate(rows, 1)]
    lines = [[name, *(text or None for text in line)] for name, line in zip(rows, texts, strict=True)]
    show_table(["", *columns], lines, title, right=True)


def show_text(text: str) -> None:
    """Print a paragraph, broken between words where the output is a terminal."""
    console().print(text + "\n")


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return readable(str(value)).replace("\n", "\\n")


def readable(text: str) -> str:
    r"""Escape what would steer a terminal, or could not be written; line ends stay.

    >>> readable("a\x1b[31mb\udcff")
    'a\\x1b[31mb\\udcff'
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def show_json(value: object) -> None:
    """Print JSON, with NaN as null and in ASCII, so that every program can read it from every terminal."""
    print(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    """Turn NumPy values, paths and NaN into what JSON has."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if abs(value) != float("inf") and value == value else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def notice(text: str) -> None:
    """Print a line on stderr."""
    console(stderr=True).print(readable(redacted(text)))


@contextmanager
def progress(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Draw a bar on stderr, or write a line for every tenth part where stderr is no terminal.

    Yields a function of (done, total).
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from salzarr.watching import bar

        with bar(label) as update:
            yield update
    else:
        yield _progress_lines(label)


def _progress_lines(label: str) -> Callable[[int, int], None]:
    began, shown = time.monotonic(), -1

    def update(done: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            print(f"{label}: {done}/{total} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)

    return update


def configure_logging(verbosity: int, quiet: bool) -> None:
    """Show on stderr what salzarr logs: notes and warnings; with -v every detail, with -q only warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Said())
    package = logging.getLogger("salzarr")
    package.handlers[:] = [handler]
    package.setLevel(logging.WARNING if quiet else logging.DEBUG if verbosity else logging.INFO)
    package.propagate = False


class _Said(logging.Formatter):
    """Formats a record as ``Note: …`` or ``Warning: …``."""

    def format(self, record: logging.LogRecord) -> str:
        level = "Note" if record.levelno == logging.INFO else record.levelname.capitalize()
        return f"{level}: {readable(redacted(record.getMessage()))}"
