"""Verify a store: find what is missing, damaged, or differs from the inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import InputError, UsageError
from salzarr.location import locate
from salzarr.run import Progress, run
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.memory import UNKNOWN
from salzarr.sources.reading import Findings, Reading
from salzarr.store import layout
from salzarr.store.chunks import BadChunkError, Chunks, chunk_key
from salzarr.store.gathering import gather
from salzarr.store.joining import NamedSource
from salzarr.store.layout import MapsStore
from salzarr.store.records import blank, note


@dataclass(frozen=True)
class Problem:
    """A fault of a store.

    Attributes
    ----------
    model : str
        Empty if it concerns the whole store.
    images : tuple of str
    what : str
        What is wrong, in words.
    chunk : str
        Key of the chunk; empty if it concerns no single chunk.
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
    progress: Progress | None = None,
    **reading: Any,
) -> list[Problem]:
    """Read all of a store, and list its faults.

    Each chunk must exist, have the checksum that it was written with, and hold maps with the recorded facts.
    Runs on the Dask scheduler or ``Client`` in use.

    Parameters
    ----------
    store : path or URL
        Of a maps store, complete or not.
    source : path, mapping, or xarray object, optional
        What the store was made from: every input is read, and its checksum compared.
    progress : callable, optional
        ``progress(done, total)``, in chunks and parts of the source.
    **reading
        How to read the source (``pattern``, ``glob``, ``models``, …), as for :func:`salzarr.convert`; by
        default as the store records it.

    Returns
    -------
    list of Problem
        Empty if there are none.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        If there is no store.
    InputError
        If the source cannot be read at all; a single map that cannot be read is a problem in the list.
    """
    opened = layout.open_store(locate(store))
    problems = [] if opened.complete else [Problem("", (), "is incomplete; repeat the command that wrote it")]
    try:
        facts = opened.read_facts()
        axes = opened.names(MODEL), opened.names(IMAGE)
    except Exception as error:  # each codec has its own way to complain
        return [*problems, Problem("", (), f"has damaged names or facts ({str(error).splitlines()[0]})")]
    jobs: list[_ChunkCheck | _SourceCheck] = [*_chunk_checks(opened, facts, axes)]
    if source is not None:
        labelled = gather(source, _reading(opened, source, reading), Findings())
        labelled = [item.stored_as(opened.shape, opened.maps.dtype) for item in labelled]
        problems += _strangers(labelled, facts, axes)
        jobs += _source_checks(labelled, facts, axes, opened.chunks.length)
    run(jobs, problems.extend, progress, lambda job, why: problems.append(job.unreadable(why)))
    rows, columns = ({name: at for at, name in enumerate(names)} for names in axes)

    def place(problem: Problem) -> tuple[int, int]:
        return rows.get(problem.model, -1), columns.get("".join(problem.images[:1]), -1)

    return sorted(problems, key=place)


def _reading(store: MapsStore, source: Any, given: dict[str, Any]) -> Reading:
    """Return how a source is to be read: as it was by the run that took the store's maps from it."""
    earlier = (store.attrs.get(schema.ATTR_PROVENANCE) or {}).get("runs", [])
    same = [one for one in earlier if _is_same(one.get("source"), source)]
    chosen = [one.get("chosen", {}) for one in (same or earlier)]
    if unknown := sorted(set(given) - set(vars(Reading()))):
        raise UsageError(f"verify takes no {unknown[0]}=; how a source is read is told as to convert")
    said = {name: value for name, value in given.items() if value not in (None, (), [])}
    return Reading.of(**{**(chosen[-1] if chosen else {}), **said, "but": store.url})


def _is_same(remembered: Any, source: Any) -> bool:
    """Whether a run's source is this one."""
    if not isinstance(source, (str, os.PathLike)) or not isinstance(remembered, str):
        return False
    return os.path.abspath(remembered) == os.path.abspath(os.path.expanduser(source))


Axes = tuple[list[str], list[str]]


@dataclass(frozen=True)
class _ChunkCheck:
    """Read a chunk and compare what is in it with what is known of it; a chunk is read as a whole."""

    chunks: Chunks
    row: int
    block: int
    model: str
    images: tuple[str, ...]
    facts: NDArray[np.void]

    @property
    def key(self) -> str:
        return f"chunk {chunk_key(self.row, self.block)}"

    @property
    def known(self) -> NDArray[np.intp]:
        """Places in the chunk that hold maps."""
        return np.flatnonzero(self.facts["map_status"] & Status.MISSING == 0)

    def __len__(self) -> int:
        return 1

    def part(self, images: slice) -> _ChunkCheck:
        return self

    def __call__(self) -> list[Problem]:
        try:
            values = self._read()
        except BadChunkError as error:
            return [self.unreadable(str(error))]
        except Exception as error:
            return [self.unreadable(f"cannot be read: {str(error).splitlines()[0]}")]
        found = blank((1,))
        problems = []
        for at in self.known:
            made = Status(int(self.facts["map_status"][at])) & ~Status.NON_FINITE
            note(found[0], values[at], 0, UNKNOWN, made)
            for name in (variable.name for variable in schema.FACTS):
                if not np.array_equal(found[name][0], self.facts[name][at], equal_nan=True):
                    what = (
                        f"holds a map whose {name} is {found[name][0]}, and should be {self.facts[name][at]}"
                    )
                    problems.append(Problem(self.model, (self.images[at],), what, self.key))
                    break
        return problems

    def unreadable(self, why: str) -> Problem:
        """Return the problem of a chunk that cannot be read."""
        return Problem(self.model, tuple(self.images[at] for at in self.known), why, self.key)

    def _read(self) -> NDArray[Any]:
        if self.chunks.native:
            return self.chunks.read(self.row, self.block)
        length = self.chunks.length
        return np.asarray(self.chunks.maps[self.row, self.block * length : (self.block + 1) * length])


def _chunk_checks(store: MapsStore, facts: NDArray[np.void], axes: Axes) -> Iterator[_ChunkCheck]:
    """Yield the check of each chunk that holds maps."""
    models, images = axes
    length = store.chunks.length
    for row, model in enumerate(models):
        for block in range(-(-len(images) // length)):
            where = slice(block * length, (block + 1) * length)
            known = facts[row, where]
            if (known["map_status"] & Status.MISSING == 0).any():
                yield _ChunkCheck(store.chunks, row, block, model, tuple(images[where]), known)


def _strangers(labelled: Sequence[NamedSource], facts: NDArray[np.void], axes: Axes) -> list[Problem]:
    """List the maps that are only in the source, or only in the store."""
    source = {(item.model, id_) for item in labelled for id_ in item.ids}
    rows, columns = np.nonzero(facts["map_status"] & Status.MISSING == 0)
    store = {(axes[0][row], axes[1][column]) for row, column in zip(rows, columns, strict=True)}
    sides = (source - store, "is in the source only"), (store - source, "is in the store only")
    return [Problem(model, (image,), what) for side, what in sides for model, image in sorted(side)]


@dataclass(frozen=True)
class _SourceCheck:
    """Compare the checksums of some inputs with those of the inputs that the store was made from."""

    item: NamedSource
    crcs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.crcs)

    def part(self, images: slice) -> _SourceCheck:
        return _SourceCheck(self.item.select(range(len(self))[images]), self.crcs[images])

    def __call__(self) -> list[Problem]:
        problems = []
        for at, crc in enumerate(self.crcs):
            one = self.part(slice(at, at + 1))
            try:
                [found] = one.item.checksums()
            except InputError as error:
                problems.append(one.unreadable(str(error)))
                continue
            if found != crc:
                what = "was made from another map than the source has now"
                problems.append(Problem(self.item.model, one.item.ids, what))
        return problems

    def unreadable(self, why: str) -> Problem:
        """Return the problem of one input that cannot be read."""
        return Problem(self.item.model, self.item.ids, f"cannot be compared: {why}")


def _source_checks(
    labelled: Sequence[NamedSource], facts: NDArray[np.void], axes: Axes, length: int
) -> Iterator[_SourceCheck]:
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
            yield _SourceCheck(item.select(positions), crcs)
