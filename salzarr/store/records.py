"""Facts: what is known of each map besides its values. They are noted as it is written, and journaled."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from salzarr import schema
from salzarr.errors import storage_errors
from salzarr.location import local_path, names_in
from salzarr.schema import Status
from salzarr.sources.source import Stamp
from salzarr.store.chunks import chunk_key
from salzarr.store.power import sync_files

Array = NDArray[Any]


FACT = np.dtype([(variable.name, variable.dtype) for variable in (*schema.FACTS, *schema.MANIFEST)])
"""What is known of one map besides its values."""

RECORD = np.dtype([("model", "uint32"), ("image", "uint32"), *FACT.descr])
"""The same in the journal."""

FACT_NAMES: tuple[str, ...] = FACT.names or ()


def blank(shape: tuple[int, ...], dtype: np.dtype[np.void] = FACT) -> NDArray[np.void]:
    """Return facts of maps that are missing, or records of them.

    >>> blank((1,))["map_status"]
    array([1], dtype=uint8)
    """
    facts = np.empty(shape, dtype)
    for name in FACT_NAMES:
        facts[name] = missing_value(FACT[name])
    return facts


def missing_value(dtype: np.dtype[Any]) -> Any:
    """Return what stands for a missing value."""
    return int(schema.Status.MISSING) if dtype == np.uint8 else {"f": np.nan, "i": -1, "u": 0}[dtype.kind]


def checksum(raw: Array) -> int:
    """Return the crc32c of an array's bytes, in C order and its own dtype.

    >>> checksum(np.zeros((2, 2), "float32"))
    1114675946
    """
    return int(google_crc32c.value(np.ascontiguousarray(raw).view(np.uint8).reshape(-1)))


def note(record: NDArray[np.void], values: Array, crc: int, stamp: Stamp, status: Status) -> None:
    """Fill in the facts of one map, in a record or an entry of facts, from the map (H, W) as it is stored."""
    finite = values
    with np.errstate(invalid="ignore", over="ignore"):
        total = float(values.sum(dtype=np.float64))
        if not np.isfinite(total):  # one look at the sum spares most maps a look at each value
            finite = values[np.isfinite(values)]
            if finite.size < values.size:
                status |= Status.NON_FINITE
            total = float(finite.sum(dtype=np.float64)) if finite.size else np.nan
    record["map_sum"] = total
    record["map_min"] = finite.min() if finite.size else np.nan
    record["map_max"] = finite.max() if finite.size else np.nan
    record["map_status"] = int(status)
    record["source_crc"], record["source_size"], record["source_mtime"] = crc, stamp.size, stamp.mtime


def add_records(facts: NDArray[np.void], records: NDArray[np.void]) -> None:
    """Enter records into facts (model, image), except those of models or images beyond its shape."""
    records = records[(records["model"] < facts.shape[0]) & (records["image"] < facts.shape[1])]
    for name in FACT_NAMES:
        facts[name][records["model"], records["image"]] = records[name]


def degenerate(facts: NDArray[np.void]) -> dict[str, int]:
    """Count the maps of facts that some metrics cannot score; ``constant`` excludes all-zero maps."""
    low, high = facts["map_min"], facts["map_max"]
    return {
        "non_finite": int((facts["map_status"] & Status.NON_FINITE > 0).sum()),
        "constant": int(((low == high) & (low != 0)).sum()),
        "all_zero": int(((low == 0) & (high == 0)).sum()),
        "negative": int((low < 0).sum()),
    }


JOURNAL_SECONDS = 2.0
"""Between two writes of the journal: the work that a kill loses at most."""


@dataclass(frozen=True)
class Journal:
    """What a run has finished, for a resume: small files, removed at the end.

    They lie inside the folder of the ``maps`` array, where nothing that lists the store looks.
    """

    url: str
    store: Any
    chunk: int
    folder: str = f"{schema.MAPS.name}/.journal"

    def append(self, records: NDArray[np.void]) -> None:
        """Add the records of maps that have been written, once their chunks have reached the disk."""
        if len(records):
            folder = local_path(self.url)
            if folder is not None:
                there = records[records["map_status"] & Status.MISSING == 0]
                keys = {chunk_key(int(r["model"]), int(r["image"]) // self.chunk) for r in there}
                with storage_errors(self.url):
                    sync_files(os.path.join(folder, key) for key in sorted(keys))
            data = records.astype(RECORD).tobytes()
            self._write(f"{time.time_ns():020d}-{uuid.uuid4().hex}", data + _check(data))

    def read(self) -> NDArray[np.void]:
        """Return all records; those of a damaged file are lost, so that their maps are read again."""
        found = [np.empty(0, RECORD)]
        with storage_errors(self.url):
            for name in self._names():
                if not name[0].isdigit():
                    continue
                buffer = sync(self.store.get(f"{self.folder}/{name}", default_buffer_prototype()))
                data = buffer.to_bytes() if buffer is not None else b""
                if len(data) > 4 and _check(data[:-4]) == data[-4:]:
                    found.append(np.frombuffer(data[:-4], RECORD))
        return np.concatenate(found)

    def close(self, model: int) -> None:
        """Note that a model is done, even if some of its maps are missing."""
        self._write(f"closed-{model}", b"\0")

    def closed(self) -> set[int]:
        """Return the models that are done."""
        return {int(name.removeprefix("closed-")) for name in self._names() if name.startswith("closed-")}

    def clear(self) -> None:
        """Remove the journal."""
        sync(self.store.delete_dir(self.folder))

    def _write(self, name: str, data: bytes) -> None:
        buffer = default_buffer_prototype().buffer.from_bytes(data)
        with storage_errors(self.url):
            sync(self.store.set(f"{self.folder}/{name}", buffer))

    def _names(self) -> list[str]:
        names = names_in(self.store, self.folder)
        return sorted(name for name in names if not name.endswith(".partial"))


class Ledger:
    """Facts that grow while maps are written, journaled every few seconds."""

    def __init__(self, journal: Journal, facts: NDArray[np.void]) -> None:
        self.journal, self.facts = journal, facts
        self._pending: list[NDArray[np.void]] = []
        self._written = time.monotonic()

    def add(self, records: NDArray[np.void]) -> None:
        """Enter the records of maps that have been written."""
        add_records(self.facts, records)
        self._pending.append(records)
        if time.monotonic() - self._written > JOURNAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the journal."""
        if self._pending:
            self.journal.append(np.concatenate(self._pending))
        self._pending, self._written = [], time.monotonic()


def _check(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")
