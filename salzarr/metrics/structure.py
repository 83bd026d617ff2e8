"""Structural similarity: SSIM and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from salzarr.compiled import jit
from salzarr.metrics.metric import Metric, Pairs, Scores, check_parameter, is_whole, register
from salzarr.schema import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from salzarr.metrics.block import Block


@jit(fastmath={"contract"})
def _box(values: NDArray[Any], window: int) -> NDArray[Any]:
    """Means over the windows that fit."""
    h, w = values.shape[0] - window + 1, values.shape[1] - window + 1
    rows = np.zeros((values.shape[0], w))
    for y in range(values.shape[0]):
        for k in range(window):
            for x in range(w):
                rows[y, x] += values[y, x + k]
    out = np.zeros((h, w))
    for y in range(h):
        for k in range(window):
            for x in range(w):
                out[y, x] += rows[y + k, x]
    return out / (window * window)


@register
def ssim(
    window: int = 7, data_range: float | None = None, precision: Literal["single", "double"] = "single"
) -> Metric:
    """Structural similarity, as scikit-image computes it by default."""
    check_parameter("ssim: window", window, is_whole(window, 3) and window % 2 == 1, "an odd number from 3")
    fits = data_range is None or 0 <= data_range < np.inf
    check_parameter("ssim: data_range", data_range, fits, "a finite number, 0 or more")
    check_parameter("ssim: precision", precision, precision in ("single", "double"), "single or double")

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        assert data_range is not None
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        sample = window**2 / (window**2 - 1)
        out = np.full(ok.shape, np.nan)
        for image in range(ok.shape[1]):
            maps = block.maps[:, image].astype(np.float64)
            means = [_box(m, window) for m in maps]
            variances = [
                sample * _box((m - m.mean()) ** 2, window) - sample * (u - m.mean()) ** 2
                for m, u in zip(maps, means, strict=True)
            ]
            for pair, (a, b) in enumerate(pairs):
                da, db = maps[a] - maps[a].mean(), maps[b] - maps[b].mean()
                cov = _box(da * db, window) - (means[a] - maps[a].mean()) * (means[b] - maps[b].mean())
                top = (2 * means[a] * means[b] + c1) * (2 * sample * cov + c2)
                bottom = (means[a] ** 2 + means[b] ** 2 + c1) * (variances[a] + variances[b] + c2)
                out[pair, image] = (top / bottom).mean()
        return out

    return Metric(
        score,
        definition="structural similarity, uniform window",
        kind="similarity",
        self_value=1.0,
        bounds=(-1.0, 1.0),
        undefined=frozenset({Reason.CONSTANT}) if data_range == 0 else frozenset(),
        nan_reason=Reason.CONSTANT,
        scale_dependent=True,
        smallest=window,
        cost="low",
        reference="Wang et al. 2004; equals skimage.metrics.structural_similarity",
        image_bytes=32,
        pair_bytes=32,
    )
