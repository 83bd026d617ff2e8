"""The consensus of the models: the mean of their maps, and how well each model agrees with the others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import plan
from salzarr.descriptive import Floats
from salzarr.errors import MetricError
from salzarr.maps import Maps
from salzarr.metrics import Block, Metric
from salzarr.schema import IMAGE, MODEL, MODEL_A, MODEL_B, PAIR, Reason, X, Y
from salzarr.scores.scoring import Arrays, Scoring, fields
from salzarr.statistics.rows import MEMORY, with_directions
from salzarr.statistics.second_read import SecondRead

Range = tuple[float, float]


CONSENSUS = "consensus of the others"
SUM = "sum"
"""Each map counts the same: without it the model with the largest scale would decide alone."""
OTHERS = "others"
"""Coordinate: of how many maps a consensus is the mean; 0 where the model itself has none to compare."""


def consensus(maps: xr.DataArray, normalize: str = SUM) -> xr.DataArray:
    """Average, for each model and image, the maps of all other models.

    Parameters
    ----------
    maps : DataArray (model, image, y, x)
        In memory or Dask-backed, as :func:`salzarr.open_maps` gives it.
    normalize : str
        What is done to each map before, see :mod:`salzarr.metrics.normalize`; signed maps take
        ``"abs+sum"``.

    Returns
    -------
    DataArray (model, image, y, x) float64
        At a model stands the mean of the others. A map that is missing, not finite or without a
        normalisation does not count; NaN where no other model has a map.

    Raises
    ------
    MetricError
        If a map has negative values that the normalisation cannot take (when it is computed).
    """
    if maps.chunks is not None:
        maps = maps.chunk({MODEL: -1, Y: -1, X: -1})
    dims = [[MODEL, Y, X]]
    found: xr.DataArray = xr.apply_ufunc(
        lambda block: _leave_one_out(np.moveaxis(block, 0, 1), normalize),
        maps.transpose(IMAGE, MODEL, Y, X),
        input_core_dims=dims,
        output_core_dims=dims,
        dask="parallelized",
        output_dtypes=[np.float64],
        keep_attrs=True,
    )
    return found.transpose(MODEL, IMAGE, Y, X)


def _leave_one_out(maps: NDArray[Any], chain: str) -> Floats:
    """(model, image, y, x) maps to the means of the other models' maps: (image, model, y, x)."""
    block = _normalized(maps, chain)
    return np.moveaxis(_others(block, *_totals(block)), 1, 0)


def _normalized(maps: NDArray[Any], chain: str) -> Block:
    block = Block(maps).normalized(chain)
    signed = np.argwhere(block.unusable == Reason.NEGATIVE)
    if len(signed):
        raise MetricError(
            f"{len(signed)} maps have negative values, which {chain!r} cannot take; "
            f"give the consensus a normalisation for signed maps, such as 'abs+{chain}'"
        )
    return block


def _totals(block: Block) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Sum (image, y, x), number (image,) and smallest value (image,) of the usable maps."""
    usable = block.unusable == Reason.SCORED
    total = np.where(usable[:, :, None, None], block.maps, 0.0).sum(axis=0, dtype=np.float64)
    return total, usable.sum(axis=0), np.where(usable, block.low, np.inf).min(axis=0)


def _others(block: Block, total: Floats, count: NDArray[np.intp], low: Floats) -> Floats:
    """Mean of the other models' maps: (model, image, y, x)."""
    usable = block.unusable == Reason.SCORED
    others = (count - usable)[:, :, None, None]
    left = total - np.where(usable[:, :, None, None], block.maps, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A difference of sums leaves -1e-20 where all others are 0; no mean lies below the smallest value.
        mean: Floats = np.where(others > 0, np.maximum(left / others, low[:, None, None]), np.nan)
    return mean


@dataclass(frozen=True)
class _Job:
    """Some images, a few models at a time."""

    images: slice
    parts: tuple[tuple[slice, Maps], ...]
    scoring: Scoring
    chain: str

    def __len__(self) -> int:
        return int(self.images.stop - self.images.start)

    def part(self, images: slice) -> Self:
        parts = tuple(
            (models, part.part(range(models.stop - models.start), images)) for models, part in self.parts
        )
        start = self.images.start
        return replace(self, images=slice(start + images.start, start + images.stop), parts=parts)

    def blocks(self) -> Iterator[tuple[slice, Block, NDArray[np.intp]]]:
        """Read the maps of some models at a time; behind them stands the consensus of the others of each.

        The last of three is of how many maps each consensus is the mean: (model, image).
        """
        read = ((models, _normalized(part.read(), self.chain)) for models, part in self.parts)
        kept = list(read) if len(self.parts) == 1 else None  # one part need not be read twice
        totals, counts, lows = zip(*(_totals(block) for _, block in (kept or read)), strict=True)
        of_all = np.sum(totals, axis=0), np.sum(counts, axis=0), np.min(lows, axis=0)
        again = kept or ((models, _normalized(part.read(), self.chain)) for models, part in self.parts)
        for models, block in again:
            others = _others(block, *of_all)
            both = Block(np.concatenate([block.maps, others]))
            alone = np.isnan(others).all(axis=(2, 3))
            why = np.where(alone, np.uint8(Reason.MISSING), np.uint8(Reason.SCORED))
            both.unusable = np.concatenate([block.unusable, why])
            yield models, both, np.where(block.unusable == Reason.SCORED, of_all[1] - 1, 0)


AnyJob = TypeVar("AnyJob", bound=_Job)


class _ScoreJob(_Job):
    def __call__(self) -> tuple[slice, Arrays]:
        found = self.scoring.empty(self.scoring.models, len(self))
        found[OTHERS] = np.zeros((self.scoring.models, len(self)), np.int64)
        for models, block, others in self.blocks():
            found[OTHERS][models] = others
            pair = np.arange(models.stop - models.start)
            for name, values in self.scoring.score(block, np.stack([pair, pair + len(pair)], axis=1)).items():
                found[name][..., models, :] = values
        return self.images, found


class _RangeJob(_Job):
    """Find the smallest and largest value that each metric will see, after its own normalisation."""

    def __call__(self) -> dict[str, Range]:
        found = {}
        for metric in self.scoring.metrics:
            blocks = [block.normalized(metric.normalize) for _, block, _ in self.blocks()]
            low = np.fmin.reduce([np.fmin.reduce(block.low, axis=None) for block in blocks])
            high = np.fmax.reduce([np.fmax.reduce(block.high, axis=None) for block in blocks])
            found[metric.slug] = float(low), float(high)
        return found


def agreement(
    scores: xr.Dataset,
    maps: Any,
    *,
    metrics: Any = None,
    normalize: str = SUM,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Compare each model with the consensus of the others, image by image.

    Both are on the scale of the normalisation, so that the scores are not those of the raw maps. A metric
    that needs the range of the data is given that of the normalised maps, which takes one more read.

    Parameters
    ----------
    scores : Dataset
        Of :func:`salzarr.compare`: its models, images and metrics are taken.
    maps : path or URL of a maps store, DataArray, dict or list of arrays
        The maps that were compared.
    metrics : optional
        As :func:`salzarr.compare` takes them, if others are wanted.
    normalize : str
        Of each map before it is averaged, see :func:`consensus`.
    memory : int
        Bytes for what is in memory at the same time in a process.
    progress : callable, optional
        Is told (done, total) tasks.

    Returns
    -------
    Dataset
        Scores as :func:`salzarr.compare` gives them, of the pairs of each model (``model_a``) and the
        consensus of the others (``model_b``): :func:`salzarr.summarize` takes it as it is. The coordinate
        ``others`` (pair, image) says of how many maps a consensus is the mean.

    Raises
    ------
    MetricError
        If maps have negative values that the normalisation cannot take.
    BudgetError
        If two models' maps of one image do not fit the memory.
    """
    again = SecondRead.of(scores, maps, metrics)
    models, images = len(again.maps.models), len(again.maps.images)
    block, side = again.fit(2, memory)
    cuts = plan.blocks(models, min(2 * side, models))
    chosen = again.metrics

    def jobs(kind: type[AnyJob], metrics: tuple[Metric, ...]) -> list[AnyJob]:
        scoring = Scoring(models, None, metrics)

        def parts(where: slice) -> tuple[tuple[slice, Maps], ...]:
            images = range(where.start, where.stop)
            return tuple((cut, again.maps.part(range(cut.start, cut.stop), images)) for cut in cuts)

        return [kind(where, parts(where), scoring, normalize) for where in plan.blocks(images, block)]

    ranged = tuple(metric for metric in chosen if "data_range" in dict(metric.params))
    if ranged:
        low: dict[str, float] = {}
        high: dict[str, float] = {}

        def widen(found: dict[str, Range]) -> None:
            for slug, (smallest, largest) in found.items():
                low[slug] = float(np.fmin(low.get(slug, np.nan), smallest))
                high[slug] = float(np.fmax(high.get(slug, np.nan), largest))

        again.run(jobs(_RangeJob, ranged), widen)
        chosen = tuple(
            metric.with_data_range(high[metric.slug] - low[metric.slug]) if metric in ranged else metric
            for metric in chosen
        )
    found = Scoring(models, None, chosen).empty(models, images)
    found[OTHERS] = np.zeros((models, images), np.int64)

    def keep(result: tuple[slice, Arrays]) -> None:
        where, arrays = result
        for name, values in arrays.items():
            found[name][..., where] = values

    again.run(jobs(_ScoreJob, chosen), keep, progress)
    name = CONSENSUS
    while name in again.maps.models:
        name += "'"
    dataset = xr.Dataset(
        {
            field.name: (field.dims, found[field.name], metric.attrs())
            for metric in chosen
            for field in fields(metric)
        },
        coords={
            MODEL_A: (PAIR, np.array(again.maps.models, object)),
            MODEL_B: (PAIR, np.array([name] * models, object)),
            IMAGE: list(again.maps.images),
            OTHERS: ((PAIR, IMAGE), found[OTHERS]),
        },
        attrs={**scores.attrs, "models": [*again.maps.models, name], "consensus_normalize": normalize},
    )
    return with_directions(dataset)


def made_from(agreement: xr.Dataset) -> dict[str, tuple[str, NDArray[np.int64]]]:
    """Say of how many maps each model's consensus is the mean, at least and at most over images.

    Returns
    -------
    dict
        Coordinates ``others_min`` and ``others_max`` (pair) for the summary of :func:`agreement`.
    """
    others = agreement[OTHERS].values
    used = others > 0
    most = others.max(axis=1, initial=0)
    least = np.minimum(others.min(axis=1, initial=np.iinfo(np.int64).max, where=used), most)
    return {"others_min": (PAIR, least), "others_max": (PAIR, most)}
