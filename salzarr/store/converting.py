"""Convert: find the maps, join them by image, and fill a store with them, chunk by chunk."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import ChangedError, InputError, ShapeError, StoreExistsError, UsageError, listed
from salzarr.location import locate
from salzarr.locks import lock
from salzarr.plan import CHUNK_BYTES
from salzarr.run import Progress, run
from salzarr.schema import IMAGE, MODEL, Status
from salzarr.sources.discover import STACKED
from salzarr.sources.names import Rename
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Stamp
from salzarr.store import layout
from salzarr.store.chunk_jobs import ChunkJob, Conversion, WrittenMaps
from salzarr.store.convert_report import ConvertReport, make_report, provenance, remembered
from salzarr.store.joining import Models, NamedSource, Names, check_joins, common_size, gather, join, union
from salzarr.store.layout import MapsStore
from salzarr.store.records import add_records, blank
from salzarr.watching import watched

SHOWN = 10
"""Inputs that cannot be read which a message lists at most."""

JOURNAL_SECONDS = 2.0
"""Between two writes of the journal: what a kill loses at most."""


def convert(
    source: Any,
    store: str | os.PathLike[str],
    *,
    glob: str | None = None,
    models: Models | None = None,
    stacked: str = STACKED,
    names: Names | None = None,
    rename: Rename | None = None,
    strip_suffix: Sequence[str] = (),
    size: str | tuple[int, int] | None = None,
    resize: str = "linear",
    channel: str | int | None = None,
    dtype: str = "float32",
    append: bool = False,
    overwrite: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    progress: Progress | None = None,
) -> ConvertReport:
    """Batch the maps of many models into one chunked store.

    Runs as Dask tasks, one per chunk, on whatever scheduler or ``Client`` the caller has (threads
    otherwise). A run that was killed is taken up by the same call, and ends with the same bytes.

    Parameters
    ----------
    source : path, mapping, or xarray object
        A folder with one folder (or archive) per model, whatever lies between that and the maps; one file
        with many models; another maps store, whose facts are taken along; ``{model: array[image, y, x]}``;
        or what has a ``model`` dimension.
    store : path or URL
        Where the store is or is to be.
    glob : str, optional
        Only files whose path below the source matches are looked at, such as ``*/**/Baseline/*.npy``.
    models : mapping or sequence of str, optional
        ``{name: path}`` (below the source) instead of one folder each, ``{name: model}`` of a store; or the
        names of those wanted.
    stacked : str, default "batch_maps*.npy"
        Which ``.npy`` files are stacks, (image, H, W).
    names : path, sequence of str, or mapping of model to either, optional
        Names of the maps of stacks that have none of their own.
    rename : mapping, path of a two-column csv file, or callable, optional
        New names of images.
    strip_suffix : sequence of str
        Endings to remove from images' names, such as ``_gradcam``, so that they meet.
    size : (int, int) or "HxW", optional
        Resize all maps to this height and width.
    resize : {"linear", "nearest"}, default "linear"
        Linear equals torch's ``bilinear`` and OpenCV where it enlarges (the border is clamped), and smooths
        where it shrinks; nearest keeps the values, such as the patches of a transformer.
    channel : {"mean", "max", "abs-max"} or int, optional
        How to reduce channels, 3 or 4 at the first or last axis, to one.
    dtype : {"float32", "float64"}, default "float32"
        Of the stored maps.
    append : bool, default False
        Add models or images to a store.
    overwrite : bool, default False
        Replace a store.
    chunk_bytes : int, default 4 MiB
        About how much goes into a chunk of a new store.
    progress : callable, optional
        Called with the number of maps done, and of all. In a notebook and at a prompt a bar is shown by
        itself.

    Returns
    -------
    ConvertReport

    Raises
    ------
    InputError
        If maps cannot be read; all others have been converted then, and the same call tries just these again.
    ShapeError
        If maps differ in size and no size is given; the message is a table of the sizes.
    StoreExistsError, ChangedError, LockedError
        If the store holds other maps, was begun with other inputs or options, or is being written.
    StoreError
        If the store cannot be written, such as when the disk is full; the same call goes on.

    See Also
    --------
    create : to write maps from the loop that makes them

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> rng = np.random.default_rng(0)
    >>> maps = {"a": rng.random((5, 8, 8)), "b": rng.random((5, 8, 8))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = convert(maps, folder + "/maps.zarr")
    >>> report.models, report.images, report.shape
    (('a', 'b'), 5, (8, 8))
    """
    recipe = Recipe.of(size, channel, dtype, resize)
    url = locate(store)
    if isinstance(source, (str, os.PathLike)) and _is_same_place(os.fspath(source), url):
        raise UsageError(f"{url} is both the source and the store; choose another store")
    notices: list[str] = []
    labelled = gather(
        source, notices, glob=glob, models=models, stacked=stacked,
        names=names, rename=rename, strip_suffix=strip_suffix,
    )  # fmt: skip
    chosen = {"glob": glob, "models": models, "names": names, "rename": rename, "strip_suffix": strip_suffix}
    chosen |= {"stacked": None if stacked == STACKED else stacked}
    origin = {"source": remembered(source), "chosen": {k: remembered(v) for k, v in chosen.items() if v}}
    return write_store(
        labelled, url, recipe, origin, notices,
        append=append, overwrite=overwrite, chunk_bytes=chunk_bytes, progress=progress,
    )  # fmt: skip


def write_store(
    labelled: Sequence[NamedSource],
    url: str,
    recipe: Recipe,
    origin: dict[str, Any],
    notices: list[str],
    *,
    append: bool,
    overwrite: bool,
    chunk_bytes: int,
    progress: Progress | None,
) -> ConvertReport:
    """Write labelled maps into a new store, or what is missing of them into one that is there.

    Parameters
    ----------
    labelled : sequence of NamedSource
        The maps.
    url : str
        Of the store.
    recipe : Recipe
        How arrays become maps.
    origin : dict
        ``source``, where they come from, and ``chosen``, what was asked for; for the store's provenance.
    notices : list of str
        What a user should know; more are added.
    append, overwrite, chunk_bytes, progress
        As in :func:`convert`.

    Raises
    ------
    SalzarrError
        As :func:`convert`.
    """
    began = time.monotonic()
    with lock(url):
        store = _open_or_create(
            url, labelled, recipe, notices, append=append, overwrite=overwrite, chunk_bytes=chunk_bytes
        )
        labelled = [item.stored_as(store.shape, store.maps.dtype) for item in labelled]
        conversion = _plan(store, labelled, recipe, append=append)
        if conversion.jobs:
            with watched(progress, "Converting") as shown:
                _run(store, conversion, shown)
        report = make_report(store, conversion, notices, time.monotonic() - began)
        if conversion.jobs or not store.complete:
            earlier = store.attrs.get(schema.ATTR_PROVENANCE)
            store.finish(conversion.facts, provenance(origin, report, earlier))
    return report


def _is_same_place(source: str, url: str) -> bool:
    """Whether a source is the store that is to be written."""
    return os.path.realpath(locate(source)) == os.path.realpath(url)


def _open_or_create(
    url: str,
    labelled: Sequence[NamedSource],
    recipe: Recipe,
    notices: list[str],
    *,
    append: bool,
    overwrite: bool,
    chunk_bytes: int,
) -> MapsStore:
    """Open a store that is to be resumed or grown, or make a new one."""
    is_new = overwrite or not layout.exists(url) or layout.is_embryo(url)
    if is_new:
        shape = recipe.size or common_size(labelled, recipe)  # before anything is deleted
        if overwrite and layout.exists(url):
            layout.remove_store(url)
        models, images = [item.model for item in labelled], join(labelled)
        return layout.create_store(
            url, models, images, shape, recipe.attrs(), dtype=recipe.dtype, chunk_bytes=chunk_bytes
        )
    store = layout.open_writable(url)
    stored = store.attrs[schema.ATTR_FINGERPRINT]
    changed = [
        f"{name} was {stored.get(name)} and is now {value}"
        for name, value in recipe.attrs().items()
        if stored.get(name) != value
    ]
    if changed:
        raise ChangedError(
            f"{url} was made with other options: {', '.join(changed)}; give those, or "
            "start again with --overwrite"
        )
    old, known = set(store.names(MODEL)), set(store.names(IMAGE))
    new = [item for item in labelled if item.model not in old]
    more = {id_ for item in labelled for id_ in item.ids} - known
    if not store.complete:
        notices.append(f"{url} was unfinished; what was there has been kept")
    elif (new or more) and not append:
        raise StoreExistsError(
            f"{url} exists, and {len(new)} models and {len(more)} images are not in it; add them with "
            "--append, or start again with --overwrite"
        )
    for item in new:
        check_joins(item, list(known), url)
    if recipe.size is None and new:
        shape = common_size(new, recipe)
        if shape != store.shape:
            raise ShapeError(
                f"the new maps are {shape[0]}x{shape[1]}, those of {url} {store.shape[0]}x{store.shape[1]}; "
                "convert them all into a new store with --size"
            )
    return store


def _plan(store: MapsStore, labelled: Sequence[NamedSource], recipe: Recipe, *, append: bool) -> Conversion:
    """Compare what there is with what is wanted, and grow the store to hold it, unless that is refused.

    Raises
    ------
    ChangedError
        If inputs that were converted already have changed or gone.
    StoreExistsError
        If there are new ones for a finished store, without ``append``.
    """
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
                    facts=part.facts,
                )
            )
    if new and store.complete and not append:
        raise StoreExistsError(
            f"{store.url} exists, and {new} maps are not in it; add them with --append, or start again "
            "with --overwrite"
        )
    if conversion.jobs or not store.complete:
        store.begin()
        store.grow(all_models, all_images)
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
    """Refuse inputs that are not those converted: by their stamps, and where these differ, by their bytes."""
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


def _run(store: MapsStore, conversion: Conversion, progress: Progress | None) -> None:
    """Write all maps, noting in the journal what is finished.

    Raises
    ------
    InputError
        If inputs could not be read, once everything else is done.
    """
    failures: list[InputError] = []
    unnoted: list[NDArray[np.void]] = []
    noted, done, total = time.monotonic(), 0, conversion.maps

    def note() -> None:
        nonlocal noted
        if unnoted:
            store.journal.append(np.concatenate(unnoted))
            unnoted.clear()
        noted = time.monotonic()

    def keep(written: WrittenMaps) -> None:
        nonlocal done
        unnoted.append(written.records)
        add_records(conversion.facts, written.records)
        failures.extend(written.failures)
        if time.monotonic() - noted > JOURNAL_SECONDS:
            note()
        done += len(written.records)
        if progress:
            progress(done, total)

    try:
        run(conversion.jobs, keep, killed=lambda job, why: keep(job.failed(why)))
    finally:
        note()
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
        f"{maps} could not be converted, all others are:\n{lines}\nmend or remove these and repeat the "
        "command, which reads nothing else again; or compare what is there with --allow-incomplete"
    )
