#!/usr/bin/env python
"""How fast the Earth Mover's Distances are against their peers: a Markdown table of ratios.

    python scripts/benchmark_emd.py [--quick] [--store maps.zarr]

Both sides score the same pairs, on one thread, in turns, at least five times; medians are compared, and the
numbers are checked to be equal before they count. ``--store`` takes the maps from a store of salzarr's
instead of making some. The row against OR-tools needs the extra ``benchmark``; without it, it is left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, stats
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from salzarr.transport import bracket, cityblock, euclidean, masses, pot, sliced, values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIDE = 224
REPEATS = 5


def saliency_maps(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Make maps like those of explainers, of four kinds in turn: (count, side, side), each of sum 1.

    Human fixations (a few blobs), class activations (a coarse grid, enlarged), gradients (heavy-tailed pixel
    noise in an envelope) and integrated gradients (the same smoothed, clipped and rounded to 8 bits).
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side

    def blobs() -> np.ndarray:
        centers, widths = rng.uniform(0.15, 0.85, (4, 2)), rng.uniform(0.04, 0.15, 4)
        squares = ((y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centers)
        return 1e-3 + sum(np.exp(-s / (2 * w * w)) for s, w in zip(squares, widths, strict=True))

    def activations() -> np.ndarray:
        coarse = ndimage.gaussian_filter(rng.normal(size=(7, 7)), 1.0)
        coarse = np.maximum(coarse - np.quantile(coarse, 0.3), 0)
        return ndimage.zoom(coarse, side / 7, order=1, mode="nearest", grid_mode=True)

    def gradients() -> np.ndarray:
        return np.abs(rng.standard_t(3, (side, side))) * (blobs() + 0.08)

    def smoothed() -> np.ndarray:
        noise = ndimage.gaussian_filter(np.abs(rng.standard_t(2, (side, side))), 1.0) * (blobs() + 0.03)
        return np.round(255 * np.minimum(noise / np.quantile(noise, 0.995), 1))

    kinds = (blobs, activations, gradients, smoothed)
    maps = [kinds[k % 4]() for k in range(count)]
    return np.stack([m / m.sum() for m in maps])


def store_maps(path: str, count: int) -> np.ndarray:
    """Read the maps of the first image by the first models of a store: (model, y, x), each of sum 1."""
    import xarray as xr

    maps = np.abs(xr.open_zarr(path).maps[:count, 0].values.astype(float))
    return maps / maps.sum(axis=(1, 2), keepdims=True)


def in_turns(*sides: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Median seconds of each of several functions, called in turns."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, spent in zip(sides, seconds, strict=True):
            begun = time.perf_counter()
            side()
            spent.append(time.perf_counter() - begun)
    return [statistics.median(spent) for spent in seconds]


def row(
    name: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    target: str,
    tolerance: float,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Compare the numbers, then the times, of two functions that return the same distances."""
    a, b = np.asarray(ours()), np.asarray(peer())
    apart = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300))
    if not apart <= tolerance:
        raise SystemExit(f"{name}: the numbers differ by {apart:.1e} of the largest, more than {tolerance:g}")
    fast, slow = in_turns(ours, peer, repeats=repeats)
    return {
        "name": name,
        "ours": fast,
        "peer": slow,
        "ratio": slow / fast,
        "target": target,
        "agreement": apart,
    }


def scorer(
    solver: Any,
    maps: Sequence[np.ndarray],
    pairs: Sequence[tuple[int, int]],
    how: dict[str, Any] | None = None,
    **prepared_on: Any,
) -> Callable[[], list]:
    """Score the pairs of maps that are prepared already."""
    prepared = [solver.prepare(m, **prepared_on) for m in maps]

    def score() -> list[float]:
        found = [solver.distance(prepared[i], prepared[j], **(how or {})) for i, j in pairs]
        return [f[0] if isinstance(f, tuple) else f for f in found]

    return score


def plain_pot(
    maps: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]], grid: int, ground: str
) -> Callable[[], list]:
    """``ot.emd2`` as one calls it: all the mass, on the block sums, with the cost matrix at hand."""
    import ot

    blocks, side = zip(*(masses.block_sums(m, grid) for m in maps), strict=True)
    where = np.argwhere(np.ones(blocks[0].shape)).astype(float) * side[0]
    cost = cdist(where, where, ground)
    flat = [(b / b.sum()).ravel() for b in blocks]
    return lambda: [ot.emd2(flat[i], flat[j], cost, numItermax=10**7) for i, j in pairs]


def against_pot(maps: np.ndarray, pairs: list[tuple[int, int]], quick: bool) -> list[dict[str, Any]]:
    """Rows of the exact solvers on reduced grids against POT, with all the mass and with a - b only."""
    rows = []
    cases = [
        ("Euclidean 32²", euclidean, "euclidean", 32, "12 (25)"),
        ("Euclidean 56²", euclidean, "euclidean", 56, "20 (50)"),
        ("city block 56²", cityblock, "cityblock", 56, "600 (1000)"),
    ]
    for label, solver, ground, grid, target in cases[2 * quick :]:
        ours, plain = scorer(solver, maps, pairs, grid=grid), plain_pot(maps, pairs, grid, ground)
        rows.append(row(f"{label}, exact, against ot.emd2", ours, plain, target, 1e-9))
        netted = scorer(pot, maps, pairs, {"ground": ground}, grid=grid)
        rows.append(row(f"{label}, exact, against ot.emd2 on a - b", ours, netted, "", 1e-9))
    if not quick:
        rough, plain = (
            scorer(euclidean, maps, pairs, {"rtol": 0.01}, grid=56),
            plain_pot(maps, pairs, 56, "euclidean"),
        )
        rows.append(row("Euclidean 56², certified 1 %, against ot.emd2", rough, plain, "80 (150)", 0.01))
    return rows


def growth(maps: np.ndarray, pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """Time of city block per pair at 224² over that at 56²: the only row where less is better."""
    fine, coarse = (scorer(cityblock, maps, pairs, grid=grid) for grid in ("full", 56))
    fine(), coarse()
    slow, fast = in_turns(fine, coarse)
    name = f"city block {maps.shape[1]}² over 56², time per pair (less is better)"
    return {
        "name": name,
        "ours": slow,
        "peer": fast,
        "ratio": slow / fast,
        "target": "≤ 40 (20)",
        "agreement": 0.0,
    }


def against_ortools(maps: np.ndarray, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Row of city block at full size against OR-tools' min-cost flow on the same grid graph, one pair."""
    try:
        from ortools.graph.python import min_cost_flow
    except ImportError:
        return []
    a, b = (cityblock.prepare(m) for m in maps[1:3])
    supply = a.levels[-1] - b.levels[-1]
    node = np.arange(supply.size).reshape(supply.shape)
    across = [(node[:, 1:], node[:, :-1]), (node[1:], node[:-1])]
    tails = np.concatenate([e.ravel() for u, v in across for e in (u, v)])
    heads = np.concatenate([e.ravel() for u, v in across for e in (v, u)])

    def peer() -> float:
        flow = min_cost_flow.SimpleMinCostFlow()
        capacity = np.full(tails.size, masses.unit(supply.shape))
        flow.add_arcs_with_capacity_and_unit_cost(tails, heads, capacity, np.ones(tails.size, np.int64))
        flow.set_nodes_supplies(node.ravel(), supply.ravel())
        if flow.solve() != flow.OPTIMAL:
            raise SystemExit("OR-tools found no flow")
        return flow.optimal_cost() * a.side / masses.unit(supply.shape)

    name = f"city block {maps.shape[1]}² against OR-tools' min-cost flow, one pair"
    return [row(name, lambda: cityblock.distance(a, b), peer, "250 (600)", 1e-15, repeats)]


def against_sliced_pot(maps: np.ndarray, quick: bool) -> dict[str, Any]:
    """Row of the sliced distance of all pairs, features included, against POT with the same projections."""
    import ot

    maps = maps[: 4 if quick else len(maps)]
    pairs = list(combinations(range(len(maps)), 2))
    y, x = np.indices(maps[0].shape)
    where = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    projections = sliced.DIRECTIONS.T / np.hypot(*sliced.DIRECTIONS.T)
    flat = maps.reshape(len(maps), -1)

    def peer() -> list[float]:
        distance = partial(ot.sliced_wasserstein_distance, where, where, projections=projections, p=1)
        return [distance(flat[i], flat[j]) for i, j in pairs]

    name = f"sliced_wasserstein {maps.shape[1]}², {len(pairs)} pairs of {len(maps)} maps, against POT's"
    return row(name, lambda: scorer(sliced, maps, pairs)(), peer, "500 (2000)", 1e-9, 1 if quick else REPEATS)


def against_scipy(maps: np.ndarray) -> dict[str, Any]:
    """Row of the value distance of all pairs, sorting included, against SciPy on the flattened maps."""
    maps = maps.astype(np.float32)
    pairs = list(combinations(range(len(maps)), 2))
    flat = maps.reshape(len(maps), -1).astype(float)
    name = (
        f"wasserstein_values {maps.shape[1]}², {len(pairs)} pairs of {len(maps)} maps, against scipy.stats'"
    )
    peer = lambda: [stats.wasserstein_distance(flat[i], flat[j]) for i, j in pairs]  # noqa: E731
    return row(name, lambda: scorer(values, maps, pairs)(), peer, "50", 1e-9)


def two_threads(maps: np.ndarray, quick: bool) -> list[dict[str, Any]]:
    """Rows of one thread over two, on pairs of prepared maps."""
    pairs = list(combinations(range(len(maps)), 2))[: 8 if quick else 24]
    cases = [
        (f"city block {maps.shape[1]}²", cityblock, {}, 1),
        ("Euclidean 56²", euclidean, {"grid": 56}, 1),
        ("Euclidean 32²", euclidean, {"grid": 32}, 2),
        (f"Euclidean {maps.shape[1]}², bracket", bracket, {}, 1),
    ]
    rows = []
    for label, solver, options, times in cases[: 1 if quick else None]:
        prepared = [solver.prepare(m, **options) for m in maps]
        jobs = [(prepared[i], prepared[j]) for i, j in pairs] * times

        def one(solver: Any = solver, jobs: list[Any] = jobs) -> list[Any]:
            return [solver.distance(*job) for job in jobs]

        def two(solver: Any = solver, jobs: list[Any] = jobs) -> list[Any]:
            with ThreadPoolExecutor(2) as pool:
                halves = pool.map(
                    lambda part: [solver.distance(*job) for job in part], (jobs[::2], jobs[1::2])
                )
                return [d for both in zip(*halves, strict=True) for d in both]

        rows.append(row(f"{label}, two threads against one", two, one, "1.7 (1.9)", 0.0))
    return rows if quick else [*rows, sliced_in_two_threads(maps)]


def sliced_in_two_threads(maps: np.ndarray) -> dict[str, Any]:
    """Row of one thread over two; a pair takes microseconds, so the work is an image, as in a comparison."""
    pairs = list(combinations(range(len(maps)), 2))

    def image(_: int) -> list[float]:
        prepared = [sliced.prepare(m) for m in maps]
        return [sliced.distance(prepared[i], prepared[j]) for i, j in pairs]

    def two() -> list[list[float]]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(image, range(100)))

    label = f"sliced_wasserstein {maps.shape[1]}², images of {len(maps)} maps, two threads against one"
    return row(label, two, lambda: list(map(image, range(100))), "1.7 (1.9)", 0.0)


def rows(quick: bool = False, maps: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Fewer rows and pairs: half a minute in place of some ten.
    maps : (10, y, x) float, optional
        Non-negative, of sum 1; :func:`saliency_maps` by default.

    Returns
    -------
    list of dict
        ``name``; ``ours`` and ``peer`` in seconds for the same work; ``ratio``, which ``target`` says what it
        must be (and in brackets, should be); ``agreement``, the largest relative difference of the numbers.
    """
    maps = saliency_maps(10) if maps is None else maps
    pairs = [(0, 4), (1, 2)] if quick else [(0, 4), (1, 5), (2, 6), (3, 7), (1, 2)]
    with threadpool_limits(1):
        return [
            *against_pot(maps, pairs, quick),
            growth(maps, pairs),
            *([] if quick else against_ortools(maps)),
            against_sliced_pot(maps, quick),
            against_scipy(maps),
            *two_threads(maps, quick),
        ]


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Format rows as Markdown."""
    lines = [
        "| what | ours | peer | ratio | must (aim) | numbers differ by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in measured:
        times = f"{1e3 * r['ours']:.2f} ms | {1e3 * r['peer']:.2f} ms"
        lines.append(f"| {r['name']} | {times} | {r['ratio']:.3g} | {r['target']} | {r['agreement']:.0e} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and pairs")
    parser.add_argument("--store", help="take the maps of the first image of this store")
    options = parser.parse_args()
    maps = store_maps(options.store, 10) if options.store else None
    sys.stdout.write(table(rows(options.quick, maps)) + "\n")


if __name__ == "__main__":
    main()
