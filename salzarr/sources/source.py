"""Where maps come from: the protocol of a source, and the one source for maps in files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import InputError, InputNotFoundError

Array = NDArray[Any]
Shape = tuple[int, ...]

NUMBERS = "buif"
"""Kinds of dtype that a map can have: bool, unsigned, signed, float. Everything else is refused."""


class Stamp(NamedTuple):
    """Size in bytes and modification time in ns of an input; a run that sees another stamp stops."""

    size: int
    mtime: int


class Source(Protocol):
    """The maps of one model, wherever they are: what ``convert`` needs to know of them.

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

    def shapes(self) -> list[Shape]:
        """Shape of each map, from headers alone."""

    def read(self) -> Iterator[Array]:
        """Read the maps one after the other, as they are: any shape, any numeric dtype.

        Raises
        ------
        InputError
            If one cannot be read; the message names its origin and the remedy.
        """


Index = tuple[int | None, ...]
"""Leading indices into an array; None takes the whole axis."""


@dataclass(frozen=True)
class Contents:
    """What a file holds, from its headers.

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        Of the arrays of real numbers; the one array of a file that names none is called ``""``.
    dims : mapping of str to tuple of str
        Names of the axes of arrays, where the file has them.
    texts : mapping of str to tuple of str
        Its lists of text: names of images, and of whatever else lies along an axis.
    refused : mapping of str to str
        Arrays that are no numbers: what they are.
    missing : mapping of str to frozenset of Index
        Maps of an array that are known to be missing.
    """

    shapes: Mapping[str, Shape]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, frozenset[Index]] = field(default_factory=dict)


def check_regular(path: str) -> None:
    """Refuse a pipe, socket or device, which would be waited for without end, and what cannot be reached."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder is a Zarr store, or fails by itself
        raise InputError(f"{path} is a pipe, socket or device, and no file; save the map as a file")


@dataclass(frozen=True)
class _OfRegular:
    """A function of a path, and more, that is called for regular files only."""

    function: Callable[..., Any]

    def __call__(self, path: str, *more: Any) -> Any:
        check_regular(path)
        return self.function(path, *more)


@dataclass(frozen=True)
class Format:
    """A file format: which files it takes, and how their arrays are found and read.

    Attributes
    ----------
    name : str
        As messages and tables call it.
    suffixes : tuple of str
        In lower case, with the dot.
    look : callable
        ``look(path) -> Contents``, from the headers.
    read : callable
        ``read(path, array, indices) -> iterator of ndarray``: what lies at each index of an array.
    holds_one : bool
        Whether a file holds a single array, which has no name.
    is_picture : bool
        Whether a file is a map whatever its shape, so that no header is read to find out.
    images_first : bool
        Whether the first axis of three holds the images; if not, ``--axes`` must say which does.
    """

    name: str
    suffixes: tuple[str, ...]
    look: Callable[[str], Contents]
    read: Callable[[str, str, Sequence[Index]], Iterator[Array]]
    holds_one: bool = False
    is_picture: bool = False
    images_first: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "look", _OfRegular(self.look))
        object.__setattr__(self, "read", _OfRegular(self.read))


class Place(NamedTuple):
    """Where a map is: a file, the name of an array in it, and where in the array."""

    path: str
    array: str = ""
    within: Index = ()

    def __str__(self) -> str:
        """Return it for messages."""
        name = f":{self.array}" if self.array else ""
        index = ", ".join(":" if at is None else str(at) for at in self.within)
        return f"{self.path}{name}[{index}]" if index else f"{self.path}{name}"


@dataclass(frozen=True)
class FileMaps:
    """The maps of one model in files: one file per map, or many maps in a file.

    Attributes
    ----------
    format : Format
        Of all the files.
    places : tuple of Place
        Of each map.
    ids : tuple of str
        Name of each map.
    named : bool
        Whether the ids are names.
    order : tuple of int
        How the axes of a map are transposed to (…, y, x); empty if they lie so.
    """

    format: Format
    places: tuple[Place, ...]
    ids: tuple[str, ...]
    named: bool = True
    order: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rows_of_stack(self) -> bool:
        """Whether each map is a row of an array."""
        return any(place.within for place in self.places[:1])

    def select(self, positions: Sequence[int]) -> FileMaps:
        """Return the same source with these maps only."""
        places = tuple(self.places[position] for position in positions)
        return replace(self, places=places, ids=pick(self.ids, positions))

    def origins(self) -> list[str]:
        """Return each map's place."""
        return [str(place) for place in self.places]

    def stamps(self) -> list[Stamp]:
        """Return the stamp of each map's file, (-1, -1) of one that cannot be reached: reading says why."""
        stamps = {}
        for path in dict.fromkeys(place.path for place in self.places):
            try:
                stamps[path] = file_stamp(path)
            except InputNotFoundError:
                raise
            except InputError:
                stamps[path] = Stamp(-1, -1)
        return [stamps[place.path] for place in self.places]

    def shapes(self) -> list[Shape]:
        """Read the files' headers."""
        shapes: list[Shape] = []
        known: tuple[str, Mapping[str, Shape]] = ("", {})
        for place in self.places:
            if place.path != known[0]:
                known = place.path, self.format.look(place.path).shapes
            shape = _shape_of(known[1], place)
            left = tuple(
                n for axis, n in enumerate(shape) if axis >= len(place.within) or place.within[axis] is None
            )
            shapes.append(tuple(left[axis] for axis in self.order) if self.order else left)
        return shapes

    def read(self) -> Iterator[Array]:
        """Read file after file, array after array: what lies together, together."""
        groups: list[tuple[str, str, list[Index]]] = []
        for path, array, index in self.places:
            if groups and groups[-1][:2] == (path, array):
                groups[-1][2].append(index)
            else:
                groups.append((path, array, [index]))
        for group in groups:
            for values in self.format.read(*group):
                yield values.transpose(self.order) if self.order else values


def _shape_of(shapes: Mapping[str, Shape], place: Place) -> Shape:
    try:
        return shapes[place.array]
    except KeyError:
        raise InputError(
            f"{place.path} has no array {place.array} any more; put it back, or start again with --overwrite"
        ) from None


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


def take(array: Any, index: Index) -> Any:
    """Return what lies at an index.

    >>> take(np.arange(6).reshape(2, 3), (None, 1))
    array([1, 4])
    """
    return array[tuple(slice(None) if at is None else at for at in index)]


def rows_of(array: Any, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of an array on a disk, consecutive rows together."""
    if all(len(index) == 1 and index[0] is not None for index in indices):
        for run in runs([index[0] for index in indices if index[0] is not None]):
            yield from np.asarray(array[run])
        return
    for index in indices:
        yield np.asarray(take(array, index))


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


def not_numbers(dtype: np.dtype[Any]) -> str | None:
    """Return what values are that no map can be made of; None for real numbers."""
    if dtype.kind in NUMBERS:
        return None
    return "Python objects, which are never unpickled" if dtype.hasobject else f"{dtype} values"


def check_numbers(dtype: np.dtype[Any], where: str) -> None:
    """Refuse values that are no numbers a map could be made of.

    Raises
    ------
    InputError
        For complex, date, text, structured and object values.
    """
    if what := not_numbers(dtype):
        raise InputError(f"{where} holds {what}; a map holds real numbers: save it again as float32")
