"""Progress bars in notebooks and at prompts, and results as notebooks show them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from urllib.parse import quote

from salzarr.run import Progress

FRAME_HEIGHT = 720
"""Height of a report in a notebook, in pixels."""


@contextmanager
def watched(progress: Progress | None, label: str) -> Iterator[Progress | None]:
    """Yield the caller's function, or a bar in a notebook or at a prompt, or None."""
    if progress is None and _interactive():
        with bar(label) as shown:
            yield shown
    else:
        yield progress


def _interactive() -> bool:
    """Whether this is a notebook, or a prompt in a terminal: no script, and no log."""
    if "ipykernel" in sys.modules and "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
        return shell is not None and "IPKernelApp" in shell.config
    return hasattr(sys, "ps1") and sys.stderr.isatty()


@contextmanager
def bar(label: str) -> Iterator[Progress]:
    """Draw a bar, in a notebook as a widget and else on stderr; yields a function of (done, total)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets the bar is drawn as text
        from tqdm.auto import tqdm
    with tqdm(desc=label, total=None, leave=False) as shown:

        def update(done: int, total: int) -> None:
            if shown.total != total:
                shown.reset(total)
            shown.update(done - shown.n)

        yield update


def html_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay a table out as HTML; names are text, and never markup."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_link(path: str | os.PathLike[str], *, frame: bool = False) -> str:
    """Link to a file as a notebook in this folder finds it, and show it in a frame below."""
    url = quote(os.path.relpath(path))
    link = f'<p><a href="{url}" target="_blank">{escape(os.fspath(path))}</a></p>'
    shown = f'<iframe src="{url}" width="100%" height="{FRAME_HEIGHT}"></iframe>'
    return link + shown if frame else link
