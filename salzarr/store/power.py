"""What must survive a power cut is on the disk before anything refers to it."""

from __future__ import annotations

import os
from collections.abc import Iterable

from salzarr.location import local_path


def sync_files(paths: Iterable[str]) -> None:
    """Wait until local files, and the entries of their folders, are on the disk."""
    paths = list(paths)
    for path in (*paths, *sorted({os.path.dirname(path) for path in paths})):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sync_folder(url: str) -> None:
    """Wait until all files of a local store are on the disk; what is there already costs next to nothing."""
    folder = local_path(url)
    if folder is None:
        return
    for path, folders, names in os.walk(folder):
        sync_files(os.path.join(path, name) for name in names)
        sync_files(os.path.join(path, name, "") for name in folders)
    sync_files([os.path.join(folder, "")])
