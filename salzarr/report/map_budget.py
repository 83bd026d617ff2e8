"""Choose the maps that a page carries within its size: those of the galleries and of the pairs' extremes."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.utils import format_bytes
from numpy.typing import NDArray

from salzarr.plot.map_pictures import flaw, photograph
from salzarr.report.image_lists import ENDS, gallery
from salzarr.report.page_inputs import Page
from salzarr.report.tiles import SIDES, as_uri, store
from salzarr.schema import IMAGE, MAP_STATUS, MODEL, Status, X, Y
from salzarr.statistics.analysis import EXTREMES

logger = logging.getLogger(__name__)

ACROSS = 14
"""Models whose maps stand side by side; of more models a gallery shows a choice."""
SAMPLE = 12
"""Images encoded to estimate the size of a map."""
READ_BYTES = 64 << 20
"""Bytes of maps read at a time."""
SPARE = 40
"""Bytes of a stored map beside its picture: its range, and the JSON around it."""

Cell = tuple[int, int]
"""The map of an image on a model, both by number on the page."""


def representatives(count: int, leaves: Sequence[int] | None) -> list[int]:
    """Choose whose maps a gallery shows: all models, or some that are spread over their tree."""
    if count <= ACROSS:
        return list(range(count))
    order = list(range(count)) if leaves is None else list(leaves)
    return sorted(order[round(k)] for k in np.linspace(0, count - 1, ACROSS))


def wanted(
    data: Sequence[dict[str, Any]], pairs: Sequence[Sequence[int]], count: int, shown: Sequence[int]
) -> Iterator[Cell]:
    """Yield the maps that a page of ``count`` models should carry, the most useful first.

    First those of the galleries; then those of the extremes of every pair by place, at each place the images
    first that most pairs list; then the galleries' other models.
    """
    images = gallery(data)
    yield from ((image, model) for image in images for model in shown)
    listings = [list(_listings(data, pairs, place)) for place in range(EXTREMES)]
    popular = Counter(image for listing in listings for image, _ in listing)
    for listing in listings:
        for image, ends in sorted(listing, key=lambda entry: -popular[entry[0]]):
            yield from ((image, model) for model in ends)
    yield from ((image, model) for image in images for model in range(count))


def _listings(
    data: Sequence[dict[str, Any]], pairs: Sequence[Sequence[int]], place: int
) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield what the pairs list at one place: (image, the two models)."""
    for metric in data:
        for end in ENDS:
            for row, listed in enumerate(metric["extremes"][end]):
                if place < len(listed):
                    yield listed[place][0], pairs[row % len(pairs)]


def carry(
    page: Page, models: Sequence[str], cells: Iterable[Cell], images: Sequence[str], room: int
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Store as many of the wanted maps as fit ``room`` bytes.

    Returns
    -------
    facts : dict
        The side in pixels, how many maps were wanted and how many are carried, and the
        bytes of a page with all.
    stored : dict of image number to {"photo", "maps", "flaws"}
        The last two by model number.
    """
    reader = _Reader(page, models, images)
    order = [cell for cell in dict.fromkeys(cells) if reader.has(cell)]
    facts = {"side": 0, "native": reader.native, "wanted": len(order), "carried": 0, "needed": 0}
    if not order:
        return facts, {}
    side, map_bytes, photo_bytes = _choose_side(reader, order, room)
    facts["side"] = side
    whole = len(order) * map_bytes + len({image for image, _ in order}) * photo_bytes
    facts["needed"] = page.size - room + whole
    chosen = _affordable(order, room, map_bytes, photo_bytes)
    stored = reader.read(chosen, side)
    _drop_what_is_too_much(stored, chosen, room)
    facts["carried"] = sum(len(one["maps"]) + len(one["flaws"]) for one in stored.values())
    if facts["carried"] < len(order):
        logger.info(
            "the report carries %s of %s maps; for all of them, set the report size to about %s",
            f"{facts['carried']:,}", f"{len(order):,}", format_bytes(facts["needed"]),
        )  # fmt: skip
    return facts, stored


def _choose_side(reader: _Reader, order: Sequence[Cell], room: int) -> tuple[int, int, int]:
    """Choose the largest side at which all fits: (side, mean bytes of a map, and of a photograph)."""
    step = max(1, len(order) // SAMPLE)
    sample = list(order[::step])[:SAMPLE]
    count, photos = len(order), len({image for image, _ in order})
    sides = sorted({min(side, reader.native) for side in SIDES}, reverse=True)
    for side in sides:
        stored = reader.read(sample, side)
        weights = [_weigh(one) for one in stored.values()]
        map_bytes = sum(weight for weight, _ in weights) // len(sample) + 1
        photo_bytes = sum(photo for _, photo in weights) // len(stored)
        if count * map_bytes + photos * photo_bytes <= room:
            break
    return side, map_bytes, photo_bytes


def _weigh(stored: dict[str, Any]) -> tuple[int, int]:
    """Count the bytes of an image's maps, and of its photograph."""
    photo = len(stored["photo"] or "")
    return len(json.dumps(stored)) + SPARE - photo, photo


def _affordable(order: Sequence[Cell], room: int, map_bytes: int, photo_bytes: int) -> list[Cell]:
    """Take the first maps that fit by the estimate, and a few more: their real size decides later."""
    chosen: list[Cell] = []
    known: set[int] = set()
    left = room * 1.1
    for image, model in order:
        left -= map_bytes + (0 if image in known else photo_bytes)
        if left < 0:
            break
        known.add(image)
        chosen.append((image, model))
    return chosen


def _drop_what_is_too_much(stored: dict[int, dict[str, Any]], chosen: list[Cell], room: int) -> None:
    """Remove the last maps until the others fit."""
    left = room - sum(sum(_weigh(one)) for one in stored.values())
    while left < 0 and chosen:
        image, model = chosen.pop()
        one = stored[image]
        before = sum(_weigh(one))
        one["maps"].pop(model, None)
        one["flaws"].pop(model, None)
        if one["maps"] or one["flaws"]:
            left += before - sum(_weigh(one))
        else:
            left += before
            del stored[image]


class _Reader:
    """Reads maps and photographs by their numbers on the page, in the order in which a store has them."""

    def __init__(self, page: Page, models: Sequence[str], images: Sequence[str]) -> None:
        maps = page.maps
        assert maps is not None
        self.maps = maps.transpose(MODEL, IMAGE, Y, X)
        self.photos = page.photos
        self.images = images
        rows, columns = (
            {str(name): k for k, name in enumerate(maps[axis].values)} for axis in (MODEL, IMAGE)
        )
        self.rows = [rows.get(model, -1) for model in models]
        self.columns = [columns.get(image, -1) for image in images]
        self.native = max(maps.sizes[Y], maps.sizes[X])
        status = maps.coords.get(MAP_STATUS.name)
        self.status = None if status is None else status.transpose(MODEL, IMAGE)

    def has(self, cell: Cell) -> bool:
        """Whether there is such a model and image among the maps."""
        return self.columns[cell[0]] >= 0 and self.rows[cell[1]] >= 0

    def read(self, cells: Sequence[Cell], side: int) -> dict[int, dict[str, Any]]:
        """Read and store maps at a side in pixels, each chunk of the store once."""
        models: dict[int, list[int]] = {}
        for image, model in cells:
            models.setdefault(image, []).append(model)
        order = sorted(models, key=lambda image: self.columns[image])
        width = self.maps.sizes[MODEL] * self.maps.sizes[Y] * self.maps.sizes[X] * self.maps.dtype.itemsize
        step = max(1, READ_BYTES // max(width, 1))
        stored: dict[int, dict[str, Any]] = {}
        for first in range(0, len(order), step):
            batch = order[first : first + step]
            rows = sorted({self.rows[model] for image in batch for model in models[image]})
            columns = [self.columns[image] for image in batch]
            values = self.maps.isel({MODEL: rows, IMAGE: columns}).compute().values
            for k, image in enumerate(batch):
                own = {model: values[rows.index(self.rows[model]), k] for model in models[image]}
                stored[image] = self._stored(image, own, side)
        return {image: stored[image] for image in models}

    def _stored(self, image: int, maps: dict[int, NDArray[Any]], side: int) -> dict[str, Any]:
        photo = None if self.photos is None else photograph(self.photos, self.images[image], side)
        tiles = {model: store(one, side) for model, one in maps.items()}
        wrong = {model: flaw(one, missing=self._missing(image, model, one)) for model, one in maps.items()}
        return {
            "photo": None if photo is None else as_uri(photo),
            "maps": {model: tile.as_list() for model, tile in tiles.items() if tile.uri},
            "flaws": {model: text for model, text in wrong.items() if text},
        }

    def _missing(self, image: int, model: int, one: NDArray[Any]) -> bool:
        if self.status is None:
            return bool(np.isnan(one).all())
        status: xr.DataArray = self.status[self.rows[model], self.columns[image]]
        return bool(int(status) & Status.MISSING)
