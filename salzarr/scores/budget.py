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
    """Plan the blocks and tiles of a request whose scores are stored.

    Parameters
    ----------
    request : Request
    memory : int, optional
        Bytes that one process may take; what the scheduler says its processes have, if not given.
    block, tile : int, optional
        Those of a comparison that is resumed, or the block of one that grows.

    Raises
    ------
    BudgetError
        If it does not fit.
    """
    has = capacity()
    asked = _plan(request, request.maps.chunk, has.memory if memory is None else memory)
    return plan.fit(replace(asked, threads=has.threads, workers=has.workers), block=block, tile=tile)


def fit_in_memory(request: Request, memory: int) -> tuple[int, int]:
    """Return the images of a block and the models along a tile, of scores that come back to the caller.

    Parameters
    ----------
    request : Request
    memory : int
        Bytes for all maps and features that are in memory at the same time in a process.

    Raises
    ------
    BudgetError
        If not even the maps of two models on one image fit.
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
    """Say what each metric needs."""
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
