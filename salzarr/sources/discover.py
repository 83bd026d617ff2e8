"""Find the models in a tree of files, whatever lies between a model's folder and its maps."""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from salzarr.errors import InputError, InputNotFoundError, UsageError, near
from salzarr.sources.names import NUMBER, names_beside, spelled
from salzarr.sources.npy import NPY, NpyStack
from salzarr.sources.source import Files, Format, Source
from salzarr.sources.tree import Folder, format_of, is_zarr, natural, scan

log = logging.getLogger(__name__)

STACKED = "batch_maps*.npy"


@dataclass(frozen=True)
class Entry:
    """One model to be: its name and where its maps are."""

    model: str
    source: Source


@dataclass(frozen=True)
class Group:
    """Maps that belong together: single files (paths below the root), or a source of many maps."""

    root: str
    files: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the maps, as they would be were this the whole model."""
        return self.source.ids if self.source else tuple(os.path.splitext(file)[0] for file in self.files)


@dataclass
class Finder:
    """How models are to be found.

    Attributes
    ----------
    formats : sequence of Format
        In the order in which they are preferred where a model has several.
    glob : str, optional
        Only files whose path below the root matches it are looked at.
    stacked : str
        Names of ``.npy`` files that are stacks.
    """

    formats: Sequence[Format]
    glob: str | None = None
    stacked: str = STACKED

    def find(self, path: str) -> list[Entry]:
        """Find the models in a tree, or in one file.

        Raises
        ------
        InputNotFoundError
            If there are none.
        """
        if not os.path.exists(path):
            raise InputNotFoundError(f"{path} does not exist; give the folder that holds the models' folders")
        return self._in_tree(path) if os.path.isdir(path) and not is_zarr(path) else self._in_file(path)

    def model(self, name: str, path: str) -> list[Entry]:
        """Find the maps of one model, in a folder or a file.

        Raises
        ------
        InputNotFoundError
            If there are none.
        """
        if not os.path.exists(path):
            raise InputNotFoundError(f"{path}, given for model {name}, does not exist")
        if not os.path.isdir(path) or is_zarr(path):
            return [Entry(name, self._open([path]))]
        entries = self._in_folder(name, scan(path, self.formats, self.glob, self._say))
        if not entries:
            raise InputNotFoundError(f"{path}, given for model {name}, holds no maps ({self._suffixes()})")
        return entries

    def _in_tree(self, root: str) -> list[Entry]:
        """Take each folder for a model, and each file that holds many maps."""
        tree = scan(root, self.formats, self.glob, self._say)
        entries, loose = [], []
        for format_, files in tree.files.items():
            for file in files:
                if self._is_stack(file) or format_.open is not None:
                    entries.append(Entry(os.path.splitext(file)[0], self._open([os.path.join(root, file)])))
                else:
                    loose.append(file)
        for folder in tree.folders:
            entries += self._in_folder(os.path.basename(folder.path), folder)
        if not entries:
            raise InputNotFoundError(self._nothing(root, loose))
        if loose:
            self._say(
                f"{root}: {len(loose)} files outside of models' folders, such as {loose[0]}, are set aside"
            )
        return entries

    def _in_file(self, path: str) -> list[Entry]:
        """Take what one file holds for models, or for one."""
        format_ = format_of(path, self.formats)
        if format_ is not None and format_.models is not None:
            return [Entry(model, source) for model, source in format_.models(path).items()]
        return [Entry(os.path.splitext(os.path.basename(path))[0], self._open([path]))]

    def _in_folder(self, name: str, folder: Folder) -> list[Entry]:
        """Find the entries of one model: one, or several whose ids overlap."""
        present = set(folder.formats())
        used = [format_ for format_ in self.formats if format_ in present]
        if not used:
            return []
        if len(used) > 1:
            others = " and ".join(format_.name for format_ in used[1:])
            self._say(f"{name}: the {used[0].name} files are taken, {others} files are set aside")
        groups = self._groups(folder, used[0])
        names = distinguish([os.path.relpath(group.root, folder.path) for group in groups])
        return [
            Entry(
                f"{name}/{below}" if below else name,
                group.source or Files(used[0], group.root, group.files, group.ids),
            )
            for group, below in zip(groups, names, strict=True)
        ]

    def _groups(self, folder: Folder, format_: Format) -> list[Group]:
        """Sort a folder's files into groups of maps that belong together."""
        files = folder.files.get(format_, [])
        many = [file for file in files if self._holds_many(folder, format_, file)]
        single = tuple(file for file in files if file not in set(many))
        parts = [self._groups(child, format_) for child in folder.folders]
        parts = [[Group(folder.path, single)]] * bool(single) + [part for part in parts if part]
        below = [group for part in parts for group in part]
        if many and any(group.files for group in below):
            self._set_aside(folder, many, sum(len(group.files) for group in below))
        elif many:
            return below + self._stacks(folder, many)
        ids = [id_ for group in below for id_ in group.ids]
        if len(parts) > 1 and len(set(ids)) == len(ids) and all(group.files for group in below):
            # Class folders: their names become part of the ids.
            paths = [os.path.join(group.root, file) for group in below for file in group.files]
            return [Group(folder.path, tuple(os.path.relpath(path, folder.path) for path in paths))]
        return below

    def _stacks(self, folder: Folder, files: list[str]) -> list[Group]:
        """Open files that hold many maps; stacks whose names differ in a number only are pieces of one."""
        pieces: dict[str, list[str]] = {}
        for file in sorted(files, key=natural):
            stem = os.path.splitext(file)[0]
            pieces.setdefault(NUMBER.sub("", stem) if self._is_stack(file) else stem, []).append(file)
        groups = []
        for stem, parts in pieces.items():
            if len(parts) > 1:
                self._say(f"{folder.path}: {', '.join(parts)} are taken for one stack, in this order")
            source = self._open([os.path.join(folder.path, part) for part in parts])
            root = folder.path if len(pieces) == 1 else os.path.join(folder.path, stem)
            groups.append(Group(root, source=source))
        return groups

    def _open(self, paths: list[str]) -> Source:
        """Open a file with the maps of one model, or the pieces of a stack."""
        format_ = format_of(paths[0], self.formats)
        if format_ is None:
            raise InputError(f"{paths[0]} has no format that is known ({self._suffixes()})")
        if format_ is NPY:
            return NpyStack.open(paths, names_beside(paths))
        source = format_.open(paths[0]) if format_.open else None
        if source is None:
            raise InputError(f"{paths[0]} holds a single map; give the folder with all maps of the model")
        return source

    def _holds_many(self, folder: Folder, format_: Format, file: str) -> bool:
        """Whether a file holds many maps, rather than one."""
        if format_.open is None or format_.read is None:
            return format_.open is not None or self._is_stack(file)
        # An archive alone in its folder may hold one map or many; of several, each holds one.
        return len(folder.files[format_]) == 1 and format_.open(os.path.join(folder.path, file)) is not None

    def _set_aside(self, folder: Folder, files: list[str], count: int) -> None:
        """Say that single files win, for they carry names."""
        stacked = len(
            self._open([os.path.join(folder.path, file) for file in sorted(files, key=natural)]).ids
        )
        bad = f"; beware, there are {stacked} maps in it" if stacked != count else ""
        self._say(
            f"{folder.path}: {', '.join(files)} is set aside for the {count} single files{bad}", bad=bool(bad)
        )

    def _is_stack(self, file: str) -> bool:
        return file.endswith(".npy") and fnmatch.fnmatch(file, self.stacked)

    def _suffixes(self) -> str:
        return ", ".join(suffix for format_ in self.formats for suffix in format_.suffixes)

    def _say(self, text: str, *, bad: bool = False) -> None:
        log.log(logging.WARNING if bad else logging.INFO, "%s", text)

    def _nothing(self, root: str, loose: list[str]) -> str:
        if loose:
            return (
                f"{root} holds maps, but no models' folders; give the folder above it, or --model NAME={root}"
            )
        matching = f" that match {self.glob}" if self.glob else ""
        return f"{root} has no folders with maps{matching} ({self._suffixes()}); see --glob and --model"


def distinguish(paths: Sequence[str]) -> list[str]:
    """Return the shortest parts of paths that tell them apart: what all begin or end with is left out.

    >>> distinguish(["out/Baseline/maps", "out/Pruned/maps"])
    ['Baseline', 'Pruned']
    >>> distinguish(["out/maps"]), distinguish([".", "extra"])
    ([''], ['', 'extra'])
    """
    parts = [[] if path == "." else path.split(os.sep) for path in paths]
    if len(parts) == 1:
        return [""]
    for end in (0, -1):
        while all(parts) and len({part[end] for part in parts}) == 1:
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def with_classes(entries: list[Entry]) -> list[Entry]:
    """Put the name of its one class folder before the images of a model, if others have it there.

    Classes are part of an image's name where a model has several class folders. That a lone folder is one
    of them shows only beside the other models.
    """
    known = {id_ for entry in entries for id_ in entry.source.ids if "/" in id_}
    found = []
    for entry in entries:
        source = entry.source
        if known and isinstance(source, Files) and known.isdisjoint(source.ids):
            folders = source.root.split(os.sep)
            for depth in range(1, len(folders)):
                above = "/".join(folders[-depth:])
                ids = tuple(f"{above}/{id_}" for id_ in source.ids)
                if not known.isdisjoint(ids):
                    log.info(
                        "%s: images are called %s and so on, with the folder, as elsewhere",
                        entry.model,
                        ids[0],
                    )
                    entry = replace(entry, source=replace(source, ids=ids))
                    break
        found.append(entry)
    return found


def select_models(entries: list[Entry], wanted: Sequence[str]) -> list[Entry]:
    """Keep the models whose name, or whose part before the first ``/``, is or matches one of those wanted.

    Raises
    ------
    UsageError
        If one of those wanted is not there.
    """
    chosen: list[Entry] = []
    for pattern in wanted:
        found = [
            entry
            for entry in entries
            for name in {spelled(entry.model), spelled(entry.model.split("/")[0])}
            if name == spelled(pattern) or fnmatch.fnmatchcase(name, spelled(pattern))
        ]
        if not found:
            names = [entry.model for entry in entries]
            raise UsageError(
                f"there is no model {pattern!r}; {near(pattern, names)}there are {', '.join(names)}"
            )
        chosen += [entry for entry in found if entry not in chosen]
    return chosen
