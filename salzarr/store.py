"""Read a maps store: as a labelled array, block by block, and what is known of its maps."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.sync import sync

from salzarr import layout, schema
from salzarr.errors import CorruptError, IncompleteError, StoreError
from salzarr.locks import local_path
from salzarr.schema import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Path = str | os.PathLike[str]


def open_dataset(store: Path, *, allow_incomplete: bool = False) -> xr.Dataset:
    """Open a maps store as a Dataset, backed by Dask.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    allow_incomplete : bool, default False
        Open a store that has not been written to its end, too.

    Returns
    -------
    xarray.Dataset
        With the arrays of :data:`salzarr.schema.MAPS_STORE`.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        If there is no such store, or it is none that this salzarr reads.
    IncompleteError
        If it has not been written to its end.
    """
    url = layout.url_of(store)
    complete = layout.read_attrs(url).get(schema.ATTR_COMPLETE) is True
    if not complete and not allow_incomplete:
        raise IncompleteError(
            f"{url} is incomplete{_what_is_missing(url)}; repeat the command that makes it, which goes on from there"
        )
    try:
        with layout.storage_errors(url):
            # Only finished stores have consolidated metadata; asking for it saves the listing of the folder.
            dataset = xr.open_zarr(url, consolidated=complete, mask_and_scale=False)
    except ValueError as error:
        raise StoreError(f"{url} cannot be opened: {error}") from None
    schema.check_maps(dataset, url)
    dataset.encoding["source"] = url
    for variable in schema.MAPS_STORE:
        dataset[variable.name].encoding["source"] = url
    return dataset


def _what_is_missing(url: str) -> str:
    """Say how much of an unfinished store is there."""
    opened = layout.open_writable(url)
    status = opened.read_facts()["map_status"]
    count = (status & Status.MISSING > 0).sum(axis=1)
    lacking = ", ".join(f"{model} {n}" for model, n in zip(opened.models, count, strict=True) if n)
    return f" (maps not written yet, of {status.shape[1]}: {lacking})" if lacking else ""


def open_maps(store: Path, *, allow_incomplete: bool = False) -> xr.DataArray:
    """Open the maps of a store as a labelled array.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    allow_incomplete : bool, default False
        Open a store that has not been written to its end, too.

    Returns
    -------
    xarray.DataArray
        (model, image, y, x) float32, or float64 where the store was made so; backed by Dask, chunked as
        stored; NaN where a map is missing. ``encoding["source"]`` is the store's place.

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
    >>> from salzarr.converting import convert
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = convert({"a": np.ones((3, 8, 8))}, folder + "/maps.zarr")
    ...     open_maps(folder + "/maps.zarr").sel(model="a", image="0001").mean().item()
    1.0
    """
    return open_dataset(store, allow_incomplete=allow_incomplete)[schema.MAPS.name]


def facts(store: Path) -> xr.Dataset:
    """Return what is known of every map without reading it.

    Parameters
    ----------
    store : path or URL
        Of a complete maps store.

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
    dataset = open_dataset(store)[[variable.name for variable in schema.FACTS]]
    return _load(dataset, layout.url_of(store))


def _load(dataset: xr.Dataset, url: str) -> xr.Dataset:
    try:
        with layout.storage_errors(url):
            return dataset.load(scheduler="synchronous")
    except StoreError:
        raise
    except Exception as error:
        raise CorruptError(
            f"the facts of {url} cannot be read ({error}); convert the maps again with --overwrite"
        ) from error


def digests(store: Path, block: int) -> NDArray[np.uint64]:
    """Return a digest of the maps of every model and block of images, for a comparison to be resumed by.

    It is made from the checksums of the inputs and from the facts, so that nothing is read.

    Parameters
    ----------
    store : path or URL
        Of a complete maps store.
    block : int
        Images per block.

    Returns
    -------
    (model, block) uint64 ndarray

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError, IncompleteError, CorruptError
        As :func:`facts`.
    """
    dataset = open_dataset(store)
    options = repr(sorted(dataset.attrs[schema.ATTR_FINGERPRINT].items())).encode()
    names = [variable.name for variable in (*schema.FACTS, schema.SOURCE_CRC)]
    values = _load(dataset[names], layout.url_of(store))
    images = dataset.sizes[schema.IMAGE]
    result = np.empty((dataset.sizes[schema.MODEL], -(-images // block)), np.uint64)
    for model, at in np.ndindex(*result.shape):
        where = slice(at * block, (at + 1) * block)
        digest = hashlib.blake2b(options, digest_size=8)
        for name in names:
            digest.update(np.ascontiguousarray(values[name].values[model, where]).tobytes())
        digest.update("\0".join(map(str, values[schema.IMAGE].values[where])).encode())
        result[model, at] = int.from_bytes(digest.digest(), "little")
    return result


def read_block(store: Path, models: Sequence[int] | slice, images: slice) -> Array:
    """Read some models' maps of a range of images: what tasks call on workers.

    The store is opened once per process. A chunk that is not there would be read as NaN without an
    error, so each is checked to exist unless all its maps are known to be missing.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    models : sequence of int, or slice
        Which, by position.
    images : slice
        Which, by position; step 1.

    Returns
    -------
    (model, image, H, W) ndarray
        In memory, of the store's dtype; NaN where a map is missing.

    Raises
    ------
    CorruptError
        If a chunk is missing, torn or flipped; the message names model, images and chunk.
    StoreError
        If the store cannot be reached.
    """
    url = layout.url_of(store)
    opened = _opened(url, _stamp(url))
    count, length = opened.maps.shape[:2]
    rows = list(range(*models.indices(count))) if isinstance(models, slice) else [int(m) for m in models]
    start, stop, _ = images.indices(length)
    result = np.empty((len(rows), max(0, stop - start), *opened.maps.shape[2:]), opened.maps.dtype)
    with layout.storage_errors(url):
        for row in rows:
            opened.check_chunks(row, start, stop)
        try:
            for at, number in _runs(rows):
                result[at : at + number] = opened.maps[rows[at] : rows[at] + number, start:stop]
        except (OSError, MemoryError):
            raise
        except Exception as error:  # each codec has its own way to complain
            raise opened.find_corrupt(rows, start, stop) or CorruptError(
                f"{url} cannot be read: {error}"
            ) from error
    return result


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers, as start and length.

    >>> _runs([4, 5, 9])
    [(0, 2), (2, 1)]
    """
    starts = [at for at, row in enumerate(rows) if not at or row != rows[at - 1] + 1]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


class _Opened:
    """A store as tasks read it, kept open."""

    def __init__(self, url: str) -> None:
        group = layout.open_group(url)
        with layout.storage_errors(url):
            self.url, self.store = url, group.store
            self.maps: zarr.Array[Any] = group[schema.MAPS.name]  # type: ignore[assignment]
            self.models, self.images = (
                [str(n) for n in np.asarray(group[axis][:])] for axis in (schema.MODEL, schema.IMAGE)
            )  # type: ignore[index]
            status = np.asarray(group[schema.MAP_STATUS.name][:])  # type: ignore[index]
        per_chunk = self.maps.chunks[1]
        self.wanted = np.logical_or.reduceat(
            status & Status.MISSING == 0, range(0, status.shape[1], per_chunk), axis=1
        )

    def check_chunks(self, model: int, start: int, stop: int) -> None:
        """Refuse to read chunks that are not there but should be."""
        per_chunk = self.maps.chunks[1]
        for block in range(start // per_chunk, -(-stop // per_chunk)):
            if self.wanted[model, block] and not self._exists(model, block):
                raise self.corrupt(model, block, "is missing")

    def _exists(self, model: int, block: int) -> bool:
        key = layout.chunk_key(model, block)
        folder = local_path(self.url)
        return os.path.exists(os.path.join(folder, key)) if folder else bool(sync(self.store.exists(key)))

    def find_corrupt(self, rows: Sequence[int], start: int, stop: int) -> CorruptError | None:
        """Find the first chunk that cannot be decoded."""
        per_chunk = self.maps.chunks[1]
        for model in rows:
            for block in range(start // per_chunk, -(-stop // per_chunk)):
                try:
                    self.maps[model, block * per_chunk : (block + 1) * per_chunk]
                except Exception as error:
                    return self.corrupt(model, block, f"is damaged ({str(error).splitlines()[0]})")
        return None

    def corrupt(self, model: int, block: int, what: str) -> CorruptError:
        """Say which chunk is bad, by model and images."""
        images = self.images[block * self.maps.chunks[1] : (block + 1) * self.maps.chunks[1]]
        return CorruptError(
            f"{self.url}: chunk {layout.chunk_key(model, block)} {what}; it holds {self.models[model]}, images "
            f"{images[0]!r} to {images[-1]!r}; convert the maps again with --overwrite"
        )


@lru_cache(maxsize=16)
def _opened(url: str, stamp: object) -> _Opened:
    return _Opened(url)


def _stamp(url: str) -> object:
    """Return what changes when a local store is made anew, so that an old one is not kept open."""
    folder = local_path(url)
    if folder is None:
        return None
    try:
        found = os.stat(os.path.join(folder, "zarr.json"))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
