"""The report of a conversion, and what a store remembers of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr._version import __version__
from salzarr.errors import listed, without_secrets
from salzarr.schema import Status
from salzarr.sources.reading import Reading
from salzarr.store.conversion import Conversion
from salzarr.store.layout import MapsStore
from salzarr.store.records import degenerate
from salzarr.watching import html_table

COLUMNS = ("model", "images", "missing", "only here")
"""Of a report's table."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did, and what the store holds now.

    Attributes
    ----------
    store : str
        Its location.
    models : tuple of str
        All models of the store.
    images : int
        Number of images of the store.
    shape : (int, int)
        Height and width of the maps.
    written, bytes : int
        Maps that this run wrote, and their bytes before compression.
    kept : int
        Maps of the source that were in the store already.
    missing : dict of str to int
        Number of images that a model lacks and others have, for each such model.
    extra : dict of str to int
        Number of images that only one model has, for each such model.
    degenerate : dict of str to int
        Maps that are ``non_finite``, ``constant`` (not 0), ``all_zero`` or ``negative`` somewhere.
    resized : int
        Maps of the store that had another size.
    seconds : float
        Duration.
    lost : tuple of str
        A sentence for each model of which no map could be read.
    """

    store: str
    models: tuple[str, ...]
    images: int
    shape: tuple[int, int]
    written: int
    bytes: int
    missing: dict[str, int]
    extra: dict[str, int]
    degenerate: dict[str, int]
    resized: int
    seconds: float
    kept: int = 0
    lost: tuple[str, ...] = ()

    def table(self) -> list[tuple[str, int, int, int]]:
        """Return each model's name, its images, those it lacks and those that it alone has."""
        missing, extra = self.missing, self.extra
        return [(m, self.images - missing.get(m, 0), missing.get(m, 0), extra.get(m, 0)) for m in self.models]

    def _repr_html_(self) -> str:
        """Show what is in the store, in a notebook."""
        height, width = self.shape
        facts = f"{len(self.models)} models x {self.images:,} images, {height} x {width}"
        head = f"<p><b>{escape(self.store)}</b>: {facts}; {self.written:,} maps written</p>"
        return head + html_table(COLUMNS, self.table())


def make_report(
    store: MapsStore, conversion: Conversion, lost: Sequence[str], seconds: float
) -> ConvertReport:
    """Count what the store holds now, and log what is missing or unexpected."""
    there = conversion.facts["map_status"] & Status.MISSING == 0
    owners = there.sum(axis=0)
    missing = _by_model(conversion, ~there & (owners > 0), "lacks", " that others have")
    alone = there & (owners == 1) if len(conversion.models) > 1 else np.zeros_like(there)
    extra = _by_model(conversion, alone, "alone has", "")
    for model, some, own in zip(conversion.models, there, alone, strict=True):
        if some.any() and np.array_equal(some, own):
            name = conversion.images[int(np.argmax(some))]
            logger.warning(
                "%s has no image in common with the others, and cannot be compared: its names are such as "
                "%s; convert again with --overwrite and --rename or --strip-suffix to match the names",
                model,
                name,
            )
    _log_channels(conversion)
    height, width = store.shape
    return ConvertReport(
        store=store.url,
        models=tuple(conversion.models),
        images=len(conversion.images),
        shape=(height, width),
        written=conversion.maps,
        bytes=conversion.maps * height * width * store.maps.dtype.itemsize,
        missing=missing,
        extra=extra,
        degenerate=degenerate(conversion.facts),
        resized=int((conversion.facts["map_status"] & Status.RESIZED > 0).sum()),
        seconds=seconds,
        kept=conversion.kept,
        lost=tuple(lost),
    )


def _log_channels(conversion: Conversion) -> None:
    """Log which maps lost an alpha channel, or were made of colors."""
    for flag, level, what in (
        (Status.ALPHA, logging.INFO, "had an alpha channel, which was dropped"),
        (
            Status.COLORS,
            logging.WARNING,
            "are made of channels that differ as colors do. If a color map (jet, viridis) was drawn, the map "
            "cannot be had back from it: convert the maps themselves, saved with numpy.save",
        ),
    ):
        rows, columns = np.nonzero(conversion.facts["map_status"] & flag)
        if rows.size:
            first = f"{conversion.models[rows[0]]}, image {conversion.images[columns[0]]}"
            logger.log(level, "%s maps %s; the first is %s", f"{rows.size:,}", what, first)


def _by_model(conversion: Conversion, mask: NDArray[np.bool_], verb: str, which: str) -> dict[str, int]:
    """Count and log the images of each model that a mask marks."""
    counts = {}
    for model, row in zip(conversion.models, mask, strict=True):
        if row.any():
            names = [conversion.images[at] for at in np.flatnonzero(row)]
            counts[model] = len(names)
            images = "image" if len(names) == 1 else "images"
            logger.info("%s %s %d %s%s: %s", model, verb, len(names), images, which, listed(names))
    return counts


def provenance(origin: dict[str, Any], report: ConvertReport, earlier: Any) -> dict[str, Any]:
    """Return what a store remembers of how it was made; of each run that added to it."""
    run = {
        **origin,
        "salzarr": __version__,
        "written": report.written,
        "missing": report.missing,
        "extra": report.extra,
        "lost": list(report.lost),
    }
    return {"runs": [*(earlier or {}).get("runs", []), without_secrets(run)]}


def reading_attrs(reading: Reading) -> dict[str, Any]:
    """Return what a store remembers of how its source was read: all that is not by default."""
    plain = Reading()
    return {
        name: remembered(value)
        for name, value in vars(reading).items()
        if value != getattr(plain, name) and not callable(value)
    }


def remembered(given: Any) -> Any:
    """Return an argument as a store can remember it: paths, names and choices; of anything else its type.

    >>> from pathlib import Path
    >>> remembered({"VGG16": Path("maps/vgg")}), remembered([1.5])
    ({'VGG16': 'maps/vgg'}, ['float'])
    """
    if isinstance(given, (str, os.PathLike)):
        return str(os.fspath(given))
    if isinstance(given, Mapping):
        return {str(name): remembered(value) for name, value in given.items()}
    return [remembered(item) for item in given] if isinstance(given, (list, tuple)) else type(given).__name__
