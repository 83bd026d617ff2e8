"""Maps as pictures: one map, tiles in rows and columns, a sheet of maps."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image
from skimage.transform import resize

from salzarr.errors import UsageError
from salzarr.plot.style import INK, MISSING, any_script, ensure_axes, heading, name_ticks, short
from salzarr.schema import IMAGE, MAP_STATUS, MODEL, Status, X, Y

RGB = NDArray[np.uint8]
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")
SHEET_MODELS, SHEET_IMAGES = 30, 12
"""Models and images that a sheet shows by default."""


def tile(one_map: NDArray[Any], side: int, *, difference: bool = False) -> RGB:
    """Return a map as a small picture.

    Parameters
    ----------
    one_map : (y, x) float
    side : int
        Of the picture's longer side, in pixels; the map keeps its proportions.
    difference : bool
        Whether its values have a sign even if none is negative.

    Returns
    -------
    (y, x, 3) uint8
        Dark is low, bright is high. A map with negative values has a white zero, red above, blue below.
        The brightest half percent share a color, or one hot pixel would leave the rest black. Missing and
        non-finite pixels are gray; a map of nothing else is a gray picture with a stroke through it.
    """
    values = np.asarray(one_map, float)
    height, width = values.shape
    shape = tuple(max(1, round(side * n / max(height, width))) for n in (height, width))
    finite = np.isfinite(values)
    if not finite.any():
        return _crossed((shape[0], shape[1]))
    small = resize(np.where(finite, values, 0.0), shape, order=1, anti_aliasing=True, mode="edge")
    kept = values[finite]
    if difference or kept.min() < 0:
        reach = brightest(np.abs(kept))
        colors = mpl.colormaps["RdBu_r"](small / (2 * reach) + 0.5)
    else:
        low = float(kept.min())
        colors = mpl.colormaps["inferno"]((small - low) / brightest(kept - low))
    picture: RGB = np.round(colors[..., :3] * 255).astype(np.uint8)
    if not finite.all():
        picture[resize(finite.astype(float), shape, order=1) < 0.5] = _rgb(MISSING)
    return picture


def flaws(maps: xr.DataArray) -> NDArray[Any]:
    """Name what is wrong with each map and does not show: a constant map looks like an all-zero one.

    Parameters
    ----------
    maps : DataArray (model, image, y, x)
        In memory. With a coordinate ``map_status`` a missing map and one that is all NaN are told apart.

    Returns
    -------
    (model, image) object
        ``missing``, ``non-finite``, ``all zero``, ``constant 0.37``, or nothing.
    """
    found = np.full((maps.sizes[MODEL], maps.sizes[IMAGE]), "", object)
    status = maps.coords.get(MAP_STATUS.name)
    for k, m in np.ndindex(found.shape):
        values = maps.isel({MODEL: k, IMAGE: m}).values
        if status is None:
            missing = bool(np.isnan(values).all())
        else:
            missing = bool(int(status.isel({MODEL: k, IMAGE: m})) & Status.MISSING)
        found[k, m] = flaw(values, missing=missing)
    return found


def flaw(one_map: NDArray[Any], *, missing: bool) -> str:
    """Name what is wrong with a map (y, x): missing, non-finite, constant or all zero; else nothing."""
    finite = one_map[np.isfinite(one_map)]
    if missing or finite.size < one_map.size:
        return "missing" if missing else "non-finite"
    if finite.min() == finite.max():
        return f"constant {finite[0]:.3g}" if finite[0] else "all zero"
    return ""


def brightest(values: NDArray[np.float64]) -> float:
    """Return the value of the full color: the 99.5th percentile, or the maximum if that is 0, or 1."""
    return float(np.quantile(values, 0.995)) or float(values.max()) or 1.0


def _crossed(shape: tuple[int, int]) -> RGB:
    picture = np.full((*shape, 3), _rgb(MISSING), np.uint8)
    y, x = np.indices(shape)
    picture[np.abs(y * shape[1] + x * shape[0] - shape[0] * shape[1]) < max(shape)] = _rgb("#9aa1ac")
    return picture


def _rgb(color: str) -> list[int]:
    return [round(255 * c) for c in mpl.colors.to_rgb(color)]


def photograph(photos: str | PathLike[str], image: str, side: int) -> RGB | None:
    """Read the photograph of an image: the file of that name, with any usual suffix, below a folder.

    Parameters
    ----------
    photos : str or Path
        The folder.
    image : str
        Id of the image: its path below the folder, with or without a suffix.
    side : int
        Of the picture's longer side, in pixels.

    Returns
    -------
    (y, x, 3) uint8 or None
        None if there is no such file, it is no picture, or it lies outside the folder.
    """
    path = photo_path(photos, image)
    try:
        if path is not None:
            with Image.open(path) as opened:
                opened.draft("RGB", (2 * side, 2 * side))
                picture = opened.convert("RGB")
                picture.thumbnail((side, side))
                return np.asarray(picture)
    except (OSError, ValueError, Image.DecompressionBombError):
        pass
    return None


def photo_path(photos: str | PathLike[str], image: str) -> Path | None:
    """Return the file of an image's photograph, if there is one in the folder."""
    root = Path(photos).resolve()
    for suffix in ("", *PHOTO_SUFFIXES, *(s.upper() for s in (*PHOTO_SUFFIXES[:3], ".JPEG"))):
        try:
            path = Path(f"{root / image}{suffix}").resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
        except (OSError, ValueError):
            continue
    return None


def mosaic(
    tiles: Sequence[Sequence[RGB | None]], gap: int
) -> tuple[NDArray[np.uint8], list[float], list[float]]:
    """Lay tiles out in rows and columns, centered in cells of one size, on nothing.

    Returns
    -------
    picture : (y, x, 4) uint8
    rows, columns : list of float
        Centres of the rows and columns in pixels.
    """
    sizes = [t.shape[:2] for row in tiles for t in row if t is not None]
    height, width = (max(s[axis] for s in sizes) for axis in (0, 1))
    count = len(tiles[0])
    picture = np.zeros((len(tiles) * (height + gap) - gap, count * (width + gap) - gap, 4), np.uint8)
    for i, row in enumerate(tiles):
        for j, one in enumerate(row):
            if one is not None:
                y = i * (height + gap) + (height - one.shape[0]) // 2
                x = j * (width + gap) + (width - one.shape[1]) // 2
                picture[y : y + one.shape[0], x : x + one.shape[1], :3] = one
                picture[y : y + one.shape[0], x : x + one.shape[1], 3] = 255
    rows = [i * (height + gap) + height / 2 - 0.5 for i in range(len(tiles))]
    columns = [j * (width + gap) + width / 2 - 0.5 for j in range(count)]
    return picture, rows, columns


@any_script
def maps_sheet(
    maps: xr.DataArray,
    ax: Axes | None = None,
    *,
    models: Sequence[str] | None = None,
    images: Sequence[str] | None = None,
    photos: str | PathLike[str] | None = None,
    side: int = 160,
) -> Axes:
    """Draw a sheet of maps: models down, images across.

    Parameters
    ----------
    maps : DataArray (model, image, y, x)
        From :func:`salzarr.open_maps`; only the maps shown are read.
    ax : Axes, optional
        Where to draw; by default in a new figure.
    models, images : sequence of str, optional
        Which to show; by default the first 30 models, and 12 images spread evenly over all.
    photos : str or Path, optional
        Folder of the photographs, which become the first row.
    side : int
        Of one map in the picture, in pixels.

    Returns
    -------
    Axes

    Raises
    ------
    UsageError
        If there is no such model or image.

    Notes
    -----
    Each map has its own scale, from its smallest value to its 99.5th percentile (see :func:`tile`).
    """
    names = [str(m) for m in maps["model"].values]
    ids = [str(i) for i in maps["image"].values]
    rows = _indices("model", names, models, SHEET_MODELS, spread=False)
    columns = _indices("image", ids, images, SHEET_IMAGES, spread=True)
    chosen = maps.isel({MODEL: rows, IMAGE: columns}).transpose(MODEL, IMAGE, Y, X).compute()
    tiles: list[list[RGB | None]] = [[tile(one, side) for one in row] for row in chosen.values]
    marks = flaws(chosen).tolist()
    labels = short(names[k] for k in rows)
    if photos is not None:
        tiles.insert(0, [photograph(photos, ids[k], side) for k in columns])
        labels.insert(0, "photograph")
        marks.insert(0, [""] * len(columns))
    shown = f"{len(rows)} of {len(names)} models, {len(columns)} of {len(ids):,} images"
    note = f"{shown}; each map has its own scale"
    return draw_tiles(tiles, marks, labels, short((ids[k] for k in columns), 22), "Saliency maps", note, ax)


def draw_tiles(
    tiles: Sequence[Sequence[RGB | None]],
    marks: Sequence[Sequence[str]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
    note: str,
    ax: Axes | None,
    gap: int = 6,
) -> Axes:
    """Draw tiles in rows and columns, with a mark in some, and names at the left and below."""
    picture, rows, columns = mosaic(tiles, gap)
    inch = 0.95 if len(column_names) <= 14 else 0.6
    high = picture.shape[0] / picture.shape[1] * inch * len(column_names)
    margin = 0.075 * max(map(len, row_names)) + 0.3
    ax = ensure_axes(ax, (inch * len(column_names) + margin, high + 1.9))
    ax.imshow(picture, interpolation="antialiased")
    paper = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}
    low = (rows[0] + 0.5) * 0.85  # below the middle of a tile
    for i, j in np.ndindex(len(rows), len(columns)):
        if marks[i][j]:
            ax.text(columns[j], rows[i] + low, marks[i][j], ha="center", va="bottom", fontsize=6, color=INK,
                    bbox=paper)  # fmt: skip
    name_ticks(ax, "y", rows, row_names, 8)
    name_ticks(ax, "x", columns, column_names, 7.5)
    for spine in ax.spines.values():
        spine.set_visible(False)
    heading(ax, title, note)
    return ax


def _indices(
    what: str, names: list[str], wanted: Sequence[str] | None, most: int, *, spread: bool
) -> list[int]:
    if wanted is None:
        if len(names) <= most:
            return list(range(len(names)))
        return [round(k) for k in np.linspace(0, len(names) - 1, most)] if spread else list(range(most))
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise UsageError(
            f"no {what} {unknown[0]!r} in these maps" if unknown else f"name at least one {what}"
        )
    return [names.index(name) for name in wanted]
