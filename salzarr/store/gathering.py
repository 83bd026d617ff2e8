"""Gather the maps of all models from whatever a user has, and name their images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from salzarr.errors import InputError, UsageError, listed, near
from salzarr.schema import MODEL
from salzarr.sources import FORMATS
from salzarr.sources.discover import Finder, with_classes
from salzarr.sources.entry import Entry, select_models
from salzarr.sources.labelled import in_memory
from salzarr.sources.memory import Arrays, divided
from salzarr.sources.names import Renamer, clean, duplicates, read_names, relabel, renamer
from salzarr.sources.pattern import by_pattern
from salzarr.sources.reading import Findings, Path, Reading
from salzarr.store.joining import NamedSource, join
from salzarr.store.stored_source import is_maps_store, stored_models


def gather(source: Any, reading: Reading, findings: Findings) -> list[NamedSource]:
    """Find the models of a source and name their images; what there is to say of it goes to the findings."""
    is_path = isinstance(source, (str, os.PathLike))
    labelled = label(find(source, reading, findings), reading, findings)
    unnamed = [item.model for item in labelled if not item.named]
    if len(unnamed) > 1 and is_path:
        findings.warn(
            f"the maps of {', '.join(unnamed)} have no names, and are joined by their positions; if their "
            "orders differ, give names with --names FILE, or in a text file beside each stack"
        )
    if is_path:
        images = dict.fromkeys(id_ for item in labelled for id_ in item.ids[:2])
        first = labelled[0].source.select([0]).origins()[0]
        findings.note(
            f"read as {_counted(labelled)}, such as {' and '.join(list(images)[:2])}; the first map of "
            f"{labelled[0].model} is {first}"
        )
    if len(labelled) == 1 and is_path and not reading.models:
        findings.note(
            f"there is one model, {labelled[0].model}, and a comparison takes two; if {os.fspath(source)} is "
            "the "
            "folder of one model, give the folder that holds all of them"
        )
    return labelled


def _counted(sources: Sequence[NamedSource]) -> str:
    """Say how many models and images there are, and name the models."""
    images = len({id_ for item in sources for id_ in item.ids})
    models = "1 model" if len(sources) == 1 else f"{len(sources):,} models"
    return (
        f"{models} ({listed([item.model for item in sources], 5)}) of {images:,} image{'s' * (images != 1)}"
    )


def find(source: Any, reading: Reading, findings: Findings) -> list[Entry]:
    """Find the models of a source: in a tree, a file or a store, or in memory."""
    models, wanted = reading.models, reading.wanted
    if isinstance(source, (str, os.PathLike)):
        path = os.path.expanduser(os.fspath(source))
        if is_maps_store(path):
            return _in_store(path, reading)
        if reading.pattern is not None:
            return by_pattern(path, FORMATS, reading, findings)
        finder = Finder(FORMATS, reading, findings)
        if isinstance(models, Mapping):
            placed = [(name, os.path.join(path, os.path.expanduser(below))) for name, below in models.items()]
            return with_classes([entry for place in placed for entry in finder.model(*place)], findings)
        entries = with_classes(finder.find(path), findings)
    elif reading.pattern is not None or reading.glob is not None or reading.array is not None:
        raise UsageError("pattern=, glob= and array= choose among files; these maps are in memory")
    elif hasattr(source, "dims") and hasattr(source, "coords"):
        entries = [Entry(model, maps) for model, maps in in_memory(source, "maps").items()]
    elif isinstance(source, Mapping):
        entries = [
            entry for model, values in source.items() for entry in _in_memory(str(model), values, reading)
        ]
    else:
        raise InputError(f"maps come from a path, a mapping or an xarray object, not {type(source).__name__}")
    return select_models(entries, wanted) if wanted else entries


def _in_memory(model: str, values: Any, reading: Reading) -> list[Entry]:
    """Take an array, whose axes may be named."""
    if reading.axes is None or (hasattr(values, "dims") and hasattr(values, "coords")):
        return [Entry(model, Arrays.of(model, values))]
    parts = divided(values, reading.axes, f"the array of {model}")
    return [
        Entry(
            "/".join((model, *factors.values())),
            Arrays.of(model, part),
            {name: value for name, value in factors.items() if name != MODEL},
        )
        for factors, part in parts
    ]


def _in_store(path: str, reading: Reading) -> list[Entry]:
    """Find the models of another store; ``{name: model}`` gives them new names."""
    if reading.glob or reading.pattern:
        raise UsageError(f"a pattern chooses among files, and {path} is a store; choose with --models")
    sources, models = stored_models(path), reading.models
    if isinstance(models, Mapping):
        for model in models.values():
            if model not in sources:
                hint = near(str(model), list(sources))
                raise UsageError(f"{path} has no model {model!r}; {hint}there are {', '.join(sources)}")
        return [
            Entry(name, sources[str(model)], sources[str(model)].factors) for name, model in models.items()
        ]
    entries = [Entry(model, source, source.factors) for model, source in sources.items()]
    return select_models(entries, reading.wanted) if reading.wanted else entries


def label(entries: Sequence[Entry], reading: Reading, findings: Findings) -> list[NamedSource]:
    """Name every map as in the store; refuse two maps of one image, two models of one name."""
    names = reading.names
    given: Mapping[str, Any] = (
        names if isinstance(names, Mapping) else {"": names} if names is not None else {}
    )
    new_name = renamer(reading.rename)
    unused = set(reading.strip_suffix)
    labelled, named_here = [], not given
    for entry in entries:
        source, model = entry.source, clean(entry.model)
        own = given.get(entry.model, None if source.named else given.get(""))
        named_here |= own is not None
        texts = source.ids if own is None else _read(own, len(source.ids), model)
        named = source.named or own is not None
        unused -= {ending for ending in unused if any(text.endswith(ending) for text in texts)}
        ids = relabel(texts, reading.strip_suffix, new_name) if named else texts
        if len(set(ids)) < len(ids):
            twice = duplicates(ids)[0]
            origins = [origin for origin, id_ in zip(source.origins(), ids, strict=True) if id_ == twice]
            raise InputError(
                f"{model} has several maps of image {twice!r}: {', '.join(origins[:3])}; rename or remove one"
            )
        if not ids:
            raise InputError(f"{model} has no maps; leave it out with --models or --glob")
        factors = {name: clean(value) for name, value in entry.factors.items()}
        labelled.append(NamedSource(model, ids, source, named, factors))
    if not named_here:
        raise InputError(
            "names were given, but no model has a stack of maps without names; leave out --names, or rename "
            "images with --rename"
        )
    if isinstance(new_name, Renamer) and new_name.unmet:
        findings.warn(
            f"{len(new_name.unmet):,} names to be replaced are those of no image: "
            f"{listed(new_name.unmet, 5)}; an "
            f"image is called such as {labelled[0].ids[0]}"
        )
    for ending in sorted(unused):
        findings.warn(f"no image's name ends with {ending!r}; names are such as {labelled[0].ids[0]}")
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
