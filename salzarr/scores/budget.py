"""The plan of a request: what it will take on the scheduler that Dask has now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from salzarr import plan
from salzarr.cluster import capacity
from salzarr.maps import ArrayMaps
from salzarr.metrics import Metric, normalize
from salzarr.scores.request import Request


def fit(
    request: Request, memory: int | None = None, *, block: int | None = None, tile: int | None = None
) -> plan.Plan:
    """Plan the blocks and tiles of stored scores.

    ``memory`` is bytes per process, by default what the scheduler gives its processes. ``block`` and ``tile``
    are those of a comparison that is resumed or grows.
    """
    has = capacity()
    asked = _plan(request, request.maps.chunk, has.memory if memory is None else memory)
    return plan.fit(replace(asked, threads=has.threads, workers=has.workers), block=block, tile=tile)


def fit_in_memory(request: Request, memory: int) -> tuple[int, int]:
    """Return the images of a block and the models along a tile, for scores that come back to the caller.

    ``memory`` is bytes for all maps and features that one process holds at the same time.
    """
    asked = _plan(request, max(request.maps.chunk, plan.FEW), memory + plan.BASE_BYTES)
    threads = 1 if isinstance(request.maps, ArrayMaps) else capacity().threads
    cut = plan.fit(replace(asked, threads=threads), split_chunks=True)
    return cut.block, cut.tile


def _plan(request: Request, chunk: int, budget: int | None) -> plan.Plan:
    is_normalized = any(normalize.steps(metric.normalize) for metric in request.metrics)
    return plan.Plan(
        len(request.models),
        len(request.images),
        request.maps.map_shape,
        request.pairs,
        loads(request.metrics),
        chunk,
        request.maps.dtype.itemsize,
        budget=budget,
        copy_bytes=plan.COPY_BYTES if is_normalized else 0.0,
        copies=request.design.copies,
    )


def loads(metrics: Iterable[Metric]) -> tuple[plan.Load, ...]:
    """Return what each metric needs."""
    return tuple(
        plan.Load(
            metric.slug,
            metric.map_bytes,
            metric.image_bytes,
            metric.pair_bytes,
            values=len(metric.variables) * (1 + len(metric.companions)),
        )
        for metric in metrics
    )
