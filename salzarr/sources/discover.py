"""Find the models in a tree of files, whatever lies between a model's folder and its maps."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from salzarr.errors import InputError, InputNotFoundError, UsageError
from salzarr.sources.names import names_beside, read_names
from salzarr.sources.npy import NPY, NpyStack
from salzarr.sources.source import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from salzarr.sources.source import Format, Source

log = logging.getLogger(__name__)

STACKED = "batch_maps*.npy"


@dataclass(frozen=True)
class Entry:
    """One model to be: its name and where its maps are."""

    model: str
    source: Source


@dataclass
class Folder:
    """A folder of a tree, with the files in it that could hold maps."""

    path: str
    files: list[str] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[Folder, str]]:
        """Yield all files, each with its folder."""
        for file in self.files:
            yield self, file
        for folder in self.folders:
            yield from folder.walk()


@dataclass(frozen=True)
class Group:
    """Maps that belong together: single files (paths below root), or one source of many maps."""

    root: str
    files: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def ids(self) -> set[str]:
        """Names of the maps, as they would be were this the whole model."""
        return set(self.source.ids) if self.source else {os.path.splitext(file)[0] for file in self.files}


@dataclass
class Tree:
    """How a tree is to be looked through, and what there was to say about it.

    Attributes
    ----------
    formats : sequence of Format
        In the order in which they are preferred where a model has several.
    glob : str, optional
        Only files whose path below the root matches it are looked at.
    stacked : str
        Names of ``.npy`` files that are stacks.
    names : mapping, optional
        Of a model, the names of its stack's maps; under "" those for all models.
    notices : list of str
        What a user should know, filled in while looking.
    """

    formats: Sequence[Format]
    glob: str | None = None
    stacked: str = STACKED
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def models(self, root: str) -> list[Entry]:
        """Find the models of a tree: its folders, and its files that hold many maps.

        Raises
        ------
        InputNotFoundError
            If there are none.
        """
        tree = self._scan(root)
        entries = []
        for file in tree.files:
            format_ = self._format(file)
            if format_ is not None and (format_ is not NPY or self._is_stack(file)):
                entries += self._of_file(os.path.splitext(file)[0], os.path.join(root, file))
        for folder in tree.folders:
            entries += self._of_folder(os.path.basename(folder.path), folder)
        if not entries:
            raise InputNotFoundError(self._nothing(root, tree))
        return entries

    def model(self, name: str, path: str) -> list[Entry]:
        """Find the maps of one model, in a folder or a file.

        Raises
        ------
        InputNotFoundError
            If there are none.
        """
        if not os.path.exists(path):
            raise InputNotFoundError(f"{path}, given for model {name}, does not exist")
        if self._is_file(path):
            return self._of_file(name, path)
        entries = self._of_folder(name, self._scan(path))
        if not entries:
            raise InputNotFoundError(f"{path}, given for model {name}, holds no maps ({self._suffixes()})")
        return entries

    def _scan(self, root: str) -> Folder:
        """List a tree, following links but never round in a circle."""
        wanted = re.compile(translate(self.glob)) if self.glob else None
        outside: list[str] = []
        top = os.path.realpath(root)

        def visit(path: str, above: frozenset[tuple[int, int]]) -> Folder:
            try:
                found = os.stat(path)
                with os.scandir(path) as listing:
                    items = sorted(listing, key=lambda item: item.name)
            except OSError as error:
                raise InputError(
                    f"{path} cannot be listed: {error.strerror}; its maps would be lost"
                ) from None
            here = above | {(found.st_dev, found.st_ino)}
            folder = Folder(path)
            for item in items:
                if item.name.startswith("."):
                    continue
                if item.is_symlink() and not os.path.realpath(item.path).startswith(top + os.sep):
                    outside.append(item.path)
                if item.is_dir() and not self._is_file(item.path):
                    inside = item.stat()
                    if (inside.st_dev, inside.st_ino) in here:
                        self._say(
                            f"{item.path} is a link that leads back to a folder above it; it is not followed"
                        )
                    else:
                        folder.folders.append(visit(item.path, here))
                elif self._format(item.name) and (
                    wanted is None or wanted.fullmatch(os.path.relpath(item.path, root))
                ):
                    folder.files.append(item.name)
            return folder

        tree = visit(root, frozenset())
        if outside:
            self._say(f"{len(outside)} links lead out of {root} and are followed, the first is {outside[0]}")
        return tree

    def _of_folder(self, name: str, folder: Folder) -> list[Entry]:
        """Find the entries of one model: one, or several whose ids overlap."""
        used = [
            format_
            for format_ in self.formats
            if any(self._format(file) is format_ for _, file in folder.walk())
        ]
        if not used:
            return []
        if len(used) > 1:
            others = ", ".join(format_.name for format_ in used[1:])
            self._say(
                f"{name} has {used[0].name} files, which are taken, and also {others}, which are set aside"
            )
        groups = self._groups(folder, used[0], name)
        names = distinguish([os.path.relpath(group.root, folder.path) for group in groups])
        entries = []
        for group, below in zip(groups, names, strict=True):
            source = group.source or Files(
                used[0], group.root, group.files, tuple(os.path.splitext(file)[0] for file in group.files)
            )
            entries.append(Entry(f"{name}/{below}" if below else name, source))
        return entries

    def _groups(self, folder: Folder, format_: Format, model: str) -> list[Group]:
        """Sort a folder's files into groups of maps that belong together."""
        files = [file for file in folder.files if self._format(file) is format_]
        many = [file for file in files if self._holds_many(folder, file, files)]
        single = tuple(file for file in files if file not in many)
        parts = [self._groups(child, format_, model) for child in folder.folders]
        parts = [part for part in parts if part]
        if single:
            parts.insert(0, [Group(folder.path, single)])
        below = [group for part in parts for group in part]
        if many and not any(group.files for group in below):
            return below + self._stacks(folder, many, model)
        if many:
            self._set_aside(folder, many, sum(len(group.files) for group in below))
        ids = [group.ids for group in below]
        disjoint = sum(map(len, ids)) == len(set().union(*ids))
        if len(parts) > 1 and disjoint and all(group.files for group in below):
            # Class folders: their names are part of the ids.
            return [Group(folder.path, tuple(
                os.path.relpath(os.path.join(group.root, file), folder.path) for group in below for file in group.files
            ))]  # fmt: skip
        return below

    def _stacks(self, folder: Folder, files: list[str], model: str) -> list[Group]:
        """Open what holds many maps; stacks whose names differ in a number are pieces of one."""
        pieces: dict[str, list[str]] = {}
        for file in sorted(files, key=natural):
            stem = os.path.splitext(file)[0]
            pieces.setdefault(re.sub(r"[-_]?\d+$", "", stem) if self._is_stack(file) else stem, []).append(
                file
            )
        groups = []
        for stem, parts in pieces.items():
            if len(parts) > 1:
                self._say(
                    f"{folder.path} holds {len(parts)} numbered stacks, taken one after the other: {', '.join(parts)}"
                )
            source = self._open([os.path.join(folder.path, part) for part in parts], model)
            groups.append(
                Group(folder.path if len(pieces) == 1 else os.path.join(folder.path, stem), source=source)
            )
        return groups

    def _open(self, paths: list[str], model: str) -> Source:
        """Open a file of many maps, or the pieces of a stack."""
        format_ = self._format(paths[0])
        if format_ is not None and format_.open is not None:
            source = format_.open(paths[0])
            if source is not None:
                return source
        names: Sequence[str] | None = self.names.get(model, self.names.get(""))
        if names is None:
            beside = names_beside(paths[0])
            names = read_names(beside) if beside else None
        return NpyStack.open(paths, names)

    def _of_file(self, name: str, path: str) -> list[Entry]:
        """Take one file for a model."""
        format_ = self._format(path)
        if format_ is None:
            raise InputError(f"{path} is no format that is known ({self._suffixes()})")
        return [Entry(name, self._open([path], name))]

    def _set_aside(self, folder: Folder, files: list[str], count: int) -> None:
        """Say that single files win, for they carry names."""
        stacked = len(
            self._open([os.path.join(folder.path, file) for file in sorted(files, key=natural)], "")
        )  # type: ignore[arg-type]
        differ = f"; beware: their numbers differ, {stacked} and {count}" if stacked != count else ""
        self._say(
            f"{folder.path}: {', '.join(files)} is set aside, the {count} single files carry names{differ}",
            bad=bool(differ),
        )

    def _holds_many(self, folder: Folder, file: str, files: list[str]) -> bool:
        """Whether a file holds many maps, rather than one."""
        if self._is_stack(file):
            return True
        format_ = self._format(file)
        if format_ is None or format_.open is None:
            return False
        if format_.read is None:
            return True
        # An archive alone in its folder may hold one map or many; several are one map each.
        return len(files) == 1 and format_.open(os.path.join(folder.path, file)) is not None

    def _is_stack(self, file: str) -> bool:
        return fnmatch.fnmatch(file, self.stacked)

    def _is_file(self, path: str) -> bool:
        """Whether a path holds maps itself: a file, or a folder that is a Zarr store."""
        return (
            not os.path.isdir(path)
            or os.path.exists(os.path.join(path, "zarr.json"))
            or path.endswith(".zarr")
        )

    def _format(self, file: str) -> Format | None:
        suffix = os.path.splitext(file)[1].lower()
        return next((format_ for format_ in self.formats if suffix in format_.suffixes), None)

    def _suffixes(self) -> str:
        return ", ".join(suffix for format_ in self.formats for suffix in format_.suffixes)

    def _say(self, text: str, *, bad: bool = False) -> None:
        log.log(logging.WARNING if bad else logging.INFO, text)
        self.notices.append(text)

    def _nothing(self, root: str, tree: Folder) -> str:
        if tree.files:
            return (
                f"{root} holds maps itself, but no folders of models; give the folder above it, "
                f"or name the model: --model NAME={root}"
            )
        matching = f" that match {self.glob}" if self.glob else ""
        return f"{root} has no folders with maps{matching} ({self._suffixes()}); see --glob and --model NAME=PATH"


def distinguish(paths: Sequence[str]) -> list[str]:
    """Return the shortest parts of paths that tell them apart, each from the same level on.

    >>> distinguish(["out/Baseline/maps", "out/Pruned/maps"])
    ['Baseline', 'Pruned']
    >>> distinguish(["out/maps"])
    ['']
    """
    parts = [[] if path == "." else path.split(os.sep) for path in paths]
    for end in (0, -1):
        while (
            len({tuple(p) for p in parts}) == len(parts)
            and len({p[end] if p else None for p in parts}) == 1
            and parts[0]
        ):
            shorter = [p[1:] if end == 0 else p[:-1] for p in parts]
            if len({tuple(p) for p in shorter}) < len(parts):
                break
            parts = shorter
    return ["/".join(p) for p in parts]


def natural(text: str) -> list[tuple[int, str]]:
    """Key that sorts numbers by value.

    >>> sorted(["b10", "b9"], key=natural)
    ['b9', 'b10']
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def translate(pattern: str) -> str:
    """Turn a glob into a regular expression for a path; ``**`` stands for any folders.

    >>> bool(re.fullmatch(translate("*/**/base/*.npy"), "VGG/out/base/cat.npy"))
    True
    >>> bool(re.fullmatch(translate("*/*.npy"), "VGG/out/cat.npy"))
    False
    """
    result = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|.", pattern, re.DOTALL):
        if part == "**/":
            result += "(?:.*/)?"
        elif part == "**":
            result += ".*"
        elif part in ("*", "?"):
            result += "[^/]" + ("*" if part == "*" else "")
        elif len(part) > 1:
            result += "[^" + part[2:] if part[1] == "!" else part
        else:
            result += re.escape(part)
    return result


def select_models(entries: list[Entry], wanted: Sequence[str]) -> list[Entry]:
    """Keep the models whose name, or whose part before the first ``/``, matches one of the patterns.

    Raises
    ------
    UsageError
        If a pattern matches none.
    """
    chosen: list[Entry] = []
    for pattern in wanted:
        found = [
            entry for entry in entries
            if any(fnmatch.fnmatchcase(name, pattern) or name == pattern for name in (entry.model, entry.model.split("/")[0]))
        ]  # fmt: skip
        if not found:
            raise UsageError(
                f"there is no model {pattern!r}; there are {', '.join(e.model for e in entries)}"
            )
        chosen += [entry for entry in found if entry not in chosen]
    return chosen
