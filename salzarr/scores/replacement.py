"""Put scores in the place of earlier ones, whatever interrupts it."""

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

ROOT = "zarr.json"


def growing(url: str) -> str:
    """Say where scores are made that will take the place of others."""
    return locate(url).beside(".growing")


def replaced(url: str) -> str:
    """Say where scores are kept while others take their place."""
    return locate(url).beside(".old")


def swap(url: str) -> None:
    """Put grown scores in the place of the earlier ones: by renaming, or on an object store by copying.

    The earlier scores are gone then, and the grown ones, which hold all of them, stay where they were made
    until the copy is whole. Whenever that is interrupted, :func:`settle` begins the copy again.
    """
    if local_path(url) is None:
        remove(url)
        settle(url)
        return
    with storage_errors(url):
        os.rename(url, replaced(url))
    settle(url)


def settle(url: str) -> None:
    """Finish a swap that was interrupted, in whichever of its steps."""
    path = local_path(url)
    if path is None:
        _settle_copy(url)
        return
    if not os.path.isdir(replaced(path)):
        return
    with storage_errors(url):
        if not os.path.isdir(path):
            os.rename(growing(path), path)
        shutil.rmtree(replaced(path))


def _settle_copy(url: str) -> None:
    """Finish copying grown scores to their place, and remove what is left where they were made."""
    grown, there = attributes(growing(url)), attributes(url)
    if grown is not None and there is None and grown[schema.ATTR_COMPLETE]:
        copy(growing(url), url)
    elif grown is not None and (there is None or there["run"] != grown["run"]):
        return  # still being made, or finished and not in its place yet
    remove(growing(url))


def remove(url: str) -> None:
    """Delete a scores store, and nothing that is not one.

    Raises
    ------
    StoreExistsError
        If it is something else.
    """
    path = local_path(url)
    if path is None:
        try:
            group = zarr.open_group(zarr_store(url), mode="r+", use_consolidated=False)
        except (FileNotFoundError, KeyError):
            return
        if group.attrs.get(schema.ATTR_KIND) != schema.KIND_SCORES:
            raise StoreExistsError(f"{url} is not a store of scores, so it is not overwritten")
        # Without its plan it holds no scores any more; with its mark, what a kill leaves is known for ours.
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
    # Half of a store, after a kill, could not be told from something else: rename, then delete.
    discarded = path + ".discarded"
    shutil.rmtree(discarded, ignore_errors=True)
    os.rename(path, discarded)
    shutil.rmtree(discarded)


def copy(source: str, target: str) -> None:
    """Copy a scores store to another place on an object store; until it is whole, there is none.

    Raises
    ------
    StoreExistsError
        If there is something else.
    """
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
