"""What remains of scores beyond the chance baseline of :func:`salzarr.scores.mismatched.chance`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.bootstrap import warn_if_few
from salzarr.descriptive import Floats
from salzarr.errors import UsageError
from salzarr.schema import IMAGE, PAIR, STATISTIC, reason_name
from salzarr.scores.mismatched import DRAW, PARTNER
from salzarr.statistics import mismatches
from salzarr.statistics.rows import ScoreReader, variable_names
from salzarr.statistics.summary import summarize
from salzarr.units import Units

STATISTICS = (
    "n",
    "units",
    "score",
    "baseline",
    "corrected",
    "corrected_low",
    "corrected_high",
    "constant_model",
)


def corrected(
    scores: xr.Dataset | ScoreReader,
    chance: xr.Dataset,
    *,
    units: Units | None = None,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Take the chance baseline out of the scores: (score - baseline) / (self - baseline).

    0 says that the models agree on an image no more than on two different ones, 1 that their maps are the
    same; below 0 they agree less. It is a ratio of means over images, not a mean of ratios, which a few
    images with a small denominator would decide.

    Parameters
    ----------
    scores, chance : Dataset
        From :func:`salzarr.compare` and of :func:`salzarr.scores.chance`, on the same pairs and images.
    units : Units, optional
        Units of the images, those that ``chance`` was given; by default each image is one.
    repeats : int
        Number of bootstrap resamples of the units. What a unit moves is the sum over both of its roles, as
        images and as partners; see :func:`salzarr.statistics.mismatches.corrected`.
    confidence, seed
        Confidence of the interval.

    Returns
    -------
    Dataset
        As a summary, but with the statistics ``n`` (images with a score) and ``units`` of them, ``score`` and
        ``baseline`` (means over images), ``corrected``, ``corrected_low`` and ``corrected_high``, and
        ``constant_model``. The corrected ones are NaN where the baseline is as good as the score of a map
        with itself, or a metric does not say what that is. Where one model of a pair has the same map on all
        images, ``constant_model`` is 1: ``corrected`` is 0 by construction, and has no interval. Of every
        metric the corrected score is a similarity, 1 for a model with itself, and its attributes say so.
        :func:`salzarr.to_matrix` and :func:`salzarr.statistics.summary.to_frame` take it as any summary.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> middle = np.zeros((60, 8, 8))
    >>> middle[:, 3:5, 3:5] = 3
    >>> maps = {name: middle + rng.random(middle.shape) for name in ("a", "b")}
    >>> scores = salzarr.compare(maps, "pearson")  # two models that have only the middle in common
    >>> found = corrected(scores, salzarr.scores.chance(scores, maps))
    >>> found.pearson.sel(statistic=["score", "corrected"]).values.ravel().round(2).tolist()
    [0.87, -0.0]
    """
    reader = ScoreReader.of(scores)
    reader = replace(reader, memory=reader.memory // 2)  # for the scores, and as much for the baseline
    scores = reader.scores
    units = Units.by(scores[IMAGE].values.astype(str).tolist()) if units is None else units
    variables, few = {}, []
    for name in variable_names(chance):
        attrs, itself = scores[name].attrs, f"{name}_self"
        known = float(attrs.get("self_value", np.nan))
        # Where a map's score with itself depends on the map, it is stored beside the scores.
        own = np.asarray(scores[itself].values, np.float64) if itself in scores else None
        parts, row = [], 0
        for matched, mismatched, partners in walk_both(reader, chance, name, 64.0 * repeats):
            found = mismatches.corrected(
                matched,
                mismatched,
                partners,
                units,
                known if own is None else own[row : row + len(matched)],
                repeats=repeats,
                confidence=confidence,
                seed=seed,
            )
            row += len(matched)
            n = np.count_nonzero(~np.isnan(matched), axis=1)
            few.append(found.units.astype(np.float64))
            interval = [found.low, found.high]
            rows = [n, found.units, found.score, found.baseline, found.value, *interval, found.constant]
            parts.append(np.stack([row.astype(np.float64) for row in rows]))
        attrs = {**attrs, "kind": "similarity", "self_value": 1.0, "unit": ""} | {
            "score_range": ["-inf", "1.0"],
            "definition": "(score - baseline) / (self - baseline), the baseline on mismatched images",
        }
        variables[name] = xr.DataArray(np.concatenate(parts, axis=1), dims=[STATISTIC, PAIR], attrs=attrs)
    if repeats:
        warn_if_few(np.concatenate(few), "images" if units.alone else "units of images")
    reasons = [reason_name(name) for name in variables]
    counted = summarize(replace(reader, scores=scores[[*variables, *reasons]]))
    counts = counted[reasons].drop_vars(STATISTIC, errors="ignore")
    settings = {"repeats": repeats, "confidence": confidence, "seed": seed}
    attrs = {**counted.attrs, "bootstrap": json.dumps(settings), "draws": chance.sizes[DRAW]}
    return xr.Dataset(variables, {STATISTIC: list(STATISTICS)}, attrs).merge(counts)


def walk_both(
    reader: ScoreReader, chance: xr.Dataset, name: str, row_bytes: float
) -> Iterator[tuple[Floats, Floats, NDArray[np.intp]]]:
    """Walk the scores of a variable and their baseline, some rows at a time.

    Yields
    ------
    matched : (row, image) float64
    mismatched : (draw, row, image) float64
    partners : (draw, image) int

    Raises
    ------
    UsageError
        If they are of other images.
    """
    if reader.scores[IMAGE].values.tolist() != chance[IMAGE].values.tolist():
        raise UsageError("the scores and the baseline have different images; compute the baseline again")
    place = {str(image): i for i, image in enumerate(chance[IMAGE].values)}
    names = chance[PARTNER].transpose(DRAW, IMAGE).values
    partners = np.array([[place[str(other)] for other in of_draw] for of_draw in names], np.intp)
    # As many rows of each draw as of the scores: the memory is for one draw, and the others are there anyway.
    draws = [replace(reader, scores=chance.isel({DRAW: draw})) for draw in range(chance.sizes[DRAW])]
    blocks = [one.blocks(name, row_bytes=row_bytes) for one in (reader, *draws)]
    for matched, *mismatched in zip(*blocks, strict=True):
        yield matched, np.stack(mismatched), partners
