"""Designs of pairs: which maps are scored against which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salzarr import plan
from salzarr.errors import MetricError
from salzarr.maps import Maps
from salzarr.metrics import Block
from salzarr.schema import Reason

Array = NDArray[Any]
Floats = NDArray[np.float64]
Pairs = NDArray[np.intp]

CONSENSUS = "consensus of the others"
OTHERS = "others"
"""Of how many maps a consensus is the mean; 0 where the model itself has none to compare."""


class PairTile(NamedTuple):
    """Maps in memory, and the pairs of them that are scored."""

    maps: Array | Block
    """(map, image, y, x)"""
    pairs: Pairs
    """(pair, 2) positions among these maps."""
    rows: Any
    """Which of the design's pairs these are: an index."""
    names: Sequence[str] = ()
    """The model of each map, for messages."""
    more: Mapping[str, Array] = {}
    """Further values of these pairs, (pair, image)."""


class Design(ABC):
    """Which maps are scored against which: a small value that every job carries.

    What is here serves the designs whose pairs are of one image.
    """

    copies: ClassVar[int] = 1
    """Maps in memory for each model and image."""
    more: ClassVar[tuple[str, ...]] = ()
    """Names of further values per pair and image, beside the scores."""

    @property
    @abstractmethod
    def pairs(self) -> Pairs:
        """(pair, 2) positions among :meth:`names`."""

    def after(self, first: int) -> Design:
        """Return the design without its first pairs, so many."""
        return GivenPairs(self.pairs[first:])

    def names(self, models: Sequence[str]) -> tuple[str, ...]:
        """Return the names that stand for the positions in the pairs."""
        return tuple(models)

    def inputs(self, maps: Maps, images: slice) -> tuple[Maps, ...]:
        """Return the maps that the scores of some images take, each of as many images."""
        return (maps.on(images),)

    def tiles(self, inputs: Sequence[Maps], side: int) -> Iterator[PairTile]:
        """Read the inputs in tiles of models, at most ``side`` along each side of a tile."""
        (maps,) = inputs
        for models, rows in _walk(self.pairs, side, maps.shape[0]):
            some = maps.part(models, slice(None))
            yield PairTile(some.read(), np.searchsorted(models, self.pairs[rows]), rows, some.models)


@dataclass(frozen=True)
class UniquePairs(Design):
    """All unique pairs of models, or each model with a reference.

    Attributes
    ----------
    models : int
    reference : int or None
        Position of the model that every other is compared with.
    """

    models: int
    reference: int | None = None

    @property
    def pairs(self) -> Pairs:
        """(pair, 2) positions of models."""
        return plan.pairs(self.models, self.reference)


@dataclass(frozen=True, eq=False)
class GivenPairs(Design):
    """These pairs of models: (pair, 2) positions."""

    given: Pairs

    @property
    def pairs(self) -> Pairs:
        """(pair, 2) positions of models."""
        return self.given


def alone(models: int) -> GivenPairs:
    """Return each model with itself, to read the maps a model at a time."""
    return GivenPairs(np.repeat(np.arange(models), 2).reshape(-1, 2))


@dataclass(frozen=True, eq=False)
class Mismatched(GivenPairs):
    """Pairs of models on different images: model a on an image, model b on its partner.

    Attributes
    ----------
    partner : (image,) int
    """

    partner: NDArray[np.intp]
    copies: ClassVar[int] = 2

    def inputs(self, maps: Maps, images: slice) -> tuple[Maps, ...]:
        """Return the maps of the images, and those of their partners."""
        return maps.on(images), maps.part(range(maps.shape[0]), self.partner[images])

    def tiles(self, inputs: Sequence[Maps], side: int) -> Iterator[PairTile]:
        """Read both, model by model: the partners stand behind."""
        for models, rows in _walk(self.pairs, side, inputs[0].shape[0]):
            own, others = (maps.part(models, slice(None)) for maps in inputs)
            a, b = np.searchsorted(models, self.pairs[rows]).T
            both = np.concatenate([own.read(), others.read()])
            yield PairTile(both, np.stack([a, len(models) + b], axis=1), rows, own.models + others.models)


@dataclass(frozen=True)
class LeaveOneOut(Design):
    """Each model with the consensus of the others: the mean of their normalized maps.

    Attributes
    ----------
    models : int
    chain : str
        What is done to each map before it is averaged.
    own : bool
        Whether a model's own map is in the mean, too: then it is that of all.
    """

    models: int
    chain: str
    own: bool = False
    copies: ClassVar[int] = 2
    more: ClassVar[tuple[str, ...]] = (OTHERS,)

    @property
    def pairs(self) -> Pairs:
        """(model, 2): the consensus stands behind the models."""
        models = np.arange(self.models)
        return np.stack([models, np.full_like(models, self.models)], axis=1)

    def names(self, models: Sequence[str]) -> tuple[str, ...]:
        """Return the models' names and that of the consensus."""
        name = CONSENSUS
        while name in models:
            name += "'"
        return (*models, name)

    def tiles(self, inputs: Sequence[Maps], side: int) -> Iterator[PairTile]:
        """Read the maps for their sums, and, unless all fit at once, again for the sums without each."""
        (maps,) = inputs
        parts = [range(self.models)[cut] for cut in plan.blocks(self.models, min(2 * side, self.models))]

        def read() -> Iterator[Block]:
            return (normalized(maps.part(part, slice(None)).read(), self.chain) for part in parts)

        kept = list(read()) if len(parts) == 1 else None
        totals, counts, lows = zip(*map(sum_of_usable, kept or read()), strict=True)
        total, count, low = np.sum(totals, axis=0), np.sum(counts, axis=0), np.min(lows, axis=0)
        for part, block in zip(parts, kept or read(), strict=True):
            others = mean_of_others(block, total, count, low, own=self.own)
            both = Block(np.concatenate([block.maps, others]))
            alone = np.isnan(others).all(axis=(2, 3))
            reasons = np.where(alone, np.uint8(Reason.MISSING), np.uint8(Reason.SCORED))
            both.unusable = np.concatenate([block.unusable, reasons])
            pair = np.arange(len(part))
            pairs = np.stack([pair, pair + len(part)], axis=1)
            names = (*(maps.models[i] for i in part), *[CONSENSUS] * len(part))
            used = np.where(block.unusable == Reason.SCORED, count - (not self.own), 0)
            yield PairTile(both, pairs, slice(part.start, part.stop), names, {OTHERS: used})


def _walk(pairs: Pairs, side: int, models: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Walk the pairs in tiles of models: the models, ascending, and the positions of the pairs."""
    if side < models:
        return plan.tiles(pairs, side)
    return [(np.unique(pairs), np.arange(len(pairs)))]


def normalized(maps: Array, chain: str) -> Block:
    """Return the block of normalized maps; refuse maps with negative values that the chain cannot take."""
    block = Block(maps).normalized(chain)
    signed = np.argwhere(block.unusable == Reason.NEGATIVE)
    if len(signed):
        raise MetricError(
            f"{len(signed)} maps have negative values, which {chain!r} cannot take; "
            f"give the consensus a normalization for signed maps, such as 'abs+{chain}'"
        )
    return block


def sum_of_usable(block: Block) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return sum (image, y, x), number (image,) and smallest value (image,) of the usable maps."""
    usable = block.unusable == Reason.SCORED
    total = np.where(usable[:, :, None, None], block.maps, 0.0).sum(axis=0, dtype=np.float64)
    return total, usable.sum(axis=0), np.where(usable, block.low, np.inf).min(axis=0)


def mean_of_others(
    block: Block, total: Floats, count: NDArray[np.intp], low: Floats, *, own: bool = False
) -> Floats:
    """Return the mean of all other models' maps, or of all: (model, image, y, x); NaN where there is none."""
    usable = (block.unusable == Reason.SCORED) & (not own)
    others = (count - usable)[:, :, None, None]
    left = total - np.where(usable[:, :, None, None], block.maps, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A difference of sums leaves -1e-20 where all others are 0; no mean lies below the smallest value.
        mean: Floats = np.where(others > 0, np.maximum(left / others, low[:, None, None]), np.nan)
    return mean
