"""What a report shows beside the numbers of the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import xarray as xr

REPORT_SIZE = 20_000_000
"""Default limit of a page's size, in bytes."""


@dataclass(frozen=True)
class Page:
    """What a report shows beside the numbers; what is missing is left out, and the page says so.

    Parameters
    ----------
    title : str
    comment : str
        Shown below the title.
    findings : sequence of str
        Sentences shown at the top.
    size : int
        Limit in bytes: the page carries as many maps as fit beside the numbers.
    maps : DataArray (model, image, y, x), optional
        For pictures; only the maps shown are read. A coordinate ``map_status`` tells missing maps from
        those that are all NaN.
    facts : Dataset, optional
        From :func:`salzarr.store.facts`, for the degenerate maps.
    photos : path, optional
        Folder of the photographs.
    commands : sequence of str
        What was run to make the report.
    provenance : mapping of str to value
    """

    title: str = "Saliency maps compared"
    comment: str = ""
    findings: Sequence[str] = ()
    size: int = REPORT_SIZE
    maps: xr.DataArray | None = None
    facts: xr.Dataset | None = None
    photos: str | PathLike[str] | None = None
    commands: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
