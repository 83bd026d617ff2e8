"""The results folder: where its scores are, and who may write into it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import CorruptError, IncompleteError, StoreExistsError, StoreNotFoundError, UsageError
from salzarr.location import Location, local_path, locate, zarr_store
from salzarr.locks import lock
from salzarr.schema import REASON_DTYPE
from salzarr.scores.label_store import label_names
from salzarr.scores.replacement import growing
from salzarr.scores.score_store import ATTR_PLAN, INPUT_CRC, attributes
from salzarr.store.metadata import readable

SCORES = "scores.zarr"
ELSEWHERE = "scores.url"
"""File of a results folder that says where its scores are, if they are not in it."""

LOGS = (".log", ".out", ".err")
"""What a shell or a batch system may write into the folder of the results."""


def place(results: str, scores: str | None) -> Location:
    """Return where the scores of a results folder are: as asked for now, as noted, or in the folder."""
    note = os.path.join(locate(results), ELSEWHERE)
    if scores is None and os.path.isfile(note):
        try:
            with open(note, encoding="utf-8") as file:
                scores = file.read().strip()
        except UnicodeDecodeError:
            raise CorruptError(f"{note} is damaged; write into it where the scores are") from None
    return locate(results).below(SCORES) if scores is None else locate(scores)


def remember_place(results: str, url: str) -> None:
    """Write down in a results folder where its scores are, if they are elsewhere."""
    if url != locate(results).below(SCORES):
        with open(os.path.join(locate(results), ELSEWHERE), "w") as file:
            file.write(url + "\n")


@contextmanager
def hold(folder: str) -> Iterator[None]:
    """Lock a results folder; refuse one that cannot hold results."""
    if local_path(folder) is None:
        raise UsageError(f"results are a local folder, not {folder}; the scores can be elsewhere, by scores=")
    if os.path.exists(os.path.join(folder, "zarr.json")):
        raise StoreExistsError(f"{folder} is itself a Zarr store; choose another folder for the results")
    _check_ours(folder)
    with lock(folder):
        yield


def _check_ours(folder: str) -> None:
    """Refuse a folder with other files: dozens of results would be written among them."""
    if not os.path.isdir(folder):
        return
    names = sorted(name for name in os.listdir(folder) if not (name.startswith(".") or name.endswith(LOGS)))
    if names and not any(name.startswith((SCORES, ELSEWHERE)) for name in names):
        raise StoreExistsError(
            f"{folder} holds other files, such as {names[0]}, and no results of salzarr; choose another "
            f"folder, such as {locate(folder).below('results')}"
        )


def open_scores(results: str | os.PathLike[str], *, allow_incomplete: bool = False) -> xr.Dataset:
    """Open the scores of a results folder.

    Parameters
    ----------
    results : path
        The folder that :func:`compare` wrote to, or the path or URL of its scores.
    allow_incomplete : bool, default False
        Open scores that are not complete too; what is not there yet is NaN, for the reason FAILED.

    Returns
    -------
    xarray.Dataset
        Dask-backed: per metric its scores (pair, image), ``<metric>_reason`` and its companions; see
        :func:`compare`.

    Raises
    ------
    StoreNotFoundError
        If there are none.
    IncompleteError
        If the run was interrupted.
    VersionError
        If a newer salzarr wrote them.

    Examples
    --------
    >>> open_scores("nowhere")
    Traceback (most recent call last):
    ...
    salzarr.errors.StoreNotFoundError: there are no scores in nowhere; make them with 'salzarr compare'
    """
    import xarray as xr

    where = locate(results)
    url = place(where, None) if local_path(where) is not None else where
    found = attributes(url)
    swapping = found is None and local_path(url) is None and attributes(growing(url)) is not None
    if found is None and url != where:
        url, found = where, attributes(where)
    if swapping or (found and not found.get(schema.ATTR_COMPLETE) and not allow_incomplete):
        raise IncompleteError(
            f"the comparison in {where} was interrupted; finish it with the same 'salzarr compare' as before"
        )
    if found is None or ATTR_PLAN not in found:
        raise StoreNotFoundError(f"there are no scores in {where}; make them with 'salzarr compare'")
    with readable(url):
        dataset = xr.open_zarr(zarr_store(url), consolidated=False)
        # Labels in memory, as a lazy comparison has them.
        dataset = dataset.set_coords(label_names(found))
        labels = {name: (dataset[name].dims, _in_memory(dataset[name])) for name in dataset.coords}
    # Zarr lists arrays in no order: the metrics' own.
    slugs = list(found[ATTR_PLAN]["metrics"])

    def position(name: str) -> tuple[int, bool, str]:
        return slugs.index(dataset[name].attrs[schema.ATTR_SLUG]), dataset[name].dtype == REASON_DTYPE, name

    names = sorted((str(name) for name in dataset.data_vars if name != INPUT_CRC), key=position)
    opened: xr.Dataset = dataset.assign_coords(labels)[names]
    opened.attrs = schema.portable(opened.attrs)
    return opened


def _in_memory(coordinate: xr.DataArray) -> NDArray[Any]:
    """Load a coordinate, text as NumPy's own, which can be plotted and written."""
    values: NDArray[Any] = coordinate.values
    if values.dtype.kind in "biuf":
        return values
    texts = values.astype(object)
    return texts.astype(str) if all(isinstance(text, str) for text in texts.flat) else texts


def maps_url(scores: xr.Dataset) -> str | None:
    """Return the maps store that scores were computed from, if there was one."""
    recorded = json.loads(str(scores.attrs.get(schema.ATTR_PROVENANCE, "{}")))
    url: str | None = recorded.get("maps", {}).get("url")
    return url
