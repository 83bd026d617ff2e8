"""Write maps into chunks: what is to be done, what one task of it does, and what is noted of each map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import CorruptError, InputError, storage_errors
from salzarr.schema import Status
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Source, Stamp
from salzarr.store.chunks import BadChunkError, Chunks, chunk_key
from salzarr.store.records import FACT_NAMES, RECORD, blank, checksum, note

Array = NDArray[Any]


def write_chunk(
    chunks: Chunks, model: int, block: int, slots: Sequence[int], values: Array, *, keep: bool
) -> None:
    """Write some maps of one chunk, all others of it staying as they are.

    Parameters
    ----------
    chunks : Chunks
        Of the store.
    model, block : int
        Which chunk.
    slots : sequence of int
        Places in the chunk.
    values : (slot, H, W) ndarray
        Their maps.
    keep : bool
        Whether the chunk holds maps already. It is then read, changed and replaced as a whole, by a
        rename: a run that is killed leaves either the old chunk or the new one.

    Raises
    ------
    CorruptError
        If the maps that are in the chunk cannot be read.
    StoreError
        If the chunk cannot be written.
    """
    with storage_errors(chunks.url):
        if list(slots) != list(range(chunks.length)):
            whole = np.full(chunks.shape, np.nan, values.dtype)
            if keep:
                try:
                    chunks.read(model, block, whole)
                except BadChunkError as error:
                    raise CorruptError(
                        f"{chunks.url}: chunk {chunk_key(model, block)} {error}, so that it cannot be added "
                        "to; convert again with --overwrite"
                    ) from None
            whole[list(slots)] = values
            values = whole
        chunks.write(model, block, values)


@dataclass(frozen=True)
class Piece:
    """The part of one chunk that one source fills: the work of one task.

    Attributes
    ----------
    model, block : int
        Which chunk.
    slots : tuple of int
        Places in the chunk.
    source : Source
        Of just these maps, in the order of the slots.
    stamps : tuple of Stamp
        As they were when the run was planned.
    keep : bool
        Whether the chunk holds other maps already.
    facts : ndarray of dtype FACT, optional
        What is known of the maps, if they come from another store.
    """

    model: int
    block: int
    slots: tuple[int, ...]
    source: Source
    stamps: tuple[Stamp, ...]
    keep: bool
    facts: NDArray[np.void] | None = None

    def alone(self, position: int) -> Piece:
        """Return the piece with one of its maps only."""
        only = slice(position, position + 1)
        return replace(
            self,
            slots=self.slots[only],
            source=self.source.select([position]),
            stamps=self.stamps[only],
            facts=None if self.facts is None else self.facts[only],
        )


@dataclass
class Plan:
    """What is to be done: axes of the store, what is known of its maps, pieces to fill, and maps to keep."""

    models: list[str]
    images: list[str]
    facts: NDArray[np.void]
    pieces: list[Piece] = field(default_factory=list)
    kept: int = 0

    @property
    def maps(self) -> int:
        """How many are to be written."""
        return sum(len(piece.slots) for piece in self.pieces)


@dataclass(frozen=True)
class Filled:
    """What became of a piece: the records of its maps, and what is wrong with inputs that cannot be read."""

    records: NDArray[np.void]
    failures: tuple[InputError, ...] = ()


def fill(piece: Piece, chunks: Chunks, recipe: Recipe) -> Filled:
    """Read the maps of a piece and write their chunk: the task that runs on workers.

    A bad input costs its own map alone, so that everything else gets done and the same command, once the
    input is mended, does only what is left. A disk that is full fails the run.
    """
    failures: tuple[InputError, ...] = ()
    try:
        values, records = read_piece(piece, chunks.shape, recipe)
    except InputError:
        values, records, failures = read_apart(piece, chunks.shape, recipe)
    there = records["map_status"] & Status.UNREADABLE == 0
    slots = records["image"][there] % chunks.length
    if slots.size:
        write_chunk(chunks, piece.model, piece.block, slots.tolist(), values, keep=piece.keep)
    return Filled(records, failures)


def read_apart(
    piece: Piece, chunk: tuple[int, ...], recipe: Recipe
) -> tuple[Array, NDArray[np.void], tuple[InputError, ...]]:
    """Read the maps of a piece one by one.

    Returns
    -------
    values : (map, H, W) ndarray
        Of those that can be read.
    records : ndarray of dtype RECORD
        Of all.
    failures : tuple of InputError
        What is wrong with the others.
    """
    values = [np.empty((0, *chunk[1:]), recipe.dtype)]
    records, failures = [], []
    for position, slot in enumerate(piece.slots):
        try:
            value, record = read_piece(piece.alone(position), chunk, recipe)
            values.append(value)
        except InputError as error:
            failures.append(error)
            record = blank((1,), RECORD)
            record["model"], record["image"] = piece.model, piece.block * chunk[0] + slot
            record["map_status"] |= np.uint8(Status.UNREADABLE)
        records.append(record)
    return np.concatenate(values), np.concatenate(records), tuple(failures)


def read_piece(piece: Piece, chunk: tuple[int, ...], recipe: Recipe) -> tuple[Array, NDArray[np.void]]:
    """Read the maps of a piece, as they are to be stored, and what is to be noted of them.

    Raises
    ------
    InputError
        If one cannot be read, has the wrong size, or has changed since the run was planned.
    """
    count, (per_chunk, *shape) = len(piece.slots), chunk
    values = np.empty((count, *shape), recipe.dtype)
    records = np.empty(count, RECORD)
    records["model"] = piece.model
    origins = piece.source.origins()
    for position, (raw, origin) in enumerate(zip(piece.source.read(), origins, strict=True)):
        made, resized = recipe.apply(raw, origin)
        if list(made.shape) != shape:
            raise InputError(
                f"{origin} is {made.shape[0]}x{made.shape[1]}, the store has {shape[0]}x{shape[1]}; "
                "resize with --size"
            )
        values[position] = made
        records["image"][position] = piece.block * per_chunk + piece.slots[position]
        if piece.facts is None:
            note(records[position], made, checksum(raw), piece.stamps[position], resized=resized)
        else:
            for name in FACT_NAMES:
                records[name][position] = piece.facts[name][position]
    for origin, planned, now in zip(origins, piece.stamps, piece.source.stamps(), strict=True):
        if planned != now:
            raise InputError(
                f"{origin} changed while it was converted; repeat the command when it is finished"
            )
    return values, records
