"""Sort the files of a folder into groups of maps that belong together: single files, and files of many."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from salzarr.errors import InputError, listed
from salzarr.sources.contents import Held, held_in, tables
from salzarr.sources.names import NUMBER, names_beside, plain_names
from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import FileMaps, Format, Place, Shape, numbered
from salzarr.sources.tree import Folder, natural


@dataclass(frozen=True)
class Group:
    """Maps that belong together: single files in a folder, or a file of many maps."""

    root: str
    maps: FileMaps
    single: bool = False
    model: str = ""
    factors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """What the files of one folder and format hold: a map each (with the array), many maps, or none."""

    single: dict[str, str]
    shapes: dict[str, Shape]
    many: dict[str, list[Held]]


def group_of(format_: Format, path: str, held: Held, root: str | None = None) -> Group:
    """Make the group of one model's maps in a file."""
    places = tuple(Place(path, array, index) for array, index in held.places)
    ids = held.ids
    if ids is None:
        ids = plain_names([os.path.splitext(os.path.basename(path))[0]])
    maps = FileMaps(format_, places, plain_names(ids) if held.named else ids, held.named, held.order)
    return Group(root or os.path.dirname(path), maps, model=held.model, factors=held.factors)


def _shapes(format_: Format, path: str) -> list[Shape]:
    """Return the shapes of a file's arrays; none if it cannot be read, which is said where it is opened."""
    try:
        return list(format_.look(path).shapes.values())
    except InputError:
        return []


@dataclass(frozen=True)
class Grouper:
    """How files are sorted into groups, and what there was to say about it."""

    reading: Reading
    findings: Findings

    def groups(self, folder: Folder, format_: Format, failed: list[str]) -> list[Group]:
        """Sort a folder's files into groups of maps that belong together."""
        looked = self._look(folder, format_, failed)
        parts = [self.groups(child, format_, failed) for child in folder.folders]
        single = self._without_tables(folder, format_, looked)
        if single:
            places = tuple(Place(os.path.join(folder.path, file), array) for file, array in single.items())
            ids = plain_names([os.path.splitext(file)[0] for file in single])
            parts.insert(0, [Group(folder.path, FileMaps(format_, places, ids), single=True)])
        parts = [part for part in parts if part]
        below = [group for part in parts for group in part]
        stacks = self._opened(folder, format_, looked)
        if stacks and any(group.single for group in below):
            return self._more(folder, looked, below, stacks)
        if stacks:
            return below + stacks
        ids = tuple(id_ for group in below for id_ in group.maps.ids)
        if len(parts) > 1 and len(set(ids)) == len(ids) and all(group.single for group in below):
            return [self._with_folders(folder, format_, below)]  # class folders: part of the ids
        return below

    def _with_folders(self, folder: Folder, format_: Format, below: list[Group]) -> Group:
        places = tuple(place for group in below for place in group.maps.places)
        paths = [os.path.splitext(os.path.relpath(place.path, folder.path))[0] for place in places]
        return Group(folder.path, FileMaps(format_, places, plain_names(paths)), single=True)

    def _look(self, folder: Folder, format_: Format, failed: list[str]) -> Looked:
        """Look into the files of a folder."""
        files = folder.files.get(format_, [])
        looked = Looked({}, {}, {})
        aside: list[str] = []
        for file in files:
            path = os.path.join(folder.path, file)
            if format_.holds_one and self.reading.is_stacked(file):
                looked.many[file] = []
                continue
            if format_.is_picture:
                looked.single[file] = ""
                continue
            try:
                contents = format_.look(path)
                alone = len(files) == 1 and not format_.holds_one
                held, unused = held_in(contents, path, format_, self.reading, stacked=alone)
            except InputError as error:
                if format_.holds_one:  # it costs its own map, and is named
                    looked.single[file] = ""
                else:
                    failed.append(str(error))
                continue
            if format_.holds_one and len(contents.shapes[""]) < 2:
                aside.append(f"{file} {contents.shapes['']}")
            elif held[0].ids is None and len(held) == 1:
                [(array, _)] = held[0].places
                looked.single[file], looked.shapes[file] = array, contents.shapes[array]
            else:
                looked.many[file] = held
            aside += [f"{file}:{what}" for what in unused]
        self.set_aside(folder.path, aside)
        return looked

    def _without_tables(self, folder: Folder, format_: Format, looked: Looked) -> dict[str, str]:
        """Return the single files without those that have a row for each map: logits, features."""
        odd = tables(looked.shapes)
        if looked.many and len(looked.single) == len(looked.shapes):
            stacks = [
                shape for file in looked.many for shape in _shapes(format_, os.path.join(folder.path, file))
            ]
            odd += [
                file
                for file, shape in looked.shapes.items()
                if file not in odd and any(shape != stack[1:] and shape[0] == stack[0] for stack in stacks)
            ]
        self.set_aside(folder.path, [f"{file} {looked.shapes[file]}" for file in odd])
        return {file: array for file, array in looked.single.items() if file not in odd}

    def _opened(self, folder: Folder, format_: Format, looked: Looked) -> list[Group]:
        """Open the files of a folder that hold many maps."""
        if not looked.many:
            return []
        if format_.holds_one:
            return self.stacks(format_, [os.path.join(folder.path, file) for file in looked.many])
        groups = []
        for file, held in looked.many.items():
            root = (
                folder.path if len(looked.many) == 1 else os.path.join(folder.path, os.path.splitext(file)[0])
            )
            groups += [
                replace(group_of(format_, os.path.join(folder.path, file), one), root=root) for one in held
            ]
        return groups

    def stacks(self, format_: Format, paths: list[str]) -> list[Group]:
        """Open stacks of one array each; those whose names differ in a number only are pieces of one."""
        pieces: dict[str, list[str]] = {}
        for path in sorted(paths, key=natural):
            pieces.setdefault(NUMBER.sub("", os.path.splitext(path)[0]), []).append(path)
        groups: list[Group] = []
        for stem, parts in pieces.items():
            if len(parts) > 1:
                files = ", ".join(map(os.path.basename, parts))
                self.findings.note(f"{os.path.dirname(stem)}: {files} are taken for one stack, in this order")
            groups += self._stack(format_, parts, os.path.dirname(stem) if len(pieces) == 1 else stem)
        return groups

    def _stack(self, format_: Format, paths: Sequence[str], root: str) -> list[Group]:
        """Open the pieces of one stack, with the names that lie beside it."""
        names = names_beside(paths)
        pieces = []
        for path in paths:
            contents = format_.look(path)
            if self.reading.axes is None and len(contents.shapes[""]) < 3:
                raise InputError(
                    f"{path} has shape {contents.shapes['']}, a stack has (image, H, W); if it is none, "
                    "change --stacked"
                )
            held, _ = held_in(contents, path, replace(format_, holds_one=False), self.reading, stacked=True)
            pieces.append([group_of(format_, path, one, root) for one in held])
        groups = []
        for parts in zip(*pieces, strict=True):
            places = tuple(place for part in parts for place in part.maps.places)
            if names is not None and len(names) != len(places):
                raise InputError(f"{paths[0]} holds {len(places)} maps, but {len(names)} names came with it")
            ids = numbered(len(places)) if names is None else tuple(names)
            maps = replace(parts[0].maps, places=places, ids=ids, named=names is not None)
            groups.append(replace(parts[0], maps=maps))
        return groups

    def _more(self, folder: Folder, looked: Looked, below: list[Group], stacks: list[Group]) -> list[Group]:
        """Choose between single files and stacks: single files carry names, and win unless they are fewer."""
        singles, stacked = sum(len(group.maps) for group in below), max(len(group.maps) for group in stacks)
        files = listed(list(looked.many), 3)
        if singles >= stacked:
            said = f"{folder.path}: {files} is set aside for the {singles} single files"
            taken = below
        else:
            first = next(group.maps.places[0].path for group in below if group.single)
            said = f"{folder.path}: {files} is taken; {singles} single files, such as {first}, are set aside"
            taken = stacks
        if singles == stacked:
            self.findings.note(said)
        else:
            self.findings.warn(f"{said}; beware, there are {stacked} maps in the stack")
        return taken

    def set_aside(self, where: str, what: Sequence[str]) -> None:
        """Say what is no map."""
        if what:
            self.findings.note(
                f"{where}: {listed(what)} {'is' if len(what) == 1 else 'are'} set aside: no maps"
            )
