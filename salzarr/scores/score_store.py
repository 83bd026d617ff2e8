"""The scores store: created, written by blocks of images, finished.

One chunk holds all pairs of one block of images and has one writer. The reasons of a metric are written after
its values: a chunk of reasons that exists means that the metric is done on that block.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from salzarr import schema
from salzarr._version import __version__
from salzarr.errors import CorruptError, StoreExistsError
from salzarr.location import check_bucket, is_object_store, locate, names_in, zarr_store
from salzarr.maps import StoreMaps
from salzarr.metrics import Metric
from salzarr.schema import IMAGE, MODEL, PAIR, REASON_DTYPE, Reason, reason_name
from salzarr.scores.assembly import coordinates, label_coordinates
from salzarr.scores.label_store import ATTR_LABELS, are_equal, label_names, storable, write_label
from salzarr.scores.request import Request
from salzarr.scores.scoring import Scores, fields
from salzarr.store import metadata, storage_errors
from salzarr.store.chunks import put, seal

ATTR_PLAN = "plan"
ATTR_MODELS = "models"
ATTR_FAILED = "failed"
"""Positions of images that could not be scored."""
INPUT_CRC = "input_crc"
"""Checksums of the maps that were compared, (model, image): what a resume is checked against."""
COMPRESSOR = Zstd(level=1)
"""Of scores and reasons; a crc32c stands behind it."""


def create(url: str, request: Request, crc: NDArray[np.uint32], plan: Mapping[str, Any]) -> str:
    """Create a scores store without scores where nothing is; return a name for it that no other has.

    Its plan is written last; ``crc`` are the checksums of the maps, (model, image).
    """
    run = uuid.uuid4().hex
    pairs, images, maps = len(request.pairs), len(request.images), request.maps
    assert isinstance(maps, StoreMaps)
    with storage_errors(url):
        group = create_group(url)
        for metric in request.metrics:
            for field in fields(metric):
                group.create_array(
                    field.name, shape=(pairs, images), chunks=(pairs, min(plan["block"], images)),
                    dtype=field.dtype, fill_value=field.fill, dimension_names=(PAIR, IMAGE),
                    compressors=[ZstdCodec(level=COMPRESSOR.level), Crc32cCodec()],
                    attributes=dict(field.attrs),
                )  # fmt: skip
        models = {MODEL: (MODEL, np.array(request.models, object))}
        for name, (dim, values) in (coordinates(request) | models).items():
            write_label(group, name, dim, values)
        array = group.create_array(
            INPUT_CRC, shape=crc.shape, chunks=(1, crc.shape[1]), dtype="uint32",
            dimension_names=(MODEL, IMAGE), compressors=[ZstdCodec(level=3), Crc32cCodec()],
        )  # fmt: skip
        array[:] = crc
        group.attrs.update(
            {
                schema.ATTR_FORMAT: schema.FORMAT_VERSION,
                schema.ATTR_VERSION: __version__,
                schema.ATTR_PROVENANCE: json.dumps(provenance(plan, f"{locate(maps.url)}"), sort_keys=True),
                schema.ATTR_COMPLETE: False,
                ATTR_FAILED: [],
                ATTR_MODELS: list(request.models),
                # For xarray: variables that are labels.
                "coordinates": " ".join([schema.MODEL_A, schema.MODEL_B, *label_coordinates(request)]),
                ATTR_LABELS: list(label_coordinates(request)),
                "run": run,
                ATTR_PLAN: dict(plan),
                **request.notes,
            }
        )
    return run


def update_labels(url: str, run: str, request: Request) -> bool:
    """Write the labels of a request beside its scores where they differ; return whether any did."""
    opened = arrays(url, run)
    changed = {
        name: (dim, values)
        for name, (dim, values) in label_coordinates(request).items()
        if name not in opened or not are_equal(np.asarray(opened[name][:]), storable(values))
    }
    noted = request.notes.get(schema.ATTR_WHERE, "")
    renoted = noted != (attributes(url) or {}).get(schema.ATTR_WHERE, noted)
    if changed or renoted:
        begin(url)
        with storage_errors(url):
            group = zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False)
            for name, (dim, values) in changed.items():
                write_label(group, name, dim, values)
            names = list(dict.fromkeys([*label_names(group.attrs), *changed]))
            group.attrs[ATTR_LABELS] = names
            group.attrs["coordinates"] = " ".join([schema.MODEL_A, schema.MODEL_B, *names])
            if noted:
                group.attrs[schema.ATTR_WHERE] = noted
        arrays.cache_clear()
    return bool(changed or renoted)


def create_group(url: str) -> zarr.Group:
    """Create a group that is marked as scores before it holds anything else."""
    store = zarr_store(url)
    if is_object_store(url) and names_in(store):
        raise StoreExistsError(f"{url} holds other objects; choose another place for the scores")
    return zarr.create_group(store, attributes={schema.ATTR_KIND: schema.KIND_SCORES})


@functools.lru_cache(maxsize=8)
def arrays(url: str, run: str) -> dict[str, zarr.Array[Any]]:
    """Open a scores store for writing, once per process; ``run`` tells apart stores at the same place."""
    # Zarr leaves out chunks that are all fill value, unless told so when an array is opened: a block whose
    # scores are all NaN would look like one that was never scored.
    with zarr.config.set({"array.write_empty_chunks": True}), metadata.readable(url):
        return dict(zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False).arrays())


def write(url: str, run: str, images: slice, found: Scores) -> None:
    """Write all pairs of one block of images, one chunk each; the reasons of each metric last."""
    opened = arrays(url, run)
    with storage_errors(url):
        for name, values in sorted(found.items(), key=lambda item: item[1].dtype == REASON_DTYPE):
            array = opened[name]
            chunk = np.full(array.chunks, array.fill_value, array.dtype)
            chunk[..., : values.shape[-1]] = values
            key = f"{_chunk_folder(array)}/{images.start // chunk.shape[-1]}"
            put(url, array.store, key, seal(COMPRESSOR.encode(chunk)), synced=True)


def read(url: str, run: str, names: Iterable[str], images: slice) -> Scores:
    """Read all pairs of a block of images."""
    opened = arrays(url, run)
    with storage_errors(url):
        return {name: np.asarray(opened[name][..., images]) for name in names}


def attributes(url: str) -> dict[str, Any] | None:
    """Read the attributes of a scores store; None if there is no store with a plan."""
    with metadata.readable(url):
        try:
            group = zarr.open_group(zarr_store(url), mode="r", use_consolidated=False)
        except (FileNotFoundError, KeyError):
            check_bucket(url)
            return None
    found = dict(group.attrs)
    if found.get(schema.ATTR_KIND) == schema.KIND_SCORES and ATTR_PLAN not in found:
        return None  # killed before there was a plan
    schema.check(found, schema.KIND_SCORES, url)
    metadata.check(url, group.store)
    return found


def done(url: str, run: str, metrics: Iterable[Metric]) -> dict[str, set[int]]:
    """Return the blocks on which each metric is done: every pair has a reason, and none is FAILED."""
    opened = arrays(url, run)
    found = {}
    with storage_errors(url):
        for metric in metrics:
            reasons = opened[reason_name(metric.variables[-1])]  # written last
            found[metric.slug] = {
                int(name)
                for name in _chunk_names(reasons)
                if name.isdecimal() and _is_good(reasons, int(name))
            }
    return found


def _is_good(reasons: zarr.Array[Any], block: int) -> bool:
    """Whether a chunk of reasons can be read, and none of them is FAILED."""
    size = reasons.chunks[1]
    try:
        return not (np.asarray(reasons[:, block * size : (block + 1) * size]) == Reason.FAILED).any()
    except (ValueError, RuntimeError):  # damaged: scored again
        return False


def begin(url: str) -> None:
    """Mark a store as unfinished, which drops its consolidated metadata."""
    with storage_errors(url):
        zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False).attrs[schema.ATTR_COMPLETE] = (
            False
        )


def finish(url: str, failed: list[int], work: Mapping[str, int]) -> None:
    """Mark a store as complete, last of all: ``failed`` images by position, ``work`` that this run did."""
    with storage_errors(url):
        group = zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False)
        provenance = json.loads(str(group.attrs[schema.ATTR_PROVENANCE]))
        provenance["runs"] = [*provenance.get("runs", []), dict(work)]
        told = {schema.ATTR_PROVENANCE: json.dumps(provenance, sort_keys=True), ATTR_FAILED: failed}
        metadata.complete(url, group, told)


def provenance(plan: Mapping[str, Any], typed: str) -> dict[str, Any]:
    """Return where the scores come from, for people; ``typed`` is the maps' place as it was given."""
    versions = {name: version(name) for name in ("numpy", "zarr", "dask", "xarray", "numba", "scipy")}
    maps = {"url": plan["maps"], "typed": typed, "options": plan["options"]}
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    return {"maps": maps, "salzarr": __version__, "versions": versions, "begun": begun}


def _chunk_folder(array: zarr.Array[Any]) -> str:
    """Folder of an array's chunks: each has all pairs, and they are numbered along the images."""
    return "/".join([array.path, "c", *("0" for _ in array.shape[:-1])])


def _chunk_names(array: zarr.Array[Any]) -> set[str]:
    """List the chunks of an array along its images."""
    return set(names_in(array.store, _chunk_folder(array)))


def check_chunks(url: str, run: str, metrics: Iterable[Metric], blocks: int) -> None:
    """Refuse a store that is marked as complete and has lost chunks, which would read as NaN."""
    opened = arrays(url, run)
    for metric in metrics:
        for field in fields(metric):
            names = _chunk_names(opened[field.name])
            lost = [block for block in range(blocks) if str(block) not in names]
            if lost:
                chunk = f"{_chunk_folder(opened[field.name])}/{lost[0]}"
                more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
                raise CorruptError(
                    f"{url} has lost chunk {chunk}{more}; give the same command with --overwrite"
                )
