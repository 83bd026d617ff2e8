"""From what a file holds to a map: drop axes of length one, drop alpha, reduce channels, resize, cast.

What each kind of array is taken for:

================================  =================================================================
bool, integers, float16/32/64     values as they are, big-endian too, cast to the store's dtype
values beyond float32             refused; ``--dtype float64`` keeps them
complex, dates, text, records     refused
Python objects                    refused, never unpickled
(H, W)                            a map; Fortran order too
(1, H, W), (H, W, 1), (1,1,H,W)   a map
3 or 4 at the first or last axis  channels; ``--channel`` is needed
(H, W, 4), (H, W, 2)              with an opaque alpha channel, as in a picture: alpha is dropped
any other number of channels      refused, unless ``--axes`` says which axis holds them
scalars, 1-D, 4-D, a length of 0  refused
NaN, inf                          kept, and flagged as non-finite
================================  =================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from salzarr.errors import InputError, ShapeError, UsageError
from salzarr.schema import Status
from salzarr.sources.source import Array

CHANNEL_RULES = ("mean", "max", "abs-max")

RESIZING = {
    "linear": "linear, between the centers of pixels, clamped at the border; smoothed where it shrinks",
    "nearest": "nearest, by the centers of pixels",
}
"""The conventions of resizing, as a store states them."""

COLOR_STEP = 8 / 255
"""Share of the full scale by which channels of a gray picture may differ: JPEG does that."""


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
    resize : {"linear", "nearest"}
        How maps are resized. Linear equals ``torch.nn.functional.interpolate(mode="bilinear")`` and
        ``cv2.resize`` where it enlarges; nearest equals torch's ``nearest-exact``.
    axes : tuple of str or None
        What each axis of an array is, of ``channel``, ``y`` and ``x``; None tells by the shape.
    """

    size: tuple[int, int] | None = None
    channel: str | int | None = None
    dtype: str = "float32"
    resize: str = "linear"
    axes: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        size: object = None,
        channel: object = None,
        dtype: object = "float32",
        resize: str | None = "linear",
        axes: str | Sequence[str] | None = None,
    ) -> Recipe:
        """Build a recipe from what a user writes, or a store's attributes hold.

        >>> Recipe.of("224x224", "0").size
        (224, 224)

        Raises
        ------
        UsageError
            If a size, channel, dtype or way to resize is invalid.
        """
        name = np.dtype(dtype).name  # type: ignore[call-overload]
        if name not in ("float32", "float64"):
            raise UsageError(f"dtype {name} is not float32 or float64")
        way = (resize or "linear").partition(",")[0]
        if way not in RESIZING:
            raise UsageError(f"resize {resize!r} is not one of {', '.join(RESIZING)}")
        axes = axes.split(",") if isinstance(axes, str) else axes
        return cls(_size(size), _channel(channel), name, way, None if axes is None else tuple(axes))

    def attrs(self) -> dict[str, Any]:
        """Return the recipe as a store's attributes hold it."""
        found = asdict(self)
        return found | {
            "size": list(self.size) if self.size else None,
            "resize": RESIZING[self.resize] if self.size else None,
            "axes": None if self.axes is None else ",".join(self.axes),
        }

    def shape(self, raw: tuple[int, ...], where: str, *, row: bool = False) -> tuple[int, int]:
        """Return the (H, W) of the map that an array of this shape becomes, before any resizing.

        ``row`` as in :meth:`apply`.

        Raises
        ------
        ShapeError
            If no map can be made of it.
        """
        axes, channels = self._axes(raw, where, row)
        plain = 2 if self.axes is None else 1  # gray with alpha is a map
        if channels is not None and self.channel is None and raw[channels] > plain:
            raise ShapeError(
                f"{where} has {raw[channels]} channels, shape {raw}; reduce them with --channel mean, max, "
                "abs-max or 0"
            )
        if channels is not None and isinstance(self.channel, int):
            count = raw[channels]
            if not -count <= self.channel < count:
                raise ShapeError(f"{where} has {count} channels, so there is no --channel {self.channel}")
        height, width = (raw[axis] for axis in axes)
        return height, width

    def apply(self, raw: Array, where: str, *, row: bool = False) -> tuple[Array, Status]:
        """Turn an array into a map.

        Parameters
        ----------
        raw : ndarray
            As it was read: real numbers, any layout.
        where : str
            Its origin, for messages.
        row : bool, default False
            Whether it is a row of a stack (image, …): what is left are channels then, however many.

        Returns
        -------
        values : (H, W) ndarray of the recipe's dtype
        status : Status
            Whether it was resized, lost an alpha channel, or was made of colors.

        Raises
        ------
        ShapeError
            If the array cannot be a map.
        InputError
            If a finite value does not fit the dtype, or a picture is transparent in part.
        """
        height, width = self.shape(raw.shape, where, row=row)
        axes, channels = self._axes(raw.shape, where, row)
        order = [*axes] if channels is None else [*axes, channels]
        others = [axis for axis in range(raw.ndim) if axis not in order]
        values = raw.transpose(*others, *order).reshape([raw.shape[axis] for axis in order])
        status = Status.OK
        if channels is not None:
            picture = self.axes is None and channels == max(order) and raw.shape[channels] <= 4
            values, status = self._reduced(values, where, picture=picture)
        if self.size is not None and self.size != (height, width):
            values, status = self._resized(values), status | Status.RESIZED
        return _cast(values, np.dtype(self.dtype), where), status

    def _axes(self, raw: tuple[int, ...], where: str, row: bool) -> tuple[tuple[int, int], int | None]:
        """Return the axes of y and x, and the one of channels if there is one."""
        if 0 in raw or len(raw) < 2:
            raise ShapeError(f"{where} has shape {raw}; a map has (H, W), both at least 1")
        if self.axes is not None:
            return self._said_axes(raw, where)
        axes = list(range(len(raw)))
        while len(axes) > 2 and 1 in (raw[axes[0]], raw[axes[-1]]):
            axes.pop(0 if raw[axes[0]] == 1 else -1)
        if len(axes) > 3:
            raise ShapeError(
                f"{where} has shape {raw}; a map has (H, W), or (C, H, W) with --channel: volumes and time "
                "series are not compared. Name the axes with --axes, such as --axes image,channel,y,x"
            )
        channels = None
        if len(axes) == 3:
            channels = axes.pop(_channel_axis([raw[axis] for axis in axes], where, row))
        return (axes[0], axes[1]), channels

    def _said_axes(self, raw: tuple[int, ...], where: str) -> tuple[tuple[int, int], int | None]:
        assert self.axes is not None
        if len(raw) != len(self.axes):
            raise ShapeError(
                f"{where} has shape {raw}, but the axes of each map are said to be {','.join(self.axes)}: "
                f"{len(self.axes)} axes, not {len(raw)}"
            )
        channels = self.axes.index("channel") if "channel" in self.axes else None
        return (self.axes.index("y"), self.axes.index("x")), channels

    def _reduced(self, values: Array, where: str, *, picture: bool) -> tuple[Array, Status]:
        """Make a map of (H, W, C); in a picture, the last of 2 or 4 channels may be alpha."""
        status = Status.OK
        if picture and values.shape[2] in (2, 4) and not isinstance(self.channel, int):
            if _opaque(values[..., -1]):
                values, status = values[..., :-1], Status.ALPHA
            elif values.shape[2] == 2 or values.dtype.kind == "u":
                raise InputError(
                    f"{where} has {values.shape[2]} channels, the last like an alpha channel that is "
                    "transparent in part; save the map without transparency, or name the axes with --axes"
                )
        if picture and values.shape[2] > 2 and _differ_as_colors(values[..., :3]):
            status |= Status.COLORS
        if values.shape[2] == 1:
            return values[..., 0], status
        return _reduce(values, self.channel), status

    def _resized(self, values: Array) -> Array:
        """Resize, keeping the range of the values."""
        assert self.size is not None
        if self.resize == "nearest":
            rows, columns = (
                (np.arange(new) * 2 + 1) * old // (2 * new)
                for new, old in zip(self.size, values.shape, strict=True)
            )
            return values[np.ix_(rows, columns)]
        from skimage.transform import resize

        shrinks = self.size[0] < values.shape[0] or self.size[1] < values.shape[1]
        as_is = values.dtype in (np.float32, np.float64) and values.dtype.isnative
        floats = values if as_is else values.astype(np.float64)
        # scikit-image mirrors at the border by default; torch and OpenCV clamp.
        return resize(  # type: ignore[no-any-return]
            floats, self.size, order=1, mode="edge", anti_aliasing=shrinks, preserve_range=True
        )


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


def _channel_axis(shape: Sequence[int], where: str, row: bool) -> int:
    """Return which end of three axes holds channels: 3 or 4, gray and alpha at the last, in a row any."""
    ends = [end for end, counts in ((0, (3, 4)), (2, (2, 3, 4))) if shape[end] in counts]
    if not ends and row and shape[0] != shape[2]:
        return 0 if shape[0] < shape[2] else 2
    if len(ends) == 2 or (not ends and row):
        raise ShapeError(
            f"{where} has shape {tuple(shape)}: which axis holds the channels cannot be told; name the axes, "
            "such as --axes channel,y,x"
        )
    if not ends:
        raise ShapeError(
            f"{where} has shape {tuple(shape)}: if these are {shape[0]} maps, name the axes with --axes "
            f"image,y,x; if it is one map of {shape[0]} channels, with --axes channel,y,x and --channel mean"
        )
    return ends[0]


def _opaque(alpha: Array) -> bool:
    """Whether a channel is an alpha channel that hides nothing."""
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1
    return bool((alpha == full).all())


def _differ_as_colors(values: Array) -> bool:
    """Whether the channels of (H, W, 3) differ, in a range that colors have."""
    if values.dtype.kind == "u":
        full = float(np.iinfo(values.dtype).max)
    elif values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1:
        full = 1.0
    else:
        return False
    return bool((values.max(2) - values.min(2)).max() > COLOR_STEP * full)


def _reduce(values: Array, rule: str | int | None) -> Array:
    """Make one channel of (H, W, C)."""
    if isinstance(rule, int):
        return values[..., rule]
    if rule == "mean":
        return values.mean(2, dtype=np.float64)  # type: ignore[no-any-return]
    if rule == "max":
        return values.max(2)  # type: ignore[no-any-return]
    values = values.astype(np.float64, copy=False)
    largest = np.expand_dims(np.abs(values).argmax(2), 2)
    return np.take_along_axis(values, largest, 2).squeeze(2)


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
