"""MATLAB's ``.mat``: version 5 through SciPy, version 7.3 (which is HDF5, axes reversed) through h5py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.hdf5 import datasets, open_hdf5
from salzarr.sources.source import Array, Contents, Format, Index, check_numbers, not_numbers, take

NUMBER_CLASSES = (
    "double",
    "single",
    "logical",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
MARK_73 = b"MATLAB 7.3"


def _is_73(path: str) -> bool:
    """Whether a file is of version 7.3."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MARK_73)) == MARK_73
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from None


def look(path: str) -> Contents:
    """Return the arrays of a file, and its lists of names."""
    shapes, texts, refused = {}, {}, {}
    if _is_73(path):
        with open_hdf5(path) as file:
            for name, dataset in datasets(file):
                kind = dataset.attrs.get("MATLAB_class", b"double")
                if name.startswith("#"):  # what cells refer to
                    continue
                if kind.decode() in NUMBER_CLASSES and not not_numbers(dataset.dtype):
                    shapes[name] = dataset.shape[::-1]
                else:
                    refused[name] = f"{kind.decode()} values"
        return Contents(shapes, refused=refused)
    from scipy.io import loadmat, whosmat

    try:
        for name, shape, kind in whosmat(path):
            if kind in NUMBER_CLASSES:
                shapes[name] = tuple(shape)
            elif kind in ("cell", "char") and max(shape) == np.prod(shape):
                cells = loadmat(path, variable_names=[name])[name].ravel()
                texts[name] = tuple(str(np.squeeze(cell)).rstrip() for cell in cells)
            else:
                refused[name] = f"a {kind}"
    except Exception as error:  # SciPy raises ValueError, TypeError, OSError, zlib.error and more
        raise InputError(f"{path} cannot be read as a .mat file: {error}; save it again") from None
    return Contents(shapes, texts=texts, refused=refused)


def read(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of an array."""
    if _is_73(path):
        with open_hdf5(path) as file:
            values = np.asarray(file[array]).T
    else:
        from scipy.io import loadmat

        try:
            values = loadmat(path, variable_names=[array])[array]
        except Exception as error:
            raise InputError(f"{path}:{array} cannot be read: {error}; save it again") from None
    check_numbers(values.dtype, f"{path}:{array}")
    yield from (take(values, index) for index in indices)


MATLAB = Format(".mat", (".mat",), look, read, images_first=False)
