"""Tables as people keep them: csv and its like, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import os

from salzarr.errors import InputError, InputNotFoundError

DELIMITERS = (",", ";", "\t")


def read_rows(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read the rows of a table, the header first; blank rows are left out.

    Parameters
    ----------
    path : path
        UTF-8 with or without a byte order mark, any line ends; cells between commas, semicolons or tabs,
        whichever the header has most of.

    Returns
    -------
    list of list of str
        All rows are as long as the header.

    Raises
    ------
    InputNotFoundError, InputError
        If it is not there, or not such a table.
    """
    where = os.fspath(path)
    try:
        with open(where, encoding="utf-8-sig", newline="") as file:
            text = file.read()
        header = text.split("\n", 1)[0]
        delimiter = max(DELIMITERS, key=header.count)
        rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if any(row)]
    except FileNotFoundError:
        raise InputNotFoundError(f"{where} does not exist; give a table with a header") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where} cannot be read as a table: {error}; save it as csv, in UTF-8") from None
    if not rows:
        raise InputError(f"{where} is an empty table; it needs a header and a row for each image")
    for line, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{where}: row {line} has {len(row)} cells, and the header has {len(rows[0])}; give each row "
                "as many"
            )
    return rows
