"""Scores as rows of numbers: which variables are metrics, which row is which pair, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from dask.utils import format_bytes
from numpy.typing import NDArray

from salzarr.descriptive import DESCRIBE_BYTES, Floats
from salzarr.errors import BudgetError, UsageError
from salzarr.metrics.metric import Metric
from salzarr.schema import ATTR_SLUG, ATTR_WAY, IMAGE, MODEL_A, MODEL_B, PAIR, STATISTIC, WAYS, reason_name

MEMORY = 2**30
"""Bytes that a reduction of scores may use unless told otherwise."""


def variable_names(dataset: xr.Dataset) -> list[str]:
    """Variables that hold scores or statistics of pairs: those with a ``<variable>_reason`` beside them.

    Raises
    ------
    UsageError
        If there is none.
    """
    names = [str(name) for name in dataset.data_vars if reason_name(str(name)) in dataset]
    if not names:
        raise UsageError("no metric in this dataset: a metric is a variable with <name>_reason beside it")
    return names


def metric_names(dataset: xr.Dataset) -> list[str]:
    """Slugs of the metrics, each once: ``kl`` for the variables ``kl_a_to_b`` and ``kl_b_to_a``."""
    return list(dict.fromkeys(_slug(dataset, name) for name in variable_names(dataset)))


def _slug(dataset: xr.Dataset, variable: str) -> str:
    return str(dataset[variable].attrs.get(ATTR_SLUG, variable))


def variables_of(dataset: xr.Dataset, slug: str) -> list[str]:
    """Variables of a metric; the name of a variable stands for that one alone."""
    names = variable_names(dataset)
    return [slug] if slug in names else [name for name in names if _slug(dataset, name) == slug]


def metric_rows(dataset: xr.Dataset, slug: str) -> xr.DataArray:
    """Values of a metric along ``pair``: at each stands f(model_a, model_b).

    A directed metric has every pair twice, the other way round the second time.
    """
    names = variables_of(dataset, slug)
    if names == [slug]:
        return dataset[slug]
    parts = []
    for name in names:
        part = dataset[name]
        ends = {str(end): (PAIR, part[end].values) for end in part.coords if part[end].dims == (PAIR,)}
        if part.attrs.get(ATTR_WAY) == WAYS[1]:  # what is known of model a is of model b here
            ends |= {f"{end[:-1]}b": ends[end] for end in ends if end.endswith("_a")} | {
                f"{end[:-1]}a": ends[end] for end in ends if end.endswith("_b")
            }
        parts.append(part.assign_coords(ends))
    rows = xr.concat(
        parts, PAIR, coords="minimal", compat="override", join="exact", combine_attrs="drop_conflicts"
    )
    return rows.rename(slug)


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


def metric_slug(dataset: xr.Dataset, metric: str | Metric | None) -> str:
    """Find a metric that is given by its slug, its spec (``ssim:window=11``), itself, or as the only one.

    Raises
    ------
    UsageError
        If the dataset does not have it, or has several and none is given.
    """
    names = metric_names(dataset)
    if metric is None:
        if len(names) > 1:
            raise UsageError(f"name one of the metrics: {', '.join(names)}")
        return names[0]
    wanted = metric if isinstance(metric, str) else metric.slug
    for name in variable_names(dataset):
        if wanted in (name, _slug(dataset, name), dataset[name].attrs.get("spec")):
            return _slug(dataset, name)
    raise UsageError(f"no metric {wanted!r} here; there are {', '.join(names)}")


def model_names(dataset: xr.Dataset) -> list[str]:
    """Models of scores or of a summary, in the order they were given."""
    if "models" in dataset.attrs:
        names = dataset.attrs["models"]
        return [names] if isinstance(names, str) else [str(name) for name in names]  # NetCDF unpacks one
    both = np.stack([dataset[MODEL_A].values, dataset[MODEL_B].values], axis=1)
    return [str(name) for name in dict.fromkeys(both.ravel().tolist())]


def cells(dataset: xr.Dataset, slug: str) -> NDArray[np.intp]:
    """Which of :func:`metric_rows` is which cell of the metric's matrix.

    Returns
    -------
    (model, model) int
        Row of f(a, b), or of f(b, a) if the metric is not directed; -1 where there is none.
    """
    rows, models = metric_rows(dataset, slug), model_names(dataset)
    a, b = _ends(rows, models)
    row = np.full((len(models),) * 2, -1, np.intp)
    if rows.attrs.get("symmetry") != "directed":
        row[b, a] = np.arange(len(a))
    row[a, b] = np.arange(len(a))
    return row


def negated(dataset: xr.Dataset, slug: str) -> NDArray[np.bool_]:
    """Which cells of an antisymmetric metric hold -f(b, a): (model, model)."""
    rows, models = metric_rows(dataset, slug), model_names(dataset)
    a, b = _ends(rows, models)
    turned = np.zeros((len(models),) * 2, bool)
    turned[b, a] = rows.attrs.get("symmetry") == "antisymmetric"
    return turned


def _ends(rows: xr.DataArray, models: list[str]) -> list[NDArray[np.intp]]:
    place = {name: i for i, name in enumerate(models)}
    return [np.array([place[str(name)] for name in rows[end].values], np.intp) for end in (MODEL_A, MODEL_B)]


def matrix_of(dataset: xr.Dataset, slug: str, values: NDArray[np.float64]) -> Floats:
    """Put one number for each of :func:`metric_rows` into its (model, model) cells."""
    row = cells(dataset, slug)
    matrix = np.full(row.shape, np.nan)
    matrix[row >= 0] = values[row[row >= 0]]
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
    rows : slice
        Of :func:`metric_rows`.
    values : (row, image) float64

    Raises
    ------
    BudgetError
        If a single pair does not fit.
    """
    variable = metric_rows(scores, slug).transpose(PAIR, IMAGE)
    pairs, images = variable.shape
    held = 8 * images
    work = DESCRIBE_BYTES * images + row_bytes
    step = int(memory / 2 // max(work, 1))
    if step < 1:
        raise BudgetError(
            f"a pair's {slug} on {images:,} images takes {format_bytes(2 * work)}, and "
            f"{format_bytes(memory)} were given; give more memory"
        )
    # Whole blocks, so that scores in memory and on disk are handed out alike.
    ranges = max(1, pairs) if variable.chunks is None else step * max(1, memory // 4 // max(held, 1) // step)
    for start in range(0, max(1, pairs), ranges):
        some = variable.isel({PAIR: slice(start, start + ranges)})
        # A chunk is read with all its pairs, however few of them are wanted.
        values = _load(some, 2 * 8 * pairs, memory // 4)
        for first in range(0, max(1, some.sizes[PAIR]), step):
            block = values[first : first + step]
            yield slice(start + first, start + first + len(block)), block


def _load(variable: xr.DataArray, image_bytes: int, memory: int) -> Floats:
    """Read some pairs of a metric into their place, as many chunks at a time as fit: (pair, image)."""
    if variable.chunks is None:
        return np.asarray(variable.values, np.float64)
    values = np.empty(variable.shape)
    size = max(max(variable.chunks[-1], default=1), memory // max(image_bytes, 1))
    for start in range(0, values.shape[-1], size):
        part = slice(start, start + size)
        values[:, part] = variable.isel({IMAGE: part}).values
    return values


def name_order(scores: xr.Dataset) -> NDArray[np.intp]:
    """Positions of the images in the order of their names."""
    return np.argsort(scores[IMAGE].values.astype(str), kind="stable")
