"""Metrics that compare the maps pixel by pixel: differences, and angles between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.compiled import jit
from salzarr.metrics.block import Block
from salzarr.metrics.metric import Metric, Pairs, Scores, check_data_range, register
from salzarr.schema import Reason

REORDER = {"reassoc", "contract", "nsz"}
"""What a sum needs to be vectorized: its order is then fixed by the number of pixels alone."""


@dataclass(frozen=True)
class Products:
    """Inner products of all pairs of an image's maps, from one matrix product.

    Each map is scaled by a power of two to values of about 1, which is exact, so that squares neither
    overflow nor vanish, and centered, so that what maps have in common does not drown how they differ.

    Attributes
    ----------
    scale : (model, image) float64
    mean : (model, image) float64
        Of the scaled maps.
    gram : (image, model, model) float64
        Sums over the pixels of products of the scaled, centered maps.
    pixels : int
    """

    scale: Scores
    mean: Scores
    gram: Scores
    pixels: int

    def correlate(self, pairs: Pairs, *, centered: bool) -> Scores:
        """Cosines (pair, image) of the angles between maps, centered or as they are."""
        a, b = pairs.T
        squares = np.diagonal(self.gram, axis1=1, axis2=2).T
        products = self.gram[:, a, b].T
        if not centered:
            squares = squares + self.pixels * self.mean**2
            products = products + self.pixels * self.mean[a] * self.mean[b]
        cosines: Scores = products / (np.sqrt(squares[a]) * np.sqrt(squares[b]))
        return cosines.clip(-1.0, 1.0)


def products_of(rows: NDArray[Any], scale: Scores) -> Products:
    """Multiply each image's rows (model, image, value) with each other, scaled and centered, in float64."""
    models, images, pixels = rows.shape
    mean, gram = np.empty((models, images)), np.empty((images, models, models))
    centered = np.empty((models, pixels))
    for image in range(images):
        for model in range(models):
            mean[model, image] = center(rows[model, image], scale[model, image], centered[model])
        np.matmul(centered, centered.T, out=gram[image])
    return Products(scale, mean, gram, pixels)


def products(block: Block) -> Products:
    """Feature ``products`` of a block: :class:`Products` of its maps."""
    return products_of(block.flat, power_of_two(np.maximum(np.abs(block.low), np.abs(block.high))))


def power_of_two(largest: Scores | float) -> Scores:
    """Find the powers of two, to multiply by without rounding, that bring these values to 0.5-1.

    >>> power_of_two(np.array([1000.0, 0.0]))
    array([0.00097656, 0.5       ])
    """
    exponent = np.frexp(np.where(np.asarray(largest) > 0, largest, 1.0))[1]
    factor: Scores = np.ldexp(1.0, -exponent.clip(-1022, 1022))
    return factor


@jit(fastmath=REORDER, inline="always")
def center(row: NDArray[Any], scale: float, out: NDArray[np.float64]) -> float:
    """Scale a row and subtract its mean, to the last bit; return the mean."""
    total = 0.0
    for i in range(row.size):
        value = np.float64(row[i]) * scale
        out[i] = value
        total += value
    first = total / row.size
    total = 0.0
    for i in range(row.size):
        out[i] -= first
        total += out[i]
    rest = total / row.size  # what rounding left of the mean: 1e-13 of maps on an offset of 1000
    for i in range(row.size):
        out[i] -= rest
    return first + rest


@jit(fastmath=REORDER)
def sum_of_squares(rows: NDArray[Any], pairs: Pairs, wanted: NDArray[np.bool_], unit: Scores) -> Scores:
    """Sum of (a - b)² of rows times a unit (pair, image) where wanted, directly, in float64; else 0."""
    sums = np.zeros((len(pairs), rows.shape[1]))
    for image in range(rows.shape[1]):
        for pair in range(len(pairs)):
            if wanted[pair, image]:
                a, b = rows[pairs[pair, 0], image], rows[pairs[pair, 1], image]
                factor, total = unit[pair, image], 0.0
                for i in range(a.size):
                    difference = np.float64(a[i]) * factor - np.float64(b[i]) * factor
                    total += difference * difference
                sums[pair, image] = total
    return sums


@jit(fastmath=REORDER)
def sum_of_distances(rows: NDArray[Any], pairs: Pairs, wanted: NDArray[np.bool_]) -> Scores:
    """Sum of abs(a - b) of the wanted (pair, image) in float64; else 0."""
    sums = np.zeros((len(pairs), rows.shape[1]))
    for image in range(rows.shape[1]):
        for pair in range(len(pairs)):
            if wanted[pair, image]:
                a, b = rows[pairs[pair, 0], image], rows[pairs[pair, 1], image]
                total = 0.0
                for i in range(a.size):
                    total += abs(np.float64(a[i]) - np.float64(b[i]))
                sums[pair, image] = total
    return sums


CANCELLED = 1e-4
"""Below this fraction of the maps' mean squares, a mean squared difference is computed directly.

The difference of sums that a product gives is off by some 1e-16 of those squares; above the fraction that is
1e-12 of the difference.
"""


def _mean_squared(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> tuple[Scores, Scores]:
    """Mean squared differences (pair, image) of the pairs' maps times a power of two, and that power.

    It brings the larger map of a pair to about 1, so that no square overflows.
    """
    made = block.feature("products", products)
    a, b = pairs.T
    unit = np.minimum(made.scale[a], made.scale[b])
    to_a, to_b = unit / made.scale[a], unit / made.scale[b]
    square = np.diagonal(made.gram, axis1=1, axis2=2).T / made.pixels
    product = made.gram[:, a, b].T / made.pixels * to_a * to_b
    square_a, square_b = square[a] * to_a**2, square[b] * to_b**2
    mean_a, mean_b = made.mean[a] * to_a, made.mean[b] * to_b
    result: Scores = square_a + square_b - 2 * product + (mean_a - mean_b) ** 2
    cancelled = ok & ~(result > CANCELLED * (square_a + square_b + mean_a**2 + mean_b**2))
    if cancelled.any():
        direct = sum_of_squares(block.flat, pairs, cancelled, unit) / made.pixels
        result = np.where(cancelled, direct, result)
    return result, unit


def root_mean_squared(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
    """Root of the mean squared differences (pair, image): 0 for equal maps only, and it does not overflow."""
    squares, unit = _mean_squared(block, pairs, ok)
    roots: Scores = np.sqrt(squares) / unit
    for pair, image in np.argwhere(ok & (squares < 1e-290)):  # equal, or their squares underflow
        a, b = block.flat[pairs[pair], image].astype(np.float64)
        away = np.abs(a - b)
        largest = away.max() or 1.0
        roots[pair, image] = largest * np.sqrt(np.mean((away / largest) ** 2))
    return roots


def _difference(score: Callable[[Block, Pairs, NDArray[np.bool_]], Scores], **fields: Any) -> Metric:
    return Metric(
        score, kind="dissimilarity", self_value=0.0, bounds=(0.0, np.inf), scale_dependent=True, **fields
    )


@register
def mse() -> Metric:
    """Mean squared error.

    References
    ----------
    equals :func:`sklearn.metrics.mean_squared_error`
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        squares, unit = _mean_squared(block, pairs, ok)
        return squares / unit / unit

    return _difference(
        score,
        definition="mean((a - b)²)",
        features=("products",),
        image_bytes=8,
    )


@register
def rmse() -> Metric:
    """Root of the mean squared error.

    References
    ----------
    equals :func:`sklearn.metrics.root_mean_squared_error`
    """
    return _difference(
        root_mean_squared,
        definition="√mean((a - b)²)",
        features=("products",),
        image_bytes=8,
    )


@register
def mae() -> Metric:
    """Mean absolute error.

    References
    ----------
    equals :func:`sklearn.metrics.mean_absolute_error`
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        mean: Scores = sum_of_distances(block.flat, pairs, ok) / block.flat.shape[2]
        return mean

    return _difference(score, definition="mean(abs(a - b))")


@register
def psnr(data_range: float | None = None) -> Metric:
    """Peak signal-to-noise ratio; undefined for identical maps, for which it is infinite.

    Parameters
    ----------
    data_range : float, optional
        The range of the data, one number for a whole comparison; ``compare`` finds it if it is not given.

    References
    ----------
    equals :func:`skimage.metrics.peak_signal_noise_ratio`
    """
    check_data_range(data_range)

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        assert data_range is not None, "with_data_range comes first"
        decibels: Scores = 20 * (np.log10(data_range) - np.log10(root_mean_squared(block, pairs, ok)))
        return decibels

    return Metric(
        score,
        definition="10 log10(range² / mean((a - b)²))",
        kind="similarity",
        self_value=np.nan,
        bounds=(-np.inf, np.inf),
        undefined=frozenset({Reason.CONSTANT}) if data_range == 0 else frozenset(),
        nan_reason=Reason.IDENTICAL,
        scale_dependent=True,
        features=("products",),
        unit="dB",
        image_bytes=8,
        pair_bytes=24,
    )


def _angle(*, centered: bool, **fields: Any) -> Metric:
    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        return block.feature("products", products).correlate(pairs, centered=centered)

    return Metric(
        score,
        kind="similarity",
        self_value=1.0,
        bounds=(-1.0, 1.0),
        features=("products",),
        image_bytes=8,
        **fields,
    )


@register
def cosine() -> Metric:
    """Cosine similarity; undefined for a map that is 0 everywhere.

    References
    ----------
    equals 1 - :func:`scipy.spatial.distance.cosine`
    """
    return _angle(
        centered=False,
        definition="a·b / (‖a‖ ‖b‖)",
        undefined=frozenset({Reason.ZERO_MASS}),
    )


@register
def pearson() -> Metric:
    """Correlation over all pixels, called CC in the saliency literature; undefined for a constant map.

    References
    ----------
    equals :func:`scipy.stats.pearsonr`
    """
    return _angle(
        centered=True,
        definition="linear correlation over all pixels (CC)",
        undefined=frozenset({Reason.CONSTANT}),
    )
