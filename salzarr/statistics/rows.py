"""Scores as rows of numbers: which variables are metrics, which row is which pair, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import plan
from salzarr.descriptive import DESCRIBE_BYTES, Floats
from salzarr.errors import BudgetError, UsageError
from salzarr.metrics.metric import Metric
from salzarr.schema import DIRECTION, DIRECTIONS, IMAGE, MODEL_A, MODEL_B, PAIR, STATISTIC, reason_name

MEMORY = 2**30
"""Bytes that a reduction of scores may use unless told otherwise."""


def metric_names(dataset: xr.Dataset) -> list[str]:
    """Slugs of the metrics in scores or in a summary: the variables with a ``<slug>_reason`` beside them.

    Raises
    ------
    UsageError
        If there is none.
    """
    names = [str(name) for name in dataset.data_vars if reason_name(str(name)) in dataset]
    if not names:
        raise UsageError("there is no metric here: a metric is a variable with <name>_reason beside it")
    return names


def require_summary(dataset: xr.Dataset) -> None:
    """Refuse scores where their summary is needed.

    Raises
    ------
    UsageError
        If the dataset has no statistics.
    """
    if STATISTIC not in dataset.coords:
        raise UsageError(
            "these are no statistics; give the summary that salzarr.summarize makes of the scores"
        )


def metric_slug(dataset: xr.Dataset, metric: str | Metric) -> str:
    """Find the variable of a metric that is given by its slug, its spec (``ssim:window=11``) or itself.

    Raises
    ------
    UsageError
        If the dataset does not have it.
    """
    wanted = metric if isinstance(metric, str) else metric.slug
    names = metric_names(dataset)
    for name in names:
        if wanted in (name, dataset[name].attrs.get("spec")):
            return name
    raise UsageError(f"no metric {wanted!r} here; there are {', '.join(names)}")


def model_names(dataset: xr.Dataset) -> list[str]:
    """Models of scores or of a summary, in the order they were given."""
    if "models" in dataset.attrs:
        return [str(name) for name in dataset.attrs["models"]]
    both = np.stack([dataset[MODEL_A].values, dataset[MODEL_B].values], axis=1)
    return [str(name) for name in dict.fromkeys(both.ravel().tolist())]


def cells(dataset: xr.Dataset, slug: str) -> NDArray[np.intp]:
    """Which row of a metric's values is which cell of its matrix.

    A metric's rows are its pairs, or, if it is directed, its pairs from a to b and then from b to a.

    Returns
    -------
    (model, model) int
        Row of f(a, b), -1 where there is none, as on the diagonal.
    """
    place = {name: i for i, name in enumerate(model_names(dataset))}
    a = np.array([place[str(name)] for name in dataset[MODEL_A].values], np.intp)
    b = np.array([place[str(name)] for name in dataset[MODEL_B].values], np.intp)
    pairs = np.arange(len(a))
    row = np.full((len(place), len(place)), -1, np.intp)
    row[b, a] = pairs + len(pairs) if DIRECTION in dataset[slug].dims else pairs
    row[a, b] = pairs
    return row


def matrix_of(dataset: xr.Dataset, slug: str, values: NDArray[np.float64]) -> Floats:
    """Put one number per row of a metric, (pair,) or (direction, pair), into its (model, model) cells."""
    row = cells(dataset, slug)
    matrix = np.full(row.shape, np.nan)
    matrix[row >= 0] = values.reshape(-1)[row[row >= 0]]
    return matrix


def load_if_small(scores: xr.Dataset, memory: int) -> xr.Dataset:
    """Compute lazy scores at once, sharing the work of their metrics, if half the memory can hold them."""
    return scores.compute() if scores.nbytes <= memory // 2 else scores


def rows_of(
    scores: xr.Dataset, slug: str, memory: int = MEMORY, row_bytes: float = 0.0
) -> Iterator[tuple[slice, Floats]]:
    """Walk a metric's scores, as many pairs at a time as the memory allows.

    A stored chunk holds all pairs of some images, and so each range of pairs takes a pass through all chunks.
    That is why a range is read as large as it fits, and handed out in smaller blocks to be worked on.

    Parameters
    ----------
    scores : Dataset
        In memory or Dask-backed.
    slug : str
    memory : int
        Bytes.
    row_bytes : float
        What the caller needs per row beyond :data:`~salzarr.descriptive.DESCRIBE_BYTES` per image.

    Yields
    ------
    pairs : slice
    values : (row, image) float64
        The rows of these pairs; for a directed metric those from a to b, then those from b to a.

    Raises
    ------
    BudgetError
        If a single pair does not fit.
    """
    variable = scores[slug].transpose(..., PAIR, IMAGE)
    pairs, images = scores.sizes[PAIR], scores.sizes[IMAGE]
    directions = variable.sizes.get(DIRECTION, 1)
    held = directions * 8 * images
    work = directions * (DESCRIBE_BYTES * images + row_bytes)
    step = int(memory / 2 // max(work, 1))
    if step < 1:
        raise BudgetError(
            f"a pair's {slug} on {images:,} images takes {plan.size(2 * work)}, and {plan.size(memory)} were "
            "given; give more memory"
        )
    # Whole blocks, so that scores in memory and on disk are handed out alike.
    ranges = max(1, pairs) if variable.chunks is None else step * max(1, memory // 4 // max(held, 1) // step)
    for start in range(0, max(1, pairs), ranges):
        some = variable.isel({PAIR: slice(start, start + ranges)})
        # A chunk is read with all its pairs, however few of them are wanted.
        values = _load(some, 2 * 8 * directions * pairs, memory // 4)
        for first in range(0, max(1, some.sizes[PAIR]), step):
            block = values[..., first : first + step, :]
            where = slice(start + first, start + first + block.shape[-2])
            yield where, block.reshape(directions * block.shape[-2], images)


def _load(variable: xr.DataArray, image_bytes: int, memory: int) -> Floats:
    """Read some pairs of a metric into their place, as many chunks at a time as fit: (..., pair, image)."""
    if variable.chunks is None:
        return np.asarray(variable.values, np.float64)
    values = np.empty(variable.shape)
    size = max(max(variable.chunks[-1], default=1), memory // max(image_bytes, 1))
    for start in range(0, values.shape[-1], size):
        part = slice(start, start + size)
        values[..., part] = variable.isel({IMAGE: part}).values
    return values


def name_order(scores: xr.Dataset) -> NDArray[np.intp]:
    """Positions of the images in the order of their names."""
    return np.argsort(scores[IMAGE].values.astype(str), kind="stable")


def with_directions(dataset: xr.Dataset) -> xr.Dataset:
    """Label the directions, if one of the metrics is directed."""
    return dataset.assign_coords({DIRECTION: list(DIRECTIONS)}) if DIRECTION in dataset.dims else dataset
