#!/usr/bin/env python
"""How fast a store is made and read, and which codecs and chunks it should have: Markdown tables of ratios.

    python scripts/benchmark_store.py [--quick] [--codecs] [--memory IMAGES]

Each ratio is the peer's time over ours, medians of repeats in turns. ``--codecs`` prints the table that the
defaults were chosen from; ``--memory`` converts 10 models of so many images and prints the peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import dask
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

import salzarr
from salzarr.store import read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE = 224
MODELS = 10


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one benchmark."""
    folder = Path(tempfile.mkdtemp(prefix="salzarr-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def smooth_maps(count: int, seed: int = 0) -> np.ndarray:
    """Make maps that compress about as well as real ones do: a few blobs, and noise in the last bits."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    maps = [gaussian_filter(rng.random((SIDE, SIDE), np.float32), 2 + number % 7) for number in range(count)]
    return np.stack([(m - m.min()) / (m.max() - m.min()) for m in maps])


def plant(root: Path, images: int) -> Path:
    """Write a tree of 10 models with a file per map; a few maps repeat, shifted."""
    maps = smooth_maps(8)
    for model in range(MODELS):
        folder = root / f"model{model}/outputs/numpy_saliency_map"
        folder.mkdir(parents=True)
        for image in range(images):
            np.save(folder / f"{image:05d}.npy", np.roll(maps[(image + model) % 8], image, axis=1))
    return root


def in_turns(
    *sides: Callable[[], Any],
    repeats: int,
    before: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Time each side, one after the other, and again; return the medians."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, taken in zip(sides, times, strict=True):
            before()
            start = clock()
            side()
            taken.append(clock() - start)
    return [statistics.median(taken) for taken in times]


def row(name: str, ours: float, peer: float, target: str, agreement: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "ratio": peer / ours,
        "target": target,
        "agreement": agreement,
    }


def against_stacking(folder: Path, images: int, repeats: int) -> list[dict[str, Any]]:
    """Compare with what one writes without salzarr: np.save(np.stack([np.load(f) for f in files]))."""
    tree = plant(folder / "Models", images)
    models = sorted(tree.iterdir())

    def stack() -> None:
        for model in models:
            np.save(
                folder / f"{model.name}.npy",
                np.stack([np.load(file) for file in sorted(model.rglob("*.npy"))]),
            )

    def convert() -> None:
        salzarr.convert(tree, folder / "maps.zarr")

    def clear() -> None:
        shutil.rmtree(folder / "maps.zarr", ignore_errors=True)
        for stacked in folder.glob("*.npy"):
            stacked.unlink()

    def convert_alone() -> None:
        with dask.config.set(scheduler="threads", num_workers=1):
            convert()

    stack()
    convert()
    maps = salzarr.open_maps(folder / "maps.zarr")
    for number, model in enumerate(models):
        np.testing.assert_array_equal(maps[number], np.load(folder / f"{model.name}.npy"))
    two, one, peer = in_turns(convert, convert_alone, stack, repeats=repeats, before=clear)
    convert()
    what = f"convert {MODELS} models × {images} maps of {SIDE}² against np.save(np.stack([np.load(f) …]))"
    return [
        row(f"{what}, {os.cpu_count()} threads", two, peer, "≥ 1", 0.0),
        row(f"{what}, 1 thread", one, peer, "", 0.0),
        *against_zarr(folder / "maps.zarr", images, repeats),
    ]


def against_zarr(store: Path, images: int, repeats: int) -> list[dict[str, Any]]:
    """Compare reading blocks, checked, with reading them by zarr-python, which does not check for gaps."""
    array = zarr.open_array(store / "maps", mode="r")
    blocks = [slice(start, start + 20) for start in range(0, images, 20)]

    def ours() -> None:
        for block in blocks:
            read_block(store, slice(None), block)

    def peer() -> None:
        for block in blocks:
            array[:, block]

    np.testing.assert_array_equal(read_block(store, slice(None), blocks[-1]), array[:, blocks[-1]])
    fast, slow = in_turns(ours, peer, repeats=repeats)
    name = f"read {MODELS} models × {images} maps block by block, 1 thread, against zarr-python on all cores"
    return [row(name, fast, slow, "", 0.0)]


def rows(quick: bool) -> list[dict[str, Any]]:
    """Measure everything that has a target."""
    with scratch() as folder:
        return against_stacking(folder, 100 if quick else 1000, 3 if quick else 5)


def codec_table(quick: bool) -> str:
    """Measure codecs, checksums and chunks: what the defaults were chosen from.

    Megabytes are counted per second of processor time, which a busy machine does not distort.
    """
    maps = smooth_maps(170 if quick else 400)
    raw = maps.nbytes / 1e6
    lines = [
        "| chunk | codec | crc32c | sharded | size | write | read |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    blosc = {
        "none": [],
        "lz4": [BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle", typesize=4)],
        "lz4 bitshuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4)],
        "zstd-1 bitshuffle": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=4)],
    }
    cases = [(mb, codec, crc, False) for mb in (1, 4, 16) for codec in blosc for crc in (False, True)]
    cases += [(4, "lz4 bitshuffle", True, True)]
    for mb, codec, crc, sharded in cases:
        per_chunk = mb * (1 << 20) // (SIDE * SIDE * 4)
        count = len(maps) // (per_chunk * (4 if sharded else 1)) * per_chunk * (4 if sharded else 1)
        with scratch() as folder:
            array = zarr.create_array(
                folder / "maps.zarr",
                shape=(count, SIDE, SIDE),
                chunks=(per_chunk, SIDE, SIDE),
                shards=(4 * per_chunk, SIDE, SIDE) if sharded else None,
                dtype="float32",
                compressors=[*blosc[codec], *([Crc32cCodec()] if crc else [])] or None,
                config={"write_empty_chunks": True},
            )
            starts = range(0, count, per_chunk * (4 if sharded else 1))
            step = starts.step

            def write(array: Any = array, starts: Any = starts, step: int = step) -> None:
                for start in starts:
                    array[start : start + step] = maps[start : start + step]

            def read(array: Any = array, starts: Any = starts, step: int = step) -> None:
                for start in starts:
                    array[start : start + step]

            write()
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
            written, got = in_turns(write, read, repeats=3 if quick else 5, clock=time.process_time)
        share = count / len(maps) * raw
        lines.append(
            f"| {mb} MB | {codec} | {'yes' if crc else 'no'} | {'4 chunks' if sharded else 'no'} "
            f"| {size / share:.0%} | {share / written:.0f} MB/s | {share / got:.0f} MB/s |"
        )
    return "\n".join(lines)


def memory(images: int) -> str:
    """Convert 10 models of so many images, and say how much memory that took."""
    with scratch() as folder:
        tree = plant(folder / "Models", images)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        salzarr.convert(tree, folder / "maps.zarr")
        taken = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = MODELS * images * SIDE * SIDE * 4 / 2**20
        return (
            f"{MODELS} models x {images} images, {size:.0f} MiB: {taken:.1f} s, "
            f"peak {peak:.0f} MiB ({before:.0f} before)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer maps and repeats")
    parser.add_argument("--codecs", action="store_true", help="the table of codecs and chunks instead")
    parser.add_argument("--memory", type=int, metavar="IMAGES", help="peak memory of a conversion instead")
    options = parser.parse_args()
    if options.codecs:
        text = codec_table(options.quick)
    elif options.memory:
        text = memory(options.memory)
    else:
        from benchmark_emd import table

        text = table(rows(options.quick))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
