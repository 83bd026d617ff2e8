"""Join the maps of several models by image: their names, and one size for all."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import InputError, ShapeError, UsageError, near
from salzarr.sources import FORMATS
from salzarr.sources.discover import STACKED, Entry, Finder, select_models, with_classes
from salzarr.sources.labelled import in_memory
from salzarr.sources.memory import Arrays
from salzarr.sources.names import Rename, clean, duplicates, read_names, relabel, renamer
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Source
from salzarr.store.records import checksum
from salzarr.store.stored_source import StoredModel, is_maps_store, stored_models

logger = logging.getLogger(__name__)

Path = str | os.PathLike[str]
Models = Mapping[str, Path] | Sequence[str]
Names = Path | Sequence[str] | Mapping[str, Path | Sequence[str]]


@dataclass(frozen=True)
class NamedSource:
    """A model's maps in their source, and the names of their images, unless these are positions."""

    model: str
    ids: tuple[str, ...]
    source: Source
    named: bool = True

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


def gather(
    source: Any,
    *,
    glob: str | None = None,
    models: Models | None = None,
    stacked: str = STACKED,
    names: Names | None = None,
    rename: Rename | None = None,
    strip_suffix: Sequence[str] = (),
) -> list[NamedSource]:
    """Find the models of a source and name their maps; the parameters are those of ``convert``."""
    entries = find(source, glob=glob, models=models, stacked=stacked)
    labelled = label(
        entries, names, [strip_suffix] if isinstance(strip_suffix, str) else strip_suffix, rename
    )
    unnamed = [item.model for item in labelled if not item.named]
    if len(unnamed) > 1 and isinstance(source, (str, os.PathLike)):
        logger.warning(
            "the maps of %s have no names, and are joined by their positions; if their orders differ, give "
            "names with --names FILE, or in a text file beside each stack",
            ", ".join(unnamed),
        )
    return labelled


def find(source: Any, *, glob: str | None, models: Models | None, stacked: str) -> list[Entry]:
    """Find the models of a source: in a tree or a file, or in memory."""
    if isinstance(source, (str, os.PathLike)) and is_maps_store(os.fspath(source)):
        return _in_store(os.fspath(source), glob, models)
    finder = Finder(FORMATS, glob, stacked)
    if isinstance(models, Mapping) and isinstance(source, (str, os.PathLike)):
        placed = [(name, os.path.join(source, path)) for name, path in models.items()]
        return with_classes([entry for place in placed for entry in finder.model(*place)])
    if isinstance(source, (str, os.PathLike)):
        entries = with_classes(finder.find(os.fspath(source)))
    elif hasattr(source, "dims") and hasattr(source, "coords"):
        entries = [Entry(model, maps) for model, maps in in_memory(source, "maps").items()]
    elif isinstance(source, Mapping):
        entries = [Entry(str(model), Arrays.of(str(model), values)) for model, values in source.items()]
    else:
        raise InputError(f"maps come from a path, a mapping or an xarray object, not {type(source).__name__}")
    wanted = [models] if isinstance(models, str) else list(models or ())
    return select_models(entries, wanted) if wanted else entries


def _in_store(path: str, glob: str | None, models: Models | None) -> list[Entry]:
    """Find the models of another store; ``{name: model}`` gives them new names."""
    if glob:
        raise UsageError(f"a pattern chooses among files, and {path} is a store; choose with --models")
    sources = stored_models(path)
    if isinstance(models, Mapping):
        for model in models.values():
            if model not in sources:
                hint = near(str(model), list(sources))
                raise UsageError(f"{path} has no model {model!r}; {hint}there are {', '.join(sources)}")
        return [Entry(name, sources[str(model)]) for name, model in models.items()]
    entries = [Entry(model, source) for model, source in sources.items()]
    wanted = [models] if isinstance(models, str) else list(models or ())
    return select_models(entries, wanted) if wanted else entries


def label(
    entries: Sequence[Entry],
    names: Names | None = None,
    strip_suffix: Sequence[str] = (),
    rename: Rename | None = None,
) -> list[NamedSource]:
    """Give every map the name that it has in the store; InputError if names are not unique."""
    given: Mapping[str, Any] = (
        names if isinstance(names, Mapping) else {"": names} if names is not None else {}
    )
    new_name = renamer(rename)
    labelled, named_here = [], not given
    for entry in entries:
        source, model = entry.source, clean(entry.model)
        own = given.get(entry.model, None if source.named else given.get(""))
        named_here |= own is not None
        texts = source.ids if own is None else _read(own, len(source.ids), model)
        named = source.named or own is not None
        ids = relabel(texts, strip_suffix, new_name) if named else texts
        if len(set(ids)) < len(ids):
            twice = duplicates(ids)[0]
            origins = [origin for origin, id_ in zip(source.origins(), ids, strict=True) if id_ == twice]
            raise InputError(
                f"{model} has several maps of image {twice!r}: {', '.join(origins[:3])}; rename or remove one"
            )
        if not ids:
            raise InputError(f"{model} has no maps; leave it out with --models or --glob")
        labelled.append(NamedSource(model, ids, source, named=named))
    if not named_here:
        raise InputError(
            "names were given, but no model has a stack of maps without names; leave out --names, or rename "
            "images with --rename"
        )
    for twice in duplicates(item.model for item in labelled):
        raise InputError(f"two models are called {twice!r}; rename one, such as with --model NAME=PATH")
    join(labelled)
    return labelled


def _read(names: Path | Sequence[str], count: int, model: str) -> tuple[str, ...]:
    """Return the names that were given for a model's maps."""
    found = tuple(read_names(names) if isinstance(names, (str, os.PathLike)) else map(str, names))
    if len(found) != count:
        raise InputError(
            f"{model} holds {count} maps, but {len(found)} names were given; there must be as many"
        )
    return found


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


def _shapes(source: Source) -> list[tuple[int, ...] | None]:
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


def common_size(labelled: Sequence[NamedSource], recipe: Recipe) -> tuple[int, int]:
    """Return the one size of all maps, from their headers; ShapeError with a table if there are several."""
    sizes: dict[str, Counter[tuple[int, int]]] = {}
    with ThreadPoolExecutor() as pool:
        for item, shapes in zip(labelled, pool.map(lambda item: _shapes(item.source), labelled), strict=True):
            sizes[item.model] = Counter()
            for shape, count in Counter(shape for shape in shapes if shape is not None).items():
                where = item.source.select([shapes.index(shape)]).origins()[0]
                sizes[item.model][recipe.shape(shape, where, row=item.source.rows_of_stack)] += count
    total = sum(sizes.values(), Counter[tuple[int, int]]())
    if not total:
        labelled[0].source.shapes()  # raises: not one of the maps can be read
    if len(total) > 1:
        width = max(map(len, sizes))
        rows = (
            f"  {model:{width}}  " + ", ".join(f"{h}x{w} ({count})" for (h, w), count in found.most_common())
            for model, found in sizes.items()
        )
        height, breadth = total.most_common(1)[0][0]
        raise ShapeError(
            "\n".join(
                [
                    "the maps have different sizes (height x width, and how many):",
                    *rows,
                    f"resize them all to one, such as with --size {height}x{breadth}",
                ]
            )
        )
    return next(iter(total))
