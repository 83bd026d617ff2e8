"""What is killed: each makes the same store, whatever an earlier call has left of it."""

import warnings

import numpy as np
import xarray as xr
from store.trees import CHUNK, SHAPE, a_map, plant

import salzarr
from salzarr.errors import StoreExistsError


def convert(folder, store):
    """Fill a new store."""
    salzarr.convert(folder / "Models", store, chunk_bytes=CHUNK)


def append(folder, store):
    """Grow a store by a model and by images, into chunks that are partly filled."""
    salzarr.convert(folder / "Models", store, append=True)


def overwrite(folder, store):
    """Replace a store of other maps."""
    salzarr.convert(folder / "Models", store, chunk_bytes=CHUNK, overwrite=True)


STARTS = {"append": "small.zarr", "overwrite": "small.zarr"}
"""What is there before the first run."""


def create(folder, store):
    """Write maps from a loop, in an order that leaves chunks half full."""
    del folder
    images = list("abcdefg")
    try:
        made = salzarr.create(
            store, models=["A", "B"], images=images, shape=SHAPE, chunk_bytes=CHUNK, buffer_bytes=0
        )
    except StoreExistsError:
        return  # the kill came after the end
    with made as writer:
        for model in ("A", "B"):
            for batch in ("gae", "bf", "d"):
                writer.write(model, list(batch), np.stack([a_map(model, image) for image in batch]))


def join(folder, store):
    """Put two stores together."""
    for part in ("first", "second"):
        salzarr.convert(folder / f"{part}.zarr", store, append=True, chunk_bytes=CHUNK)


def prepare(folder):
    """Make what the commands need."""
    tree = plant(folder / "Models")
    salzarr.convert(tree, folder / "small.zarr", models=["VGG"], glob="*/**/[abd].npy", chunk_bytes=CHUNK)
    salzarr.convert(tree, folder / "first.zarr", glob="*/**/[abcd].npy", chunk_bytes=CHUNK)
    salzarr.convert(tree, folder / "second.zarr", glob="*/**/[defg].npy", chunk_bytes=CHUNK)


def check(store):
    """A plain xarray opens it without a warning, it is complete, and all of it is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xr.open_zarr(store).attrs["complete"] is True
    assert salzarr.verify(store) == []
