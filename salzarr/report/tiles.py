"""Maps as the page stores them: gray levels in 8 bits, to which the page's script gives colors.

One stored picture serves a map on its own scale or on a common one, over its photograph, and in a difference.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from salzarr.plot.map_pictures import brightest

SIDES = (256, 192, 128, 96)
"""Sides in pixels at which maps may be stored, the best first."""
QUALITY = 85
LARGEST = 1e300
"""Larger magnitudes are drawn as this one: a range must be finite."""


@dataclass(frozen=True)
class Tile:
    """One map as the page stores it.

    Attributes
    ----------
    uri : str or None
        The picture of its gray levels; None if there is no finite value.
    low, high : float
        The values of level 0 (1 where there are holes) and of level 255: the smallest value and the 99.5th
        percentile, or as far below 0 as above where a value is negative.
    holes : bool
        Whether level 0 marks pixels that are not finite.
    """

    uri: str | None
    low: float = 0.0
    high: float = 0.0
    holes: bool = False

    def as_list(self) -> list[Any]:
        """Return it as the page's data has it."""
        ends = [float(f"{end:.6g}") for end in (self.low, self.high)]
        return [self.uri, *ends, int(self.holes)]


def store(one_map: NDArray[Any], side: int) -> Tile:
    """Quantize a map (y, x) to 8 bits, its longer side at most ``side`` pixels."""
    values = np.clip(np.asarray(one_map, float), -LARGEST, LARGEST)
    finite = np.isfinite(one_map)
    if not finite.any():
        return Tile(None)
    kept = values[finite]
    low, high = float(kept.min()), float(kept.max())
    if low < 0:
        high = brightest(np.abs(kept))
        low = -high
    elif low < high:
        high = low + brightest(kept - low)
    shape = _shape(values.shape, side)
    share = np.where(finite, (values / 2 - low / 2) / ((high / 2 - low / 2) or 1.0), 0.0)
    small = np.clip(_resized(share, shape), 0, 1)
    holes = not finite.all()
    levels = np.round(1 + 254 * small if holes else 255 * small).astype(np.uint8)
    if holes:
        levels[_resized(finite.astype(float), shape) < 0.5] = 0
    return Tile(as_uri(levels, lossless=holes), low, high, holes)


def _shape(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Shrink (y, x) to a longer side of at most ``side``, with its proportions."""
    factor = min(1.0, side / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _resized(values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR))


def as_uri(picture: NDArray[np.uint8], *, lossless: bool = False) -> str:
    """Encode a picture, (y, x) gray or (y, x, 3), as a data URI."""
    kind, options = ("PNG", {}) if lossless else ("JPEG", {"quality": QUALITY})
    if features.check("webp"):
        kind, options = "WEBP", {"quality": QUALITY, "method": 2, "lossless": lossless}
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
