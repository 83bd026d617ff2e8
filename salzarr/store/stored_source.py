"""A maps store as the source of another: its maps, and the facts known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import StoreError
from salzarr.location import local_path, locate
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.source import Array, Stamp, pick, runs
from salzarr.store import layout
from salzarr.store.opening import open_dataset, read_block


@dataclass(frozen=True, eq=False)
class StoredModel:
    """The maps of one model in a store.

    Attributes
    ----------
    row, columns : int, tuple of int
        Positions of the model and of its images in the store.
    times : tuple of Stamp
        Of the inputs that the maps were made from.
    facts : ndarray of dtype FACT or None
        Of each map; None if the other store changes its values.
    """

    url: str
    model: str
    row: int
    columns: tuple[int, ...]
    ids: tuple[str, ...]
    shape: tuple[int, int]
    dtype: str
    times: tuple[Stamp, ...]
    facts: NDArray[np.void] | None
    factors: Mapping[str, str]
    named: bool = True
    rows_of_stack: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, positions: Sequence[int]) -> StoredModel:
        """Return the same source with these maps only."""
        return replace(
            self,
            columns=tuple(self.columns[position] for position in positions),
            ids=pick(self.ids, positions),
            times=tuple(self.times[position] for position in positions),
            facts=None if self.facts is None else self.facts[list(positions)],
        )

    def stored_as(self, shape: tuple[int, int], dtype: np.dtype[np.floating]) -> StoredModel:
        """Return the source for a store of this size and dtype: facts are kept where no value changes."""
        same = shape == self.shape and np.can_cast(self.dtype, dtype)
        return self if same else replace(self, facts=None)

    def origins(self) -> list[str]:
        """Return store, model and image of each map."""
        return [f"{self.url}: image {id_} of {self.model}" for id_ in self.ids]

    def stamps(self) -> list[Stamp]:
        """Return the stamps of the inputs that the maps were made from."""
        return list(self.times)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the size of the store's maps, for each."""
        return [self.shape] * len(self)

    def read(self) -> Iterator[Array]:
        """Read images that lie together, together; a damaged chunk is an error that names it."""
        for run in runs(self.columns):
            yield from read_block(self.url, [self.row], run)[0]


def is_maps_store(path: str) -> bool:
    """Whether a path holds a maps store; a URL can hold nothing else."""
    url = locate(path)
    if local_path(url) is None:
        return True
    try:
        layout.open_group(url)
    except StoreError:
        return False
    return True


def stored_models(path: str) -> dict[str, StoredModel]:
    """Open each model of a complete store as a source."""
    url = locate(path)
    open_dataset(url)
    store = layout.open_store(url)
    facts, images, factors = store.read_facts(), store.names(IMAGE), store.factors()
    sources = {}
    for row, model in enumerate(store.names(MODEL)):
        columns = np.flatnonzero(facts["map_status"][row] & Status.MISSING == 0).tolist()
        if columns:
            known = facts[row, columns]
            times = zip(known["source_size"].tolist(), known["source_mtime"].tolist(), strict=True)
            sources[model] = StoredModel(
                url,
                model,
                row,
                tuple(columns),
                pick(images, columns),
                store.shape,
                str(store.maps.dtype),
                tuple(Stamp(*time) for time in times),
                known,
                {name: values[row] for name, values in factors.items() if values[row]},
            )
    return sources
