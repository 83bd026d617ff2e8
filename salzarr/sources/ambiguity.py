"""Trees that can be read in two ways: say which was taken, and the patterns of both."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from salzarr.errors import listed
from salzarr.sources.entry import Entry


def said_repeated(root: str, repeated: Sequence[tuple[str, list[str]]], entries: Sequence[Entry]) -> str:
    """Say how folders below the models were read, and the patterns of both readings."""
    model, folders = repeated[0]
    below = [os.path.relpath(folder, os.path.join(root, model)) for folder in folders]
    source = next(entry.source for entry in entries if entry.model.split("/")[0] == model)
    suffix = os.path.splitext(source.origins()[0].split("[")[0])[1]
    stacked = not any(entry.root for entry in entries)
    rows = [os.path.relpath(folder, root).split(os.sep) for _, all_ in repeated for folder in all_]
    parts = ["{model}", "{variant}"]
    if len({len(row) for row in rows}) == 1:
        columns = [set(column) for column in zip(*rows, strict=True)]
        free = iter(["{variant}", *(f"{{variant{n}}}" for n in range(2, len(columns) + 1))])
        parts = [
            "{model}",
            *(next(free) if len(column) > 1 else next(iter(column)) for column in columns[1:]),
        ]
    fixed = parts[: next((at for at, part in enumerate(parts) if part.startswith("{variant")), 1)]
    as_models = "/".join([*parts, f"*{suffix}" if stacked else f"{{image}}{suffix}"])
    said = (
        f"the folders {listed(below, 3)} of {model} hold the same names, and were read as models of their "
        "own "
        f"(--pattern '{as_models}')"
    )
    if stacked:
        return said
    as_images = "/".join([*fixed, f"{{image:path}}{suffix}"])
    return f"{said}; if they are parts of one model's images, read them by --pattern '{as_images}'"


def is_image_first(entries: Sequence[Entry]) -> bool:
    """Whether the models' names differ only in digits, while their images' do not."""
    models = {entry.model.split("/")[0] for entry in entries}
    images = {id_ for entry in entries for id_ in entry.source.ids}
    named = all(entry.source.named for entry in entries)
    return (
        named
        and len(models) > 1
        and _kinds(models) == 1
        and len(images) > 1
        and _kinds(images) == len(images)
    )


def _kinds(names: set[str]) -> int:
    return len({re.sub(r"\d+", "0", name) for name in names})


def said_image_first(root: str, entries: Sequence[Entry]) -> str:
    """Say that models may be images, and the patterns of both readings."""
    origin = os.path.relpath(entries[0].source.origins()[0].split("[")[0].split(":")[0], root)
    suffix, single = os.path.splitext(origin)[1], entries[0].root is not None
    model, image = entries[0].model.split("/")[0], entries[0].source.ids[0]
    between = origin.split(os.sep)[1:-1]
    first, second = "/".join(["{model}", *between]), "/".join(["{image}", *between])
    both = (
        (f"{first}/{{image}}{suffix}", f"{second}/{{model}}{suffix}")
        if single
        else (f"{{model}}{suffix}/{{image}}", f"{{image}}{suffix}/{{model}}")
    )
    return (
        f"the models were read as {model} and so on, whose names differ only in numbers, and the images as "
        f"{image} "
        f"and so on (--pattern '{both[0]}'); if the images come first, read them by --pattern '{both[1]}'"
    )
