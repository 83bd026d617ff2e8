"""Zarr arrays, and xarray's datasets: in memory, in Zarr, or in NetCDF (``pip install salzarr[netcdf]``).

The array of maps is the one called ``maps``, or whatever has three dimensions or more. Dimensions are known
by their names, wherever they stand; coordinates are the names along them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import xarray as xr

from salzarr.errors import InputError
from salzarr.schema import IMAGE, MAP_STATUS, MAPS, MODEL, Status
from salzarr.sources.memory import Arrays, by_name
from salzarr.sources.source import (
    Array,
    Contents,
    Format,
    Index,
    Source,
    check_numbers,
    not_numbers,
    numbered,
    rows_of,
)


@contextmanager
def _dataset(path: str) -> Iterator[xr.Dataset]:
    """Open a Zarr store or a NetCDF file lazily; what can go wrong becomes one error that names it."""
    try:
        with _open_zarr(path) if os.path.isdir(path) else xr.open_dataset(path) as dataset:
            yield dataset
    except InputError:
        raise
    except Exception as error:  # each backend raises what it likes
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read: {why}; for NetCDF, 'pip install salzarr[netcdf]'") from None


def _open_zarr(path: str) -> xr.Dataset:
    import dask.array as da
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
    # xarray does not open arrays whose dimensions have no names.
    return xr.Dataset(
        {
            name: ([f"{name}_{axis}" for axis in range(array.ndim)], da.from_zarr(array))
            for name, array in arrays.items()
        },
        attrs={UNNAMED: True},
    )


UNNAMED = "dimensions have no names"


def _has_dims(array: object) -> bool:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")  # type: ignore[attr-defined]
    return bool(names) and None not in names


def look(path: str) -> Contents:
    """Return the arrays of a file with the names of their dimensions, and its coordinates."""
    shapes, dims, refused, missing = {}, {}, {}, {}
    with _dataset(path) as dataset:
        for name in [MAPS.name] if MAPS.name in dataset else map(str, dataset.data_vars):
            array = dataset[name]
            if what := not_numbers(array.dtype):
                refused[name] = what
                continue
            shapes[name] = array.shape
            if not dataset.attrs.get(UNNAMED):
                dims[name] = tuple(map(str, array.dims))
            if name == MAPS.name and MAP_STATUS.name in dataset and array.dims[:2] == (MODEL, IMAGE):
                gone = np.asarray(dataset[MAP_STATUS.name]) & Status.MISSING > 0
                missing[name] = frozenset((int(row), int(column)) for row, column in np.argwhere(gone))
        texts = {
            str(name): tuple(map(str, values.values))
            for name, values in dataset.coords.items()
            if values.ndim == 1
        }
    return Contents(shapes, dims, texts, refused, missing)


def read(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of an array; images that lie together, together."""
    with _dataset(path) as dataset:
        if dataset[array].chunks is None:
            yield from rows_of(dataset[array].variable, indices)
            return
        yield from rows_of(_Computed(dataset[array].data), indices)


class _Computed:
    """A Dask array that is computed where it is indexed."""

    def __init__(self, array: object) -> None:
        self.array = array

    def __getitem__(self, index: object) -> Array:
        return np.asarray(self.array[index].compute(scheduler="synchronous"))  # type: ignore[index]


def in_memory(given: xr.Dataset | xr.DataArray, name: str) -> dict[str, Source]:
    """Take the models of an xarray object, whatever its arrays are backed by.

    Raises
    ------
    InputError
        If it holds no maps.
    """
    dataset = given.to_dataset(name=given.name or name) if isinstance(given, xr.DataArray) else given
    variables = [MAPS.name] if MAPS.name in dataset else [str(name) for name in dataset.data_vars]
    arrays = {name: by_name(dataset[name]) for name in variables if dataset[name].ndim >= 3}
    if not arrays:
        raise InputError("the dataset holds no array (image, H, W)")
    sources: dict[str, Source] = {}
    for variable, array in arrays.items():
        check_numbers(array.dtype, f"the dataset:{variable}")
        if array.dims[0] != MODEL:
            sources[variable] = Arrays.of(variable, array)
            continue
        models = map(str, array.coords[MODEL].values) if MODEL in array.coords else numbered(array.shape[0])
        for number, model in enumerate(models):
            sources[model] = Arrays.of(model, array[number])
    return sources


NETCDF = Format("NetCDF", (".nc", ".nc4", ".cdf"), look, read)
ZARR = Format("Zarr", (".zarr",), look, read)
