"""Trees of maps to convert, and stores to compare."""

import os
import zlib

import numpy as np

SHAPE = (6, 8)
CHUNK = 3 * 6 * 8 * 4
"""Bytes of a chunk of three images."""


def a_map(model, image):
    """Return a map that depends on its names only."""
    seed = zlib.crc32(f"{model}/{image}".encode())
    return np.random.default_rng(seed).random(SHAPE, np.float32)


def plant(root, models=("ResNet", "VGG"), images="abcdefg", but=(("VGG", "c"),)):
    """Write a map per file, but for some."""
    for model in models:
        folder = root / model / "out" / "numpy_saliency_map"
        folder.mkdir(parents=True, exist_ok=True)
        for image in images:
            if (model, image) not in but:
                np.save(folder / f"{image}.npy", a_map(model, image))
    return root


def contents(store):
    """Return every file of a store but its attributes, which hold what was said on the way."""
    found = {}
    for folder, _, files in os.walk(store):
        for name in files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, store)
            if relative not in ("zarr.json", "image/.metadata.json") and not name.endswith(".partial"):
                with open(path, "rb") as file:
                    found[relative] = file.read()
    return found
