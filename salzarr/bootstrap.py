"""Bootstrap intervals over images: NumPy in, NumPy out, and the same resamples for all pairs.

A resample is a row of weights, how often each image was drawn: one matrix product of weights and scores gives
the means of all pairs in many resamples at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from salzarr.compiled import jit
from salzarr.descriptive import Floats

SMALL_SAMPLE = 12
"""Below so many images or units the coverage of intervals was not simulated."""

_BATCH_BYTES = 2**23


class SmallSampleWarning(UserWarning):
    """An interval was asked of fewer than :data:`SMALL_SAMPLE` images."""


def warn_if_few(n: Floats, what: str = "images") -> None:
    """Warn the caller's caller if the fewest images of a pair (that has any) are too few for an interval."""
    fewest = np.min(n, where=n > 0, initial=SMALL_SAMPLE)
    if fewest < SMALL_SAMPLE:
        text = f"an interval over {fewest:.0f} {what} is of too few; do not rely on one below {SMALL_SAMPLE}"
        if (held := _held_back.get()) is None:
            warnings.warn(text, SmallSampleWarning, stacklevel=3)
        else:
            held.append((float(fewest), text))


_held_back: ContextVar[list[tuple[float, str]] | None] = ContextVar("held_back", default=None)


@contextmanager
def warning_once() -> Iterator[None]:
    """Collect small-sample warnings and issue only the one of the fewest at exit."""
    held: list[tuple[float, str]] = []
    token = _held_back.set(held)
    try:
        yield
    finally:
        _held_back.reset(token)
    if held:
        warnings.warn(min(held)[1], SmallSampleWarning, stacklevel=4)


def resamples(images: int, repeats: int, seed: int) -> Iterator[Floats]:
    """Draw images with replacement, again and again.

    Yields
    ------
    (batch, image) float64
        How often each image was drawn; a row sums to ``images``. The rows of all batches together do not
        depend on the size of the batches.
    """
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH_BYTES // (8 * max(images, 1)))
    for start in range(0, repeats, batch):
        rows = min(batch, repeats - start)
        drawn = rng.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
        yield counts


class Medians:
    """The median of each row in each resample.

    A resample's median seldom lies far from the middle of the sorted row. So the weight of what lies far
    below is taken from a matrix product, and only the values around the middle are walked.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value.

    Attributes
    ----------
    ordered : (row, image) float64
        Each row sorted, its NaNs last.
    n : (row,) int
        How many are not NaN.
    """

    def __init__(self, values: Floats) -> None:
        self.n = np.count_nonzero(~np.isnan(values), axis=1)
        self._order = np.argsort(values, axis=1)
        self.ordered = np.take_along_axis(values, self._order, axis=1)
        # The weight below a resample's median has a standard deviation of at most √n / 2 around the middle.
        self._start = np.maximum(self.n // 2 - 3 * np.sqrt(self.n).astype(np.intp), 0)
        rank = np.empty_like(self._order)
        np.put_along_axis(rank, self._order, np.arange(values.shape[1])[None], axis=1)
        self._below = (rank < self._start[:, None]).T.astype(np.float32)
        self._known = None if np.all(self.n == values.shape[1]) else (~np.isnan(values)).T.astype(np.float32)

    def resampled(self, weights: Floats) -> Floats:
        """Weighted median in each resample of (repeat, image) counts: (repeat, row); NaN where all are 0."""
        counts = weights.astype(np.float32)  # exact, as are its sums below 2^24
        total = counts.sum(axis=1, keepdims=True) if self._known is None else counts @ self._known
        total = np.broadcast_to(total, (len(weights), len(self.n)))
        found: Floats = _medians(
            self._order, self.ordered, self._start, counts @ self._below, total, weights.astype(np.uint16)
        )
        return found


@jit
def _medians(order: Any, ordered: Any, start: Any, below: Any, total: Any, counts: Any) -> Any:
    """Walk each sorted row from its start to the middle of each resample's weight."""
    medians = np.full(total.shape, np.nan)
    for row in range(total.shape[1]):
        for repeat in range(total.shape[0]):
            whole = int(total[repeat, row])
            if whole == 0:
                continue
            lower, upper = (whole - 1) // 2, whole // 2
            at, seen = start[row], int(below[repeat, row])
            if seen > lower:
                at, seen = 0, 0
            low = np.nan
            while True:
                seen += counts[repeat, order[row, at]]
                if seen > lower and np.isnan(low):
                    low = ordered[row, at]
                if seen > upper:
                    break
                at += 1
            high = ordered[row, at]
            medians[repeat, row] = low if low == high else 0.5 * (low + high)
    return medians


def skew(influence: Floats) -> Floats:
    """BCa's acceleration of each row from its (row, image) jackknife influences; NaNs are left out."""
    scale = np.nanmax(np.abs(influence), axis=1, initial=0.0)
    unit = influence / np.where(scale > 0, scale, 1.0)[:, None]  # or the cubes of tiny numbers vanish
    cube, square = np.nansum(unit**3, axis=1), np.nansum(unit**2, axis=1)
    found: Floats = np.divide(cube, 6 * square**1.5, out=np.zeros(len(unit)), where=square > 0)
    return found
