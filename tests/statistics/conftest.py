import numpy as np
import pytest
import xarray as xr

from salzarr.schema import Reason

ATTRS = {
    "mse": {"metric": "mse", "spec": "mse", "kind": "dissimilarity", "self_value": 0.0},
    "ssim_window_11": {
        "metric": "ssim",
        "spec": "ssim:window=11",
        "kind": "similarity",
        "self_value": 1.0,
    },
}
for way in ("a_to_b", "b_to_a"):
    kl = {"metric": "kl", "slug": "kl", "spec": "kl", "kind": "dissimilarity", "self_value": 0.0}
    ATTRS[f"kl_{way}"] = {**kl, "symmetry": "directed", "way": way}


def _make_scores(models=4, images=30, seed=0, names=None, missing=0.0):
    """Scores whose pairs lie apart by the models' places on a line, so that there is something to find."""
    rng = np.random.default_rng(seed)
    names = names or [f"m{i}" for i in range(models)]
    pairs = [(a, b) for b in range(len(names)) for a in range(b)]
    a, b = np.array(pairs, int).reshape(-1, 2).T
    apart = np.abs(a - b)[:, None] + rng.gamma(4, 0.1, (len(pairs), images))
    back = apart + rng.gamma(2, 0.1, apart.shape)
    values = {"mse": apart, "ssim_window_11": 1 - apart / 10, "kl_a_to_b": apart, "kl_b_to_a": back}
    variables = {}
    for slug, of in values.items():
        reason = np.where(rng.random(apart.shape) < missing, Reason.MISSING, Reason.SCORED).astype(np.uint8)
        variables[slug] = (("pair", "image"), np.where(reason == 0, of, np.nan), ATTRS[slug])
        variables[f"{slug}_reason"] = (("pair", "image"), reason)
    return xr.Dataset(
        variables,
        coords={
            "model_a": ("pair", np.array(names, object)[a] if len(a) else np.array([], object)),
            "model_b": ("pair", np.array(names, object)[b] if len(b) else np.array([], object)),
            "image": [f"img{i:04d}" for i in range(images)],
        },
        attrs={"salzarr_kind": "scores", "models": names},
    )


@pytest.fixture
def make_scores():
    return _make_scores


@pytest.fixture
def scores():
    return _make_scores(missing=0.1)
