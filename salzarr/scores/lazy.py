"""The lazy comparison: maps x metrics to a Dask-backed dataset, one read and one score task per block."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from salzarr import plan
from salzarr.errors import UsageError
from salzarr.maps import ArrayMaps, Maps, StoreMaps
from salzarr.schema import (
    ATTR_FORMAT,
    ATTR_KIND,
    DIRECTION,
    DIRECTIONS,
    FORMAT_VERSION,
    IMAGE,
    KIND_SCORES,
    MODEL_A,
    MODEL_B,
    PAIR,
)
from salzarr.scores.request import Request
from salzarr.scores.scoring import Arrays, Scoring, families, fields

if TYPE_CHECKING:
    import dask.array as da


def lazy_scores(request: Request) -> xr.Dataset:
    """Build the scores of a comparison, computing nothing.

    Parameters
    ----------
    request : Request

    Returns
    -------
    xarray.Dataset
        Dask-backed; its chunks hold all pairs of a block of images.
    """
    import dask.array as da
    import xarray as xr

    blocks = blocks_of(request.maps)
    pairs = len(request.pairs)
    images = blocks.chunks[1]
    variables = {}
    for family in families(request.metrics):
        scoring = Scoring(len(request.models), request.reference, family)
        # Each block of this array is a dict of all that the family's metrics fill; it never leaves the graph.
        scored = da.blockwise(
            _score, "pi", blocks, "mihw", scoring=scoring, new_axes={"p": pairs}, concatenate=False,
            dtype=object, meta=np.empty((0, 0), object),
        )  # fmt: skip
        for metric in family:
            for field in fields(metric):
                values = da.map_blocks(
                    itemgetter(field.name), scored, dtype=field.dtype,
                    new_axis=[0] if field.dims[0] == DIRECTION else None,
                    chunks=field_chunks(field.dims, pairs, images),
                    meta=np.empty((0,) * len(field.dims), field.dtype),
                )  # fmt: skip
                variables[field.name] = xr.Variable(field.dims, values, metric.attrs())
    return xr.Dataset(
        {field.name: variables[field.name] for m in request.metrics for field in fields(m)},
        coordinates(request),
        attributes(request),
    )


def field_chunks(dims: tuple[str, ...], pairs: int, images: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Dask's chunks of one variable."""
    sizes: dict[str, tuple[int, ...]] = {DIRECTION: (2,), PAIR: (pairs,), IMAGE: images}
    return tuple(sizes[dim] for dim in dims)


def coordinates(request: Request) -> dict[str, tuple[str, Any]]:
    """Name the pairs, the images and the directions."""
    names = np.array(request.models, object)
    a, b = request.pairs.T
    found: dict[str, tuple[str, Any]] = {
        MODEL_A: (PAIR, names[a]),
        MODEL_B: (PAIR, names[b]),
        IMAGE: (IMAGE, np.array(request.images, object)),
    }
    if any(metric.directed for metric in request.metrics):
        found[DIRECTION] = (DIRECTION, np.array(DIRECTIONS, object))
    labels = labels_of(request)
    taken = {*found, PAIR, *(field.name for metric in request.metrics for field in fields(metric))}
    for name in labels:
        if name in taken or "/" in name:
            raise UsageError(f"the label {name!r} has the name of a variable of the scores; rename it")
    return found | labels


def labels_of(request: Request) -> dict[str, tuple[str, Any]]:
    """Return the labels of the images, and those of the models for either model of each pair."""
    a, b = request.pairs.T
    found: dict[str, tuple[str, Any]] = {}
    for name, (dim, values) in request.maps.labels.items():
        if dim == IMAGE:
            found[name] = (IMAGE, values)
        else:
            found |= {f"{name}_a": (PAIR, values[a]), f"{name}_b": (PAIR, values[b])}
    return found


def attributes(request: Request) -> dict[str, Any]:
    """Say what kind of dataset it is, and the order of its models."""
    return {ATTR_KIND: KIND_SCORES, ATTR_FORMAT: FORMAT_VERSION, "models": list(request.models)}


def blocks_of(maps: Maps) -> da.Array:
    """Give maps as a Dask array whose chunks hold all models of a block of whole maps."""
    import dask.array as da
    from dask.base import tokenize

    if isinstance(maps, StoreMaps):
        maps = maps.unnamed()
        many = max(1, -(-maps.shape[1] // (maps.chunk * plan.MANY_BLOCKS * 5)))
        chunks = (-1, maps.chunk * many, -1, -1)
        return da.from_array(
            maps, chunks, name=f"maps-{tokenize(maps)}", asarray=False, fancy=False,
            meta=np.empty((0,) * 4, maps.dtype),
        )  # fmt: skip
    assert isinstance(maps, ArrayMaps)
    size = min(maps.shape[1], plan.chunk_images(maps.map_shape, maps.dtype.itemsize))
    array = maps.values
    if isinstance(array, np.ndarray):
        return da.from_array(array, (-1, size, -1, -1))
    return array.rechunk({0: -1, 1: "auto" if max(array.chunks[1]) > size else array.chunks[1], 2: -1, 3: -1})


def _score(maps: Any, scoring: Scoring) -> Arrays:
    while isinstance(maps, list):  # one chunk along the model, y and x that disappear
        (maps,) = maps
    return scoring.score(maps, scoring.pairs)
