"""Compare every pair of models on every image: lazily as a Dask graph, or durably into a results folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import xarray as xr

from salzarr.errors import SalzarrError, UsageError
from salzarr.invocation import add_to_record, call_of
from salzarr.location import local_path, locate
from salzarr.locks import lock, lock_place
from salzarr.maps import Maps, StoreMaps
from salzarr.plan import Plan, parse_size
from salzarr.schema import IMAGE
from salzarr.scores.budget import fit
from salzarr.scores.calibration import calibrate
from salzarr.scores.durable import bring_up
from salzarr.scores.growth import reconcile
from salzarr.scores.jobs import extremes
from salzarr.scores.labels import label_names
from salzarr.scores.lazy import lazy_scores
from salzarr.scores.replacement import growing, remove, replaced
from salzarr.scores.request import Request, resolve
from salzarr.scores.results_folder import hold, open_scores, place, remember_place
from salzarr.scores.score_store import ATTR_PLAN, attributes
from salzarr.sources.image_labels import Labels
from salzarr.store import is_complete
from salzarr.watching import watched

FIVE = ("mse", "cosine", "pearson", "ssim", "emd")
"""The metrics of a comparison that names none."""


def compare(
    maps: Any,
    metrics: Any = FIVE,
    *,
    names: Sequence[str] | None = None,
    models: Iterable[str] | None = None,
    images: slice | int | Iterable[str] | None = None,
    normalize: str = "none",
    also_normalize: Iterable[str] | None = None,
    data_range: float | None = None,
    reference: str | None = None,
    complete_cases: bool = False,
    allow_incomplete: bool = False,
    labels: Labels | None = None,
    where: str | None = None,
    primary: str | None = None,
    out: str | os.PathLike[str] | None = None,
    scores: str | None = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Score every pair of models on every image.

    Without ``out`` nothing is computed here: the scores are a Dask graph that follows whatever scheduler or
    client there is, and computing one metric does not compute the others. With ``out`` they are computed and
    written block by block; the same call resumes a run that was killed, and ends with the same scores.

    Parameters
    ----------
    maps : path, DataArray, mapping or sequence
        A maps store; a DataArray with the dimensions model, image, y and x; a dict of name to array
        (image, y, x); or a list of such arrays, with ``names``. Names and labels are those of what is given:
        arrays with an ``image`` coordinate are joined by it, and missing maps have no score; arrays without
        names are joined by position, if there are as many in each. Coordinates along image and model become
        coordinates of the scores.
    metrics : str, Metric, callable or an iterable of these
        See :func:`salzarr.metrics.as_metrics`. A function ``f(a, b) -> float`` of two maps is one, too.
    names : sequence of str, optional
        The models' names, for a list of arrays.
    models : iterable of str, optional
        Compare only these, in this order.
    images : slice, int or iterable of str, optional
        Compare only on these: by position, the first so many, or by name.
    normalize : str, default "none"
        What is done to each map first, unless a metric says otherwise; see
        :func:`salzarr.metrics.normalize.apply`.
    also_normalize : iterable of str, optional
        Further normalizations: each metric that can take them, and has none of its own, is computed once
        more under each, such as ``ssim:normalize=minmax``. The agreement of the metrics then shows whether
        the order of the pairs depends on it.
    data_range : float, optional
        Range of the values, for SSIM. It is 1 after ``minmax``, and known for a store; a lazy array needs it.
    reference : str, optional
        Compare each model with this one only, such as human fixation maps.
    complete_cases : bool, default False
        Leave out every image on which some model's map is missing or, normalized, cannot be scored by some
        metric. What shows only in the score itself, such as NaN from a function of your own, is not foreseen.
    allow_incomplete : bool, default False
        Compare what an unfinished store holds.
    labels : path, mapping or DataFrame, optional
        What is known of the images: a table with a column ``image`` and others, which become coordinates of
        the scores along ``image``. Names meet with or without the ending of an image file.
    where : str, optional
        Compare only on images of which this expression over the labels is true, such as
        ``"correct and label == 'cat'"``; see :func:`salzarr.sources.expression.matches`.
    primary : str, optional
        The one metric that a study will report: marked before anything is scored, stored, and shown first.
    out : path, optional
        Results folder; the scores go to ``scores.zarr`` in it. The maps must be those of a store.
    scores : str, optional
        With ``out``: where the scores go instead, a path or URL.
    memory : int or str, optional
        With ``out``: memory limit per process, such as ``"2GiB"``; by default 80 % of the
        machine's.
    overwrite : bool, default False
        With ``out``: start again, replacing any scores.
    progress : callable, optional
        With ``out``: called with the blocks of images done, and with all of them. In a notebook and at a
        prompt a bar is shown by itself.

    Returns
    -------
    xarray.Dataset
        Per metric its scores, float64 (pair, image), and ``<metric>_reason``, uint8 (pair, image), see
        :class:`salzarr.schema.Reason`: a score is NaN where it is not 0. A directed metric has two variables,
        such as ``kl_a_to_b`` and ``kl_b_to_a``, with a reason each. Coordinates ``model_a`` and ``model_b``
        (pair), and ``image``.

    Raises
    ------
    UsageError, MetricError, ShapeError
        Invalid argument, or combination of arguments.
    BudgetError
        If a block does not fit the memory.
    ChangedError
        If the results folder holds scores of other maps, options or definitions.
    LockedError
        If another run is at work on the results folder.
    RunError
        If images could not be scored: all others are done, and the message names them.

    See Also
    --------
    salzarr.summarize : statistics over the images
    salzarr.open_scores : open what was computed
    plan_comparison : what it takes

    Examples
    --------
    >>> import numpy as np
    >>> maps = {"a": np.zeros((2, 8, 8)), "b": np.ones((2, 8, 8))}
    >>> compare(maps, "mse").mse.values
    array([[1., 1.]])
    """
    called = call_of(compare, locals())
    request = resolve(
        maps, metrics, names=names, models=models, images=images, normalize=normalize,
        also_normalize=also_normalize,
        data_range=data_range, reference=reference, complete_cases=complete_cases,
        allow_incomplete=allow_incomplete, labels=labels, where=where, primary=primary,
        scan=None if out is None else extremes,
    )  # fmt: skip
    if out is None:
        useless = {"scores": scores, "memory": memory, "overwrite": overwrite or None, "progress": progress}
        given = [name for name, value in useless.items() if value is not None]
        if given:
            raise UsageError(f"{', '.join(given)} only have a meaning with out=, a results folder")
        return lazy_scores(request)
    _check_stored(request)
    folder = locate(out)
    with hold(folder):
        url = place(folder, scores)
        with lock_place(url), _unreplaced(request.maps):
            if overwrite:
                for old in (replaced(url), growing(url), url):  # or a swap that was begun would be finished
                    remove(old)
            remember_place(folder, url)
            with watched(progress, "Comparing") as shown:
                bring_up(request, url, memory=parse_size(memory), progress=shown)
        add_to_record(folder, compare=called)
    return open_scores(folder)


def plan_comparison(
    maps: Any,
    metrics: Any = FIVE,
    *,
    out: str | os.PathLike[str] | None = None,
    scores: str | None = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    calibrated: bool = True,
    **options: Any,
) -> Plan:
    """Project what a durable comparison takes, without running it.

    Parameters
    ----------
    maps, metrics
        As :func:`compare` takes them; the maps are those of a store.
    out, scores, overwrite
        As for :func:`compare`: a comparison that was begun there keeps its plan.
    memory : int or str, optional
        Memory limit per process.
    calibrated : bool, default True
        Time each metric on a few of the store's maps.
    **options
        ``models``, ``images``, ``normalize``, ``data_range``, ``reference`` and the like, as for
        :func:`compare`.

    Returns
    -------
    Plan
        To be printed, or asked for its numbers.

    Raises
    ------
    UsageError, MetricError, BudgetError
        As :func:`compare`.
    """
    request = resolve(maps, metrics, scan=_anything, **options)
    _check_stored(request)
    kept = {}
    if out is not None and not overwrite:
        url = place(locate(out), scores)
        if (begun := attributes(url)) is not None:
            request, _ = reconcile(request, url, begun)
            kept = {key: begun[ATTR_PLAN][key] for key in ("block", "tile")}
    found = fit(request, parse_size(memory), **kept)
    return calibrate(request, found) if calibrated else found


def _unreplaced(maps: Maps) -> AbstractContextManager[None]:
    """Hold a lock that keeps others from writing a finished local store of maps while it is compared."""
    assert isinstance(maps, StoreMaps)
    is_writable_by_others = local_path(maps.url) is not None and is_complete(maps.url)
    return lock(maps.url, shared=True) if is_writable_by_others else nullcontext()


def outline(
    maps: Any, metrics: Any = FIVE, *, out: str | os.PathLike[str] | None = None, **options: Any
) -> xr.Dataset:
    """Return what scores would have beside their numbers: models, images and labels.

    Parameters
    ----------
    maps, metrics, out, **options
        As for :func:`plan_comparison`.

    Returns
    -------
    Dataset
        Without variables: coordinates ``image`` and labels along it, also those that are stored in
        ``out``; and an attribute ``models``.

    Raises
    ------
    UsageError, MetricError, InputError
        As :func:`compare`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the comparison itself will warn
        request = resolve(maps, metrics, scan=_anything, **options)
    labels = {name: values for name, values in request.maps.labels.items() if values[0] == IMAGE}
    if out is not None:
        try:
            stored = open_scores(out, allow_incomplete=True)
        except SalzarrError:  # nothing yet
            stored = xr.Dataset(coords={IMAGE: []})
        known = stored.reindex({IMAGE: [*request.images]}, fill_value="") if label_names(stored) else stored
        labels = {name: (IMAGE, known[name].values) for name in label_names(stored)} | labels
    return xr.Dataset(coords={IMAGE: [*request.images], **labels}, attrs={"models": [*request.models]})


def _anything(_maps: Maps, _chain: str | None) -> tuple[Any, Any]:
    """Stand for the range of the data where no score hangs on it."""
    return np.zeros(1), np.ones(1)


def _check_stored(request: Request) -> None:
    if not isinstance(request.maps, StoreMaps):
        raise UsageError(
            "a durable comparison takes its maps from a store, which tells a later run whether they changed; "
            "make one with salzarr.convert(maps, 'maps.zarr'), and compare that"
        )
    if not request.maps.has_stored_names():
        raise UsageError(
            f"the models or images have other names than in {request.maps.url}, where the report looks for "
            "them; convert the maps with these names, and compare that store"
        )
