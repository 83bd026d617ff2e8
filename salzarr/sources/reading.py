"""How a source is to be read, and what there is to say of it."""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salzarr.errors import UsageError, for_caller
from salzarr.schema import CHANNEL, X, Y
from salzarr.sources.names import Rename

log = logging.getLogger(__name__)

Path = str | os.PathLike[str]
Models = Mapping[str, Path] | Sequence[str]
Names = Path | Sequence[str] | Mapping[str, Path | Sequence[str]]

STACKED = "batch_maps*.npy"


@dataclass(frozen=True)
class Reading:
    """Which maps of a source are meant, what they are called, and how their arrays lie.

    The attributes are the parameters of :func:`salzarr.convert`, which explains them.
    """

    pattern: str | None = None
    glob: str | None = None
    models: Models | None = None
    array: str | None = None
    axes: tuple[str, ...] | None = None
    stacked: str = STACKED
    names: Names | None = None
    rename: Rename | None = None
    strip_suffix: tuple[str, ...] = ()
    but: str | None = None
    """The store that is written: no source of itself where it lies in the source's folder."""

    @classmethod
    def of(
        cls, *, axes: str | Sequence[str] | None = None, strip_suffix: str | Sequence[str] = (), **given: Any
    ) -> Reading:
        """Check and keep what a user gave.

        Raises
        ------
        UsageError
            If options exclude one another, or axes are no axes.
        """
        endings = (strip_suffix,) if isinstance(strip_suffix, str) else tuple(strip_suffix)
        reading = cls(axes=parse_axes(axes), strip_suffix=endings, **given)
        if reading.pattern is not None and (reading.glob or isinstance(reading.models, Mapping)):
            raise UsageError(
                "a pattern says which files are read and what their models are called; leave out --glob, "
                "and --model NAME=PATH"
            )
        return reading

    @property
    def map_axes(self) -> tuple[str, ...] | None:
        """Axes of a single map, as a source hands it over; None if the shape must tell."""
        if self.axes is None:
            return None
        return (CHANNEL, Y, X) if CHANNEL in self.axes else (Y, X)

    @property
    def wanted(self) -> list[str]:
        """Names or patterns of the models that are wanted; none for all."""
        if isinstance(self.models, Mapping):
            return []
        return [self.models] if isinstance(self.models, str) else list(self.models or ())

    def is_stacked(self, file: str) -> bool:
        """Whether a file of one array is a stack by its name, or by the axes that were named."""
        if self.axes is not None:
            return True
        return fnmatch.fnmatch(os.path.basename(file), self.stacked)


def parse_axes(axes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Read the names of axes, such as ``image,channel,y,x``.

    >>> parse_axes("image, y, x")
    ('image', 'y', 'x')

    Raises
    ------
    UsageError
        If ``y`` or ``x`` is not among them, or one stands twice.
    """
    if axes is None:
        return None
    names = tuple(name.strip() for name in (axes.split(",") if isinstance(axes, str) else axes))
    if len(set(names)) < len(names) or not {Y, X} <= set(names) or not all(names):
        raise UsageError(
            f"axes {','.join(names)} must be names, each once, with y and x among them, such as "
            "image,channel,y,x; whatever else they name becomes part of the models' names"
        )
    return names


@dataclass
class Findings:
    """What a user should know of a source: logged while it is read, each text once.

    Attributes
    ----------
    lost : list of str
        Models to be, of which no map could be read; each a sentence.
    """

    lost: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def note(self, text: str) -> None:
        """Log a note."""
        self._say(text, logging.INFO)

    def warn(self, text: str) -> None:
        """Log a warning."""
        self._say(text, logging.WARNING)

    def lose(self, text: str) -> None:
        """Keep and log that a model is lost."""
        self.lost.append(text)
        self.warn(text)

    def _say(self, text: str, level: int) -> None:
        text = for_caller(text)
        if text not in self.said:
            self.said.add(text)
            log.log(level, "%s", text)
