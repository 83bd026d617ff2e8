"""Write maps into chunks: the job of one chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import CorruptError, InputError, storage_errors
from salzarr.schema import Status
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Source, Stamp
from salzarr.store.chunks import BadChunkError, Chunks, chunk_key
from salzarr.store.records import FACT_NAMES, RECORD, blank, checksum, note
from salzarr.store.stored_source import StoredModel

Array = NDArray[Any]


def write_chunk(
    chunks: Chunks, model: int, block: int, slots: Sequence[int], values: Array, *, keep: bool
) -> None:
    """Write maps (slot, H, W) into some slots of a chunk; the others stay as they are.

    With ``keep`` the chunk holds maps already, and is read, changed and replaced as a whole.
    """
    with storage_errors(chunks.url):
        if list(slots) != list(range(chunks.length)):
            whole = np.full(chunks.shape, np.nan, values.dtype)
            if keep:
                try:
                    chunks.read(model, block, whole)
                except BadChunkError as error:
                    raise CorruptError(
                        f"{chunks.url}: chunk {chunk_key(model, block)} {error}, so that no maps can be "
                        "added to it; convert again with --overwrite"
                    ) from None
            whole[list(slots)] = values
            values = whole
        chunks.write(model, block, values)


@dataclass(frozen=True)
class ChunkJob:
    """Read the maps that one source has of a chunk, and write them.

    Attributes
    ----------
    model, block : int
        Of the chunk.
    slots : tuple of int
        Places in the chunk, in the order of the source.
    stamps : tuple of Stamp
        Of the inputs when the conversion was planned.
    keep : bool or None
        Whether the chunk holds other maps already; None if that is known only when the job runs.
    """

    chunks: Chunks
    recipe: Recipe
    model: int
    block: int
    slots: tuple[int, ...]
    source: Source
    stamps: tuple[Stamp, ...]
    keep: bool | None

    def __len__(self) -> int:
        return len(self.slots)

    def part(self, images: slice) -> ChunkJob:
        """Return the job for some of the maps."""
        return replace(
            self,
            slots=self.slots[images],
            source=self.source.select(range(len(self))[images]),
            stamps=self.stamps[images],
            keep=self.keep if images.start == 0 else None,  # a part before this one may have written it
        )

    def __call__(self) -> WrittenMaps:
        """Read the maps and write the chunk; a map that cannot be read is left out and reported."""
        failures: tuple[InputError, ...] = ()
        try:
            values, records = self._read()
        except InputError:
            values, records, failures = self._read_one_by_one()
        readable = records["map_status"] & Status.UNREADABLE == 0
        slots = records["image"][readable] % self.chunks.length
        if slots.size:
            keep = self.chunks.exists(self.model, self.block) if self.keep is None else self.keep
            write_chunk(self.chunks, self.model, self.block, slots.tolist(), values, keep=keep)
        return WrittenMaps(records, failures)

    def failed(self, why: str) -> WrittenMaps:
        """Return the result for a single map that cannot be read."""
        return WrittenMaps(self._unreadable(), (InputError(f"{self.source.origins()[0]}: {why}"),))

    def _unreadable(self) -> NDArray[np.void]:
        """Return the record of a single map that cannot be read."""
        record = blank((1,), RECORD)
        record["model"], record["image"] = self.model, self.block * self.chunks.length + self.slots[0]
        record["map_status"] |= np.uint8(Status.UNREADABLE)
        return record

    def _read_one_by_one(self) -> tuple[Array, NDArray[np.void], tuple[InputError, ...]]:
        """Return the readable maps (map, H, W), the records of all, and what is wrong with the others."""
        values = [np.empty((0, *self.chunks.shape[1:]), self.recipe.dtype)]
        records, failures = [], []
        for at in range(len(self)):
            job = self.part(slice(at, at + 1))
            try:
                value, record = job._read()
                values.append(value)
            except InputError as error:
                failures.append(error)
                record = job._unreadable()
            records.append(record)
        return np.concatenate(values), np.concatenate(records), tuple(failures)

    def _read(self) -> tuple[Array, NDArray[np.void]]:
        """Return the maps (map, H, W) and their records; InputError if an input is unreadable or changed."""
        length, *shape = self.chunks.shape
        values = np.empty((len(self), *shape), self.recipe.dtype)
        records = np.empty(len(self), RECORD)
        records["model"] = self.model
        known = self.source.facts if isinstance(self.source, StoredModel) else None
        origins = self.source.origins()
        for at, (raw, origin) in enumerate(zip(self.source.read(), origins, strict=True)):
            values[at], status = self._shaped(raw, origin)
            records["image"][at] = self.block * length + self.slots[at]
            if known is None:
                note(records[at], values[at], checksum(raw), self.stamps[at], status)
            else:
                for name in FACT_NAMES:
                    records[name][at] = known[name][at]
        for origin, planned, now in zip(origins, self.stamps, self.source.stamps(), strict=True):
            if planned != now:
                raise InputError(
                    f"{origin} changed while it was converted; repeat the command when it changes no more"
                )
        return values, records

    def _shaped(self, raw: Array, origin: str) -> tuple[Array, Status]:
        """Make a map of an array (H, W); return also what became of it."""
        values, status = self.recipe.apply(raw, origin, row=self.source.rows_of_stack)
        _, *shape = self.chunks.shape
        if list(values.shape) != shape:
            raise InputError(
                f"{origin} is {values.shape[0]}x{values.shape[1]}, the store has {shape[0]}x{shape[1]}; "
                "resize with --size"
            )
        return values, status


@dataclass(frozen=True)
class WrittenMaps:
    """The records of a job's maps, and the errors of inputs that cannot be read."""

    records: NDArray[np.void]
    failures: tuple[InputError, ...] = ()
