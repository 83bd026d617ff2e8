"""How labels are stored beside scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from salzarr.schema import IMAGE

ATTR_LABELS = "labels"
"""Names of the stored coordinates that are labels."""


def write_label(group: zarr.Group, name: str, dim: str, values: NDArray[Any]) -> None:
    """Write one coordinate, as text unless it is numbers."""
    values = storable(values)
    array = group.create_array(
        name, shape=values.shape, chunks=values.shape,
        dtype="string" if values.dtype.kind == "O" else values.dtype,
        dimension_names=(dim,), compressors=[ZstdCodec(level=3), Crc32cCodec()], overwrite=True,
    )  # fmt: skip
    array[:] = values


def storable(values: NDArray[Any]) -> NDArray[Any]:
    """Return a label's values as numbers, or else as text; empty where there is none."""
    if values.dtype.kind in "biuf":
        return values
    return np.array(["" if value is None or value != value else str(value) for value in values], object)


def label_names(attrs: Mapping[str, Any]) -> list[str]:
    """Return the names of the stored coordinates that are labels."""
    return [str(name) for name in attrs.get(ATTR_LABELS, [])]


def are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two columns hold the same, where NaN is a value like others."""
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return np.array_equal(one, other, equal_nan=True)
    return np.array_equal(one, other)


def labels_in(
    opened: Mapping[str, zarr.Array[Any]], attrs: Mapping[str, Any], images: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return the stored labels of images, in this order; an image that is new has none."""
    place = {str(name): i for i, name in enumerate(np.asarray(opened[IMAGE][:]))}
    rows = np.array([place.get(name, -1) for name in images], np.intp)
    new = rows < 0
    found = {}
    for name in label_names(attrs):
        if getattr(opened[name].metadata, "dimension_names", None) == (IMAGE,):
            values = np.asarray(opened[name][:])
            none = np.nan if values.dtype.kind in "biuf" else ""
            found[name] = np.where(new, none, values[rows]) if new.any() else values[rows]
    return found
