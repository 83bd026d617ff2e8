import pytest
from scores.faults import random_maps, store_of


@pytest.fixture
def maps():
    return random_maps()


@pytest.fixture
def store(maps, tmp_path):
    return store_of(maps, tmp_path / "maps.zarr")
