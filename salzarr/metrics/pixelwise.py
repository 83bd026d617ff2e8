"""Metrics that compare the maps pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.metric import Metric, Pairs, Scores, register


@register
def mse() -> Metric:
    """Mean squared error."""

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        flat = block.flat.astype(np.float64)
        return np.stack([np.mean((flat[a] - flat[b]) ** 2, axis=1) for a, b in pairs])

    return Metric(
        score, "mean((a - b)²)", kind="dissimilarity", self_value=0.0, bounds=(0.0, np.inf),
        reference="sklearn.metrics.mean_squared_error",
    )
