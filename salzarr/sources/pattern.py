"""Read models, factors and images from paths: ``{architecture}/{method}/seed{seed}/{image}.npy``.

A placeholder takes a part of a path, or a piece of one; ``{image:path}`` may span folders. ``*`` stands for
anything within a part, ``**`` for any folders. A file of several arrays counts as a folder of them where the
pattern goes on behind its name: ``{image}.npz/{model}``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from salzarr.errors import InputError, InputNotFoundError, UsageError, listed
from salzarr.schema import IMAGE, MODEL
from salzarr.sources.contents import held_in
from salzarr.sources.entry import Entry, is_wanted
from salzarr.sources.grouping import group_of
from salzarr.sources.names import names_beside, plain_names
from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import FileMaps, Format, Place
from salzarr.sources.tree import scan

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
FOLDERS = "**/"
NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Piece:
    """A part of a pattern: text, a wildcard (without a name), folders (``**/``), or a placeholder."""

    text: str = ""
    name: str = ""
    spans: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it is text that a path must have."""
        return bool(self.text) and self.text != FOLDERS

    @property
    def ends_itself(self) -> bool:
        """Whether it tells where it ends, so that a placeholder may follow."""
        return bool(self.text)


@dataclass(frozen=True)
class Pattern:
    """How paths divide into names.

    >>> Pattern.of("{model}/seed{seed}/{image}.npy").divisions("VGG/seed1/cat.npy")
    [{'model': 'VGG', 'seed': '1', 'image': 'cat'}]
    >>> Pattern.of("{image}_{model}.npy").divisions("a_b_c.npy")
    [{'image': 'a', 'model': 'b_c'}, {'image': 'a_b', 'model': 'c'}]
    """

    text: str
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Understand a pattern.

        Raises
        ------
        UsageError
            If a placeholder has no proper name, two touch, or none tells the models apart.
        """
        pieces: list[Piece] = []
        for number, part in enumerate(PLACEHOLDER.split(text.removeprefix("./"))):
            if number % 2 == 0:
                pieces += _plain_pieces(part, text)
                continue
            name, _, kind = part.partition(":")
            if not NAME.fullmatch(name) or kind not in ("", "path"):
                raise UsageError(
                    f"pattern {text}: {{{part}}} is no placeholder; write a name such as {{image}}, or "
                    f"{{image:path}} "
                    "for one that may span folders"
                )
            if pieces and not pieces[-1].ends_itself:
                raise UsageError(
                    f"pattern {text}: put some text before {{{part}}}, or where it begins cannot be told"
                )
            pieces.append(Piece(name=name, spans=kind == "path"))
        pattern = cls(text, tuple(pieces))
        if not pattern.factors:
            raise UsageError(
                f"pattern {text} names no model; add {{model}}, or whatever tells the models apart"
            )
        return pattern

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of all placeholders but the image; ``model`` comes first."""
        names = dict.fromkeys(piece.name for piece in self.pieces if piece.name and piece.name != IMAGE)
        return tuple(sorted(names, key=lambda name: name != MODEL))

    @property
    def has_image(self) -> bool:
        """Whether each file, or array, is one image's map."""
        return any(piece.name == IMAGE for piece in self.pieces)

    def divisions(self, path: str, most: int = 2) -> list[dict[str, str]]:
        """Return the ways in which a path divides, up to so many."""
        found: list[dict[str, str]] = []
        for division in self._divide(path, 0, 0, {}):
            if division not in found:
                found.append(division)
                if len(found) == most:
                    break
        return found

    def _divide(self, path: str, at: int, number: int, known: dict[str, str]) -> Iterator[dict[str, str]]:
        if number == len(self.pieces):
            if at == len(path):
                yield known
            return
        piece = self.pieces[number]
        if piece.is_text:
            if path.startswith(piece.text, at):
                yield from self._divide(path, at + len(piece.text), number + 1, known)
            return
        limit = len(path)
        if piece.text != FOLDERS and not piece.spans and (slash := path.find("/", at)) >= 0:
            limit = slash
        for end in self._ends(path, at, limit, number):
            value = path[at:end]
            if not piece.name:
                yield from self._divide(path, end, number + 1, known)
            elif known.get(piece.name, value) == value:
                yield from self._divide(path, end, number + 1, {**known, piece.name: value})

    def _ends(self, path: str, at: int, limit: int, number: int) -> Iterator[int]:
        """Yield where a piece may end: where the text behind it begins."""
        if self.pieces[number].text == FOLDERS:
            yield at
            yield from (end + 1 for end in range(at, len(path)) if path[end] == "/")
            return
        least = at + bool(self.pieces[number].name)
        if number + 1 == len(self.pieces):
            if limit == len(path) and limit >= least:
                yield limit
            return
        behind = self.pieces[number + 1]
        if not behind.is_text:
            yield from range(least, limit + 1)
            return
        end = path.find(behind.text, least)
        while 0 <= end <= limit:
            yield end
            end = path.find(behind.text, end + 1)


def _plain_pieces(text: str, pattern: str) -> Iterator[Piece]:
    """Divide text at its wildcards."""
    if "{" in text or "}" in text:
        raise UsageError(f"pattern {pattern} has a brace that is not closed")
    for part in re.split(r"(\*\*/?|\*)", text):
        if part in ("*", "**"):
            yield Piece(spans=part == "**")
        elif part:
            yield Piece(text=part)


def by_pattern(root: str, formats: Sequence[Format], reading: Reading, findings: Findings) -> list[Entry]:
    """Find the models in a tree by a pattern of its paths; a path that divides in two ways is refused."""
    assert reading.pattern is not None
    pattern = Pattern.of(reading.pattern)
    if not os.path.isdir(root):
        raise InputNotFoundError(f"{root} is not a folder; a pattern divides the paths of the files in one")
    tree = scan(root, formats, None, findings.note, reading.but)
    found: dict[tuple[str, ...], list[tuple[dict[str, str], Format, str, str]]] = {}
    unfit: list[str] = []
    for format_, path in tree.paths():
        below = os.path.relpath(path, root).replace(os.sep, "/")
        fits = False
        for name, array in _candidates(pattern, format_, path, below):
            division = _division(pattern, name, reading)
            if division is None:
                continue
            fits = True
            found.setdefault(tuple(division[factor] for factor in pattern.factors), []).append(
                (division, format_, path, array)
            )
        if not fits:
            unfit.append(below)
    if not found:
        there = f"there are {listed(unfit, 3)}" if unfit else "there are no files of a known format"
        raise InputNotFoundError(f"no file in {root} fits the pattern {pattern.text}; {there}")
    if unfit:
        findings.note(f"{len(unfit):,} files do not fit the pattern and are set aside, such as {unfit[0]}")
    return [
        entry
        for values, files in found.items()
        for entry in _entries(pattern, values, files, reading, findings)
    ]


def _candidates(pattern: Pattern, format_: Format, path: str, below: str) -> list[tuple[str, str]]:
    """Return the paths to divide: a file's, and its arrays' where the pattern goes on behind its name."""
    inside = any(f"{suffix}/" in pattern.text.lower() for suffix in format_.suffixes)
    if format_.holds_one or not inside:
        return [(below, "")]
    return [(f"{below}/{name}", name) for name in format_.look(path).shapes]


def _division(pattern: Pattern, path: str, reading: Reading) -> dict[str, str] | None:
    """Divide a path in the one way that there is; None if it does not fit."""
    divisions = pattern.divisions(path, most=100 if reading.wanted else 2)
    if reading.wanted:  # the models that are known tell where a name begins and ends
        divisions = [
            division
            for division in divisions
            if any(
                is_wanted("/".join(division[name] for name in pattern.factors), one) for one in reading.wanted
            )
        ]
    if len(divisions) > 1:
        both = " or as ".join(
            ", ".join(f"{name} {value}" for name, value in one.items()) for one in divisions[:2]
        )
        raise InputError(
            f"{path} divides in two ways by the pattern {pattern.text}: as {both}; name the models with "
            "--models, or "
            "change the pattern"
        )
    return divisions[0] if divisions else None


def _entries(
    pattern: Pattern,
    values: tuple[str, ...],
    files: Sequence[tuple[dict[str, str], Format, str, str]],
    reading: Reading,
    findings: Findings,
) -> list[Entry]:
    """Make the entries of one model: of single maps, or of the stacks in its one file."""
    model = "/".join(values)
    factors = {name: value for name, value in zip(pattern.factors, values, strict=True) if name != MODEL}
    kinds = list(dict.fromkeys(format_ for _, format_, _, _ in files))
    if len(kinds) > 1:
        raise InputError(
            f"{model} has files of several formats, {' and '.join(kind.name for kind in kinds)}; end the "
            "pattern with "
            "the suffix of those that are meant"
        )
    if not pattern.has_image:
        if len(files) > 1:
            raise InputError(
                f"two files hold the maps of {model}: {files[0][2]} and {files[1][2]}; add {{image}}, or "
                "what tells "
                "the models apart, to the pattern"
            )
        return _of_stack(model, factors, *files[0][1:3], reading, findings)
    images: dict[str, str] = {}
    for division, _, path, array in files:
        place = f"{path}:{array}" if array else path
        if (twice := images.setdefault(division[IMAGE], place)) != place:
            raise InputError(
                f"two files hold the map of {model} of image {division[IMAGE]!r}: {twice} and {place}; name "
                "in the "
                "pattern what tells them apart"
            )
    ids = plain_names([division[IMAGE] for division, *_ in files])
    if all(array or format_.holds_one for _, format_, _, array in files) and reading.axes is None:
        places = tuple(Place(path, array) for _, _, path, array in files)
        return [Entry(model, FileMaps(kinds[0], places, ids), factors)]
    return _of_files(model, factors, files, ids, reading, findings)


def _of_files(
    model: str,
    factors: Mapping[str, str],
    files: Sequence[tuple[dict[str, str], Format, str, str]],
    ids: Sequence[str],
    reading: Reading,
    findings: Findings,
) -> list[Entry]:
    """Make the entries of files of several arrays, each with the maps of one image."""
    parts: dict[tuple[tuple[str, str], ...], tuple[list[Place], list[str], FileMaps]] = {}
    for (_, format_, path, _), id_ in zip(files, ids, strict=True):
        held, aside = held_in(format_.look(path), path, format_, reading, stacked=False)
        if aside:
            findings.note(f"in {format_.name} files such as {path}, {listed(aside)} are set aside: no maps")
        for one in held:
            if one.ids is not None:
                raise InputError(
                    f"{path} holds {len(one.ids)} maps, but by the pattern {reading.pattern} a file is one "
                    "image; leave "
                    "out {image}, or name the array and its axes (--array, --axes)"
                )
            group = group_of(format_, path, one)
            key = tuple({**({MODEL: one.model} if one.model else {}), **one.factors}.items())
            places, names, _ = parts.setdefault(key, ([], [], group.maps))
            places += group.maps.places
            names.append(id_)
    return [
        Entry(
            "/".join((model, *(value for _, value in key))),
            replace(maps, places=tuple(places), ids=tuple(names)),
            {**factors, **{name: value for name, value in key if name != MODEL}},
        )
        for key, (places, names, maps) in parts.items()
    ]


def _of_stack(
    model: str, factors: Mapping[str, str], format_: Format, path: str, reading: Reading, findings: Findings
) -> list[Entry]:
    """Make the entries of one file with many maps."""
    reader = replace(format_, holds_one=False)
    held, aside = held_in(format_.look(path), path, reader, reading, stacked=True)
    if aside:
        findings.note(f"in files such as {path}, {listed(aside)} are set aside: no maps")
    names = names_beside([path]) if format_.holds_one else None
    entries = []
    for one in held:
        if one.ids is None:
            raise InputError(f"{path} holds a single map; add {{image}} to the pattern {reading.pattern}")
        maps = replace(group_of(format_, path, one).maps, format=format_)
        if names is not None:
            if len(names) != len(maps):
                raise InputError(f"{path} holds {len(maps)} maps, but {len(names)} names came with it")
            maps = replace(maps, ids=tuple(names), named=True)
        name = "/".join(part for part in (model, one.model, *one.factors.values()) if part)
        entries.append(Entry(name, maps, {**factors, **one.factors}))
    return entries
