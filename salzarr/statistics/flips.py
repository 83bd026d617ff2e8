"""Sign-flip tests over units of images: of many contrasts at once, with family-wise p and effect sizes.

If neither of two rows were larger, the sign of their difference would be a toss of a coin on every unit. The
test is of symmetry about 0, then, and not only of a mean of 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salzarr.descriptive import Floats, mean
from salzarr.units import Units, ratio

_BATCH_BYTES = 2**24


@dataclass(frozen=True)
class Flips:
    """Coins for units: all combinations if there are few, else so many drawn at random.

    Examples
    --------
    >>> Flips(3, 100).exact, Flips(3, 100).total, Flips(30, 100).total
    (True, 8, 100)
    """

    units: int
    repeats: int
    seed: int = 0

    @property
    def exact(self) -> bool:
        """Whether each of the 2^units flips is taken once."""
        return self.units < 40 and 2**self.units <= self.repeats

    @property
    def total(self) -> int:
        """Number of flips."""
        return int(2**self.units) if self.exact else self.repeats

    def batches(self, columns: int) -> Iterator[NDArray[np.bool_]]:
        """Yield which units are flipped, (flip, unit), so many flips at a time that columns of them fit."""
        rng = np.random.default_rng(self.seed)
        batch = max(1, _BATCH_BYTES // (8 * max(self.units, columns, 1)))
        for start in range(0, self.total, batch):
            flips = min(batch, self.total - start)
            if self.exact:
                yield (np.arange(start, start + flips)[:, None] >> np.arange(self.units) & 1).astype(bool)
            else:  # 64 coins of each number: whole numbers for a flip, so that batches do not matter
                coins = rng.integers(0, 2**64, (flips, -(-self.units // 64)), np.uint64)
                yield np.unpackbits(coins.view(np.uint8), axis=1, count=self.units).astype(bool)

    def p(self, extreme: Floats) -> Floats:
        """Turn how many flips are as extreme as what is observed into p, which counts as one flip more."""
        return extreme / self.total if self.exact else (extreme + 1) / (self.total + 1)

    def smallest(self, units: NDArray[np.intp]) -> Floats:
        """Smallest two-sided p that a contrast over so many units can have."""
        least: Floats = np.maximum(np.ldexp(2.0, -np.minimum(units, 1000)), self.p(np.zeros(1)))
        return np.minimum(least, 1.0)


class Contrasts:
    """Differences between rows, summed per unit, ready to be flipped.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value: a contrast is over the images on which both rows have one.
    contrasts : (contrast, 2) int
        Which rows are compared.
    units : Units

    Attributes
    ----------
    units : (contrast,) int
        How many units have a value of both rows.
    mean : (contrast,) float64
        Mean difference over images, or over units where these weigh the same; NaN without a common image.
    studentized : (contrast,) float64
        ``|Σ d| / √Σ d²`` of the unit sums d of the differences, which no flip changes the divisor of.
    wins : (contrast,) float64
        P(first > second) over units, a tie one half.
    d_z : (contrast,) float64
        Mean over units by its standard deviation; NaN where there is none.
    """

    def __init__(self, values: Floats, contrasts: NDArray[np.intp], units: Units) -> None:
        known = ~np.isnan(values)
        gaps = np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)
        first, second = contrasts.T
        size = len(contrasts)
        self.units = np.empty(size, np.intp)
        self.mean, self.studentized, self.wins, self.d_z = (np.empty(size) for _ in range(4))
        self._root, self._size, self._observed = (np.empty(size) for _ in range(3))
        # Rows with the same gaps are flipped once each, however many contrasts they are in. Without the
        # images' means the difference of two flipped sums loses no digits.
        sums, _ = units.totals(np.where(known, values - mean(values.T), np.nan))
        mixed = gaps[first] != gaps[second]
        extra = [np.empty((0, units.count))]
        step = max(1, _BATCH_BYTES // (8 * max(1, values.shape[1])))
        for start in range(0, size, step):
            part = slice(start, start + step)
            own, counts = units.totals(values[first[part]] - values[second[part]])
            self._describe(part, own, counts)
            self._size[part] = np.abs(sums[first[part]]).sum(axis=1) + np.abs(sums[second[part]]).sum(axis=1)
            self._size[part][mixed[part]] = np.abs(own[mixed[part]]).sum(axis=1)
            extra.append(own[mixed[part]])
        # The difference of two rows with other gaps is a row of its own, and is compared with a row of zeros.
        self._first, self._second = first.copy(), second.copy()
        self._first[mixed] = len(sums) + np.arange(np.count_nonzero(mixed))
        self._second[mixed] = len(sums) + np.count_nonzero(mixed)
        self._rows = np.concatenate([sums, *extra, np.zeros((1, units.count))])
        _, example, self._pattern = np.unique(
            np.stack([gaps[first], gaps[second]]), axis=1, return_index=True, return_inverse=True
        )
        both = known[first[example]] & known[second[example]]
        self._sizes = units.totals(np.where(both, 1.0, np.nan))[1]

    def _describe(self, part: slice, own: Floats, counts: Floats) -> None:
        some = counts > 0
        n, total = np.count_nonzero(some, axis=1), own.sum(axis=1)
        each = np.divide(own, counts, out=np.full_like(own, np.nan), where=some)
        root = np.sqrt((own**2).sum(axis=1))
        self.units[part], self.mean[part] = n, ratio(total, counts.sum(axis=1))
        self._root[part], self._observed[part] = root, np.abs(total)
        self.studentized[part] = np.divide(np.abs(total), root, out=np.zeros(len(n)), where=root > 0)
        sign = np.sum(np.sign(own), axis=1)
        self.wins[part] = ratio(0.5 * (sign + n), n.astype(np.float64))
        center = mean(each)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.nansum((each - center[:, None]) ** 2, axis=1) / (n - 1))
            self.d_z[part] = np.where((n > 1) & (spread > 0), center / spread, np.nan)

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def tie(self) -> Floats:
        """Sums from which on a flip is as extreme as what is observed, but for rounding: (contrast,)."""
        return self._observed - 1e-12 * self._size

    @property
    def limit(self) -> Floats:
        """The same of the studentized sums."""
        return np.divide(self.tie, self._root, out=np.zeros(len(self)), where=self._root > 0)

    def flipped(self, heads: NDArray[np.bool_]) -> Floats:
        """Sum of each contrast's differences in each flip, the sign included: (flip, contrast)."""
        whole = self._rows.sum(axis=1)
        sums = whole - 2 * (heads.astype(np.float64) @ self._rows.T)
        found: Floats = sums[:, self._first] - sums[:, self._second]
        return found

    def flipped_sizes(self, heads: NDArray[np.bool_]) -> Floats:
        """Count the images that are not flipped, less those that are: (flip, contrast)."""
        found: Floats = self._sizes.sum(axis=1) - 2 * (heads.astype(np.float64) @ self._sizes.T)
        return found[:, self._pattern.reshape(-1)]

    def studentize(self, sums: Floats) -> Floats:
        """Divide flipped sums, (flip, contrast), by what no flip changes; 0 where all differences are 0."""
        size = np.abs(sums)
        return np.divide(size, self._root, out=np.zeros_like(size), where=self._root > 0)


@dataclass(frozen=True)
class PValues:
    """Two-sided p of each contrast, alone, among those of its family and among all: (contrast,) each."""

    p: Floats
    p_family: Floats
    p_all: Floats


def sign_flip_test(families: Sequence[Contrasts], flips: Flips) -> list[PValues]:
    """Test contrasts of several families, by the same flips.

    The family-wise p are step-down max-T: the chance that, were there no difference anywhere, any of the
    contrasts with a studentized sum up to this one's had one as large.

    Parameters
    ----------
    families : sequence of Contrasts
        Over the same units.
    flips : Flips

    Returns
    -------
    list of PValues
        NaN without a common image.

    References
    ----------
    Phipson, Smyth: Permutation p-values should never be zero, 2010.
    Westfall, Young: Resampling-Based Multiple Testing, 1993, algorithm 2.8 (step-down max-T).

    Examples
    --------
    >>> values = np.random.default_rng(0).normal([[0], [0], [1]], 1, (3, 30))
    >>> units = Units.by([f"{i:02d}" for i in range(30)])
    >>> found = sign_flip_test([Contrasts(values, np.array([[0, 1], [0, 2]]), units)], Flips(30, 999))[0]
    >>> (found.p < 0.05).tolist(), bool((found.p <= found.p_family).all())
    ([False, True], True)
    """
    limits = [family.limit for family in families]
    single = [np.zeros(len(family)) for family in families]
    inside = [_StepDown(limit) for limit in limits]
    among = _StepDown(np.concatenate([*limits, np.empty(0)]))
    for heads in flips.batches(sum(map(len, families))):
        every = []
        for family, count, down in zip(families, single, inside, strict=True):
            sums = family.flipped(heads)
            count += np.count_nonzero(np.abs(sums) >= family.tie, axis=0)
            every.append(family.studentize(sums))
            down.add(every[-1])
        if every:
            among.add(np.concatenate(every, axis=1) if len(every) > 1 else every[0])
    bounds = np.cumsum([0, *map(len, families)])
    of_all = among.p(flips)
    found = []
    for i, (family, count, down) in enumerate(zip(families, single, inside, strict=True)):
        some = np.where(family.units > 0, 1.0, np.nan)
        over = of_all[bounds[i] : bounds[i + 1]]
        found.append(PValues(flips.p(count) * some, down.p(flips) * some, over * some))
    return found


class _StepDown:
    """Counts of flips whose largest statistic, among the contrasts up to each, reaches that one's."""

    def __init__(self, limit: Floats) -> None:
        self._order = np.argsort(limit, kind="stable")
        self._limit = limit[self._order]
        self._count = np.zeros(len(limit))

    def add(self, studentized: Floats) -> None:
        """Take in some flips: (flip, contrast)."""
        largest = np.maximum.accumulate(studentized[:, self._order], axis=1)
        self._count += np.count_nonzero(largest >= self._limit, axis=0)

    def p(self, flips: Flips) -> Floats:
        """Family-wise p of each contrast; none is smaller than that of one with a larger statistic."""
        found = np.empty(len(self._count))
        found[self._order] = np.maximum.accumulate(flips.p(self._count)[::-1])[::-1]
        return found


def equivalence_test(contrasts: Contrasts, margin: float, flips: Flips) -> Floats:
    """Test whether mean differences lie within -margin and margin: two one-sided sign-flip tests.

    Parameters
    ----------
    contrasts : Contrasts
    margin : float
        Above 0, in the unit of the values.
    flips : Flips

    Returns
    -------
    (contrast,) float64
        The larger p of the two; small where the rows are alike. NaN without a common image.

    References
    ----------
    Schuirmann: A comparison of the two one-sided tests procedure and the power approach, 1987.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal([[0], [0]], 1, (2, 60))
    >>> pairs = Contrasts(values, np.array([[0, 1]]), Units.by([f"{i:02d}" for i in range(60)]))
    >>> [equivalence_test(pairs, margin, Flips(60, 999)).round(3).tolist() for margin in (0.2, 1.0)]
    [[0.158], [0.001]]
    """
    whole = contrasts.flipped(np.zeros((1, flips.units), bool))[0]
    room = margin * contrasts.flipped_sizes(np.zeros((1, flips.units), bool))[0]
    slack = 1e-12 * (np.abs(whole) + room)
    above, below = np.zeros(len(contrasts)), np.zeros(len(contrasts))
    for heads in flips.batches(len(contrasts)):
        sums, sizes = contrasts.flipped(heads), margin * contrasts.flipped_sizes(heads)
        above += np.count_nonzero(sizes + sums >= room + whole - slack, axis=0)
        below += np.count_nonzero(sizes - sums >= room - whole - slack, axis=0)
    worse: Floats = flips.p(np.maximum(above, below)) * np.where(contrasts.units > 0, 1.0, np.nan)
    return worse
