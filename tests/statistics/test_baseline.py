from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scores.faults import store_of

import salzarr
from salzarr.descriptive import DESCRIBE_BYTES
from salzarr.errors import BudgetError, ChangedError, UsageError
from salzarr.metrics import score_block
from salzarr.scores.budget import fit_in_memory
from salzarr.scores.derangements import derangements
from salzarr.scores.designs import Mismatched
from salzarr.scores.labels import units_of
from salzarr.scores.mismatched import chance
from salzarr.scores.request import metrics_of, repeat
from salzarr.statistics import mismatches
from salzarr.statistics.baseline import corrected
from salzarr.statistics.rows import ScoreReader, variables_of
from salzarr.statistics.summary import summarize, to_frame, to_matrix
from salzarr.units import Units

METRICS = "mse,pearson,ssim,kl,similarity:normalize=minmax"
ROWS, COLUMNS = np.mgrid[:16, :16]


def centred(models, images, seed, common=0.0, middle=3.0):
    """Maps of models that all look at the middle, and agree about the image to a degree."""
    rng = np.random.default_rng(seed)
    bump = middle * np.exp(-((ROWS - 7.5) ** 2 + (COLUMNS - 7.5) ** 2) / 18)
    shared = rng.random((images, 16, 16))
    own = rng.random((models, images, 16, 16))
    maps = bump + common * shared + (1 - common) * own
    return {f"m{i}": of.astype(np.float32) for i, of in enumerate(maps)}


@pytest.fixture
def maps():
    maps = centred(3, 50, seed=0, common=0.3)
    maps["m1"][4] = np.nan
    maps["m2"][7] = 0.5
    return maps


@pytest.fixture
def scores(maps):
    return salzarr.compare(maps, METRICS).compute()


# -- Partners -----------------------------------------------------------------------------------------------


def test_one_image_has_no_partner(maps):
    one = {name: of[:1] for name, of in maps.items()}
    with pytest.raises(UsageError, match="at least two images, and there is 1"):
        chance(salzarr.compare(one, "mse"), one)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("common", [0.0, 0.3, 0.6])
def test_corrected_intervals_reach_nominal_coverage(common, draws):
    """At 200 images, of two models whose agreement varies with the image."""
    units = Units.by([f"{i:03d}" for i in range(200)])
    rng = np.random.default_rng(0)
    bias = rng.normal(size=40)

    def draw(images):
        strength = np.exp(0.5 * rng.normal(size=(images, 1)))
        shared = common * rng.normal(size=(images, 40))
        maps = [bias + strength * (shared + (1 - common) * rng.normal(size=(images, 40))) for _ in range(2)]
        return [one - one.mean(axis=1, keepdims=True) for one in maps]

    def pearson(a, b):
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))

    a, b = draw(300_000)
    by_chance = pearson(a, np.roll(b, 1, axis=0)).mean()
    truth = (pearson(a, b).mean() - by_chance) / (1 - by_chance)
    hits = []
    for seed in range(2000):
        (a, b), partners = draw(200), derangements(units, draws, seed=seed)
        scored = pearson(a, b)[None], np.stack([pearson(a, b[partner])[None] for partner in partners])
        found = mismatches.corrected(*scored, partners, units, 1.0, repeats=1000, seed=seed)
        hits.append(found.low[0] <= truth <= found.high[0])
    print(f"common {common}, {draws} draws: {np.mean(hits):.3f}")
    assert 0.93 <= np.mean(hits) <= 0.965


# -- Scores of mismatched images ----------------------------------------------------------------------------


def test_mismatched_scores_are_those_of_the_partners(maps, scores):
    found = chance(scores, maps, seed=5, draws=2)
    place = {str(image): i for i, image in enumerate(scores.image.values)}
    partners = np.array([[place[name] for name in of_draw] for of_draw in found.partner.values])
    np.testing.assert_array_equal(partners, derangements(units_of(scores), 2, seed=5))
    metrics = metrics_of(scores)
    for draw, partner in enumerate(partners):
        for pair, (a, b) in enumerate(zip(scores.model_a.values, scores.model_b.values, strict=True)):
            expected = score_block(np.stack([maps[a], maps[b][partner]]), [(0, 1)], metrics)
            for slug, scored in expected.items():
                for name, values in zip(
                    variables_of(found, slug), scored.values.reshape(-1, 50), strict=True
                ):
                    where = draw, pair
                    np.testing.assert_allclose(found[name][where], values, rtol=1e-6, atol=1e-9)
                    np.testing.assert_array_equal(found[f"{name}_reason"][where], scored.reason[0])


def test_partners_are_of_other_units_and_few_images_get_several(maps, scores):
    assert chance(scores[["mse", "mse_reason"]], maps).sizes["draw"] == 4
    labelled = scores[["mse", "mse_reason"]].assign_coords(photo=("image", np.arange(50) % 13))
    found = chance(labelled, maps, units="photo", draws=3)
    place = {str(image): i for i, image in enumerate(scores.image.values)}
    partners = np.array([[place[name] for name in of_draw] for of_draw in found.partner.values])
    assert (partners % 13 != np.arange(50) % 13).all()
    beyond = corrected(labelled, found, units=units_of(labelled, "photo"), repeats=100)
    assert (beyond.mse.sel(statistic="units") == 13).all()


def test_store_arrays_lazy_maps_tiles_and_memory_agree(maps, scores, tmp_path):
    url = store_of(maps, tmp_path / "maps.zarr")
    stored = salzarr.compare(url, METRICS).compute()
    told = []
    whole = chance(stored, url, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(told) - 1
    request = repeat(stored, url)
    request = replace(request, design=Mismatched(request.pairs, np.roll(np.arange(50), 1)))
    least = next(m for m in range(1, 2**25, 2**12) if fits(request, m))
    assert fit_in_memory(request, least) == (1, 1)  # two models of a tile, an image at a time
    few = chance(stored, url, memory=least)
    for name in whole.data_vars:
        np.testing.assert_allclose(few[name], whole[name], rtol=1e-5, atol=1e-8, err_msg=name)
    arrays = chance(stored, salzarr.open_maps(url).load())
    lazy = chance(stored, salzarr.open_maps(url).chunk({"image": 7}) * 1)
    for name in arrays.data_vars:
        np.testing.assert_allclose(lazy[name], arrays[name], rtol=1e-6, err_msg=name)
    with pytest.raises(BudgetError, match="allow more memory"):
        chance(stored, url, memory=1000)


def fits(request, memory):
    try:
        return fit_in_memory(request, memory)
    except BudgetError:
        return False


def test_models_and_images_are_found_by_name(maps, scores):
    chosen = scores.isel(image=slice(3, 20))
    shuffled = {name: maps[name] for name in ("m2", "m0", "m1")}
    a, b = chance(chosen, maps), chance(chosen, shuffled)
    xr.testing.assert_allclose(a, b)
    with pytest.raises(UsageError, match="no model 'm2'"):
        chance(scores, {name: maps[name] for name in ("m0", "m1")})
    with pytest.raises(UsageError, match="no image '0049'"):
        chance(scores, {name: of[:49] for name, of in maps.items()})


def test_metrics_are_made_again_from_what_is_stored(maps):
    scores = salzarr.compare(maps, "ssim:window=9,mse", normalize="minmax", data_range=2.0)
    window, mse = metrics_of(scores)
    assert dict(window.params)["data_range"] == 2.0
    assert mse.normalize == "minmax"
    scores.mse.attrs["revision"] += 1
    with pytest.raises(ChangedError, match="mse was computed with revision"):
        metrics_of(scores)


def test_a_function_of_the_users_has_to_be_given_again(maps):
    def far(a, b):
        return float(abs(a - b).max())

    scores = salzarr.compare(maps, far).compute()
    with pytest.raises(UsageError, match="give metrics="):
        chance(scores, maps)
    assert chance(scores, maps, metrics=far).far.notnull().any()


# -- Corrected ----------------------------------------------------------------------------------------------


def test_corrected_is_a_ratio_of_means(maps, scores):
    mismatched = chance(scores, maps)
    found = corrected(scores, mismatched, repeats=300)
    s, b = scores.pearson.mean("image"), mismatched.pearson.mean(["draw", "image"])
    np.testing.assert_allclose(found.pearson.sel(statistic="corrected"), (s - b) / (1 - b))
    np.testing.assert_allclose(found.pearson.sel(statistic="score"), s)
    for name in ("kl_a_to_b", "kl_b_to_a"):
        s, b = scores[name].mean("image"), mismatched[name].mean(["draw", "image"])
        np.testing.assert_allclose(found[name].sel(statistic="corrected"), 1 - s / b)
    low, mid, high = (found.mse.sel(statistic=f"corrected{end}") for end in ("_low", "", "_high"))
    assert ((low < mid) & (mid < high)).all()
    summary = summarize(scores)
    np.testing.assert_array_equal(found.mse.sel(statistic="n"), summary.mse.sel(statistic="n"))
    np.testing.assert_array_equal(found.mse_reason, summary.mse_reason)


def test_corrected_of_scores_on_disk_in_little_memory(maps, scores):
    mismatched = chance(scores, maps)
    whole = corrected(scores, mismatched, repeats=20)
    least = 2 * 2 * (50 * DESCRIBE_BYTES + 64 * 20)  # a pair at a time
    few = corrected(ScoreReader(scores.chunk({"image": 9}), least), mismatched, repeats=20)
    for name in whole.data_vars:
        np.testing.assert_allclose(few[name], whole[name], rtol=1e-12)


def test_corrected_is_a_summary(maps, scores):
    found = corrected(scores, chance(scores, maps), repeats=50)
    matrix = to_matrix(found, "mse", "corrected")
    assert np.diag(matrix).tolist() == [1, 1, 1]
    assert matrix.attrs["kind"] == "similarity"
    assert np.isnan(np.diag(to_matrix(found, "mse", "baseline"))).all()
    assert {"missing", "score", "baseline", "corrected_low"} <= set(to_frame(found).columns)


def test_identical_models_have_1_and_a_useless_baseline_has_nan(maps):
    maps = {"a": maps["m0"], "b": maps["m0"].copy(), "c": maps["m2"]}
    scores = salzarr.compare(maps, "pearson,mse").compute()
    found = corrected(scores, chance(scores, maps), repeats=100)
    assert found.pearson.sel(statistic="corrected")[0] == pytest.approx(1)
    assert found.pearson.sel(statistic="corrected_low")[0] == pytest.approx(1)
    same = {name: np.broadcast_to(of[:1], of.shape) for name, of in maps.items()}
    scores = salzarr.compare({"a": same["a"], "b": same["a"]}, "mse").compute()
    found = corrected(scores, chance(scores, {"a": same["a"], "b": same["a"]}), repeats=100)
    assert np.isnan(found.mse.sel(statistic=["corrected", "corrected_low"])).all()
    assert (found.mse.sel(statistic=["score", "baseline"]) == 0).all()


@pytest.mark.filterwarnings("error")
def test_pairs_without_scores_stay_empty(maps, scores):
    for slug in ("pearson", "mse"):
        scores[slug][0] = np.nan
    found = corrected(scores, chance(scores, maps), repeats=50)
    assert np.isnan(found.pearson[1:, 0].drop_sel(statistic=["baseline", "units", "constant_model"])).all()
    assert np.isfinite(found.pearson.sel(statistic="corrected")[1:]).all()


def test_other_images_are_refused(maps, scores):
    with pytest.raises(UsageError, match="different images"):
        corrected(scores.isel(image=slice(5)), chance(scores, maps))


def test_centre_bias_is_not_mistaken_for_agreement():
    """Two random models that look at the middle: high scores, and nothing left of them beyond chance."""
    beyond, agreeing = [], []
    for seed in range(40):
        maps = centred(2, 80, seed=seed)
        scores = salzarr.compare(maps, "pearson,similarity,mse").compute()
        assert scores.pearson.mean() > 0.5
        found = corrected(scores, chance(scores, maps, seed=seed), repeats=300)
        for slug in ("pearson", "similarity", "mse"):
            *_, ratio, low, high, _ = found[slug].values[:, 0]
            assert abs(ratio) < 0.05
            beyond.append(low > 0 or high < 0)
        maps = centred(2, 80, seed=seed, common=0.3)
        scores = salzarr.compare(maps, "pearson").compute()
        found = corrected(scores, chance(scores, maps, seed=seed), repeats=300)
        agreeing.append(found.pearson.sel(statistic="corrected_low").item() > 0)
    assert np.mean(beyond) < 0.14  # nominally 0.05, of 120 that are not independent
    assert np.mean(agreeing) > 0.95
