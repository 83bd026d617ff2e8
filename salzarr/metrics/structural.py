"""Structural similarity: SSIM and its Gaussian and multi-scale variants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.metric import (
    Caution,
    Metric,
    Pairs,
    ScoreFunction,
    Scores,
    check_data_range,
    check_parameter,
    is_whole,
    register,
)
from salzarr.metrics.pixelwise import power_of_two
from salzarr.metrics.windows import halve, similarities
from salzarr.schema import Reason

K1, K2 = 0.01, 0.03
_BELL = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
GAUSSIAN = _BELL / _BELL.sum()
"""Wang's window: 11 taps, sigma 1.5."""


def _compare(
    maps: NDArray[Any], image: int, pairs: Pairs, wanted: NDArray[np.bool_], weights: Scores,
    data_range: float, scratch: Scores, *, uniform: bool = False, luminance: float = 1.0,
) -> Scores:  # fmt: skip
    """Mean SSIM (pair,) of one image of (model, image, y, x); NaN where unwanted or the data range is 0."""
    # In units of about the data range, squares neither vanish nor overflow; a power of two is exact.
    unit = float(power_of_two(data_range))
    c1, c2 = (K1 * data_range * unit) ** 2, (K2 * data_range * unit) ** 2
    if uniform:  # a sample's covariance: dividing c2 alone does the same
        c2 *= 1 - 1 / weights.size**2
    wanted = wanted & (data_range > 0)
    taps = (0,) * weights.size
    return similarities(
        maps, image, pairs, wanted, unit, c1, c2, weights, taps, uniform, luminance, scratch
    )  # fmt: skip


def _structural(score: ScoreFunction, data_range: float | None, **fields: Any) -> Metric:
    check_data_range(data_range)
    return Metric(
        score,
        kind="similarity",
        self_value=1.0,
        undefined=frozenset({Reason.CONSTANT}) if data_range == 0 else frozenset(),
        nan_reason=Reason.CONSTANT,
        cautions=frozenset({Caution.SIGNED}),
        scale_dependent=True,
        **fields,
    )


def _single_scale(weights: Scores, data_range: float | None, *, uniform: bool, definition: str) -> Metric:
    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        assert data_range is not None, "with_data_range comes first"
        scores, scratch = np.empty(ok.shape), np.empty((len(block.maps), *block.shape))
        for image in range(ok.shape[1]):
            scores[:, image] = _compare(
                block.maps, image, pairs, ok[:, image], weights, data_range, scratch, uniform=uniform
            )
        return scores

    return _structural(
        score,
        data_range,
        definition=definition,
        bounds=(-1.0, 1.0),
        smallest=weights.size,
        image_bytes=10,
    )


@register
def ssim(window: int = 7, data_range: float | None = None) -> Metric:
    """Structural similarity, as scikit-image computes it by default.

    Parameters
    ----------
    window : int
        Side of the uniform window in pixels, odd.
    data_range : float, optional
        The range of the data, one number for a whole comparison; ``compare`` finds it if it is not given.

    References
    ----------
    Wang et al. 2004; equals :func:`skimage.metrics.structural_similarity`
    """
    check_parameter("ssim: window", window, is_whole(window, 3) and window % 2 == 1, "an odd number from 3")
    return _single_scale(
        np.full(window, 1.0 / window),
        data_range,
        uniform=True,
        definition=f"structural similarity, uniform {window} x {window} window, sample covariance",
    )


@register
def ssim_gaussian(data_range: float | None = None) -> Metric:
    """Structural similarity as published: Gaussian window of 11 taps, sigma 1.5, population covariance.

    Parameters
    ----------
    data_range : float, optional
        As for :func:`ssim`.

    References
    ----------
    Wang et al. 2004; equals :func:`skimage.metrics.structural_similarity`, gaussian_weights=True
    """
    return _single_scale(
        GAUSSIAN,
        data_range,
        uniform=False,
        definition="structural similarity, Gaussian window (sigma 1.5), population covariance",
    )


SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@register
def ms_ssim(data_range: float | None = None) -> Metric:
    """Multi-scale structural similarity: five scales, each half as large as the one before.

    Parameters
    ----------
    data_range : float, optional
        As for :func:`ssim`.

    Notes
    -----
    A mean contrast term below 0, which a fractional power cannot take, counts as 0.

    References
    ----------
    Wang, Simoncelli & Bovik 2003
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        assert data_range is not None, "with_data_range comes first"
        scores = np.ones(ok.shape)
        for image in range(ok.shape[1]):
            maps = block.maps[:, image].astype(np.float64)
            for scale, weight in enumerate(SCALE_WEIGHTS):
                last = scale == len(SCALE_WEIGHTS) - 1
                maps = maps if scale == 0 else halve(maps)
                one, scratch, wanted = maps[:, None], np.empty(maps.shape), ok[:, image]
                means = _compare(one, 0, pairs, wanted, GAUSSIAN, data_range, scratch, luminance=float(last))
                scores[:, image] *= means.clip(0) ** weight
        return scores

    return _structural(
        score,
        data_range,
        definition="multi-scale structural similarity, five scales",
        bounds=(0.0, 1.0),
        smallest=176,
        image_bytes=22,
    )
