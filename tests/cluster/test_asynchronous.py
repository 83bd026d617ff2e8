"""A client that is asynchronous cannot be waited for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from distributed import Client

import salzarr
from salzarr.errors import UsageError


def test_an_asynchronous_client_is_refused_in_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    salzarr.convert({name: rng.random((3, 8, 9)) for name in "AB"}, tmp_path / "maps.zarr")

    async def compare():
        async with Client(asynchronous=True, processes=False, dashboard_address=None):
            salzarr.compare(tmp_path / "maps.zarr", "mse", out=tmp_path / "results")

    # In a thread of its own: a browser that an earlier test drove leaves its event loop in the main one.
    with ThreadPoolExecutor(1) as apart, pytest.raises(UsageError, match="asynchronous"):
        apart.submit(lambda: asyncio.run(compare())).result()
