"""The chance baseline: how alike two models look on images that do not belong together.

Two models can agree on every image merely because both look at its middle. Their maps of *different* images
then agree as well; what agreement remains beyond that is about the images.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import plan
from salzarr.bootstrap import Method, interval, resampled_means, resamples, skew, warn_if_few
from salzarr.descriptive import Floats, mean
from salzarr.errors import UsageError
from salzarr.maps import Maps
from salzarr.schema import (
    DIRECTION,
    IMAGE,
    MODEL_A,
    MODEL_B,
    PAIR,
    STATISTIC,
    reason_name,
)
from salzarr.scores.scoring import Arrays, Scoring, fields
from salzarr.statistics.rows import MEMORY, load_if_small, metric_names, rows_of, with_directions
from salzarr.statistics.second_read import SecondRead
from salzarr.statistics.summary import summarize

PARTNER = "partner"
STATISTICS = ("n", "score", "baseline", "corrected", "corrected_low", "corrected_high")


def partners(images: int, block: int = 1, seed: int = 0) -> NDArray[np.intp]:
    """Match the images two by two: each is the other's partner.

    Blocks of images are shuffled and then matched two by two, image by image: a stored chunk is read once
    more and not once for each of its images, and like images, which a sorted set has side by side, are far
    apart. A block that is left over is matched within itself, half a block away; a last single image joins
    two others in a ring of three.

    Parameters
    ----------
    images : int
    block : int
        Images that stay together.
    seed : int

    Returns
    -------
    (image,) int
        Position of each image's partner.

    Raises
    ------
    UsageError
        If there are fewer than two images.

    Examples
    --------
    >>> partners(6, block=2)
    array([4, 5, 3, 2, 0, 1])
    """
    if images < 2:
        raise UsageError(f"a chance baseline takes two images or more, not {images}")
    starts = np.random.default_rng(seed).permutation(np.arange(0, images, block))
    blocks = [np.arange(start, min(start + block, images)) for start in starts]
    half = len(blocks) // 2
    partner = np.empty(images, np.intp)
    left = blocks[2 * half :]
    for one, other in zip(blocks[:half], blocks[half : 2 * half], strict=True):
        size = min(len(one), len(other))
        partner[one[:size]], partner[other[:size]] = other[:size], one[:size]
        left += [one[size:], other[size:]]
    rest = np.concatenate([*left, np.empty(0, np.intp)])
    half = len(rest) // 2
    partner[rest[:half]], partner[rest[half : 2 * half]] = rest[half : 2 * half], rest[:half]
    if len(rest) % 2:
        single, joined = rest[-1], int(rest[-1] == 0)
        partner[single], partner[joined] = partner[joined], single
    return partner


@dataclass(frozen=True)
class _Job:
    """Some images and their partners, to be scored tile by tile."""

    images: slice
    tiles: tuple[tuple[NDArray[np.intp], NDArray[np.intp], Maps, Maps], ...]
    scoring: Scoring
    pairs: NDArray[np.intp]

    def __len__(self) -> int:
        return int(self.images.stop - self.images.start)

    def part(self, images: slice) -> _Job:
        tiles = [
            (models, where, own.part(range(len(models)), images), others.part(range(len(models)), images))
            for models, where, own, others in self.tiles
        ]
        start = self.images.start
        return replace(self, images=slice(start + images.start, start + images.stop), tiles=tuple(tiles))

    def __call__(self) -> tuple[slice, Arrays]:
        found = self.scoring.empty(len(self.pairs), len(self))
        for models, where, own, others in self.tiles:
            both = np.concatenate([own.read(), others.read()])
            a, b = np.searchsorted(models, self.pairs[where]).T
            for name, values in self.scoring.score(both, np.stack([a, len(models) + b], axis=1)).items():
                found[name][..., where, :] = values
        return self.images, found


def chance(
    scores: xr.Dataset,
    maps: Any,
    *,
    metrics: Any = None,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Compare the same pairs of models on mismatched images: model a on an image, model b on another.

    Parameters
    ----------
    scores : Dataset
        Of :func:`salzarr.compare`: its models, images, pairs and metrics are taken. Only one metric's
        baseline is computed if only it is given: ``scores[["ssim", "ssim_reason"]]``.
    maps : path or URL of a maps store, DataArray, dict or list of arrays
        The maps that were compared.
    metrics : optional
        As :func:`salzarr.compare` takes them, if a metric is a function that cannot be found by its name.
    seed : int
        Of the permutation, see :func:`partners`.
    memory : int
        Bytes for the maps and features that are in memory at the same time in a process. The scores, 8 bytes
        per metric, pair and image, come on top.
    progress : callable, optional
        Is told (done, total) tasks.

    Returns
    -------
    Dataset
        As the scores are, in memory, with a coordinate ``partner`` (image): the other image.

    Raises
    ------
    UsageError
        If there are fewer than two images, or maps of the scores are missing from ``maps``.
    BudgetError
        If the maps of two models on one image do not fit the memory.

    See Also
    --------
    corrected : Score, baseline and what remains of one beyond the other.
    """
    again = SecondRead.of(scores, maps, metrics)
    images = len(again.maps.images)
    block, side = again.fit(2, memory)
    partner = partners(images, min(again.maps.chunk, images), seed)
    scoring = Scoring(len(again.maps.models), None, again.metrics)
    walk = plan.tiles(again.pairs, side)

    def job(where: slice) -> _Job:
        own = range(where.start, where.stop)
        tiles = [
            (models, chosen, again.maps.part(models, own), again.maps.part(models, partner[where]))
            for models, chosen in walk
        ]
        return _Job(where, tuple(tiles), scoring, again.pairs)

    found = scoring.empty(len(again.pairs), images)

    def keep(result: tuple[slice, Arrays]) -> None:
        where, arrays = result
        for name, values in arrays.items():
            found[name][..., where] = values

    again.run([job(where) for where in plan.blocks(images, block)], keep, progress)
    dataset = xr.Dataset(
        {
            field.name: (field.dims, found[field.name], metric.attrs())
            for metric in again.metrics
            for field in fields(metric)
        },
        coords={
            MODEL_A: (PAIR, scores[MODEL_A].values),
            MODEL_B: (PAIR, scores[MODEL_B].values),
            IMAGE: scores[IMAGE].values,
            PARTNER: (IMAGE, np.array(again.maps.images, object)[partner]),
        },
        attrs={**scores.attrs, "baseline_seed": seed},
    )
    return with_directions(dataset)


def corrected(
    scores: xr.Dataset,
    chance: xr.Dataset,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    method: Method = "bca",
    seed: int = 0,
    memory: int = MEMORY,
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
    memory : int
        Bytes that may be used.

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
    if scores[IMAGE].values.tolist() != chance[IMAGE].values.tolist():
        raise UsageError("the scores and their baseline are of different images; compute the baseline anew")
    scores = load_if_small(scores, memory // 2)
    place = {str(name): i for i, name in enumerate(chance[IMAGE].values)}
    partner = np.array([place[str(name)] for name in chance[PARTNER].values], np.intp)
    ring = np.stack([np.arange(len(partner)), partner, partner[partner]])
    _, unit = np.unique(ring.min(axis=0), return_inverse=True)
    variables, few = {}, []
    for slug in metric_names(chance):
        own = float(scores[slug].attrs.get("self_value", np.nan))
        directions = scores[slug].sizes.get(DIRECTION, 1)
        parts = []
        walk = (rows_of(of, slug, memory // 2, row_bytes=64.0 * repeats) for of in (scores, chance))
        for (_, matched), (_, mismatched) in zip(*walk, strict=True):
            found = _corrected(matched, mismatched, own, repeats, confidence, method, seed, unit)
            few.append(found[0])
            parts.append(found.reshape(len(STATISTICS), directions, -1))
        attrs = {**scores[slug].attrs, "kind": "similarity", "self_value": 1.0, "unit": ""} | {
            "bounds": ["-inf", "1.0"],
            "definition": "(score - baseline) / (self - baseline), the baseline on mismatched images",
        }
        whole = xr.DataArray(np.concatenate(parts, axis=2), dims=[STATISTIC, DIRECTION, PAIR], attrs=attrs)
        variables[slug] = whole if DIRECTION in scores[slug].dims else whole.isel({DIRECTION: 0})
    if repeats:
        warn_if_few(np.concatenate(few) // 2, "pairs of images")
    reasons = [reason_name(slug) for slug in variables]
    counted = summarize(scores[[*variables, *reasons]], memory=memory // 2)
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
