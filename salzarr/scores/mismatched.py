"""The chance baseline: how alike two models look on images that do not belong together.

Two models can agree on every image merely because both look at its middle. Their maps of *different* images
then agree as well; what agreement remains beyond that is about the images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from salzarr.plan import MEMORY
from salzarr.run import Progress
from salzarr.schema import IMAGE
from salzarr.scores.assembly import assemble
from salzarr.scores.designs import Mismatched, partners
from salzarr.scores.jobs import collect
from salzarr.scores.request import repeat

PARTNER = "partner"
"""Coordinate of the chance baseline: the other image."""


def chance(
    scores: xr.Dataset,
    maps: Any,
    *,
    metrics: Any = None,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
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
        Of the permutation, see :func:`~salzarr.scores.designs.partners`.
    memory : int
        Bytes for the maps and features that are in memory at the same time in a process. The scores, 8 bytes
        per metric, pair and image, come on top.
    progress : callable, optional
        ``progress(done, total)``, in blocks of images.

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
    salzarr.statistics.baseline.corrected : Score, baseline and what remains of one beyond the other.
    """
    request = repeat(scores, maps, metrics)
    images = len(request.images)
    partner = partners(images, min(request.maps.chunk, images), seed)
    request = replace(request, design=Mismatched(request.pairs, partner))
    found = assemble(request, collect(request, memory, progress))
    named = found.assign_coords({PARTNER: (IMAGE, np.array(request.images, str)[partner])})
    return named.assign_attrs({**scores.attrs, "baseline_seed": seed})
