"""NumPy's ``.npy``: one map per file, or a stack of maps in one file, read in pieces.

The header is parsed here and not by :func:`numpy.load`, because a file from elsewhere is not trusted:
nothing is unpickled, no memory is asked for before the header's claim has been compared with the file's
size, and the data are read, not memory-mapped (a mapped file that somebody truncates kills the process).
"""

from __future__ import annotations

import ast
import math
import os
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.source import Array, Contents, Format, Index, Shape, check_numbers, take

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000  # what numpy.load allows, too: more is an attack on the parser
HEADER_BYTES = 12 + LONGEST_HEADER
PIECE = 8 << 20  # bytes read at a time where a stack has to be gathered from everywhere


class Header(NamedTuple):
    """What the header of a ``.npy`` file says, and where the data begin."""

    dtype: np.dtype[Any]
    fortran: bool
    shape: tuple[int, ...]
    offset: int


def read_header(file: int, path: str) -> Header:
    """Read and check the header of an open ``.npy`` file.

    Raises
    ------
    InputError
        If it is not a ``.npy`` file of numbers, or the file's size is not what the header claims.
    """
    header = parse_header(os.pread(file, HEADER_BYTES, 0), path)
    check_size(header, os.fstat(file).st_size, path)
    check_numbers(header.dtype, path)
    return header


def parse_header(start: bytes, where: str) -> Header:
    """Understand the first bytes of a ``.npy`` file.

    Parameters
    ----------
    start : bytes
        The first :data:`HEADER_BYTES`, or all if there are fewer.
    where : str
        For messages.

    Raises
    ------
    InputError
        If they are no header.
    """
    if not start:
        raise InputError(f"{where} is empty; write it again or remove it")
    if start[:6] != MAGIC:
        raise InputError(f"{where} is not a .npy file{_looks_like(start)}; save it with numpy.save")
    version, wide = start[6:7], start[6:7] > b"\x01"
    at = 12 if wide else 10
    if len(start) < at or version not in (b"\x01", b"\x02", b"\x03"):
        raise InputError(f"{where} has a damaged header; write it again with numpy.save")
    length: int = struct.unpack_from("<I" if wide else "<H", start, 8)[0]
    if length > LONGEST_HEADER:
        raise InputError(f"{where} claims a header of {length} bytes, the limit is {LONGEST_HEADER}")
    try:
        return Header(*_parse(start[at : at + length]), at + length)
    except ValueError as error:
        raise InputError(f"{where} has a damaged header ({error}); write it again with numpy.save") from None


def check_size(header: Header, actual: int, where: str) -> None:
    """Refuse a file whose size is not the one that its header makes.

    Raises
    ------
    InputError
        If it is truncated, or has something after its end.
    """
    claimed = header.offset + math.prod(header.shape) * header.dtype.itemsize
    if claimed != actual and not header.dtype.hasobject:
        what = "is truncated" if actual < claimed else "has bytes after its end"
        raise InputError(
            f"{where} {what}: shape {header.shape} of {header.dtype} makes {claimed} bytes, and there are "
            f"{actual}; write it again"
        )


@lru_cache(maxsize=1024)  # a folder's files mostly share one header: parsing it took a third of the reading
def _parse(text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Return dtype, order and shape of a header; ValueError says what is wrong with it."""
    try:
        found = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):  # all that it documents
        raise ValueError("it is not a Python literal") from None
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise ValueError("it lacks descr, fortran_order or shape")
    descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
    if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("its shape is not a tuple of lengths")
    if not isinstance(fortran, bool):
        raise ValueError("its fortran_order is neither True nor False")  # noqa: TRY004
    try:
        dtype = np.lib.format.descr_to_dtype(descr)
    except Exception:
        raise ValueError(f"its dtype {descr!r} is unknown") from None
    return dtype, fortran, shape


def _looks_like(start: bytes) -> str:
    """Say what a file is if it is not ``.npy``."""
    known = {
        b"PK\x03\x04": ".npz",
        b"\x89PNG": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"\x89HDF": "HDF5",
        b"\x80": "pickle",
    }
    return next((f" but looks like {name}" for magic, name in known.items() if start.startswith(magic)), "")


def open_npy(path: str) -> int:
    """Open a file for reading; every error becomes one that names it."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from None


def _read_into(file: int, target: Array, offset: int, path: str) -> None:
    """Fill a C-contiguous array from a file; a file that ends early was truncated meanwhile."""
    view = memoryview(target.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        try:
            count = os.preadv(file, [view[done:]], offset + done)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        if not count:
            raise InputError(f"{path} was truncated while it was read; write it again")
        done += count


def read_npy(path: str) -> Array:
    """Read the array of a ``.npy`` file.

    Returns
    -------
    ndarray
        As it is stored: any shape, any real dtype and byte order.

    Raises
    ------
    InputError
        If the file cannot be read or is not what its header says.
    """
    file = open_npy(path)
    try:
        header = read_header(file, path)
        return _whole(file, header, path)
    finally:
        os.close(file)


def npy_header(path: str) -> Header:
    """Read the header of a ``.npy`` file."""
    file = open_npy(path)
    try:
        return read_header(file, path)
    finally:
        os.close(file)


def npy_shape(path: str) -> tuple[int, ...]:
    """Return the shape that a ``.npy`` file's header tells."""
    return npy_header(path).shape


def look(path: str) -> Contents:
    """Return the one array of a ``.npy`` file."""
    return Contents({"": npy_shape(path)})


def read_rows(path: str, _: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of the array, as few bytes as that takes."""
    file = open_npy(path)
    try:
        header = read_header(file, path)
        check_rows(header.shape, indices, path)
        if header.fortran and all(len(index) == 1 and index[0] is not None for index in indices):
            yield from _fortran_rows(
                file, header, [index[0] for index in indices if index[0] is not None], path
            )
        elif header.fortran or any(None in index for index in indices):
            values = _whole(file, header, path)
            yield from (take(values, index) for index in indices)
        else:
            yield from _c_rows(file, header, indices, path)
    finally:
        os.close(file)


def check_rows(shape: Shape, indices: Sequence[Index], path: str) -> None:
    """Refuse to read beyond an array that has become shorter."""
    for index in indices:
        if len(index) > len(shape) or any(
            at is not None and at >= n for at, n in zip(index, shape, strict=False)
        ):
            raise InputError(f"{path} has shape {shape} now; start again with --overwrite")


def _whole(file: int, header: Header, path: str) -> Array:
    """Read all of an array."""
    values = np.empty(header.shape[::-1] if header.fortran else header.shape, header.dtype)
    _read_into(file, values, header.offset, path)
    return values.T if header.fortran else values


def _c_rows(file: int, header: Header, indices: Sequence[Index], path: str) -> Iterator[Array]:
    """Read what lies at leading indices of a C-ordered array: one piece each."""
    for index in indices:
        shape = header.shape[len(index) :]
        row = 0
        for at, length in zip(index, header.shape, strict=False):
            row = row * length + (at or 0)
        values = np.empty(shape, header.dtype)
        offset = header.offset + row * math.prod(shape) * header.dtype.itemsize
        _read_into(file, values, offset, path)
        yield values


def _fortran_rows(file: int, header: Header, rows: Sequence[int], path: str) -> Iterator[Array]:
    """Read rows of a Fortran-ordered stack, whose values lie strewn: gather all rows in one pass."""
    images, pixels = header.shape[0], math.prod(header.shape[1:])
    gathered = np.empty((pixels, len(rows)), header.dtype)
    step = max(1, PIECE // max(1, images * header.dtype.itemsize))
    for start in range(0, pixels, step):
        piece = np.empty((min(step, pixels - start), images), header.dtype)
        _read_into(file, piece, header.offset + start * images * header.dtype.itemsize, path)
        gathered[start : start + step] = piece[:, rows]
    for column in range(len(rows)):
        yield gathered[:, column].reshape(header.shape[:0:-1]).T


NPY = Format(".npy", (".npy",), look, read_rows, holds_one=True)
