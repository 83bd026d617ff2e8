"""From scores of pairs and images to tables and matrices: what everything after a comparison starts with.

A summary mirrors the scores: one variable per metric, with a dimension ``statistic`` in place of ``image``;
beside it ``<metric>_reason``, the number of images per reason; and a dimension ``group`` if groups are given.
"""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from salzarr.bootstrap import warn_if_few
from salzarr.descriptive import STATISTICS, Floats, describe
from salzarr.errors import UsageError, file_named
from salzarr.metrics.metric import Metric
from salzarr.schema import (
    ATTR_KIND,
    IMAGE,
    MODEL_A,
    MODEL_B,
    PAIR,
    REASON,
    STATISTIC,
    Reason,
    reason_name,
)
from salzarr.scores.labels import GROUP, groups_of, units_of
from salzarr.statistics.intervals import of_means, of_medians, standard_error
from salzarr.statistics.rows import (
    ScoreReader,
    matrix_of,
    metric_rows,
    metric_slug,
    model_names,
    negated,
    require_summary,
    variable_names,
)
from salzarr.units import Units

UNSCORED = tuple(reason for reason in Reason if reason is not Reason.SCORED)
INTERVALS = ("units", "mean_low", "mean_high", "median_low", "median_high")
"""Statistics that intervals add, in this order."""
DATA_RANGE = "data_range"
"""Column of the range that a metric was given; empty for one that takes none."""
INTERVAL = "interval"
"""Name of what says of which kind the interval of a mean is."""
NO_SELF = {"n", "units", "std", "se", "score", "baseline", "constant_model"}
"""Statistics for which a model against itself has no value; the last three are those of a chance baseline."""
_ENDS = (("min", "max"), ("q25", "q75"), ("mean_low", "mean_high"), ("median_low", "median_high"))
OPPOSITE = {one: other for ends in _ENDS for one, other in (ends, ends[::-1])}
"""The statistic of a score that is the negative of the statistic of the negated score."""


def summarize(
    scores: xr.Dataset | ScoreReader,
    *,
    group_by: str | None = None,
    units: Units | str | None = None,
    bootstrap: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Reduce scores over images.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        As :func:`salzarr.compare` makes them: per variable its scores (pair, image) and ``<variable>_reason``
        (pair, image). Dask-backed scores are computed a variable and a range of pairs at a time if they do
        not fit.
    group_by : str, optional
        Column of the labels of the images: gives every statistic per group of images, along a further
        dimension ``group``.
    units : str or Units, optional
        Column of the labels: images of one unit belong together, and are drawn together. Units that weigh the
        same (``equal``) are reduced to their means, and all statistics are of these.
    bootstrap : int
        Number of resamples of the units; with 0 there are no intervals.
    confidence : float
        Confidence of the intervals, between 0 and 1.
    seed : int
        Seed of the resamples, which are the same for every pair and metric and in any order of the images.

    Returns
    -------
    Dataset
        Per variable of the scores (statistic, pair) float64, with the statistics
        ``n, mean, std, se, min, q25, median, q75, max`` (std with divisor n - 1; se, the standard error of
        the mean, from what units vary). With ``bootstrap`` also ``units``, how many have a score, ``mean_low,
        mean_high, median_low, median_high``, the ends of intervals over units, and a variable
        ``<variable>_interval`` (pair), the kind of the mean's interval: studentized, bca or percentile; see
        :mod:`salzarr.statistics.intervals`. And ``<variable>_reason`` (reason, pair) int64, the number of
        images without a score, by reason. A pair without any score has n = 0 and NaN elsewhere.

    Raises
    ------
    BudgetError
        If a single pair does not fit the memory.
    UsageError, InputError
        If there is no such column of labels, or no image has a label in it.

    Warns
    -----
    SmallSampleWarning
        If intervals were asked for and a pair has fewer than 12 images or units.

    Examples
    --------
    >>> import salzarr
    >>> dark, light = np.zeros((3, 8, 8)), np.ones((3, 8, 8))
    >>> scores = salzarr.compare({"a": dark, "b": light, "c": light}, "mse")
    >>> summarize(scores).mse.sel(statistic=["n", "mean"]).values
    array([[3., 3., 3.],
           [1., 1., 0.]])
    """
    if bootstrap < 0 or not 0 < confidence < 1:
        raise UsageError(
            f"bootstrap={bootstrap} must be 0 or more, and confidence={confidence} within 0 and 1"
        )
    reader = ScoreReader.of(scores)
    scores = reader.scores
    every = units if isinstance(units, Units) else units_of(scores, units)
    members = {"": np.arange(len(every.of))} if group_by is None else groups_of(scores, group_by)
    statistics = [*STATISTICS, *(INTERVALS if bootstrap else ())]
    reduce = partial(_reduce, repeats=bootstrap, confidence=confidence, seed=seed)

    variables: dict[str, xr.DataArray] = {}
    for name in variable_names(scores):
        found = [
            [reduce(values[:, chosen], every.choose(chosen)) for chosen in members.values()]
            for values in reader.blocks(name, row_bytes=96.0 * bootstrap)
        ]
        numbers = np.concatenate([np.stack([of for of, _ in block]) for block in found], axis=2)
        dims = [GROUP, STATISTIC, PAIR]
        variables[name] = xr.DataArray(numbers, dims=dims, attrs=scores[name].attrs)
        if bootstrap:
            kinds = np.concatenate([np.stack([kind for _, kind in block]) for block in found], axis=1)
            variables[f"{name}_{INTERVAL}"] = xr.DataArray(kinds, dims=[GROUP, PAIR])
        variables[reason_name(name)] = _count_reasons(scores[reason_name(name)], members, reader.memory)
        _warn_of_ties(scores, name)
    summary = xr.Dataset(
        variables,
        coords={
            GROUP: list(members),
            STATISTIC: statistics,
            REASON: [reason.label for reason in UNSCORED],
            MODEL_A: (PAIR, scores[MODEL_A].values),
            MODEL_B: (PAIR, scores[MODEL_B].values),
        },
        attrs={**scores.attrs, ATTR_KIND: "summary", "models": model_names(scores)},
    )
    if bootstrap:
        counts = summary[variable_names(summary)].sel({STATISTIC: "units"})
        counted = np.concatenate([variable.values.ravel() for variable in counts.values()])
        warn_if_few(counted, "images" if every.alone else "units of images")
        settings = {"repeats": bootstrap, "confidence": confidence, "seed": seed}
        summary.attrs["bootstrap"] = json.dumps(settings)
    return summary.isel({GROUP: 0}, drop=True) if group_by is None else summary


def _reduce(
    values: Floats, units: Units, *, repeats: int, confidence: float, seed: int
) -> tuple[Floats, NDArray[np.str_]]:
    """Statistics of (row, image) values: (statistic, row); and the kind of each row's interval: (row,)."""
    if units.equal:
        values, units = units.means(values), units.singles()
    found = describe(values)
    if not units.alone:
        found[STATISTICS.index("se")] = standard_error(values, units)
    if not repeats:
        return found, np.full(len(values), "", "<U12")
    mean = of_means(values, units, repeats=repeats, confidence=confidence, seed=seed)
    median = of_medians(values, units, repeats=repeats, confidence=confidence, seed=seed)
    ends = [mean.units.astype(np.float64), mean.low, mean.high, median.low, median.high]
    return np.concatenate([found, np.stack(ends)]), mean.method


MANY_TIES = 0.05
"""Share of pixels tied at a metric's cut from which its scores are far from those of maps without ties."""


def _warn_of_ties(scores: xr.Dataset, slug: str) -> None:
    """Warn of a metric of the largest pixels whose cut goes through many equal ones."""
    name = f"{slug}_tied"
    if "tied" not in scores[slug].attrs.get("companions", ()) or name not in scores:
        return
    share = float(scores[name].mean())  # a chunk at a time, if it is lazy
    if share > MANY_TIES:
        warnings.warn(
            f"{scores[slug].attrs['spec']}: on average {share:.0%} of the pixels tie where the "
            "largest are cut off, and belong by a share, so that a map scores less than 1 with itself "
            f"(the scores' {slug}_self); a metric that needs no cut, such as spearman, loses nothing to ties",
            UserWarning,
            stacklevel=3,
        )


def _count_reasons(
    reason: xr.DataArray, members: Mapping[str, NDArray[np.intp]], memory: int
) -> xr.DataArray:
    """Count the images per reason: (group, reason, pair)."""
    step = max(1, memory // (8 * max(1, reason.sizes[IMAGE])))
    counted = []
    for start in range(0, max(1, reason.sizes[PAIR]), step):
        block = reason.isel({PAIR: slice(start, start + step)}).transpose(PAIR, IMAGE).values
        groups = [block[:, chosen] for chosen in members.values()]
        counted.append([[np.count_nonzero(group == why, axis=1) for why in UNSCORED] for group in groups])
    return xr.DataArray(np.concatenate(counted, axis=2), dims=[GROUP, REASON, PAIR], attrs=reason.attrs)


def data_range(attrs: Mapping[Any, Any]) -> float | None:
    """Return the one range of the data that a metric such as SSIM was given; None if it takes none."""
    found = json.loads(attrs.get("parameters", "{}")).get("data_range")
    return None if found is None else float(found)


def to_matrix(summary: xr.Dataset, metric: str | Metric, statistic: str = "mean") -> xr.DataArray:
    """Arrange one statistic of a metric as a matrix of the models.

    Parameters
    ----------
    summary : Dataset
        From :func:`summarize`.
    metric : str or Metric
        By slug, spec or itself.
    statistic : str
        One of the summary's.

    Returns
    -------
    DataArray (model_a, model_b) float64
        Row a, column b holds f(a, b); NaN where the pair was not compared or has no score. On the diagonal
        stands the metric's score of a map with itself, and NaN for n and for spreads. The coordinate ``n``
        says over how many images each cell is.

    Raises
    ------
    UsageError
        If there is no such metric or statistic, or if the summary still has groups.

    Examples
    --------
    >>> import salzarr
    >>> dark, light = np.zeros((3, 8, 8)), np.ones((3, 8, 8))
    >>> scores = salzarr.compare({"a": dark, "b": light, "c": light}, "mse")
    >>> to_matrix(summarize(scores), "mse", "median").values
    array([[0., 1., 1.],
           [1., 0., 0.],
           [1., 0., 0.]])
    """
    require_summary(summary)
    slug = metric_slug(summary, metric)
    variable = metric_rows(summary, slug)
    if GROUP in variable.dims:
        raise UsageError("a matrix shows one group: choose it first with summary.sel(group=...)")
    known = [str(name) for name in summary[STATISTIC].values]
    if statistic not in known:
        raise UsageError(f"no statistic {statistic!r} in this summary; it has {', '.join(known)}")
    matrix = matrix_of(summary, slug, variable.sel({STATISTIC: statistic}).values)
    if (lower := negated(summary, slug)).any() and statistic not in NO_SELF:
        opposite = variable.sel({STATISTIC: OPPOSITE.get(statistic, statistic)}).values
        matrix = np.where(lower, -matrix_of(summary, slug, opposite), matrix)
    own = np.nan if statistic in NO_SELF else float(variable.attrs.get("self_value", np.nan))
    np.fill_diagonal(matrix, own)
    models = model_names(summary)
    counts = matrix_of(summary, slug, variable.sel({STATISTIC: "n"}).values)
    return xr.DataArray(
        matrix,
        dims=[MODEL_A, MODEL_B],
        coords={MODEL_A: models, MODEL_B: models, "n": ((MODEL_A, MODEL_B), counts)},
        name=slug,
        attrs={**variable.attrs, "statistic": statistic},
    )


def to_frame(summary: xr.Dataset) -> pd.DataFrame:
    """Lay a summary out as a table, one row per variable, group and pair.

    Parameters
    ----------
    summary : Dataset
        From :func:`summarize`.

    Returns
    -------
    DataFrame
        Columns metric, group (if there are groups), model_a, model_b, n, units, one per reason, the other
        statistics, what else is known of each pair, and the confidence of the intervals, if there are any.
        The column metric names the variable: ``kl_a_to_b`` is KL(model_a || model_b).
    """
    if GROUP not in summary.dims:
        return to_frame(summary.expand_dims({GROUP: [""]})).drop(columns=GROUP)
    first, second = summary[MODEL_A].values, summary[MODEL_B].values
    beside = {
        str(name): coord.values
        for name, coord in summary.coords.items()
        if coord.dims == (PAIR,) and name not in (MODEL_A, MODEL_B)
    }
    if "bootstrap" in summary.attrs:
        beside[CONFIDENCE] = json.loads(summary.attrs["bootstrap"])[CONFIDENCE]
    frames = []
    for name in variable_names(summary):
        for label in summary[GROUP].values:
            variable = summary[name].sel({GROUP: label})
            reasons = summary[reason_name(name)].sel({GROUP: label})
            names = {"metric": name, GROUP: str(label), MODEL_A: first, MODEL_B: second}
            counts = {str(why): reasons.sel({REASON: why}).values for why in summary[REASON].values}
            statistics = {str(s): variable.sel({STATISTIC: s}).values for s in summary[STATISTIC].values}
            counted = [key for key in ("n", "units") if key in statistics]
            whole: dict[str, NDArray[np.int64]] = {
                key: statistics.pop(key).astype(np.int64) for key in counted
            }
            if (span := data_range(summary[name].attrs)) is not None:
                statistics |= {DATA_RANGE: np.full(len(first), span)}
            if f"{name}_{INTERVAL}" in summary:
                statistics |= {INTERVAL: summary[f"{name}_{INTERVAL}"].sel({GROUP: label}).values}
            frames.append(pd.DataFrame({**names, **whole, **counts, **statistics, **beside}))
    return pd.concat(frames, ignore_index=True)


# -- The table as a file ------------------------------------------------------------------------------------

CONFIDENCE = "confidence"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""Beginnings of a cell that a spreadsheet would run; the last one so that the prefix can be undone."""


def write_csv(summary: xr.Dataset, path: str | PathLike[str]) -> None:
    """Write the table of :func:`to_frame` as a CSV file that is safe to open in a spreadsheet.

    Numbers are written in full, NaN as an empty cell. A name that a spreadsheet would run as a formula (it
    begins with ``= + - @``, a tab or the end of a line) gets a leading ``'``.

    Parameters
    ----------
    summary : Dataset
        From :func:`summarize`.
    path : path
        Replaced if it exists.
    """
    write_table(to_frame(summary), path)


def write_table(table: pd.DataFrame, path: str | PathLike[str]) -> None:
    """Write any table as :func:`write_csv` does."""

    def text(cell: object) -> str:
        if isinstance(cell, str):
            return f"'{cell}" if cell.startswith(FORMULA) else cell
        if isinstance(cell, float):
            return "" if math.isnan(cell) else repr(cell + 0.0)  # no -0.0
        return repr(cell)

    columns = [[text(cell) for cell in table[name].tolist()] for name in table.columns]
    with (
        file_named(path),
        Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        # Python's writer quotes a carriage return in a name only if it is to end lines with one.
        lines = SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
        writer = csv.writer(lines)
        writer.writerow(map(text, table.columns))
        writer.writerows(zip(*columns, strict=True))
