#!/usr/bin/env python
"""What a comparison costs on top of its kernels, and how it grows: a Markdown table, and a picture.

    python scripts/benchmark_compare.py [--quick] [--scale] [--picture FILE]

Each ratio is the peer's time over ours, medians of repeats in turns, on one thread unless the row says
otherwise. ``--scale`` measures time and peak memory up to 100,000 images and 50 models, each comparison in a
process of its own; ``--picture`` draws that.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import zarr
from dask.utils import format_bytes
from threadpoolctl import threadpool_limits

import salzarr
from salzarr import plan
from salzarr.maps import StoreMaps
from salzarr.metrics import as_metrics, score_block
from salzarr.scores.designs import UniquePairs
from salzarr.scores.lazy import lazy_scores
from salzarr.scores.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE = 224
THREE = "mse,cosine,pearson"


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one benchmark."""
    folder = Path(tempfile.mkdtemp(prefix="salzarr-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def make_store(path: Path, models: int, images: int, side: int = SIDE) -> str:
    """Convert smooth random maps; the images repeat a few, so that making them takes no time or memory."""
    rng = np.random.default_rng(0)
    few = rng.random((models, 4, side, side), np.float32)
    few[..., 1:, :] = (few[..., 1:, :] + few[..., :-1, :]) / 2
    repeated = np.arange(images) % 4
    for model in range(models):  # one at a time
        salzarr.convert({f"m{model:02}": few[model][repeated]}, path, append=model > 0)
    return str(path)


def in_turns(repeats: int, *sides: Callable[[], object]) -> list[float]:
    """Time each side once to warm up, then in turns; return the medians in seconds."""
    taken: list[list[float]] = [[] for _ in sides]
    for repeat in range(repeats + 1):
        for times, side in zip(taken, sides, strict=True):
            begun = time.perf_counter()
            side()
            if repeat:
                times.append(time.perf_counter() - begun)
    return [statistics.median(times) for times in taken]


def row(name: str, ours: float, peer: float, target: str, agreement: float = 0.0) -> dict[str, Any]:
    """Make a row of the table."""
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "target": target,
        "agreement": agreement,
    }


def from_the_store(folder: Path, images: int, repeats: int) -> dict[str, Any]:
    """Compare by three cheap metrics, against merely reading the store with zarr-python."""
    store = make_store(folder / "maps.zarr", 10, images)
    array = zarr.open_group(store, mode="r")["maps"]
    chunk = array.chunks[1]

    def read() -> None:
        for start in range(0, images, chunk):
            array[:, start : start + chunk]

    def compare() -> None:
        salzarr.compare(store, THREE, out=folder / "r", overwrite=True)

    with threadpool_limits(1), dask.config.set(scheduler="threads", num_workers=os.cpu_count()):
        ours, peer = in_turns(repeats, compare, read)
    found = salzarr.open_scores(folder / "r")
    truth = score_block(array[:, :chunk], plan.pairs(10), as_metrics(THREE))
    differ = max(float(np.abs(found[slug][:, :chunk] - one.values).max()) for slug, one in truth.items())
    return row(f"{THREE}, 10 models x {images}, from the store, all cores: against reading it", ours, peer,
               "0.67", differ)  # fmt: skip


def on_top_of_kernels(
    folder: Path, metric: str, models: int, images: int, repeats: int
) -> list[dict[str, Any]]:
    """Compare durably, against the kernels alone on maps that are in memory."""
    store = make_store(folder / "maps.zarr", models, images)
    array = zarr.open_group(store, mode="r")["maps"]
    maps = array[:]
    wide = float(maps.max()) - float(maps.min())
    (wanted,) = (m.with_data_range(wide) if m.needs_data_range else m for m in as_metrics(metric))
    pairs = plan.pairs(models)
    blocks = plan.blocks(images, plan.chunk_images((SIDE, SIDE), 4))

    def kernels() -> list[np.ndarray]:
        return [score_block(maps[:, block], pairs, [wanted])[wanted.slug].values for block in blocks]

    def compare() -> None:
        salzarr.compare(store, [wanted], out=folder / "r", overwrite=True)

    def read_and_score() -> None:
        for block in blocks:
            score_block(array[:, block], pairs, [wanted])

    with threadpool_limits(1), dask.config.set(scheduler="sync"):
        ours, alone, reading = in_turns(repeats, compare, kernels, read_and_score)
    differ = np.abs(salzarr.open_scores(folder / "r")[wanted.slug].values - np.concatenate(kernels(), axis=1))
    what = f"{metric}, {models} models x {images}, stored"
    return [
        row(f"{what}: against its kernels alone, maps in memory", ours, alone, "0.87", float(differ.max())),
        row(f"{what}: against its kernels in a loop that reads by zarr-python", ours, reading, "0.87",
            float(differ.max())),
    ]  # fmt: skip


def graph(images: int = 100_000, models: int = 10) -> dict[str, Any]:
    """Build the graph of a comparison, against a second."""
    names = tuple(f"m{i}" for i in range(models)), tuple(map(str, range(images)))
    size = (SIDE, SIDE), np.dtype("float32"), 20
    stored = StoreMaps(*names, range(models), range(images), *size, "nowhere")
    metrics = tuple(
        m.with_data_range(1) if m.needs_data_range else m for m in as_metrics(f"{THREE},ssim,emd")
    )
    request = Request(stored, metrics, UniquePairs(models))
    (taken,) = in_turns(5, lambda: lazy_scores(request))
    return row(f"lazy graph of {images:,} images x {models} models: against 1 s", taken, 1.0, "1")


def workers(folder: Path, images: int, repeats: int) -> dict[str, Any]:
    """Compare on two processes, against one."""
    store = make_store(folder / "maps.zarr", 6, images)
    with (
        salzarr.cluster.connect("processes", workers=1) as one,
        salzarr.cluster.connect("processes", workers=2) as two,
    ):

        def on(client: Any) -> Callable[[], None]:
            def compare() -> None:
                with client.as_current(), dask.config.set(scheduler=client):
                    salzarr.compare(store, "ssim,spearman", out=folder / "r", overwrite=True)

            return compare

        ours, peer = in_turns(repeats, on(two), on(one))
    return row(f"ssim, spearman, 6 models x {images}, 2 processes: against 1", ours, peer, "1.7")


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every row: name, ours and peer in seconds, ratio, target, and how far the numbers differ."""
    repeats = 3 if quick else 5
    found = [graph()]
    with scratch() as folder:
        found.append(from_the_store(folder, 100 if quick else 500, repeats))
    for metric, models, images in (("ssim", 10, 150), ("emd", 3, 50)):
        with scratch() as folder:
            found.extend(on_top_of_kernels(folder, metric, models, images if quick else 2 * images, repeats))
    with scratch() as folder:
        found.append(workers(folder, 200 if quick else 1500, repeats))
    return found


# Time and memory at scale

ALONE = """
import json, sys, time
import dask, salzarr
from salzarr.scores import plan_comparison
store, out, metrics, threads = json.loads(sys.argv[1])
with dask.config.set(scheduler="threads", num_workers=threads):
    salzarr.compare(store, metrics, out=out + "-warm", images=2)
    begun = time.perf_counter()
    projected = plan_comparison(store, metrics, calibrated=False).peak_bytes
    salzarr.compare(store, metrics, out=out)
    seconds = time.perf_counter() - begun
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([seconds, int(peak) * 1024, projected]))
"""


def alone(store: str, out: Path, threads: int = 1) -> tuple[float, float, float]:
    """Compare in a process of its own: seconds, peak bytes, and those that were projected."""
    given = json.dumps([store, str(out), THREE, threads])
    done = subprocess.run([sys.executable, "-c", ALONE, given], capture_output=True, text=True, check=True)
    seconds, peak, projected = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak, projected


def scale(quick: bool = False) -> dict[str, list[tuple[int, float, float, float]]]:
    """Measure against images (5 models of 32 x 32) and against pairs (200 images of 64 x 64)."""
    found: dict[str, list[tuple[int, float, float, float]]] = {"images": [], "pairs": []}
    for images in (1_000, 10_000) if quick else (1_000, 10_000, 100_000):
        with scratch() as folder:
            store = make_store(folder / "maps.zarr", 5, images, 32)
            found["images"].append((images, *alone(store, folder / "r")))
    for models in (5, 20) if quick else (5, 10, 20, 35, 50):
        with scratch() as folder:
            store = make_store(folder / "maps.zarr", models, 200, 64)
            found["pairs"].append((len(plan.pairs(models)), *alone(store, folder / "r")))
    return found


def scale_table(found: dict[str, list[tuple[int, float, float, float]]]) -> str:
    """Format what :func:`scale` measured as Markdown."""
    lines = ["| against | number | seconds | peak | projected |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {what} | {number:,} | {seconds:.2f} | {format_bytes(peak)} | {format_bytes(projected)} |"
        for what, measured in found.items()
        for number, seconds, peak, projected in measured
    ]
    return "\n".join(lines)


def draw(found: dict[str, list[tuple[int, float, float, float]]], path: str) -> None:
    """Draw time against images and pairs, and memory against images."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    cases = {"images": "5 models, 32 x 32 pixels", "pairs": "5 to 50 models, 200 images, 64 x 64 pixels"}
    for ax, (what, case) in zip(axes, cases.items(), strict=False):
        number, seconds, *_ = zip(*found[what], strict=True)
        ax.plot(number, seconds, "o-", color="#1f5fa0")
        ax.set(xlabel=f"{what}\n{case}", title=f"seconds of {THREE.replace(',', ', ')}", ylim=(0, None))
    number, _, peak, projected = zip(*found["images"], strict=True)
    for values, label, style in ((projected, "projected", "--"), (peak, "measured", "o-")):
        axes[2].plot(number, [value / 2**20 for value in values], style, label=label, color="#1f5fa0")
    axes[2].set(xlabel=f"images\n{cases['images']}", title="peak memory, MiB", xscale="log", ylim=(0, 450))
    axes[2].legend(frameon=False, loc="lower right")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        if ax is not axes[2]:
            ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter("{x:,.0f}")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--scale", action="store_true", help="time and peak memory against images and pairs")
    parser.add_argument("--picture", metavar="FILE", help="draw what --scale measures")
    options = parser.parse_args()
    if options.scale or options.picture:
        found = scale(options.quick)
        print(scale_table(found))
        if options.picture:
            draw(found, options.picture)
        return
    from benchmark_emd import table

    print(table(rows(options.quick)))


if __name__ == "__main__":
    main()
