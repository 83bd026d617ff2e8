"""Units of images: crops, variants or frames of one photograph, which are no independent observations.

Everything that draws, flips or splits images does so with whole units. Without labels each image is a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from salzarr.descriptive import Floats, mean
from salzarr.errors import UsageError


@dataclass(frozen=True)
class Units:
    """Which images belong together.

    Units are numbered in the order of their labels (without labels: of the images' names), so that what is
    drawn for a unit follows its label and not the place of its images.

    Attributes
    ----------
    of : (image,) int
        Number of each image's unit.
    labels : tuple of str
        Label of each unit; the image's name where each image is a unit.
    equal : bool
        Whether each unit has the same weight, whatever its number of images; otherwise each image has.

    Examples
    --------
    >>> units = Units.by(["cat 1", "cat 2", "dog"], ["cat", "cat", "dog"])
    >>> units.labels, units.of.tolist()
    (('cat', 'dog'), [0, 0, 1])
    >>> sums, sizes = units.totals(np.array([[1.0, 3.0, 8.0]]))
    >>> sums.tolist(), sizes.tolist()
    ([[4.0, 8.0]], [[2.0, 1.0]])
    """

    of: NDArray[np.intp]
    labels: tuple[str, ...]
    equal: bool = False

    @classmethod
    def by(cls, images: Sequence[str], labels: Sequence[str] | None = None, *, equal: bool = False) -> Units:
        """Group images by label.

        Parameters
        ----------
        images : sequence of str
            Names.
        labels : sequence of str, optional
            Of each image; without it each image is a unit of its own.
        equal : bool
            Weigh units and not images equally.

        Raises
        ------
        UsageError
            If the labels name fewer than two units.
        """
        if labels is not None and len(labels) != len(images):
            raise UsageError(f"{len(labels)} units were named for {len(images)} images; give one each")
        names, of = np.unique(np.asarray(images if labels is None else labels, str), return_inverse=True)
        if labels is not None and len(names) < 2:
            which = f"all images are of {str(names[0])!r}" if len(names) else "there is none"
            raise UsageError(f"statistics need two units of images or more, and {which}; name another column")
        if labels is None and len(names) < len(images):
            raise UsageError("two images have the same name; images need names of their own")
        return cls(of.reshape(-1), tuple(names.tolist()), equal)

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.labels)

    @property
    def alone(self) -> bool:
        """Whether each image is a unit of its own."""
        return self.count == len(self.of)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of images of each unit: (unit,)."""
        return np.bincount(self.of, minlength=self.count)

    @property
    def dominant(self) -> str | None:
        """Label of the unit that holds more than half of the images, if one does."""
        largest = int(np.argmax(self.sizes)) if self.count else 0
        over = self.count > 1 and 2 * self.sizes[largest] > len(self.of)
        return self.labels[largest] if over else None

    def singles(self) -> Units:
        """Return units of one value each, as the means of these are."""
        return Units(np.arange(self.count), self.labels)

    def choose(self, images: NDArray[np.intp]) -> Units:
        """Keep some images, by position; units without any of them go."""
        kept, of = np.unique(self.of[images], return_inverse=True)
        return Units(of.reshape(-1), tuple(self.labels[unit] for unit in kept), self.equal)

    def totals(self, values: Floats) -> tuple[Floats, Floats]:
        """Sum and count (row, image) values per unit; a NaN is left out, and an empty unit counts 0.

        Returns
        -------
        sums, sizes : (row, unit) float64
            With equal weights the unit's mean and 1. The mean of a row is always Σ sums / Σ sizes.
        """
        known = ~np.isnan(values)
        sums, sizes = self.gather(np.where(known, values, 0.0)), self.gather(known.astype(np.float64))
        if self.equal:
            some = sizes > 0
            return np.divide(sums, sizes, out=np.zeros_like(sums), where=some), some.astype(np.float64)
        return sums, sizes

    def gather(self, values: Floats) -> Floats:
        """Sum of (..., image) values over each unit's images: (..., unit)."""
        ordered = values[..., self._order]
        if self.alone or not self.count:
            return ordered
        starts = np.searchsorted(self.of[self._order], np.arange(self.count))
        gathered: Floats = np.add.reduceat(ordered, starts, axis=-1)
        return gathered

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """Images by unit: (image,)."""
        order: NDArray[np.intp] = np.argsort(self.of, kind="stable")
        return order

    def means(self, values: Floats) -> Floats:
        """Mean of each row over each unit's images: (row, unit), NaN for a unit without a value."""
        sums, sizes = self.totals(values)
        return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)

    def mean(self, values: Floats) -> Floats:
        """Average each row over images, or over units if these weigh the same: (row,), NaN if empty."""
        return mean(self.means(values) if self.equal else values)


def ratio(sums: Floats, sizes: Floats) -> Floats:
    """Divide, and give NaN where there is nothing."""
    found: Floats = np.full(np.broadcast(sums, sizes).shape, np.nan)
    return np.divide(sums, sizes, out=found, where=sizes > 0)
