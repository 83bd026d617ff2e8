"""List a tree of files: those that could hold maps, by folder and format."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from salzarr.errors import InputError
from salzarr.sources.source import Format

ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


@dataclass
class Folder:
    """A folder, with the files in it that could hold maps.

    Attributes
    ----------
    path : str
        Its own, the root's included.
    files : dict of Format to list of str
        Names of files, sorted.
    folders : list of Folder
        Those in it, sorted.
    others : Counter of str
        Suffixes of the files that no format takes.
    """

    path: str
    files: dict[Format, list[str]] = field(default_factory=dict)
    folders: list[Folder] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def formats(self) -> Iterator[Format]:
        """Yield the formats of all files here and below."""
        yield from self.files
        for folder in self.folders:
            yield from folder.formats()

    def paths(self) -> Iterator[tuple[Format, str]]:
        """Yield the format and the path of all files here and below."""
        for format_, names in self.files.items():
            for name in names:
                yield format_, os.path.join(self.path, name)
        for folder in self.folders:
            yield from folder.paths()

    def all_others(self) -> Counter[str]:
        """Count the files that no format takes, here and below, by suffix."""
        return sum((folder.all_others() for folder in self.folders), Counter(self.others))


def is_zarr(path: str) -> bool:
    """Whether a folder is a Zarr store, and therefore a file to us."""
    return any(os.path.exists(os.path.join(path, mark)) for mark in ZARR_MARKS)


def format_of(path: str, formats: Sequence[Format]) -> Format | None:
    """Return the format that takes a file, by its suffix; a Zarr store may have any name."""
    suffix = ".zarr" if os.path.isdir(path) and is_zarr(path) else os.path.splitext(path)[1].lower()
    return next((format_ for format_ in formats if suffix in format_.suffixes), None)


def scan(
    root: str,
    formats: Sequence[Format],
    glob: str | None,
    say: Callable[[str], None],
    but: str | None = None,
) -> Folder:
    """List the files of these formats in a tree, but for one folder; links are followed, except in circles.

    ``say`` is told about links that are not followed or lead out of the root: data are often kept elsewhere,
    and to read numbers does no harm. A folder that cannot be listed is an InputError: its maps would be lost.
    """
    wanted = re.compile(translate(glob)) if glob else None
    top = os.path.realpath(root) + os.sep
    left_out = None if but is None else os.path.realpath(but)
    outside: list[str] = []

    def leads_to_folder(item: os.DirEntry[str]) -> bool:
        try:
            return item.is_dir()
        except OSError as error:  # a link into a place that is closed, or round in a circle
            if os.path.splitext(item.name)[1].lower() not in by_suffix:
                say(f"{item.path} cannot be examined and is left out: {error.strerror}")
            return False

    def visit(path: str, above: frozenset[tuple[int, int]]) -> Folder:
        try:
            found = os.stat(path)
            with os.scandir(path) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            raise InputError(f"{path} cannot be listed: {error.strerror}; its maps would be lost") from None
        here = above | {(found.st_dev, found.st_ino)}
        folder = Folder(path)
        for item in items:
            is_folder = leads_to_folder(item)
            if item.name.startswith(".") or (is_folder and os.path.realpath(item.path) == left_out):
                continue
            if item.is_symlink() and not (os.path.realpath(item.path) + os.sep).startswith(top):
                outside.append(item.path)
            if is_folder and not is_zarr(item.path):
                inside = item.stat()
                if (inside.st_dev, inside.st_ino) in here:
                    say(f"{item.path} is a link back to a folder above it, and is not followed")
                else:
                    folder.folders.append(visit(item.path, here))
            else:
                format_ = by_suffix.get(os.path.splitext(item.name)[1].lower()) or (
                    format_of(item.path, formats) if is_folder else None
                )
                if wanted is not None and not wanted.fullmatch(os.path.relpath(item.path, root)):
                    continue
                if format_:
                    folder.files.setdefault(format_, []).append(item.name)
                else:
                    folder.others[os.path.splitext(item.name)[1].lower()] += 1
        return folder

    by_suffix = {suffix: format_ for format_ in reversed(formats) for suffix in format_.suffixes}
    tree = visit(root, frozenset())
    if outside:
        say(f"{len(outside)} links lead out of {root} and are followed, the first is {outside[0]}")
    return tree


def translate(pattern: str) -> str:
    """Turn a glob into a regular expression for a path; ``**`` stands for any folders.

    >>> bool(re.fullmatch(translate("*/**/base/*.npy"), "VGG/out/base/cat.npy"))
    True
    >>> bool(re.fullmatch(translate("*/*.npy"), "VGG/out/cat.npy"))
    False
    """
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    result = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|.", pattern, re.DOTALL):
        if len(part) > 2 and part[0] == "[":
            result += "[" + part[1:].replace("\\", r"\\").replace("!", "^", part[1] == "!")
        else:
            result += meaning.get(part) or re.escape(part)
    return result


def natural(text: str) -> list[tuple[int, str]]:
    """Key that sorts numbers by value.

    >>> sorted(["b10", "b9"], key=natural)
    ['b9', 'b10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
