"""Put scores together into a dataset with names and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from salzarr.errors import UsageError
from salzarr.schema import (
    ATTR_FORMAT,
    ATTR_KIND,
    FORMAT_VERSION,
    IMAGE,
    KIND_SCORES,
    MODEL_A,
    MODEL_B,
    PAIR,
)
from salzarr.scores.request import Request
from salzarr.scores.scoring import fields

Coordinates = dict[str, tuple[Any, Any]]


def assemble(request: Request, scores: Mapping[str, Any]) -> xr.Dataset:
    """Make the dataset of a request from the values of its variables, of NumPy or Dask."""
    names = list(request.design.names(request.models))
    return xr.Dataset(
        {
            field.name: ((PAIR, IMAGE), scores[field.name], field.attrs)
            for metric in request.metrics
            for field in fields(metric)
        },
        coordinates(request) | {name: ((PAIR, IMAGE), scores[name]) for name in request.design.more},
        {ATTR_KIND: KIND_SCORES, ATTR_FORMAT: FORMAT_VERSION, "models": names, **request.notes},
    )


def coordinates(request: Request) -> Coordinates:
    """Return the names of the pairs and the images, with their labels."""
    names = np.array(request.design.names(request.models), str)
    a, b = request.pairs.T
    found: Coordinates = {
        MODEL_A: (PAIR, names[a]),
        MODEL_B: (PAIR, names[b]),
        IMAGE: (IMAGE, np.array(request.images, str)),
    }
    labels = label_coordinates(request)
    taken = {*found, PAIR, *(field.name for metric in request.metrics for field in fields(metric))}
    for name in labels:
        if name in taken or "/" in name:
            raise UsageError(f"the label {name!r} has the name of a variable of the scores; rename it")
    return found | labels


def label_coordinates(request: Request) -> Coordinates:
    """Return the labels of the images, and those of the models for either model of each pair."""
    a, b = request.pairs.T
    extra = len(request.design.names(request.models)) - len(request.models)
    found: Coordinates = {}
    for name, (dim, values) in request.maps.labels.items():
        if dim == IMAGE:
            found[name] = (IMAGE, values)
        else:
            known = np.concatenate([values, np.full(extra, None)]) if extra else values
            found |= {f"{name}_a": (PAIR, known[a]), f"{name}_b": (PAIR, known[b])}
    return found
