"""Write maps into a store from the loop that makes them, with no files in between."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
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
from salzarr.store.records import RECORD, Journal, Ledger, checksum, note

log = logging.getLogger(__name__)

BUFFER_BYTES = 256 << 20
"""Maps that wait for their chunk to be full take at most about as much."""

JOIN_SECONDS = 30.0
"""How long to wait for another process that is just making the same store."""


def create(
    store: str | os.PathLike[str],
    *,
    models: Sequence[str],
    images: Sequence[str],
    shape: tuple[int, int],
    factors: Mapping[str, Sequence[str]] | None = None,
    channel: str | int | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    buffer_bytes: int = BUFFER_BYTES,
) -> Writer:
    """Create a store, to be filled from the loop that makes the maps.

    Several processes may call this with the same arguments, each to write other models: the first creates
    the store, the others join it, and the last to leave completes it. After a crash the same call resumes.

    Parameters
    ----------
    store : path or URL
        Where to create it.
    models, images : sequence of str
        All names; a map that is never written is missing.
    shape : (int, int)
        Height and width of every map.
    factors : mapping of str to sequence of str, optional
        What is known of the models, a value for each, such as ``{"seed": ["1", "2"]}``: stored as coordinates
        along ``model``.
    channel : {"mean", "max", "abs-max"} or int, optional
        How to reduce channels to one.
    dtype : {"float32", "float64"}, default "float32"
        Of the stored maps.
    overwrite : bool, default False
        Replace a store. Of several processes, only one may do so, before the others start.
    chunk_bytes : int, default 4 MiB
        Approximate size of a chunk.
    buffer_bytes : int, default 256 MiB
        Maps that wait in memory until their chunk is full take about as much.

    Returns
    -------
    Writer
        For a ``with`` statement.

    Raises
    ------
    UsageError
        If a name occurs twice, or the shape is invalid.
    StoreExistsError
        If there is a complete store, or something else.
    ChangedError
        If an unfinished store was begun with other arguments.
    LockedError
        If it is being converted to.

    See Also
    --------
    convert : for maps that are in files or in memory

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from salzarr.store.opening import open_maps
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
        raise UsageError(f"{twice!r} is given twice; give every model and image a unique name")
    if not names[0] or not names[1]:
        raise UsageError("there are no models or no images; declare at least one of each")
    known = {name: [str(value) for value in values] for name, values in (factors or {}).items()}
    for name, values in known.items():
        if len(values) != len(names[0]):
            raise UsageError(
                f"factor {name!r} has {len(values)} values for {len(names[0])} models; give one each"
            )
    url = locate(store)
    until = time.monotonic() + JOIN_SECONDS
    while overwrite or not _is_made(url):
        try:
            with lock(url):
                if overwrite and layout.exists(url):
                    layout.remove_store(url)
                if not _is_made(url):
                    layout.create_store(
                        url, *names, (height, width), recipe.attrs(),
                        factors=known, dtype=dtype, chunk_bytes=chunk_bytes,
                    )  # fmt: skip
            break
        except LockedError:  # another process may be making it right now
            if overwrite or time.monotonic() > until:
                raise
            time.sleep(0.1)
    _check_same(layout.open_writable(url), names, recipe, known)
    return Writer(url, recipe, buffer_bytes)


def _is_made(url: str) -> bool:
    """Whether there is a store to join, or something else to refuse."""
    return layout.exists(url) and not layout.is_embryo(url)


def _check_same(
    store: MapsStore, names: tuple[list[str], list[str]], recipe: Recipe, factors: Mapping[str, list[str]]
) -> None:
    """Refuse to join a store that is complete or was created with other arguments."""
    if store.complete:
        raise StoreExistsError(f"{store.url} is complete; choose another place, or give overwrite=True")
    stored = store.attrs[schema.ATTR_FINGERPRINT]
    given = {"models": names[0], "images": names[1], "factors": factors, **recipe.attrs()}
    there = {
        "models": store.names(MODEL),
        "images": store.names(IMAGE),
        "factors": store.factors(),
        **stored,
    }
    changed = [name for name, value in given.items() if there.get(name) != value]
    if changed:
        raise ChangedError(
            f"{store.url} was created with other {' and '.join(changed)}; give the same, or overwrite=True"
        )


@dataclass
class _Open:
    """A chunk that is not full yet."""

    values: NDArray[Any]
    records: NDArray[np.void]
    full: NDArray[np.bool_]


class Writer:
    """A store that is being filled; :func:`create` returns it."""

    def __init__(self, url: str, recipe: Recipe, buffer_bytes: int) -> None:
        self._url, self._recipe, self._buffer_bytes = url, recipe, buffer_bytes
        self._locks = ExitStack()
        self._chunks: dict[tuple[int, int], _Open] = {}
        self._mine: set[int] = set()
        self._written: set[tuple[int, int]] = set()
        self._store: MapsStore | None = None

    def __enter__(self) -> Self:
        self._locks.enter_context(lock(self._url, shared=True, wait=JOIN_SECONDS))
        self._store = store = layout.open_writable(self._url)
        self._models = {name: at for at, name in enumerate(store.names(MODEL))}
        self._images = {name: at for at, name in enumerate(store.names(IMAGE))}
        self._ledger = Ledger(store.journal, store.read_facts())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left; without an error the models are done, and with the last one the store."""
        store = self._opened()
        try:
            for key in list(self._chunks):
                self._flush(key)
            self._ledger.flush()
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
            A declared model.
        images : sequence of str
            Declared images, each once, in any order.
        maps : array
            (image, H, W), or with channels: NumPy's, PyTorch's (on any device, with or without a
            gradient), or whatever else has ``__array__`` or DLPack. It may be changed afterwards.

        Raises
        ------
        UsageError
            If a name was not declared, or was written before.
        ShapeError, InputError
            If the maps have another size, or are not numbers.
        ChangedError
            If a map differs from the one that an earlier run wrote.
        LockedError
            If another process writes this model.
        StoreError
            If the store cannot be written; what has been written is kept.
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
                raise ShapeError(f"{where} has shape {raw.shape}, but maps of {height}x{width} were declared")
            if (row, column) in self._written:
                raise UsageError(f"{where} has been written already; write each map once")
            crc = checksum(raw)
            if self._ledger.facts["map_status"][row, column] & Status.MISSING == 0:
                if crc != self._ledger.facts["source_crc"][row, column]:
                    raise ChangedError(
                        f"{where} differs from the one of an earlier run; start again with overwrite=True"
                    )
            else:
                self._put(row, column, made, crc, status)
            self._written.add((row, column))

    def remaining(self, model: str) -> list[str]:
        """Return the images of a model that no run has written yet, so that a loop can skip the others."""
        row = self._index(self._models, "model", model)
        there = self._ledger.facts["map_status"][row] & Status.MISSING == 0
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
                f"{what} {name!r} was not declared; declare all of them in salzarr.create"
            ) from None

    def _claim(self, row: int, model: str) -> None:
        """Make sure that only this process writes a model."""
        folder = local_path(self._url)
        if folder is not None:
            try:
                self._locks.enter_context(lock(os.path.join(folder, Journal.folder, f"model-{row}")))
            except LockedError:
                raise LockedError(
                    f"another process writes model {model!r} of {self._url}; give each its own models"
                ) from None
        self._mine.add(row)
        # Another process may have written some of it before; of other models, we know more than the journal.
        self._ledger.facts[row] = self._opened().read_facts()[row]

    def _put(self, row: int, column: int, made: NDArray[Any], crc: int, status: Status) -> None:
        """Keep a map until its chunk is full."""
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
        """Write a chunk, full or not."""
        chunk, chunks = self._chunks.pop(key), self._opened().chunks
        slots = np.flatnonzero(chunk.full)
        start = key[1] * chunks.length
        there = (
            self._ledger.facts["map_status"][key[0], start : start + chunk.full.size] & Status.MISSING == 0
        )
        write_chunk(chunks, *key, slots.tolist(), chunk.values[slots], keep=bool(there.any()))
        self._ledger.add(chunk.records[slots])

    def _finish(self, store: MapsStore) -> None:
        """Complete the store if this was the last of its writers."""
        # A lease is not shared: its holder may have looked before this process was done, so wait.
        wait = 0.0 if local_path(self._url) else JOIN_SECONDS
        try:
            with lock(self._url, wait=wait):
                facts, closed = store.read_facts(), store.journal.closed()
                lacking = np.any(facts["map_status"] & Status.MISSING, axis=1).tolist()
                todo = [name for name, at in self._models.items() if lacking[at] and at not in closed]
                if todo:
                    log.warning("%s is incomplete: %s not written yet", f"{self._url}", ", ".join(todo))
                elif not layout.open_writable(self._url).complete:
                    run = {"source": "salzarr.create", "salzarr": __version__, "written": len(self._written)}
                    store.finish(facts, {"runs": [run]})
        except LockedError:
            log.info("%s is still being written by another process, which will complete it", f"{self._url}")
