import pytest
from store.trees import plant


@pytest.fixture
def tree(tmp_path):
    """Two models of seven images, some missing; in a store, chunks hold three."""
    return plant(tmp_path / "Models")
