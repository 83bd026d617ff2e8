"""Kernels of SSIM: moments under a sliding window, once per map, and what remains to be done per pair.

Windows are separable. ``weights`` holds one side of the window as an array; ``taps`` is any tuple of the
same length, for which numba compiles a version of its own, so that LLVM unrolls the loops over a window and
vectorises those over the pixels: 0.04 in place of 0.2 ms at 224 x 224. ``error_model="numpy"`` belongs to
that too, as the mere check for a division by zero keeps a loop scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from salzarr.compiled import jit
from salzarr.metrics.pixelwise import REORDER, centre

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from salzarr.metrics.metric import Pairs

    Floats = NDArray[np.float64]

SIMD: dict[str, Any] = {"fastmath": REORDER, "error_model": "numpy"}


@jit(**SIMD)
def _columns(
    a: Floats, b: Floats, y: int, weights: Floats, taps: tuple[int, ...], uniform: bool, out: Floats
) -> None:
    """Weighted sums down the columns of a * b, over the window whose first row is y.

    Of a uniform window only the rows that enter and leave are touched. In float64 the running sums drift by
    some 1e-14 of the squared data range on the way down 224 rows.
    """
    window = len(taps)
    if uniform and y > 0:
        for x in range(out.size):
            out[x] += weights[0] * (a[y + window - 1, x] * b[y + window - 1, x] - a[y - 1, x] * b[y - 1, x])
    else:
        for x in range(out.size):
            s = 0.0
            for k in range(window):
                s += weights[k] * (a[y + k, x] * b[y + k, x])
            out[x] = s


@jit(**SIMD)
def _means(a: Floats, b: Floats, weights: Floats, taps: tuple[int, ...], uniform: bool, out: Floats) -> None:
    """Weighted means of a * b under each window that fits."""
    columns = np.empty(a.shape[1])
    for y in range(out.shape[0]):
        _columns(a, b, y, weights, taps, uniform, columns)
        for x in range(out.shape[1]):
            s = 0.0
            for k in range(len(taps)):
                s += weights[k] * columns[x + k]
            out[y, x] = s


@jit(**SIMD)
def _mean_similarity(
    a: Floats, b: Floats, mean_a: Floats, mean_b: Floats, variance_a: Floats, variance_b: Floats,
    offset_a: float, offset_b: float, weights: Floats, taps: tuple[int, ...], uniform: bool,
    c1: float, c2: float, luminance: bool,
) -> float:  # fmt: skip
    """Mean over the windows of SSIM of two centred maps; without luminance, of contrast times structure.

    Variances and ``c2`` come divided by the factor that makes a covariance a sample's.
    """
    height, width = mean_a.shape
    columns = np.empty(a.shape[1])
    total: float = 0.0
    for y in range(height):
        _columns(a, b, y, weights, taps, uniform, columns)
        row = 0.0
        for x in range(width):
            s = 0.0
            for k in range(len(taps)):
                s += weights[k] * columns[x + k]
            p, q = mean_a[y, x], mean_b[y, x]
            top = 2.0 * (s - p * q) + c2
            bottom = variance_a[y, x] + variance_b[y, x] + c2
            if luminance:
                p += offset_a
                q += offset_b
                top *= 2.0 * p * q + c1
                bottom *= p * p + q * q + c1
            row += top / bottom
        total += row
    mean: float = total / (height * width)
    return mean


@jit(**SIMD)
def similarities(
    maps: NDArray[Any], image: int, pairs: Pairs, wanted: NDArray[np.bool_],
    scale: float, c1: float, c2: float,
    weights: Floats, taps: tuple[int, ...], uniform: bool, luminance: bool, scratch: Floats,
) -> Floats:  # fmt: skip
    """Mean SSIM of the wanted pairs of one image, NaN for the others.

    Parameters
    ----------
    maps : (model, image, y, x) float, C-contiguous
    image : int
    pairs : (pair, 2) int
    wanted : (pair,) bool
    scale : float
        What the maps are multiplied by first.
    c1, c2 : float
        The constants of SSIM, of scaled maps; c2 divided by the factor that makes a covariance a sample's.
    weights : (window,) float64
        One side of the window; sums to 1.
    taps : tuple of int
        As long as the weights.
    uniform : bool
        Whether the weights are equal.
    luminance : bool
        Whether SSIM's first term is multiplied in.
    scratch : (3, model, y, x) float64
        Memory to work in, as fresh memory costs as much as the work.

    Returns
    -------
    (pair,) float64
    """
    models, _, height, width = maps.shape
    inner = (models, height - len(taps) + 1, width - len(taps) + 1)
    size = inner[0] * inner[1] * inner[2]
    centred = scratch[0]
    means = scratch[1].reshape(-1)[:size].reshape(inner)
    variances = scratch[2].reshape(-1)[:size].reshape(inner)
    offsets = np.empty(models)
    ones = np.ones((height, width))
    for m in range(models):
        offsets[m] = centre(maps[m, image].reshape(-1), scale, centred[m].reshape(-1))
        _means(centred[m], ones, weights, taps, uniform, means[m])
        _means(centred[m], centred[m], weights, taps, uniform, variances[m])
        for y in range(inner[1]):
            for x in range(inner[2]):
                variances[m, y, x] = max(variances[m, y, x] - means[m, y, x] * means[m, y, x], 0.0)
    scores = np.full(len(pairs), np.nan)
    for pair in range(len(pairs)):
        if wanted[pair]:
            a, b = pairs[pair]
            scores[pair] = _mean_similarity(
                centred[a], centred[b], means[a], means[b], variances[a], variances[b],
                offsets[a], offsets[b], weights, taps, uniform, c1, c2, luminance,
            )  # fmt: skip
    return scores
