"""Groups of images, by labels that are read from a CSV file or given as a mapping."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.errors import InputError
from salzarr.schema import IMAGE
from salzarr.sources.names import spelled

log = logging.getLogger(__name__)

GROUP = "group"
Groups = Mapping[str, str] | str | PathLike[str]
"""A mapping of image to label, or the path of a CSV file with columns image and label."""


def read_groups(path: str | PathLike[str], label: str | None = None) -> dict[str, str]:
    """Read which image belongs to which group.

    Parameters
    ----------
    path : path
        A CSV file with a column ``image`` (the first, if none is called so) and a column of labels.
    label : str, optional
        Name of the column of labels; may be left out if there is only one.

    Returns
    -------
    dict of image to label
        Images without a label are left out; names are spelled as in a store.

    Raises
    ------
    InputError
        If the file cannot be read as such a table, or gives an image two labels.
    """
    where = Path(path).name
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(
            f"groups {where}: no table could be read ({error}); it needs a header, image,label"
        ) from error
    image = header.index("image") if "image" in header else 0
    columns = [name for i, name in enumerate(header) if i != image]
    if label is None and len(columns) == 1:
        label = columns[0]
    if label not in columns:
        raise InputError(f"groups {where}: name its column of labels; it has {', '.join(columns) or 'none'}")
    column = header.index(label)
    labels: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"groups {where}: row {line} has {len(row)} cells, and the header {len(header)}")
        if row[column] and labels.setdefault(spelled(row[image]), row[column]) != row[column]:
            raise InputError(f"groups {where}: image {row[image]!r} has two labels; keep one row per image")
    return labels


def group_images(scores: xr.Dataset, groups: Groups) -> dict[str, NDArray[np.intp]]:
    """Positions of each group's images, the groups in the order of their labels.

    Raises
    ------
    InputError
        If no image of the scores has a label.
    """
    given = groups if isinstance(groups, Mapping) else read_groups(groups)
    labels = {spelled(str(image)): label for image, label in given.items()}
    images = [spelled(image) for image in scores[IMAGE].values.astype(str).tolist()]
    labelled = [i for i, image in enumerate(images) if image in labels]
    if not labelled:
        raise InputError(
            f"none of the {len(images)} images has a label; they are named like {images[0]}, and the groups "
            "need a column of such names, called image"
        )
    if len(labelled) < len(images):
        without = len(images) - len(labelled)
        log.warning("%d of %d images have no label and are in no group", without, len(images))
    names, group = np.unique([str(labels[images[i]]) for i in labelled], return_inverse=True)
    return {str(name): np.array(labelled)[group == g] for g, name in enumerate(names)}
