"""What a comparison will take: the plan of a request, on the scheduler that Dask has now."""

from __future__ import annotations

from collections.abc import Iterable

from salzarr import cluster, plan
from salzarr.metrics import Metric, normalize
from salzarr.scores.request import Request

COPY_BYTES = 24.0
"""Per pixel of a map that is normalised: its float64 copy, and two more while that is made."""


def fit(request: Request, memory: int | None = None, **kept: int) -> plan.Plan:
    """Plan a request on the scheduler that Dask has now.

    Parameters
    ----------
    request : Request
        Of stored maps.
    memory : int, optional
        Bytes that one process may take; what the scheduler says its processes have, if not given.
    **kept
        ``block`` and ``tile`` of a comparison that is resumed, or ``block`` of one that grows.

    Raises
    ------
    BudgetError
        If it does not fit.
    """
    maps = request.maps
    has = cluster.capacity()
    asked = plan.Plan(
        len(request.models),
        len(request.images),
        maps.map_shape,
        request.pairs,
        loads(request.metrics),
        maps.chunk,
        maps.dtype.itemsize,
        has.threads,
        has.workers,
        has.memory if memory is None else memory,
        copy_bytes=COPY_BYTES if any(normalize.steps(m.normalize) for m in request.metrics) else 0.0,
    )
    return plan.fit(asked, **kept)


def loads(metrics: Iterable[Metric]) -> tuple[plan.Load, ...]:
    """Say what each metric needs."""
    return tuple(
        plan.Load(
            metric.slug,
            metric.map_bytes,
            metric.image_bytes,
            metric.pair_bytes,
            values=(1 + metric.directed) * (1 + len(metric.companions)),
        )
        for metric in metrics
    )
