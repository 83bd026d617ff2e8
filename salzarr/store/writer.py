"""Write maps into a store from the loop that makes them, with no files in between."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from salzarr import schema
from salzarr._version import __version__
from salzarr.errors import ChangedError, LockedError, ShapeError, StoreExistsError, UsageError
from salzarr.location import local_path, locate
from salzarr.locks import lock
from salzarr.plan import CHUNK_BYTES
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.memory import UNKNOWN, to_numpy
from salzarr.sources.names import clean, duplicates
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import check_numbers
from salzarr.store import layout
from salzarr.store.chunk_jobs import write_chunk
from salzarr.store.layout import MapsStore
from salzarr.store.records import RECORD, Journal, add_records, checksum, note

log = logging.getLogger(__name__)

BUFFER_BYTES = 256 << 20
"""Maps that wait for their chunk to be full take at most about as much."""

JOURNAL_SECONDS = 5.0
"""How long a chunk that is on disk may be without an entry in the journal."""

JOIN_SECONDS = 30.0
"""How long to wait for another process that is just making the same store."""


def create(
    store: str | os.PathLike[str],
    *,
    models: Sequence[str],
    images: Sequence[str],
    shape: tuple[int, int],
    channel: str | int | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    buffer_bytes: int = BUFFER_BYTES,
) -> Writer:
    """Make a store, to be filled by the program that makes the maps.

    Several processes may call this with the same arguments, each to write other models: the first makes the
    store, the others join it, and the last to leave completes it. After a crash the same call goes on with
    what is there.

    Parameters
    ----------
    store : path or URL
        Where.
    models, images : sequence of str
        All names there will be; what is never written is missing.
    shape : (int, int)
        Height and width of every map.
    channel : {"mean", "max", "abs-max"} or int, optional
        What to make of channels.
    dtype : {"float32", "float64"}, default "float32"
        Of the stored maps.
    overwrite : bool, default False
        Replace a store. With several processes, only one may ask for that, before the others start.
    chunk_bytes : int, default 4 MiB
        About how much goes into a chunk.
    buffer_bytes : int, default 256 MiB
        About how much may wait in memory for its chunk to be full.

    Returns
    -------
    Writer
        To be used in a ``with`` statement.

    Raises
    ------
    UsageError
        If names occur twice, or the shape cannot be.
    StoreExistsError
        If there is a finished store, or something else.
    ChangedError
        If an unfinished store was begun with other arguments.
    LockedError
        If a conversion is at work on it.

    See Also
    --------
    convert : for maps that are in files or in memory

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from salzarr.store.reading import open_maps
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with create(folder + "/maps.zarr", models=["a"], images=["x", "y"], shape=(8, 8)) as store:
    ...         store.write("a", ["y", "x"], np.ones((2, 8, 8)))
    ...     float(open_maps(folder + "/maps.zarr").sum())
    128.0
    """
    height, width = (int(length) for length in shape)
    recipe = Recipe.of((height, width), channel, dtype)
    names = [clean(name) for name in models], [clean(name) for name in images]
    for twice in (*duplicates(names[0]), *duplicates(names[1])):
        raise UsageError(f"{twice!r} is given twice; models and images need names of their own")
    if not names[0] or not names[1]:
        raise UsageError("there must be at least one model and one image")
    url = locate(store)
    until = time.monotonic() + JOIN_SECONDS
    while overwrite or not _is_made(url):
        try:
            with lock(url):
                if overwrite and layout.exists(url):
                    layout.remove_store(url)
                if not _is_made(url):
                    layout.create_store(
                        url, *names, (height, width), recipe.attrs(), dtype=dtype, chunk_bytes=chunk_bytes
                    )
            break
        except LockedError:  # another process may be making it right now
            if overwrite or time.monotonic() > until:
                raise
            time.sleep(0.1)
    _check_same(layout.open_writable(url), names, recipe)
    return Writer(url, recipe, buffer_bytes)


def _is_made(url: str) -> bool:
    """Whether there is a store that can be written to, or something else to be refused."""
    return layout.exists(url) and not layout.is_embryo(url)


def _check_same(store: MapsStore, names: tuple[list[str], list[str]], recipe: Recipe) -> None:
    """Refuse to join a store that is finished or was begun with other arguments."""
    if store.complete:
        raise StoreExistsError(f"{store.url} is finished; choose another place, or overwrite=True")
    stored = store.attrs[schema.ATTR_FINGERPRINT]
    given = {"models": names[0], "images": names[1], **recipe.attrs()}
    there = {"models": store.names(MODEL), "images": store.names(IMAGE), **stored}
    changed = [name for name, value in given.items() if there.get(name) != value]
    if changed:
        raise ChangedError(
            f"{store.url} was begun with other {' and '.join(changed)}; give the same, or overwrite=True"
        )


@dataclass
class _Open:
    """A chunk that is not full yet."""

    values: NDArray[Any]
    records: NDArray[np.void]
    full: NDArray[np.bool_]


class Writer:
    """A store that is being filled; made by :func:`create`."""

    def __init__(self, url: str, recipe: Recipe, buffer_bytes: int) -> None:
        self._url, self._recipe, self._buffer_bytes = url, recipe, buffer_bytes
        self._locks = ExitStack()
        self._chunks: dict[tuple[int, int], _Open] = {}
        self._records: list[NDArray[np.void]] = []
        self._noted = time.monotonic()
        self._mine: set[int] = set()
        self._written: set[tuple[int, int]] = set()
        self._store: MapsStore | None = None

    def __enter__(self) -> Self:
        self._locks.enter_context(lock(self._url, shared=True, wait=JOIN_SECONDS))
        self._store = store = layout.open_writable(self._url)
        self._models = {name: at for at, name in enumerate(store.names(MODEL))}
        self._images = {name: at for at, name in enumerate(store.names(IMAGE))}
        self._facts = store.read_facts()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left; if nothing went wrong, the models are done, and with the last one the store."""
        store = self._opened()
        try:
            for key in list(self._chunks):
                self._flush(key)
            self._note()
            if kind is None:
                for model in self._mine:
                    store.journal.close(model)
        finally:
            self._locks.close()
            self._store = None
        if kind is None:
            self._finish(store)

    def write(self, model: str, images: Sequence[str], maps: Any) -> None:
        """Write some maps of one model.

        Parameters
        ----------
        model : str
            One of those declared.
        images : sequence of str
            Of those declared, each once; in any order.
        maps : array
            (image, H, W), or with channels: NumPy's, PyTorch's (on any device, with or without a
            gradient), or whatever else has ``__array__`` or DLPack. It may be changed afterwards.

        Raises
        ------
        UsageError
            If a name was not declared, or was written before.
        ShapeError, InputError
            If the maps have another size, or are no numbers.
        ChangedError
            If a map that an earlier run wrote is another one now.
        LockedError
            If another process writes this model.
        StoreError
            If the store cannot be written; what was is kept.
        """
        store = self._opened()
        row = self._index(self._models, "model", model)
        columns = [self._index(self._images, "image", image) for image in images]
        values = to_numpy(maps)
        check_numbers(values.dtype, f"the batch of {model}")
        if values.ndim < 3 or len(values) != len(columns):
            raise ShapeError(
                f"the batch of {model} has shape {values.shape}; for {len(columns)} images it needs "
                f"({len(columns)}, H, W)"
            )
        if row not in self._mine:
            self._claim(row, model)
        height, width = store.shape
        for raw, column, image in zip(values, columns, images, strict=True):
            where = f"the map of {model}, image {image}"
            made, status = self._recipe.apply(raw, where, row=True)
            if status & Status.RESIZED:
                raise ShapeError(f"{where} has shape {raw.shape}, declared were maps of {height}x{width}")
            if (row, column) in self._written:
                raise UsageError(f"{where} has been written already; each map is written once")
            crc = checksum(raw)
            if self._facts["map_status"][row, column] & Status.MISSING == 0:
                if crc != self._facts["source_crc"][row, column]:
                    raise ChangedError(
                        f"{where} is not the one of an earlier run; start again with overwrite=True"
                    )
            else:
                self._put(row, column, made, crc, status)
            self._written.add((row, column))

    def remaining(self, model: str) -> list[str]:
        """Return the images of a model that no run has written yet, so that a loop can skip the others."""
        row = self._index(self._models, "model", model)
        there = self._facts["map_status"][row] & Status.MISSING == 0
        return [name for name, at in self._images.items() if not there[at] and (row, at) not in self._written]

    def _opened(self) -> MapsStore:
        if self._store is None:
            raise UsageError("the store is not open; write inside 'with salzarr.create(...) as store:'")
        return self._store

    @staticmethod
    def _index(names: dict[str, int], what: str, name: str) -> int:
        try:
            return names[clean(str(name))]
        except KeyError:
            raise UsageError(
                f"{what} {name!r} was not declared; all must be when the store is made"
            ) from None

    def _claim(self, row: int, model: str) -> None:
        """See to it that this process alone writes a model."""
        folder = local_path(self._url)
        if folder is not None:
            try:
                self._locks.enter_context(lock(os.path.join(folder, Journal.folder, f"model-{row}")))
            except LockedError:
                raise LockedError(
                    f"another process writes model {model!r} of {self._url}; give each its own"
                ) from None
        self._mine.add(row)
        # Another process may have written some of it before; of other models, we know more than the journal.
        self._facts[row] = self._opened().read_facts()[row]

    def _put(self, row: int, column: int, made: NDArray[Any], crc: int, status: Status) -> None:
        """Put a map where it waits for its chunk to be full."""
        chunks = self._opened().chunks
        key, slot = (row, column // chunks.length), column % chunks.length
        if key not in self._chunks:
            if self._chunks and (len(self._chunks) + 1) * chunks.nbytes > self._buffer_bytes:
                self._flush(max(self._chunks, key=lambda key: int(self._chunks[key].full.sum())))
            count = min(chunks.length, len(self._images) - key[1] * chunks.length)
            values = np.full(chunks.shape, np.nan, self._recipe.dtype)
            self._chunks[key] = _Open(values, np.zeros(count, RECORD), np.zeros(count, bool))
        chunk = self._chunks[key]
        chunk.values[slot] = made
        chunk.records["model"][slot], chunk.records["image"][slot] = row, column
        note(chunk.records[slot], made, crc, UNKNOWN, status)
        chunk.full[slot] = True
        if chunk.full.all():
            self._flush(key)

    def _flush(self, key: tuple[int, int]) -> None:
        """Write what there is of a chunk."""
        chunk, chunks = self._chunks.pop(key), self._opened().chunks
        slots = np.flatnonzero(chunk.full)
        start = key[1] * chunks.length
        there = self._facts["map_status"][key[0], start : start + chunk.full.size] & Status.MISSING == 0
        write_chunk(chunks, *key, slots.tolist(), chunk.values[slots], keep=bool(there.any()))
        records = chunk.records[slots]
        add_records(self._facts, records)
        self._records.append(records)
        if time.monotonic() - self._noted > JOURNAL_SECONDS:
            self._note()

    def _note(self) -> None:
        """Enter into the journal what is on disk."""
        if self._records:
            self._opened().journal.append(np.concatenate(self._records))
        self._records, self._noted = [], time.monotonic()

    def _finish(self, store: MapsStore) -> None:
        """Complete the store if this was the last of its writers."""
        # A lease is not shared: whoever has it may have looked before this process was done, so that we wait.
        wait = 0.0 if local_path(self._url) else JOIN_SECONDS
        try:
            with lock(self._url, wait=wait):
                facts, closed = store.read_facts(), store.journal.closed()
                lacking = np.any(facts["map_status"] & Status.MISSING, axis=1).tolist()
                todo = [name for name, at in self._models.items() if lacking[at] and at not in closed]
                if todo:
                    log.warning(
                        "%s is incomplete: nobody has written %s yet", f"{self._url}", ", ".join(todo)
                    )
                elif not layout.open_writable(self._url).complete:
                    run = {"source": "salzarr.create", "salzarr": __version__, "written": len(self._written)}
                    store.finish(facts, {"runs": [run]})
        except LockedError:
            log.info("%s is still being written by another process, which will complete it", f"{self._url}")
