"""Put new scores in the place of earlier ones, so that a kill at any moment loses neither."""

from __future__ import annotations

import json
import os
import shutil

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import collect_aiterator, sync

from salzarr import schema
from salzarr.errors import StoreExistsError
from salzarr.location import local_path, locate, names_in, zarr_store
from salzarr.scores.score_store import attributes, create_group
from salzarr.store import storage_errors
from salzarr.store.metadata import ROOT

DISCARDED = ".discarded"


def growing(url: str) -> str:
    """Where scores are made that will replace those at a URL."""
    return locate(url).beside(".growing")


def replaced(url: str) -> str:
    """Where the earlier scores are kept during a swap."""
    return locate(url).beside(".old")


def swap(url: str) -> None:
    """Replace the scores at a URL by the grown ones: by renaming, or on an object store by copying.

    The grown scores hold all of the earlier ones and stay until the copy is whole; :func:`settle` resumes it.
    """
    if local_path(url) is None:
        remove(url)
        settle(url)
        return
    with storage_errors(url):
        os.rename(url, replaced(url))
    settle(url)


def settle(url: str) -> None:
    """Finish a swap that was interrupted, at whichever step."""
    path = local_path(url)
    if path is None:
        _settle_copy(url)
        return
    for place in (path, growing(path)):
        shutil.rmtree(place + DISCARDED, ignore_errors=True)  # of a removal that was killed
    if not os.path.isdir(replaced(path)):
        return
    with storage_errors(url):
        if not os.path.isdir(path):
            os.rename(growing(path), path)
        shutil.rmtree(replaced(path))


def _settle_copy(url: str) -> None:
    """Finish copying grown scores to their place, and remove the originals."""
    grown, there = attributes(growing(url)), attributes(url)
    if grown is not None and there is None and grown[schema.ATTR_COMPLETE]:
        copy(growing(url), url)
    elif grown is not None and (there is None or there["run"] != grown["run"]):
        return  # still being made, or finished and not in its place yet
    remove(growing(url))


def remove(url: str) -> None:
    """Delete a scores store; refuse to delete anything else."""
    path = local_path(url)
    if path is None:
        try:
            group = zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False)
        except (FileNotFoundError, KeyError):
            return
        if group.attrs.get(schema.ATTR_KIND) != schema.KIND_SCORES:
            raise StoreExistsError(f"{url} is not a store of scores, so it is not overwritten")
        # The plan goes first, the mark last: after a kill, the rest is still known to be ours.
        group.attrs.put({schema.ATTR_KIND: schema.KIND_SCORES})
        for name in names_in(group.store):
            if name != ROOT:
                sync(group.store.delete_dir(name))
        sync(group.store.delete(ROOT))
        return
    if not os.path.lexists(path):
        return
    if os.path.isdir(path) and all(name.endswith(".partial") for name in os.listdir(path)):
        shutil.rmtree(path)  # killed while it was made
        return
    try:
        with open(os.path.join(path, "zarr.json")) as file:
            kind = json.load(file).get("attributes", {}).get(schema.ATTR_KIND)
    except (OSError, ValueError):
        kind = None
    if kind != schema.KIND_SCORES:
        raise StoreExistsError(
            f"{url} is not a store of scores, so it is not overwritten; move it away yourself"
        )
    # Renamed first: half of a store, after a kill, could be anything.
    discarded = path + DISCARDED
    shutil.rmtree(discarded, ignore_errors=True)
    os.rename(path, discarded)
    shutil.rmtree(discarded)


def copy(source: str, target: str) -> None:
    """Copy a scores store on an object store; the copy counts as one only when it is whole."""
    from zarr.core.common import concurrent_map

    with storage_errors(target):
        remove(target)
        old = zarr.open_group(zarr_store(source), mode="r", use_consolidated=False).store
        new = create_group(target).store

        async def one(key: str) -> None:
            found = await old.get(key, default_buffer_prototype())
            if found is not None:
                await new.set(key, found)

        keys = [(key,) for key in collect_aiterator(old.list()) if key != ROOT]
        sync(concurrent_map(keys, one, limit=zarr.config.get("async.concurrency")))
        sync(one(ROOT))
