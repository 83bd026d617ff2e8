"""The heart: a block of maps of all models, scored for all its pairs.

What can be computed once per map is computed once, when a metric first asks for it, and shared by all the
metrics and pairs of the block: of N models that is work of order N instead of N².
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.metric import Metric, Pairs, Scores
from salzarr.schema import Reason

T = TypeVar("T")


class Block:
    """The maps of some images by all models, and the features computed from them.

    Parameters
    ----------
    maps : (model, image, y, x) float32 or float64
        The maps; all NaN where one is missing.

    Attributes
    ----------
    flat : (model, image, pixel)
        The maps, a view.
    low, high : (model, image) float64
        Smallest and largest value.
    """

    def __init__(self, maps: NDArray[np.floating[Any]], missing: NDArray[np.bool_] | None = None) -> None:
        self.maps = maps
        self._missing = missing
        self._features: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the maps."""
        return self.maps.shape[2], self.maps.shape[3]

    @property
    def flat(self) -> NDArray[np.floating[Any]]:
        """(model, image, pixel): a view."""
        return self.maps.reshape(*self.maps.shape[:2], -1)

    def feature(self, name: str, compute: Callable[[Block], T]) -> T:
        """What ``compute`` makes of the block, computed at the first call under this name."""
        if name not in self._features:
            self._features[name] = compute(self)
        found: T = self._features[name]
        return found

    @cached_property
    def map_reason(self) -> dict[Reason, NDArray[np.bool_]]:
        """Which maps (model, image) are MISSING, NON_FINITE, CONSTANT, ZERO_MASS (sum 0) or NEGATIVE."""
        flat = self.flat
        nan = np.isnan(flat)
        missing = nan.all(axis=2) if self._missing is None else self._missing
        bad = ~np.isfinite(flat).all(axis=2) & ~missing
        with np.errstate(invalid="ignore"):
            low, high = flat.min(axis=2), flat.max(axis=2)
        fine = ~missing & ~bad
        return {
            Reason.MISSING: missing,
            Reason.NON_FINITE: bad,
            Reason.CONSTANT: fine & (low == high),
            Reason.ZERO_MASS: fine & (low == 0) & (high == 0),
            Reason.NEGATIVE: fine & (low < 0),
        }

    def reasons(self, metric: Metric, pairs: Pairs) -> NDArray[np.uint8]:
        """Why each pair has no score: (pair, image) of :class:`Reason`; the smallest reason wins."""
        reason = np.zeros((len(pairs), self.maps.shape[1]), np.uint8)
        for why in sorted({Reason.MISSING, Reason.NON_FINITE, *metric.undefined}, reverse=True):
            either = self.map_reason[why][pairs[:, 0]] | self.map_reason[why][pairs[:, 1]]
            reason[either] = why
        return reason


@dataclass(frozen=True)
class Scored:
    """One metric's scores of a block.

    Attributes
    ----------
    values : (pair, image) or (2, pair, image) float64
        NaN where there is a reason.
    reason : (pair, image) uint8
        See :class:`salzarr.schema.Reason`.
    companions : mapping of name to array like ``values``
    """

    values: Scores
    reason: NDArray[np.uint8]
    companions: Mapping[str, Scores]


def score_block(
    maps: NDArray[np.floating[Any]] | Block, pairs: Pairs | Sequence[tuple[int, int]], metrics: Iterable[Metric]
) -> dict[str, Scored]:
    """Score all the pairs of a block by every metric.

    Parameters
    ----------
    maps : (model, image, y, x) float, or Block
    pairs : (pair, 2) int
        Indices into the block's models.
    metrics : iterable of Metric

    Returns
    -------
    dict of slug to Scored
    """
    block = maps if isinstance(maps, Block) else Block(maps)
    index = np.asarray(pairs, np.intp).reshape(-1, 2)
    scored = {}
    for metric in metrics:
        reason = block.reasons(metric, index)
        ok = reason == Reason.SCORED
        result = metric.score(block, index, ok)
        values, *rest = result if isinstance(result, tuple) else (result,)
        values, *rest = (np.where(ok, v, np.nan) for v in (values, *rest))
        scored[metric.slug] = Scored(values, reason, dict(zip(metric.companions, rest, strict=True)))
    return scored
