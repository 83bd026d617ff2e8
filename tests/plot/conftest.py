import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib import get_backend

import salzarr
from salzarr.statistics.metric_pairs import metric_agreement

NAMES = ("VGG16", "$a_$", "</script><img onerror=alert(1)>", "[red]" + "long" * 20)
IMAGES = tuple(f"n01/val_{k:03d}" for k in range(30))
SPECS = {
    slug: {"kind": kind, "self_value": own, "score_range": bounds, "unit": unit}
    for slug, kind, own, bounds, unit in (
        ("pearson", "similarity", 1.0, ["-1.0", "1.0"], ""),
        ("emd", "dissimilarity", 0.0, ["0.0", "diagonal"], "px"),
        ("kl_a_to_b", "dissimilarity", 0.0, ["0.0", "inf"], "nat"),
        ("kl_b_to_a", "dissimilarity", 0.0, ["0.0", "inf"], "nat"),
    )
}


def invented_scores(models, images=12, seed=0):
    """Scores of any number of models, from a plane on which the models lie."""
    rng = np.random.default_rng(seed)
    names = np.array([f"family{k % 7}/model_{k}" for k in range(models)], object)
    a, b = np.array([(i, j) for j in range(models) for i in range(j)], int).reshape(-1, 2).T
    place = rng.normal(size=(models, 2))
    apart = np.linalg.norm(place[a] - place[b], axis=1)[:, None] + rng.exponential(0.2, (len(a), images))
    values = {"pearson": np.exp(-apart) * 1.4 - 0.4, "emd": 5 * apart}
    values |= {"kl_a_to_b": apart, "kl_b_to_a": 1.5 * apart}
    reason = ("pair", "image"), np.zeros(apart.shape, np.uint8)
    variables = {}
    for slug, attrs in SPECS.items():
        name, _, way = slug.partition("_")
        symmetry = {"symmetry": "directed", "way": way} if way else {"symmetry": "symmetric"}
        attrs = {**attrs, **symmetry, "spec": name, "metric": name, "slug": name}
        variables[slug] = ("pair", "image"), values[slug], attrs
        variables[f"{slug}_reason"] = reason
    coords = {
        "model_a": ("pair", names[a]),
        "model_b": ("pair", names[b]),
        "image": [f"{k:04d}" for k in range(images)],
    }
    return xr.Dataset(variables, coords, {"models": names.tolist()})


@pytest.fixture
def invent():
    return invented_scores


@pytest.fixture(scope="session")
def maps():
    """Maps of four models with hostile names; one map is missing, and one is constant."""
    rng = np.random.default_rng(1)
    y, x = np.indices((24, 32))
    values = np.empty((len(NAMES), len(IMAGES), 24, 32), np.float32)
    for k in range(len(IMAGES)):
        cy, cx = rng.uniform(4, 20), rng.uniform(4, 28)
        for m in range(len(NAMES)):
            dy, dx = rng.normal(0, 1 + m, 2)
            values[m, k] = np.exp(-((y - cy - dy) ** 2 + (x - cx - dx) ** 2) / 40) + 0.02 * rng.random(
                y.shape
            )
    values[1, 3] = np.nan
    values[2, 5] = 0.25
    coords = {"model": list(NAMES), "image": list(IMAGES)}
    return xr.DataArray(values, dims=("model", "image", "y", "x"), coords=coords, name="maps")


@pytest.fixture(scope="session")
def scores(maps):
    return salzarr.compare(maps, "pearson, mse, kl").compute()


@pytest.fixture(scope="session")
def summary(scores):
    return salzarr.summarize(scores, bootstrap=50)


@pytest.fixture(scope="session")
def groups(scores):
    labels = [("cats", "$d_$", "</script>")[k % 3] for k in range(len(IMAGES))]
    return salzarr.summarize(scores.assign_coords(label=("image", labels)), group_by="label")


@pytest.fixture(scope="session")
def agreement(scores, summary):
    return metric_agreement(scores, summary, bootstrap=50)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
    assert get_backend()
