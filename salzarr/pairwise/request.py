"""What a comparison is asked for, resolved and checked before anything is computed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import metrics as measures
from salzarr import plan, store
from salzarr.errors import MetricError, ShapeError, UsageError, near
from salzarr.locks import local_path
from salzarr.metrics import Metric, normalize
from salzarr.schema import IMAGE, MAP_MAX, MAP_MIN, MAP_STATUS, MAP_SUM, MODEL, Reason, Status, X, Y
from salzarr.sources.memory import to_numpy
from salzarr.sources.names import spelled
from salzarr.sources.source import numbered

Array = NDArray[Any]
Facts = tuple[NDArray[np.float64], ...]
Floats = NDArray[np.float64]
Scan = Callable[["StoredMaps", str | None], tuple[Floats, Floats]]


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredMaps:
    """Some models and images of a maps store, by URL and positions: small enough to travel with a task.

    Attributes
    ----------
    url : str
    models : tuple of int
        Positions in the store.
    images : range or tuple of int
        Positions in the store; a range wherever they are consecutive.
    map_shape : (int, int)
        (H, W) of a map.
    dtype : numpy.dtype
    chunk : int
        Images of a stored chunk.
    """

    url: str
    models: tuple[int, ...]
    images: range | tuple[int, ...]
    map_shape: tuple[int, int]
    dtype: np.dtype[Any]
    chunk: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(model, image, y, x)."""
        return len(self.models), len(self.images), *self.map_shape

    @property
    def ndim(self) -> int:
        """Four, as an array has it."""
        return 4

    def part(self, models: Iterable[int], images: slice) -> StoredMaps:
        """Give the maps of some of the models on a part of the images."""
        return replace(self, models=tuple(self.models[i] for i in models), images=self.images[images])

    def chunks(self) -> list[slice]:
        """Cut the images where the store's chunks begin, so that each is read once."""
        cuts = np.flatnonzero(np.diff(np.asarray(self.images) // self.chunk)) + 1
        edges = [0, *cuts.tolist(), len(self.images)]
        return [slice(*edge) for edge in pairwise(edges)]

    def read(self) -> Array:
        """Read the maps: (model, image, y, x)."""
        runs = [store.read_block(self.url, self.models, run) for run in runs_of(self.images)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs, axis=1)

    def __getitem__(self, index: tuple[slice, ...]) -> Array:
        """Read as Dask's ``from_array`` asks for it: whole maps, by slices."""
        models = range(len(self.models))[index[0]]
        return self.part(models, index[1]).read()

    def facts(self) -> Facts:
        """Smallest and largest value and sum of each map, from the store."""
        found = store.facts(self.url, allow_incomplete=True)  # what may be compared was settled before
        names = (MAP_MIN, MAP_MAX, MAP_SUM)
        where = np.ix_(self.models, self.images)
        return tuple(found[variable.name].values[where] for variable in names)


@dataclass(frozen=True, eq=False)
class Request:
    """A comparison: which maps, which pairs, which metrics, with everything settled.

    Attributes
    ----------
    maps : StoredMaps, or (model, image, y, x) array of NumPy or Dask
    models : tuple of str
    images : (image,) array of str
    metrics : tuple of Metric
        With their normalisation and data range.
    reference : int or None
        Position of the model that every other is compared with.
    automatic : frozenset of str
        Slugs of the metrics whose data range was found, not given.
    """

    maps: StoredMaps | Any
    models: tuple[str, ...]
    images: Array
    metrics: tuple[Metric, ...]
    reference: int | None = None
    automatic: frozenset[str] = frozenset()

    @property
    def pairs(self) -> NDArray[np.intp]:
        """(pair, 2) positions of models."""
        return plan.pairs(len(self.models), self.reference)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Maps with their names, before any selection."""

    maps: StoredMaps | Any
    models: tuple[str, ...]
    images: Array

    def select(self, models: Sequence[int], images: range | Sequence[int]) -> Labelled:
        """Give some models and images, by position."""
        if isinstance(self.maps, StoredMaps):
            maps = replace(self.maps, models=tuple(models), images=compact(images))
        elif (list(models), list(images)) == (list(range(len(self.models))), list(range(len(self.images)))):
            maps = self.maps
        else:
            maps = self.maps[list(models)][:, list(images)]
        return Labelled(maps, tuple(self.models[i] for i in models), self.images[list(images)])


def resolve(
    maps: Any,
    metrics: Any,
    *,
    names: Sequence[str] | None = None,
    models: Iterable[str] | None = None,
    images: slice | int | Iterable[str] | None = None,
    normalize: str = "none",
    data_range: float | None = None,
    reference: str | None = None,
    complete_cases: bool = False,
    allow_incomplete: bool = False,
    scan: Scan | None = None,
) -> Request:
    """Settle a comparison; see :func:`salzarr.compare` for the parameters.

    Parameters
    ----------
    scan : callable, optional
        ``scan(maps, chain) -> (low, high)`` of the normalised values, by reading them all; without it, a
        data range that would need that is refused.

    Returns
    -------
    Request

    Raises
    ------
    UsageError, MetricError, ShapeError
        If it cannot be: the message says what and how to go on.
    """
    labelled = label(maps, names, allow_incomplete=allow_incomplete)
    labelled = labelled.select(
        _positions_of_models(labelled.models, models), _positions_of_images(labelled.images, images)
    )
    if len(labelled.models) < 2:
        raise UsageError(f"a comparison takes two models or more, not {len(labelled.models)}")
    if reference is not None:
        reference = _known("reference model", reference, labelled.models)
    shape = labelled.maps.shape[2:]
    chosen = tuple(m.with_normalize(normalize).for_shape(shape) for m in measures.as_metrics(metrics))
    facts = facts_of(labelled.maps)
    _check(chosen, labelled.models, shape, facts)
    if complete_cases:
        labelled, facts = _complete(labelled, chosen, facts)
    if not len(labelled.images):
        raise UsageError("there is no image to compare the models on")
    return Request(
        labelled.maps,
        labelled.models,
        labelled.images,
        tuple(_with_range(metric, data_range, labelled.maps, facts, scan) for metric in chosen),
        None if reference is None else labelled.models.index(reference),
        frozenset(m.slug for m in chosen if m.needs_data_range and data_range is None),
    )


def label(maps: Any, names: Sequence[str] | None = None, *, allow_incomplete: bool = False) -> Labelled:
    """Name the models and images of whatever ``compare`` takes as maps.

    Raises
    ------
    UsageError
        If it is nothing of the kind, or the number of names is not that of the arrays.
    ShapeError
        If the arrays are not of one shape (image, y, x).
    """
    if isinstance(maps, str | os.PathLike):
        return _label_store(os.fspath(maps), allow_incomplete)
    if hasattr(maps, "dims") and hasattr(maps, "encoding"):
        return _label_dataarray(maps)
    if isinstance(maps, Mapping):
        if names is not None:
            raise UsageError("names= goes with a list of arrays; a dict of arrays has its names")
        names, maps = list(maps), list(maps.values())
    if not isinstance(maps, Sequence) or not len(maps):
        raise UsageError(
            "maps are a store's path, a DataArray of (model, image, y, x), a dict of name to (image, y, x) "
            f"array, or a list of such arrays and names=, not {type(maps).__name__}"
        )
    if names is None or len(names) != len(maps):
        raise UsageError(f"{len(maps)} arrays need as many names, not {names and len(names)}")
    maps, images = _by_image(names, [_own_images(array) for array in maps])
    shapes = {name: tuple(np.shape(array)) for name, array in zip(names, maps, strict=True)}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 3:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"the arrays must all have one shape (image, y, x), not {listed}")
    if all(isinstance(array, np.ndarray) for array in maps):
        stacked: Any = np.stack(maps)
    else:
        import dask.array as da

        stacked = da.stack([da.asarray(array) for array in maps])
    models = _distinct("model", names)
    return Labelled(stacked, models, _numbered(stacked.shape[1]) if images is None else images)


def _own_images(maps: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Take the maps of a model, (image, y, x) of NumPy or lazy, and the names of its images, if any."""
    ids = None
    if hasattr(maps, "coords") and hasattr(maps, "dims"):
        if IMAGE in maps.dims:
            maps = maps.transpose(IMAGE, ...)
        if IMAGE in maps.coords:
            ids = _distinct("image", maps[IMAGE].values)
        maps = maps.data
    return maps if hasattr(maps, "chunks") else to_numpy(maps), ids


def _by_image(
    models: Sequence[str], maps: Sequence[tuple[Any, tuple[str, ...] | None]]
) -> tuple[list[Any], Array | None]:
    """Put the maps of all models into the order of the first one's images, if these have names."""
    first = maps[0][1]
    ordered = []
    for model, (array, ids) in zip(models, maps, strict=True):
        if ids is None and first is None:
            ordered.append(array)
        elif ids is not None and first is not None and set(ids) == set(first):
            where = {name: position for position, name in enumerate(ids)}
            ordered.append(array if ids == first else array[[where[name] for name in first]])
        else:
            raise UsageError(
                f"the images of {models[0]} and {model} do not have the same names, or only one has names; "
                "name the images of all alike, or join them with salzarr.convert(maps, 'maps.zarr')"
            )
    return ordered, None if first is None else np.array(first, object)


def _label_store(url: str, allow_incomplete: bool) -> Labelled:
    path = local_path(url)
    dataset = store.open_dataset(url, allow_incomplete=allow_incomplete)
    if path is not None:  # workers may have another working directory
        url = os.path.abspath(path)
    maps = dataset.maps
    models, images = (tuple(map(str, maps[dim].values)) for dim in (MODEL, IMAGE))
    stored = StoredMaps(
        url,
        tuple(range(len(models))),
        range(len(images)),
        (maps.sizes[Y], maps.sizes[X]),
        maps.dtype,
        maps.encoding["chunks"][1],
    )
    return Labelled(stored, models, np.array(images, object))


def _label_dataarray(maps: xr.DataArray) -> Labelled:
    """Take a DataArray; the one that ``open_maps`` gave, untouched, is taken as its store."""
    if hasattr(maps, "data_vars"):
        raise UsageError(
            "a Dataset is not one array of maps; give that, such as dataset.maps, or the store's path"
        )
    missing = {MODEL, IMAGE, Y, X} - set(map(str, maps.dims))
    if missing or maps.ndim != 4:
        raise UsageError(f"maps have the dimensions model, image, y and x, not {tuple(maps.dims)}")
    source = maps.encoding.get("source")
    if source and hasattr(maps.data, "dask"):
        # Attributes and encoding may survive arithmetic; the name of the graph does not.
        untouched = store.open_maps(source)
        if untouched.data.name == maps.data.name and untouched.dims == maps.dims:
            return _label_store(source, allow_incomplete=True)
    maps = maps.transpose(MODEL, IMAGE, Y, X)
    models = [str(name) for name in maps[MODEL].values] if MODEL in maps.coords else None
    if models is None:
        raise UsageError("maps need a coordinate 'model' with the models' names")
    ids = np.array([str(i) for i in maps[IMAGE].values], object) if IMAGE in maps.coords else None
    return Labelled(
        maps.data,
        _distinct("model", models),
        _numbered(maps.sizes[IMAGE]) if ids is None else np.array(_distinct("image", ids), object),
    )


def _numbered(count: int) -> Array:
    return np.array(numbered(count), object)


def _distinct(what: str, names: Iterable[object]) -> tuple[str, ...]:
    """Refuse a name that stands twice."""
    found = tuple(map(str, names))
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise UsageError(f"{what} {twice!r} stands twice; give every {what} its own name")
    return found


def _known(what: str, name: str, known: Collection[str]) -> str:
    """Return a name that was asked for, as it is spelled here."""
    for spelling in (name, spelled(name)):
        if spelling in known:
            return spelling
    more = " …" if len(known) > 10 else ""
    listed = ", ".join(list(known)[:10])
    raise UsageError(f"there is no {what} {name!r}; {near(name, known)}there are {listed}{more}")


def _positions_of_models(known: Sequence[str], wanted: Iterable[str] | None) -> Sequence[int]:
    if wanted is None:
        return range(len(known))
    wanted = [wanted] if isinstance(wanted, str) else wanted
    names = _distinct("model", [_known("model", str(name), known) for name in wanted])
    return [known.index(name) for name in names]


def _positions_of_images(known: Array, wanted: slice | int | Iterable[str] | None) -> range | Sequence[int]:
    everything = range(len(known))
    if wanted is None:
        return everything
    if isinstance(wanted, int):
        return everything[:wanted]
    if isinstance(wanted, slice):
        return everything[wanted]
    where = {name: position for position, name in enumerate(known)}
    wanted = [wanted] if isinstance(wanted, str) else wanted
    names = _distinct("image", [_known("image", str(name), where) for name in wanted])
    return [where[name] for name in names]


def compact(positions: range | Sequence[int]) -> range | tuple[int, ...]:
    """Write positions that are consecutive as a range.

    >>> compact([3, 4, 5]), compact([3, 5])
    (range(3, 6), (3, 5))
    """
    if not len(positions):
        return range(0)
    whole = range(positions[0], positions[0] + len(positions))
    return whole if list(positions) == list(whole) else tuple(positions)


def runs_of(positions: range | Sequence[int]) -> list[slice]:
    """Cut positions into runs of consecutive ones.

    >>> runs_of((3, 4, 7))
    [slice(3, 5, None), slice(7, 8, None)]
    """
    if isinstance(positions, range) and positions.step == 1:
        return [slice(positions.start, positions.stop)]
    cuts = np.flatnonzero(np.diff(positions) != 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(np.asarray(positions), cuts)]


def facts_of(maps: Any) -> Facts | None:
    """Smallest and largest value and sum of each map: (model, image) each; None if nobody knows."""
    if isinstance(maps, StoredMaps):
        return maps.facts()
    if not isinstance(maps, np.ndarray):
        return None
    facts = np.full((3, *maps.shape[:2]), np.nan)
    for where in np.ndindex(maps.shape[:2]):
        finite = maps[where][np.isfinite(maps[where])]
        if finite.size:
            facts[:, *where] = finite.min(), finite.max(), finite.sum(dtype=np.float64)
    return tuple(facts)


def _check(
    metrics: Sequence[Metric], models: Sequence[str], shape: tuple[int, int], facts: Facts | None
) -> None:
    """Refuse what cannot be scored before the run, rather than answer with NaN for every image; warn."""
    measures.check_size(metrics, shape)
    if facts is None:
        return
    low = np.fmin.reduce(facts[0], axis=1, initial=np.nan)
    high = np.fmax.reduce(facts[1], axis=1, initial=np.nan)
    measures.check_maps(metrics, low, models)
    for said in measures.warnings_for(metrics, shape, low, high, models):
        warnings.warn(said, UserWarning, stacklevel=4)


def _complete(labelled: Labelled, metrics: Iterable[Metric], facts: Facts | None) -> tuple[Labelled, Facts]:
    """Keep the images on which every model's map can be scored by every metric."""
    if facts is None:
        raise UsageError(
            "complete_cases needs to know which maps are missing, and a lazy array does not say; "
            "store it first with salzarr.create, or load it into memory"
        )
    low, high, _ = facts
    usable = np.isfinite(low)
    if isinstance(labelled.maps, StoredMaps):
        status = store.facts(labelled.maps.url, allow_incomplete=True)[MAP_STATUS.name].values
        bad = Status.MISSING | Status.NON_FINITE
        usable &= status[np.ix_(labelled.maps.models, labelled.maps.images)] & bad == 0
    else:
        usable &= np.isfinite(labelled.maps).all(axis=(2, 3))
    for metric in metrics:
        low, high = normalize.spans(metric.normalize, *facts[:2])
        usable &= np.isfinite(low)
        if Reason.CONSTANT in metric.undefined:
            usable &= low < high
        if Reason.ZERO_MASS in metric.undefined:
            usable &= (low != 0) | (high != 0)
    kept = np.flatnonzero(usable.all(axis=0)).tolist()
    logger.info("%d of %d images are complete", len(kept), len(labelled.images))
    every = range(len(labelled.models))
    return labelled.select(every, kept), tuple(fact[:, kept] for fact in facts)


def _with_range(
    metric: Metric, given: float | None, maps: Any, facts: Facts | None, scan: Scan | None
) -> Metric:
    """Settle the one data range of the comparison: given, known, found from the facts, or by reading."""
    if not metric.needs_data_range:
        return metric
    if given is not None:
        return metric.with_data_range(given)
    unknown = np.array([0.0]), np.array([1.0]), np.array([np.nan])
    found = normalize.extremes(metric.normalize, *(unknown if facts is None else facts))
    if facts is None and normalize.steps(metric.normalize)[-1:] != ("minmax",):
        found = None
    if found is None and scan is not None:
        found = scan(maps, metric.normalize)
    if found is None:
        raise MetricError(
            f"{metric.spec} needs the range of the data, and that is not known without reading every map; "
            "say data_range= (--data-range), or normalize='minmax', for which it is 1"
        )
    low = np.fmin.reduce(found[0], axis=None, initial=np.nan)
    high = np.fmax.reduce(found[1], axis=None, initial=np.nan)
    if not high > low:
        raise MetricError(
            f"{metric.spec} needs the range of the data, and every map holds one and the same value; "
            "say data_range= (--data-range)"
        )
    return metric.with_data_range(float(high - low))
