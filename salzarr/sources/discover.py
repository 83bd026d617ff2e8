"""Find the models in a tree of files, whatever lies between a model's folder and its maps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from salzarr.errors import InputError, InputNotFoundError
from salzarr.sources.ambiguity import is_image_first, said_image_first, said_repeated
from salzarr.sources.contents import held_in
from salzarr.sources.entry import Entry, is_wanted
from salzarr.sources.grouping import Group, Grouper, group_of
from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import FileMaps, Format
from salzarr.sources.tree import Folder, format_of, is_zarr, scan

TEXT_SUFFIXES = frozenset(
    [
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".md",
        ".rst",
        ".log",
        ".py",
        ".ipynb",
        ".sh",
        ".slurm",
        ".yaml",
        ".yml",
        ".toml",
        ".cfg",
        ".ini",
        ".html",
        ".tex",
        ".pdf",
        ".svg",
        ".docx",
        ".xlsx",
        ".xml",
    ]
) | {""}
"""Of files that lie beside maps and hold none."""

FEWER = 3
"""A format that is preferred is still taken where another has up to so many times its files."""


@dataclass
class Finder:
    """How models are to be found, and what there was to say about it."""

    formats: Sequence[Format]
    reading: Reading
    findings: Findings
    repeated: list[tuple[str, list[str]]] = field(default_factory=list)
    """Models of which several folders hold the same names, and these folders."""

    @property
    def grouper(self) -> Grouper:
        """What sorts the files of a folder."""
        return Grouper(self.reading, self.findings)

    def find(self, path: str) -> list[Entry]:
        """Find the models in a tree, or in one file.

        Raises
        ------
        InputNotFoundError
            If there are none.
        """
        if not os.path.exists(path):
            raise InputNotFoundError(f"{path} does not exist; give the folder that holds the models' folders")
        if not os.path.isdir(path) or is_zarr(path):
            return self._in_file(path)
        entries = self._in_tree(path)
        if self.repeated:
            self.findings.warn(said_repeated(path, self.repeated, entries))
        elif is_image_first(entries):
            self.findings.warn(said_image_first(path, entries))
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
        if not os.path.isdir(path) or is_zarr(path):
            return self._of_file(name, path)
        reasons: list[str] = []
        entries = self._in_folder(
            name, scan(path, self.formats, self.reading.glob, self.findings.note, self.reading.but), reasons
        )
        if not entries:
            why = reasons[0] if reasons else f"it holds no maps ({self._suffixes()})"
            raise InputNotFoundError(f"{path}, given for model {name}: {why}")
        return entries

    def _in_tree(self, root: str) -> list[Entry]:
        """Take each folder for a model, and each file that holds many maps."""
        tree = scan(root, self.formats, self.reading.glob, self.findings.note, self.reading.but)
        entries: list[Entry] = []
        loose: list[str] = []
        lost: dict[str, str] = {}
        for format_, files in tree.files.items():
            for file in files:
                if format_.holds_one and not self.reading.is_stacked(file):
                    loose.append(file)
                    continue
                try:
                    entries += self._of_file(os.path.splitext(file)[0], os.path.join(root, file))
                except InputError as error:
                    lost[os.path.splitext(file)[0]] = str(error)
        unknown = {suffix: n for suffix, n in tree.others.items() if suffix not in TEXT_SUFFIXES}
        if unknown and entries and self.reading.glob is None:
            lost[f"{root}/*"] = f"{said_suffixes(unknown)} beside the models' files, in no known format"
        for folder in tree.folders:
            name = os.path.basename(folder.path)
            reasons: list[str] = []
            found = self._in_folder(name, folder, reasons)
            entries += found
            if found:
                self._name_barren(folder)
            elif self.reading.glob is None or reasons:
                self._lose(name, folder, reasons, lost)
        if not entries:
            raise InputNotFoundError(self._nothing(root, loose, lost))
        wanted = self.reading.wanted
        for name, why in lost.items():
            if not wanted or any(is_wanted(name, pattern) for pattern in wanted):
                self.findings.lose(f"{name} is left out, for no map of it could be read: {why}")
        if loose:
            self.findings.note(
                f"{root}: {len(loose)} files outside of models' folders, such as {loose[0]}, are set aside"
            )
        return entries

    def _name_barren(self, folder: Folder) -> None:
        """Name the folders below a model that hold data, and no map."""
        for below in folder.folders:
            others = {suffix: n for suffix, n in below.all_others().items() if suffix not in TEXT_SUFFIXES}
            if any(True for _ in below.formats()):
                self._name_barren(below)
            elif others and self.reading.glob is None:
                self.findings.warn(f"{below.path} holds no maps, but {said_suffixes(others)}")

    def _lose(self, name: str, folder: Folder, reasons: list[str], lost: dict[str, str]) -> None:
        """Name a folder that gave no map, and what lies in it."""
        others = folder.all_others()
        if reasons:
            lost[name] = reasons[0]
        elif others and set(others) <= TEXT_SUFFIXES:
            self.findings.note(f"{folder.path} holds no maps, but {said_suffixes(others)}; it is set aside")
        else:
            gif = (
                "; a GIF has at most 256 colors and is often animated: save maps as .npy"
                if ".gif" in others
                else ""
            )
            lost[name] = f"{folder.path} holds {said_suffixes(others) if others else 'nothing'}{gif}"

    def _in_file(self, path: str) -> list[Entry]:
        """Take what one file holds for models, or for one."""
        return self._of_file(os.path.splitext(os.path.basename(path))[0], path, as_models=True)

    def _of_file(self, name: str, path: str, *, as_models: bool = False) -> list[Entry]:
        """Open a file with the maps of one model, or of several."""
        format_ = format_of(path, self.formats)
        if format_ is None:
            raise InputError(f"{path} has no format that is known ({self._suffixes()})")
        if format_.holds_one and self.reading.is_stacked(path):
            return [self._entry(name, group) for group in self.grouper.stacks(format_, [path])]
        held, aside = held_in(
            format_.look(path), path, format_, self.reading, stacked=True, as_models=as_models
        )
        self.grouper.set_aside(path, aside)
        if held[0].ids is None:
            raise InputError(f"{path} holds a single map; give the folder with all maps of the model")
        groups = [group_of(format_, path, one) for one in held]
        if as_models and all(group.model for group in groups):
            return [
                replace(self._entry("", group), model=_joined(group.model, group.factors)) for group in groups
            ]
        return [self._entry(name, group) for group in groups]

    def _entry(self, name: str, group: Group, below: str = "") -> Entry:
        model = "/".join(part for part in (name, below, _joined(group.model, group.factors)) if part)
        return Entry(model, group.maps, group.factors, group.root if group.single else None)

    def _in_folder(self, name: str, folder: Folder, reasons: list[str]) -> list[Entry]:
        """Find the entries of one model: one, or several whose ids overlap."""
        counts = Counter(format_ for format_, _ in folder.paths())
        if not counts:
            return []
        taken: list[Group] = []
        for format_ in (format_ for format_ in self.formats if format_ in counts):
            failed: list[str] = []
            groups = self.grouper.groups(folder, format_, failed)
            reasons += failed
            maps = sum(len(group.maps) for group in groups)
            others = [n for other, n in counts.items() if other is not format_]
            if maps and maps * FEWER >= max(others, default=0):
                taken = groups
                break
            if maps > sum(len(group.maps) for group in taken):
                taken = groups
        if not taken:
            return []
        chosen = taken[0].maps.format
        if unused := [f"{n:,} {f.name}" for f, n in counts.items() if f is not chosen]:
            count = sum(len(group.maps) for group in taken)
            self.findings.note(
                f"{name}: {count:,} maps of {chosen.name} files are taken, "
                f"{' and '.join(unused)} files are set aside"
            )
        elif reasons:
            self.findings.warn(
                f"{name}: {len(reasons)} files could not be read and are left out: {reasons[0]}"
            )
        names = distinguish([os.path.relpath(group.root, folder.path) for group in taken])
        if len({group.root for group in taken}) > 1:
            self.repeated.append((name, [group.root for group in taken]))
        return [self._entry(name, group, below) for group, below in zip(taken, names, strict=True)]

    def _suffixes(self) -> str:
        return ", ".join(suffix for format_ in self.formats for suffix in format_.suffixes)

    def _nothing(self, root: str, loose: list[str], lost: dict[str, str]) -> str:
        if loose:
            return (
                f"{root} holds maps, but no models' folders; give the folder above it, --model NAME={root}, "
                "or "
                "say by --pattern which part of a file's name is the model and which the image"
            )
        if lost:
            return f"no map could be read: {'; '.join(list(lost.values())[:3])}"
        matching = f" that match {self.reading.glob}" if self.reading.glob else ""
        return (
            f"{root} has no folders with maps{matching} ({self._suffixes()}); "
            "see --pattern, --glob and --model"
        )


def _joined(model: str, factors: Mapping[str, str]) -> str:
    """Name a model by what is known of it."""
    return "/".join(part for part in (model, *factors.values()) if part)


def said_suffixes(others: Mapping[str, int]) -> str:
    """Say how many files of which kind there are.

    >>> said_suffixes({".pt": 12, ".log": 1})
    '12 .pt files and 1 .log file'
    """
    parts = [f"{n} {suffix or 'other'} file{'s' * (n != 1)}" for suffix, n in others.items()]
    return " and ".join(parts)


def distinguish(paths: Sequence[str]) -> list[str]:
    """Return the shortest parts of paths that tell them apart: what all begin or end with is left out.

    >>> distinguish(["out/Baseline/maps", "out/Pruned/maps"])
    ['Baseline', 'Pruned']
    >>> distinguish(["out/maps"]), distinguish([".", "extra"])
    ([''], ['', 'extra'])
    """
    parts = [[] if path == "." else path.split(os.sep) for path in paths]
    if len(set(paths)) == 1:
        return [""] * len(paths)
    for end in (0, -1):
        while all(parts) and len({part[end] for part in parts}) == 1:
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def with_classes(entries: list[Entry], findings: Findings) -> list[Entry]:
    """Put the name of its one class folder before the images of a model, if others have it there.

    Classes are part of an image's name where a model has several class folders. That a lone folder is one
    of them shows only beside the other models.
    """
    known = {id_ for entry in entries for id_ in entry.source.ids if "/" in id_}
    kept = []
    for entry in entries:
        source = entry.source
        if known and isinstance(source, FileMaps) and entry.root and known.isdisjoint(source.ids):
            folders = entry.root.split(os.sep)
            for depth in range(1, len(folders)):
                above = "/".join(folders[-depth:])
                ids = tuple(f"{above}/{id_}" for id_ in source.ids)
                if not known.isdisjoint(ids):
                    findings.note(
                        f"{entry.model}: images are called {ids[0]} and so on, with the folder, as elsewhere"
                    )
                    entry = replace(entry, source=replace(source, ids=ids))
                    break
        kept.append(entry)
    return kept
