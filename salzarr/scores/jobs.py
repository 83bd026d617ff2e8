"""Read maps for what is not stored: scores in memory, and the range of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import RunError
from salzarr.maps import ArrayMaps, Maps
from salzarr.metrics import Block
from salzarr.plan import blocks
from salzarr.run import Progress, run
from salzarr.scores.budget import fit_in_memory
from salzarr.scores.designs import Design, alone
from salzarr.scores.request import Request
from salzarr.scores.scoring import MapsJob, Scores, Scoring

Floats = NDArray[np.float64]
Extremes = dict[str | None, Floats]
"""By normalization, the smallest and the largest value of each map, in no particular order: (2, map)."""


@dataclass(frozen=True)
class CollectJob(MapsJob):
    """Score some images, for the caller to put in their place."""

    scoring: Scoring

    def __call__(self) -> tuple[slice, Scores]:
        """Return the images and their scores."""
        return self.images, self.scoring.score(self.inputs)


@dataclass(frozen=True)
class RangeJob(MapsJob):
    """Find the smallest and largest value of each map of a design, after each normalization."""

    design: Design
    chains: tuple[str | None, ...]
    tile: int

    def __call__(self) -> Extremes:
        """Return them by normalization; NaN for a map that is not usable."""
        found: dict[str | None, list[Floats]] = {chain: [] for chain in self.chains}
        for chunk in self.inputs[0].chunks():
            for tile in self.design.tiles([maps.on(chunk) for maps in self.inputs], self.tile):
                block = tile.maps if isinstance(tile.maps, Block) else Block(tile.maps)
                for chain, extremes in found.items():
                    after = block.normalized(chain)
                    extremes.append(np.stack([after.low.ravel(), after.high.ravel()]))
        return {chain: np.concatenate(extremes, axis=1) for chain, extremes in found.items()}


def collect(request: Request, memory: int, progress: Progress | None = None) -> Scores:
    """Score all images of a request into arrays in memory."""
    block, tile = fit_in_memory(request, memory)
    scoring = Scoring(request.design, request.metrics, tile)
    scores = scoring.empty(len(request.images))

    def keep(result: tuple[slice, Scores]) -> None:
        images, found = result
        for name, values in found.items():
            scores[name][..., images] = values

    jobs = [
        CollectJob(request.design.inputs(request.maps, images), images, scoring)
        for images in blocks(len(request.images), block)
    ]
    run(jobs, keep, progress, here=isinstance(request.maps, ArrayMaps))
    return scores


def with_ranges(request: Request, memory: int) -> Request:
    """Give the metrics that need the range of the data that of the maps that the request scores."""
    ranged = [metric for metric in request.metrics if "data_range" in dict(metric.params)]
    if not ranged:
        return request
    block, tile = fit_in_memory(request, memory)
    cuts = blocks(len(request.images), block)
    chains = [metric.normalize for metric in ranged]
    found = _ranges(request.maps, request.design, cuts, chains, tile)
    spans = {c: float(np.fmax.reduce(high) - np.fmin.reduce(low)) for c, (low, high) in found.items()}
    chosen = (m.with_data_range(spans[m.normalize]) if m in ranged else m for m in request.metrics)
    return replace(request, metrics=tuple(chosen))


def extremes(maps: Maps, chain: str | None) -> tuple[Floats, Floats]:
    """Find the smallest and largest value of each normalized map, by reading all maps: (map,) each."""
    try:
        low, high = _ranges(maps, alone(len(maps.models)), maps.chunks(), [chain], 1)[chain]
    except RunError as error:
        raise RunError(f"{error}; or give data_range= (--data-range), which saves this read") from None
    return low, high


def _ranges(
    maps: Maps, design: Design, cuts: Sequence[slice], chains: Iterable[str | None], tile: int
) -> Extremes:
    chains = tuple(dict.fromkeys(chains))
    found: list[Extremes] = []
    jobs = [RangeJob(design.inputs(maps, images), images, design, chains, tile) for images in cuts]
    run(jobs, found.append, here=isinstance(maps, ArrayMaps))
    return {chain: np.concatenate([some[chain] for some in found], axis=1) for chain in chains}
