"""A conversion: which maps a store lacks, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import ChangedError, InputError, StoreExistsError, listed
from salzarr.run import Progress, run
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Stamp
from salzarr.store.chunk_jobs import ChunkJob, WrittenMaps
from salzarr.store.joining import NamedSource, factors_of, union
from salzarr.store.layout import MapsStore, check_factors
from salzarr.store.records import Ledger, blank

SHOWN = 10
"""Inputs that cannot be read which a message lists at most."""


@dataclass
class Conversion:
    """What a store is to hold, and the jobs that write what it lacks.

    Attributes
    ----------
    models, images : list of str
    facts : (model, image) ndarray of dtype FACT
        What is known of its maps so far.
    jobs : list of ChunkJob
    kept : int
        Maps of the source that the store has already.
    """

    models: list[str]
    images: list[str]
    facts: NDArray[np.void]
    jobs: list[ChunkJob] = field(default_factory=list)
    kept: int = 0

    @property
    def maps(self) -> int:
        """How many are to be written."""
        return sum(map(len, self.jobs))


def plan_conversion(
    store: MapsStore, labelled: Sequence[NamedSource], recipe: Recipe, *, append: bool
) -> Conversion:
    """Find what the store lacks of the maps, and grow it to hold them; refuse changed inputs."""
    models, images = store.names(MODEL), store.names(IMAGE)
    known = set(images)
    all_models = list(dict.fromkeys([*models, *(item.model for item in labelled)]))
    all_images = images + [id_ for id_ in union([item.ids for item in labelled]) if id_ not in known]
    facts = blank((len(all_models), len(all_images)))
    facts[: len(models), : len(images)] = store.read_facts()
    facts["map_status"] &= ~np.uint8(Status.UNREADABLE)  # tried again now, or no longer in the source
    conversion = Conversion(all_models, all_images, facts)
    new = 0
    column = {id_: at for at, id_ in enumerate(all_images)}
    length = store.chunks.length
    for item in labelled:
        model = all_models.index(item.model)
        places = np.array([column[id_] for id_ in item.ids])
        stamps = item.source.stamps()
        done = facts["map_status"][model] & Status.MISSING == 0
        new += int((~done[places]).sum())
        for block in range(-(-done.size // length)):
            part = done[block * length : (block + 1) * length]
            if part.any() and not store.chunks.exists(model, block):
                part[:] = False
        conversion.kept += int(done[places].sum())
        _check_unchanged(store.url, item, stamps, facts[model], places, done, append=append)
        blocks: dict[int, list[int]] = {}
        for position in np.argsort(places, kind="stable").tolist():
            if not done[places[position]]:
                blocks.setdefault(int(places[position]) // length, []).append(position)
        for block, positions in blocks.items():
            part = item.select(positions)
            conversion.jobs.append(
                ChunkJob(
                    store.chunks,
                    recipe,
                    model,
                    block,
                    slots=tuple(int(places[position]) % length for position in positions),
                    source=part.source,
                    stamps=tuple(stamps[position] for position in positions),
                    keep=bool(done[block * length : (block + 1) * length].any()),
                )
            )
    if new and store.complete and not append:
        raise StoreExistsError(
            f"{store.url} exists, and {new} maps are not in it; add them with --append, or start again "
            "with --overwrite"
        )
    factors = factors_of(all_models, labelled, store.factors())
    if conversion.jobs or not store.complete or factors != store.factors():
        check_factors(factors, store.url)
        store.begin()
        store.grow(all_models, all_images, factors)
    return conversion


def _check_unchanged(
    url: str,
    item: NamedSource,
    stamps: Sequence[Stamp],
    facts: NDArray[np.void],
    places: NDArray[np.int64],
    done: NDArray[np.bool_],
    *,
    append: bool,
) -> None:
    """Refuse inputs other than those converted: by their stamps and, where these differ, their bytes."""
    gone = done.copy()
    gone[places] = False
    if gone.any() and not append:
        raise ChangedError(
            f"{url} holds {gone.sum()} maps of {item.model} that are no longer in the source; put them back, "
            "or start again with --overwrite"
        )
    here = facts[places]
    sizes, times = np.array(stamps, np.int64).reshape(-1, 2).T
    differ = (sizes != here["source_size"]) | (times != here["source_mtime"]) | (times < 0)
    suspects = np.flatnonzero(done[places] & differ).tolist()
    part = item.select(suspects)
    changed = [
        origin
        for position, crc, origin in zip(suspects, part.checksums(), part.source.origins(), strict=True)
        if crc != here["source_crc"][position]
    ]
    if changed:
        raise ChangedError(
            f"{len(changed)} inputs are not those that {url} was made from: {listed(changed)}; give another "
            "model another name (--model NAME=PATH), or start again with --overwrite"
        )


def write_maps(store: MapsStore, conversion: Conversion, progress: Progress | None) -> None:
    """Write all maps, journaling what is finished; InputError at the end if some could not be read."""
    failures: list[InputError] = []
    ledger = Ledger(store.journal, conversion.facts)
    done, total = 0, conversion.maps

    def keep(written: WrittenMaps) -> None:
        nonlocal done
        ledger.add(written.records)
        failures.extend(written.failures)
        done += len(written.records)
        if progress:
            progress(done, total)

    try:
        run(conversion.jobs, keep, killed=lambda job, why: keep(job.failed(why)))
    finally:
        ledger.flush()
    if failures:
        raise InputError(_unreadable(failures))


def _unreadable(failures: Sequence[InputError]) -> str:
    """Return the message for maps that could not be read."""
    reasons = sorted({f"  {failure}" for failure in failures})  # a file may hold many of them
    lines = "\n".join(reasons[:SHOWN])
    if len(reasons) > SHOWN:
        lines += f"\n  and {len(reasons) - SHOWN} more"
    maps = "1 map" if len(failures) == 1 else f"{len(failures)} maps"
    return (
        f"{maps} could not be converted, all others are:\n{lines}\nrepair or remove these and repeat the "
        "command, which reads only these again; or compare the others with --allow-incomplete"
    )
