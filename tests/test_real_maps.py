"""The main job on real maps, with every number checked against the libraries that define it."""

from itertools import combinations
from pathlib import Path

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist, cosine
from scipy.stats import pearsonr
from skimage.metrics import structural_similarity
from skimage.transform import resize
from sklearn.metrics import mean_squared_error

import salzarr
from salzarr.errors import ShapeError

REAL = Path(__file__).parents[2] / "shared" / "data" / "Models"
FIVE = "mse,cosine,pearson,ssim,emd"


def emd_by_pot(a, b):
    """Move block sums of at most 32 x 32 with POT, in pixels of the maps."""
    factor = -(-max(a.shape) // 32)
    pad = [(0, -side % factor) for side in a.shape]
    grids = []
    for values in (a, b):
        padded = np.pad(np.asarray(values, float), pad)
        h, w = (side // factor for side in padded.shape)
        sums = padded.reshape(h, factor, w, factor).sum((1, 3))
        grids.append((sums / sums.sum()).ravel())
    at = np.stack(np.mgrid[:h, :w], axis=-1).reshape(-1, 2).astype(float)
    return factor * ot.emd2(*grids, cdist(at, at), numItermax=10**7)


def check(maps, one_map, data_range):
    scores = salzarr.compare(maps, FIVE, data_range=data_range).compute()
    models = scores.attrs["models"]
    for pair, (first, second) in enumerate(zip(scores.model_a.values, scores.model_b.values, strict=True)):
        for k, image in enumerate(scores.image.values):
            a, b = one_map(first, image), one_map(second, image)
            a64, b64 = a.astype(float), b.astype(float)
            expected = {
                "mse": mean_squared_error(a64.ravel(), b64.ravel()),
                "cosine": 1 - cosine(a64.ravel(), b64.ravel()),
                "pearson": pearsonr(a64.ravel(), b64.ravel()).statistic,
                "emd": emd_by_pot(a, b),
            }
            for metric, value in expected.items():
                np.testing.assert_allclose(scores[metric].values[pair, k], value, rtol=1e-6, err_msg=metric)
            ssim = structural_similarity(a64, b64, data_range=data_range)
            np.testing.assert_allclose(scores.ssim.values[pair, k], ssim, atol=1e-5)
    assert scores.sizes["pair"] == len(list(combinations(models, 2)))


@pytest.mark.skipif(not REAL.is_dir(), reason="the maps of three CNNs are not here")
def test_three_cnns_of_two_sizes(tmp_path):
    with pytest.raises(ShapeError, match=r"300x300(.|\n)*224x224|224x224(.|\n)*300x300"):
        salzarr.convert(REAL, tmp_path / "maps.zarr")
    salzarr.convert(REAL, tmp_path / "maps.zarr", size="224x224")
    stacks = {path.relative_to(REAL).parts[0]: np.load(path) for path in REAL.rglob("batch_maps.npy")}

    def one(model, image):
        values = stacks[model][int(image)]
        if values.shape == (224, 224):
            return values
        return resize(values, (224, 224), order=1, anti_aliasing=True).astype(np.float32)

    check(salzarr.open_maps(tmp_path / "maps.zarr"), one, 1.0)

    wide = salzarr.open_maps(tmp_path / "maps.zarr").isel(image=slice(2)).compute()
    scores = salzarr.compare(wide, "emd,emd:grid=full").compute()  # what the README says of blocks
    np.testing.assert_allclose(scores.emd, scores.emd_grid_full, rtol=0.003)


def test_the_photographs_of_the_demo():
    import importlib.util

    path = Path(__file__).parents[1] / "examples" / "photographs.py"
    spec = importlib.util.spec_from_file_location("photographs", path)
    photographs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(photographs)
    pictures = {name: rgb for name, rgb in photographs.photographs().items() if name in ("cat", "coffee")}
    maps = {
        method.__name__: np.stack([method(rgb) for rgb in pictures.values()]).astype(np.float32)
        for method in photographs.METHODS[:4]
    }
    maps = {name: values / values.max(axis=(1, 2), keepdims=True) for name, values in maps.items()}
    check(maps, lambda model, image: maps[model][int(image)], 1.0)
