"""The chance baseline: how alike two models look on images that do not belong together.

Two models can agree on every image merely because both look at its middle. Their maps of *different* images
then agree as well; what agreement remains beyond that is about the images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from salzarr.metrics.normalize import steps
from salzarr.plan import MEMORY
from salzarr.run import Progress
from salzarr.schema import IMAGE, Reason
from salzarr.scores.assembly import assemble
from salzarr.scores.derangements import derangements
from salzarr.scores.designs import Mismatched
from salzarr.scores.jobs import collect, with_ranges
from salzarr.scores.labels import units_of
from salzarr.scores.request import Request, metrics_of, repeat
from salzarr.units import Units

ZSCORE = "zscore"
DRAW = "draw"
PARTNER = "partner"
"""Coordinate of the chance baseline: the other image, (draw, image)."""

DRAWS, FEW = 4, 500
"""With few images partners are drawn several times: one draw has a standard deviation 12 to 23 % larger than
that of all mismatches, four have one of 3 to 7 %. With more images the baseline is sharp with one."""

TOGETHER = 300
"""Up to so many images partners come from anywhere; of more, from few stored chunks for each."""


def chance(
    scores: xr.Dataset,
    maps: Any,
    *,
    metrics: Any = None,
    units: str | Units | None = None,
    draws: int | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Compare the same pairs of models on mismatched images: model a on an image, model b on another.

    Partners are drawn over the whole set of images, and never within a unit of images that belong together.

    Parameters
    ----------
    scores : Dataset
        Of :func:`salzarr.compare`: its models, images, pairs and metrics are taken. Only one metric's
        baseline is computed if only it is given: ``scores[["ssim", "ssim_reason"]]``.
    maps : path or URL of a maps store, DataArray, dict or list of arrays
        The maps that were compared.
    metrics : optional
        As :func:`salzarr.compare` takes them, if a metric is a function that cannot be found by its name.
    units : str or Units, optional
        Images that belong together: a column of the scores' labels.
    draws : int, optional
        How often partners are drawn; 4 times up to 500 images and else once, if not given.
    seed : int
        Of the partners, see :func:`~salzarr.scores.derangements.derangements`.
    memory : int
        Bytes for the maps and features that are in memory at the same time in a process. The scores, 8 bytes
        per draw, metric, pair and image, come on top.
    progress : callable, optional
        ``progress(done, total)``, in blocks of images, of all draws.

    Returns
    -------
    Dataset
        As the scores are, in memory, with a dimension ``draw`` in front, and a coordinate ``partner``
        (draw, image): the other image.

    Raises
    ------
    UsageError
        If there are fewer than two units of images, or maps of the scores are missing from ``maps``.
    BudgetError
        If the maps of two models on one image do not fit the memory.

    See Also
    --------
    salzarr.statistics.baseline.corrected : Score, baseline and what remains of one beyond the other.
    """
    request = repeat(scores, maps, metrics)
    partners = draw_partners(scores, units, draws, seed, request.maps.chunk)
    found = []
    for number, partner in enumerate(partners):
        mismatched = replace(request, design=Mismatched(request.pairs, partner))
        told = _part_of(progress, number, len(partners))
        found.append(assemble(mismatched, collect(mismatched, memory, told)))
    return _joined(request, found, partners).assign_attrs({**scores.attrs, "baseline_seed": seed})


def zscored(
    scores: xr.Dataset, maps: Any, *, memory: int = MEMORY, progress: Progress | None = None
) -> xr.Dataset | None:
    """Score the pairs and images of scores once more, of maps normalized by ``zscore``, into memory.

    Metrics that need mass or a sign, and those whose maps are so normalized already, are left out; None
    if none is left.

    Raises
    ------
    BudgetError
        If the maps of two models on one image do not fit the memory.
    """
    taken = {Reason.NEGATIVE, Reason.ZERO_MASS, Reason.UNSIGNED}
    metrics = [
        replace(metric, normalize=ZSCORE)
        for metric in metrics_of(scores)
        if not metric.undefined & taken and steps(metric.normalize)[-1:] != (ZSCORE,)
    ]
    if not metrics:
        return None
    request = with_ranges(repeat(scores, maps, metrics), memory)
    labels = {name: scores[name] for name in scores.coords if scores[name].dims == (IMAGE,)}
    return assemble(request, collect(request, memory, progress)).assign_coords(labels)


def draw_partners(
    scores: xr.Dataset, units: str | Units | None, draws: int | None, seed: int, chunk: int
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Draw the partners of the images of scores: (draw, image).

    Raises
    ------
    UsageError
        If there are fewer than two units of images, or no such column of labels.
    """
    known = units if isinstance(units, Units) else units_of(scores, units)
    images = len(known.of)
    count = (DRAWS if images <= FEW else 1) if draws is None else draws
    return derangements(known, count, chunk=None if images <= TOGETHER else chunk, seed=seed)


def _joined(
    request: Request, found: list[xr.Dataset], partners: np.ndarray[Any, np.dtype[np.intp]]
) -> xr.Dataset:
    """Put the draws one behind the other."""
    whole = xr.concat(found, DRAW, coords="minimal", compat="override", join="exact")
    names = np.array(request.images, object)[partners]
    return whole.transpose(DRAW, ...).assign_coords({PARTNER: ((DRAW, IMAGE), names)})


def _part_of(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Tell the progress of one of several equal parts as that of the whole."""
    if progress is None:
        return None

    def tell(done: int, total: int) -> None:
        if done or not number:  # the end of one is the start of the next
            progress(number * total + done, parts * total)

    return tell
