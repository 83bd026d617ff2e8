"""Metrics of maps against masks, such as boxes and segmentations; as Quantus and scikit-learn have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.largest import memberships
from salzarr.metrics.mass import MASS, unit_mass
from salzarr.metrics.metric import NEEDS_MASS, Metric, Scores, check_parameter, is_number, register
from salzarr.metrics.ranks import CONSTANT, ordered
from salzarr.metrics.targets import Masks
from salzarr.schema import Reason

CHANCE = ("chance",)
"""Companion: what a map that knows nothing of the image scores, the share of pixels that count as inside."""


def _against_mask(score: Callable[..., Any], **fields: Any) -> Metric:
    return Metric(
        score,
        **{
            "kind": "similarity",
            "self_value": np.nan,
            "bounds": (0.0, 1.0),
            "undefined": CONSTANT,
            "nan_reason": Reason.EMPTY,
            "against": "mask",
            **fields,
        },
    )


def _area(inside: NDArray[np.bool_], ok: NDArray[np.bool_]) -> Scores:
    """Share of the pixels of each image's mask, for every model: (model, image)."""
    return np.broadcast_to(inside.mean(axis=(1, 2)), ok.shape)


@register
def pointing_game(tolerance: float = 0.0) -> Metric:
    """Whether the map's largest pixel lies in the mask; of several equal ones, the share that does.

    Parameters
    ----------
    tolerance : float
        In pixels of the map: how far outside the mask still counts. 15 pixels are usual on photographs.

    References
    ----------
    Zhang et al. 2018; equals Quantus' PointingGame where one pixel is the largest
    """
    check_parameter("pointing_game: tolerance", tolerance, is_number(tolerance, 0), "a finite number from 0")

    def score(block: Block, target: Masks, ok: NDArray[np.bool_]) -> tuple[Scores, Scores]:
        inside = target.inside
        if tolerance:
            from scipy.ndimage import distance_transform_edt

            grown = [(distance_transform_edt(~one) <= tolerance) & one.any() for one in inside]
            inside = np.array(grown, np.bool_).reshape(inside.shape)
        scores = np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok):
            largest = block.maps[model, image] == block.maps[model, image].max()
            scores[model, image] = inside[image][largest].mean()
        return scores, _area(inside, ok)

    return _against_mask(
        score,
        definition="whether the largest pixel lies in the mask"
        + (f" or within {tolerance:g} pixels of it" if tolerance else ""),
        companions=CHANCE,
        pair_bytes=64,
    )


@register
def mass_inside() -> Metric:
    """Share of the map's mass that lies in the mask.

    References
    ----------
    Arras et al. 2022; equals Quantus' RelevanceMassAccuracy
    """

    def score(block: Block, target: Masks, ok: NDArray[np.bool_]) -> tuple[Scores, Scores]:
        mass, inside = unit_mass(block), target.inside.reshape(len(target.inside), -1)
        shares = np.empty(ok.shape)
        for image, one in enumerate(inside):
            shares[:, image] = mass[:, image] @ one.astype(np.float64)
        return shares.clip(0, 1), _area(target.inside, ok)

    return _against_mask(
        score,
        definition="share of the mass in the mask",
        undefined=NEEDS_MASS,
        companions=CHANCE,
        features=(MASS,),
        map_bytes=8,
        pair_bytes=16,
    )


@register
def auprc() -> Metric:
    """Area under the precision-recall curve of the pixels as a search for the mask, as average precision.

    References
    ----------
    equals :func:`sklearn.metrics.average_precision_score`
    """

    def orders(block: Block) -> dict[tuple[int, int], tuple[Any, Any]]:
        """Pixels of each usable map, the largest first, and how many are at least as large as each value."""
        found = {}
        for model, image in np.argwhere(block.unusable == Reason.SCORED).tolist():
            order, _, starts, _ = ordered(-block.flat[model, image])
            found[model, image] = order, np.append(starts[1:], order.size)
        return found

    def score(block: Block, target: Masks, ok: NDArray[np.bool_]) -> tuple[Scores, Scores]:
        descending = block.feature("descending", orders)
        inside = target.inside.reshape(len(target.inside), -1)
        scores = np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok).tolist():
            order, ends = descending[model, image]
            hits = np.cumsum(inside[image][order])[ends - 1]
            scores[model, image] = np.sum(np.diff(hits, prepend=0) * (hits / ends)) / hits[-1]
        return scores, _area(target.inside, ok)

    return _against_mask(
        score,
        definition="average precision of the pixels, the largest first",
        companions=CHANCE,
        features=("descending",),
        cost="medium",
        map_bytes=12,
        pair_bytes=48,
    )


@register
def mask_iou(threshold: float | None = None) -> Metric:
    """Intersection over union of the mask and the map's largest pixels, as many as the mask has.

    Parameters
    ----------
    threshold : float, optional
        Take the pixels above this value instead.

    Notes
    -----
    Pixels tied at the cut belong by a share, as for :func:`salzarr.metrics.topk_iou`.

    References
    ----------
    Jaccard 1901; equals :func:`sklearn.metrics.jaccard_score`
    """
    fits = threshold is None or is_number(threshold)
    check_parameter(
        "mask_iou: threshold", threshold, fits, "a finite number, or none for the mask's own area"
    )

    def score(block: Block, target: Masks, ok: NDArray[np.bool_]) -> Scores:
        inside = target.inside.reshape(len(target.inside), -1)
        scores = np.full(ok.shape, np.nan)
        for model, image in np.argwhere(ok):
            row, mask = block.flat[model, image], inside[image]
            chosen = row > threshold if threshold is not None else memberships(row, int(mask.sum()))
            common = float(chosen[mask].sum())
            scores[model, image] = common / (float(chosen.sum()) + mask.sum() - common)
        return scores

    return _against_mask(
        score,
        definition="intersection over union of the mask and the "
        + ("largest pixels, as many as it has" if threshold is None else f"pixels above {threshold}"),
        undefined=CONSTANT if threshold is None else frozenset(),
        scale_dependent=threshold is not None,
        pair_bytes=24,
    )
