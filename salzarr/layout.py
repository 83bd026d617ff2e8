"""How a maps store lies on disk: made, opened for writing, grown, finished.

This is the only module that opens a maps store for writing.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import collect_aiterator, sync

from salzarr import schema
from salzarr._version import __version__
from salzarr.errors import StoreError, StoreExistsError, StoreNotFoundError
from salzarr.locks import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

CHUNK_BYTES = 4 << 20
"""A chunk of maps holds about as much: smaller ones read slower, larger ones need more memory."""

ROW = 16_384
"""Least length of a chunk of facts and names, so that a store that grows does not fray into small files."""


def url_of(path: str | os.PathLike[str]) -> str:
    """Return a store's place as text: a path, or a URL as it is.

    >>> url_of("maps.zarr/")
    'maps.zarr'
    """
    return os.fspath(path).rstrip("/") or "/"


def codecs(itemsize: int, cname: str = "lz4") -> list[Any]:
    """Return the compressor of maps, and behind it the checksum that it lacks."""
    return [BloscCodec(cname=cname, clevel=5, shuffle="bitshuffle", typesize=itemsize), Crc32cCodec()]  # type: ignore[arg-type]


def images_per_chunk(shape: tuple[int, int], itemsize: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Return how many whole maps go into a chunk.

    >>> images_per_chunk((224, 224), 4)
    20
    """
    return max(1, chunk_bytes // (shape[0] * shape[1] * itemsize))


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a disk or an endpoint may answer into one error that names the store."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise StoreError(f"{url} cannot be used: {why}; nothing that was finished is lost") from error


def exists(url: str) -> bool:
    """Whether there is anything at that place."""
    path = local_path(url)
    if path is not None:
        return (os.path.isdir(path) and bool(os.listdir(path))) or os.path.isfile(path)
    return is_group(url)


def is_group(url: str) -> bool:
    """Whether there is a Zarr group at that place."""
    try:
        zarr.open_group(url, mode="r", use_consolidated=False)
    except (FileNotFoundError, KeyError):
        return False
    return True


def read_attrs(url: str) -> dict[str, Any]:
    """Return the attributes of a maps store, checked to be one.

    Raises
    ------
    StoreNotFoundError
        If there is nothing.
    StoreError, VersionError
        If it is something else, or from a newer salzarr.
    """
    return dict(open_group(url).attrs)


def open_group(url: str, mode: Any = "r") -> zarr.Group:
    """Open a maps store's group, checked to be one, without consolidated metadata.

    Raises
    ------
    StoreNotFoundError, StoreError, VersionError
        As :func:`read_attrs`.
    """
    with storage_errors(url):
        try:
            group = zarr.open_group(url, mode=mode, use_consolidated=False)
        except (FileNotFoundError, KeyError):
            what = "is not a Zarr store" if exists(url) else "does not exist"
            raise StoreNotFoundError(f"{url} {what}; make it with 'salzarr convert SOURCE {url}'") from None
        except ValueError as error:  # a zarr.json that is no JSON, or not one of a group
            raise StoreError(f"{url} has a damaged zarr.json: {error}") from None
    schema.check(group.attrs, schema.KIND_MAPS, url)
    return group


FACT = np.dtype([(variable.name, variable.dtype) for variable in (*schema.FACTS, *schema.MANIFEST)])
"""What is known of one map besides its values."""

RECORD = np.dtype([("model", "uint32"), ("image", "uint32"), *FACT.descr])
"""The same in the journal."""


def blank(shape: tuple[int, ...]) -> NDArray[np.void]:
    """Return facts of maps that are missing.

    >>> blank((1,))["map_status"]
    array([1], dtype=uint8)
    """
    facts = np.empty(shape, FACT)
    for name in FACT.names or ():
        facts[name] = _fill(FACT[name])
    return facts


def _fill(dtype: np.dtype[Any]) -> Any:
    """Return what stands for a missing value."""
    fills = {"f": np.nan, "i": -1, "u": 0}
    return int(schema.Status.MISSING) if dtype == np.uint8 else fills[dtype.kind]


@dataclass(frozen=True)
class Writable:
    """A maps store that is open for writing."""

    url: str
    group: zarr.Group
    arrays: dict[str, zarr.Array[Any]]

    @property
    def maps(self) -> zarr.Array[Any]:
        """The array of maps."""
        return self.arrays[schema.MAPS.name]

    @property
    def models(self) -> list[str]:
        """Names of the models."""
        return self._names(schema.MODEL)

    @property
    def images(self) -> list[str]:
        """Names of the images."""
        return self._names(schema.IMAGE)

    @property
    def attrs(self) -> dict[str, Any]:
        """A copy of the attributes."""
        return dict(self.group.attrs)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return self.maps.shape[2], self.maps.shape[3]

    def _names(self, axis: str) -> list[str]:
        # A run that was killed while it grew the axis leaves empty names at its end.
        names = [str(name) for name in np.asarray(self.arrays[axis][:])]
        return [name for name in names if name]

    def begin(self) -> None:
        """Mark the store as unfinished; that drops the consolidated metadata, which would hide growth."""
        with storage_errors(self.url):
            self.group.attrs[schema.ATTR_COMPLETE] = False

    def grow(self, models: Sequence[str], images: Sequence[str]) -> None:
        """Make room for models and images; those that are there already come first, in their order."""
        with storage_errors(self.url):
            for variable in reversed(schema.MAPS_STORE):
                array = self.arrays[variable.name]
                shape = (len(models), len(images), *array.shape[2:])
                if array.shape != shape:
                    array.resize(shape)
            for axis, names in ((schema.IMAGE, images), (schema.MODEL, models)):
                array = self.arrays[axis]
                if self._names(axis) != list(names) or array.shape != (len(names),):
                    array.resize((len(names),))
                    array[:] = np.array(names, dtype=object)

    def read_facts(self) -> NDArray[np.void]:
        """Return what is known of every map: what was written at the end, and what the journal adds."""
        facts = blank((len(self.models), len(self.images)))
        for name in FACT.names or ():
            values = np.asarray(self.arrays[name][:])
            facts[name][: values.shape[0], : values.shape[1]] = values[: facts.shape[0], : facts.shape[1]]
        records = self.journal.read()
        records = records[(records["model"] < facts.shape[0]) & (records["image"] < facts.shape[1])]
        for name in FACT.names or ():
            facts[name][records["model"], records["image"]] = records[name]
        return facts

    def write_facts(self, facts: NDArray[np.void], models: Sequence[int]) -> None:
        """Write the facts of some models; one chunk per model, so that there is one writer."""
        with storage_errors(self.url):
            for name in FACT.names or ():
                for model in models:
                    self.arrays[name][model] = facts[name][model]

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Mark the store as complete, consolidate its metadata, drop the journal. In this order."""
        with storage_errors(self.url):
            self.group.attrs.update({schema.ATTR_PROVENANCE: dict(provenance), schema.ATTR_COMPLETE: True})
            with warnings.catch_warnings():
                # Zarr warns that other readers may not know of consolidated metadata; they need not.
                warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
                zarr.consolidate_metadata(self.group.store)
            self.journal.clear()

    @property
    def journal(self) -> Journal:
        """What has been written since the store was last complete."""
        return Journal(self.group.store)

    def has_chunk(self, model: int, block: int) -> bool:
        """Whether a chunk of maps is there."""
        return bool(sync(self.group.store.exists(chunk_key(model, block))))


def chunk_key(model: int, block: int) -> str:
    """Return where a chunk of maps lies in the store.

    >>> chunk_key(3, 7)
    'maps/c/3/7/0/0'
    """
    return f"{schema.MAPS.name}/c/{model}/{block}/0/0"


def open_writable(url: str) -> Writable:
    """Open a store for writing: the one place where that is done.

    Zarr does not write a chunk that is all fill value unless told so, does not remember that it was told,
    and deletes a chunk that becomes so. An all-NaN map would then look like one that was never written.
    """
    group = open_group(url, "r+")
    with zarr.config.set({"array.write_empty_chunks": True}), storage_errors(url):  # taken when it is opened
        names = (*(variable.name for variable in schema.MAPS_STORE), schema.MODEL, schema.IMAGE)
        try:
            arrays = {name: group[name] for name in names}
        except KeyError as error:
            raise StoreError(
                f"{url} lacks the array {error}; convert the maps again with --overwrite"
            ) from None
    return Writable(url, group, arrays)  # type: ignore[arg-type]


def create_store(
    url: str,
    models: Sequence[str],
    images: Sequence[str],
    shape: tuple[int, int],
    options: Mapping[str, Any],
    *,
    dtype: str = "float32",
    chunk_bytes: int = CHUNK_BYTES,
    cname: str = "lz4",
) -> Writable:
    """Make a store in which every map is missing.

    Parameters
    ----------
    url : str
        Where; there must be nothing yet.
    models, images : sequence of str
        Names along the axes.
    shape : (int, int)
        Height and width of the maps.
    options : mapping
        The recipe that made them, kept for a resume to compare.
    dtype : {"float32", "float64"}, default "float32"
        Of the maps.
    chunk_bytes : int
        About how much goes into a chunk, uncompressed.
    cname : str, default "lz4"
        Blosc's compressor.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    per_chunk = images_per_chunk(shape, np.dtype(dtype).itemsize, chunk_bytes)
    with storage_errors(url):
        group = zarr.open_group(url, mode="a", use_consolidated=False)
        for variable in schema.MAPS_STORE:
            is_map = variable is schema.MAPS
            kind = np.dtype(dtype if is_map else variable.dtype)
            group.create_array(
                variable.name,
                shape=(len(models), len(images), *(shape if is_map else ())),
                chunks=(1, per_chunk, *shape) if is_map else (1, max(ROW, len(images))),
                dtype=kind,
                compressors=codecs(kind.itemsize, cname) if is_map else [ZstdCodec(level=3), Crc32cCodec()],
                fill_value=np.nan if is_map else _fill(kind),
                dimension_names=variable.dims,
                attributes={"long_name": variable.meaning},
                overwrite=True,
            )
        for axis, names in ((schema.MODEL, models), (schema.IMAGE, images)):
            array = group.create_array(
                axis,
                shape=(len(names),),
                chunks=(max(ROW, len(names)),),
                dtype="string",
                compressors=[ZstdCodec(level=3), Crc32cCodec()],
                dimension_names=(axis,),
                overwrite=True,
            )
            array[:] = np.array(names, dtype=object)
        # Last, because it is what makes the folder a salzarr store.
        group.attrs.update(
            {
                schema.ATTR_KIND: schema.KIND_MAPS,
                schema.ATTR_FORMAT: schema.FORMAT_VERSION,
                schema.ATTR_VERSION: __version__,
                schema.ATTR_COMPLETE: False,
                schema.ATTR_FINGERPRINT: dict(options),
            }
        )
    return open_writable(url)


def remove_store(url: str) -> None:
    """Delete a salzarr store, and nothing that is not one; the folder itself stays, and its lock with it.

    Raises
    ------
    StoreExistsError
        If something else is there.
    """
    try:
        read_attrs(url)
    except StoreError as error:
        raise StoreExistsError(
            f"{url} is not a salzarr maps store, so --overwrite does not delete it"
        ) from error
    with storage_errors(url):
        sync(open_group(url).store.clear())


@dataclass(frozen=True)
class Journal:
    """What a run has finished, for the next one to go on from: small files that are removed in the end.

    They lie inside the folder of the ``maps`` array, where nothing that lists the store looks.
    """

    store: Any
    folder: str = f"{schema.MAPS.name}/.journal"

    def append(self, records: NDArray[np.void], writer: str = "") -> None:
        """Add records of maps that are now on disk; several writers need names that differ."""
        data = records.astype(RECORD).tobytes()
        check = google_crc32c.value(data).to_bytes(4, "little")
        name = f"{writer}{len(self._names()):08d}"
        sync(
            self.store.set(
                f"{self.folder}/{name}", default_buffer_prototype().buffer.from_bytes(data + check)
            )
        )

    def read(self) -> NDArray[np.void]:
        """Return all records; those of a damaged file are lost, and their maps will be read again."""
        found = [np.empty(0, RECORD)]
        for name in self._names():
            buffer = sync(self.store.get(f"{self.folder}/{name}", default_buffer_prototype()))
            data = buffer.to_bytes() if buffer is not None else b""
            if len(data) > 4 and google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little"):
                found.append(np.frombuffer(data[:-4], RECORD))
        return np.concatenate(found)

    def clear(self) -> None:
        """Remove the journal."""
        sync(self.store.delete_dir(self.folder))

    def _names(self) -> list[str]:
        names = collect_aiterator(self.store.list_dir(self.folder))
        return sorted(name for name in names if not name.endswith(".partial"))
