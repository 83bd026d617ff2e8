"""The difference of each pair's mean between two groups of images, such as right and wrong ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from salzarr.errors import UsageError, listed
from salzarr.schema import IMAGE, MODEL_A, MODEL_B
from salzarr.scores.labels import groups_of
from salzarr.statistics.rows import ScoreReader, metric_names, metric_rows
from salzarr.statistics.two_groups import difference
from salzarr.units import Units


def compare_groups(
    scores: xr.Dataset | ScoreReader,
    column: str,
    *,
    units: Units | None = None,
    repeats: int = 2000,
    permutations: int = 9999,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return by how much the mean of each pair differs between two groups of images.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`, with labels of the images.
    column : str
        Column of the labels, with two values.
    units : Units, optional
        Of the images, which are drawn and relabeled together; each image alone by default.
    repeats, permutations : int
        Resamples of the interval, and permutations of the test.
    confidence : float
    seed : int

    Returns
    -------
    DataFrame
        One row per metric and pair: ``metric, model_a, model_b, group_1, group_2``; ``units_1, units_2``,
        units of images in each; ``difference``, the mean of group_1 less that of group_2 in the metric's
        unit, with ``low, high``, its interval over units; ``p``, two-sided, by labels permuted over units,
        empty where units have images of both groups; ``q``, the same as a false discovery rate over all rows.

    Raises
    ------
    UsageError
        If the column does not have two values.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> maps = {name: rng.random((40, 8, 8)) for name in ("a", "b")}
    >>> maps["b"][:20] = maps["a"][:20]
    >>> scores = salzarr.compare(maps, "mse").assign_coords(right=("image", np.arange(40) < 20))
    >>> compare_groups(scores, "right")[["group_1", "group_2", "difference", "p"]].round(4)
      group_1 group_2  difference       p
    0   false    true      0.1755  0.0001
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    groups = groups_of(scores, column)
    if len(groups) != 2:
        raise UsageError(
            f"a difference is between two groups of images, and {column!r} has {len(groups)}: "
            f"{listed([*groups])}"
        )
    every = Units.by(scores[IMAGE].values.astype(str).tolist()) if units is None else units
    chosen = np.sort(np.concatenate([*groups.values()]))
    units = every.choose(chosen)
    names = [*groups]
    first = np.isin(chosen, groups[names[0]])
    frames = []
    for slug in metric_names(scores):
        ends = metric_rows(scores, slug)
        row = 0
        for values in reader.blocks(slug, row_bytes=32.0 * repeats):
            where = slice(row, row + len(values))
            row += len(values)
            found = difference(
                values[:, chosen],
                first,
                units,
                repeats=repeats,
                permutations=permutations,
                confidence=confidence,
                seed=seed,
            )
            frame = {
                "metric": slug,
                MODEL_A: ends[MODEL_A].values[where],
                MODEL_B: ends[MODEL_B].values[where],
                "group_1": names[0],
                "group_2": names[1],
                "units_1": found.units_1,
                "units_2": found.units_2,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
            }
            frames.append(pd.DataFrame(frame))
    table = pd.concat(frames, ignore_index=True)
    known = table["p"].notna().to_numpy()
    table["q"] = np.nan
    if known.any():
        table.loc[known, "q"] = stats.false_discovery_control(table["p"].to_numpy(np.float64)[known])
    return table
