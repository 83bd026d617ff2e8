"""Pictures: PNG (8 and 16 bit), JPEG, BMP and WebP through Pillow, TIFF (float too) through tifffile.

Values are taken as they are in the file: 0 to 255 stay so, and nothing is rotated or colour-managed. A
palette is resolved to its colours; colours are channels. Formats that lose information, such as JPEG, are
read like any other, but a float map that was once saved so is no longer the same map.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.source import Array, Format, check_numbers

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


def picture_shape(path: str) -> tuple[int, ...]:
    """Return (H, W) or (H, W, C) from the header of a picture."""
    from PIL import Image

    with _decoding(path), Image.open(path) as image:
        bands = 3 if image.mode == "P" else len(image.getbands())
        return (image.height, image.width, bands) if bands > 1 else (image.height, image.width)


def read_picture(path: str) -> Array:
    """Read a picture.

    Returns
    -------
    ndarray
        (H, W), or (H, W, C) if it has colours or transparency.

    Raises
    ------
    InputError
        If it is not a picture, is truncated, or has more pixels than Pillow trusts.
    """
    from PIL import Image

    with _decoding(path), Image.open(path) as image:
        return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def tiff_shape(path: str) -> tuple[int, ...]:
    """Return the shape of a TIFF's first image or stack, from its tags."""
    from tifffile import TiffFile

    with _decoding(path), TiffFile(path) as tiff:
        series = tiff.series[0]
        if series.nbytes > os.path.getsize(path) * MOST_COMPRESSED:
            raise InputError(f"{path} claims {series.nbytes} bytes, which a file of its size cannot hold")
        return tuple(int(length) for length in series.shape)


def read_tiff(path: str) -> Array:
    """Read a TIFF's first image or stack.

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


TIFF = Format("TIFF", (".tif", ".tiff"), shape=tiff_shape, read=read_tiff)
PICTURE = Format(
    "PNG or JPEG", (".png", ".jpg", ".jpeg", ".bmp", ".webp"), shape=picture_shape, read=read_picture
)
