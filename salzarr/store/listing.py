"""What a source holds, as a conversion would read it, without reading a map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import FileMaps
from salzarr.store.gathering import gather
from salzarr.store.joining import NamedSource, join, shapes_of

EXAMPLES = 2


@dataclass(frozen=True)
class ListedModel:
    """One model of a source: its name and factors, and what its maps are, by their headers."""

    name: str
    factors: dict[str, str]
    images: int
    examples: tuple[str, ...]
    shapes: tuple[str, ...]
    format: str
    first: str


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes
    ----------
    models : tuple of ListedModel
    images : int
        Of all models together.
    lost : tuple of str
        Models of which no map can be read.
    """

    models: tuple[ListedModel, ...]
    images: int
    lost: tuple[str, ...]


def list_source(source: Any, **reading: Any) -> Listing:
    """Look at a source; the parameters are those of :func:`salzarr.convert` that tell how it is read.

    Raises
    ------
    InputError, UsageError
        As the conversion would.
    """
    findings = Findings()
    sources = gather(source, Reading.of(**reading), findings)
    models = tuple(_listed(item) for item in sources)
    return Listing(models, len(join(sources)), tuple(findings.lost))


def _listed(item: NamedSource) -> ListedModel:
    shapes = Counter(shape for shape in shapes_of(item.source))
    return ListedModel(
        item.model,
        dict(item.factors),
        len(item.ids),
        item.ids[:EXAMPLES],
        tuple(
            f"{shape if shape else 'unreadable'}{f' ({count})' if len(shapes) > 1 else ''}"
            for shape, count in shapes.most_common()
        ),
        item.source.format.name if isinstance(item.source, FileMaps) else "in a store or in memory",
        item.source.select([0]).origins()[0],
    )
