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

from salzarr.errors import MetricError, ShapeError
from salzarr.metrics import normalize
from salzarr.metrics.metric import Metric, Pairs, Scores
from salzarr.schema import Reason

T = TypeVar("T")

NO_REASON = np.uint8(255)


class Block:
    """The maps of some images by all models, and the features computed from them.

    Parameters
    ----------
    maps : (model, image, y, x) float32 or float64
        The maps; all NaN where one is missing. Other dtypes are taken as float64.

    Attributes
    ----------
    maps : (model, image, y, x) float32 or float64, C-contiguous
    """

    def __init__(self, maps: NDArray[Any]) -> None:
        if maps.ndim != 4 or 0 in maps.shape[2:]:
            raise ShapeError(f"a block of maps has the shape (model, image, y, x), not {maps.shape}")
        dtype = maps.dtype if maps.dtype in (np.float32, np.float64) else np.float64
        self.maps: NDArray[np.floating[Any]] = np.ascontiguousarray(maps, dtype)
        self._features: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the maps."""
        return self.maps.shape[2], self.maps.shape[3]

    @property
    def flat(self) -> NDArray[np.floating[Any]]:
        """(model, image, pixel): a view."""
        return self.maps.reshape(*self.maps.shape[:2], self.shape[0] * self.shape[1])

    def feature(self, name: str, compute: Callable[[Block], T]) -> T:
        """Return ``compute(block)``, computed at the first call under this name."""
        if name not in self._features:
            self._features[name] = compute(self)
        found: T = self._features[name]
        return found

    def keep(self, names: Iterable[str]) -> None:
        """Free every feature but these."""
        kept = set(names)
        self._features = {name: value for name, value in self._features.items() if name in kept}

    @cached_property
    def _facts(self) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
        """(model, image): MISSING, NON_FINITE or SCORED; smallest and largest value."""
        low, high = (extreme(self.flat, axis=2).astype(np.float64) for extreme in (np.min, np.max))
        status = np.zeros(low.shape, np.uint8)
        for index in np.argwhere(~(np.isfinite(low) & np.isfinite(high))):
            missing = np.isnan(self.flat[tuple(index)]).all()
            status[tuple(index)] = Reason.MISSING if missing else Reason.NON_FINITE
            low[tuple(index)] = high[tuple(index)] = np.nan
        return status, low, high

    @property
    def low(self) -> NDArray[np.float64]:
        """(model, image): smallest value of each map; NaN if it holds what is not finite."""
        return self._facts[1]

    @property
    def high(self) -> NDArray[np.float64]:
        """(model, image): largest value of each map; NaN if it holds what is not finite."""
        return self._facts[2]

    @cached_property
    def unusable(self) -> NDArray[np.uint8]:
        """(model, image) of :class:`Reason`: why no metric can take the map, 0 if one can.

        MISSING if all its pixels are NaN, NON_FINITE if one is not finite, or why its normalization is
        undefined.
        """
        return self._facts[0]

    @cached_property
    def degenerate(self) -> dict[Reason, NDArray[np.bool_]]:
        """Which usable maps are CONSTANT, ZERO_MASS, NEGATIVE (somewhere) or UNSIGNED: (model, image)."""
        usable = self.unusable == Reason.SCORED
        return {
            Reason.CONSTANT: usable & (self.low == self.high),
            Reason.ZERO_MASS: usable & (self.low == 0) & (self.high == 0),
            Reason.NEGATIVE: usable & (self.low < 0),
            Reason.UNSIGNED: usable & (self.low >= 0),
        }

    def normalized(self, chain: str | None) -> Block:
        """Make the block of the normalized maps, which remember why the chain was undefined for some."""
        block = self
        for name in normalize.steps(chain):
            block = block._after(normalize.STEPS[name])
        return block

    def _after(self, step: normalize.Step) -> Block:
        with np.errstate(invalid="ignore", over="ignore"):
            after = Block(step.apply(self.flat).reshape(self.maps.shape))
        why = np.where(after.unusable, np.uint8(Reason.OVERFLOW), np.uint8(Reason.SCORED))
        for reason in sorted(step.undefined, reverse=True):
            why[(after.unusable > 0) & self.degenerate[reason]] = reason
        after.unusable = np.where(self.unusable, self.unusable, why)
        return after

    def map_reasons(self, metric: Metric) -> NDArray[np.uint8]:
        """Return why each map has no score by a metric: (model, image) of :class:`Reason`, the smallest.

        This is the one place that decides which degenerate maps have no score.
        """
        reason = np.where(self.unusable, self.unusable, NO_REASON)
        for why in metric.undefined:
            reason = np.minimum(reason, np.where(self.degenerate[why], np.uint8(why), NO_REASON))
        reason[reason == NO_REASON] = Reason.SCORED
        return reason

    def reasons(self, metric: Metric, pairs: Pairs) -> NDArray[np.uint8]:
        """Return why each pair has no score: (pair, image), the smaller of its maps' reasons."""
        reason = self.map_reasons(metric)
        a, b = reason[pairs[:, 0]], reason[pairs[:, 1]]
        return np.where(a & b, np.minimum(a, b), np.maximum(a, b))


@dataclass(frozen=True)
class Scored:
    """One metric's scores of a block.

    Attributes
    ----------
    values : (pair, image) or (2, pair, image) float64
        (model, image) against a target.
        NaN where there is a reason, and only there.
    reason : (pair, image) uint8
        See :class:`salzarr.schema.Reason`.
    companions : mapping of name to array like ``values``
    """

    values: Scores
    reason: NDArray[np.uint8]
    companions: Mapping[str, Scores]


def score_block(
    maps: NDArray[Any] | Block, pairs: Pairs | Sequence[tuple[int, int]], metrics: Iterable[Metric]
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
        In the order of the metrics. A pair without a score is NaN and has its reason.

    Raises
    ------
    MetricError
        If a metric has not been told the data range that it needs, or does not compare maps with maps.

    Notes
    -----
    Metrics of one normalization are scored one after the other on the same normalized block. A feature is
    freed as soon as no later one of them names it.

    Examples
    --------
    >>> from salzarr.metrics import as_metrics
    >>> maps = np.array([[[[0.0, 1.0]]], [[[1.0, 1.0]]]])
    >>> scored = score_block(maps, [(0, 1)], as_metrics("mse,pearson"))
    >>> scored["mse"].values, scored["pearson"].values, scored["pearson"].reason
    (array([[0.5]]), array([[nan]]), array([[3]], dtype=uint8))
    """
    raw = maps if isinstance(maps, Block) else Block(maps)
    index = np.asarray(pairs, np.intp).reshape(-1, 2)
    wanted = tuple(metrics)
    for metric in wanted:
        if metric.against != "map":
            raise MetricError(f"{metric.spec} scores maps against {metric.against}, not against each other")
        if metric.needs_data_range:
            raise MetricError(
                f"{metric.spec} needs a data range: metric.with_data_range(...) or data_range=..."
            )
    scored: dict[str, Scored] = {}
    for chain in dict.fromkeys(metric.normalize for metric in wanted):
        block = raw.normalized(chain)
        queue = [metric for metric in wanted if metric.normalize == chain]
        while queue:
            metric = queue.pop(0)
            scored[metric.slug] = settled(block, index, metric, block.reasons(metric, index))
            block.keep(name for later in queue for name in later.features)
    return {metric.slug: scored[metric.slug] for metric in wanted}


def settled(block: Block, against: Any, metric: Metric, reason: NDArray[np.uint8]) -> Scored:
    """Score pairs, or maps against a target; what has no score for no reason known before gets one."""
    ok = reason == Reason.SCORED
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        result = metric.score(block, against, ok)
    values, *rest = result if isinstance(result, tuple) else (result,)
    scored = np.isfinite(values) if values.ndim == 2 else np.isfinite(values).all(axis=0)
    reason[ok & ~scored] = metric.nan_reason
    values, *rest = (np.where(ok & scored, v, np.nan) for v in (values, *rest))
    return Scored(values, reason, dict(zip(metric.companions, rest, strict=True)))
