"""Scores as rows of numbers: which variables are metrics, which row is which pair, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from dask.utils import format_bytes
from numpy.typing import NDArray

from salzarr.descriptive import DESCRIBE_BYTES, Floats
from salzarr.errors import BudgetError, UsageError
from salzarr.metrics.metric import Metric
from salzarr.plan import MEMORY
from salzarr.schema import ATTR_SLUG, ATTR_WAY, IMAGE, MODEL_A, MODEL_B, PAIR, STATISTIC, WAYS, reason_name


def variable_names(dataset: xr.Dataset) -> list[str]:
    """Return the variables of pairs, those with a ``<variable>_reason`` beside them.

    Raises
    ------
    UsageError
        If there is none.
    """
    names = [str(name) for name in dataset.data_vars if reason_name(str(name)) in dataset]
    if not names:
        raise UsageError("no metric in this dataset: a metric is a variable with a <name>_reason beside it")
    return names


def metric_names(dataset: xr.Dataset) -> list[str]:
    """Return the slugs of the metrics: ``kl`` for the variables ``kl_a_to_b`` and ``kl_b_to_a``."""
    return list(dict.fromkeys(_slug(dataset, name) for name in variable_names(dataset)))


def _slug(dataset: xr.Dataset, variable: str) -> str:
    return str(dataset[variable].attrs.get(ATTR_SLUG, variable))


def variables_of(dataset: xr.Dataset, slug: str) -> list[str]:
    """Return the variables of a metric; the name of a variable stands for that one alone."""
    names = variable_names(dataset)
    return [slug] if slug in names else [name for name in names if _slug(dataset, name) == slug]


def metric_rows(dataset: xr.Dataset, slug: str) -> xr.DataArray:
    """Return the values f(model_a, model_b) of a metric along ``pair``.

    A directed metric has every pair twice, the second time with its models swapped.
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
    """Refuse a dataset that is no summary.

    Raises
    ------
    UsageError
        If the dataset has no statistics.
    """
    if STATISTIC not in dataset.coords:
        raise UsageError("expected a summary from salzarr.summarize(scores), not scores")


def metric_slug(dataset: xr.Dataset, metric: str | Metric | None) -> str:
    """Return the slug of a metric, given by slug, spec (``ssim:window=11``), itself, or as the only one.

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
    raise UsageError(f"no metric {wanted!r}; there are {', '.join(names)}")


def model_names(dataset: xr.Dataset) -> list[str]:
    """Return the models of scores or of a summary, in the order they were given."""
    if "models" in dataset.attrs:
        names = dataset.attrs["models"]
        return [names] if isinstance(names, str) else [str(name) for name in names]  # NetCDF unpacks one
    both = np.stack([dataset[MODEL_A].values, dataset[MODEL_B].values], axis=1)
    return [str(name) for name in dict.fromkeys(both.ravel().tolist())]


def cells(dataset: xr.Dataset, slug: str) -> NDArray[np.intp]:
    """Return which of :func:`metric_rows` is which cell of the metric's matrix.

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
    """Return which cells of an antisymmetric metric hold -f(b, a): (model, model)."""
    rows, models = metric_rows(dataset, slug), model_names(dataset)
    a, b = _ends(rows, models)
    turned = np.zeros((len(models),) * 2, bool)
    turned[b, a] = rows.attrs.get("symmetry") == "antisymmetric"
    return turned


def _ends(rows: xr.DataArray, models: list[str]) -> list[NDArray[np.intp]]:
    place = {name: i for i, name in enumerate(models)}
    return [np.array([place[str(name)] for name in rows[end].values], np.intp) for end in (MODEL_A, MODEL_B)]


def matrix_of(dataset: xr.Dataset, slug: str, values: NDArray[np.float64]) -> Floats:
    """Return the (model, model) matrix of one number for each of :func:`metric_rows`."""
    row = cells(dataset, slug)
    matrix = np.full(row.shape, np.nan)
    matrix[row >= 0] = values[row[row >= 0]]
    return matrix


@dataclass(frozen=True)
class ScoreReader:
    """Scores with the memory that may be used to read and reduce them.

    Every statistic takes scores, which have 1 GiB, or a reader of them.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare` or :func:`salzarr.open_scores`.
    memory : int
        Bytes, beside the one or two stored chunks that are being read. The less it is, the more often all
        chunks are read.
    """

    scores: xr.Dataset
    memory: int = MEMORY

    @classmethod
    def of(cls, scores: xr.Dataset | ScoreReader) -> ScoreReader:
        """Return a reader; lazy scores that fit half the memory are computed, all metrics at once."""
        reader = cls(scores) if isinstance(scores, xr.Dataset) else scores
        if not isinstance(reader, ScoreReader):
            raise UsageError(
                f"expected the scores of salzarr.compare(maps, metrics), not a {type(scores).__name__}"
            )
        small = reader.scores.nbytes <= reader.memory // 2
        return replace(reader, scores=reader.scores.compute()) if small else reader

    def blocks(self, slug: str, row_bytes: float = 0.0) -> Iterator[Floats]:
        """Walk :func:`metric_rows`, as many (row, image) at a time as the memory allows.

        A stored chunk holds all pairs of some images, so that each range of rows takes a pass through all
        chunks: a range is as large as it fits, and handed out in smaller blocks. ``row_bytes`` is what the
        caller needs per row beyond :data:`~salzarr.descriptive.DESCRIBE_BYTES` per image.

        Raises
        ------
        BudgetError
            If a single row does not fit.
        """
        variable = metric_rows(self.scores, slug).transpose(PAIR, IMAGE)
        rows, images = variable.shape
        work = DESCRIBE_BYTES * images + row_bytes
        step = int(self.memory / 2 // max(work, 1))
        if step < 1:
            raise BudgetError(
                f"{slug} of one pair on {images:,} images takes {format_bytes(2 * work)}, more than the "
                f"{format_bytes(self.memory)} allowed; give more memory"
            )
        # Whole blocks, so that scores in memory and on disk are handed out alike.
        read = max(1, self.memory // 4 // max(8 * images, 1) // step) * step
        read = max(1, rows) if variable.chunks is None else read
        for start in range(0, max(1, rows), read):
            values = self._load(variable.isel({PAIR: slice(start, start + read)}), rows)
            for first in range(0, max(1, len(values)), step):
                yield values[first : first + step]

    def _load(self, some: xr.DataArray, rows: int) -> Floats:
        """Read some rows, as many chunks of images at a time as fit: a chunk is read with all its rows."""
        if some.chunks is None:
            return np.asarray(some.values, np.float64)
        values = np.empty(some.shape)
        size = max(max(some.chunks[-1], default=1), self.memory // 4 // max(16 * rows, 1))
        for start in range(0, values.shape[-1], size):
            part = slice(start, start + size)
            values[:, part] = some.isel({IMAGE: part}).values
        return values
