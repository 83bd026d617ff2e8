"""How well one half of the images predicts the matrix of the other half."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.descriptive import Floats, mean
from salzarr.schema import IMAGE
from salzarr.statistics.ceilings import correlations
from salzarr.statistics.rows import ScoreReader, metric_names
from salzarr.units import Units, ratio


def split_half(
    scores: xr.Dataset | ScoreReader,
    *,
    units: Units | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Return how well one half of the units of images predicts the matrix of the other half.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    units : Units, optional
        Units of the images, which stay in one half; by default each image is one.
    repeats : int
        Number of random splits of the units into halves.
    seed : int

    Returns
    -------
    Dataset
        ``reliability`` (metric): the correlation r over pairs between the means of two halves, averaged over
        splits and stepped up to the full number of images by Spearman and Brown's formula 2 r / (1 + r) (an
        r below 0 stays as it is); ``splits_low``, ``splits_high`` (metric): the 2.5 and 97.5 % quantiles of
        the same over the splits, which are no confidence interval; ``units``. 1
        says that other images of the kind would give the same matrix; NaN below three pairs or two units.
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    units = Units.by(scores[IMAGE].values.astype(str).tolist()) if units is None else units
    rng = np.random.default_rng(seed)
    halves = np.zeros((repeats, -(-units.count // 8)), np.uint8)  # a bit for each unit
    for split in halves:
        chosen = np.zeros(units.count, bool)
        chosen[rng.permutation(units.count)[: units.count // 2]] = True
        split[:] = np.packbits(chosen)
    step = max(1, reader.memory // (64 * max(1, units.count)))  # splits that are numbers at a time
    found = []
    for slug in metric_names(scores):
        rows = [
            (_means_of(halves, values, units, step), _means_of(~halves, values, units, step))
            for values in reader.blocks(slug, row_bytes=32.0 * repeats)
        ]
        first, second = (np.concatenate(half, axis=1) for half in zip(*rows, strict=True))
        r = correlations(first, second)
        r = r[np.isfinite(r)]
        spread = np.array([r.mean(), *np.quantile(r, [0.025, 0.975])] if len(r) else [np.nan] * 3)
        found.append(np.where(spread > 0, 2 * spread / (1 + np.abs(spread)), spread))
    names = ("reliability", "splits_low", "splits_high")
    columns = np.array(found).reshape(-1, 3).T
    return xr.Dataset(
        {name: ("metric", column) for name, column in zip(names, columns, strict=True)}
        | {"units": ("metric", np.full(len(found), units.count))},
        coords={"metric": metric_names(scores)},
        attrs={"repeats": repeats, "seed": seed},
    )


def _means_of(chosen: NDArray[np.uint8], values: Floats, units: Units, step: int) -> Floats:
    """Mean of each row over each choice of units, a bit each, some choices at a time: (choice, row)."""
    center = mean(values)
    sums, sizes = units.totals(values - np.where(np.isnan(center), 0.0, center)[:, None])
    found = []
    for start in range(0, len(chosen), step):
        weights = np.unpackbits(chosen[start : start + step], axis=1, count=units.count).astype(np.float64)
        found.append(center + ratio(weights @ sums.T, weights @ sizes.T))
    return np.concatenate(found)
