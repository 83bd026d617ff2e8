"""Every name, dimension, dtype and attribute that salzarr stores, each once.

Two stores, both Zarr v3 and both readable by a plain :func:`xarray.open_zarr`:

* the **maps store**: the saliency maps of N models, and the facts gathered while writing them;
* the **scores store**: one variable per metric, with its reasons for what could not be scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

import xarray as xr

from salzarr.errors import StoreError, VersionError

FORMAT_VERSION = 1

MODEL, IMAGE, Y, X = "model", "image", "y", "x"
CHANNEL = "channel"
"""Of inputs only; a stored map has none."""
PAIR = "pair"
MODEL_A, MODEL_B = "model_a", "model_b"
STATISTIC, REASON = "statistic", "reason"

WAYS = ("a_to_b", "b_to_a")
"""Suffixes of a directed metric's variables: f(model_a, model_b), then f(model_b, model_a)."""


class Status(IntFlag):
    """What is wrong with one map, as bit flags; constant, all-zero and negative follow from its facts."""

    OK = 0
    MISSING = 1
    NON_FINITE = 2
    RESIZED = 4
    UNREADABLE = 8
    """Missing, for its input could not be read; the next conversion tries again."""
    ALPHA = 16
    """Its input had an alpha channel, which was dropped."""
    COLORS = 32
    """Made of channels that differ as colors do."""


class Reason(IntEnum):
    """Why a pair has no score on an image."""

    SCORED = 0
    MISSING = 1
    NON_FINITE = 2
    CONSTANT = 3
    ZERO_MASS = 4
    NEGATIVE = 5
    FAILED = 6
    IDENTICAL = 7
    """The maps are equal, and the metric has no finite value for that."""
    OVERFLOW = 8
    """The maps are finite, and the score is beyond the largest float64."""
    UNSIGNED = 9
    """A map has no negative value, and the metric compares signs."""
    EMPTY = 10
    """No pixel of either map is above the metric's threshold."""

    @property
    def label(self) -> str:
        """Its name as tables show it.

        >>> Reason.NON_FINITE.label
        'non_finite'
        """
        return self.name.lower()


@dataclass(frozen=True)
class Variable:
    """One stored array: its name, dimensions, dtype and meaning."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str


MAPS = Variable("maps", (MODEL, IMAGE, Y, X), "float32", "the saliency maps; NaN where a map is missing")
MAP_MIN = Variable("map_min", (MODEL, IMAGE), "float64", "smallest finite value of the map; NaN if none")
MAP_MAX = Variable("map_max", (MODEL, IMAGE), "float64", "largest finite value of the map; NaN if none")
MAP_SUM = Variable("map_sum", (MODEL, IMAGE), "float64", "sum of the finite values; NaN if none")
MAP_STATUS = Variable(
    "map_status",
    (MODEL, IMAGE),
    "uint8",
    "bit flags: 1 missing, 2 non-finite, 4 resized, 8 unreadable, 16 alpha dropped, 32 made of colors",
)
SOURCE_SIZE = Variable("source_size", (MODEL, IMAGE), "int64", "bytes of the input file; -1 if none")
SOURCE_MTIME = Variable("source_mtime", (MODEL, IMAGE), "int64", "its modification time in ns; -1 if none")
SOURCE_CRC = Variable("source_crc", (MODEL, IMAGE), "uint32", "crc32c of the map's bytes as they were read")

FACTS = (MAP_MIN, MAP_MAX, MAP_SUM, MAP_STATUS)
MANIFEST = (SOURCE_SIZE, SOURCE_MTIME, SOURCE_CRC)
MAPS_STORE = (MAPS, *FACTS, *MANIFEST)

TAKEN_NAMES = frozenset(
    (
        *(variable.name for variable in MAPS_STORE),
        MODEL,
        IMAGE,
        Y,
        X,
        PAIR,
        MODEL_A,
        MODEL_B,
        STATISTIC,
        REASON,
    )
)
"""What a factor of the models cannot be called."""

SCORE_DTYPE = "float64"
REASON_DTYPE = "uint8"


def reason_name(slug: str) -> str:
    """Name of the variable that says why scores of a metric are missing.

    >>> reason_name("emd")
    'emd_reason'
    """
    return f"{slug}_reason"


# Attributes of both stores.
ATTR_KIND = "salzarr_kind"  # "maps" or "scores"
ATTR_FORMAT = "salzarr_format"  # FORMAT_VERSION
ATTR_VERSION = "salzarr_version"  # of the package that wrote it
ATTR_COMPLETE = "complete"  # bool, written last
ATTR_PROVENANCE = "provenance"  # JSON-able mapping: where from, which options
ATTR_FINGERPRINT = "fingerprint"  # of the options
ATTR_COORDINATES = "coordinates"  # names of the models' factors, between blanks, as CF has it
ATTR_WHERE = "where"  # expression that chose the images of scores: a note, never evaluated again
ATTR_PRIMARY = "primary"  # slug of the metric that a study will report, marked before the scoring

# Attributes of a metric's variables, beside its definition.
ATTR_SLUG = "slug"  # of the metric
ATTR_WAY = "way"  # of a directed metric: which of WAYS

KIND_MAPS, KIND_SCORES = "maps", "scores"


def check(attrs: Mapping[str, object], kind: str, where: str) -> None:
    """Refuse what is not a store of this kind, or is one from a newer salzarr.

    Parameters
    ----------
    attrs : mapping
        The store's attributes.
    kind : {"maps", "scores"}
        What it should be.
    where : str
        Its path or URL, for the message.

    Raises
    ------
    StoreError
        If it is no salzarr store, or one of the other kind.
    VersionError
        If its format is newer than this salzarr can read.
    """
    found = attrs.get(ATTR_KIND)
    if found != kind:
        what = f"a store of {found}" if found else "not a salzarr store"
        needed = {KIND_MAPS: "the store of salzarr convert", KIND_SCORES: "the results of salzarr compare"}
        raise StoreError(f"{where} is {what}; give {needed[kind]}")
    version = attrs.get(ATTR_FORMAT)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise VersionError(
            f"{where} has format {version}, this salzarr reads up to {FORMAT_VERSION}; upgrade salzarr"
        )


def check_maps(dataset: xr.Dataset, where: str) -> None:
    """Refuse a maps store whose arrays are not those of the schema.

    Raises
    ------
    StoreError
        If an array is missing or has other dimensions.
    """
    check(dataset.attrs, KIND_MAPS, where)
    for variable in MAPS_STORE:
        if variable.name not in dataset or dataset[variable.name].dims != variable.dims:
            raise StoreError(
                f"{where} has no array {variable.name}{variable.dims}; create it again with salzarr convert"
            )


def restored(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as salzarr writes them, from what :func:`portable` made of them.

    >>> restored({"provenance": '{"runs": []}', "complete": 1})
    {'provenance': {'runs': []}, 'complete': True}
    """
    found = dict(attrs)
    for name in (ATTR_PROVENANCE, ATTR_FINGERPRINT):
        if isinstance(found.get(name), str):
            found[name] = json.loads(found[name])
    if ATTR_COMPLETE in found:
        found[ATTR_COMPLETE] = bool(found[ATTR_COMPLETE])
    return found


def portable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as NetCDF can hold them: mappings as JSON text, and true and false as 1 and 0.

    >>> portable({"plan": {"block": 2}, "complete": True, "models": ["a", "b"]})
    {'plan': '{"block": 2}', 'complete': 1, 'models': ['a', 'b']}
    """
    plain = {name: int(value) if isinstance(value, bool) else value for name, value in attrs.items()}
    return {name: json.dumps(v) if isinstance(v, Mapping) else v for name, v in plain.items()}
