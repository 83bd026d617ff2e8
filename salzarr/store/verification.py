"""Read a whole store, and say what of it is missing, torn, flipped, or not what the inputs are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import InputError
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.discover import STACKED
from salzarr.sources.memory import UNKNOWN
from salzarr.sources.names import Rename
from salzarr.store import layout
from salzarr.store.chunks import BadChunkError, Chunks, chunk_key
from salzarr.store.joining import Labelled, Models, Names, gather
from salzarr.store.layout import MapsStore
from salzarr.store.records import blank, checksum, note

BATCH = 64
"""Chunks, or maps of the source, that are handed to Dask at a time."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a store.

    Attributes
    ----------
    model : str
        Whose maps; empty if the whole store's.
    images : tuple of str
        Which.
    what : str
        In words.
    chunk : str
        Where in the store; empty if it is not about one chunk.
    """

    model: str
    images: tuple[str, ...]
    what: str
    chunk: str = ""

    def __str__(self) -> str:
        """Return one line."""
        if len(self.images) > 1:
            images = f", images {self.images[0]} to {self.images[-1]} ({len(self.images)})"
        else:
            images = "".join(f", image {image}" for image in self.images)
        return f"{self.model or 'the store'}{images}: {self.chunk or 'it'} {self.what}"


def verify(
    store: str | os.PathLike[str],
    source: Any = None,
    *,
    glob: str | None = None,
    models: Models | None = None,
    stacked: str = STACKED,
    names: Names | None = None,
    rename: Rename | None = None,
    strip_suffix: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """Read everything in a store, and list what is wrong with it.

    Each chunk must be there, have the checksum it was written with, and hold maps with the facts that are
    noted of them. Runs on whatever Dask scheduler the caller has.

    Parameters
    ----------
    store : path or URL
        Of a maps store, complete or not.
    source : path, mapping, or xarray object, optional
        What the store was made from: every map is then read and its checksum compared.
    glob, models, stacked, names, rename, strip_suffix
        As they were given to :func:`salzarr.convert`.
    progress : callable, optional
        Called with the number of parts done, and of all.

    Returns
    -------
    list of Problem
        Empty if all is well.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        If there is no such store.
    InputError
        If the source cannot be read at all; a map of it that cannot be is a problem in the list.
    """
    opened = layout.open_store(layout.url_of(store))
    problems = [] if opened.complete else [Problem("", (), "is incomplete; repeat the command that made it")]
    try:
        facts = opened.read_facts()
        axes = opened.names(MODEL), opened.names(IMAGE)
    except Exception as error:  # each codec has its own way to complain
        return [*problems, Problem("", (), f"has damaged names or facts ({str(error).splitlines()[0]})")]
    tasks = list(_chunk_tasks(opened, facts, axes))
    if source is not None:
        labelled = gather(
            source, [], glob=glob, models=models, stacked=stacked,
            names=names, rename=rename, strip_suffix=strip_suffix,
        )  # fmt: skip
        problems += _strangers(labelled, facts, axes)
        tasks += _source_tasks(labelled, facts, axes, opened.chunks.length)
    for start in range(0, len(tasks), BATCH):
        found = dask.compute(*(dask.delayed(task, pure=False)() for task in tasks[start : start + BATCH]))
        problems += [problem for part in found for problem in part]
        if progress:
            progress(min(start + BATCH, len(tasks)), len(tasks))
    return problems


Axes = tuple[list[str], list[str]]


def _chunk_tasks(
    store: MapsStore, facts: NDArray[np.void], axes: Axes
) -> Iterator[Callable[[], list[Problem]]]:
    """Yield what checks each chunk that holds maps."""
    models, images = axes
    length = store.chunks.length
    for row, model in enumerate(models):
        for block in range(-(-len(images) // length)):
            where = slice(block * length, (block + 1) * length)
            known = facts[row, where]
            if (known["map_status"] & Status.MISSING == 0).any():
                yield partial(check_chunk, store.chunks, row, block, model, tuple(images[where]), known)


def check_chunk(
    chunks: Chunks, row: int, block: int, model: str, images: tuple[str, ...], facts: NDArray[np.void]
) -> list[Problem]:
    """Read a chunk and compare what is in it with what is known of it: a task that runs on workers."""
    there = np.flatnonzero(facts["map_status"] & Status.MISSING == 0)
    mine = tuple(images[at] for at in there)
    key = f"chunk {chunk_key(row, block)}"
    try:
        if chunks.native:
            values = chunks.read(row, block)
        else:
            values = np.asarray(chunks.maps[row, block * chunks.length : (block + 1) * chunks.length])
    except BadChunkError as error:
        return [Problem(model, mine, str(error), key)]
    except Exception as error:
        return [Problem(model, mine, f"cannot be read: {str(error).splitlines()[0]}", key)]
    found = blank((1,))
    problems = []
    for at in there:
        note(found[0], values[at], 0, UNKNOWN, resized=bool(facts["map_status"][at] & Status.RESIZED))
        for name in (variable.name for variable in schema.FACTS):
            if not np.array_equal(found[name][0], facts[name][at], equal_nan=True):
                what = f"holds a map whose {name} is {found[name][0]}, and should be {facts[name][at]}"
                problems.append(Problem(model, (images[at],), what, key))
                break
    return problems


def _strangers(labelled: Sequence[Labelled], facts: NDArray[np.void], axes: Axes) -> list[Problem]:
    """List the maps that are only in the source, or only in the store."""
    source = {(item.model, id_) for item in labelled for id_ in item.ids}
    rows, columns = np.nonzero(facts["map_status"] & Status.MISSING == 0)
    store = {(axes[0][row], axes[1][column]) for row, column in zip(rows, columns, strict=True)}
    sides = (source - store, "is in the source only"), (store - source, "is in the store only")
    return [Problem(model, (image,), what) for side, what in sides for model, image in sorted(side)]


def _source_tasks(
    labelled: Sequence[Labelled], facts: NDArray[np.void], axes: Axes, length: int
) -> Iterator[Callable[[], list[Problem]]]:
    """Yield what compares the inputs, some at a time."""
    models, images = ({name: at for at, name in enumerate(names)} for names in axes)
    for item in labelled:
        if item.model not in models:
            continue
        row = facts[models[item.model]]
        known = [
            (position, int(row["source_crc"][images[id_]]))
            for position, id_ in enumerate(item.ids)
            if id_ in images and not row["map_status"][images[id_]] & Status.MISSING
        ]
        for start in range(0, len(known), length):
            positions, crcs = zip(*known[start : start + length], strict=True)
            yield partial(check_source, item.select(positions), crcs)


def check_source(item: Labelled, crcs: Sequence[int]) -> list[Problem]:
    """Compare the checksums of some inputs: a task that runs on workers."""
    problems = []
    for position, (id_, crc) in enumerate(zip(item.ids, crcs, strict=True)):
        try:
            [raw] = item.source.select([position]).read()
        except InputError as error:
            problems.append(Problem(item.model, (id_,), f"cannot be compared: {error}"))
            continue
        if checksum(raw) != crc:
            problems.append(Problem(item.model, (id_,), "was made from another map than the source has now"))
    return problems
