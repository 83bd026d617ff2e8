"""Maps that a plain web server offers: they can be read and compared, and nothing can be written there."""

import numpy as np
import pytest
from scores.faults import random_maps, store_of

from salzarr import compare, convert, info, open_maps
from salzarr.errors import StoreError, StoreNotFoundError


def test_a_store_behind_a_web_server_is_compared(web, tmp_path):
    store = store_of(random_maps(3, 8), tmp_path / "maps.zarr", images_per_chunk=2)
    url = f"{web}/maps.zarr"
    np.testing.assert_array_equal(open_maps(url), open_maps(store))
    there, here = (
        compare(place, "mse,ssim", out=tmp_path / name) for place, name in ((url, "r"), (store, "s"))
    )
    np.testing.assert_array_equal(there.mse, here.mse)
    np.testing.assert_array_equal(there.ssim, here.ssim)


def test_what_is_not_there_or_cannot_be_written_is_one_sentence(web, tmp_path):
    with pytest.raises(StoreNotFoundError, match=r"nowhere\.zarr does not exist"):
        info(f"{web}/nowhere.zarr")
    with pytest.raises(StoreError, match=r"new\.zarr cannot be reached: it answers"):
        convert(random_maps(2, 2), f"{web}/new.zarr")
