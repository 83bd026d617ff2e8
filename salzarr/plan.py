"""The arithmetic of a comparison, before anything runs: pairs, chunks, blocks, tiles, bytes and seconds.

Nothing here reads, computes or starts anything; what has to be measured (seconds) is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from dask.utils import format_bytes, format_time, parse_bytes
from numpy.typing import NDArray

from salzarr.errors import BudgetError, UsageError

CHUNK_BYTES = 4 * 2**20
"""A stored chunk: one-image chunks of 0.2 MB read at half the speed of chunks of 4 MB."""

MANY_BLOCKS = 2_000
"""Blocks of a large comparison: they keep hundreds of workers evenly busy, and are few files per metric."""

BASE_BYTES = 320 * 2**20
"""A process that has imported numpy, scipy, numba, zarr, xarray and dask and has compiled its kernels."""

PUBLISH_BYTES = 480 * 2**20
"""A process that has scored, and has imported and compiled what reduces scores and draws pictures."""

LEAST_BYTES = 128 * 2**20
"""What reducing scores may use however little is given."""

MEMORY = 2**30
"""Bytes for what reads maps a second time, or reduces scores, unless told otherwise."""

FEW = 16
"""Images of a block, of maps that are not stored many together."""

COPY_BYTES = 24.0
"""Per pixel of a map that is normalized: its float64 copy, and two more while that is made."""

READ_AHEAD = 10
"""Chunks that zarr fetches and decodes at the same time (its ``async.concurrency``)."""


def pairs(models: int, reference: int | None = None) -> NDArray[np.intp]:
    """Every unordered pair of models, j-major; or one model against every other.

    Parameters
    ----------
    models : int
        How many.
    reference : int, optional
        Position of the model that all the others are compared with.

    Returns
    -------
    (pair, 2) int
        Positions (a, b). Pairs of the first n models come first, whatever follows: adding a model appends.

    Examples
    --------
    >>> pairs(4).tolist()
    [[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3]]
    >>> pairs(3, reference=1).tolist()
    [[1, 0], [1, 2]]
    """
    if reference is None:
        b, a = np.tril_indices(models, -1)
        return np.stack([a, b], axis=1)
    others = np.delete(np.arange(models), reference)
    return np.stack([np.full_like(others, reference), others], axis=1)


def chunk_images(shape: tuple[int, int], itemsize: int, target: int = CHUNK_BYTES) -> int:
    """How many images one chunk of a maps store holds.

    Examples
    --------
    >>> chunk_images((224, 224), 4)
    20
    >>> chunk_images((4096, 4096), 4)
    1
    """
    return max(1, target // (shape[0] * shape[1] * itemsize))


def blocks(images: int, size: int) -> list[slice]:
    """Cut images into consecutive blocks; the last may be shorter.

    Examples
    --------
    >>> blocks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def tiles(pairs: NDArray[np.intp], size: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Walk the lower triangle in tiles of models, so that few models are in memory at a time.

    Parameters
    ----------
    pairs : (pair, 2) int
    size : int
        Models along a side of a tile: at most twice as many are needed at once.

    Returns
    -------
    list of (models, positions)
        Of each tile, the models it needs, ascending, and which of the pairs it scores. No pair is in two.

    Examples
    --------
    >>> [(models.tolist(), where.tolist()) for models, where in tiles(pairs(3), 2)]
    [([0, 1], [0]), ([0, 1, 2], [1, 2])]
    """
    if not len(pairs):
        return []
    side = pairs // size
    _, tile = np.unique(side[:, ::-1], axis=0, return_inverse=True)
    order = np.argsort(tile.ravel(), kind="stable")
    cuts = np.flatnonzero(np.diff(tile.ravel()[order])) + 1
    return [(np.unique(pairs[where]), where) for where in np.split(order, cuts)]


@dataclass(frozen=True)
class Load:
    """What one metric costs.

    Attributes
    ----------
    name : str
        Its slug.
    map_bytes, image_bytes, pair_bytes : float
        Memory per pixel: of its features for every map of a chunk, of its scratch for every model while one
        image is scored, and while one pair is scored.
    values : int
        Numbers per pair and image: its variables and their companions.
    map_seconds, pair_seconds : float
        Measured time per map, and per pair and image; NaN if nobody has measured.
    """

    name: str
    map_bytes: float = 0.0
    image_bytes: float = 0.0
    pair_bytes: float = 0.0
    values: int = 1
    map_seconds: float = math.nan
    pair_seconds: float = math.nan


@dataclass(frozen=True)
class Plan:
    """How a comparison is cut into tasks, and what that takes; see :func:`fit`.

    Attributes
    ----------
    models, images : int
        How many.
    shape : (int, int)
        (H, W) of a map.
    pairs : (pair, 2) int
        Positions of the models to compare.
    loads : tuple of Load
        The metrics.
    chunk : int
        Images of a stored chunk: a task reads and scores so many at a time.
    itemsize : int
        Bytes of a stored pixel.
    threads, workers : int
        Tasks that run at the same time in one process, and such processes.
    budget : int or None
        Bytes that one process may take, interpreter and libraries included.
    read_seconds : float
        Measured time to read a map; NaN if nobody has measured.
    copy_bytes : float
        Memory per pixel of every map of a chunk for its normalized copy.
    copies : int
        Maps in memory for each model and image: two where a pair's maps are of different images.
    block : int
        Images of a task, a whole number of stored chunks: one chunk of scores.
    tile : int
        Models along a side of a tile; all of them if a chunk of all models fits.
    """

    models: int
    images: int
    shape: tuple[int, int]
    pairs: NDArray[np.intp] = field(compare=False, repr=False)
    loads: tuple[Load, ...]
    chunk: int
    itemsize: int = 4
    threads: int = 1
    workers: int = 1
    budget: int | None = None
    read_seconds: float = math.nan
    copy_bytes: float = 0.0
    copies: int = 1
    block: int = 1
    tile: int = 1

    @property
    def tasks(self) -> int:
        """Blocks of images, each read, scored and written by one task."""
        return math.ceil(self.images / self.block)

    @cached_property
    def map_reads(self) -> int:
        """How many maps are read for each image: one per model, more in tiles."""
        if self.tile >= self.models:
            return self.models
        return sum(len(needed) for needed, _ in tiles(self.pairs, self.tile))

    @property
    def models_at_once(self) -> int:
        """Models whose maps are in memory at the same time."""
        return self.models if self.tile >= self.models else min(2 * self.tile, self.models)

    @property
    def map_bytes(self) -> int:
        """Bytes of one map."""
        return self.shape[0] * self.shape[1] * self.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes of maps that all the tasks read, decoded."""
        return self.map_reads * self.images * self.map_bytes

    @property
    def score_bytes(self) -> int:
        """Bytes of scores and reasons, before compression."""
        return self.images * self._image_score_bytes

    @property
    def _image_score_bytes(self) -> int:
        return len(self.pairs) * sum(8 * load.values + 1 for load in self.loads)

    @property
    def task_bytes(self) -> int:
        """Peak memory of a task: a chunk of maps, being read or with its features, and a block of scores."""
        image = self.shape[0] * self.shape[1]
        chunk = image * min(self.chunk, self.block, self.images)
        held = self.copies * self.models_at_once
        maps = held * chunk * self.itemsize
        reading = 2 * min(READ_AHEAD, held) * chunk * self.itemsize
        features = held * chunk * (self.copy_bytes + sum(load.map_bytes for load in self.loads))
        scratch = image * max((held * load.image_bytes + load.pair_bytes for load in self.loads), default=0.0)
        # A block of scores, and once more the largest array while it is encoded.
        scores = 2 * min(self.block, self.images) * self._image_score_bytes
        return math.ceil(maps + max(reading, features + scratch) + scores)

    @property
    def peak_bytes(self) -> int:
        """Peak memory of one process."""
        return BASE_BYTES + self.threads * self.task_bytes

    @property
    def seconds(self) -> float:
        """Projected time; NaN without a calibration."""
        image = self.map_reads * (self.read_seconds + sum(load.map_seconds for load in self.loads))
        image += len(self.pairs) * sum(load.pair_seconds for load in self.loads)
        return self.images * image / (self.threads * self.workers)

    def __str__(self) -> str:
        tiling = f", in tiles of {self.tile} models ({self.models_at_once} in memory)"
        lines = [
            f"{self.models} models x {self.images:,} images of {self.shape[0]}x{self.shape[1]}, "
            f"{len(self.pairs):,} pairs, metrics {', '.join(load.name for load in self.loads)}",
            f"tasks    {self.tasks:,} of {self.block:,} images" + tiling * (self.tile < self.models),
            f"reads    {format_bytes(self.read_bytes)} of maps",
            f"scores   {format_bytes(self.score_bytes)} before compression",
            f"memory   {format_bytes(self.task_bytes)} a task, {format_bytes(self.peak_bytes)} a process"
            + (f" of the {format_bytes(self.budget)} allowed" if self.budget else ""),
        ]
        if not math.isnan(self.seconds):
            lines.append(
                f"time     about {format_time(self.seconds)} on {self.workers} x {self.threads} threads"
            )
            for load in self.loads:
                image = self.map_reads * load.map_seconds + len(self.pairs) * load.pair_seconds
                lines.append(f"           {load.name}: {format_time(self.images * image)} of one core")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers as plain JSON types."""
        seconds = None if math.isnan(self.seconds) else self.seconds
        names = (
            *("models", "images", "chunk", "block", "tile", "threads", "workers", "budget"),
            *("tasks", "read_bytes", "score_bytes", "task_bytes", "peak_bytes"),
        )
        found = {name: getattr(self, name) for name in names}
        return found | {"pairs": len(self.pairs), "shape": list(self.shape), "seconds": seconds}


def fit(plan: Plan, *, block: int | None = None, tile: int | None = None, split_chunks: bool = False) -> Plan:
    """Choose blocks of images and tiles of models that fit the plan's budget.

    Parameters
    ----------
    plan : Plan
        Its block and tile are not looked at.
    block, tile : int, optional
        Those of a comparison that is resumed: they are followed, whatever the budget.
    split_chunks : bool, default False
        Let a block be less than a stored chunk, where no block of scores is stored.

    Returns
    -------
    Plan

    Raises
    ------
    BudgetError
        If not even two models' maps of one stored chunk fit; or, on a resume, not the tiles it began with.

    Examples
    --------
    >>> twelve = Plan(12, 64, (224, 224), pairs(12), (Load("mse", map_bytes=8),), chunk=20)
    >>> fit(twelve).tile
    12
    >>> fit(replace(twelve, budget=400 * 2**20)).tile
    3
    """
    many = max(1, -(-plan.images // (plan.chunk * MANY_BLOCKS)))
    sizes: tuple[int, ...] = (plan.chunk * many, plan.chunk) if block is None else (block,)
    if split_chunks:
        sizes = (plan.chunk, *(plan.chunk >> halves for halves in range(1, plan.chunk.bit_length())))
    # Larger tiles first: the smaller they are, the more often a map is read.
    cuts = (plan.models, *(-(-plan.models // parts) for parts in range(3, plan.models + 1)))
    found = plan
    for side in dict.fromkeys(cuts if tile is None else (tile,)):
        for images in dict.fromkeys(sizes):
            found = replace(plan, block=images, tile=side)
            if plan.budget is None or found.peak_bytes <= plan.budget:
                return found
    what = f"a block of {min(found.block, plan.chunk)} images"
    if tile is not None:
        what = "the tile that these results began with"
    raise BudgetError(
        f"{what} with {found.models_at_once} models of {plan.shape[0]}x{plan.shape[1]} needs "
        f"{format_bytes(found.peak_bytes)} in a process ({format_bytes(BASE_BYTES)}, and "
        f"{format_bytes(found.task_bytes)} for each of {plan.threads} tasks at a time), and "
        f"{format_bytes(plan.budget or 0)} are allowed; allow more memory, or fewer threads in a process"
    )


def parse_size(text: str | int | None, what: str = "memory") -> int | None:
    """Bytes from a text such as ``512MiB``; a number is taken as it is.

    Raises
    ------
    UsageError
        If it is no size, or not above zero.

    Examples
    --------
    >>> parse_size("1.5 GiB"), parse_size("512MB"), parse_size(None)
    (1610612736, 512000000, None)
    """
    if text is None:
        return None
    try:
        count = parse_bytes(text) if any(map(str.isdigit, str(text))) else 0
    except (ValueError, OverflowError):
        count = 0
    if count <= 0:
        raise UsageError(f"{what} {text!r} is no size; write it as 512MiB or 4GiB")
    return count
