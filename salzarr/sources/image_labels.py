"""What is known of images: a table with a column ``image``, met with the images by their names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from salzarr.errors import InputError, UsageError, listed
from salzarr.schema import IMAGE, MODEL, MODEL_A, MODEL_B, PAIR
from salzarr.sources.expression import typed
from salzarr.sources.names import IMAGE_SUFFIX, spelled
from salzarr.sources.tables import read_rows

log = logging.getLogger(__name__)

TAKEN = (MODEL, MODEL_A, MODEL_B, PAIR, "x", "y", "group", "statistic", "reason", "metric")
"""Names that scores and their statistics use themselves."""

Labels = str | os.PathLike[str] | Mapping[str, Any]
"""A table file, or columns by name, one of them ``image``: a dict of sequences, or a DataFrame."""


def read_columns(labels: Labels) -> tuple[list[str], dict[str, list[Any]]]:
    """Read the names in the column ``image`` and all other columns.

    Raises
    ------
    InputNotFoundError, InputError
        If it is no such table.
    """
    if isinstance(labels, str | os.PathLike):
        header, *rows = read_rows(labels)
        where = os.fspath(labels)
        header = [name.strip() for name in header]
        columns: dict[str, list[Any]] = {name: [row[i] for row in rows] for i, name in enumerate(header)}
        if len(columns) < len(header):
            raise InputError(f"{where} has two columns of one name; rename one")
    else:
        where = "the table of labels"
        columns = {str(name): list(column) for name, column in labels.items()}
    if IMAGE not in columns:
        raise InputError(f"{where} has no column image, but {listed([*columns])}; rename the one with names")
    images = [str(name) for name in columns.pop(IMAGE)]
    if wrong := [name for name, column in columns.items() if len(column) != len(images)]:
        raise InputError(f"{where}: the column {wrong[0]!r} is not as long as the column image")
    for name in columns:
        if name in TAKEN or not name or "/" in name or name.startswith((".", "_")):
            raise InputError(f"{where}: a column cannot be called {name!r} beside scores; rename it")
    return images, columns


def join_labels(labels: Labels, images: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Bring a table of labels into the order of the images.

    Names meet as they are, or else without the ending of an image file on either side.

    Parameters
    ----------
    labels : path, mapping or DataFrame
    images : sequence of str

    Returns
    -------
    dict of str to (image,) array
        Columns, read by :func:`salzarr.sources.expression.typed`; an image that the table does not have gets
        no label: NaN or the empty text.

    Raises
    ------
    InputError
        If no image is in the table, or one is in it twice with different labels.

    Examples
    --------
    >>> join_labels({"image": ["cat.jpg", "dog.jpg"], "wild": [0, 0]}, ["dog", "cat", "owl"])["wild"].tolist()
    [0.0, 0.0, nan]
    """
    names, columns = read_columns(labels)
    exact: dict[str, int] = {}
    short: dict[str, int] = {}
    for place, name in enumerate(map(spelled, names)):
        cells = [str(column[place]) for column in columns.values()]
        for places, key in ((exact, name), (short, _stem(name))):
            before = places.setdefault(key, place)
            if before != place and cells != [str(column[before]) for column in columns.values()]:
                if places is exact:
                    raise InputError(f"the image {name!r} is in the table of labels twice; keep one row")
                places[key] = -1
    rows: list[int | None] = []
    for image in map(spelled, images):
        row = exact[image] if image in exact else short.get(_stem(image))
        if row == -1:
            raise InputError(
                f"the table of labels has several images called {_stem(image)!r} that end differently; name "
                f"{image!r} as it is in the store"
            )
        rows.append(row)
    missing = [image for image, row in zip(images, rows, strict=True) if row is None]
    if len(missing) == len(rows):
        like = f"{images[0]!r}, and in the table like {names[0]!r}" if rows and names else "nothing"
        raise InputError(
            f"none of the {len(rows)} images has labels: they are named like {like}; name them alike"
        )
    if missing:
        log.warning("%d of %d images have no labels, such as %s", len(missing), len(rows), missing[0])
    return {
        name: typed(["" if row is None else column[row] for row in rows]) for name, column in columns.items()
    }


def _stem(name: str) -> str:
    return IMAGE_SUFFIX.sub("", name)


def column_of(labels: Mapping[str, Any], column: str) -> str:
    """Return the column if there is one of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if column not in labels:
        have = f"there are {listed([*labels])}" if labels else "there is no table of labels"
        raise UsageError(f"no column {column!r} of labels; {have}")
    return column
