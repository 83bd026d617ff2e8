"""Arrays in memory: NumPy, PyTorch, xarray, Dask, and whatever else has ``__array__`` or DLPack."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salzarr.errors import ShapeError
from salzarr.schema import CHANNEL, IMAGE, MODEL, X, Y
from salzarr.sources.contents import check_dims
from salzarr.sources.source import Array, Stamp, check_numbers, numbered, pick

UNKNOWN = Stamp(-1, -1)


def to_numpy(values: Any) -> Array:
    """Return any array as NumPy's, from wherever it is; NaN where it is masked.

    PyTorch's tensors are detached from their graph and brought to the CPU, alone or in a list; lazy arrays
    are computed.

    >>> to_numpy([[1, 2]]).shape
    (1, 2)
    >>> to_numpy(np.ma.masked_equal([1, 2], 2))
    array([ 1., nan])

    Raises
    ------
    ShapeError
        If it is no array, or a ragged one.
    """
    if isinstance(values, list | tuple) and any(hasattr(item, "shape") for item in values):
        return _stacked([to_numpy(item) for item in values])
    for method in ("detach", "cpu"):
        if hasattr(values, method):
            values = getattr(values, method)()
    if hasattr(values, "compute"):
        values = _computed(values)
    if str(getattr(values, "dtype", "")) == "torch.bfloat16":  # NumPy has no such type
        values = values.float()
    if not hasattr(values, "__array__") and hasattr(values, "__dlpack__"):
        return np.from_dlpack(values)
    if isinstance(values, np.ma.MaskedArray):
        return without_mask(values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"these maps are no array: {error}") from None


def by_name(values: Any) -> Any:
    """Transpose an xarray object to (model, image, …, y, x), as far as its dimensions have these names.

    >>> import xarray as xr
    >>> by_name(xr.DataArray(np.zeros((2, 3, 4)), dims=("x", "y", "photo"))).dims
    ('photo', 'y', 'x')
    """
    if not (hasattr(values, "dims") and hasattr(values, "coords")):
        return values
    grid = [Y, X] if {Y, X} <= set(values.dims) else []
    first = [dim for dim in (MODEL, IMAGE) if dim in values.dims]
    if IMAGE not in first:
        first += [dim for dim in values.dims if dim not in (MODEL, *grid)][:1]
    return values.transpose(*first, ..., *grid)


def without_mask(values: Array) -> Array:
    """Return an array with NaN where it is masked; others as they are."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    mask, plain = np.ma.getmaskarray(values), np.asarray(values)
    if plain.dtype.kind in "iub":
        plain = plain.astype(np.result_type(plain.dtype, np.float32))
    return np.where(mask, np.nan, plain) if plain.dtype.kind == "f" else plain


def _stacked(arrays: Sequence[Array]) -> Array:
    """Stack arrays of one shape."""
    shapes = dict.fromkeys(array.shape for array in arrays)
    if len(shapes) > 1:
        raise ShapeError(f"these maps are no array: they have the shapes {', '.join(map(str, shapes))}")
    return np.stack(arrays)


def _computed(values: Any) -> Any:
    """Compute a lazy array here, inside a task too; what is persisted on a cluster comes from there."""
    if "distributed" in sys.modules:
        from distributed import futures_of, get_client, get_worker, worker_client

        if futures_of(values):
            try:
                get_worker()
            except ValueError:  # not in a task of a cluster
                return get_client().compute(values, sync=True)
            with worker_client() as client:
                return client.compute(values, sync=True)
    return values.compute(scheduler="synchronous")


def divided(values: Any, axes: Sequence[str], where: str) -> list[tuple[dict[str, str], Any]]:
    """Divide an array by axes other than image, channel, y and x.

    Returns
    -------
    list of (dict of axis to position, array (image, channel, y, x))
        One for each model.
    """
    values = values if hasattr(values, "dask") else to_numpy(values)
    if len(axes) != len(values.shape):
        raise ShapeError(
            f"{where} has shape {tuple(values.shape)}, but {len(axes)} axes are named: {','.join(axes)}"
        )
    inner = [name for name in (IMAGE, CHANNEL, Y, X) if name in axes]
    outer = [name for name in axes if name not in inner]
    values = values.transpose([axes.index(name) for name in (*outer, *inner)])
    return [
        ({name: str(at) for name, at in zip(outer, index, strict=True)}, values[index])
        for index in np.ndindex(*values.shape[: len(outer)])
    ]


@dataclass(frozen=True, eq=False)
class Arrays:
    """Maps of one model that are in memory, the images along the first axis.

    Attributes
    ----------
    name : str
        Of the model, for messages.
    values : array
        (image, H, W), or with channels; anything that :func:`to_numpy` takes, once indexed.
    ids : tuple of str
        Name of each map.
    named : bool
        Whether they are more than positions.
    rows : tuple of int
        Where each map is along the first axis.
    """

    name: str
    values: Any
    ids: tuple[str, ...]
    named: bool
    rows: tuple[int, ...]

    @classmethod
    def of(cls, name: str, values: Any, ids: Sequence[str] | None = None) -> Arrays:
        """Wrap an array, taking its ``image`` coordinate for names if it has one.

        Raises
        ------
        ShapeError
            If it has no axis of images, or the names are of another number.
        """
        where = f"the array of {name}"
        if hasattr(values, "coords") and hasattr(values, "dims"):
            values = by_name(values)
            check_dims((IMAGE, *map(str, values.dims[1:])), where, values.shape)
            if ids is None and IMAGE in values.coords:
                ids = [str(image) for image in values.coords[IMAGE].values]
            values = values.data
        values = _taken(values, where)
        if len(values.shape) < 3:
            raise ShapeError(f"{where} has shape {tuple(values.shape)}; it needs (image, H, W)")
        while len(values.shape) > 3 and 1 in (values.shape[1], values.shape[-1]):
            values = values[:, 0] if values.shape[1] == 1 else values[..., 0]
        count = values.shape[0]
        if ids is not None and len(ids) != count:
            raise ShapeError(f"the array of {name} holds {count} maps, but {len(ids)} names came with it")
        return cls(
            name, values, numbered(count) if ids is None else tuple(ids), ids is not None, tuple(range(count))
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows_of_stack(self) -> bool:
        """Yes."""
        return True

    def select(self, positions: Sequence[int]) -> Arrays:
        """Return these maps only; the others are not carried along into a task."""
        rows = [self.rows[position] for position in positions]
        first, last = (min(rows), max(rows) + 1) if rows else (0, 0)
        return Arrays(
            self.name,
            self.values[first:last],
            pick(self.ids, positions),
            self.named,
            tuple(row - first for row in rows),
        )

    def origins(self) -> list[str]:
        """Return model and image of each map."""
        return [f"image {image} of the array of {self.name}" for image in self.ids]

    def stamps(self) -> list[Stamp]:
        """Return that there is no file."""
        return [UNKNOWN] * len(self)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shape of one map, for each."""
        return [tuple(self.values.shape[1:])] * len(self)

    def read(self) -> Iterator[Array]:
        """Give out map after map."""
        for row, origin in zip(self.rows, self.origins(), strict=True):
            values = to_numpy(self.values[row])
            check_numbers(values.dtype, origin)
            yield values


def _taken(values: Any, where: str) -> Any:
    """Check an array before it is read: its numbers, its mask, and that its shape is known."""
    # What is on a disk, such as a dataset of h5py, is read map by map; what is in memory, taken at once.
    is_lazy = (
        isinstance(getattr(values, "dtype", None), np.dtype)
        and hasattr(values, "__getitem__")
        and not hasattr(values, "detach")
    )
    if not is_lazy or isinstance(values, np.ndarray):
        values = to_numpy(values)
    check_numbers(values.dtype, where)
    if any(length != length for length in values.shape):
        raise ShapeError(
            f"{where} has chunks of unknown sizes, shape {values.shape}; call its compute_chunk_sizes() first"
        )
    if isinstance(getattr(values, "_meta", None), np.ma.MaskedArray):
        dtype = values.dtype if values.dtype.kind == "f" else np.result_type(values.dtype, np.float32)
        values = values.map_blocks(without_mask, dtype=dtype, meta=np.empty(0, dtype))
    return values
