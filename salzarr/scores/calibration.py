"""What has to be measured on the maps themselves: how long a metric takes, and how far values range."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from salzarr import plan
from salzarr.errors import RunError
from salzarr.maps import Maps
from salzarr.metrics import normalize, score_block
from salzarr.run import run
from salzarr.scores.request import Request

SAMPLE_MODELS, SAMPLE_IMAGES = 4, 4
"""Maps that a calibration times."""


@dataclass(frozen=True)
class _ExtremesJob:
    """Find the smallest and largest finite value of each map: (map, 2)."""

    maps: Maps
    chain: str | None

    def __len__(self) -> int:
        return self.maps.shape[1]

    def part(self, images: slice) -> _ExtremesJob:
        return replace(self, maps=self.maps.part(range(len(self.maps.models)), images))

    def __call__(self) -> NDArray[np.float64]:
        found = []
        for model in range(len(self.maps.models)):
            [maps] = normalize.apply(self.maps.part([model], slice(None)).read(), self.chain)
            for one in maps:
                finite = one[np.isfinite(one)]
                found.append((finite.min(), finite.max()) if finite.size else (np.nan, np.nan))
        return np.array(found, np.float64)


def extremes(maps: Maps, chain: str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the smallest and largest value of normalised maps, by reading them all once.

    Parameters
    ----------
    maps : Maps
    chain : str or None
        The normalisation.

    Returns
    -------
    (map,) float64, (map,) float64
        Of each map, in no particular order; NaN where it has no values.

    Raises
    ------
    RunError
        If workers died of it.
    """
    every = range(len(maps.models))
    found: list[NDArray[np.float64]] = []
    try:
        run([_ExtremesJob(maps.part(every, chunk), chain) for chunk in maps.chunks()], found.append)
    except RunError as error:
        raise RunError(f"{error}; or give data_range= (--data-range), which saves this read") from None
    low, high = np.concatenate(found).T
    return low, high


def calibrate(request: Request, asked: plan.Plan) -> plan.Plan:
    """Time the metrics on a few of the maps: each once, after a first run that compiles it.

    Parameters
    ----------
    request : Request
        Of stored maps.
    asked : Plan

    Returns
    -------
    Plan
        With the seconds of a read, and of each metric per map and per pair.
    """
    models = min(SAMPLE_MODELS, len(request.models))
    sample = request.maps.part(range(models), slice(0, min(SAMPLE_IMAGES, len(request.images))))
    images = sample.shape[1]
    sample.read()
    whole = request.maps.part(range(models), slice(0, min(request.maps.chunk, len(request.images))))
    begun = time.perf_counter()
    read = whole.read()
    read_seconds = (time.perf_counter() - begun) / (models * read.shape[1])
    maps = read[:, :images]
    few, many = plan.pairs(2), plan.pairs(models)
    measured = []
    for metric, load in zip(request.metrics, asked.loads, strict=True):
        score_block(maps[:2, :1], few, [metric])
        seconds = []
        for block, pairs in ((maps[:2], few), (maps, many)):
            begun = time.perf_counter()
            score_block(block, pairs, [metric])
            seconds.append((time.perf_counter() - begun) / images)
        # seconds = maps x per map + pairs x per pair, of 2 maps with 1 pair and of n maps with n (n - 1) / 2.
        per_pair = seconds[0] / 3
        if models > 2:
            per_pair = max(0.0, (seconds[1] - models / 2 * seconds[0]) / (len(many) - models / 2))
        per_map = max(0.0, (seconds[0] - per_pair) / 2)
        measured.append(replace(load, map_seconds=per_map, pair_seconds=per_pair))
    return replace(asked, loads=tuple(measured), read_seconds=read_seconds)
