"""What maps are scored against when it is not other maps: points and masks, one set of them per target.

A target is what an observer, a group of observers or an annotator gives for each image of a block. A metric
says by ``against`` which kind it takes. What is computed once per map (its sorted values, its order, its
moments) is a feature of the block, shared by all targets and metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from salzarr.errors import MetricError, ShapeError
from salzarr.metrics.block import Block, Scored, settled
from salzarr.metrics.metric import Metric
from salzarr.schema import Reason

Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Points:
    """Points of the images of a block, such as fixations or clicks.

    Parameters
    ----------
    places : sequence of (point,) int, one per image
        Pixels of the map in reading order, as :func:`pixels` gives them; a pixel may occur more than once. An
        image without points has no score.
    others : sequence of (point,) int, one per image, optional
        Points of other images, in pixels of this image's map: the negatives of ``auc_shuffled``. The caller
        leaves out images of the same unit.
    baseline : (image, y, x) float, optional
        Density that ``information_gain`` is relative to, in any unit; uniform if not given.
    """

    places: Sequence[Places]
    others: Sequence[Places] | None = None
    baseline: NDArray[np.float64] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which images have a target: (image,)."""
        return np.array([len(one) > 0 for one in self.places], np.bool_)


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of the images of a block, such as boxes or segmentations.

    Parameters
    ----------
    inside : (image, y, x) bool
        An image with an empty mask has no score.
    """

    inside: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which images have a target: (image,)."""
        return np.array([one.any() for one in self.inside], np.bool_)


Target = Points | Masks
AGAINST = {"points": Points, "mask": Masks}


def pixels(x: ArrayLike, y: ArrayLike, shape: tuple[int, int], size: tuple[float, float]) -> Places:
    """Return the pixel of a map in which each point of a picture lies, in reading order.

    Parameters
    ----------
    x, y : (point,) float
        In pixels of the picture, from its upper left corner: 0 <= x < width, 0 <= y < height.
    shape : (H, W)
        Of the map.
    size : (height, width)
        Of the picture.

    Returns
    -------
    (point,) int
        -1 for a point outside the picture, or one that is not finite.

    Examples
    --------
    >>> pixels([0, 639.9, 640], [0, 479.9, 2], (24, 32), (480, 640))
    array([  0, 767,  -1])
    """
    across, down = (np.asarray(points, np.float64) for points in (x, y))
    height, width = size
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    columns, rows = (
        (np.where(inside, points, 0) * (pixels / extent)).astype(np.intp).clip(0, pixels - 1)
        for points, pixels, extent in ((across, shape[1], width), (down, shape[0], height))
    )
    return np.where(inside, rows * shape[1] + columns, -1)


def score_targets(
    maps: NDArray[Any] | Block, targets: Mapping[str, Target], metrics: Iterable[Metric]
) -> dict[str, dict[str, Scored]]:
    """Score every map of a block against every target by the metrics of its kind.

    Parameters
    ----------
    maps : (model, image, y, x) float, or Block
    targets : mapping of name to Points or Masks
        Of the images of the block.
    metrics : iterable of Metric
        Each against points or masks.

    Returns
    -------
    dict of target's name to dict of slug to Scored
        Values, reasons and companions are (model, image).

    Raises
    ------
    MetricError
        If a metric is not against any of the targets, or lacks a parameter that it needs.
    ShapeError
        If a target is not of the block's images.

    Examples
    --------
    >>> from salzarr.metrics import as_metrics
    >>> maps = np.array([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> people = Points([np.array([3, 3, 1])])
    >>> scored = score_targets(maps, {"people": people}, as_metrics("auc_uniform", "points"))
    >>> scored["people"]["auc_uniform"].values.round(3)
    array([[0.708]])
    """
    raw = maps if isinstance(maps, Block) else Block(maps)
    wanted = tuple(metrics)
    for name, target in targets.items():
        _check(raw, name, target)
    for metric in wanted:
        if metric.required:
            raise MetricError(f"{metric.spec} needs {metric.required}")
        if not any(isinstance(target, AGAINST.get(metric.against, ())) for target in targets.values()):
            raise MetricError(
                f"{metric.spec} scores maps against {metric.against}, and no target is of that kind"
            )
    found: dict[str, dict[str, Scored]] = {name: {} for name in targets}
    for chain in dict.fromkeys(metric.normalize for metric in wanted):
        block = raw.normalized(chain)
        queue = [metric for metric in wanted if metric.normalize == chain]
        while queue:
            metric = queue.pop(0)
            for name, target in targets.items():
                if isinstance(target, AGAINST[metric.against]):
                    reason = block.map_reasons(metric)
                    reason[(reason == Reason.SCORED) & ~target.known] = Reason.EMPTY
                    found[name][metric.slug] = settled(block, target, metric, reason)
            block.keep(feature for later in queue for feature in later.features)
    return found


def _check(block: Block, name: str, target: Target) -> None:
    """Refuse a target that is not of the block's images."""
    images = block.maps.shape[1]
    if isinstance(target, Masks):
        if target.inside.shape != (images, *block.shape):
            raise ShapeError(f"the masks of {name} are {target.inside.shape}, not {(images, *block.shape)}")
        return
    size = block.flat.shape[2]
    for places in (target.places, target.others):
        if places is None:
            continue
        if len(places) != images:
            raise ShapeError(f"the points of {name} are of {len(places)} images, not of {images}")
        if any(len(one) and not (np.min(one) >= 0 and np.max(one) < size) for one in places):
            raise ShapeError(f"the points of {name} are not all pixels of maps of {block.shape} pixels")
    if target.baseline is not None and target.baseline.shape != (images, *block.shape):
        raise ShapeError(f"the baseline of {name} is {target.baseline.shape}, not {(images, *block.shape)}")
