"""NumPy's ``.npz``: a map per file, or an archive of many maps (or a stack) per model.

Members are read as streams through the checks of :mod:`salzarr.sources.npy`; nothing is unpickled, and no
memory is asked for that a compressed member of that size could not fill.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.npy import HEADER_BYTES, Header, check_rows, check_size, parse_header
from salzarr.sources.source import Array, Contents, Format, Index, check_numbers, not_numbers, take

MOST_DEFLATED = 1032
"""No byte of a deflated stream makes more bytes than this."""

PIECE = 8 << 20


@contextmanager
def _archive(path: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive; all that can go wrong with it becomes one error that names it."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except (
        Exception
    ) as error:  # BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ...
        raise InputError(f"{path} cannot be read: {error}; write it again with numpy.savez") from None


def _header(archive: zipfile.ZipFile, name: str, path: str) -> Header:
    """Read the header of a member, checked against the member's size and what its bytes could make."""
    info, where = archive.getinfo(f"{name}.npy"), f"{path}:{name}"
    with archive.open(info) as file:
        header = parse_header(file.read(HEADER_BYTES), where)
    check_size(header, info.file_size, where)
    if info.file_size > (info.compress_size + 1) * MOST_DEFLATED:
        raise InputError(
            f"{where} claims {info.file_size} bytes, more than its {info.compress_size} can hold"
        )
    return header


def look(path: str) -> Contents:
    """Return the arrays of an archive, and its lists of text."""
    shapes, texts, refused = {}, {}, {}
    with _archive(path) as archive:
        for name in (name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")):
            header = _header(archive, name, path)
            if header.dtype.kind in "US" and len(header.shape) == 1:
                texts[name] = tuple(_text(value) for value in next(_read(archive, name, header, [()])))
            elif what := not_numbers(header.dtype):
                refused[name] = what
            else:
                shapes[name] = header.shape
    return Contents(shapes, texts=texts, refused=refused)


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def read_members(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of a member."""
    with _archive(path) as archive:
        header = _header(archive, array, path)
        check_numbers(header.dtype, f"{path}:{array}")
        check_rows(header.shape, indices, f"{path}:{array}")
        yield from _read(archive, array, header, indices)


def _read(archive: zipfile.ZipFile, name: str, header: Header, indices: Sequence[Index]) -> Iterator[Array]:
    """Read a member, or rows of it, front to back."""
    shape, dtype = header.shape, header.dtype
    rows = [index[0] for index in indices if index and index[0] is not None]
    with archive.open(f"{name}.npy") as file:
        file.read(header.offset)
        if header.fortran or len(rows) < len(indices):  # rows of a Fortran-ordered stack lie strewn
            values = np.empty(math.prod(shape), dtype)
            _fill(file, values, name)
            array = values.reshape(shape, order="F" if header.fortran else "C")
            yield from (take(array, index) for index in indices)
            return
        wanted: dict[int, list[int]] = {}
        for position, row_number in enumerate(rows):
            wanted.setdefault(row_number, []).append(position)
        found: dict[int, Array] = {}
        row = np.empty(shape[1:], dtype)
        for number in range(max(rows) + 1):
            _fill(file, row.reshape(-1), name)
            for position in wanted.get(number, ()):
                found[position] = take(row, indices[position][1:]).copy()
        yield from (found[at] for at in range(len(indices)))


def _fill(file: Any, values: Array, name: str) -> None:
    """Fill an array from a stream."""
    view = memoryview(values.view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        data = file.read(min(PIECE, len(view) - done))
        if not data:
            raise InputError(f"its array {name} is truncated")
        view[done : done + len(data)] = data
        done += len(data)


NPZ = Format(".npz", (".npz",), look, read_members)
