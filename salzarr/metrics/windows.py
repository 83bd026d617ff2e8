"""Kernels of SSIM: moments under a sliding window, once per map, and what remains to be done per pair.

Windows are separable. ``weights`` holds one side of the window as an array; ``taps`` is any tuple of the
same length, for which numba compiles a version of its own, so that LLVM unrolls the loops over a window and
vectorizes those over the pixels: 0.04 in place of 0.2 ms at 224 x 224. ``error_model="numpy"`` belongs to
that too, as the mere check for a division by zero keeps a loop scalar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit
from salzarr.metrics.metric import Pairs
from salzarr.metrics.pixelwise import REORDER, center

Floats = NDArray[np.float64]


SIMD: dict[str, Any] = {"fastmath": REORDER, "error_model": "numpy"}

STRIP = 16
"""Rows of windows that are done for all maps and pairs before the next ones: what they need of ten maps 224
pixels wide, 0.9 MB, stays in a second-level cache while 45 pairs read it."""


@jit(**SIMD, inline="always")
def _multiply(a: Floats, b: Floats, first: int, rows: int, out: Floats) -> None:
    """Products of the rows of two maps from ``first`` on."""
    for y in range(rows):
        for x in range(out.shape[1]):
            out[y, x] = a[first + y, x] * b[first + y, x]


@jit(**SIMD, inline="always")
def _columns(
    values: Floats, y: int, weights: Floats, taps: tuple[int, ...], running: bool, out: Floats
) -> None:
    """Weighted sums down the columns of the window whose first row is y.

    Where they run on from those at y - 1, of equal weights, only the rows that enter and leave are touched.
    """
    window = len(taps)
    if running:
        for x in range(out.size):
            out[x] += weights[0] * (values[y + window - 1, x] - values[y - 1, x])
    else:
        for x in range(out.size):
            s = 0.0
            for k in range(window):
                s += weights[k] * values[y + k, x]
            out[x] = s


@jit(**SIMD, inline="always")
def _means(
    values: Floats, first: int, rows: int, weights: Floats, taps: tuple[int, ...], uniform: bool, out: Floats
) -> None:
    """Weighted means of the values under the windows of some rows from ``first`` on."""
    columns = np.empty(values.shape[1])
    for y in range(rows):
        _columns(values, first + y, weights, taps, uniform and y > 0, columns)
        for x in range(out.shape[1]):
            s = 0.0
            for k in range(len(taps)):
                s += weights[k] * columns[x + k]
            out[y, x] = s


@jit(**SIMD, inline="always")
def _sum_of_similarities(
    products: Floats, rows: int, mean_a: Floats, mean_b: Floats, variance_a: Floats, variance_b: Floats,
    offset_a: float, offset_b: float, weights: Floats, taps: tuple[int, ...], uniform: bool,
    c1: float, c2: float, luminance: float,
) -> float:  # fmt: skip
    """Sum of SSIM over a strip of windows, from the products of two centered maps and their moments.

    With 0 for luminance, which makes that factor 1, of contrast times structure.
    """
    columns = np.empty(products.shape[1])
    total: float = 0.0
    for y in range(rows):
        _columns(products, y, weights, taps, uniform and y > 0, columns)
        row = 0.0
        for x in range(mean_a.shape[1]):
            s = 0.0
            for k in range(len(taps)):
                s += weights[k] * columns[x + k]
            p, q = mean_a[y, x], mean_b[y, x]
            top = 2.0 * (s - p * q) + c2
            bottom = variance_a[y, x] + variance_b[y, x] + c2
            p, q = luminance * (p + offset_a), luminance * (q + offset_b)
            top *= 2.0 * p * q + c1
            bottom *= p * p + q * q + c1
            row += top / bottom
        total += row
    return total


@jit(**SIMD)
def similarities(
    maps: NDArray[Any], image: int, pairs: Pairs, wanted: NDArray[np.bool_],
    scale: float, c1: float, c2: float,
    weights: Floats, taps: tuple[int, ...], uniform: bool, luminance: float, centered: Floats,
) -> Floats:  # fmt: skip
    """Mean SSIM of the wanted pairs of one image of (model, image, y, x) maps: (pair,), NaN for the others.

    The maps are multiplied by ``scale``, for which c1 and c2 are the constants; c2 is divided by what makes a
    covariance a sample's. ``weights`` and ``taps`` are one side of the window, ``uniform`` if equal; with
    ``luminance`` 0 SSIM's first factor is left out. ``centered`` (model, y, x) is memory to work in, as fresh
    memory costs as much as the work.
    """
    models, height, width = centered.shape
    height, width = height - len(taps) + 1, width - len(taps) + 1
    means, variances = np.empty((models, STRIP, width)), np.empty((models, STRIP, width))
    border = len(taps) - 1
    products = np.empty((STRIP + border, centered.shape[2]))
    offsets = np.empty(models)
    for m in range(models):
        offsets[m] = center(maps[m, image].reshape(-1), scale, centered[m].reshape(-1))
    scores = np.where(wanted, 0.0, np.nan)
    for first in range(0, height, STRIP):
        rows = min(STRIP, height - first)
        for m in range(models):
            mean, variance = means[m], variances[m]
            _means(centered[m], first, rows, weights, taps, uniform, mean)
            _multiply(centered[m], centered[m], first, rows + border, products)
            _means(products, 0, rows, weights, taps, uniform, variance)
            for y in range(rows):
                for x in range(width):
                    variance[y, x] = max(variance[y, x] - mean[y, x] * mean[y, x], 0.0)
        for pair in range(len(pairs)):
            if wanted[pair]:
                a, b = pairs[pair]
                _multiply(centered[a], centered[b], first, rows + border, products)
                scores[pair] += _sum_of_similarities(
                    products, rows, means[a], means[b], variances[a], variances[b], offsets[a], offsets[b],
                    weights, taps, uniform, c1, c2, luminance,
                )  # fmt: skip
    mean_scores: Floats = scores / (height * width)
    return mean_scores


@jit(**SIMD)
def halve(maps: Floats) -> Floats:
    """Means of 2 x 2 pixels (model, y, x); an odd last row or column counts twice, as in Wang's own code."""
    models, height, width = maps.shape
    out = np.empty((models, (height + 1) // 2, (width + 1) // 2))
    for m in range(models):
        for y in range(out.shape[1]):
            upper, lower = maps[m, 2 * y], maps[m, min(2 * y + 1, height - 1)]
            for x in range(width // 2):
                out[m, y, x] = (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]) / 4
            if width % 2:
                out[m, y, width // 2] = (upper[width - 1] + lower[width - 1]) / 2
    return out
