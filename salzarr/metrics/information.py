"""Metrics of joint histograms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit
from salzarr.metrics.block import Block
from salzarr.metrics.metric import Metric, Pairs, Scores, check_parameter, is_whole, register
from salzarr.metrics.pixelwise import power_of_two
from salzarr.schema import Reason


def _binned(block: Block, bins: int) -> NDArray[np.uint16]:
    """Bin of each pixel (model, image, pixel) between its map's extremes, as numpy.histogramdd has it."""
    binned = np.zeros(block.flat.shape, np.uint16)
    scale = power_of_two(np.maximum(np.abs(block.low), np.abs(block.high)))  # the span of huge maps overflows
    for index in np.argwhere(block.unusable == Reason.SCORED):
        row = block.flat[tuple(index)] * scale[tuple(index)]
        edges = np.linspace(row.min(), row.max(), bins + 1)
        # The last bin holds its upper edge.
        binned[tuple(index)] = (np.searchsorted(edges, row, side="right") - 1).clip(0, bins - 1)
    return binned


@jit
def _joint(a: NDArray[np.uint16], b: NDArray[np.uint16], bins: int) -> NDArray[np.int64]:
    counts = np.zeros((bins, bins), np.int64)
    for i in range(a.size):
        counts[a[i], b[i]] += 1
    return counts


def _entropy(counts: NDArray[np.int64]) -> float:
    p = counts[counts > 0] / counts.sum()
    return -float(np.sum(p * np.log(p)))


@register
def mutual_information(bins: int = 100) -> Metric:
    """Mutual information, normalized to 0-1; undefined for a constant map.

    Parameters
    ----------
    bins : int
        Of each map's histogram, between its extremes.

    Notes
    -----
    Biased upwards where a bin holds few pixels: two independent 7 x 7 maps score 0.84.

    References
    ----------
    Studholme et al. 1999; equals :func:`skimage.metrics.normalized_mutual_information` - 1
    """
    check_parameter("bins", bins, is_whole(bins, 2, 4096), "a whole number of 2 to 4096")
    name = f"bins {bins}"

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        binned = block.feature(name, lambda b: _binned(b, bins))
        scores = np.full(ok.shape, np.nan)
        for pair, image in np.argwhere(ok):
            a, b = pairs[pair]
            joint = _joint(binned[a, image], binned[b, image], bins)
            alone = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
            scores[pair, image] = alone / _entropy(joint) - 1
        return scores.clip(0, 1)

    return Metric(
        score,
        definition=f"normalized mutual information (H(a) + H(b)) / H(a, b) - 1, {bins} bins",
        kind="similarity",
        self_value=1.0,
        bounds=(0.0, 1.0),
        undefined=frozenset({Reason.CONSTANT}),
        features=(name,),
        advised_pixels=10 * bins,
        cost="medium",
        revision=2,
        map_bytes=2,
        pair_bytes=20,
    )
