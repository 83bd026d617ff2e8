"""Convert maps into a store: find them, join them by image, and write them chunk by chunk."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from salzarr import schema
from salzarr.errors import ChangedError, ShapeError, StoreExistsError, UsageError
from salzarr.invocation import call_of
from salzarr.location import locate
from salzarr.locks import lock
from salzarr.plan import CHUNK_BYTES
from salzarr.run import Progress
from salzarr.schema import IMAGE, MODEL
from salzarr.sources.names import Rename
from salzarr.sources.reading import STACKED, Findings, Models, Names, Reading
from salzarr.sources.shaping import Recipe
from salzarr.store import layout
from salzarr.store.conversion import plan_conversion, write_maps
from salzarr.store.convert_report import ConvertReport, make_report, provenance, reading_attrs, remembered
from salzarr.store.gathering import gather
from salzarr.store.joining import NamedSource, check_joins, common_size, factors_of, join
from salzarr.store.layout import MapsStore
from salzarr.watching import watched

logger = logging.getLogger(__name__)


def convert(
    source: Any,
    store: str | os.PathLike[str],
    *,
    pattern: str | None = None,
    glob: str | None = None,
    models: Models | None = None,
    array: str | None = None,
    axes: str | Sequence[str] | None = None,
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

    Runs one job per chunk, on the Dask scheduler or ``Client`` in use (threads by default). The same call
    resumes a run that was killed, and ends with the same bytes.

    Parameters
    ----------
    source : path, mapping, or xarray object
        A folder with one folder (or archive) per model, at any depth above the maps; one file with many
        models; another maps store; ``{model: array[image, y, x]}``; or xarray's, with a ``model`` dimension.
    store : path or URL
        Of the store.
    pattern : str, optional
        How the paths of the files divide into names, such as
        ``{architecture}/{method}/seed{seed}/{image}.npy``. A placeholder takes a part of a path, or a piece
        of one; ``{image:path}`` may span folders; without ``{image}`` a file is a stack. All placeholders
        but ``image`` are factors of the models: stored as coordinates along ``model``, and joined by ``/``
        to their names; ``{model}`` is only a name, and comes first.
    glob : str, optional
        Only files whose path below the source matches, such as ``*/**/Baseline/*.npy``.
    models : mapping or sequence of str, optional
        The names of the models to take; or ``{name: path}``, each model's folder or file below the source
        (in a store, its model).
    array : str, optional
        Name of the array of maps in files that hold several.
    axes : str or sequence of str, optional
        What the axes of the arrays are, such as ``image,channel,y,x``; any name but ``image``, ``channel``,
        ``y`` and ``x`` is a factor of the models.
    stacked : str, default "batch_maps*.npy"
        Name of the ``.npy`` files that are stacks (image, H, W).
    names : path, sequence of str, or mapping of model to either, optional
        Names of the images of stacks that have none.
    rename : mapping, path of a two-column csv file, or callable, optional
        New names of images.
    strip_suffix : sequence of str
        Endings to remove from the names of images, such as ``_gradcam``, so that they match.
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
        Approximate size of a chunk of a new store.
    progress : callable, optional
        ``progress(done, total)``, in maps. Notebooks and prompts show a bar by default.

    Returns
    -------
    ConvertReport

    Raises
    ------
    InputError
        If maps cannot be read; all others are converted, and the same call tries only these again.
    ShapeError
        If maps differ in size and no size is given; the message is a table of the sizes.
    StoreExistsError, ChangedError, LockedError
        If the store holds other maps, was made from other inputs or with other options, or is in use.
    StoreError
        If the store cannot be written, such as on a full disk; the same call resumes.

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
    called = call_of(convert, locals())
    reading = Reading.of(
        pattern=pattern, glob=glob, models=models, array=array, axes=axes, stacked=stacked,
        names=names, rename=rename, strip_suffix=strip_suffix,
    )  # fmt: skip
    recipe = Recipe.of(size, channel, dtype, resize, reading.map_axes)
    url = locate(store)
    if isinstance(source, (str, os.PathLike)) and _is_same_place(os.fspath(source), url):
        raise UsageError(f"{url} is both the source and the store; choose another store")
    findings = Findings()
    sources = gather(source, replace(reading, but=url), findings)
    origin = {"source": remembered(source), "chosen": reading_attrs(reading), "command": called}
    began = time.monotonic()
    with lock(url):
        opened = _open_or_create(url, sources, recipe, append, overwrite, chunk_bytes)
        sources = [source.stored_as(opened.shape, opened.maps.dtype) for source in sources]
        conversion = plan_conversion(opened, sources, recipe, append=append)
        if conversion.jobs:
            with watched(progress, "Converting") as shown:
                write_maps(opened, conversion, shown)
        report = make_report(opened, conversion, findings.lost, time.monotonic() - began)
        if conversion.jobs or not opened.complete:
            earlier = opened.attrs.get(schema.ATTR_PROVENANCE)
            opened.finish(conversion.facts, provenance(origin, report, earlier))
    return report


def _is_same_place(source: str, url: str) -> bool:
    """Whether a source is the store that is to be written."""
    return os.path.realpath(locate(source)) == os.path.realpath(url)


def _open_or_create(
    url: str, sources: Sequence[NamedSource], recipe: Recipe, append: bool, overwrite: bool, chunk_bytes: int
) -> MapsStore:
    """Open a store that is to be resumed or grown, or make a new one."""
    is_new = overwrite or not layout.exists(url) or layout.is_embryo(url)
    if is_new:
        shape = common_size(sources, recipe)  # before anything is deleted
        if overwrite and layout.exists(url):
            layout.remove_store(url)
        models, images = [item.model for item in sources], join(sources)
        return layout.create_store(
            url, models, images, shape, recipe.attrs(),
            factors=factors_of(models, sources, {}), dtype=recipe.dtype, chunk_bytes=chunk_bytes,
        )  # fmt: skip
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
    new = [item for item in sources if item.model not in old]
    more = {id_ for item in sources for id_ in item.ids} - known
    if not store.complete:
        logger.info("%s", f"{url} was unfinished; its maps are kept")
    elif (new or more) and not append:
        raise StoreExistsError(
            f"{url} exists, and {len(new)} models and {len(more)} images are not in it; add them with "
            "--append, or start again with --overwrite"
        )
    for item in new:
        check_joins(item, list(known), url)
    if new:
        shape = common_size(new, recipe)
        if shape != store.shape:
            raise ShapeError(
                f"the new maps are {shape[0]}x{shape[1]}, those of {url} {store.shape[0]}x{store.shape[1]}; "
                "convert them all into a new store with --size"
            )
    return store
