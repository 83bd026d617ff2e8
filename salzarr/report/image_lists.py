"""Data of single images: distributions, and the images at either end of each pair and metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.report.metric_data import Numbering, numbers
from salzarr.schema import IMAGE
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.rows import metric_rows, variables_of

RANKED = 4
"""Images at either end of a metric's gallery."""
ENDS = {"least": "least_alike", "most": "most_alike"}


def list_images(
    data: Sequence[dict[str, Any]],
    analysis: Analysis,
    scores: xr.Dataset,
    slugs: Sequence[str],
    images: Numbering[int],
) -> None:
    """Add the histograms, the gallery and the extremes of the pairs to each metric's data.

    Images are known by their position along the scores, and numbered as the page comes to mention them.
    """
    found, spread = analysis.extremes, analysis.histograms
    for slug, metric in zip(slugs, data, strict=True):
        names = variables_of(scores, slug)
        edges = spread[f"{slug}_edge"].values
        metric["histogram"] = {
            "edges": numbers(edges[[0, -1]]),
            "counts": [row for name in names for row in spread[f"{name}_count"].values.tolist()],
        }
        metric["ranking"] = _ranked(analysis.images, slug, images)
        metric["extremes"] = {}
        for end, label in ENDS.items():
            at, score = (
                np.concatenate([found[f"{name}_{what}"].sel(end=label).values for name in names])
                for what in ("image", "score")
            )
            metric["extremes"][end] = [_listed(*row, images) for row in zip(at, score, strict=True)]
    add_gallery_scores(data, scores, slugs, images)


def add_gallery_scores(
    data: Sequence[dict[str, Any]], scores: xr.Dataset, slugs: Sequence[str], images: Numbering[int]
) -> None:
    """Add what every pair scores on the images of all galleries to each metric's data."""
    shown = gallery(data)
    positions = list(images)
    for slug, metric in zip(slugs, data, strict=True):
        rows = metric_rows(scores, slug).isel({IMAGE: [positions[image] for image in shown]})
        metric["shown"] = numbers(rows.values, 4)


def gallery(data: Sequence[dict[str, Any]]) -> list[int]:
    """List the images of all galleries by number, the first of each metric first."""
    lists = [metric["ranking"][end] for metric in data for end in ENDS]
    return list(dict.fromkeys(one[place][0] for place in range(RANKED) for one in lists if place < len(one)))


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
