"""Convert: find the maps, join them by image, and fill a store with them, chunk by chunk."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import numpy as np

from salzarr import layout, schema
from salzarr._version import __version__
from salzarr.errors import (
    ChangedError,
    InputError,
    InputNotFoundError,
    ShapeError,
    StoreExistsError,
)
from salzarr.filling import Piece, checksum, fill
from salzarr.locks import lock
from salzarr.schema import Status
from salzarr.sources import FORMATS
from salzarr.sources.discover import STACKED, Entry, Tree, select_models
from salzarr.sources.memory import Arrays
from salzarr.sources.names import clean, duplicates, read_names, relabel, renamer
from salzarr.sources.shaping import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from salzarr.layout import Writable
    from salzarr.sources.names import Rename
    from salzarr.sources.source import Source, Stamp

log = logging.getLogger(__name__)

BATCH = 32
"""Chunks that are handed to Dask at a time: enough to keep workers busy, and what a kill loses at most."""

SHOWN = 10
"""Files that an error lists at most."""

Names = Mapping[str, Any] | str | os.PathLike[str] | None


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    Attributes
    ----------
    store : str
        Where the maps are now.
    models : tuple of str
        All models of the store.
    images : int
        Images of the store.
    shape : (int, int)
        Height and width of the maps.
    written : int
        Maps that this run wrote.
    missing : dict of str to int
        Of each model that lacks images which others have, how many.
    extra : dict of str to int
        Of each model that has images which no other has, how many.
    non_finite, constant, resized : int
        Maps with a NaN or infinity, with a single value (all-zero ones too), of another size at first.
    bytes : int
        Of the maps that this run wrote, uncompressed.
    seconds : float
        It took.
    notices : tuple of str
        What a user should know.
    """

    store: str
    models: tuple[str, ...]
    images: int
    shape: tuple[int, int]
    written: int
    missing: dict[str, int]
    extra: dict[str, int]
    non_finite: int
    constant: int
    resized: int
    bytes: int
    seconds: float
    notices: tuple[str, ...] = ()

    @property
    def degenerate(self) -> int:
        """Maps that some metrics cannot score."""
        return self.non_finite + self.constant


@dataclass(frozen=True)
class Labelled:
    """A source and the ids that its maps have in the store."""

    model: str
    ids: tuple[str, ...]
    source: Source


@dataclass
class Plan:
    """What is to be done: the axes of the store, and which pieces are to be filled."""

    models: list[str]
    images: list[str]
    pieces: list[Piece] = field(default_factory=list)
    maps: int = 0


def convert(
    source: Any,
    store: str | os.PathLike[str],
    *,
    glob: str | None = None,
    models: Mapping[str, str | os.PathLike[str]] | Sequence[str] | None = None,
    stacked: str = STACKED,
    names: Names | Sequence[str] = None,
    rename: Rename | None = None,
    strip_suffix: Sequence[str] = (),
    size: str | tuple[int, int] | None = None,
    channel: str | int | None = None,
    dtype: str = "float32",
    append: bool = False,
    overwrite: bool = False,
    chunk_bytes: int = layout.CHUNK_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> ConvertReport:
    """Batch the maps of many models into one chunked store.

    Runs as Dask tasks, one per chunk, on whatever scheduler or ``Client`` the caller has (threads
    otherwise). A run that was killed is taken up by the same call, and ends with the same bytes.

    Parameters
    ----------
    source : path, mapping, or array
        A folder with one folder per model, whatever lies between that and the maps; one file that holds
        many models; ``{model: array[image, y, x]}``; or an xarray object with a ``model`` dimension.
    store : path or URL
        Where the store is or is to be.
    glob : str, optional
        Only files whose path below the source matches are looked at, such as ``*/**/Baseline/*.npy``.
    models : mapping or sequence of str, optional
        ``{name: path}`` (relative to the source) instead of one folder each, or the names of those wanted.
    stacked : str, default "batch_maps*.npy"
        Which ``.npy`` files are stacks, (image, H, W).
    names : path, sequence of str, or mapping of model to either, optional
        Names of the maps of stacks that have none beside them.
    rename : mapping, path of a two-column csv file, or callable, optional
        New names of images.
    strip_suffix : sequence of str
        Endings to remove from images' names, such as ``_gradcam``, so that they meet.
    size : (int, int) or "HxW", optional
        Resize all maps to this height and width (linear, smoothed where they shrink).
    channel : {"mean", "max", "abs-max"} or int, optional
        What to make of channels.
    dtype : {"float32", "float64"}, default "float32"
        Of the stored maps.
    append : bool, default False
        Add models or images to a store.
    overwrite : bool, default False
        Replace a store.
    chunk_bytes : int, default 4 MiB
        About how much goes into a chunk of a new store.
    progress : callable, optional
        Called with the number of maps done, and of all.

    Returns
    -------
    ConvertReport

    Raises
    ------
    InputError
        If maps cannot be read; all others have been converted then, and the same call goes on.
    ShapeError
        If maps differ in size and no size is given; the message is a table of the sizes.
    StoreExistsError, ChangedError, LockedError
        If the store holds other maps, was begun with other inputs or options, or is being written.

    Examples
    --------
    >>> import numpy as np, salzarr, tempfile
    >>> rng = np.random.default_rng(0)
    >>> maps = {"a": rng.random((5, 8, 8)), "b": rng.random((5, 8, 8))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = convert(maps, folder + "/maps.zarr")
    >>> report.models, report.images, report.shape
    (('a', 'b'), 5, (8, 8))
    """
    began = time.monotonic()
    url = layout.url_of(store)
    recipe = Recipe.of(size, channel, dtype)
    notices: list[str] = []
    entries = find(source, notices, glob=glob, models=models, stacked=stacked, names=names)
    labelled = label(entries, strip_suffix, rename)
    with lock(url):
        opened = _open_or_create(
            url, labelled, recipe, notices, append=append, overwrite=overwrite, chunk_bytes=chunk_bytes
        )
        facts, plan = _plan(opened, labelled, append=append)
        if plan.pieces or not opened.attrs[schema.ATTR_COMPLETE]:
            _run(opened, plan, facts, recipe, progress)
        report = _report(url, opened, facts, plan, notices, time.monotonic() - began)
        provenance = {
            "source": str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__,
            "salzarr": __version__,
            "notices": notices,
        }
        opened.finish(provenance)
    return report


def find(
    source: Any,
    notices: list[str],
    *,
    glob: str | None = None,
    models: Mapping[str, str | os.PathLike[str]] | Sequence[str] | None = None,
    stacked: str = STACKED,
    names: Names | Sequence[str] = None,
) -> list[Entry]:
    """Find the models of a source; the parameters are those of :func:`convert`.

    Raises
    ------
    InputNotFoundError
        If there are none.
    """
    given = _names(names)
    wanted = [models] if isinstance(models, str) else models
    if isinstance(source, (str, os.PathLike)):
        root = os.fspath(source)
        tree = Tree(FORMATS, glob, stacked, given, notices)
        if not os.path.isdir(root):
            raise InputNotFoundError(f"{root} is not a folder; give the one that holds the models' folders")
        if isinstance(wanted, Mapping):
            return [
                e
                for name, path in wanted.items()
                for e in tree.model(name, os.path.join(root, os.fspath(path)))
            ]
        entries = tree.models(root)
    else:
        entries = [
            Entry(str(name), Arrays.of(str(name), values, given.get(str(name), given.get(""))))
            for name, values in dict(source).items()
        ]
    return select_models(entries, wanted) if wanted else entries  # type: ignore[arg-type]


def _names(names: Names | Sequence[str]) -> dict[str, list[str]]:
    """Return names by model, "" standing for all."""
    if names is None:
        return {}
    table = names if isinstance(names, Mapping) else {"": names}
    return {
        model: read_names(of) if isinstance(of, (str, os.PathLike)) else [str(name) for name in of]
        for model, of in table.items()
    }


def label(
    entries: Sequence[Entry], strip_suffix: Sequence[str] = (), rename: Rename | None = None
) -> list[Labelled]:
    """Give every map the id that it has in the store, and refuse what cannot be joined by it.

    Raises
    ------
    InputError
        If a model has two maps of one image, two models have one name, or maps without names would be
        joined with others by position.
    """
    new_name = renamer(rename)
    labelled = []
    for entry in entries:
        source = entry.source
        ids = relabel(source.ids, strip_suffix, new_name) if source.named else source.ids
        for twice in duplicates(ids)[:1]:
            origins = [origin for origin, id_ in zip(source.origins(), ids, strict=True) if id_ == twice]
            raise InputError(
                f"{entry.model} has several maps of image {twice!r}: {', '.join(origins[:3])}; rename or remove all but one"
            )
        labelled.append(Labelled(clean(entry.model), ids, source))
    for twice in duplicates(item.model for item in labelled):
        raise InputError(f"two models are called {twice!r}; rename one")
    for item in labelled:
        if not item.source.named:
            for other in labelled:
                _check_joins(item, set(other.ids), f"{other.model} has {len(other.ids)} others")
    return labelled


def _check_joins(item: Labelled, ids: set[str], others: str) -> None:
    """Refuse to join maps without names with others by position."""
    if set(item.ids) != ids:
        raise InputError(
            f"{item.source.origins()[0].split('[')[0]} ({item.model}) holds {len(item.ids)} maps without names and {others}, so they cannot be joined; give their names with --names FILE, or a text file beside it"
        )


def _open_or_create(
    url: str,
    labelled: Sequence[Labelled],
    recipe: Recipe,
    notices: list[str],
    *,
    append: bool,
    overwrite: bool,
    chunk_bytes: int,
) -> Writable:
    """Open a store that is to be resumed or grown, or make a new one."""
    if overwrite and layout.exists(url):
        layout.remove_store(url)
    if not layout.exists(url):
        shape = recipe.size or common_shape(labelled, recipe)
        return layout.create_store(
            url, [item.model for item in labelled], union([item.ids for item in labelled]), shape,
            recipe.attrs(), dtype=recipe.dtype, chunk_bytes=chunk_bytes,
        )  # fmt: skip
    opened = layout.open_writable(url)
    stored = opened.attrs[schema.ATTR_FINGERPRINT]
    changed = [
        f"{name} was {stored.get(name)} and is {value}"
        for name, value in recipe.attrs().items()
        if stored.get(name) != value
    ]
    if changed:
        raise ChangedError(
            f"{url} was made with other options: {', '.join(changed)}; give the same, or --overwrite"
        )
    if not opened.attrs[schema.ATTR_COMPLETE]:
        notices.append(f"{url} was unfinished and has been taken up")
    elif not append:
        known = set(opened.models), set(opened.images)
        new = (
            [i.model for i in labelled if i.model not in known[0]],
            {id_ for i in labelled for id_ in i.ids} - known[1],
        )
        if new[0] or new[1]:
            raise StoreExistsError(
                f"{url} exists, and {len(new[0])} models and {len(new[1])} images would be new; add them with --append, or start again with --overwrite"
            )
    if recipe.size is None:
        shape = common_shape(
            [item for item in labelled if item.model not in opened.models] or labelled[:1], recipe
        )
        if shape != opened.shape:
            raise ShapeError(
                f"the maps have size {shape[0]}x{shape[1]}, those of {url} {opened.shape[0]}x{opened.shape[1]}"
            )
    return opened


def union(ids: Sequence[Sequence[str]]) -> list[str]:
    """Join ids: in order of their names if each list is so, else as they come.

    >>> union([["a", "c"], ["b", "c"]]), union([["c", "a"], ["b"]])
    (['a', 'b', 'c'], ['c', 'a', 'b'])
    """
    joined = list(dict.fromkeys(id_ for part in ids for id_ in part))
    return sorted(joined) if all(list(part) == sorted(part) for part in ids) else joined


def common_shape(labelled: Sequence[Labelled], recipe: Recipe) -> tuple[int, int]:
    """Return the size that all maps have, from their headers.

    Raises
    ------
    ShapeError
        If there are several; the message is a table of them.
    """
    sizes: dict[str, Counter[tuple[int, int]]] = {}
    with ThreadPoolExecutor() as pool:
        for item, shapes in zip(labelled, pool.map(lambda item: item.source.shapes(), labelled), strict=True):
            counts = Counter(shapes)
            first = {shape: item.source.origins()[shapes.index(shape)] for shape in counts}
            sizes[item.model] = Counter()
            for shape, count in counts.items():
                sizes[item.model][recipe.shape(shape, first[shape])] += count
    total = sum(sizes.values(), Counter())
    if len(total) > 1:
        width = max(map(len, sizes))
        rows = [
            f"  {model:{width}}  " + ", ".join(f"{h}x{w} ({n} maps)" for (h, w), n in found.most_common())
            for model, found in sizes.items()
        ]
        h, w = total.most_common(1)[0][0]
        raise ShapeError(
            "\n".join(
                ["the maps have different sizes:", *rows, f"resize them to one, such as --size {h}x{w}"]
            )
        )
    return next(iter(total))


def _plan(opened: Writable, labelled: Sequence[Labelled], *, append: bool) -> tuple[NDArray[np.void], Plan]:
    """Compare what there is with what is wanted, and grow the store to hold it.

    Raises
    ------
    ChangedError
        If inputs that were converted already have changed or gone.
    """
    models, images = opened.models, opened.images
    plan = Plan([*models, *(i.model for i in labelled if i.model not in set(models))], images)
    have = set(images)
    plan.images = images + [id_ for id_ in union([item.ids for item in labelled]) if id_ not in have]
    if (plan.models, plan.images) != (models, images):
        opened.begin()
        opened.grow(plan.models, plan.images)
    facts = opened.read_facts()
    rows, columns = ({name: at for at, name in enumerate(names)} for names in (plan.models, plan.images))
    per_chunk = opened.maps.chunks[1]
    for item in labelled:
        model = rows[item.model]
        places = np.array([columns[id_] for id_ in item.ids])
        stamps = item.source.stamps()
        done = facts["map_status"][model] & Status.MISSING == 0
        done &= np.repeat(
            [opened.has_chunk(model, block) for block in range(-(-done.size // per_chunk))], per_chunk
        )[: done.size]
        _check_unchanged(opened.url, item, stamps, facts[model], places, done, append=append)
        todo = [position for position in np.argsort(places, kind="stable") if not done[places[position]]]
        blocks: dict[int, list[int]] = {}
        for position in todo:
            blocks.setdefault(int(places[position]) // per_chunk, []).append(int(position))
        for block, positions in blocks.items():
            slots = tuple(int(places[position]) % per_chunk for position in positions)
            keep = bool(done[block * per_chunk : (block + 1) * per_chunk].any())
            part = item.source.select(positions)
            plan.pieces.append(Piece(model, block, slots, part, tuple(stamps[p] for p in positions), keep))
        plan.maps += len(todo)
    return facts, plan


def _check_unchanged(
    url: str,
    item: Labelled,
    stamps: Sequence[Stamp],
    facts: NDArray[np.void],
    places: NDArray[np.int64],
    done: NDArray[np.bool_],
    *,
    append: bool,
) -> None:
    """Refuse inputs that are not those which were converted: by their stamps, and where these differ, their bytes."""
    there = np.zeros(done.size, bool)
    there[places] = True
    gone = np.flatnonzero(done & ~there)
    if gone.size and not append:
        raise ChangedError(
            f"{url} holds {gone.size} maps of {item.model} that are no longer in the source; put them back, or start again with --overwrite"
        )
    known = np.array(stamps)
    differ = done[places] & (
        (known[:, 0] != facts["source_size"][places])
        | (known[:, 1] != facts["source_mtime"][places])
        | (known[:, 1] < 0)
    )
    suspects = np.flatnonzero(differ)
    part = item.source.select(suspects.tolist())
    changed = [
        origin for place, origin, raw in zip(places[suspects], part.origins(), part.read(), strict=True)
        if checksum(raw) != facts["source_crc"][place]
    ]  # fmt: skip
    if changed:
        raise ChangedError(
            f"{len(changed)} inputs changed since {url} was written: {_listed(changed)}; start again with --overwrite"
        )


def _listed(items: Sequence[str]) -> str:
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _run(
    opened: Writable,
    plan: Plan,
    facts: NDArray[np.void],
    recipe: Recipe,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Fill all pieces, noting in the journal what is finished, and write the facts in the end.

    Raises
    ------
    InputError
        If inputs could not be read, once everything else is done.
    """
    opened.begin()
    failures: list[InputError] = []
    done = 0
    for batch in _batches(plan.pieces, BATCH):
        # A call without arguments, or Dask would look through every field of every piece for collections.
        tasks = [dask.delayed(partial(fill, piece, opened.maps, recipe), pure=False)() for piece in batch]
        results = dask.compute(*tasks)
        records = np.concatenate([result.records for result in results])
        failures += [result.failure for result in results if result.failure]
        opened.journal.append(records)
        for name in layout.FACT.names or ():
            facts[name][records["model"], records["image"]] = records[name]
        done += sum(len(piece.slots) for piece in batch)
        if progress:
            progress(done, plan.maps)
    if failures:
        lines = "\n".join(f"  {failure}" for failure in failures[:SHOWN])
        raise InputError(
            f"{len(failures)} inputs could not be converted, everything else has been:\n{lines}\n"
            f"mend or remove them and repeat the command, which goes on from here"
        )
    opened.write_facts(facts, range(len(plan.models)))


def _batches(items: Sequence[Piece], size: int) -> Iterator[Sequence[Piece]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _report(
    url: str, opened: Writable, facts: NDArray[np.void], plan: Plan, notices: Sequence[str], seconds: float
) -> ConvertReport:
    """Count what there is in the store now."""
    status = facts["map_status"]
    there = status & Status.MISSING == 0
    owners = there.sum(axis=0)
    missing = {model: int((~there[row] & (owners > 0)).sum()) for row, model in enumerate(plan.models)}
    extra = (
        {model: int((there[row] & (owners == 1)).sum()) for row, model in enumerate(plan.models)}
        if len(plan.models) > 1
        else {}
    )
    height, width = opened.shape
    return ConvertReport(
        store=url,
        models=tuple(plan.models),
        images=len(plan.images),
        shape=(height, width),
        written=plan.maps,
        missing={model: count for model, count in missing.items() if count},
        extra={model: count for model, count in extra.items() if count},
        non_finite=int((status & Status.NON_FINITE > 0).sum()),
        constant=int((there & (facts["map_min"] == facts["map_max"])).sum()),
        resized=int((status & Status.RESIZED > 0).sum()),
        bytes=plan.maps * height * width * opened.maps.dtype.itemsize,
        seconds=seconds,
        notices=tuple(notices),
    )
