"""What a source of maps is: the small protocol that every format fulfils, and how a format is declared."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from salzarr.errors import InputError, InputNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

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
        Of a file that holds many maps: its source; None for a file that holds a single map.
    """

    name: str
    suffixes: tuple[str, ...]
    shape: Callable[[str], tuple[int, ...]] | None = None
    read: Callable[[str], Array] | None = None
    open: Callable[[str], Source | None] | None = None


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
