"""Tell what the arrays of a file are: a map, a stack of maps, a map each, or something else beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TypeVar

from salzarr.errors import InputError, UsageError, listed
from salzarr.schema import CHANNEL, IMAGE, MODEL, X, Y
from salzarr.sources.reading import Reading
from salzarr.sources.source import Contents, Format, Index, Shape, numbered

NAME_ARRAYS = ("names", "ids", "images", "image", "image_names", "filenames")
"""What a list of images' names is called that lies beside a stack, inside the same file."""

CHANNEL_DIMS = (CHANNEL, "channels", "band", "c")


T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """Maps of one model in a file.

    Attributes
    ----------
    places : tuple of (str, Index)
        Of each map: the array, and where in it.
    ids : tuple of str or None
        Names of the images; None for a single map, which is called like its file.
    named : bool
        Whether the ids are names.
    order : tuple of int
        How the axes of a map are transposed; empty if they lie right.
    model : str
        Of several in the file, its name; else empty.
    factors : mapping of str to str
        Names of axes other than ``model``, and where along them the maps lie.
    """

    places: tuple[tuple[str, Index], ...]
    ids: tuple[str, ...] | None
    named: bool = True
    order: tuple[int, ...] = ()
    model: str = ""
    factors: Mapping[str, str] = field(default_factory=dict)


def held_in(
    contents: Contents,
    where: str,
    format_: Format,
    reading: Reading,
    *,
    stacked: bool,
    as_models: bool = False,
) -> tuple[list[Held], list[str]]:
    """Return what a file holds for each model, and the names of arrays that are no maps.

    ``stacked``: the first of three axes holds images, where nothing else tells; ``as_models``: groups, and
    several stacks, are a model each.
    """
    groups = _groups(contents)
    if groups and as_models:
        held, aside = [], []
        for group, inside in groups.items():
            for found in (all_ := held_in(inside, f"{where}:{group}", format_, reading, stacked=True))[0]:
                places = tuple((f"{group}/{name}", index) for name, index in found.places)
                ids = (group,) if found.ids is None else found.ids
                model = "/".join(filter(None, (group, found.model)))
                held.append(replace(found, model=model, places=places, ids=ids))
            aside += [f"{group}/{said}" for said in all_[1]]
        return held, aside
    names, aside = _chosen(contents, where, reading, as_models=as_models)
    if (
        len(names) > 1
        and min(_rank(contents.shapes[name]) for name in names) > 2
        and (as_models or not _colored(contents, names))
    ):
        held = []
        for name in names:
            held += [
                replace(one, model="/".join(filter(None, (name, one.model))))
                for one in _of_array(contents, name, where, format_, reading, stacked=True)
            ]
        return held, aside
    if len(names) > 1:
        return [Held(tuple((name, ()) for name in names), tuple(names))], aside
    held = _of_array(contents, names[0], where, format_, reading, stacked=stacked)
    if as_models and len(held) == 1 and not held[0].model and names[0]:
        held = [replace(held[0], model=names[0])]
    return held, aside


def _groups(contents: Contents) -> dict[str, Contents]:
    """Divide a file by its groups, if all its arrays are in one."""
    if not contents.shapes or not all("/" in name for name in contents.shapes):
        return {}
    return {
        group: _inside(contents, f"{group}/")
        for group in dict.fromkeys(n.split("/")[0] for n in contents.shapes)
    }


def _inside(contents: Contents, prefix: str) -> Contents:
    """Return what is in one group, by its name in the group."""

    def part(named: Mapping[str, T]) -> dict[str, T]:
        return {name.removeprefix(prefix): what for name, what in named.items() if name.startswith(prefix)}

    return Contents(part(contents.shapes), part(contents.dims), part(contents.texts), part(contents.refused))


def _chosen(
    contents: Contents, where: str, reading: Reading, *, as_models: bool
) -> tuple[list[str], list[str]]:
    """Choose the arrays that hold maps: the one that was named, or by their shapes and their number."""
    shapes = contents.shapes
    if reading.array is not None and "" not in shapes:
        return [_named(contents, reading.array, where)], []
    aside = [f"{name} {shape}" for name, shape in shapes.items() if _rank(shape) < 2]
    aside += [f"{name} ({what})" for name, what in contents.refused.items()]
    maps = {name: shape for name, shape in shapes.items() if _rank(shape) >= 2}
    if not maps:
        beside = f"; beside them are {listed(aside)}" if aside and shapes else ""
        refused = [f"{name} holds {what}" for name, what in contents.refused.items()]
        if refused and not shapes:
            name, what = next(iter(contents.refused.items()))
            place = f"{where}:{name}" if name else where
            raise InputError(f"{place} holds {what}; a map holds real numbers: save it again as float32")
        if list(shapes) == [""]:  # its one array: the message of its shape is a better one
            return [""], []
        raise InputError(f"{where} holds no arrays of numbers that could be maps{beside}")
    if reading.axes is not None and len(maps) > 1:
        fitting = [name for name, shape in maps.items() if len(shape) == len(reading.axes)]
        others = [f"{name} {shape}" for name, shape in maps.items() if name not in fitting]
        if len(fitting) != 1:
            raise _ambiguous(maps, where)
        return fitting, aside + others
    large = [name for name, shape in maps.items() if _rank(shape) > 2]
    small = {name: shape for name, shape in maps.items() if name not in large}
    if len(large) == 1 and small:
        count, *size = shapes[large[0]]
        if count in (3, 4) and any(list(shape) == size for shape in small.values()):
            raise _ambiguous(maps, where)
        return large, aside + [f"{name} {shape}" for name, shape in small.items()]
    if len(large) > 1:
        firsts = {shapes[name][0] for name in large}
        ranks = {len(shapes[name]) for name in large}
        if small or len(ranks) > 1 or (len(firsts) > 1 and not as_models):
            raise _ambiguous(maps, where)
        return large, aside
    if small and len(small) > 1:
        odd = tables(small)
        aside += [f"{name} {small[name]}" for name in odd]
        return [name for name in small if name not in odd], aside
    return list(maps), aside


def tables(shapes: Mapping[str, Shape]) -> list[str]:
    """Return the arrays that have a row for each of the others, and another shape: logits, features."""
    if not shapes:
        return []
    [(usual, count), *_] = Counter(shapes.values()).most_common()
    odd = [name for name, shape in shapes.items() if shape != usual]
    return odd if len(odd) < count and all(shapes[name][0] == count for name in odd) else []


def _named(contents: Contents, array: str, where: str) -> str:
    """Return the array that was named."""
    names = [name for name in contents.shapes if name == array or name.endswith(f"/{array}")]
    if len(names) == 1:
        return names[0]
    if array in contents.refused:
        raise InputError(f"{where}:{array} holds {contents.refused[array]}; a map holds real numbers")
    there = listed([f"{name} {shape}" for name, shape in contents.shapes.items()])
    raise UsageError(f"{where} has no array {array!r}; it holds {there}")


def _ambiguous(shapes: Mapping[str, Shape], where: str) -> InputError:
    there = listed([f"{name} {shape}" for name, shape in shapes.items()])
    return InputError(
        f"{where} holds several arrays that could be maps: {there}; name the one to take, such as with "
        "--array "
        f"{next(iter(shapes))}"
    )


def _rank(shape: Shape) -> int:
    """Count the axes that are longer than one; at least two of what has two."""
    return max(sum(n != 1 for n in shape), min(len(shape), 2))


def _colored(contents: Contents, names: Sequence[str]) -> bool:
    """Whether arrays of three axes are maps with channels, rather than stacks."""
    shapes = {contents.shapes[name] for name in names}
    return len(shapes) == 1 and all(len(s) == 3 and (s[0] in (3, 4) or s[2] in (3, 4)) for s in shapes)


def _of_array(
    contents: Contents, name: str, where: str, format_: Format, reading: Reading, *, stacked: bool
) -> list[Held]:
    """Tell what one array holds: a map, or a stack of maps of one model or of several."""
    shape = contents.shapes[name]
    axes = reading.axes or _axes_of(contents.dims.get(name))
    if axes is not None:
        if len(axes) != len(shape):
            place = f"{where}:{name}" if name else where
            raise UsageError(f"{place} has shape {shape}, but {len(axes)} axes are named: {','.join(axes)}")
        if reading.axes is None:
            check_dims(axes, f"{where}:{name}" if name else where, shape)
        return _along(contents, name, axes, where)
    channels = len(shape) == 3 and (shape[0] in (3, 4) or shape[2] in (3, 4))
    if len(shape) < 3 or _rank(shape) < 3 or (not stacked and (format_.holds_one or channels)):
        return [Held(((name, ()),), None)]
    if not format_.images_first:
        names = _image_names(contents)
        fitting = [axis for axis in (0, len(shape) - 1) if names is not None and shape[axis] == len(names)]
        if len(fitting) != 1:
            raise InputError(
                f"{where}:{name} has shape {shape}: say which axis holds the images, such as --axes "
                "y,x,image "
                "(as MATLAB stacks them) or --axes image,y,x"
            )
        others = [Y, X] if len(shape) == 3 else [CHANNEL, Y, X]
        axes = (IMAGE, *others) if fitting == [0] else (*others, IMAGE)
        return _along(contents, name, axes, where)
    return _along(contents, name, (IMAGE, *(f"axis {n}" for n in range(1, len(shape)))), where)


def _axes_of(dims: Sequence[str] | None) -> tuple[str, ...] | None:
    """Understand the names of a labelled array's axes: the images lie along ``image``, or the first."""
    if dims is None:
        return None
    axes = [CHANNEL if dim in CHANNEL_DIMS else dim for dim in dims]
    inner = (MODEL, CHANNEL, Y, X)
    if IMAGE not in axes and len(axes) > 2:
        first = next((at for at, name in enumerate(axes) if name not in inner), None)
        if first is not None:
            axes[first] = f"{IMAGE}={axes[first]}"
    return tuple(axes)


def check_dims(dims: Sequence[str], where: str, shape: Sequence[int]) -> None:
    """Refuse a labelled array of volumes or time series: an axis that is neither image, channel, y nor x."""
    known = (MODEL, IMAGE, Y, X, *CHANNEL_DIMS)
    others = [dim for dim in dims if dim.split("=")[0] not in known]
    if {Y, X} <= set(dims) and others:
        raise InputError(
            f"{where} has the axes {', '.join(dims)}, shape {tuple(shape)}: {others[0]} is no image and no "
            "channel. "
            "Volumes and time series are not compared; choose a part, or make a model of each by naming the "
            f"axes with --axes {','.join(dims)}"
        )


def _along(contents: Contents, name: str, axes: Sequence[str], where: str) -> list[Held]:
    """Tell what lies along the axes of an array."""
    shape = contents.shapes[name]
    image = next((at for at, axis in enumerate(axes) if axis.split("=")[0] == IMAGE), None)
    inner = [at for at, axis in enumerate(axes) if axis in (CHANNEL, Y, X) or axis.startswith("axis ")]
    if not {Y, X} <= set(axes):
        inner = [at for at, axis in enumerate(axes) if at != image and axis != MODEL]
    outer = [at for at in range(len(axes)) if at != image and at not in inner]
    labels = [_labels(contents, axes[at], shape[at]) for at in outer]
    ids, named = None, True
    if image is not None:
        texts = contents.texts.get(axes[image].removeprefix(f"{IMAGE}="))
        texts = _image_names(contents) if texts is None else texts
        if texts is not None and len(texts) != shape[image]:
            raise InputError(f"{where} holds {shape[image]} maps, but {len(texts)} names came with it")
        ids, named = (numbered(shape[image]), False) if texts is None else (texts, True)
    depth = max([*outer, -1 if image is None else image]) + 1
    missing = contents.missing.get(name, frozenset())
    held = []
    for positions in product(*(range(len(names)) for names in labels)):
        index: list[int | None] = [None] * depth
        for at, position in zip(outer, positions, strict=True):
            index[at] = position
        rows = [()] if image is None else [(row,) for row in range(shape[image])]
        places, kept = [], []
        for number, row in enumerate(rows):
            for at in row:
                assert image is not None
                index[image] = at
            if tuple(index) not in missing:
                places.append((name, tuple(index)))
                kept.append(number)
        values = {axes[at]: names[p] for at, names, p in zip(outer, labels, positions, strict=True)}
        held.append(
            Held(
                tuple(places),
                None if ids is None else tuple(ids[number] for number in kept),
                named,
                _order([axes[at] for at in sorted(inner)]),
                values.pop(MODEL, ""),
                values,
            )
        )
    return held


def _order(inner: Sequence[str]) -> tuple[int, ...]:
    """How axes are transposed to (channel, y, x); empty if they lie so, or have no such names."""
    if not {Y, X} <= set(inner):
        return ()
    wanted = sorted(
        range(len(inner)),
        key=lambda at: (*(CHANNEL, Y, X),).index(inner[at]) if inner[at] in (CHANNEL, Y, X) else -1,
    )
    return () if wanted == sorted(wanted) else tuple(wanted)


def _labels(contents: Contents, axis: str, count: int) -> tuple[str, ...]:
    """Return what lies along an axis of models or factors: a list of text called like it, or numbers."""
    for name in (axis, f"{axis}s"):
        if len(contents.texts.get(name, ())) == count:
            return contents.texts[name]
    return tuple(str(position) for position in range(count))


def _image_names(contents: Contents) -> tuple[str, ...] | None:
    """Return the images' names that a file has."""
    called = {name.rsplit("/", 1)[-1]: texts for name, texts in contents.texts.items()}
    return next((called[name] for name in NAME_ARRAYS if name in called), None)
