"""Read a maps store: as a labelled array, block by block, or only the facts of its maps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from zarr.core.sync import sync

from salzarr import location, schema
from salzarr.errors import CorruptError, IncompleteError, StoreError, storage_errors
from salzarr.location import local_path, locate, zarr_store
from salzarr.schema import Status
from salzarr.store import layout
from salzarr.store.chunks import BadChunkError, chunk_key
from salzarr.store.layout import MapsStore
from salzarr.store.metadata import readable
from salzarr.store.records import FACT_NAMES, degenerate

Array = NDArray[Any]
Path = str | os.PathLike[str]


def open_dataset(store: Path, *, allow_incomplete: bool = False) -> xr.Dataset:
    """Open a maps store as a Dataset, backed by Dask.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    allow_incomplete : bool, default False
        Open an incomplete store, too.

    Returns
    -------
    xarray.Dataset
        With the arrays of :data:`salzarr.schema.MAPS_STORE`.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        If there is no store, or this salzarr cannot read it.
    IncompleteError
        If the store is incomplete.
    """
    url = locate(store)
    complete = is_complete(url)
    if not complete and not allow_incomplete:
        raise IncompleteError(
            f"{url} is incomplete{_lacking(url)}; repeat the command that wrote it, which resumes, or use it "
            "as it is with --allow-incomplete"
        )
    with readable(url):
        # Only complete stores have consolidated metadata, which saves listing the folder.
        dataset: xr.Dataset = xr.open_zarr(zarr_store(url), consolidated=complete, mask_and_scale=False)
    schema.check_maps(dataset, url)
    with storage_errors(url):  # what is known of models is small, and to be grouped by
        labels = {
            name: (values.dims, values.values) for name, values in dataset.coords.items() if values.chunks
        }
    dataset = dataset.assign_coords(labels)
    if not complete:  # facts are written last; until then the journal has them
        known = layout.open_store(url).known()
        dataset = dataset.assign({name: dataset[name].copy(data=known[name]) for name in FACT_NAMES})
    dataset.attrs = schema.portable(dataset.attrs)
    dataset.encoding["source"] = url
    for variable in schema.MAPS_STORE:
        dataset[variable.name].encoding["source"] = url
    return dataset


def is_complete(store: Path) -> bool:
    """Whether a maps store has been written to its end."""
    return bool(layout.open_group(locate(store)).attrs.get(schema.ATTR_COMPLETE))


def _lacking(url: str) -> str:
    """Return how much an incomplete store lacks, in words."""
    try:
        opened = layout.open_store(url)
    except StoreError:
        return ""
    status, models = opened.read_facts()["map_status"], opened.names(schema.MODEL)
    text = ""
    for flag, what in ((Status.MISSING, "are missing"), (Status.UNREADABLE, "could not be read")):
        count = (status & flag > 0).sum(axis=1)
        lacking = ", ".join(f"{n} of {model}" for model, n in zip(models, count, strict=True) if n)
        text += f", maps {what}: {lacking}" if lacking else ""
    return text


def open_maps(store: Path, *, allow_incomplete: bool = False) -> xr.DataArray:
    """Open the maps of a store as a labelled array.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    allow_incomplete : bool, default False
        Open an incomplete store, too.

    Returns
    -------
    xarray.DataArray
        (model, image, y, x), float32 or float64 as stored; backed by Dask, one chunk per stored chunk; NaN
        where a map is missing. ``encoding["source"]`` is the location of the store.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError, IncompleteError
        As :func:`open_dataset`.

    See Also
    --------
    xarray.open_zarr : reads the same store without salzarr

    Examples
    --------
    >>> import numpy as np, salzarr, tempfile
    >>> from salzarr.store.converting import convert
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = convert({"a": np.ones((3, 8, 8))}, folder + "/maps.zarr")
    ...     float(open_maps(folder + "/maps.zarr").sel(model="a", image="0001").mean())
    1.0
    """
    return open_dataset(store, allow_incomplete=allow_incomplete)[schema.MAPS.name]


def facts(store: Path, *, allow_incomplete: bool = False) -> xr.Dataset:
    """Return what is known of every map without reading it.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    allow_incomplete : bool, default False
        Of an incomplete store, too.

    Returns
    -------
    xarray.Dataset
        ``map_min``, ``map_max``, ``map_sum``, ``map_status`` (model, image), in memory.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError, IncompleteError
        As :func:`open_dataset`.
    CorruptError
        If they cannot be read.
    """
    dataset = open_dataset(store, allow_incomplete=allow_incomplete)[[fact.name for fact in schema.FACTS]]
    return _load(dataset, locate(store))


def _load(dataset: xr.Dataset, url: str) -> xr.Dataset:
    with readable(url):
        return dataset.load(scheduler="synchronous")


def info(store: Path) -> dict[str, Any]:
    """Return what a store holds and how, without reading the maps.

    Parameters
    ----------
    store : path or URL
        Of a maps store, complete or not.

    Returns
    -------
    dict
        Of plain values, for JSON: ``store``, ``complete``, ``format``, ``salzarr``, ``models`` (a
        mapping per model, with ``maps``, ``missing``, ``min``, ``max``), ``images``, ``size``, ``dtype``,
        ``chunk`` (images, H, W), ``chunks``, ``codecs``, ``bytes``, ``stored_bytes``,
        ``missing``, ``unreadable``, ``degenerate``, ``resized``, ``options``, ``provenance``.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        If there is no store.
    """
    url = locate(store)
    opened = layout.open_store(url)
    found, attrs = opened.read_facts(), opened.attrs
    there = found["map_status"] & Status.MISSING == 0
    images, shape, chunk = opened.names(schema.IMAGE), opened.shape, opened.maps.chunks
    models = {
        model: {
            "maps": int(row.sum()),
            "missing": int((~row).sum()),
            "min": _extreme(np.nanmin, known["map_min"]),
            "max": _extreme(np.nanmax, known["map_max"]),
        }
        for model, row, known in zip(opened.names(schema.MODEL), there, found, strict=True)
    }
    return {
        "store": url,
        "complete": opened.complete,
        "format": attrs[schema.ATTR_FORMAT],
        "salzarr": attrs[schema.ATTR_VERSION],
        "models": models,
        "images": len(images),
        "size": list(shape),
        "dtype": str(opened.maps.dtype),
        "chunk": list(chunk[1:]),
        "chunks": len(models) * -(-len(images) // chunk[1]),
        "codecs": opened.chunks.codecs,
        "bytes": int(there.sum()) * shape[0] * shape[1] * opened.maps.dtype.itemsize,
        "stored_bytes": _stored_bytes(opened),
        "missing": int((~there).sum()),
        "unreadable": int((found["map_status"] & Status.UNREADABLE > 0).sum()),
        "degenerate": degenerate(found),
        "resized": int((found["map_status"] & Status.RESIZED > 0).sum()),
        "options": attrs.get(schema.ATTR_FINGERPRINT, {}),
        "provenance": attrs.get(schema.ATTR_PROVENANCE, {}),
    }


def _extreme(of: Callable[[Array], Any], values: Array) -> float | None:
    """Return the least or the largest value; None if all are NaN."""
    return None if np.isnan(values).all() else float(of(values))


def _stored_bytes(store: MapsStore) -> int:
    """Return the bytes of a store on disk."""
    folder = local_path(store.url)
    if folder is None:
        with storage_errors(store.url):
            return int(sync(store.group.store.getsize_prefix("")))
    files = (os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(file) for file in files)


def read_block(store: Path, models: Sequence[int] | slice, images: slice) -> Array:
    """Read the maps of some models on a range of images.

    The store is opened once per process. Zarr reads a missing chunk as NaN; here it is an error unless all
    its maps are known to be missing.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    models : sequence of int, or slice
        By position.
    images : slice
        By position; step 1.

    Returns
    -------
    (model, image, H, W) ndarray
        In memory, of the store's dtype; NaN where a map is missing.

    Raises
    ------
    CorruptError
        If a chunk is missing or damaged; the message names model, images and chunk.
    StoreError
        If the store cannot be reached.
    """
    url = locate(store)
    opened = _opened(url, _stamp(url))
    count, length = opened.chunks.maps.shape[:2]
    rows = range(*models.indices(count)) if isinstance(models, slice) else [int(model) for model in models]
    start, stop, _ = images.indices(length)
    outside = [model for model in rows if not 0 <= model < count]
    if outside or (images.stop or 0) > length:
        raise CorruptError(
            f"{url} has {count} models and {length} images, and others were asked for; it was changed or "
            "damaged: check it with 'salzarr verify'"
        )
    result = np.empty(
        (len(rows), max(0, stop - start), *opened.chunks.maps.shape[2:]), opened.chunks.maps.dtype
    )
    with storage_errors(url):
        for row, out in zip(rows, result, strict=True):
            opened.read(row, start, stop, out)
    return result


class _Opened:
    """A store that stays open for :func:`read_block`."""

    def __init__(self, url: str) -> None:
        store = layout.open_store(url)
        self.chunks = store.chunks
        self.native = self.chunks.native
        with storage_errors(url):
            self.models, self.images = store.names(schema.MODEL), store.names(schema.IMAGE)
            known = store.arrays if store.complete else store.known()
            there = np.asarray(known[schema.MAP_STATUS.name][:]) & Status.MISSING == 0
        self.wanted = np.logical_or.reduceat(there, range(0, there.shape[1], self.chunks.length), axis=1)

    def read(self, model: int, start: int, stop: int, out: Array) -> None:
        """Read a range of one model's maps."""
        if not self.native:  # a copy made by another tool: read its chunks as Zarr does
            out[:] = self.chunks.maps[model, start:stop]
            return
        length = self.chunks.length
        for block in range(start // length, -(-stop // length)):
            first, last = max(start, block * length), min(stop, (block + 1) * length)
            part = out[first - start : last - start]
            if not self.wanted[model, block]:
                part[:] = np.nan
                continue
            try:
                if len(part) == length:
                    self.chunks.read(model, block, part)
                else:
                    part[:] = self.chunks.read(model, block)[first - block * length : last - block * length]
            except BadChunkError as error:
                raise self.corrupt(model, block, error) from None

    def corrupt(self, model: int, block: int, error: BadChunkError) -> CorruptError:
        """Return the error of a bad chunk, which names model and images."""
        images = self.images[block * self.chunks.length : (block + 1) * self.chunks.length]
        return CorruptError(
            f"{self.chunks.url}: chunk {chunk_key(model, block)} {error}; it holds {self.models[model]}, "
            f"images {images[0]!r} to {images[-1]!r}; delete the chunk and repeat the conversion"
        )


@lru_cache(maxsize=16)
def _opened(url: str, stamp: object) -> _Opened:
    return _Opened(url)


def _stamp(url: str) -> object:
    """Return what changes when a store is replaced or grows, so that the old one is not kept open."""
    folder = local_path(url)
    if folder is None:
        return location.version(url, "zarr.json")
    try:
        found = os.stat(os.path.join(folder, "zarr.json"))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
