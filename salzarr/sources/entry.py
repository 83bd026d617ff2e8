"""A model to be, as it was found in a source; and which of those are wanted."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from salzarr.errors import UsageError, near
from salzarr.sources.names import spelled
from salzarr.sources.source import Source


@dataclass(frozen=True)
class Entry:
    """One model to be: its name, where its maps are, and what is known of it."""

    model: str
    source: Source
    factors: Mapping[str, str] = field(default_factory=dict)
    root: str | None = None
    """The folder of single files."""


def is_wanted(model: str, pattern: str) -> bool:
    """Whether a model's name, or its part before the first ``/``, is or matches what was asked for."""
    names = {spelled(model), spelled(model.split("/")[0])}
    return any(name == spelled(pattern) or fnmatch.fnmatchcase(name, spelled(pattern)) for name in names)


def select_models(entries: list[Entry], wanted: Sequence[str]) -> list[Entry]:
    """Keep the models that are wanted.

    Raises
    ------
    UsageError
        If one of those wanted is not there.
    """
    chosen: list[Entry] = []
    for pattern in wanted:
        found = [entry for entry in entries if is_wanted(entry.model, pattern)]
        if not found:
            names = [entry.model for entry in entries]
            raise UsageError(
                f"there is no model {pattern!r}; {near(pattern, names)}there are {', '.join(names)}"
            )
        chosen += [entry for entry in found if entry not in chosen]
    return chosen
