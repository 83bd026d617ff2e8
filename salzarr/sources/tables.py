"""Tables that people write: names, new names and labels, as text editors and Excel save them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence

from salzarr.errors import InputError, InputNotFoundError

DELIMITERS = (";", "\t", ",")
"""In the order in which one is preferred that divides as well: 1,5 is a number where semicolons divide."""


def read_rows(path: str | os.PathLike[str]) -> list[list[str]]:
    r"""Read the rows of a table, or the lines of a list as rows of one cell.

    Columns are divided by a semicolon, a tab or a comma, whichever divides every line alike; where none does,
    a line is one cell. A byte order mark, Windows' line ends and empty lines do no harm.

    Raises
    ------
    InputNotFoundError, InputError
        If it cannot be read, is no UTF-8 text, or its lines have different numbers of columns.
    """
    path = os.fspath(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist; give a table, or a list of names") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}; save it as UTF-8 text") from None
    rows = divided(text, path)
    if not rows:
        raise InputError(f"{path} is an empty table; give it a row for each image")
    return rows


def divided(text: str, where: str = "the table") -> list[list[str]]:
    r"""Divide text into rows and columns.

    >>> divided("image;label\r\ncat.jpg;1\r\n")
    [['image', 'label'], ['cat.jpg', '1']]
    >>> divided("tench, Tinca tinca\ngoldfish\n")
    [['tench, Tinca tinca'], ['goldfish']]

    Raises
    ------
    InputError
        If the first line of a .csv file is divided, and another not alike.
    """
    lines = [line for line in text.splitlines() if line]
    best: list[list[str]] = []
    ragged: list[list[str]] = []
    for delimiter in DELIMITERS:
        if not any(delimiter in line for line in lines):
            continue
        try:
            rows = [
                row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if any(row)
            ]
        except csv.Error as error:
            raise InputError(f"{where} cannot be read as a table: {error}; save it as UTF-8 text") from None
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > max(1, len(best[0]) if best else 0):
            best = rows
        elif len(rows[0]) > 1:
            ragged = ragged or rows
    if best:
        return best
    if ragged and where.lower().endswith((".csv", ".tsv")):
        number, row = next((n, row) for n, row in enumerate(ragged, 1) if len(row) != len(ragged[0]))
        raise InputError(
            f"{where}: row {number} has {len(row)} cells, the first has {len(ragged[0])}; give each as many"
        )
    return [row or [line] for line in lines for row in [_one_cell(line)]]


def _one_cell(line: str) -> list[str]:
    """Return the cell of a line, without the quotes of a spreadsheet."""
    if not line.strip("".join(DELIMITERS) + " "):
        return [""]
    quoted = len(line) > 1 and line[0] == line[-1] == '"'
    return [line[1:-1].replace('""', '"') if quoted else line]


def column_of(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the column that is called by the first of some names, in whatever case.

    >>> column_of(["Label", "Filename"], ["image", "filename"])
    1
    """
    cells = [cell.strip().lower() for cell in header]
    return next((cells.index(name) for name in names if name in cells), None)
