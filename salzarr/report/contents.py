"""What a report shows, before it becomes a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import pandas as pd
import xarray as xr

from salzarr.statistics.rows import MEMORY

REPORT_SIZE = 20_000_000
"""Bytes that a page may weigh unless told otherwise."""


@dataclass(frozen=True)
class Page:
    """What stands around the numbers of a report.

    Parameters
    ----------
    title : str, optional
    comment : str
        What its writer has to say, shown below the title.
    findings : sequence of str
        What the numbers say, in sentences, shown at the top.
    size : int
        Bytes that the page may weigh: as many maps are carried as fit beside the numbers.
    """

    title: str | None = None
    comment: str = ""
    findings: Sequence[str] = ()
    size: int = REPORT_SIZE


@dataclass(frozen=True)
class Contents:
    """What a report shows; what is None is left out, and the page says so.

    Parameters
    ----------
    summary : Dataset
        Of :func:`salzarr.summarize`, without groups.
    scores : Dataset, optional
        For the distributions, and for the images on which models agree least and most.
    groups : Dataset, optional
        The summary with groups.
    corrected : Dataset, optional
        Of :func:`salzarr.statistics.baseline.corrected`.
    consensus : Dataset, optional
        Of :func:`salzarr.statistics.consensus.agreement`, summarized.
    reliability : Dataset, optional
        Of :func:`salzarr.statistics.inference.split_half`.
    tests : DataFrame, optional
        Of :func:`salzarr.statistics.inference.closer`.
    maps : DataArray (model, image, y, x), optional
        For pictures; only the maps shown are read. A coordinate ``map_status`` tells missing maps from
        those that are all NaN.
    facts : Dataset, optional
        Of :func:`salzarr.store.facts`, for the degenerate maps.
    photos : path, optional
        Folder of the photographs.
    title : str
    commands : sequence of str
        Which make the report again.
    provenance : mapping of str to value
    memory : int
        Bytes that may be used to look at the scores.
    """

    summary: xr.Dataset
    scores: xr.Dataset | None = None
    groups: xr.Dataset | None = None
    corrected: xr.Dataset | None = None
    consensus: xr.Dataset | None = None
    reliability: xr.Dataset | None = None
    tests: pd.DataFrame | None = None
    maps: xr.DataArray | None = None
    facts: xr.Dataset | None = None
    photos: str | PathLike[str] | None = None
    page: Page = Page()
    commands: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    memory: int = MEMORY
