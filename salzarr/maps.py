"""The maps of some models on some images, with their names: of a store, or of arrays in memory."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import store
from salzarr.errors import ShapeError, UsageError, listed
from salzarr.location import locate
from salzarr.plan import blocks, chunk_images
from salzarr.positions import Positions, as_index, compact, spans
from salzarr.schema import IMAGE, MAP_MAX, MAP_MIN, MAP_STATUS, MAP_SUM, MODEL, Status, X, Y
from salzarr.sources.memory import Arrays, to_numpy
from salzarr.sources.names import clean
from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import Source, numbered
from salzarr.store.gathering import gather
from salzarr.store.joining import join

logger = logging.getLogger(__name__)

Array = NDArray[Any]
Floats = NDArray[np.float64]
Labels = Mapping[str, tuple[str, Array]]
"""What else is known of images and models: name to (dimension, one value for each)."""


class Facts(NamedTuple):
    """What is known of each map, (model, image) each; NaN for one without finite values."""

    low: Floats
    high: Floats
    total: Floats
    is_finite: NDArray[np.bool_]
    """Whether all values of the map are finite numbers."""

    def on(self, images: Sequence[int]) -> Facts:
        """Return the facts of some images, by position."""
        low, high, total = (fact[:, images] for fact in self[:3])
        return Facts(low, high, total, self.is_finite[:, images])


@dataclass(frozen=True, eq=False)
class Maps(ABC):
    """The maps of some models on some images, not yet read.

    Attributes
    ----------
    models, images : tuple of str
    rows, columns : range or tuple of int
        Where the models and the images are in the store or the array.
    map_shape : (int, int)
        (H, W) of a map.
    dtype : numpy.dtype
    chunk : int
        Images that are stored, and best read, together.
    labels : mapping of str to (dimension, array)
    """

    models: tuple[str, ...]
    images: tuple[str, ...]
    rows: Positions
    columns: Positions
    map_shape: tuple[int, int]
    dtype: np.dtype[Any]
    chunk: int
    labels: Labels = field(kw_only=True, default_factory=dict)

    @abstractmethod
    def facts(self) -> Facts | None:
        """Return what is known of each map without reading files; None for a lazy array."""

    @abstractmethod
    def read(self) -> Array:
        """Read the maps: (model, image, y, x)."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(model, image, y, x)."""
        return len(self.rows), len(self.columns), *self.map_shape

    @property
    def ndim(self) -> int:
        """Four, as an array has it."""
        return 4

    def part(self, models: Iterable[int], images: slice | Iterable[int]) -> Self:
        """Return the maps of some models on some images, by position, in this order."""
        rows = list(models)
        columns = range(len(self.columns))[images] if isinstance(images, slice) else [*map(int, images)]
        chosen = {MODEL: rows, IMAGE: list(columns)}
        return replace(
            self,
            models=tuple(self.models[i] for i in rows) if self.models else (),
            images=tuple(self.images[i] for i in columns) if self.images else (),
            rows=compact([self.rows[i] for i in rows]),
            columns=compact([self.columns[i] for i in columns]),
            labels={name: (dim, values[chosen[dim]]) for name, (dim, values) in self.labels.items()},
        )

    def on(self, images: slice) -> Self:
        """Return the maps of all models on some images."""
        return self.part(range(len(self.rows)), images)

    def named(self, models: Sequence[str], images: Sequence[str]) -> Self:
        """Return the maps of these models on these images; refuse if one is not there."""
        positions = []
        for what, wanted, names in ((MODEL, models, self.models), (IMAGE, images, self.images)):
            place = {name: i for i, name in enumerate(names)}
            if missing := [name for name in wanted if name not in place]:
                raise UsageError(
                    f"the maps have no {what} {missing[0]!r}, and the scores do; give the maps that were "
                    "compared"
                )
            positions.append([place[name] for name in wanted])
        return self.part(*positions)

    def unnamed(self) -> Self:
        """Return the same maps without names and labels, which a graph of many tasks would carry along."""
        return replace(self, models=(), images=(), labels={})

    def chunks(self) -> list[slice]:
        """Cut the images where stored chunks begin, so that each is read once."""
        cuts = np.flatnonzero(np.diff(np.asarray(self.columns) // self.chunk)) + 1
        edges = [0, *cuts.tolist(), len(self.columns)]
        return [slice(*edge) for edge in pairwise(edges)]

    def __getitem__(self, index: tuple[slice, ...]) -> Array:
        """Read as Dask's ``from_array`` asks for it: whole maps, by slices."""
        return self.part(range(len(self.rows))[index[0]], index[1]).read()


@dataclass(frozen=True, eq=False)
class StoreMaps(Maps):
    """Maps of a store: an address, small enough to travel with a task."""

    url: str

    def facts(self) -> Facts:
        """Return what the store knows of each map."""
        found = store.facts(self.url, allow_incomplete=True)  # whether it may be was settled before
        low, high, total, status = (
            found[variable.name].values[np.ix_(self.rows, self.columns)]
            for variable in (MAP_MIN, MAP_MAX, MAP_SUM, MAP_STATUS)
        )
        return Facts(low, high, total, status & (Status.MISSING | Status.NON_FINITE) == 0)

    def read(self) -> Array:
        """Read the maps from the store: (model, image, y, x)."""
        if isinstance(self.columns, range) and self.columns.step == 1:
            return store.read_block(self.url, self.rows, slice(self.columns.start, self.columns.stop))
        # Each stored chunk is read once, whatever the order of the images: what lies between them goes.
        columns = np.asarray(self.columns, np.intp)
        maps = np.empty((*self.shape,), self.dtype)
        for span in spans(columns, self.chunk):
            found = store.read_block(self.url, self.rows, span)
            here = np.flatnonzero((columns >= span.start) & (columns < span.stop))
            maps[:, here] = found[:, columns[here] - span.start]
        return maps

    def has_stored_names(self) -> bool:
        """Whether the models and images are called as they are in the store."""
        names = store.open_dataset(self.url, allow_incomplete=True).coords
        models, images = names[MODEL].values[list(self.rows)], names[IMAGE].values[list(self.columns)]
        return (*map(str, models),) == self.models and (*map(str, images),) == self.images


@dataclass(frozen=True, eq=False)
class ArrayMaps(Maps):
    """Maps of an array of NumPy or Dask, (model, image, y, x)."""

    array: Any

    @classmethod
    def of(cls, array: Any, models: Iterable[str], images: Iterable[str], labels: Labels) -> ArrayMaps:
        """Name all maps of an array."""
        models, images = tuple(models), tuple(images)
        rows, columns = range(len(models)), range(len(images))
        return cls(
            models, images, rows, columns, tuple(array.shape[2:]), array.dtype, 1, array, labels=labels
        )

    @property
    def values(self) -> Any:
        """The array of the chosen maps, of NumPy or Dask."""
        rows, columns = as_index(self.rows), as_index(self.columns)
        return self.array[rows][:, columns] if isinstance(rows, slice) else self.array[:, columns][rows]

    def chunks(self) -> list[slice]:
        """Cut the images into parts of a few megabytes."""
        return blocks(len(self.columns), chunk_images(self.map_shape, self.dtype.itemsize))

    def facts(self) -> Facts | None:
        """Return what an array of NumPy tells; None for one of Dask, which would have to be computed."""
        if not isinstance(self.array, np.ndarray):
            return None
        maps = self.values
        low, high, total = np.full((3, *maps.shape[:2]), np.nan)
        is_finite = np.zeros(maps.shape[:2], np.bool_)
        for where in np.ndindex(maps.shape[:2]):
            finite = maps[where][np.isfinite(maps[where])]
            is_finite[where] = finite.size == maps[where].size
            if finite.size:
                low[where], high[where], total[where] = (
                    finite.min(),
                    finite.max(),
                    finite.sum(dtype=np.float64),
                )
        return Facts(low, high, total, is_finite)

    def read(self) -> Array:
        """Take the maps: (model, image, y, x)."""
        return np.asarray(self.values)


def as_maps(maps: Any, names: Sequence[str] | None = None, *, allow_incomplete: bool = False) -> Maps:
    """Take maps with their names from whatever holds them.

    Parameters
    ----------
    maps : Maps, path or URL of a maps store, DataArray, mapping or sequence of arrays
        As :func:`salzarr.compare` takes them.
    names : sequence of str, optional
        The models' names, for a sequence of arrays.
    allow_incomplete : bool, default False
        Take what a store that was not finished has.

    Raises
    ------
    UsageError
        If it is nothing of the kind, or the number of names is not that of the arrays.
    InputError, ShapeError
        If the arrays cannot be joined by image, or are not of one shape (image, y, x).
    """
    if isinstance(maps, Maps):
        return maps
    if isinstance(maps, str | os.PathLike):
        return _of_store(os.fspath(maps), allow_incomplete=allow_incomplete)
    if hasattr(maps, "data_vars"):
        raise UsageError(
            "a Dataset is not one array of maps; give that, such as dataset.maps, or the store's path"
        )
    if hasattr(maps, "dims") and hasattr(maps, "encoding"):
        return _of_dataarray(maps)
    if isinstance(maps, Mapping):
        if names is not None:
            raise UsageError("names= goes with a list of arrays; a dict of arrays has its names")
        return _of_models(maps)
    if not isinstance(maps, Sequence) or not len(maps):
        raise UsageError(
            "maps are a store's path, a DataArray of (model, image, y, x), a dict of name to (image, y, x) "
            f"array, or a list of such arrays and names=, not {type(maps).__name__}"
        )
    if names is None or len(names) != len(maps):
        raise UsageError(f"{len(maps)} arrays need as many names, not {names and len(names)}")
    return _of_models(dict(zip(distinct(MODEL, names), maps, strict=True)))


def _of_store(url: str, *, allow_incomplete: bool) -> StoreMaps:
    url = locate(url)
    dataset = store.open_dataset(url, allow_incomplete=allow_incomplete)
    maps = dataset.maps
    models, images = (tuple(map(str, maps[dim].values)) for dim in (MODEL, IMAGE))
    return StoreMaps(
        models,
        images,
        range(len(models)),
        range(len(images)),
        (maps.sizes[Y], maps.sizes[X]),
        maps.dtype,
        maps.encoding["chunks"][1],
        url,
        labels=_labels(maps),
    )


def _of_dataarray(maps: xr.DataArray) -> Maps:
    """Take an array of all models; what ``open_maps`` gave, with whatever names, is read from its store."""
    if set(maps.dims) != {MODEL, IMAGE, Y, X}:
        raise UsageError(f"maps have the dimensions model, image, y and x, not {tuple(maps.dims)}")
    if MODEL not in maps.coords:
        raise UsageError("maps need a coordinate 'model' with the models' names")
    models = distinct(MODEL, map(clean, map(str, maps[MODEL].values)))
    images = numbered(maps.sizes[IMAGE])
    if IMAGE in maps.coords:
        images = distinct(IMAGE, map(clean, map(str, maps[IMAGE].values)))
    source = maps.encoding.get("source")
    if source and hasattr(maps.data, "dask"):
        # Attributes and encoding may survive arithmetic; the name of the graph does not.
        untouched = store.open_maps(source, allow_incomplete=True)
        if untouched.data.name == maps.data.name and untouched.sizes == maps.sizes:
            stored = _of_store(source, allow_incomplete=True)
            return replace(stored, models=models, images=images, labels=_labels(maps))
    return ArrayMaps.of(maps.transpose(MODEL, IMAGE, Y, X).data, models, images, _labels(maps))


def _of_models(given: Mapping[Any, Any]) -> ArrayMaps:
    """Take an array of each model, and join them by image."""
    sources = gather(given, Reading(), Findings())
    images = join(sources)
    arrays = [_plain(item.source) for item in sources]
    shapes = {item.model: tuple(array.shape[1:]) for item, array in zip(sources, arrays, strict=True)}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 2:
        told = listed([f"{name} {shape}" for name, shape in shapes.items()])
        raise ShapeError(f"all maps must have one shape (y, x), not {told}; salzarr.convert can resize them")
    lacking = [f"{len(images) - len(s.ids)} of {s.model}" for s in sources if len(s.ids) < len(images)]
    if lacking:
        logger.warning("maps are missing: %s; they have no scores", listed(lacking))
    aligned = [_aligned(array, item.ids, images) for item, array in zip(sources, arrays, strict=True)]
    if all(isinstance(array, np.ndarray) for array in aligned):
        stacked: Any = np.stack(aligned)
    else:
        import dask.array as da

        stacked = da.stack([da.asarray(array) for array in aligned])
    labels = _joined_labels([item.ids for item in sources], given.values(), images)
    return ArrayMaps.of(stacked, [item.model for item in sources], images, labels)


def _plain(source: Source) -> Any:
    """Return a model's maps as an array of NumPy or Dask, (image, y, x)."""
    assert isinstance(source, Arrays)
    return source.values if hasattr(source.values, "dask") else to_numpy(source.values)


def _aligned(maps: Any, ids: Sequence[str], images: Sequence[str]) -> Any:
    """Put a model's maps, (image, y, x), in the order of all images; NaN where it has none."""
    if list(ids) == list(images):
        return maps
    place = {name: i for i, name in enumerate(ids)}
    positions = [place.get(name, len(ids)) for name in images]
    if len(ids) in positions:
        blank = np.full((1, *maps.shape[1:]), np.nan, np.result_type(maps.dtype, np.float16))
        if isinstance(maps, np.ndarray):
            maps = np.concatenate([maps, blank])
        else:
            import dask.array as da

            maps = da.concatenate([maps, da.from_array(blank)])
    return maps[positions]


def _labels(maps: xr.DataArray) -> Labels:
    """Return the coordinates along models or images that are not their names."""
    return {
        str(name): (str(coordinate.dims[0]), coordinate.values)
        for name, coordinate in maps.coords.items()
        if name not in (MODEL, IMAGE) and coordinate.dims in ((MODEL,), (IMAGE,))
    }


def _joined_labels(ids: Iterable[Sequence[str]], arrays: Iterable[Any], images: Sequence[str]) -> Labels:
    """Join the image labels that each model's array brings along; refuse two values for one image."""
    known: dict[str, dict[str, Any]] = {}
    for names, array in zip(ids, arrays, strict=True):
        for name, (dim, values) in (_labels(array) if hasattr(array, "coords") else {}).items():
            of_image = known.setdefault(name, {})
            for image, value in zip(names, values, strict=True) if dim == IMAGE else ():
                if str(of_image.setdefault(image, value)) != str(value):
                    raise UsageError(
                        f"image {image!r} has the {name} '{of_image[image]}' for one model and '{value}' for "
                        "another; give all the same"
                    )
    return {
        name: (IMAGE, np.array([of_image.get(image) for image in images]))
        for name, of_image in known.items()
        if of_image
    }


def distinct(what: str, names: Iterable[object]) -> tuple[str, ...]:
    """Return names as text; refuse one that occurs twice."""
    found = tuple(map(str, names))
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise UsageError(f"{what} {twice!r} stands twice; give every {what} its own name")
    return found
