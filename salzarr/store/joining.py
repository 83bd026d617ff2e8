"""Join the maps of several models by image: their names, and one size for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import InputError, ShapeError
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Source
from salzarr.store.records import checksum
from salzarr.store.stored_source import StoredModel


@dataclass(frozen=True)
class NamedSource:
    """A model's maps in their source, and the names of their images, unless these are positions."""

    model: str
    ids: tuple[str, ...]
    source: Source
    named: bool = True
    factors: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> NDArray[np.void] | None:
        """What is known of the maps (dtype FACT), where they come from another store."""
        return self.source.facts if isinstance(self.source, StoredModel) else None

    def stored_as(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NamedSource:
        """Return the same model, to be compared with or written to a store of this size and dtype."""
        if not isinstance(self.source, StoredModel):
            return self
        return replace(self, source=self.source.stored_as(shape, dtype))

    def checksums(self) -> list[int]:
        """Return the checksum of each input; one that is not known is read."""
        if self.facts is not None:
            return [int(crc) for crc in self.facts["source_crc"]]
        return [checksum(raw) for raw in self.source.read()]

    def select(self, positions: Sequence[int]) -> NamedSource:
        """Return the same model with these maps only."""
        return replace(
            self,
            ids=tuple(self.ids[position] for position in positions),
            source=self.source.select(positions),
        )


def join(sources: Sequence[NamedSource]) -> list[str]:
    """Return the names of all images: the one rule that joins the maps of several models.

    Maps join by the names of their images. Unnamed maps join by position, with unnamed maps only, and only if
    there are equally many; InputError otherwise.
    """
    for item in [source for source in sources if not source.named][:1]:  # what joins with it joins with all
        for other in sources:
            check_joins(item, () if other.named else other.ids, other.model)
    return union([source.ids for source in sources])


def check_joins(item: NamedSource, ids: Sequence[str], other: str) -> None:
    """Refuse to join maps that have no names with others by position."""
    if not item.named and set(item.ids) != set(ids):
        count = f"the {len(ids)} maps" if ids else "the named maps"
        raise InputError(
            f"the {len(item.ids)} maps of {item.model} have no names, so they cannot be joined with {count} "
            f"of {other}; give their names with --names FILE, in a text file beside the stack, or as a "
            "coordinate 'image'"
        )


def union(lists: Sequence[Sequence[str]]) -> list[str]:
    """Join names: sorted if every list is sorted, else in order of appearance.

    >>> union([["a", "c"], ["b", "c"]]), union([["c", "a"], ["b"]])
    (['a', 'b', 'c'], ['c', 'a', 'b'])
    """
    joined = list(dict.fromkeys(id_ for ids in lists for id_ in ids))
    return sorted(joined) if all(list(ids) == sorted(ids) for ids in lists) else joined


def shapes_of(source: Source) -> list[tuple[int, ...] | None]:
    """Read the shapes; None for a map that cannot be read, which converting it will report."""
    try:
        return list(source.shapes())
    except InputError:
        found: list[tuple[int, ...] | None] = []
        for position in range(len(source.ids)):
            try:
                found += source.select([position]).shapes()
            except InputError:
                found.append(None)
        return found


def factors_of(
    models: Sequence[str], sources: Sequence[NamedSource], known: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the factors of all models, a value for each; empty where a model has none."""
    names = dict.fromkeys([*known, *(name for source in sources for name in source.factors)])
    table = {name: dict(zip(models, known.get(name, ()), strict=False)) for name in names}
    for source in sources:
        for name, value in source.factors.items():
            table[name][source.model] = value
    return {name: [values.get(model, "") for model in models] for name, values in table.items()}


def common_size(labelled: Sequence[NamedSource], recipe: Recipe) -> tuple[int, int]:
    """Return the one size of all maps, from their headers; ShapeError with a table if there are several."""
    sizes: dict[str, dict[tuple[int, int], list[str]]] = {}
    with ThreadPoolExecutor() as pool:
        for item, shapes in zip(
            labelled, pool.map(lambda item: shapes_of(item.source), labelled), strict=True
        ):
            found = sizes.setdefault(item.model, {})
            made: dict[tuple[int, ...], tuple[int, int]] = {}
            for position, shape in enumerate(shapes):
                if shape is None:
                    continue
                if shape not in made:
                    where = item.source.select([position]).origins()[0]
                    made[shape] = recipe.shape(shape, where, row=item.source.rows_of_stack)
                found.setdefault(made[shape], []).append(item.ids[position])
    total: Counter[tuple[int, int]] = Counter()
    for found in sizes.values():
        total.update({size: len(ids) for size, ids in found.items()})
    if recipe.size is not None:
        return recipe.size
    if not total:
        labelled[0].source.shapes()  # raises: not one of the maps can be read
    if len(total) > 1:
        raise ShapeError(_table_of_sizes(sizes, total))
    return next(iter(total))


def _table_of_sizes(
    sizes: Mapping[str, Mapping[tuple[int, int], Sequence[str]]], total: Counter[tuple[int, int]]
) -> str:
    """Say which model has maps of which sizes, and name those that are few."""
    width = max(map(len, sizes))
    rows = []
    for model, found in sizes.items():
        cells = []
        for (height, breadth), ids in sorted(found.items(), key=lambda item: -len(item[1])):
            few = len(ids) < 4 and len(found) > 1
            cells.append(f"{height}x{breadth} ({len(ids)}{': ' + ', '.join(ids) if few else ''})")
        rows.append(f"  {model:{width}}  {', '.join(cells)}")
    height, breadth = total.most_common(1)[0][0]
    return "\n".join(
        [
            "the maps have different sizes (height x width, and how many):",
            *rows,
            f"resize them all to one, such as with --size {height}x{breadth}",
        ]
    )
