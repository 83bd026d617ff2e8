"""What a source of maps is: the small protocol that every format fulfils, and how a format is declared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import InputError, InputNotFoundError

Array = NDArray[Any]


NUMBERS = "buif"
"""Kinds of dtype that a map can have: bool, unsigned, signed, float. Everything else is refused."""


class Stamp(NamedTuple):
    """Size in bytes and modification time in ns of an input; a run that sees another stamp stops."""

    size: int
    mtime: int


class Source(Protocol):
    """The maps of one model, wherever they are: what ``convert`` needs to know of a format.

    A source is a small value: it is pickled into every task, and holds names and places, not maps
    (unless the maps are arrays in memory). :class:`tests.sources.contract.SourceContract` is what each
    must fulfil.
    """

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of each map as the source has it; numbers from ``0000`` if it has none."""

    @property
    def named(self) -> bool:
        """False if the ids are mere positions, which join with nothing of another length."""

    @property
    def rows_of_stack(self) -> bool:
        """Whether each map is a row of an array (image, …), so that further axes are channels."""

    def select(self, positions: Sequence[int]) -> Self:
        """Return the same source with these maps only, in this order."""

    def origins(self) -> list[str]:
        """Where each map is, for messages: a path, or a path and a place in it."""

    def stamps(self) -> list[Stamp]:
        """Size and time of what holds each map; (-1, -1) where there is no such thing.

        Raises
        ------
        InputNotFoundError
            If a file is gone.
        """

    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each map, from headers alone."""

    def read(self) -> Iterator[Array]:
        """Read the maps one after the other, as they are: any shape, any numeric dtype.

        Raises
        ------
        InputError
            If one cannot be read; the message names its origin and the remedy.
        """


@dataclass(frozen=True)
class Format:
    """A file format: which files it takes, and how their maps are found.

    Attributes
    ----------
    name : str
        As messages and tables call it.
    suffixes : tuple of str
        In lower case, with the dot.
    shape, read : callable or None
        Of a file that holds a single map: its shape from the header, and its values.
    open : callable or None
        Of a file that holds many maps of one model: its source; None for a file that holds a single map.
    models : callable or None
        Of a file that holds many models: the source of each.
    """

    name: str
    suffixes: tuple[str, ...]
    shape: Callable[[str], tuple[int, ...]] | None = None
    read: Callable[[str], Array] | None = None
    open: Callable[[str], Source | None] | None = None
    models: Callable[[str], dict[str, Source]] | None = None


@dataclass(frozen=True)
class Files:
    """A source with one file per map.

    Attributes
    ----------
    format : Format
        Of all the files.
    root : str
        The folder that the names are relative to.
    names : tuple of str
        Path of each file below the root.
    ids : tuple of str
        Name of each map.
    """

    format: Format
    root: str
    names: tuple[str, ...]
    ids: tuple[str, ...]
    named: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows_of_stack(self) -> bool:
        """No: a file for each map."""
        return False

    def select(self, positions: Sequence[int]) -> Files:
        """Return the same source with these maps only."""
        return replace(self, names=pick(self.names, positions), ids=pick(self.ids, positions))

    def origins(self) -> list[str]:
        """Return each file's path."""
        return [os.path.join(self.root, name) for name in self.names]

    def stamps(self) -> list[Stamp]:
        """Return each file's size and time."""
        return [file_stamp(path) for path in self.origins()]

    def shapes(self) -> list[tuple[int, ...]]:
        """Read each file's header."""
        assert self.format.shape is not None
        return [self.format.shape(path) for path in self.origins()]

    def read(self) -> Iterator[Array]:
        """Read file after file."""
        assert self.format.read is not None
        for path in self.origins():
            yield self.format.read(path)


Place = tuple[str, tuple[int, ...]]
"""Where a map is inside a file: the name of an array, and leading indices into it."""


@dataclass(frozen=True)
class Inside:
    """What sources with one file for many maps have in common; each format adds ``shapes`` and ``read``.

    Attributes
    ----------
    path : str
        Of the file.
    places : tuple of (str, tuple of int)
        Of each map: the array in the file, and where in the array.
    ids : tuple of str
        Name of each map.
    named : bool
        Whether the ids are names.
    """

    path: str
    places: tuple[Place, ...]
    ids: tuple[str, ...]
    named: bool

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rows_of_stack(self) -> bool:
        """Whether each map is a row of an array."""
        return any(index for _, index in self.places[:1])

    def select(self, positions: Sequence[int]) -> Self:
        """Return the same source with these maps only."""
        places = tuple(self.places[position] for position in positions)
        return replace(self, places=places, ids=pick(self.ids, positions))

    def origins(self) -> list[str]:
        """Return the file, the array and the index of each map."""
        return [f"{self.path}:{name}{list(index) if index else ''}" for name, index in self.places]

    def stamps(self) -> list[Stamp]:
        """Return the file's stamp, for each map."""
        return [file_stamp(self.path)] * len(self)

    def arrays(self) -> dict[str, list[tuple[int, ...]]]:
        """Return the indices that are wanted of each array."""
        wanted: dict[str, list[tuple[int, ...]]] = {}
        for name, index in self.places:
            wanted.setdefault(name, []).append(index)
        return wanted


def arrange(
    shapes: Mapping[str, tuple[int, ...]], names: Sequence[str] | None, where: str
) -> tuple[tuple[Place, ...], tuple[str, ...], bool]:
    """Tell what the arrays of one file are: a stack of maps, or one map each.

    Parameters
    ----------
    shapes : mapping
        Of the arrays, by name.
    names : sequence of str, optional
        That the file has for the maps of a stack.
    where : str
        The file, for messages.

    Returns
    -------
    places, ids, named
        As in :class:`Inside`.

    Raises
    ------
    InputError
        If there is no array, or the names are of another number.

    Examples
    --------
    >>> arrange({"maps": (2, 8, 8)}, ["cat", "dog"], "maps.npz")
    ((('maps', (0,)), ('maps', (1,))), ('cat', 'dog'), True)
    >>> arrange({"cat": (8, 8), "dog": (8, 8)}, None, "maps.npz")
    ((('cat', ()), ('dog', ())), ('cat', 'dog'), True)
    """
    if not shapes:
        raise InputError(f"{where} holds no arrays of numbers")
    if len(shapes) > 1 or len(next(iter(shapes.values()))) < 3:
        return tuple((name, ()) for name in shapes), tuple(shapes), True
    [(name, shape)] = shapes.items()
    if names is not None and len(names) != shape[0]:
        raise InputError(f"{where} holds {shape[0]} maps, but {len(names)} names came with it")
    ids = numbered(shape[0]) if names is None else tuple(names)
    return tuple((name, (row,)) for row in range(shape[0])), ids, names is not None


NAME_ARRAYS = ("names", "ids", "images", "image", "image_names", "filenames")
"""What an array of names is called that lies beside a stack, inside the same file."""


def runs(rows: Sequence[int]) -> Iterator[slice]:
    """Yield the runs of consecutive rows, so that what lies together is read together.

    >>> list(runs([3, 4, 5, 9]))
    [slice(3, 6, None), slice(9, 10, None)]
    """
    start = 0
    for at in range(1, len(rows) + 1):
        if at == len(rows) or rows[at] != rows[at - 1] + 1:
            yield slice(rows[start], rows[at - 1] + 1)
            start = at


def pick(values: Sequence[str], positions: Sequence[int]) -> tuple[str, ...]:
    """Return the values at these positions.

    >>> pick(("a", "b", "c"), [2, 0])
    ('c', 'a')
    """
    return tuple(values[position] for position in positions)


def numbered(count: int) -> tuple[str, ...]:
    """Ids of maps that have no names: their positions, padded so that they sort.

    >>> numbered(3)
    ('0000', '0001', '0002')
    """
    width = max(4, len(str(count - 1)))
    return tuple(f"{position:0{width}d}" for position in range(count))


def file_stamp(path: str) -> Stamp:
    """Return size and modification time of a file or folder.

    Raises
    ------
    InputNotFoundError, InputError
        If it is gone, or the system does not show it.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} is gone; put it back, or start again with --overwrite") from None
    except OSError as error:
        raise InputError(f"{path} cannot be examined: {error.strerror}") from None
    return Stamp(found.st_size, found.st_mtime_ns)


def check_numbers(dtype: np.dtype[Any], where: str) -> None:
    """Refuse values that are no numbers a map could be made of.

    Raises
    ------
    InputError
        For complex, date, text, structured and object values.
    """
    if dtype.kind not in NUMBERS:
        what = "Python objects, which are never unpickled" if dtype.hasobject else f"{dtype} values"
        raise InputError(f"{where} holds {what}; a map holds real numbers: save it again as float32")
