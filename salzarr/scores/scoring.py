"""Scoring the maps of one task: what the lazy graph and the durable run have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr import plan
from salzarr.errors import PairError, UnreachableError
from salzarr.maps import Maps
from salzarr.metrics import Block, Metric, score_block
from salzarr.schema import DIRECTION, IMAGE, PAIR, REASON_DTYPE, SCORE_DTYPE, Reason, reason_name

Arrays = dict[str, "NDArray[Any]"]
"""Scores, companions and reasons by variable: (..., pair, image) each."""


@dataclass(frozen=True)
class Field:
    """One variable of a scores dataset: its name, dimensions, dtype and fill value."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    fill: float

    def shape(self, pairs: int, images: int) -> tuple[int, ...]:
        """Of so many pairs and images."""
        sizes = {DIRECTION: 2, PAIR: pairs, IMAGE: images}
        return tuple(sizes[dim] for dim in self.dims)


def fields(metric: Metric) -> tuple[Field, ...]:
    """List the variables that one metric fills; the reasons come last.

    >>> from salzarr.metrics import METRICS
    >>> [field.name for field in fields(METRICS["mse"])]
    ['mse', 'mse_reason']
    """
    dims = (DIRECTION,) * metric.directed + (PAIR, IMAGE)
    values = (metric.slug, *(f"{metric.slug}_{name}" for name in metric.companions))
    # What was never written reads as FAILED, not as scored.
    reason = Field(reason_name(metric.slug), (PAIR, IMAGE), REASON_DTYPE, Reason.FAILED)
    return (*(Field(name, dims, SCORE_DTYPE, np.nan) for name in values), reason)


@dataclass(frozen=True)
class Scoring:
    """How to score maps: a small value that every task carries.

    Attributes
    ----------
    models : int
    reference : int or None
        Position of the model that all others are compared with.
    metrics : tuple of Metric
    tile : int or None
        Models along a side of a tile; None for all at once.
    names : tuple of str
        Of the models, for messages; a lazy graph, with its many tasks, leaves them out and tells places.
    """

    models: int
    reference: int | None
    metrics: tuple[Metric, ...]
    tile: int | None = None
    names: tuple[str, ...] = ()

    @property
    def pairs(self) -> NDArray[np.intp]:
        """(pair, 2) positions of models."""
        return plan.pairs(self.models, self.reference)

    def empty(self, pairs: int, images: int, reason: Reason = Reason.SCORED) -> Arrays:
        """Make scores that are all NaN, for this reason."""
        return {
            field.name: np.full(
                field.shape(pairs, images), reason if field.dtype == REASON_DTYPE else np.nan, field.dtype
            )
            for metric in self.metrics
            for field in fields(metric)
        }

    def score(
        self, maps: NDArray[Any] | Block, pairs: NDArray[np.intp], models: Sequence[int] | None = None
    ) -> Arrays:
        """Score maps in memory, (model, image, y, x), of all models or of some."""
        found: Arrays = {}
        try:
            scores = score_block(maps, pairs, self.metrics)
        except PairError as error:
            names = self.names or [f"model {i}" for i in range(self.models)]
            raise error.named(names if models is None else [names[i] for i in models]) from error.__cause__
        for metric, scored in zip(self.metrics, scores.values(), strict=True):
            *values, reason = fields(metric)
            names = ("", *metric.companions)
            for field, name in zip(values, names, strict=True):
                found[field.name] = scored.companions[name] if name else scored.values
            found[reason.name] = scored.reason
        return found

    def score_stored(self, maps: Maps, pairs: NDArray[np.intp]) -> Arrays:
        """Read and score stored maps, a stored chunk of images and a tile of models at a time."""
        images = maps.shape[1]
        found = self.empty(len(pairs), images)
        side = self.tile or self.models
        walk = plan.tiles(pairs, side) if side < self.models else [(np.unique(pairs), np.arange(len(pairs)))]
        for chunk in maps.chunks():
            for models, where in walk:
                inside = np.searchsorted(models, pairs[where])
                part = self.score(maps.part(models, chunk).read(), inside, models.tolist())
                for name, values in part.items():
                    found[name][..., where, chunk] = values
        return found

    def score_isolated(
        self, maps: Maps, pairs: NDArray[np.intp], failed: dict[int, str], first: int = 0
    ) -> Arrays:
        """Read and score stored maps, and go on without what cannot be scored.

        Images are halved until those that fail are alone, then metrics are tried one by one; what fails once,
        or for lack of memory, is thereby tried again, in smaller parts.

        Parameters
        ----------
        maps : Maps
        pairs : (pair, 2) int
        failed : dict of int to str
            Is told which images failed, and why.
        first : int
            What it is told for the first of the maps' images.
        """
        try:
            return self.score_stored(maps, pairs)
        except UnreachableError:  # for all images alike: to try each would take hours
            raise
        except Exception as error:
            every, images = range(len(maps.models)), maps.shape[1]
            if images > 1:
                cuts = (slice(0, images // 2), slice(images // 2, images))
                halves = [
                    self.score_isolated(maps.part(every, cut), pairs, failed, first + cut.start)
                    for cut in cuts
                ]
                return {name: np.concatenate([half[name] for half in halves], axis=-1) for name in halves[0]}
            if len(self.metrics) > 1:
                alone = (replace(self, metrics=(metric,)) for metric in self.metrics)
                parts = [one.score_isolated(maps, pairs, failed, first) for one in alone]
                return {name: values for part in parts for name, values in part.items()}
            if isinstance(error, PairError):
                failed[first] = str(error.alone())
            else:
                failed[first] = f"{self.metrics[0].spec}: {type(error).__name__}: {error}"
            return self.empty(len(pairs), 1, Reason.FAILED)


def families(metrics: Iterable[Metric]) -> Iterator[tuple[Metric, ...]]:
    """Metrics that are as cheap together as alone, since they share what is computed once per map.

    Cheap metrics that read one feature are one family; a metric of higher cost is alone, so that computing
    another does not compute it.

    >>> from salzarr.metrics import as_metrics
    >>> [[m.slug for m in family] for family in families(as_metrics("mse,ssim,cosine"))]
    [['mse', 'cosine'], ['ssim']]
    """
    groups: dict[object, list[Metric]] = {}
    for metric in metrics:
        shared = metric.cost == "low" and metric.features
        key = (metric.features[0], metric.normalize) if shared else metric.slug
        groups.setdefault(key, []).append(metric)
    yield from map(tuple, groups.values())
