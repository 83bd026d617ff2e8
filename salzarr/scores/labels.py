"""What is known of the images of scores: units that belong together, and groups that are summed up apart."""

from __future__ import annotations

import logging

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.errors import InputError, UsageError, listed
from salzarr.schema import IMAGE
from salzarr.units import Units

log = logging.getLogger(__name__)

GROUP = "group"


def label_names(scores: xr.Dataset) -> list[str]:
    """Columns of labels: the coordinates along ``image`` other than its names."""
    return [str(name) for name, of in scores.coords.items() if of.dims == (IMAGE,) and name != IMAGE]


def labels_of(scores: xr.Dataset, column: str) -> list[str]:
    """Label of each image in a column, as text; an image without one has the empty text.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    known = label_names(scores)
    if column not in known:
        have = f"there are {listed(known)}" if known else "there are none"
        raise UsageError(
            f"the images of these scores have no labels {column!r}, {have}; compare with a table of labels "
            f"that has a column {column!r}"
        )
    return [_text(label) for label in scores[column].values.tolist()]


def _text(label: object) -> str:
    if label is None or label != label:
        return ""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).lower() if isinstance(label, bool) else str(label)


def units_of(scores: xr.Dataset, column: str | None = None, *, equal: bool = False) -> Units:
    """Which images belong together, by a column of their labels; without one, each image is a unit.

    Raises
    ------
    UsageError
        If there is no such column, or if it names fewer than two units.
    InputError
        If an image has no label in it.
    """
    images = scores[IMAGE].values.astype(str).tolist()
    if column is None:
        return Units.by(images, equal=equal)
    labels = labels_of(scores, column)
    if without := [image for image, label in zip(images, labels, strict=True) if not label]:
        raise InputError(
            f"{len(without)} of {len(images)} images have no {column!r}, such as {without[0]}; fill the "
            "column, or choose the images that have one"
        )
    units = Units.by(images, labels, equal=equal)
    if units.dominant is not None:
        log.warning(
            "the unit %r holds %d of %d images; what is said of all images is said of it",
            units.dominant,
            units.sizes.max(),
            len(images),
        )
    return units


def groups_of(scores: xr.Dataset, column: str) -> dict[str, NDArray[np.intp]]:
    """Positions of each group's images, the groups in the order of their labels.

    Raises
    ------
    UsageError
        If there is no such column.
    InputError
        If no image has a label in it.
    """
    labels = np.array(labels_of(scores, column), object)
    known = np.flatnonzero(labels != "")
    if not len(known):
        raise InputError(f"none of the {len(labels)} images has a label {column!r}; name another column")
    if len(known) < len(labels):
        log.warning(
            "%d of %d images have no %r and are in no group", len(labels) - len(known), len(labels), column
        )
    names, group = np.unique(labels[known].astype(str), return_inverse=True)
    return {str(name): known[group.reshape(-1) == g] for g, name in enumerate(names)}
