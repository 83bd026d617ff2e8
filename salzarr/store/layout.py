"""The layout of a maps store: create, open, grow, finish.

This is the only module that opens a maps store for writing. The order of its writes lets a run be killed
anywhere:

* create: the mark of a salzarr store, then the arrays, then the options; without options it is an embryo,
  which is created again;
* grow: mark it unfinished (which drops the consolidated metadata), then resize the arrays, then the names;
* write: a chunk by a rename, then its record in the journal; facts stay in memory until the end;
* finish: facts, drop the journal, consolidate the metadata, and ``complete`` last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.sync import sync

from salzarr import schema
from salzarr._version import __version__
from salzarr.errors import (
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    UsageError,
    storage_errors,
)
from salzarr.location import check_bucket, local_path, zarr_store
from salzarr.plan import CHUNK_BYTES, chunk_images
from salzarr.store import metadata
from salzarr.store.chunks import Chunks, codecs
from salzarr.store.power import sync_folder
from salzarr.store.records import FACT_NAMES, Journal, add_records, blank, missing_value

ROW = 16_384
"""Least length of a chunk of facts and names, so that a store that grows does not fray into small files."""


def exists(url: str) -> bool:
    """Whether there is anything at a place; what a killed run left half written does not count."""
    path = local_path(url)
    if path is None:
        return _is_group(url)
    if os.path.isdir(path):
        return any(not name.endswith(".partial") for name in os.listdir(path))
    return os.path.lexists(path)


def _is_group(url: str) -> bool:
    try:
        with storage_errors(url):
            zarr.open_group(zarr_store(url), mode="r", use_consolidated=False)
    except (StoreError, KeyError) as error:
        if isinstance(error.__cause__, FileNotFoundError) or isinstance(error, KeyError):
            check_bucket(url)
            return False
        raise
    return True


def open_group(url: str, mode: Any = "r") -> zarr.Group:
    """Open the group of a maps store, without consolidated metadata; StoreError if it is not one."""
    with metadata.readable(url):
        try:
            group = zarr.open_group(zarr_store(url), mode=mode, use_consolidated=False)
        except (FileNotFoundError, KeyError):
            raise StoreNotFoundError(
                f"{url} is not a Zarr store; give one that 'salzarr convert' wrote or, to write, a new path"
                if exists(url)
                else f"{url} does not exist; create it with 'salzarr convert', or give one that it wrote"
            ) from None
    schema.check(group.attrs, schema.KIND_MAPS, url)
    metadata.check(url, group.store)
    return group


@dataclass(frozen=True)
class MapsStore:
    """An open maps store, and how it changes."""

    url: str
    group: zarr.Group
    arrays: Mapping[str, zarr.Array[Any]]

    @property
    def attrs(self) -> dict[str, Any]:
        """A copy of the attributes."""
        return schema.restored(self.group.attrs)

    @property
    def complete(self) -> bool:
        """Whether it has been written to its end."""
        return self.attrs.get(schema.ATTR_COMPLETE) is True

    @property
    def maps(self) -> zarr.Array[Any]:
        """The array of maps."""
        return self.arrays[schema.MAPS.name]

    @property
    def chunks(self) -> Chunks:
        """Their chunks."""
        return Chunks(self.url, self.maps)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return self.maps.shape[2], self.maps.shape[3]

    @property
    def journal(self) -> Journal:
        """What has been written since the store was last complete."""
        return Journal(self.url, self.group.store, self.chunks.length)

    def names(self, axis: str) -> list[str]:
        """Return the names of the models or the images."""
        # A run that was killed while it grew the axis leaves empty names at its end.
        return [name for name in map(str, np.asarray(self.arrays[axis][:])) if name]

    def factors(self) -> dict[str, list[str]]:
        """Return what is known of the models: a value for each, empty where there is none, by factor."""
        count = len(self.names(schema.MODEL))
        found = {}
        for name in str(self.group.attrs.get(schema.ATTR_COORDINATES, "")).split():
            array = self.group.get(name)
            if isinstance(array, zarr.Array) and array.metadata.dimension_names == (schema.MODEL,):  # type: ignore[union-attr]
                values = list(map(str, np.asarray(array[:])))[:count]
                found[name] = values + [""] * (count - len(values))
        return found

    def begin(self) -> None:
        """Mark the store unfinished; that drops the consolidated metadata, which would hide growth."""
        with storage_errors(self.url):
            self.group.attrs[schema.ATTR_COMPLETE] = False

    def grow(
        self, models: Sequence[str], images: Sequence[str], factors: Mapping[str, Sequence[str]]
    ) -> None:
        """Make room for models and images; the names so far come first, in their order."""
        with storage_errors(self.url):
            for variable in schema.MAPS_STORE:
                array = self.arrays[variable.name]
                shape = (len(models), len(images), *array.shape[2:])
                if array.shape != shape:
                    array.resize(shape)
            for axis, names in ((schema.IMAGE, images), (schema.MODEL, models)):
                array = self.arrays[axis]
                if array.shape != (len(names),) or self.names(axis) != list(names):
                    array.resize((len(names),))
                    array[:] = np.array(names, dtype=object)
            _write_factors(self.group, factors)

    def read_facts(self) -> NDArray[np.void]:
        """Return the facts of all maps (model, image), as stored and as journaled since."""
        facts = blank((len(self.names(schema.MODEL)), len(self.names(schema.IMAGE))))
        for name in FACT_NAMES:
            values = np.asarray(self.arrays[name][: facts.shape[0], : facts.shape[1]])
            facts[name][: values.shape[0], : values.shape[1]] = values
        add_records(facts, self.journal.read())
        return facts

    def known(self) -> NDArray[np.void]:
        """Return the facts in the shape of the arrays, which a killed run may have grown before the names."""
        facts, found = blank(self.maps.shape[:2]), self.read_facts()
        facts[: found.shape[0], : found.shape[1]] = found
        return facts

    def finish(self, facts: NDArray[np.void], provenance: Mapping[str, Any]) -> None:
        """Write the facts, drop the journal, consolidate the metadata, and mark the store as complete."""
        with storage_errors(self.url):
            for name in FACT_NAMES:
                self.arrays[name][:] = facts[name]
            sync_folder(self.url)  # before the journal goes
            self.journal.clear()
            metadata.complete(self.url, self.group, {schema.ATTR_PROVENANCE: dict(provenance)})


def open_store(url: str) -> MapsStore:
    """Open a store for reading, complete or not."""
    return _with_arrays(url, open_group(url))


def open_writable(url: str) -> MapsStore:
    """Open a store for writing.

    Zarr does not write a chunk that is all fill value unless told so, does not remember that it was told, and
    deletes a chunk that becomes so: an all-NaN map would look like one that was never written.
    """
    with zarr.config.set({"array.write_empty_chunks": True}):  # taken over by an array when it is opened
        store = _with_arrays(url, open_group(url, "r+"))
    if not store.chunks.native:
        raise StoreError(
            f"{url} was laid out by another tool and can only be read; convert it into a new store, as in "
            f"'salzarr convert {url} new.zarr'"
        )
    return store


def _with_arrays(url: str, group: zarr.Group) -> MapsStore:
    names = (*(variable.name for variable in schema.MAPS_STORE), schema.MODEL, schema.IMAGE)
    with metadata.readable(url):
        try:
            return MapsStore(url, group, {name: group[name] for name in names})  # type: ignore[misc]
        except KeyError as error:
            raise StoreError(
                f"{url} lacks the array {error}; convert the maps again with --overwrite"
            ) from None


def is_embryo(url: str) -> bool:
    """Whether a run was killed while it created this store, before it could hold anything."""
    return schema.ATTR_FINGERPRINT not in open_group(url).attrs


def create_store(
    url: str,
    models: Sequence[str],
    images: Sequence[str],
    shape: tuple[int, int],
    options: Mapping[str, Any],
    *,
    factors: Mapping[str, Sequence[str]] | None = None,
    dtype: str = "float32",
    chunk_bytes: int = CHUNK_BYTES,
) -> MapsStore:
    """Create a store without maps, where there is nothing yet or an embryo; a resume compares the options."""
    check_factors(factors or {}, url)
    per_chunk = chunk_images(shape, np.dtype(dtype).itemsize, chunk_bytes)
    with storage_errors(url):
        marks: dict[str, Any] = {
            schema.ATTR_KIND: schema.KIND_MAPS,
            schema.ATTR_FORMAT: schema.FORMAT_VERSION,
            schema.ATTR_VERSION: __version__,
            schema.ATTR_COMPLETE: False,
        }
        group = zarr.open_group(zarr_store(url), mode="a", attributes=marks, use_consolidated=False)
        for variable in schema.MAPS_STORE:
            is_map = variable is schema.MAPS
            kind = np.dtype(dtype if is_map else variable.dtype)
            group.create_array(
                variable.name,
                shape=(len(models), len(images), *(shape if is_map else ())),
                chunks=(1, per_chunk, *shape) if is_map else (1, max(ROW, len(images))),
                dtype=kind,
                compressors=codecs(kind.itemsize) if is_map else _small(),
                fill_value=missing_value(kind),
                dimension_names=variable.dims,
                attributes={"long_name": variable.meaning},
                overwrite=True,
            )
        for axis, names in ((schema.MODEL, models), (schema.IMAGE, images)):
            _write_names(group, axis, axis, names)
        _write_factors(group, factors or {})
        group.attrs[schema.ATTR_FINGERPRINT] = dict(options)
    return open_writable(url)


def _small() -> list[Any]:
    """Return the codecs of everything but the maps."""
    return [ZstdCodec(level=3), Crc32cCodec()]


def _write_names(group: zarr.Group, name: str, axis: str, values: Sequence[str]) -> None:
    """Write a list of text along an axis."""
    array = group.create_array(
        name,
        shape=(len(values),),
        chunks=(max(ROW, len(values)),),
        dtype="string",
        compressors=_small(),
        dimension_names=(axis,),
        overwrite=True,
    )
    array[:] = np.array(values, dtype=object)


def _write_factors(group: zarr.Group, factors: Mapping[str, Sequence[str]]) -> None:
    """Write what is known of the models, as coordinates that xarray takes for such."""
    for name, values in factors.items():
        _write_names(group, name, schema.MODEL, values)
    if factors and group.attrs.get(schema.ATTR_COORDINATES) != " ".join(factors):
        group.attrs[schema.ATTR_COORDINATES] = " ".join(factors)


def check_factors(factors: Iterable[str], where: str) -> None:
    """Refuse names of factors that are no words, or are taken."""
    for name in factors:
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in schema.TAKEN_NAMES:
            why = (
                "a store has something else of that name"
                if name in schema.TAKEN_NAMES
                else "it must be one word"
            )
            raise UsageError(
                f"{name!r} cannot be a factor of the models of {where}: {why}; choose another name"
            )


def remove_store(url: str) -> None:
    """Delete a maps store, but no other file in its folder; StoreExistsError if it is something else."""
    try:
        group = open_group(url, "r+")
    except StoreError as error:
        raise StoreExistsError(
            f"{url} is not a salzarr maps store, so --overwrite does not delete it"
        ) from error
    store, factors = group.store, str(group.attrs.get(schema.ATTR_COORDINATES, "")).split()
    with storage_errors(url):
        names = (*(variable.name for variable in schema.MAPS_STORE), schema.MODEL, schema.IMAGE)
        for name in (*names, *factors):
            sync(store.delete_dir(name))
        sync(store.delete("zarr.json"))  # last: what is left of a removal that is killed is still a store
