"""The images on which models agree and disagree, overall and pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from salzarr.descriptive import Floats, mean
from salzarr.schema import IMAGE, MODEL_A, MODEL_B, PAIR
from salzarr.statistics.rows import (
    ScoreReader,
    metric_names,
    metric_rows,
    model_names,
    variable_names,
    variables_of,
)

Variables = dict[str, tuple[tuple[str, ...], NDArray[Any]]]


END, PLACE = "end", "place"
ENDS = ("least_alike", "most_alike")


def rank_images(scores: xr.Dataset | ScoreReader) -> xr.Dataset:
    """Rank the images by how much the models disagree on them.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        From :func:`salzarr.compare`.

    Returns
    -------
    Dataset
        Per metric ``<slug>`` (image), the mean score over pairs; ``<slug>_n`` (image), the number of pairs
        with a score; and ``<slug>_rank`` (image), 1 where the models disagree most (ties share the mean of
        their ranks). ``rank`` (image) is the mean of the metrics' ranks. Where some pairs have no score on an
        image, its mean is that of the other pairs' departures from their own means, so that an outlying
        model's missing map does not make an image look agreed upon. NaN for an image without scores.
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    found: dict[str, xr.DataArray] = {}
    for slug in metric_names(scores):
        departures, known = np.zeros(scores.sizes[IMAGE]), np.zeros(scores.sizes[IMAGE])
        level, rows = 0.0, 0
        for values in reader.blocks(slug):
            own = mean(values)
            departures += np.nansum(values - own[:, None], axis=0)
            known += np.count_nonzero(~np.isnan(values), axis=0)
            level += float(np.nansum(own))
            rows += int(np.count_nonzero(~np.isnan(own)))
        with np.errstate(invalid="ignore", divide="ignore"):
            height = level / max(rows, 1) + departures / np.where(known > 0, known, np.nan)
        attrs = metric_rows(scores, slug).attrs
        alike = height if attrs["kind"] == "similarity" else -height
        found[slug] = xr.DataArray(height, dims=[IMAGE], attrs=attrs)
        pairs = known.astype(np.int64) // len(variables_of(scores, slug))
        found[f"{slug}_n"] = xr.DataArray(pairs, dims=[IMAGE])
        found[f"{slug}_rank"] = xr.DataArray(rankdata(alike, nan_policy="omit"), dims=[IMAGE])
    ranks = np.stack([found[f"{slug}_rank"].values for slug in metric_names(scores)])
    found["rank"] = xr.DataArray(mean(ranks.T.copy()), dims=[IMAGE])
    return xr.Dataset(found, coords={IMAGE: scores[IMAGE].values}, attrs={"models": model_names(scores)})


def extremes(scores: xr.Dataset | ScoreReader, k: int = 10) -> xr.Dataset:
    """Return the images on which each pair of models is least and most alike.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        From :func:`salzarr.compare`.
    k : int
        How many at each end.

    Returns
    -------
    Dataset
        Per variable ``<variable>_image`` (end, pair, place) int64, positions along the scores' images, -1
        past the last one that has a score; and ``<variable>_score``, NaN there. ``end`` is least_alike or
        most_alike, the most extreme image first.
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    k = min(k, scores.sizes[IMAGE])
    found: Variables = {}
    for slug in variable_names(scores):
        alike = 1.0 if scores[slug].attrs["kind"] == "similarity" else -1.0
        positions, extreme = [], []
        for values in reader.blocks(slug):
            order = np.argsort(alike * values, axis=1)  # NaNs last
            n = np.count_nonzero(~np.isnan(values), axis=1)[:, None]
            least, most = order[:, :k], np.take_along_axis(order, np.maximum(n - 1 - np.arange(k), 0), axis=1)
            both = np.where(np.arange(k) < n, np.stack([least, most]), -1)
            positions.append(both)
            taken = np.take_along_axis(values[None], both, axis=2)
            extreme.append(np.where(both < 0, np.nan, taken))
        for name, blocks in (("image", positions), ("score", extreme)):
            found[f"{slug}_{name}"] = (END, PAIR, PLACE), np.concatenate(blocks, axis=1)
    return _labeled(scores, found).assign_coords({END: list(ENDS)})


def histograms(scores: xr.Dataset | ScoreReader, bins: int = 40) -> xr.Dataset:
    """Count each pair's scores in bins that are the same for all pairs of a metric.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        From :func:`salzarr.compare`.
    bins : int

    Returns
    -------
    Dataset
        Per variable ``<variable>_count`` (pair, bin) int64, and per metric ``<slug>_edge`` (edge): bins + 1
        edges from the smallest score to the largest; the last bin holds its upper edge.
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    found: Variables = {}
    for slug in metric_names(scores):
        low, high = np.nan, np.nan
        for values in reader.blocks(slug):
            low = np.fmin(low, np.fmin.reduce(values, axis=None, initial=np.nan))
            high = np.fmax(high, np.fmax.reduce(values, axis=None, initial=np.nan))
        edges = np.histogram_bin_edges([], bins, (low, high) if low <= high else (0.0, 1.0))
        found[f"{slug}_edge"] = (("edge",), edges)
        for name in variables_of(scores, slug):
            counts = [_counts(values, edges) for values in reader.blocks(name)]
            found[f"{name}_count"] = (PAIR, "bin"), np.concatenate(counts)
    return _labeled(scores, found)


def _counts(values: Floats, edges: Floats) -> NDArray[np.intp]:
    """Count the values of each row in each bin: (row, bin)."""
    bins = len(edges) - 1
    # The bin of a score counts the inner edges at or below it; a NaN comes behind the last bin.
    bin_of = np.searchsorted(edges[1:-1], values, side="right")
    bin_of[np.isnan(values)] = bins
    bin_of += (bins + 1) * np.arange(len(values))[:, None]
    counted = np.bincount(bin_of.ravel(), minlength=(bins + 1) * len(values))
    return counted.reshape(-1, bins + 1)[:, :-1]


def _labeled(scores: xr.Dataset, found: Variables) -> xr.Dataset:
    """Return variables as a dataset with the pairs' models."""
    coords = {MODEL_A: (PAIR, scores[MODEL_A].values), MODEL_B: (PAIR, scores[MODEL_B].values)}
    return xr.Dataset(found, coords, {"models": model_names(scores)})
