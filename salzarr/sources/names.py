"""Names of models and images: made safe to store, read from files, shortened and renamed.

A name is a label and never a path inside a store, so that it may hold any character. Two things are
changed, for names that could not be stored or would not meet: Unicode goes to its composed form (NFC), and
what is no text (bytes that are not UTF-8, control characters) is written as a backslash escape.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from salzarr.errors import InputError, UsageError
from salzarr.sources.tables import column_of, read_rows

Rename = str | os.PathLike[str] | Mapping[str, str] | Callable[[str], str]

OWN_NAMES = ("{stem}.txt", "{stem}.csv", "{stem}_names.txt", "{stem}_names.csv")
ANY_NAMES = (
    "names.txt", "names.csv", "image_names.txt", "image_names.csv", "filenames.txt", "filenames.csv"
)  # fmt: skip
"""Where the names of a stack are looked for, beside it; ``{stem}`` is the stack's name without suffix."""

NUMBER = re.compile(r"[-_]?\d+$")
"""What tells the pieces of a stack apart."""

NAME_COLUMNS = ("image", "id", "name", "image_id", "image_name", "filename", "file", "path")

IMAGE_SUFFIX = re.compile(r"\.(npy|npz|png|jpe?g|tiff?|bmp|webp|gif)$", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def spelled(name: str) -> str:
    r"""Return the one spelling that a name has in a store, so that a name typed in another way meets it.

    >>> spelled("cafe\u0301") == "caf\u00e9", spelled(" ")
    (True, ' ')
    """
    if name.isascii() and name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return unicodedata.normalize("NFC", text)


def clean(name: str) -> str:
    r"""Return a name as it is stored.

    >>> clean("cafe\u0301"), clean("caf\udce9"), clean("two\nlines")
    ('café', 'caf\\xe9', 'two\\nlines')

    Raises
    ------
    InputError
        If it is empty.
    """
    text = spelled(name)
    if not text.strip():
        raise InputError("a model or an image has an empty name; give it one")
    return text


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once.

    >>> duplicates(["a", "b", "a"])
    ['a']
    """
    return [name for name, count in Counter(names).items() if count > 1]


def relabel(
    ids: Sequence[str], strip_suffix: Sequence[str] = (), rename: Callable[[str], str] | None = None
) -> tuple[str, ...]:
    """Return ids as they are stored: without the given endings, renamed, cleaned.

    >>> relabel(["cat_gradcam", "dog_ig"], ["_gradcam", "_ig"])
    ('cat', 'dog')
    """
    return tuple(clean((rename or str)(_strip(name, strip_suffix))) for name in ids)


def _strip(name: str, endings: Sequence[str]) -> str:
    """Remove the longest of the endings that the name has, unless nothing would be left."""
    ending = max((e for e in endings if e and name.endswith(e) and name != e), key=len, default="")
    return name[: len(name) - len(ending)]


@dataclass
class Renamer:
    """New names of images, from a mapping or a table; what it did not meet is kept to be said.

    >>> rename = Renamer({"0001": "cat", "0002": "dog"})
    >>> rename("0001"), rename("0001.jpg"), rename("owl"), rename.unmet
    ('cat', 'cat', 'owl', ['0002'])
    """

    table: Mapping[str, str]
    met: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.table = {spelled(str(old)): str(new) for old, new in self.table.items()}
        self.plain = {without_suffix(old): old for old in self.table}

    def __call__(self, name: str) -> str:
        """Return the new name of an image."""
        old = spelled(name)
        if old not in self.table:
            old = self.plain.get(without_suffix(old), "")
        if old not in self.table:
            return name
        self.met.add(old)
        return self.table[old]

    @property
    def unmet(self) -> list[str]:
        """Names that no image has."""
        return [old for old in self.table if old not in self.met]


def renamer(rename: Rename | None) -> Callable[[str], str] | None:
    """Return a function from old to new name, given one, a mapping, or a file of two columns."""
    if rename is None or callable(rename):
        return rename
    if isinstance(rename, (str, os.PathLike)):
        rows = read_rows(rename)
        if any(len(row) != 2 for row in rows):
            raise UsageError(f"{os.fspath(rename)} must have two columns, the old and the new name")
        rename = {old.strip(): without_suffix(new.strip()) for old, new in rows}
    return Renamer(rename)


def without_suffix(name: str) -> str:
    """Return a name without the suffix of an image file.

    >>> without_suffix("img0.jpg"), without_suffix("v1.5")
    ('img0', 'v1.5')
    """
    return IMAGE_SUFFIX.sub("", name)


def plain_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without the suffixes of image files, unless two would become one.

    >>> plain_names(["img0.jpg", "img1.JPEG"]), plain_names(["a.jpg", "a.png"])
    (('img0', 'img1'), ('a.jpg', 'a.png'))
    """
    plain = tuple(map(without_suffix, names))
    return plain if len(set(plain)) == len(set(names)) else tuple(names)


def names_beside(stack: Sequence[str]) -> list[str] | None:
    """Read the names that lie beside a stack, if there are any.

    Parameters
    ----------
    stack : sequence of str
        Its file, or its numbered pieces: these have a names file each, or one for all of them.

    Raises
    ------
    InputError
        If some pieces have names and others have none, or a file cannot be read as names.
    """
    stems = [os.path.splitext(piece)[0] for piece in stack]
    each = [_first_file(stem, OWN_NAMES) for stem in stems]
    own = [file for file in each if file]
    if len(own) == len(each):
        return [name for file in own for name in read_names(file)]
    whole = stems[0] if len(stems) == 1 else NUMBER.sub("", stems[0])
    if shared := _first_file(whole, (*OWN_NAMES, *ANY_NAMES)):
        return read_names(shared)
    if own:
        raise InputError(
            f"{stack[each.index(None)]} has no names beside it, but another piece of the stack has {own[0]}; "
            "give each piece its own, or one file of names to all of them"
        )
    return None


def _first_file(stem: str, patterns: Sequence[str]) -> str | None:
    """Return the first of the files that is there."""
    folder, base = os.path.split(stem)
    candidates = (os.path.join(folder, pattern.format(stem=base)) for pattern in patterns)
    return next((path for path in candidates if os.path.isfile(path)), None)


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Read the names of a stack's maps, in their order.

    Parameters
    ----------
    path : path
        A text file with a name per line, or a table with the names in a column called image, id, name,
        filename, … or else in the first. The suffix of an image file is dropped.

    Raises
    ------
    InputNotFoundError, InputError
        If it cannot be read, is no text, or holds an empty name.
    """
    rows = read_rows(path)
    column = 0
    if rows and (len(rows[0]) > 1 or os.fspath(path).lower().endswith((".csv", ".tsv"))):
        found = column_of(rows[0], NAME_COLUMNS)
        if found is not None:
            column, rows = found, rows[1:]
    if any(not row[column].strip() for row in rows):
        raise InputError(f"{os.fspath(path)} has a line without a name; every map needs one")
    return list(plain_names([row[column].strip() for row in rows]))
