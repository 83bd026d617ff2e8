"""The consensus of the models: the mean of their maps, and how well each model agrees with the others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.metrics.normalize import may_be_negative, steps
from salzarr.plan import MEMORY
from salzarr.run import Progress
from salzarr.schema import IMAGE, MODEL, PAIR, X, Y
from salzarr.scores.assembly import assemble
from salzarr.scores.designs import OTHERS, LeaveOneOut, mean_of_others, normalized, sum_of_usable
from salzarr.scores.jobs import collect, with_ranges
from salzarr.scores.request import repeat

Floats = NDArray[np.float64]

SUM = "sum"
"""Each map counts the same: without it the model with the largest scale would decide alone."""


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
    block = normalized(maps, chain)
    return np.moveaxis(mean_of_others(block, *sum_of_usable(block)), 1, 0)


def agreement(
    scores: xr.Dataset,
    maps: Any,
    *,
    metrics: Any = None,
    normalize: str = SUM,
    memory: int = MEMORY,
    progress: Progress | None = None,
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
        ``progress(done, total)``, in blocks of images.

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
    request = repeat(scores, maps, metrics)
    request = replace(request, design=LeaveOneOut(len(request.models), normalize))
    request = with_ranges(request, memory)
    dataset = assemble(request, collect(request, memory, progress))
    return dataset.assign_attrs({**scores.attrs, **dataset.attrs, "consensus_normalize": normalize})


CEILING = "pearson", "mse"
"""Metrics by which the mean of maps, after ``zscore``, is as close to all of them as a map can be."""


def consensus_bounds(
    scores: xr.Dataset, maps: Any, *, memory: int = MEMORY, progress: Progress | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Compare each model with the consensus of the others, and with that of all, after ``zscore``.

    No one map is closer to all of an image's maps than their mean is: by the mean squared error, and by the
    correlation of maps that are normalized so. What a model scores with the mean of all is therefore an upper
    bound, on average over models, for whatever predicts their maps; with the mean of the others a lower one.

    Parameters
    ----------
    scores, maps, memory, progress
        As for :func:`agreement`.

    Returns
    -------
    lower, upper : Dataset
        As :func:`agreement` gives them, by Pearson's correlation and the mean squared error.

    References
    ----------
    Nili et al.: A toolbox for representational similarity analysis, PLOS Computational Biology, 2014.
    """
    request = repeat(scores, maps, CEILING)
    metrics = tuple(metric.with_normalize("none") for metric in request.metrics)
    bounds = []
    for own in (False, True):
        design = LeaveOneOut(len(request.models), "zscore", own)
        asked = replace(request, metrics=metrics, design=design)
        bounds.append(assemble(asked, collect(asked, memory, progress)))
    lower, upper = (of.assign_attrs({**scores.attrs, **of.attrs}) for of in bounds)
    return lower, upper


def consensus_chain(scores: xr.Dataset, maps: Any) -> str | None:
    """Choose what to do to the maps of scores before they are averaged to a consensus.

    Parameters
    ----------
    scores : Dataset
    maps
        As :func:`agreement` takes them.

    Returns
    -------
    str or None
        ``sum`` for maps without negative values. For signed maps the one normalization of the comparison,
        where it puts all maps on one scale; else None: such maps have no common scale, and their mean would
        be that of the model with the largest values.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> maps = {name: rng.normal(size=(2, 8, 8)) for name in ("a", "b")}
    >>> chains = ("none", "abs", "zscore")
    >>> [consensus_chain(salzarr.compare(maps, "pearson", normalize=chain), maps) for chain in chains]
    [None, 'abs+sum', 'zscore']
    """
    facts = repeat(scores, maps, "mse").maps.facts()
    if facts is None or not np.nanmin(facts.low, initial=np.inf) < 0:
        return SUM
    names = [name for name in scores.data_vars if "normalize" in scores[name].attrs]
    chains = {str(scores[name].attrs["normalize"]) for name in names}
    if len(chains) > 1:
        return None
    (chain,) = chains
    if not may_be_negative(chain):
        return chain if steps(chain)[-1:] == (SUM,) else f"{chain}+{SUM}"
    return chain if steps(chain)[-1:] == ("zscore",) else None


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
