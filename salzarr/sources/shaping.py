"""From what a file holds to a map: drop axes of length one, reduce channels, resize, cast.

What each kind of array is taken for:

================================  =================================================================
bool, integers, float16/32/64     values as they are, big-endian too, cast to the store's dtype
values beyond float32             refused; ``--dtype float64`` keeps them
complex, dates, text, records     refused
Python objects                    refused, never unpickled
(H, W)                            a map; Fortran order too
(1, H, W), (H, W, 1), (1,1,H,W)   a map
(C, H, W), (H, W, C)              channels, along the shorter of the two ends; ``--channel`` is needed
scalars, 1-D, a length of 0       refused
NaN, inf                          kept, and flagged as non-finite
================================  =================================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from salzarr.errors import InputError, ShapeError, UsageError
from salzarr.sources.source import Array

CHANNEL_RULES = ("mean", "max", "abs-max")


@dataclass(frozen=True)
class Recipe:
    """How arrays become maps; part of a store's fingerprint.

    Attributes
    ----------
    size : (int, int) or None
        Height and width that every map is resized to; None keeps them.
    channel : str, int or None
        ``"mean"``, ``"max"``, ``"abs-max"`` (the largest magnitude, with its sign) or the index of one
        channel; None refuses channels.
    dtype : {"float32", "float64"}
        Of the stored maps.
    """

    size: tuple[int, int] | None = None
    channel: str | int | None = None
    dtype: str = "float32"

    @classmethod
    def of(cls, size: object = None, channel: object = None, dtype: object = "float32") -> Recipe:
        """Build a recipe from what a user writes.

        >>> Recipe.of("224x224", "0")
        Recipe(size=(224, 224), channel=0, dtype='float32')

        Raises
        ------
        UsageError
            On a size, channel or dtype that cannot be.
        """
        name = np.dtype(dtype).name  # type: ignore[call-overload]
        if name not in ("float32", "float64"):
            raise UsageError(f"dtype {name} is not float32 or float64")
        return cls(_size(size), _channel(channel), name)

    def attrs(self) -> dict[str, Any]:
        """Return the recipe as a store's attributes hold it."""
        found = asdict(self)
        return found | {"size": list(self.size) if self.size else None}

    def shape(self, raw: tuple[int, ...], where: str) -> tuple[int, int]:
        """Return the (H, W) of the map that an array of this shape becomes, before any resizing.

        Raises
        ------
        ShapeError
            If no map can be made of it.
        """
        axes = _axes(raw, where)
        if len(axes) == 3:
            if self.channel is None:
                raise ShapeError(
                    f"{where} has channels, shape {raw}; reduce them with --channel mean, max, abs-max or 0; "
                    "or, if it is a stack of maps (image, H, W), say so with --stacked and its file's name"
                )
            channels = raw[axes.pop(_channel_axis([raw[a] for a in axes], where))]
            if isinstance(self.channel, int) and not -channels <= self.channel < channels:
                raise ShapeError(f"{where} has {channels} channels, so there is no --channel {self.channel}")
        height, width = (raw[axis] for axis in axes)
        return height, width

    def apply(self, raw: Array, where: str) -> tuple[Array, bool]:
        """Turn an array into a map.

        Parameters
        ----------
        raw : ndarray
            As it was read: real numbers, any layout.
        where : str
            Its origin, for messages.

        Returns
        -------
        values : (H, W) ndarray of the recipe's dtype
        resized : bool
            Whether its size was changed.

        Raises
        ------
        ShapeError
            If the array cannot be a map.
        InputError
            If a finite value does not fit the dtype.
        """
        height, width = self.shape(raw.shape, where)
        axes = _axes(raw.shape, where)
        values = raw.reshape([raw.shape[axis] for axis in axes])
        if len(axes) == 3:
            values = _reduce(values, _channel_axis(list(values.shape), where), self.channel)
        resized = self.size is not None and self.size != (height, width)
        if resized:
            values = _resize(values, self.size)
        return _cast(values, np.dtype(self.dtype), where), resized


def parse_size(text: str) -> tuple[int, int]:
    """Read a size such as ``224x224``, height first.

    Raises
    ------
    UsageError
        If it is not two positive whole numbers.
    """
    try:
        height, width = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise UsageError(f"size {text!r} is not HEIGHTxWIDTH, such as 224x224") from None
    return height, width


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    try:
        height, width = parse_size(size) if isinstance(size, str) else size
        height, width = int(height), int(width)
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"size {size!r} is not (height, width)") from None
    if min(height, width) < 1:
        raise UsageError(f"size {height}x{width} is not positive")
    return height, width


def _channel(channel: Any) -> str | int | None:
    if channel is None or channel in CHANNEL_RULES:
        return channel  # type: ignore[no-any-return]
    try:
        return int(channel)
    except (TypeError, ValueError):
        raise UsageError(f"channel {channel!r} is not mean, max, abs-max or an index") from None


def _axes(shape: tuple[int, ...], where: str) -> list[int]:
    """Axes that are left when those of length one at the ends are dropped: two, or three with channels."""
    axes = list(range(len(shape)))
    if 0 in shape or len(shape) < 2:
        raise ShapeError(f"{where} has shape {shape}; a map has (H, W), both at least 1")
    while len(axes) > 2 and 1 in (shape[axes[0]], shape[axes[-1]]):
        axes.pop(0 if shape[axes[0]] == 1 else -1)
    if len(axes) > 3:
        raise ShapeError(f"{where} has shape {shape}; a map has (H, W), or (C, H, W) with --channel")
    return axes


def _channel_axis(shape: list[int], where: str) -> int:
    """Channels lie along the shorter of the two ends."""
    if shape[0] == shape[2]:
        raise ShapeError(f"{where} has shape {tuple(shape)}: which axis holds the channels cannot be told")
    return 0 if shape[0] < shape[2] else 2


def _reduce(values: Array, axis: int, rule: str | int | None) -> Array:
    if isinstance(rule, int):
        taken: Array = values.take(rule, axis)
        return taken
    if rule == "mean":
        return values.mean(axis, dtype=np.float64)  # type: ignore[no-any-return]
    if rule == "max":
        return values.max(axis)  # type: ignore[no-any-return]
    values = values.astype(np.float64, copy=False)
    largest = np.expand_dims(np.abs(values).argmax(axis), axis)
    return np.take_along_axis(values, largest, axis).squeeze(axis)


def _resize(values: Array, size: tuple[int, int] | None) -> Array:
    """Resize linearly, smoothed where it shrinks, keeping the range of the values."""
    from skimage.transform import resize

    assert size is not None
    shrinks = size[0] < values.shape[0] or size[1] < values.shape[1]
    floats = (
        values
        if values.dtype in (np.float32, np.float64) and values.dtype.isnative
        else values.astype(np.float64)
    )
    return resize(floats, size, order=1, anti_aliasing=shrinks, preserve_range=True)  # type: ignore[no-any-return]


def _cast(values: Array, dtype: np.dtype[Any], where: str) -> Array:
    """Cast, and refuse values that would become infinite."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if values.dtype.itemsize > dtype.itemsize and not np.isfinite(cast).all():
        lost = np.isfinite(values) & ~np.isfinite(cast)
        if lost.any():
            raise InputError(
                f"{where} holds {values[lost][0]:g}, too much for {dtype}; use --dtype float64, or rescale"
            )
    return cast
