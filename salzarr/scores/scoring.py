"""Score the maps of one job: what the lazy graph, the durable run and the baselines have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import PairError, UnreachableError
from salzarr.maps import Maps
from salzarr.metrics import Metric, score_block
from salzarr.schema import ATTR_WAY, REASON_DTYPE, SCORE_DTYPE, WAYS, Reason, reason_name
from salzarr.scores.designs import Design, PairTile

Scores = dict[str, "NDArray[Any]"]
"""Scores, companions and reasons by variable: (pair, image) each."""


@dataclass(frozen=True)
class Field:
    """One variable (pair, image) of a scores dataset: its name, dtype, fill value and attributes."""

    name: str
    dtype: str
    fill: float
    attrs: Mapping[str, Any]


def fields(metric: Metric) -> tuple[Field, ...]:
    """List the variables that one metric fills; the reasons come last.

    >>> from salzarr.metrics import METRICS
    >>> [field.name for field in fields(METRICS["mse"])]
    ['mse', 'mse_reason']
    >>> [field.name for field in fields(METRICS["kl"])]
    ['kl_a_to_b', 'kl_b_to_a', 'kl_a_to_b_reason', 'kl_b_to_a_reason']
    """
    ways = [{ATTR_WAY: way} for way in WAYS] if metric.directed else [{}]
    attrs = {name: {**metric.attrs(), **way} for name, way in zip(metric.variables, ways, strict=True)}
    values = [
        Field(f"{name}_{companion}" if companion else name, SCORE_DTYPE, np.nan, attrs[name])
        for companion in ("", *metric.companions)
        for name in metric.variables
    ]
    # What was never written reads as FAILED, not as scored.
    reasons = [Field(reason_name(name), REASON_DTYPE, Reason.FAILED, attrs[name]) for name in attrs]
    return (*values, *reasons)


@dataclass(frozen=True)
class Scoring:
    """How to score maps: a small value that every job carries.

    Attributes
    ----------
    design : Design
    metrics : tuple of Metric
    tile : int or None
        Models along a side of a tile; None for all at once.
    """

    design: Design
    metrics: tuple[Metric, ...]
    tile: int | None = None

    def empty(self, images: int, reason: Reason = Reason.SCORED) -> Scores:
        """Make scores that are all NaN, for this reason."""
        pairs = len(self.design.pairs)
        scores = {
            field.name: np.full(
                (pairs, images), reason if field.dtype == REASON_DTYPE else np.nan, field.dtype
            )
            for metric in self.metrics
            for field in fields(metric)
        }
        return scores | {name: np.zeros((pairs, images), np.int64) for name in self.design.more}

    def score_tile(self, tile: PairTile) -> Scores:
        """Score maps in memory."""
        scores: Scores = dict(tile.more)
        try:
            scored = score_block(tile.maps, tile.pairs, self.metrics)
        except PairError as error:
            names = tile.names or [f"model {i}" for i in range(1 + int(tile.pairs.max()))]
            raise error.named(names) from error.__cause__
        for metric, found in zip(self.metrics, scored.values(), strict=True):
            values = [found.values, *(found.companions[name] for name in metric.companions)]
            ways = len(metric.variables)
            columns = [way for value in values for way in value.reshape(ways, *found.reason.shape)]
            columns += [found.reason] * ways
            scores |= {field.name: column for field, column in zip(fields(metric), columns, strict=True)}
        return scores

    def score(self, inputs: Sequence[Maps]) -> Scores:
        """Read and score a design's inputs, a stored chunk of images and a tile of models at a time."""
        models, images, *_ = inputs[0].shape
        scores = self.empty(images)
        for chunk in inputs[0].chunks():
            for tile in self.design.tiles([maps.on(chunk) for maps in inputs], self.tile or models):
                for name, values in self.score_tile(tile).items():
                    scores[name][tile.rows, chunk] = values
        return scores

    def score_isolated(self, inputs: Sequence[Maps], failed: dict[int, str], first: int = 0) -> Scores:
        """Read and score the inputs, and go on without what cannot be scored.

        Images are halved until those that fail are alone, then metrics are tried one by one; whatever failed
        once, or for lack of memory, is thereby tried again in smaller parts. ``failed`` receives each failed
        image, counted from ``first``, and why.
        """
        try:
            return self.score(inputs)
        except UnreachableError:  # for all images alike: to try each would take hours
            raise
        except Exception as error:
            images = inputs[0].shape[1]
            if images > 1:
                cuts = (slice(0, images // 2), slice(images // 2, images))
                halves = [
                    self.score_isolated([maps.on(cut) for maps in inputs], failed, first + cut.start)
                    for cut in cuts
                ]
                return {name: np.concatenate([half[name] for half in halves], axis=-1) for name in halves[0]}
            if len(self.metrics) > 1:
                alone = (replace(self, metrics=(metric,)) for metric in self.metrics)
                parts = [one.score_isolated(inputs, failed, first) for one in alone]
                return {name: values for part in parts for name, values in part.items()}
            if isinstance(error, PairError):
                failed[first] = str(error.alone())
            else:
                failed[first] = f"{self.metrics[0].spec}: {type(error).__name__}: {error}"
            return self.empty(1, Reason.FAILED)


@dataclass(frozen=True)
class MapsJob:
    """Work on the maps that a design takes for some images.

    Attributes
    ----------
    inputs : tuple of Maps
    images : slice
        Their positions among all images.
    """

    inputs: tuple[Maps, ...]
    images: slice

    def __len__(self) -> int:
        return int(self.images.stop - self.images.start)

    def part(self, images: slice) -> Self:
        """Return the job for some of its images."""
        where = slice(self.images.start + images.start, self.images.start + images.stop)
        return replace(self, inputs=tuple(maps.on(images) for maps in self.inputs), images=where)


def families(metrics: Iterable[Metric]) -> Iterator[tuple[Metric, ...]]:
    """Group metrics that are as cheap together as alone, since they share what is computed once per map.

    Cheap metrics that read one feature are one family; a costly metric is alone, so that computing another
    does not compute it.

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
