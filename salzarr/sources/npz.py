"""NumPy's ``.npz``: a map per file, or an archive of many maps (or a stack) per model.

Members are read as streams through the checks of :mod:`salzarr.sources.npy`; nothing is unpickled, and no
memory is asked for that a compressed member of that size could not fill.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.npy import HEADER_BYTES, Header, check_size, parse_header
from salzarr.sources.source import NAME_ARRAYS, Array, Format, Inside, Source, arrange, check_numbers

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


def _headers(archive: zipfile.ZipFile, path: str) -> dict[str, Header]:
    """Read the headers of all members that are arrays."""
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return {name: _header(archive, name, path) for name in names}


def _maps_and_names(path: str) -> tuple[dict[str, tuple[int, ...]], list[str] | None]:
    """Return the shapes of an archive's maps, and the names that it has for them."""
    with _archive(path) as archive:
        headers = _headers(archive, path)
        texts = [name for name in headers if name in NAME_ARRAYS and headers[name].dtype.kind in "US"]
        names = None
        for text in texts[:1]:
            values = next(_read(archive, text, headers[text], [()]))
            names = [
                v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v) for v in values.flat
            ]
    shapes = {}
    for name, header in headers.items():
        if name not in texts:
            check_numbers(header.dtype, f"{path}:{name}")
            shapes[name] = header.shape
    return shapes, names


def _read(
    archive: zipfile.ZipFile, name: str, header: Header, indices: list[tuple[int, ...]]
) -> Iterator[Array]:
    """Read a member, or rows of it, front to back."""
    shape, dtype = header.shape, header.dtype
    whole = indices == [()]
    with archive.open(f"{name}.npy") as file:
        file.read(header.offset)
        if whole or header.fortran:  # rows of a Fortran-ordered stack lie strewn: it is read whole
            values = np.empty(math.prod(shape), dtype)
            _fill(file, values, name)
            array = values.reshape(shape, order="F" if header.fortran else "C")
            yield from (array[index] for index in indices)
            return
        wanted = {row: at for at, (row,) in enumerate(indices)}
        found: dict[int, Array] = {}
        row = np.empty(shape[1:], dtype)
        for number in range(max(wanted) + 1):
            _fill(file, row.reshape(-1), name)
            if number in wanted:
                found[wanted[number]] = row.copy()
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


class NpzArchive(Inside):
    """The maps in one ``.npz`` file."""

    def shapes(self) -> list[tuple[int, ...]]:
        """Read the members' headers."""
        with _archive(self.path) as archive:
            shapes = {name: _header(archive, name, self.path).shape for name in self.arrays()}
        return [shapes[name][len(index) :] for name, index in self.places]

    def read(self) -> Iterator[Array]:
        """Read member after member."""
        with _archive(self.path) as archive:
            for name, indices in self.arrays().items():
                header = _header(archive, name, self.path)
                check_numbers(header.dtype, f"{self.path}:{name}")
                yield from _read(archive, name, header, indices)


def _open(shapes: Mapping[str, tuple[int, ...]], names: list[str] | None, path: str) -> NpzArchive:
    return NpzArchive(path, *arrange(shapes, names, path))


def open_npz(path: str) -> Source | None:
    """Open an archive of many maps; None if it holds a single one.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    shapes, names = _maps_and_names(path)
    if len(shapes) == 1 and len(next(iter(shapes.values()))) < 3:
        return None
    return _open(shapes, names, path)


def npz_models(path: str) -> dict[str, Source]:
    """Open an archive that holds one stack of maps per model.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    shapes, names = _maps_and_names(path)
    if not shapes or min(map(len, shapes.values())) < 3:
        raise InputError(
            f"{path} does not hold one array (image, H, W) per model; give a folder of archives instead"
        )
    return {name: _open({name: shape}, names, path) for name, shape in shapes.items()}


def npz_shape(path: str) -> tuple[int, ...]:
    """Return the shape of the one array in a file."""
    return _only(path)[1]


def read_npz(path: str) -> Array:
    """Read the one array in a file.

    Raises
    ------
    InputError
        If there is another number of them, or it cannot be read.
    """
    name, _ = _only(path)
    return next(NpzArchive(path, ((name, ()),), (name,), True).read())


def _only(path: str) -> tuple[str, tuple[int, ...]]:
    shapes, _ = _maps_and_names(path)
    if len(shapes) != 1:
        raise InputError(
            f"{path} holds {len(shapes)} arrays, one map is needed; put each into a file of its own"
        )
    return next(iter(shapes.items()))


NPZ = Format(".npz", (".npz",), shape=npz_shape, read=read_npz, open=open_npz, models=npz_models)
