import numpy as np
import pytest
import xarray as xr

from salzarr.schema import DIRECTIONS, Reason

ATTRS = {
    "mse": {"metric": "mse", "spec": "mse", "kind": "dissimilarity", "self_value": 0.0, "directed": False},
    "ssim_window_11": {
        "metric": "ssim",
        "spec": "ssim:window=11",
        "kind": "similarity",
        "self_value": 1.0,
        "directed": False,
    },
    "kl": {"metric": "kl", "spec": "kl", "kind": "dissimilarity", "self_value": 0.0, "directed": True},
}


def _make_scores(models=4, images=30, seed=0, names=None, missing=0.0):
    """Scores whose pairs lie apart by the models' places on a line, so that there is something to find."""
    rng = np.random.default_rng(seed)
    names = names or [f"m{i}" for i in range(models)]
    pairs = [(a, b) for b in range(len(names)) for a in range(b)]
    a, b = np.array(pairs, int).reshape(-1, 2).T
    apart = np.abs(a - b)[:, None] + rng.gamma(4, 0.1, (len(pairs), images))
    back = apart + rng.gamma(2, 0.1, apart.shape)
    values = {"mse": apart, "ssim_window_11": 1 - apart / 10, "kl": np.stack([apart, back])}
    variables = {}
    for slug, of in values.items():
        reason = np.where(rng.random(apart.shape) < missing, Reason.MISSING, Reason.SCORED).astype(np.uint8)
        dims = ("direction", "pair", "image") if of.ndim == 3 else ("pair", "image")
        variables[slug] = (dims, np.where(reason == 0, of, np.nan), ATTRS[slug])
        variables[f"{slug}_reason"] = (("pair", "image"), reason)
    return xr.Dataset(
        variables,
        coords={
            "model_a": ("pair", np.array(names, object)[a] if len(a) else np.array([], object)),
            "model_b": ("pair", np.array(names, object)[b] if len(b) else np.array([], object)),
            "image": [f"img{i:04d}" for i in range(images)],
            "direction": list(DIRECTIONS),
        },
        attrs={"salzarr_kind": "scores", "models": names},
    )


@pytest.fixture
def make_scores():
    return _make_scores


@pytest.fixture
def scores():
    return _make_scores(missing=0.1)
