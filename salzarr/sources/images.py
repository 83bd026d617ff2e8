"""Pictures: PNG (8 and 16 bit), JPEG, BMP and WebP through Pillow, TIFF (float too) through tifffile.

Values are taken as they are in the file: 0 to 255 stay so, and nothing is rotated or color-managed. A palette
is resolved to its colors; colors are channels, and so is alpha until :mod:`salzarr.sources.shaping` drops it.
Formats that lose information, such as JPEG, are read like any other, but a float map that was once saved so
is no longer the same map.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.source import Array, Contents, Format, Index, Shape, check_numbers, take

MOST_COMPRESSED = 5000
"""A TIFF that claims more bytes per byte of file than this is not believed: no codec of it gets there."""


@contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one error that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, DecompressionBombError, ...
        why = str(error).replace(f" {path!r}", "").replace(path, "it")
        raise InputError(f"{path} cannot be read as a picture: {why}; write it again or remove it") from None


@contextmanager
def _picture(path: str) -> Iterator[Any]:
    """Open a picture, of one frame."""
    from PIL import Image

    with _decoding(path), Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise InputError(
                f"{path} is animated, {frames} pictures in one file; save each map to a file of its own"
            )
        yield image


def _mode(image: Any) -> str:
    """Return the mode that a picture is read in: a palette and other color spaces become colors."""
    if image.mode in ("P", "PA"):
        return "RGBA" if image.has_transparency_data else "RGB"
    if image.has_transparency_data and image.mode in ("L", "RGB"):
        return "LA" if image.mode == "L" else "RGBA"
    return "RGB" if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else str(image.mode)


def picture_shape(path: str) -> Shape:
    """Return (H, W) or (H, W, C) from the header of a picture."""
    with _picture(path) as image:
        mode = _mode(image)
        bands = len(mode) if mode in ("LA", "La", "RGB", "RGBA", "RGBa", "RGBX") else 1
        return (image.height, image.width, bands) if bands > 1 else (image.height, image.width)


def read_picture(path: str) -> Array:
    """Read a picture.

    Returns
    -------
    ndarray
        (H, W), or (H, W, C) if it has colors or transparency.

    Raises
    ------
    InputError
        If it is not a picture, is truncated, animated, or has more pixels than Pillow trusts.
    """
    with _picture(path) as image:
        mode = _mode(image)
        return np.asarray(image if mode == image.mode else image.convert(mode))


def tiff_shape(path: str) -> Shape:
    """Return the shape of a TIFF's image or stack, from its tags."""
    from tifffile import TiffFile

    with _decoding(path), TiffFile(path) as tiff:
        series = tiff.series[0]
        if len(tiff.series) > 1:
            raise InputError(
                f"{path} holds {len(tiff.series)} images of different kinds; save each map to a file of its "
                "own"
            )
        if series.nbytes > os.path.getsize(path) * MOST_COMPRESSED:
            raise InputError(f"{path} claims {series.nbytes} bytes, which a file of its size cannot hold")
        return tuple(int(length) for length in series.shape)


def read_tiff(path: str) -> Array:
    """Read a TIFF's image or stack.

    Raises
    ------
    InputError
        If it is no TIFF of real numbers, or truncated.
    """
    from tifffile import TiffFile

    shape = tiff_shape(path)
    with _decoding(path), TiffFile(path) as tiff:
        values = np.asarray(tiff.series[0].asarray())
    check_numbers(values.dtype, path)
    if values.shape != shape:
        raise InputError(f"{path} is truncated: it holds {values.shape} of {shape}")
    return values


def _rows(values: Array, indices: Sequence[Index]) -> Iterator[Array]:
    for index in indices:
        yield take(values, index)


def look_picture(path: str) -> Contents:
    """Return the one array of a picture."""
    return Contents({"": picture_shape(path)})


def rows_of_picture(path: str, _: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read a picture."""
    return _rows(read_picture(path), indices)


def look_tiff(path: str) -> Contents:
    """Return the one array of a TIFF."""
    return Contents({"": tiff_shape(path)})


def rows_of_tiff(path: str, _: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read a TIFF, or rows of it."""
    return _rows(read_tiff(path), indices)


TIFF = Format("TIFF", (".tif", ".tiff"), look_tiff, rows_of_tiff, holds_one=True, is_picture=True)
PICTURE = Format(
    "PNG or JPEG",
    (".png", ".jpg", ".jpeg", ".bmp", ".webp"),
    look_picture,
    rows_of_picture,
    holds_one=True,
    is_picture=True,
)
