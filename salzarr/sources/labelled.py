"""Zarr arrays, and xarray's datasets: in memory, in Zarr, or in NetCDF (``pip install salzarr[netcdf]``).

The array of maps is the one called ``maps``, or whatever has three dimensions or more. The dimension called
``image`` holds the images, or else the first; one called ``model`` holds the models. Coordinates are names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import xarray as xr

from salzarr.errors import InputError
from salzarr.schema import MAP_STATUS, MAPS, MODEL, Status
from salzarr.sources.memory import Arrays, by_name
from salzarr.sources.source import Array, Format, Inside, Source, check_numbers, numbered, runs


@contextmanager
def _dataset(path: str) -> Iterator[xr.Dataset]:
    """Open a Zarr store or a NetCDF file lazily; what can go wrong becomes one error that names it."""
    try:
        with _open_zarr(path) if os.path.isdir(path) else _open_netcdf(path) as dataset:
            yield dataset
    except InputError:
        raise
    except Exception as error:  # each backend raises what it likes
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read: {why}; for NetCDF, 'pip install salzarr[netcdf]'") from None


def _open_netcdf(path: str) -> xr.Dataset:
    import xarray as xr

    return xr.open_dataset(path)


def _open_zarr(path: str) -> xr.Dataset:
    import dask.array as da
    import xarray as xr
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group):
        arrays = dict(node.arrays())
        if all(_has_dims(array) for array in arrays.values()):
            consolidated = node.metadata.consolidated_metadata is not None
            dataset: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=consolidated)
            return dataset
    else:
        arrays = {MAPS.name: node}
    # xarray does not open arrays whose dimensions have no names; these are (image, H, W).
    return xr.Dataset(
        {
            name: ([f"{name}_{axis}" for axis in range(array.ndim)], da.from_zarr(array))
            for name, array in arrays.items()
        }
    )


def _has_dims(array: object) -> bool:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")  # type: ignore[attr-defined]
    return bool(names) and None not in names


def _maps_in(dataset: xr.Dataset, where: str) -> dict[str, xr.DataArray]:
    """Return the arrays of maps in a dataset, each (model, image, …) or (image, …)."""
    names = [MAPS.name] if MAPS.name in dataset else [str(name) for name in dataset.data_vars]
    arrays = {name: dataset[name] for name in names if dataset[name].ndim >= 3}
    if not arrays:
        raise InputError(f"{where} holds no array (image, H, W)")
    for name, array in arrays.items():
        check_numbers(array.dtype, f"{where}:{name}")
        arrays[name] = by_name(array)
    return arrays


def _names(array: xr.DataArray, axis: int) -> tuple[tuple[str, ...], bool]:
    """Return the names along an axis, and whether they are more than positions."""
    dim = array.dims[axis]
    if dim in array.coords:
        return tuple(str(name) for name in array.coords[dim].values), True
    return numbered(array.shape[axis]), False


class Grid(Inside):
    """The maps of one model in a Zarr store or a NetCDF file."""

    def shapes(self) -> list[tuple[int, ...]]:
        """Read the arrays' shapes."""
        with _dataset(self.path) as dataset:
            arrays = _maps_in(dataset, self.path)
            return [arrays[name].shape[len(index) :] for name, index in self.places]

    def read(self) -> Iterator[Array]:
        """Read images that lie together, together."""
        with _dataset(self.path) as dataset:
            arrays = _maps_in(dataset, self.path)
            for name, indices in self.arrays().items():
                array = arrays[name][indices[0][0]] if len(indices[0]) > 1 else arrays[name]
                for run in runs([index[-1] for index in indices]):
                    yield from np.asarray(array[run].compute(scheduler="synchronous"))


def grid_models(path: str) -> dict[str, Source]:
    """Open a file with many models, along a dimension ``model`` or as an array each.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    sources: dict[str, Source] = {}
    with _dataset(path) as dataset:
        for variable, array in _maps_in(dataset, path).items():
            has_models = array.dims[0] == MODEL
            ids, named = _names(array, 1 if has_models else 0)
            models = _names(array, 0)[0] if has_models else (variable,)
            for number, model in enumerate(models):
                lead = (number,) if has_models else ()
                places = tuple((variable, (*lead, row)) for row in range(len(ids)))
                there = range(len(ids))
                if has_models and MAP_STATUS.name in dataset:  # one of our own stores
                    status = np.asarray(dataset[MAP_STATUS.name][number])
                    there = np.flatnonzero(status & Status.MISSING == 0).tolist()  # type: ignore[assignment]
                sources[model] = Grid(path, places, ids, named).select(there)
    return sources


def open_grid(path: str) -> Source:
    """Open a file with the maps of one model.

    Raises
    ------
    InputError
        If it cannot be read, or holds several models.
    """
    sources = grid_models(path)
    if len(sources) > 1:
        raise InputError(f"{path} holds several models, {', '.join(sources)}; convert it by itself")
    return next(iter(sources.values()))


def in_memory(found: xr.Dataset | xr.DataArray, name: str) -> dict[str, Source]:
    """Take the models of an xarray object, whatever its arrays are backed by.

    Raises
    ------
    InputError
        If it holds no maps.
    """
    import xarray as xr

    dataset = found.to_dataset(name=found.name or name) if isinstance(found, xr.DataArray) else found
    sources: dict[str, Source] = {}
    for variable, array in _maps_in(dataset, "the dataset").items():
        if array.dims[0] != MODEL:
            sources[variable] = Arrays.of(variable, array)
            continue
        for number, model in enumerate(_names(array, 0)[0]):
            sources[model] = Arrays.of(model, array[number])
    return sources


NETCDF = Format("NetCDF", (".nc", ".nc4", ".cdf"), open=open_grid, models=grid_models)
ZARR = Format("Zarr", (".zarr",), open=open_grid, models=grid_models)
