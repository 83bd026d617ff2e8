"""Draw one kind of picture of a results folder or a maps store."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from salzarr import plot
from salzarr.errors import InputNotFoundError, UsageError, listed
from salzarr.plot.kinds import KINDS
from salzarr.plot.map_pictures import photo_path
from salzarr.plot.style import own_figures
from salzarr.results_analysis import maps_of, settings_of
from salzarr.schema import IMAGE, MAP_STATUS, MAPS
from salzarr.scores.labels import units_of
from salzarr.scores.results_folder import open_scores
from salzarr.statistics.metric_pairs import metric_agreement
from salzarr.statistics.rows import metric_names, metric_slug
from salzarr.statistics.summary import summarize
from salzarr.store import open_dataset

log = logging.getLogger(__name__)


def draw(
    target: str | PathLike[str],
    kind: str,
    *,
    metric: str | None = None,
    output: str | PathLike[str] | None = None,
    group_by: str | None = None,
    photos: str | PathLike[str] | None = None,
    **options: Any,
) -> list[Path]:
    """Draw one kind of picture of a results folder or a maps store, and write it.

    Parameters
    ----------
    target : path
        A results folder; for the kind ``maps``, a maps store.
    kind : str
        One of :data:`salzarr.plot.kinds.KINDS`.
    metric : str, optional
        By default every metric of the results gets a picture.
    output : path, optional
        Its suffix is the format; by default ``<kind>.png`` in the results folder or beside the store. With
        several metrics their names are put before the suffix.
    group_by : str, optional
        Column of the labels of the images, for the kind ``groups``.
    photos : path, optional
        Folder of the photographs, for the kinds that show maps.
    **options
        Options of the picture's function, such as ``order="cluster"``.

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        If there is no such kind, metric or option, or what it needs was not given.
    StoreNotFoundError, IncompleteError
        If the target is not there, or not complete.
    """
    if kind not in KINDS:
        raise UsageError(f"no picture {kind!r}; there are {', '.join(KINDS)}")
    what = KINDS[kind]
    check_photos(photos)
    if photos is not None and not what.photos:
        raise UsageError(f"the picture {kind!r} shows no photographs; leave out --photos")
    if unknown := set(options) - set(inspect.signature(what.draw).parameters):
        raise UsageError(f"the picture {kind!r} has no option {', '.join(sorted(unknown))}")
    if what.photos:
        options["photos"] = photos
    scores = None if what.needs == ("maps",) else open_scores(target)
    if scores is not None:
        check_photo_names(photos, scores[IMAGE].values.tolist())
    needed = [_material(name, Path(target), scores, group_by) for name in what.needs]
    chosen: list[str | None] = [None]
    if what.per_metric and scores is not None:
        chosen = [metric_slug(scores, metric)] if metric else [*metric_names(scores)]
    elif metric:
        raise UsageError(f"the picture {kind!r} shows all metrics or none; leave out --metric")
    folder = Path(target) if scores is not None else Path(target).parent
    path = folder / f"{kind}.png" if output is None else Path(output)
    files = []
    for slug in chosen:
        with own_figures():
            axes = what.draw(*needed, *([] if slug is None else [slug]), **options)
        name = path.stem if slug is None or (metric and output) else f"{path.stem}_{slug}"
        files += plot.save(axes, path.with_name(name), [path.suffix.removeprefix(".") or "png"])
    return files


def _material(
    name: str, target: Path, scores: xr.Dataset | None, group_by: str | None
) -> xr.Dataset | xr.DataArray:
    """Return what a picture's function needs, by its name in :class:`salzarr.plot.kinds.Kind`."""
    if scores is None:
        return with_status(target)
    if name == "scores":
        return scores
    if name == "maps":
        return with_status(maps_of(scores, target))
    settings = settings_of(target, {"group_by": group_by})
    units = units_of(scores, settings.units, equal=settings.unit_mean)
    if name == "groups":
        if group_by is None:
            raise UsageError("name the column of labels by --group-by; labels are given to salzarr compare")
        return summarize(scores, units=units, group_by=group_by)
    summary = summarize(scores, units=units)
    if name == "agreement":
        return metric_agreement(
            scores, summary, units=units, bootstrap=0, repeats=settings.permutations, seed=settings.seed
        )
    return summary


def with_status(url: str | Path) -> xr.DataArray:
    """Open all maps with their status, which tells missing ones from those that are all NaN."""
    return open_dataset(url, allow_incomplete=True).set_coords(MAP_STATUS.name)[MAPS.name]


def check_photos(photos: str | PathLike[str] | None) -> None:
    """Refuse a folder of photographs that does not exist."""
    if photos is not None and not Path(photos).is_dir():
        raise InputNotFoundError(f"no folder of photographs at {photos}; check --photos")


def check_photo_names(photos: str | PathLike[str] | None, images: Sequence[str]) -> None:
    """Warn if no photograph has the name of an image."""
    if photos is not None and not any(photo_path(photos, image) for image in images):
        there = sorted(path.name for path in Path(photos).iterdir())
        beside = f"it holds {listed(there, 3)}" if there else "it is empty"
        log.warning("no photograph in %s has the name of an image, such as %s; %s", photos, images[0], beside)
