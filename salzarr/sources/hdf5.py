"""HDF5, through h5py (``pip install salzarr[hdf5]``): a file per model, or one with a group per model.

In a file or group, one dataset (image, H, W) is a stack, with its names in a dataset called ``names`` or so;
else every dataset is a map. Links to other files, and datasets whose values lie in other files, are not
followed: a file from elsewhere shall not make salzarr read what its sender could not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.source import NAME_ARRAYS, Array, Format, Inside, Source, arrange, check_numbers, runs


@contextmanager
def _file(path: str) -> Iterator[Any]:
    """Open a file; all that can go wrong with it becomes one error that names it."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path} needs h5py; install it with 'pip install salzarr[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # OSError, KeyError, RuntimeError and more: a damaged file shows up anywhere
        raise InputError(f"{path} cannot be read: {error}; write it again with h5py") from None


def _datasets(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the datasets in a group and below it that are in this very file."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{prefix}{name}/")
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise InputError(
                    f"{group.file.filename}:{prefix}{name} keeps its values in other files; copy it into one"
                )
            yield f"{prefix}{name}", item


def _arranged(path: str, group: Any, prefix: str = "") -> Hdf5:
    """Make the source of one group."""
    shapes, names = {}, None
    for name, dataset in _datasets(group, prefix):
        if name.rsplit("/", 1)[-1] in NAME_ARRAYS and dataset.dtype.kind in "OS" and dataset.ndim == 1:
            names = [str(value) for value in dataset.asstr(errors="surrogateescape")[:]]
        else:
            check_numbers(dataset.dtype, f"{path}:{name}")
            shapes[name] = dataset.shape
    places, ids, named = arrange(shapes, names, path)
    return Hdf5(path, places, tuple(id_.removeprefix(prefix) for id_ in ids), named)


class Hdf5(Inside):
    """The maps in one HDF5 file, or one group of it."""

    def shapes(self) -> list[tuple[int, ...]]:
        """Read the datasets' shapes."""
        with _file(self.path) as file:
            return [file[name].shape[len(index) :] for name, index in self.places]

    def read(self) -> Iterator[Array]:
        """Read dataset after dataset; rows that lie together, together."""
        with _file(self.path) as file:
            for name, indices in self.arrays().items():
                dataset = file[name]
                if not indices[0]:
                    yield np.asarray(dataset[()])
                    continue
                for run in runs([row for (row,) in indices]):
                    yield from np.asarray(dataset[run])


def open_hdf5(path: str) -> Source:
    """Open a file with the maps of one model.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    with _file(path) as file:
        return _arranged(path, file)


def hdf5_models(path: str) -> dict[str, Source]:
    """Open a file that holds many models: a group or a stack each.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    import h5py

    with _file(path) as file:
        hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        groups = [name for name in hard if isinstance(file[name], h5py.Group)]
        if groups:
            return {name: _arranged(path, file[name], f"{name}/") for name in groups}
        stacks = {name: file[name].shape for name in hard if file[name].ndim >= 3}
        if not stacks:
            raise InputError(f"{path} holds neither a group nor an array (image, H, W) per model")
        names = [
            str(v)
            for name in hard
            if name in NAME_ARRAYS
            for v in file[name].asstr(errors="surrogateescape")[:]
        ]
        return {
            name: Hdf5(path, *arrange({name: shape}, names or None, path)) for name, shape in stacks.items()
        }


HDF5 = Format("HDF5", (".h5", ".hdf5"), open=open_hdf5, models=hdf5_models)
