"""The metadata of a finished store: consolidated, sealed by checksums that lie apart, and checked when read.

A flipped bit in a shape would otherwise be a wrong number that nobody sees: Zarr clips what lies outside.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import google_crc32c
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from salzarr import schema
from salzarr.errors import CorruptError, SalzarrError, storage_errors, unreachable
from salzarr.location import local_path
from salzarr.store.chunks import put
from salzarr.store.power import sync_folder

ROOT = "zarr.json"
SEAL = f"{schema.IMAGE}/.metadata.json"
"""Checksums of the metadata: in the folder of an array, where nothing that lists the store looks."""


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turn whatever Zarr and its codecs raise over a damaged store into one CorruptError."""
    try:
        with storage_errors(url):
            yield
    except SalzarrError:
        raise
    except Exception as error:
        if unreachable(error, url):
            raise
        why = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise CorruptError(f"{url} has damaged metadata or labels ({why[0]}); {REMEDY}") from error


REMEDY = "write it again with --overwrite, or restore it from a copy"


def complete(url: str, group: zarr.Group, attributes: Mapping[str, Any]) -> None:
    """Consolidate and seal the metadata, and mark the store as complete: one last write makes it visible."""
    with warnings.catch_warnings():
        # Zarr warns that other readers may not know of consolidated metadata (they need not), and of files
        # that are not its own (a .partial that a kill has left, a user's notes).
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", "Object at .* is not recognized as a component")
        zarr.consolidate_metadata(group.store)
    root = json.loads(_get(url, group.store, ROOT) or b"{}")
    root["attributes"] |= {**attributes, schema.ATTR_COMPLETE: True}
    data = json.dumps(root, indent=2).encode()
    seal = {f"{name}/{ROOT}": _get(url, group.store, f"{name}/{ROOT}") or b"" for name in _members(root)}
    sums = {key: google_crc32c.value(value) for key, value in ({ROOT: data} | seal).items()}
    put(url, group.store, SEAL, json.dumps(sums).encode())
    _remove_partials(url)
    sync_folder(url)  # all that the mark refers to
    put(url, group.store, ROOT, data, synced=True)


def _remove_partials(url: str) -> None:
    """Remove the half-written files of runs that were killed."""
    for path, _, names in os.walk(local_path(url) or ""):
        for name in names:
            if name.endswith(".partial"):
                os.unlink(os.path.join(path, name))


def check(url: str, store: Store) -> None:
    """Refuse a finished store whose metadata is not what was sealed; one that other tools wrote has no seal.

    Raises
    ------
    CorruptError
        If it was changed, or a bit has flipped.
    """
    with readable(url):
        root = json.loads(_get(url, store, ROOT) or b"{}")
        seal = _get(url, store, SEAL)
        if root.get("attributes", {}).get(schema.ATTR_COMPLETE) is False or seal is None:
            return
        changed = [key for key, crc in json.loads(seal).items() if _crc(url, store, key) != crc]
    if changed:
        raise CorruptError(f"{url} has damaged metadata: {changed[0]} is not as it was written; {REMEDY}")


def _members(root: Mapping[str, Any]) -> list[str]:
    return sorted(root.get("consolidated_metadata", {}).get("metadata", {}))


def _crc(url: str, store: Store, key: str) -> int:
    return int(google_crc32c.value(_get(url, store, key) or b""))


def _get(url: str, store: Store, key: str) -> bytes | None:
    """Read one key of a store; None if it is not there."""
    folder = local_path(url)
    if folder is not None:
        try:
            with open(os.path.join(folder, key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
    buffer = sync(store.get(key, default_buffer_prototype()))
    return None if buffer is None else buffer.to_bytes()
