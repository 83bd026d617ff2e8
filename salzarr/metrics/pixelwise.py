"""Metrics that compare the maps pixel by pixel: differences, and angles between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from salzarr.compiled import jit
from salzarr.metrics.metric import Metric, Pairs, Scores, register
from salzarr.schema import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from salzarr.metrics.block import Block

REORDER = {"reassoc", "contract", "nsz"}
"""What a sum needs to be vectorised: its order is then fixed by the number of pixels alone."""


@dataclass(frozen=True)
class Products:
    """What one matrix product per image says about all pairs of its maps.

    Each map is scaled by a power of two to values of about 1, which is exact, so that squares neither
    overflow nor vanish, and centred, so that what maps have in common does not drown how they differ.

    Attributes
    ----------
    scale : (model, image) float64
    mean : (model, image) float64
        Of the scaled maps.
    gram : (image, model, model) float64
        Sums over the pixels of products of the scaled, centred maps.
    pixels : int
    """

    scale: Scores
    mean: Scores
    gram: Scores
    pixels: int

    def correlate(self, pairs: Pairs, *, centred: bool) -> Scores:
        """Cosines (pair, image) of the angles between maps, centred or as they are."""
        a, b = pairs.T
        squares = np.diagonal(self.gram, axis1=1, axis2=2).T
        products = self.gram[:, a, b].T
        if not centred:
            squares = squares + self.pixels * self.mean**2
            products = products + self.pixels * self.mean[a] * self.mean[b]
        cosines: Scores = products / (np.sqrt(squares[a]) * np.sqrt(squares[b]))
        return cosines.clip(-1.0, 1.0)


def products_of(rows: NDArray[Any], scale: Scores) -> Products:
    """Multiply each image's rows (model, image, value) with each other, scaled and centred, in float64."""
    models, images, pixels = rows.shape
    mean, gram = np.empty((models, images)), np.empty((images, models, models))
    centred = np.empty((models, pixels))
    for image in range(images):
        for model in range(models):
            mean[model, image] = centre(rows[model, image], scale[model, image], centred[model])
        np.matmul(centred, centred.T, out=gram[image])
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
def centre(row: NDArray[Any], scale: float, out: NDArray[np.float64]) -> float:
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
def sum_of_squares(rows: NDArray[Any], pairs: Pairs, wanted: NDArray[np.bool_]) -> Scores:
    """Sum of (a - b)² of the wanted (pair, image), directly, in float64; else 0."""
    sums = np.zeros((len(pairs), rows.shape[1]))
    for image in range(rows.shape[1]):
        for pair in range(len(pairs)):
            if wanted[pair, image]:
                a, b = rows[pairs[pair, 0], image], rows[pairs[pair, 1], image]
                total = 0.0
                for i in range(a.size):
                    difference = np.float64(a[i]) - np.float64(b[i])
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


def _mean_squared(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
    made = block.feature("products", products)
    a, b = pairs.T
    inverse = 1 / made.scale
    mean = made.mean * inverse
    square = np.diagonal(made.gram, axis1=1, axis2=2).T * inverse**2 / made.pixels
    product = made.gram[:, a, b].T * inverse[a] * inverse[b] / made.pixels
    result: Scores = square[a] + square[b] - 2 * product + (mean[a] - mean[b]) ** 2
    norms = square + mean**2
    cancelled = ok & ~(result > CANCELLED * (norms[a] + norms[b]))
    if cancelled.any():
        direct = sum_of_squares(block.flat, pairs, cancelled) / made.pixels
        result = np.where(cancelled, direct, result)
    return result


def _difference(score: Callable[[Block, Pairs, NDArray[np.bool_]], Scores], **fields: Any) -> Metric:
    return Metric(
        score, kind="dissimilarity", self_value=0.0, bounds=(0.0, np.inf), scale_dependent=True, **fields
    )


@register
def mse() -> Metric:
    """Mean squared error.

    References
    ----------
    Equals :func:`sklearn.metrics.mean_squared_error`.
    """
    return _difference(
        _mean_squared,
        definition="mean((a - b)²)",
        reference="equals sklearn.metrics.mean_squared_error",
        features=("products",),
        image_bytes=8,
    )


@register
def rmse() -> Metric:
    """Root of the mean squared error.

    References
    ----------
    Equals :func:`sklearn.metrics.root_mean_squared_error`.
    """
    return _difference(
        lambda block, pairs, ok: np.sqrt(_mean_squared(block, pairs, ok)),
        definition="√mean((a - b)²)",
        reference="equals sklearn.metrics.root_mean_squared_error",
        features=("products",),
        image_bytes=8,
    )


@register
def mae() -> Metric:
    """Mean absolute error.

    References
    ----------
    Equals :func:`sklearn.metrics.mean_absolute_error`.
    """

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        mean: Scores = sum_of_distances(block.flat, pairs, ok) / block.flat.shape[2]
        return mean

    return _difference(
        score, definition="mean(abs(a - b))", reference="equals sklearn.metrics.mean_absolute_error"
    )


def _angle(*, centred: bool, **fields: Any) -> Metric:
    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        return block.feature("products", products).correlate(pairs, centred=centred)

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
    Equals 1 - :func:`scipy.spatial.distance.cosine`.
    """
    return _angle(
        centred=False,
        definition="a·b / (‖a‖ ‖b‖)",
        undefined=frozenset({Reason.ZERO_MASS}),
        reference="equals 1 - scipy.spatial.distance.cosine",
    )


@register
def pearson() -> Metric:
    """Correlation over all pixels, called CC in the saliency literature; undefined for a constant map.

    References
    ----------
    Equals :func:`scipy.stats.pearsonr`.
    """
    return _angle(
        centred=True,
        definition="linear correlation over all pixels (CC)",
        undefined=frozenset({Reason.CONSTANT}),
        reference="equals scipy.stats.pearsonr",
    )
