"""The lazy comparison: a Dask-backed dataset, with one read and one score task per block of images."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from salzarr import plan
from salzarr.maps import ArrayMaps, Maps, StoreMaps
from salzarr.scores.assembly import assemble
from salzarr.scores.designs import PairTile
from salzarr.scores.request import Request
from salzarr.scores.scoring import Scores, Scoring, families, fields

if TYPE_CHECKING:
    import dask.array as da


def lazy_scores(request: Request) -> xr.Dataset:
    """Build the scores of a request as a Dask graph, computing nothing; chunks hold all pairs of a block."""
    import dask.array as da

    blocks = blocks_of(request.maps)
    pairs = len(request.pairs)
    images = blocks.chunks[1]
    variables = {}
    for family in families(request.metrics):
        scoring = Scoring(request.design, family)
        # Each block of this array is a dict of all that the family's metrics fill; it never leaves the graph.
        scored = da.blockwise(
            _score, "pi", blocks, "mihw", scoring=scoring, new_axes={"p": pairs}, concatenate=False,
            dtype=object, meta=np.empty((0, 0), object),
        )  # fmt: skip
        for metric in family:
            for field in fields(metric):
                values = da.map_blocks(
                    itemgetter(field.name), scored, dtype=field.dtype,
                    chunks=((pairs,), images), meta=np.empty((0, 0), field.dtype),
                )  # fmt: skip
                variables[field.name] = values
    return assemble(request, variables)


def blocks_of(maps: Maps) -> da.Array:
    """Return maps as a Dask array whose chunks hold all models of a block of whole maps."""
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


def _score(maps: Any, scoring: Scoring) -> Scores:
    while isinstance(maps, list):  # one chunk along the model, y and x that disappear
        (maps,) = maps
    return scoring.score_tile(PairTile(maps, scoring.design.pairs, slice(None)))
