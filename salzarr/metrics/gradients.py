"""Metrics of gradients: how the orientations of the maps' edges agree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.metric import Metric, Pairs, Scores, check_parameter, is_whole, register
from salzarr.metrics.ranks import CONSTANT, correlate_rows, spearman_of
from salzarr.schema import Reason


@register
def hog(cells: int = 16, correlation: Literal["pearson", "spearman"] = "pearson") -> Metric:
    """Correlation of histograms of oriented gradients; undefined for a constant descriptor.

    Parameters
    ----------
    cells : int
        Side of a cell in pixels.
    correlation : {"pearson", "spearman"}
        Of the descriptors, or of their ranks.

    References
    ----------
    Adebayo et al. 2018; equals :func:`skimage.feature.hog`, compared by :func:`scipy.stats.pearsonr`
    """
    check_parameter("hog: cells", cells, is_whole(cells, 2), "a whole number of at least 2")
    correlations = {"pearson": correlate_rows, "spearman": spearman_of}
    check_parameter("hog: correlation", correlation, correlation in correlations, " or ".join(correlations))

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        from skimage.feature import hog as descriptor

        first = descriptor(np.zeros(block.shape), pixels_per_cell=(cells, cells))
        described = np.zeros((*block.maps.shape[:2], first.size))  # zeros where no pair is asked for
        for model, image in np.argwhere(block.unusable == Reason.SCORED):
            described[model, image] = descriptor(block.maps[model, image], pixels_per_cell=(cells, cells))
        return correlations[correlation](described, pairs)

    return Metric(
        score,
        definition=f"{correlation.capitalize()}'s correlation of HOG descriptors",
        kind="similarity",
        self_value=1.0,
        bounds=(-1.0, 1.0),
        undefined=CONSTANT,
        nan_reason=Reason.CONSTANT,
        smallest=3 * cells,
        cost="medium",
        revision=2,
        map_bytes=81 * 8 / cells**2,
        image_bytes=40,
    )
