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
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from salzarr.errors import InputError, ShapeError
from salzarr.sources.source import Array, Format, Stamp, check_numbers, file_stamp, numbered, pick

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
        values = np.empty(header.shape[::-1] if header.fortran else header.shape, header.dtype)
        _read_into(file, values, header.offset, path)
    finally:
        os.close(file)
    return values.T if header.fortran else values


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


NPY = Format(".npy", (".npy",), shape=npy_shape, read=read_npy)


@dataclass(frozen=True)
class NpyStack:
    """Maps stacked along the first axis of one ``.npy`` file, or of several numbered ones.

    Attributes
    ----------
    places : tuple of (str, int)
        Of each map, the file and the row in it.
    ids : tuple of str
        From a names file, or ``0000…``.
    named : bool
        Whether the ids are names.
    """

    places: tuple[tuple[str, int], ...]
    ids: tuple[str, ...]
    named: bool = False

    @classmethod
    def open(cls, paths: Sequence[str], names: Sequence[str] | None = None) -> NpyStack:
        """Look into the files of a stack.

        Parameters
        ----------
        paths : sequence of str
            In the order of their maps.
        names : sequence of str, optional
            One per map.

        Raises
        ------
        ShapeError
            If one is not a stack of shape (image, H, W), or the names are of another number.
        """
        places = []
        for path in paths:
            shape = npy_shape(path)
            if len(shape) < 3:
                raise ShapeError(
                    f"{path} has shape {shape}, a stack has (image, H, W); if it is none, change --stacked"
                )
            places += [(path, row) for row in range(shape[0])]
        if names is not None and len(names) != len(places):
            raise ShapeError(f"{paths[0]} holds {len(places)} maps, but {len(names)} names came with it")
        ids = numbered(len(places)) if names is None else tuple(names)
        return cls(tuple(places), ids, names is not None)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rows_of_stack(self) -> bool:
        """Yes."""
        return True

    def select(self, positions: Sequence[int]) -> NpyStack:
        """Return the same source with these maps only."""
        return replace(self, places=tuple(self.places[p] for p in positions), ids=pick(self.ids, positions))

    def origins(self) -> list[str]:
        """Return the file and the row of each map."""
        return [f"{path}[{row}]" for path, row in self.places]

    def stamps(self) -> list[Stamp]:
        """Return the stamp of each map's file."""
        stamps = {path: file_stamp(path) for path in self._paths()}
        return [stamps[path] for path, _ in self.places]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shape of a row, for each map."""
        shapes = {path: npy_shape(path)[1:] for path in self._paths()}
        return [shapes[path] for path, _ in self.places]

    def read(self) -> Iterator[Array]:
        """Read row after row, one open file at a time."""
        for path in self._paths():
            rows = [row for other, row in self.places if other == path]
            file = open_npy(path)
            try:
                header = read_header(file, path)
                if header.shape and max(rows) >= header.shape[0]:
                    raise InputError(
                        f"{path} has only {header.shape[0]} maps now; start again with --overwrite"
                    )
                yield from (_fortran_rows if header.fortran else _rows)(file, header, rows, path)
            finally:
                os.close(file)

    def _paths(self) -> list[str]:
        """Return the files in the order of their maps."""
        return list(dict.fromkeys(path for path, _ in self.places))


def _rows(file: int, header: Header, rows: Sequence[int], path: str) -> Iterator[Array]:
    """Read rows of a C-ordered stack, which lie in one piece each."""
    size = math.prod(header.shape[1:]) * header.dtype.itemsize
    for row in rows:
        values = np.empty(header.shape[1:], header.dtype)
        _read_into(file, values, header.offset + row * size, path)
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
