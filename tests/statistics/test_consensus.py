import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scores.faults import random_maps, store_of

import salzarr
from salzarr.errors import BudgetError, MetricError
from salzarr.metrics import parse_metrics, score_block
from salzarr.schema import Reason
from salzarr.scores.budget import fit_in_memory
from salzarr.scores.designs import CONSENSUS, LeaveOneOut
from salzarr.scores.leave_one_out import agreement, consensus, consensus_bounds
from salzarr.scores.request import repeat
from salzarr.statistics.limits import map_ceilings
from salzarr.statistics.rows import variables_of
from salzarr.statistics.summary import summarize, to_frame, to_matrix


@pytest.fixture
def maps():
    maps = random_maps(models=4, images=10)
    maps["m1"] *= 1000  # a scale that would decide alone
    maps["m2"][3] = np.nan
    maps["m3"][5, 0, 0] = np.inf
    maps["m0"][6] = 0
    return maps


def labelled(maps):
    images = [f"{i:04d}" for i in range(len(next(iter(maps.values()))))]
    coords = {"model": list(maps), "image": images}
    return xr.DataArray(np.stack(list(maps.values())), dims=["model", "image", "y", "x"], coords=coords)


def expected(maps, model, image):
    """The plain way."""
    others = [of[image].astype(float) for name, of in maps.items() if name != model]
    usable = [of / of.sum() for of in others if np.isfinite(of).all() and of.sum() > 0]
    return np.mean(usable, axis=0)


def test_consensus_is_the_mean_of_the_others(maps):
    found = consensus(labelled(maps))
    assert found.dims == ("model", "image", "y", "x")
    for m, model in enumerate(maps):
        for image in range(10):
            np.testing.assert_allclose(found[m, image], expected(maps, model, image), rtol=1e-9, atol=1e-18)
    assert found.coords["model"].values.tolist() == list(maps)


def test_consensus_of_lazy_maps_is_lazy_and_the_same(maps):
    lazy = consensus(labelled(maps).chunk({"model": 1, "image": 3}))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy, consensus(labelled(maps)))


def test_no_others_no_consensus(maps):
    two = {name: maps[name] for name in ("m0", "m2")}
    found = consensus(labelled(two))
    assert np.isnan(found.sel(model="m0")[3]).all()
    assert np.isfinite(found.sel(model="m2")[3]).all()


def test_zero_stays_zero_where_all_others_are_zero():
    rng = np.random.default_rng(0)
    maps = rng.random((40, 5, 8, 8))
    maps[1:, :, :4] = 0
    assert (consensus(labelled({f"m{i}": of for i, of in enumerate(maps)})) >= 0).all()


def test_signed_maps_keep_their_sign():
    rng = np.random.default_rng(0)
    maps = {"a": rng.random((3, 4, 4)), "b": rng.normal(size=(3, 4, 4)), "c": rng.normal(size=(3, 4, 4))}
    found = consensus(labelled(maps), "none")
    np.testing.assert_allclose(found.sel(model="a"), (maps["b"] + maps["c"]) / 2)


def test_signed_maps_are_refused_with_the_remedy(maps):
    maps["m1"] -= 500
    with pytest.raises(MetricError, match=r"abs\+sum"):
        consensus(labelled(maps))
    assert np.isfinite(consensus(labelled(maps), "abs+sum").sel(model="m2")).all()


def test_agreement_scores_each_model_with_the_others(maps):
    scores = salzarr.compare(maps, "pearson,kl,similarity").compute()
    found = agreement(scores, maps)
    assert found.model_a.values.tolist() == list(maps)
    for m, model in enumerate(maps):
        for image in (0, 3, 5, 6, 9):
            own = maps[model][image].astype(float)
            own = own / own.sum() if np.isfinite(own).all() and own.any() else np.full_like(own, np.nan)
            pair = np.stack([own, expected(maps, model, image)])[:, None]
            scored = score_block(pair, [(0, 1)], parse_metrics("pearson,kl,similarity"))
            for slug, one in scored.items():
                for name, value in zip(variables_of(found, slug), one.values[..., 0, 0].flat, strict=True):
                    np.testing.assert_allclose(found[name][m, image], value, rtol=1e-6, err_msg=name)
    reason = found.pearson_reason.values
    assert (reason[2, 3], reason[3, 5], reason[0, 6], reason[0, 0]) == (
        Reason.MISSING,
        Reason.NON_FINITE,
        Reason.ZERO_MASS,
        Reason.SCORED,
    )


def test_agreement_is_summarised_like_any_scores(maps):
    found = agreement(salzarr.compare(maps, "pearson"), maps)
    summary = summarize(found)
    assert to_matrix(summary, "pearson").sel(model_a="m0", model_b=CONSENSUS).notnull()
    frame = to_frame(summary)
    assert frame.model_b.tolist() == [CONSENSUS] * 4
    assert frame.n.tolist() == [9, 10, 9, 9]


def test_the_odd_one_out_agrees_least():
    rng = np.random.default_rng(0)
    shared = rng.random((30, 16, 16))
    maps = {f"m{i}": (shared + 0.3 * rng.random(shared.shape)).astype(np.float32) for i in range(4)}
    maps["odd"] = rng.random(shared.shape).astype(np.float32)
    mean = agreement(salzarr.compare(maps, "pearson"), maps).pearson.mean("image")
    assert mean.argmin("pair") == 4
    assert mean[4] < 0.2 < 0.8 < mean[:4].min()


@pytest.mark.filterwarnings("ignore:the maps of m1 span", "ignore:the data range of ssim")
def test_ssim_is_given_the_range_of_the_normalised_maps(maps):
    del maps["m3"]
    scores = salzarr.compare(maps, "ssim,ssim:window=9:normalize=minmax", data_range=123.0)
    found = agreement(scores, maps)
    everything = [of / of.sum() for name in maps for of in maps[name].astype(float) if of.sum() > 0]
    highest, lowest = np.max(everything), np.min(everything)
    assert json.loads(found.ssim.attrs["parameters"])["data_range"] == pytest.approx(highest - lowest)
    assert '"data_range": 1.0' in found.ssim_window_9_normalize_minmax.attrs["parameters"]
    assert found.ssim.max() < 1


@pytest.mark.filterwarnings("ignore:the maps of m1 span", "ignore:the data range of ssim")
def test_store_and_small_memory_give_the_same(maps, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    scores = salzarr.compare(url, "mse,ssim,kl", data_range=1000.0).compute()
    told = []
    whole = agreement(scores, url, progress=lambda done, total: told.append(done))
    assert told == list(range(len(told)))
    request = repeat(scores, url)
    request = replace(request, design=LeaveOneOut(len(request.models), "sum"))
    for memory in range(1, 2**25, 2**12):
        try:
            block, side = fit_in_memory(request, memory)
            break
        except BudgetError:
            continue
    assert (block, side) == (1, 1)
    few = agreement(scores, url, memory=memory)
    for name in whole.data_vars:
        np.testing.assert_allclose(few[name], whole[name], rtol=1e-5, atol=1e-12, err_msg=name)


# -- Ceilings of maps ---------------------------------------------------------------------------------------


def test_no_map_is_closer_to_all_than_their_mean():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(25, 8, 8))
    maps = {f"m{k}": shared + (1 + k) * rng.normal(size=shared.shape) for k in range(4)}
    scores = salzarr.compare(maps, "cosine")
    lower, upper = consensus_bounds(scores, maps)
    z = np.stack([(m - m.mean((1, 2), keepdims=True)) / m.std((1, 2), keepdims=True) for m in maps.values()])
    mean = z.mean(axis=0)
    np.testing.assert_allclose(upper.mse.values, ((z - mean) ** 2).mean((2, 3)), rtol=1e-5)
    others = (z.sum(axis=0) - z) / 3
    np.testing.assert_allclose(lower.mse.values, ((z - others) ** 2).mean((2, 3)), rtol=1e-5)
    assert (upper.others == 4).all()
    table = map_ceilings((lower, upper), repeats=100)
    assert table.columns[:3].tolist() == ["metric", "model", "units"]
    for metric, sign in (("pearson", 1), ("mse", -1)):
        rows = table[table.metric == metric]
        assert (sign * (rows.upper - rows.lower) > 0).all()
        for guess in (*z, rng.normal(size=mean.shape)):  # whatever predicts them all
            centered = guess - guess.mean((1, 2), keepdims=True)
            size = (centered**2).mean((1, 2)) ** 0.5
            score = (
                (z * centered).mean((2, 3)) / size if metric == "pearson" else ((z - guess) ** 2).mean((2, 3))
            )
            assert sign * score.mean() <= sign * rows.upper.mean() + 1e-9
