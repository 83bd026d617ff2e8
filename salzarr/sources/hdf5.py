"""HDF5, through h5py (``pip install salzarr[hdf5]``): a file per model, or one with a group per model.

Links to other files, and datasets whose values lie in other files, are not followed: a file from elsewhere
shall not make salzarr read what its sender could not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from salzarr.errors import InputError
from salzarr.sources.source import Array, Contents, Format, Index, not_numbers, rows_of


@contextmanager
def open_hdf5(path: str) -> Iterator[Any]:
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


def datasets(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the datasets in a group and below it that are in this very file."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from datasets(item, f"{prefix}{name}/")
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise InputError(
                    f"{group.file.filename}:{prefix}{name} keeps its values in other files; copy it into one"
                )
            yield f"{prefix}{name}", item


def look(path: str) -> Contents:
    """Return the datasets of a file, those of its groups too, and its lists of text."""
    shapes, texts, refused = {}, {}, {}
    with open_hdf5(path) as file:
        for name, dataset in datasets(file):
            if dataset.dtype.kind in "OS" and dataset.ndim == 1:
                texts[name] = tuple(str(value) for value in dataset.asstr(errors="surrogateescape")[:])
            elif what := not_numbers(dataset.dtype):
                refused[name] = what
            else:
                shapes[name] = dataset.shape
    return Contents(shapes, texts=texts, refused=refused)


def read(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of a dataset."""
    with open_hdf5(path) as file:
        yield from rows_of(file[array], indices)


HDF5 = Format("HDF5", (".h5", ".hdf5"), look, read)
