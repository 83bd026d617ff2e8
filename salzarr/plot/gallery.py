"""A gallery of the images on which the models differ or agree most."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.errors import UsageError
from salzarr.maps import as_maps
from salzarr.metrics.metric import Metric
from salzarr.plot.map_pictures import RGB, brightest, draw_tiles, flaws, photograph, tile
from salzarr.plot.style import INK, any_script, metric_variable, short
from salzarr.schema import IMAGE, MAP_STATUS, MODEL, MODEL_A, MODEL_B, PAIR, X, Y, reason_name
from salzarr.statistics import ranking
from salzarr.statistics.rows import model_names, variables_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MODELS = 10
"""Models drawn by default."""


@any_script
def divergent_images(
    scores: xr.Dataset,
    maps: Any,
    metric: str | Metric | None = None,
    ax: Axes | None = None,
    *,
    pair: tuple[str, str] | None = None,
    models: Sequence[str] | None = None,
    count: int = 6,
    agree: bool = False,
    photos: str | PathLike[str] | None = None,
    side: int = 160,
) -> Axes:
    """Draw a gallery of the images on which the models differ most: photograph, maps, difference.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    maps : DataArray (model, image, y, x), or as :func:`salzarr.compare` takes them
        Those that were compared; only what is shown is read.
    metric : str or Metric, optional
        By which to rank; needed if the scores have several.
    ax : Axes, optional
    pair : (str, str), optional
        Rank by this pair alone, and show its two maps.
    models : sequence of str, optional
        Whose maps to show; by default the first ten models.
    count : int
        Number of images.
    agree : bool
        Show those on which the models agree most instead.
    photos : path, optional
        Folder of the photographs, named like the images.
    side : int
        Of one map in the picture, in pixels.

    Returns
    -------
    Axes
        One row per image, labeled with its name and mean score. The last column is the difference of the
        pair's maps, or of the two maps of that image that are least alike among those shown, each map
        scaled to its own brightest; red where the first is brighter.

    Raises
    ------
    UsageError
        If there is no such metric, model or pair.
    """
    variable = metric_variable(scores, metric)
    known = model_names(scores)
    chosen = list(pair or models or known[:MODELS])
    for name in chosen:
        if name not in known:
            raise UsageError(f"no model {name!r} in these scores; they have {', '.join(known[:10])}")
    if len(chosen) < 2:
        raise UsageError(f"a gallery needs at least two models, not {len(chosen)}")
    positions, values = _ranked(scores, variable, pair, count, agree=agree)
    ids = [str(scores[IMAGE].values[k]) for k in positions]
    shown = _read(maps, chosen, ids)
    read = shown.values
    apart = _least_alike(variable, positions, chosen)

    tiles: list[list[RGB | None]] = []
    for k, name in enumerate(ids):
        a, b = (chosen.index(end) for end in apart[k])
        row: list[RGB | None] = [tile(one, side) for one in read[:, k]]
        row.append(tile(_scaled(read[a, k]) - _scaled(read[b, k]), side, difference=True))
        tiles.append([photograph(photos, name, side), *row] if photos is not None else row)
    columns = ["photograph", *short(chosen, 22)] if photos is not None else short(chosen, 22)
    rows = [f"{name}\n{value:.4g}" for name, value in zip(short(ids, 24), values, strict=True)]
    who = " and ".join(short(pair, 20)) if pair else f"{len(known)} models"
    title = f"Where {who} {'agree' if agree else 'differ'} most: {variable.attrs.get('spec', variable.name)}"
    note = "each map has its own scale; last column: first map minus second, each divided by its brightest"
    photo = [""] * (photos is not None)
    marks = [[*photo, *column, ""] for column in flaws(shown).T.tolist()]
    ax = draw_tiles(tiles, marks, rows, [*columns, "difference"], title, note, ax)
    for place, ends in zip(ax.get_yticks(), apart, strict=True):
        if pair is None:
            text = " − ".join(short(ends, 16))
            ax.annotate(text, (ax.get_xlim()[1], place), (5, 0), textcoords="offset points", fontsize=6.5,
                        va="center", color=INK, annotation_clip=False, parse_math=False)  # fmt: skip
    return ax


def _read(maps: Any, models: Sequence[str], images: Sequence[str]) -> xr.DataArray:
    """Read the maps of some models on some images: (model, image, y, x)."""
    if hasattr(maps, "sel") and MAP_STATUS.name in maps.coords:  # it tells missing maps from those all NaN
        known: xr.DataArray = maps.sel({MODEL: models, IMAGE: images}).transpose(MODEL, IMAGE, Y, X).compute()
        return known
    values = as_maps(maps).named(models, images).read()
    names = {MODEL: list(models), IMAGE: list(images)}
    return xr.DataArray(values, dims=(MODEL, IMAGE, Y, X), coords=names)


def _ranked(
    scores: xr.Dataset, variable: xr.DataArray, pair: tuple[str, str] | None, count: int, *, agree: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the positions and scores of the images at one end of the ranking."""
    if pair is None:
        slug = str(variable.name)
        names = [name for one in variables_of(scores, slug) for name in (one, reason_name(one))]
        ranks = ranking.rank_images(scores[names])
        values = ranks[slug].values
    else:
        values = _of_pair(variable, pair).values
    alike = values if variable.attrs["kind"] == "similarity" else -values
    order = np.argsort(-alike if agree else alike, kind="stable")
    order = order[np.isfinite(values[order])][:count]
    if not len(order):
        raise UsageError(f"no image has a score by {variable.name}; draw another metric")
    return order, values[order]


def _of_pair(variable: xr.DataArray, pair: tuple[str, str]) -> xr.DataArray:
    """Return the scores f(a, b) of one pair over images."""
    for a, b in (pair, pair[::-1]):
        found = np.flatnonzero((variable[MODEL_A].values == a) & (variable[MODEL_B].values == b))
        if len(found):
            return variable.isel({PAIR: int(found[0])})
    raise UsageError(f"{pair[0]!r} and {pair[1]!r} were not compared; name a pair of the scores")


def _least_alike(
    variable: xr.DataArray, positions: NDArray[np.intp], chosen: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the two least alike models on each image; the first two where no pair has a score."""
    a, b = (variable[end].values.astype(str) for end in (MODEL_A, MODEL_B))
    among = np.flatnonzero(np.isin(a, chosen) & np.isin(b, chosen))
    values = variable.isel({PAIR: among, IMAGE: positions}).transpose(PAIR, IMAGE).values
    alike = values * (1 if variable.attrs["kind"] == "similarity" else -1)
    found = []
    for column in alike.T:
        row = among[np.nanargmin(column)] if np.isfinite(column).any() else -1
        found.append((str(a[row]), str(b[row])) if row >= 0 else (chosen[0], chosen[1]))
    return found


def _scaled(one_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale a map as its picture is: by its brightest value, from its smallest if none is negative."""
    values = np.asarray(one_map, float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return values
    low = max(0.0, float(finite.min()))
    return (values - low) / brightest(np.abs(finite - low))
