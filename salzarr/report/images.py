"""What single images say: distributions, the images at either end, and their thumbnails."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, features

from salzarr.plot.maps import flaws, photograph, tile
from salzarr.report.contents import Contents
from salzarr.report.data import Numbering, as_json, by_row, numbers
from salzarr.schema import IMAGE, MODEL, X, Y
from salzarr.statistics import ranking
from salzarr.statistics.rows import model_names

logger = logging.getLogger(__name__)

PICTURES = 40
"""How many images carry thumbnails, at most."""
PAGE_BYTES = 18 << 20
"""What the data of a page may weigh: thumbnails beyond that are left out, and their images listed by name."""
PICTURE_SIDE = 96
"""Of a thumbnail, in pixels."""
EXTREMES = 5
"""How many images a pair lists at either end."""
SCORE_BYTES = 10
"""Of one score of a pair on an image that is shown, in the page's data."""
RANKED = 4
"""How many images a metric's gallery shows at either end."""
ENDS = {"least": "least_alike", "most": "most_alike"}


def add_images(
    data: Sequence[dict[str, Any]], contents: Contents, slugs: Sequence[str], images: Numbering[int]
) -> list[dict[str, Any]]:
    """Add to each metric what single images say, and give the pictures of the images that tell most.

    Images are known by their position along the scores, and numbered as the page comes to mention them.
    """
    scores = contents.scores
    assert scores is not None
    memory = contents.memory
    found = ranking.extremes(scores, EXTREMES, memory=memory)
    spread = ranking.histograms(scores, memory=memory)
    ranks = ranking.rank_images(scores, memory=memory)
    for slug, metric in zip(slugs, data, strict=True):
        edges = spread[f"{slug}_edge"].values
        metric["histogram"] = {
            "edges": numbers(edges[[0, -1]]),
            "counts": by_row(spread[f"{slug}_count"], "bin").tolist(),
        }
        metric["ranking"] = _ranked(ranks, slug, images)
        metric["extremes"] = {}
        for end, label in ENDS.items():
            at, score = (
                by_row(found[f"{slug}_{what}"].sel(end=label), "place") for what in ("image", "score")
            )
            metric["extremes"][end] = [_listed(*row, images) for row in zip(at, score, strict=True)]
    weight = sum(len(as_json(metric)) for metric in data)
    rows = sum(len(metric["extremes"]["least"]) for metric in data)
    pictures = _pictures(contents, _worth_seeing(data, images), PAGE_BYTES - weight, SCORE_BYTES * rows)
    shown = [picture["image"] for picture in pictures]
    for slug, metric in zip(slugs, data, strict=True):
        metric["shown"] = numbers(by_row(scores[slug].isel({IMAGE: shown}), IMAGE), 6)
    for picture in pictures:
        picture["image"] = images[picture["image"]]
    return pictures


def _ranked(ranks: xr.Dataset, slug: str, images: Numbering[int]) -> dict[str, list[list[Any]]]:
    """List the images on which the models disagree most and least, with their mean score over pairs."""
    score, rank = ranks[slug].values, ranks[f"{slug}_rank"].values
    order = np.argsort(rank, kind="stable")
    order = order[np.isfinite(score[order])]
    ends = {"least": order[:RANKED], "most": order[::-1][:RANKED]}
    return {end: _listed(at, score[at], images) for end, at in ends.items()}


def _listed(
    positions: NDArray[np.intp], scores: NDArray[np.float64], images: Numbering[int]
) -> list[list[Any]]:
    """List images as [number, score], without the places that no image fills."""
    listed = zip(positions.tolist(), numbers(scores, 6), strict=True)
    return [[images[position], score] for position, score in listed if position >= 0]


def _worth_seeing(data: Sequence[dict[str, Any]], images: Numbering[int]) -> list[int]:
    """Choose the images to show: those of the galleries in turn, then those that most pairs list."""
    galleries = [[image for image, _ in metric["ranking"][end]] for metric in data for end in ENDS]
    count: Counter[int] = Counter()
    for row in chain.from_iterable(metric["extremes"][end] for metric in data for end in ENDS):
        for place, (image, _) in enumerate(row):
            count[image] += EXTREMES - place
    first = [image for image in chain.from_iterable(zip_longest(*galleries)) if image is not None]
    chosen = dict.fromkeys([*first, *(image for image, _ in count.most_common())])
    positions = list(images)
    return [positions[image] for image in chosen][:PICTURES]


def _pictures(contents: Contents, positions: Sequence[int], room: int, each: int) -> list[dict[str, Any]]:
    """Draw the thumbnails: per image one of each model, and the photograph if there is one.

    ``room`` is what they may weigh in bytes, and ``each`` what an image weighs beside its thumbnails.
    """
    if contents.maps is None or contents.scores is None:
        return []
    at = [{str(name): k for k, name in enumerate(contents.maps[axis].values)} for axis in (MODEL, IMAGE)]
    rows = [at[0].get(model) for model in model_names(contents.summary)]
    pictures: list[dict[str, Any]] = []
    for position in positions:
        name = str(contents.scores[IMAGE].values[position])
        if name not in at[1]:
            continue
        maps = contents.maps.isel({IMAGE: [at[1][name]]}).transpose(MODEL, IMAGE, Y, X).compute()
        uris = [None if k is None else _uri(tile(maps.values[k, 0], PICTURE_SIDE)) for k in rows]
        wrong = flaws(maps)[:, 0]
        photo = None if contents.photos is None else photograph(contents.photos, name, PICTURE_SIDE * 2)
        picture = {
            "image": position,
            "maps": uris,
            "flaws": ["" if k is None else wrong[k] for k in rows],
            "photo": None if photo is None else _uri(photo),
        }
        room -= each + len(json.dumps(picture))
        if room < 0:
            logger.info("%d images carry thumbnails, more would make the page too heavy", len(pictures))
            break
        pictures.append(picture)
    return pictures


def _uri(picture: NDArray[np.uint8]) -> str:
    kind = "WEBP" if features.check("webp") else "JPEG"
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, quality=72)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
