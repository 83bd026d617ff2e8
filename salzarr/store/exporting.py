"""Out of a store again: back to ``.npy`` files, or into another store."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import ChangedError, ShapeError, StoreExistsError, UsageError, near, storage_errors
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.names import STORED_NAME, spelled
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Stamp, pick
from salzarr.store import layout
from salzarr.store.convert_report import ConvertReport
from salzarr.store.converting import write_store
from salzarr.store.joining import NamedSource
from salzarr.store.reading import open_dataset, read_block
from salzarr.store.records import FACT

Path = str | os.PathLike[str]
Progress = Callable[[int, int], None]


LONGEST_NAME = 200
"""Bytes of a file's name: most systems allow 255, and a suffix is to follow."""


def export(
    store: Path,
    folder: Path,
    *,
    models: Sequence[str] | None = None,
    images: Sequence[str] | None = None,
    stacked: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Write the maps of a store as ``.npy`` files that :func:`salzarr.convert` reads back, bit for bit.

    Maps that are missing are left out. Characters of names that a path cannot have are written as ``%``
    and their code, and what is too long is cut and given a digest, so that nothing is ever written outside
    the folder.

    Parameters
    ----------
    store : path or URL
        Of a maps store.
    folder : path
        Where to; each model gets a folder in it.
    models, images : sequence of str, optional
        Only these.
    stacked : bool, default True
        One ``batch_maps.npy`` per model, (image, H, W), with the names in ``batch_maps.csv`` beside it; or
        else one file per image, called after it.
    overwrite : bool, default False
        Replace files that are there.
    progress : callable, optional
        Called with the number of maps done, and of all.

    Returns
    -------
    list of str
        The files of maps that were written.

    Raises
    ------
    UsageError
        If there is no such model or image.
    StoreExistsError
        If a file is there already.
    CorruptError, IncompleteError, StoreError
        If the store cannot be read, or the folder not written.
    """
    url, root = layout.url_of(store), os.fspath(folder)
    dataset = open_dataset(url)
    like = dataset[schema.MAPS.name]
    rows = _positions(dataset, MODEL, models)
    wanted = _positions(dataset, IMAGE, images)
    there = dataset[schema.MAP_STATUS.name].values & Status.MISSING == 0
    names = [str(name) for name in dataset[IMAGE].values]
    total, done, written = int(there[np.ix_(rows, wanted)].sum()), 0, []
    for row in rows:
        base = os.path.join(root, safe_path(str(dataset[MODEL].values[row])))
        columns = [column for column in wanted if there[row, column]]
        maps = _stream(url, row, columns, like.encoding["chunks"][1])
        with storage_errors(root):
            if stacked:
                kept = [names[column] for column in columns]
                written.append(_export_stack(base, kept, maps, like, overwrite=overwrite))
            else:
                for column, values in zip(columns, maps, strict=True):
                    path = os.path.join(base, f"{safe_path(names[column])}.npy")
                    with _new_file(path, overwrite) as file:
                        np.save(file, values, allow_pickle=False)
                    written.append(path)
        done += len(columns)
        if progress:
            progress(done, total)
    return written


def _positions(dataset: xr.Dataset, axis: str, wanted: Sequence[str] | None) -> list[int]:
    """Return the positions of names along an axis, of all by default."""
    at = {str(name): position for position, name in enumerate(dataset[axis].values)}
    wanted = None if wanted is None else [spelled(name) for name in wanted]
    unknown = [name for name in wanted or () if name not in at]
    if unknown:
        hint = near(unknown[0], at) or f"there are {', '.join(list(at)[:10])}{' …' if len(at) > 10 else ''}"
        raise UsageError(f"there is no {axis} {unknown[0]!r} in {dataset.encoding['source']}; {hint.strip()}")
    return list(at.values()) if wanted is None else [at[name] for name in wanted]


def _stream(url: str, row: int, columns: Sequence[int], length: int) -> Iterator[NDArray[Any]]:
    """Yield maps of one model, a chunk in memory at a time."""
    block, maps = -1, np.empty(0)
    for column in columns:
        if column // length != block:
            block = column // length
            maps = read_block(url, [row], slice(block * length, (block + 1) * length))[0]
        yield maps[column % length]


@contextmanager
def _new_file(path: str, overwrite: bool) -> Iterator[BinaryIO]:
    """Write a file under another name until it is whole."""
    if os.path.lexists(path) and not overwrite:
        raise StoreExistsError(f"{path} exists; choose another folder, or overwrite it with --overwrite")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        yield file
    os.replace(partial, path)


def _export_stack(
    base: str, names: Sequence[str], maps: Iterator[NDArray[Any]], like: xr.DataArray, *, overwrite: bool
) -> str:
    """Write the maps of one model into one file, and their names beside it."""
    path = os.path.join(base, "batch_maps.npy")
    with _new_file(path, overwrite) as file:
        shape = (len(names), *like.shape[2:])
        header = {"descr": like.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for values in maps:
            file.write(values.tobytes())
    with _new_file(os.path.join(base, "batch_maps.csv"), overwrite) as file:
        text = io.StringIO()
        csv.writer(text).writerows([[STORED_NAME], *([name] for name in names)])
        file.write(text.getvalue().encode())
    return path


def safe_path(name: str) -> str:
    """Return a relative path for a name, ``/`` in it being folders.

    >>> safe_path("VGG16/Baseline"), safe_path("../a:b"), safe_path(".hidden")
    ('VGG16/Baseline', '%2E./a:b', '%2Ehidden')
    """
    return os.path.join(*(_safe_part(part) for part in name.split("/")))


def _safe_part(part: str) -> str:
    """Return a name that is one part of a path and no more."""
    part = re.sub(r"^\.|[\x00-\x1f%\\]", lambda found: f"%{ord(found[0]):02X}", part) or "%"
    if len(part.encode()) <= LONGEST_NAME:
        return part
    digest = hashlib.blake2b(part.encode(), digest_size=8).hexdigest()
    return f"{part.encode()[: LONGEST_NAME - 20].decode(errors='ignore')}~{digest}"


@dataclass(frozen=True)
class StoredMaps:
    """Maps of one model that are in stores: a source like any other, whose facts are known.

    Attributes
    ----------
    places : tuple of (str, int, int)
        Of each map: the store, and its positions among the models and the images.
    ids : tuple of str
        Name of each image.
    times : tuple of Stamp
        Of the inputs that each map was made from.
    """

    places: tuple[tuple[str, int, int], ...]
    ids: tuple[str, ...]
    times: tuple[Stamp, ...]
    named: bool = True

    @property
    def rows_of_stack(self) -> bool:
        """Yes."""
        return True

    def select(self, positions: Sequence[int]) -> StoredMaps:
        """Return the same source with these maps only."""
        return replace(
            self,
            places=tuple(self.places[position] for position in positions),
            ids=pick(self.ids, positions),
            times=tuple(self.times[position] for position in positions),
        )

    def origins(self) -> list[str]:
        """Return the store and the image of each map."""
        return [f"{url}: image {id_}" for (url, _, _), id_ in zip(self.places, self.ids, strict=True)]

    def stamps(self) -> list[Stamp]:
        """Return the stamps of the inputs that the maps were made from."""
        return list(self.times)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the size of the maps of each store."""
        shapes = {url: layout.open_store(url).shape for url in {url for url, _, _ in self.places}}
        return [shapes[url] for url, _, _ in self.places]

    def read(self) -> Iterator[NDArray[Any]]:
        """Read a chunk at a time; a damaged one is an error that names it."""
        lengths = {url: layout.open_store(url).chunks.length for url in {url for url, _, _ in self.places}}
        for (url, row), places in groupby(self.places, key=lambda place: place[:2]):
            yield from _stream(url, row, [column for _, _, column in places], lengths[url])


def merge(
    stores: Sequence[Path],
    store: Path,
    *,
    append: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConvertReport:
    """Put the maps of several stores into one, such as those made on different machines.

    Parameters
    ----------
    stores : sequence of path or URL
        With other models, other images, or both. A map that is in several must be the same in all.
    store : path or URL
        Where the one is to be.
    append, overwrite : bool, default False
        As in :func:`salzarr.convert`.
    progress : callable, optional
        Called with the number of maps done, and of all.

    Returns
    -------
    ConvertReport

    Raises
    ------
    ChangedError
        If the stores were made with other options, or a map differs between them.
    ShapeError, StoreExistsError, LockedError, CorruptError, IncompleteError, StoreError
        As :func:`salzarr.convert`, or if one of them cannot be read.
    """
    urls = [layout.url_of(each) for each in stores]
    opened = [layout.open_store(url) for url in urls if open_dataset(url)]
    options = [each.attrs[schema.ATTR_FINGERPRINT] for each in opened]
    if not opened:
        raise UsageError("merge needs at least one store")
    for each in opened:
        if each.shape != opened[0].shape:
            one, other = ("x".join(map(str, one.shape)) for one in (each, opened[0]))
            raise ShapeError(
                f"the maps of {each.url} are {one}, those of {opened[0].url} {other}; resize one of them, "
                f"such as with: salzarr convert {each.url} resized.zarr --size {other}"
            )
    for url, other in zip(urls, options, strict=True):
        if other != options[0]:
            differ = [name for name in {**other, **options[0]} if other.get(name) != options[0].get(name)]
            raise ChangedError(
                f"{url} and {urls[0]} were not converted with the same {' and '.join(differ)}; convert one "
                "again with the options of the other, which salzarr info tells"
            )
    found: dict[str, dict[str, tuple[tuple[str, int, int], NDArray[np.void]]]] = {}
    for each in opened:
        facts, images = each.read_facts(), each.names(IMAGE)
        for row, model in enumerate(each.names(MODEL)):
            maps = found.setdefault(model, {})
            for column in np.flatnonzero(facts["map_status"][row] & Status.MISSING == 0).tolist():
                _, known = maps.setdefault(images[column], ((each.url, row, column), facts[row, column]))
                if known["source_crc"] != facts["source_crc"][row, column]:
                    raise ChangedError(
                        f"{each.url} has another map of {model}, image {images[column]!r}, than the stores "
                        "before it; if that is another model, convert it under another name (--model "
                        "NAME=PATH), if not, leave one of the stores out"
                    )
    labelled = [
        NamedSource(model, tuple(maps), _stored(maps), np.array([fact for _, fact in maps.values()], FACT))
        for model, maps in found.items()
        if maps
    ]
    recipe = Recipe.of(**options[0])
    chunk_bytes = max(each.chunks.nbytes for each in opened)
    return write_store(
        labelled, layout.url_of(store), recipe, {"source": ", ".join(urls)}, [],
        append=append, overwrite=overwrite, chunk_bytes=chunk_bytes, progress=progress,
    )  # fmt: skip


def _stored(maps: Mapping[str, tuple[tuple[str, int, int], NDArray[np.void]]]) -> StoredMaps:
    times = tuple(Stamp(int(fact["source_size"]), int(fact["source_mtime"])) for _, fact in maps.values())
    return StoredMaps(tuple(place for place, _ in maps.values()), tuple(maps), times)
