"""Agreement of two maps on their most important features: pixels, or blocks of them (Krishna et al. 2022)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.metrics.block import Block
from salzarr.metrics.largest import agreement, check_fraction, memberships, of_larger, overlap
from salzarr.metrics.metric import Metric, Pairs, Scores, check_parameter, is_whole, register
from salzarr.metrics.ranks import CONSTANT, ranked
from salzarr.schema import Reason
from salzarr.transport.masses import block_factor, block_sums


@register
def feature_agreement(fraction: float = 0.1) -> Metric:
    """Share of the pixels of largest magnitude that both maps have.

    Parameters
    ----------
    fraction : float
        As for :func:`topk_iou`.

    See Also
    --------
    topk_intersection : by value.

    References
    ----------
    Krishna et al. 2022
    """
    return overlap(
        fraction,
        of_larger,
        magnitude=True,
        definition=f"share of the pixels of largest magnitude, a fraction of {fraction}, that both maps have",
    )


@register
def sign_agreement(fraction: float = 0.1) -> Metric:
    """Share of the pixels of largest magnitude that both maps have, with the same sign.

    Undefined for a map without negative values: all its signs are the same.

    Parameters
    ----------
    fraction : float
        As for :func:`topk_iou`.

    References
    ----------
    Krishna et al. 2022
    """
    return overlap(
        fraction,
        of_larger,
        magnitude=True,
        signs=True,
        undefined=CONSTANT | {Reason.UNSIGNED},
        definition=f"share of the pixels of largest magnitude, a fraction of {fraction}, that both maps "
        "have, with the same sign",
    )


Grid = int | Literal["full"]


def _order(fraction: float, grid: Grid, signs: bool, **fields: Any) -> Metric:
    """Compare the ranks that the blocks of largest magnitude have in two maps."""
    check_fraction(fraction)
    check_parameter("grid", grid, grid == "full" or is_whole(grid, 1), "a whole number from 1, or full")
    name = f"ranks of magnitudes {fraction} {grid}"

    def features(block: Block) -> tuple[Scores, Scores, Scores]:
        """Memberships, doubled average ranks and signs of the blocks of each map: (model, image, block)."""
        most = max(block.shape) if grid == "full" else grid
        rows = [[block_sums(one, most)[0].ravel() for one in maps] for maps in block.maps]
        sums = np.array(rows).reshape(*block.maps.shape[:2], -1)
        shares, k = np.zeros(sums.shape), max(1, round(fraction * sums.shape[2]))
        for model, image in np.argwhere(block.unusable == Reason.SCORED):
            shares[model, image] = memberships(np.abs(sums[model, image]), k)
        return shares, ranked(np.abs(sums)), np.sign(sums)

    def score(block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> tuple[Scores, ...]:
        shares, ranks, sign = block.feature(name, features)
        size, own = shares.sum(axis=2), (shares**2).sum(axis=2)
        size[size == 0] = np.nan  # all of one magnitude
        common = np.empty(ok.shape)
        for pair, (a, b) in enumerate(pairs):
            same = ranks[a] == ranks[b]
            if signs:
                same &= sign[a] == sign[b]
            common[pair] = (shares[a] * shares[b] * same).sum(axis=1)
        own = of_larger(own, size, size)
        tied = ((shares > 0) & (shares < 1)).mean(axis=2)
        a, b = pairs.T
        return of_larger(common, size[a], size[b]), np.maximum(tied[a], tied[b]), (own[a] + own[b]) / 2

    pixels = 1.0 if grid == "full" else 0.0
    return agreement(
        score,
        features=(name,),
        resolution=None if grid == "full" else partial(block_factor, grid=grid),
        map_bytes=48 * pixels,
        image_bytes=24,
        pair_bytes=18 * pixels,
        **fields,
    )


@register
def rank_agreement(fraction: float = 0.1, grid: Grid = 7) -> Metric:
    """Share of the blocks of largest magnitude that have the same rank in both maps.

    Parameters
    ----------
    fraction : float
        Of the blocks, as for :func:`topk_iou`. Equal magnitudes have their average rank.
    grid : int or "full"
        Sum the maps over at most this many square blocks along the longer side, or compare single pixels: of
        224 x 224 pixels the chance of one and the same rank is 2e-5.

    References
    ----------
    Krishna et al. 2022
    """
    return _order(
        fraction,
        grid,
        signs=False,
        definition=f"share of the blocks of largest magnitude, a fraction of {fraction}, with the same rank "
        "in both maps",
    )


@register
def signed_rank_agreement(fraction: float = 0.1, grid: Grid = 7) -> Metric:
    """Share of the blocks of largest magnitude that have the same rank and the same sign in both maps.

    Undefined for a map without negative values: all its signs are the same.

    Parameters
    ----------
    fraction, grid
        As for :func:`rank_agreement`. A sum of 0 has no sign, and agrees with nothing but itself.

    References
    ----------
    Krishna et al. 2022
    """
    return _order(
        fraction,
        grid,
        signs=True,
        undefined=CONSTANT | {Reason.UNSIGNED},
        definition=f"share of the blocks of largest magnitude, a fraction of {fraction}, with the same rank "
        "and sign in both maps",
    )
