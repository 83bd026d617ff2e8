"""What remains of scores beyond the chance baseline of :func:`salzarr.scores.mismatched.chance`."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.bootstrap import Method, interval, resampled_means, resamples, skew, warn_if_few
from salzarr.descriptive import Floats, mean
from salzarr.errors import UsageError
from salzarr.schema import (
    IMAGE,
    PAIR,
    STATISTIC,
    reason_name,
)
from salzarr.scores.mismatched import PARTNER
from salzarr.statistics.rows import ScoreReader, variable_names
from salzarr.statistics.summary import summarize

STATISTICS = ("n", "score", "baseline", "corrected", "corrected_low", "corrected_high")


def corrected(
    scores: xr.Dataset | ScoreReader,
    chance: xr.Dataset,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    method: Method = "bca",
    seed: int = 0,
) -> xr.Dataset:
    """Take the chance baseline out of the scores: (score - baseline) / (self - baseline).

    0 says that the models agree on an image no more than on two different ones, 1 that their maps are the
    same; below 0 they agree less. It is a ratio of means over images, not a mean of ratios, which a few
    images with a small denominator would decide.

    Parameters
    ----------
    scores, chance : Dataset
        Of :func:`salzarr.compare` and of :func:`chance`, on the same pairs and images.
    repeats : int
        Number of bootstrap resamples. What is drawn are the pairs of partners, each with the scores and the
        baselines of both images: those four depend on each other, and on nothing else.
    confidence, method, seed
        Of the interval, see :func:`salzarr.bootstrap.interval`.

    Returns
    -------
    Dataset
        As a summary, but with the statistics ``n`` (images with a score), ``score`` and ``baseline`` (means
        over images), ``corrected``, ``corrected_low`` and ``corrected_high``. The last three are NaN where
        the baseline is as good as the score of a map with itself, or a metric does not say what that is. Of
        every metric the corrected score is a similarity, 1 for a model with itself, and its attributes say
        so. :func:`salzarr.to_matrix` and :func:`salzarr.statistics.summary.to_frame` take it as any summary.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> middle = np.zeros((60, 8, 8))
    >>> middle[:, 3:5, 3:5] = 3
    >>> maps = {name: middle + rng.random(middle.shape) for name in ("a", "b")}
    >>> scores = salzarr.compare(maps, "pearson")  # two models that have only the middle in common
    >>> found = corrected(scores, chance(scores, maps))
    >>> found.pearson.sel(statistic=["score", "corrected"]).values.ravel().round(2).tolist()
    [0.87, 0.02]
    """
    reader = ScoreReader.of(scores)
    reader = replace(reader, memory=reader.memory // 2)  # for the scores, and as much for the baseline
    scores = reader.scores
    if scores[IMAGE].values.tolist() != chance[IMAGE].values.tolist():
        raise UsageError("the scores and the baseline have different images; compute the baseline again")
    place = {str(name): i for i, name in enumerate(chance[IMAGE].values)}
    partner = np.array([place[str(name)] for name in chance[PARTNER].values], np.intp)
    ring = np.stack([np.arange(len(partner)), partner, partner[partner]])
    _, unit = np.unique(ring.min(axis=0), return_inverse=True)
    variables, few = {}, []
    for slug in variable_names(chance):
        own = float(scores[slug].attrs.get("self_value", np.nan))
        parts = []
        readers = (reader, replace(reader, scores=chance))
        walk = (one.blocks(slug, row_bytes=64.0 * repeats) for one in readers)
        for matched, mismatched in zip(*walk, strict=True):
            found = _corrected(matched, mismatched, own, repeats, confidence, method, seed, unit)
            few.append(found[0])
            parts.append(found)
        attrs = {**scores[slug].attrs, "kind": "similarity", "self_value": 1.0, "unit": ""} | {
            "score_range": ["-inf", "1.0"],
            "definition": "(score - baseline) / (self - baseline), the baseline on mismatched images",
        }
        variables[slug] = xr.DataArray(np.concatenate(parts, axis=1), dims=[STATISTIC, PAIR], attrs=attrs)
    if repeats:
        warn_if_few(np.concatenate(few) // 2, "pairs of images")
    reasons = [reason_name(slug) for slug in variables]
    counted = summarize(replace(reader, scores=scores[[*variables, *reasons]]))
    counts = counted[reasons].drop_vars(STATISTIC, errors="ignore")
    settings = {"repeats": repeats, "confidence": confidence, "method": method, "seed": seed}
    attrs = {**counted.attrs, "bootstrap": json.dumps(settings)}
    return xr.Dataset(variables, {STATISTIC: list(STATISTICS)}, attrs).merge(counts)


def _corrected(
    matched: Floats,
    mismatched: Floats,
    own: float,
    repeats: int,
    confidence: float,
    method: Method,
    seed: int,
    unit: NDArray[np.intp],
) -> Floats:
    """Statistics of each row: (statistic, row)."""
    n = np.count_nonzero(~np.isnan(matched), axis=1).astype(np.float64)
    score, baseline = mean(matched), mean(mismatched)
    units = int(unit.max(initial=-1)) + 1
    batches = [
        _ratio(resampled_means(matched, weights), resampled_means(mismatched, weights), own)
        for weights in (drawn[:, unit] for drawn in resamples(units, repeats, seed))
    ]
    estimate = _ratio(score, baseline, own)
    acceleration = None
    if method == "bca":
        # How the ratio moves when an image's weight does, by way of either mean.
        room = np.where(np.isnan(estimate), np.nan, own - baseline)[:, None]
        by_score = (matched - score[:, None]) / np.maximum(n, 1)[:, None] / room
        known = np.maximum(np.count_nonzero(~np.isnan(mismatched), axis=1), 1)[:, None]
        by_baseline = (mismatched - baseline[:, None]) / known * (score[:, None] - own) / room**2
        influence = np.nan_to_num(by_score) + np.nan_to_num(by_baseline)
        of_unit = np.zeros((len(matched), units))
        np.add.at(of_unit.T, unit, influence.T)
        acceleration = skew(of_unit)
    low, high = interval(
        np.concatenate([np.empty((0, len(matched))), *batches]), confidence, estimate, acceleration
    )
    some = np.where((n > 1) & (units > 1) & ~np.isnan(estimate), 1.0, np.nan)
    return np.stack([n, score, baseline, estimate, low * some, high * some])


def _ratio(score: Floats, baseline: Floats, own: float) -> Floats:
    room = own - baseline
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.abs(room) > 1e-12 * max(abs(own), 1e-300), (score - baseline) / room, np.nan)
