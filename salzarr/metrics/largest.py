"""Metrics of the largest pixels: which they are, of which sign, and in which order.

A map has k = max(1, round(fraction * n)) largest pixels. Where the k-th is one of several equal ones, all of
these belong by the same share, so that the memberships sum to k: an intersection is then its expectation
under random breaking of ties, and does not depend on the order of the pixels. A pixel at the map's minimum
never belongs: two sparse maps would agree on their zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.metric import Metric, Pairs, Scores, check_parameter, is_number, register
from salzarr.metrics.ranks import CONSTANT
from salzarr.schema import Reason

Bits = NDArray[np.uint8]
Ratio = Callable[[Scores, Scores, Scores], Scores]


def memberships(row: NDArray[Any], k: int) -> Scores:
    """Share by which each of a row's n values belongs to its k largest: (n,) from 0 to 1.

    >>> memberships(np.array([5, 1, 3, 3, 0]), 2)
    array([1. , 0. , 0.5, 0.5, 0. ])
    """
    cut = np.partition(row, row.size - k)[row.size - k]
    shares: Scores = (row > cut).astype(np.float64)
    if cut > row.min():
        tied = row == cut
        shares[tied] = (k - shares.sum()) / np.count_nonzero(tied)
    return shares


@dataclass(frozen=True)
class Members:
    """The largest pixels of maps, as bits: those that belong entirely, and those that belong by a share.

    Attributes
    ----------
    whole, tied : (model, image, sign, byte) uint8
        Packed bits of the pixels; positive and negative ones apart where there are two signs.
    share : (model, image) float64
        By which the tied ones belong.
    """

    whole: Bits
    tied: Bits
    share: Scores

    @property
    def size(self) -> Scores:
        """Sum of the memberships of each map: (model, image)."""
        size: Scores = _count(self.whole) + _count(self.tied) * self.share
        return size

    @property
    def unsigned(self) -> Members:
        """The same pixels, whatever their sign."""
        whole, tied = (np.bitwise_or.reduce(bits, 2, keepdims=True) for bits in (self.whole, self.tied))
        return Members(whole, tied, self.share)

    def common(self, pairs: Pairs) -> Scores:
        """Sum of the products of two maps' memberships, of pixels of one sign: (pair, image)."""
        found = np.empty((len(pairs), self.share.shape[1]))
        for pair, (a, b) in enumerate(pairs):
            found[pair] = _count(self.whole[a] & self.whole[b])
            if (self.share[[a, b]] > 0).any():
                found[pair] += self.share[a] * _count(self.tied[a] & self.whole[b])
                found[pair] += self.share[b] * _count(self.whole[a] & self.tied[b])
                found[pair] += self.share[a] * self.share[b] * _count(self.tied[a] & self.tied[b])
        return found


def _count(bits: Bits) -> NDArray[np.int64]:
    """Count the pixels of (..., sign, byte)."""
    counts: NDArray[np.int64] = np.bitwise_count(bits).sum(axis=(-2, -1), dtype=np.int64)
    return counts


def members_of(block: Block, fraction: float, signs: bool) -> Members:
    """Find the largest pixels of a block's maps, by value, or by magnitude with their signs."""
    models, images, pixels = block.flat.shape
    k = max(1, round(fraction * pixels))
    shape = models, images, 1 + signs, -(-pixels // 8)
    whole, tied, share = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape[:2])
    for index in np.argwhere(block.unusable == Reason.SCORED):
        model, image = index
        row = block.flat[model, image]
        shares = memberships(np.abs(row) if signs else row, k)
        partly = (shares > 0) & (shares < 1)
        share[model, image] = shares.max(where=partly, initial=0)
        for plane, chosen in enumerate((row > 0, row < 0) if signs else (True,)):
            whole[model, image, plane] = np.packbits((shares == 1) & chosen)
            tied[model, image, plane] = np.packbits(partly & chosen)
    return Members(whole, tied, share)


def of_larger(common: Scores, a: Scores, b: Scores) -> Scores:
    """Divide what two sets have in common by the size of the larger one."""
    ratio: Scores = common / np.maximum(a, b)
    return ratio


def _of_union(common: Scores, a: Scores, b: Scores) -> Scores:
    ratio: Scores = common / (a + b - common)
    return ratio


TIES = ("tied", "self")
"""Companions of a metric that ties at the cut change: the share of pixels that tie there, in the map with
more of them, and the mean of the two maps' scores with themselves, which is 1 only without such ties."""


def check_fraction(fraction: object) -> None:
    """Refuse a fraction of the pixels that is not one."""
    fits = is_number(fraction, 0, 1) and fraction != 0
    check_parameter("fraction", fraction, fits, "a number above 0 and at most 1")


def overlap(
    fraction: float, ratio: Ratio, *, magnitude: bool = False, signs: bool = False, **fields: Any
) -> Metric:
    """Compare the sets of largest pixels, by value or by magnitude, of any sign or of the same."""
    check_fraction(fraction)
    name = f"largest {'magnitudes' if magnitude else 'values'} {fraction}"

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> tuple[Scores, ...]:
        found = block.feature(name, partial(members_of, fraction=fraction, signs=magnitude))
        found = found if signs else found.unsigned
        models = np.arange(len(block.maps))
        size, itself = found.size, found.common(np.stack([models, models], axis=1))
        size[size == 0] = np.nan  # all of one magnitude
        own = ratio(itself, size, size)
        tied = _count(found.tied) / block.flat.shape[2]
        a, b = pairs.T
        scores = ratio(found.common(pairs), size[a], size[b])
        return scores, np.maximum(tied[a], tied[b]), (own[a] + own[b]) / 2

    return agreement(score, features=(name,), map_bytes=0.75, image_bytes=20, pair_bytes=4, **fields)


def agreement(score: Callable[..., tuple[Scores, ...]], **fields: Any) -> Metric:
    """Fill in the fields that metrics of largest pixels share."""
    return Metric(
        score,
        **{
            "kind": "similarity",
            "self_value": 1.0,
            "bounds": (0.0, 1.0),
            "undefined": CONSTANT,
            "nan_reason": Reason.CONSTANT,
            "companions": TIES,
            **fields,
        },
    )


@register
def topk_iou(fraction: float = 0.1) -> Metric:
    """Intersection over union of the largest pixels; undefined for a constant map.

    Parameters
    ----------
    fraction : float
        Of the pixels of a map. Pixels tied at the cut belong by a share, and the score is that of the
        expected intersection; a pixel at the map's minimum never belongs.

    References
    ----------
    Jaccard 1901
    """
    return overlap(
        fraction,
        _of_union,
        definition=f"intersection over union of the largest pixels, a fraction of {fraction}",
        revision=2,
    )


@register
def topk_intersection(fraction: float = 0.1) -> Metric:
    """Share of the largest pixels that both maps have; undefined for a constant map.

    Parameters
    ----------
    fraction : float
        As for :func:`topk_iou`. The intersection is divided by the size of the larger of the two sets.

    See Also
    --------
    feature_agreement : by magnitude.

    References
    ----------
    Krishna et al. 2022, feature agreement of maps without negative values
    """
    return overlap(
        fraction,
        of_larger,
        definition=f"share of the largest pixels, a fraction of {fraction}, that both maps have",
        revision=2,
    )


def _above(ratio: Ratio, quantile: float, threshold: float | None, name: str) -> Metric:
    """Compare the sets of pixels above a threshold."""
    fits = is_number(quantile, 0, 1) and quantile < 1
    check_parameter("quantile", quantile, fits, "a number from 0 to below 1")
    fits = threshold is None or is_number(threshold)
    check_parameter("threshold", threshold, fits, "a finite number, or none for the quantile")
    feature = f"above {quantile if threshold is None else ''} {threshold}"

    def features(block: Block) -> Members:
        cuts: Any = threshold
        if threshold is None:
            cuts = np.quantile(block.flat.astype(np.float64), quantile, axis=2, keepdims=True)
        bits = np.packbits(block.flat > cuts, axis=2)[:, :, None]
        return Members(bits, np.zeros_like(bits), np.zeros(bits.shape[:2]))

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        found = block.feature(feature, features)
        size = found.size
        return ratio(found.common(pairs), size[pairs[:, 0]], size[pairs[:, 1]])

    where = f"the map's {quantile} quantile" if threshold is None else f"{threshold}"
    return Metric(
        score,
        definition=f"{name} of the pixels above {where}",
        kind="similarity",
        self_value=1.0,
        bounds=(0.0, 1.0),
        nan_reason=Reason.EMPTY,
        scale_dependent=threshold is not None,
        features=(feature,),
        map_bytes=18,
        pair_bytes=2,
    )


@register
def dice(quantile: float = 0.9, threshold: float | None = None) -> Metric:
    """Dice overlap of the pixels above a threshold; undefined where neither map has any.

    Parameters
    ----------
    quantile : float
        The threshold is this quantile of each map's own pixels, interpolated linearly.
    threshold : float, optional
        One value for all maps, in place of the quantile.

    References
    ----------
    Dice 1945; equals :func:`sklearn.metrics.f1_score` of the two masks
    """
    return _above(lambda common, a, b: 2 * common / (a + b), quantile, threshold, "Dice overlap")


@register
def iou(quantile: float = 0.9, threshold: float | None = None) -> Metric:
    """Intersection over union of the pixels above a threshold; undefined where neither map has any.

    Parameters
    ----------
    quantile, threshold
        As for :func:`dice`.

    References
    ----------
    Jaccard 1901; equals :func:`sklearn.metrics.jaccard_score` of the two masks
    """
    return _above(_of_union, quantile, threshold, "intersection over union")
