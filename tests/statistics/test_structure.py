import numpy as np
import pytest
import xarray as xr
from scipy.cluster.hierarchy import is_valid_linkage, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.manifold import smacof

from salzarr.errors import UsageError
from salzarr.statistics.metric_pairs import metric_agreement
from salzarr.statistics.structure import _smacof, cluster, distances, embed
from salzarr.statistics.summary import summarize, to_matrix


def labelled(values, names=None):
    names = names or [f"m{i}" for i in range(len(values))]
    return xr.DataArray(values, dims=["model_a", "model_b"], coords={"model_a": names, "model_b": names})


@pytest.fixture
def plane():
    """Distances between 12 points of a plane."""
    return labelled(squareform(pdist(np.random.default_rng(4).normal(size=(12, 2)))))


def without(distances, share, seed=0):
    """Some cells made NaN, on both sides of the diagonal."""
    values = distances.values.copy()
    upper = np.triu(np.random.default_rng(seed).random(values.shape) < share, 1)
    values[upper | upper.T] = np.nan
    return distances.copy(data=values)


# -- Distances ----------------------------------------------------------------------------------------------


def test_distances_know_the_metric(scores):
    summary = summarize(scores)
    np.testing.assert_allclose(
        distances(summary, "ssim_window_11"), 1 - to_matrix(summary, "ssim_window_11"), rtol=1e-12
    )
    np.testing.assert_array_equal(distances(summary, "mse"), to_matrix(summary, "mse"))
    kl = to_matrix(summary, "kl").values
    np.testing.assert_allclose(distances(summary, "kl"), (kl + kl.T) / 2)
    assert distances(summary, "mse", "median").values[0, 1] == pytest.approx(scores.mse[0].median().item())


def test_a_metric_that_does_not_say_its_self_value(scores):
    scores.ssim_window_11.attrs["self_value"] = "nan"
    apart = distances(summarize(scores), "ssim_window_11").values
    off = apart[~np.eye(4, dtype=bool)]
    assert off.min() == 0
    assert (off >= 0).all()


# -- Clusters -----------------------------------------------------------------------------------------------


def test_clustering_is_scipys(plane):
    found = cluster(plane)
    expected = linkage(squareform(plane.values), "average", optimal_ordering=True)
    np.testing.assert_allclose(found.linkage, expected)
    assert found.order == tuple(f"m{i}" for i in leaves_list(expected))


def test_clustering_survives_missing_cells():
    points = np.concatenate([np.zeros((6, 2)), np.full((6, 2), 10.0)]) + np.random.default_rng(0).random(
        (12, 2)
    )
    apart = without(labelled(squareform(pdist(points))), 0.3)
    found = cluster(apart)
    assert is_valid_linkage(found.linkage)
    assert {int(name[1:]) // 6 for name in found.order[:6]} in ({0}, {1})  # the two groups stay apart


def test_a_model_without_scores_comes_last(plane):
    plane.values[3] = plane.values[:, 3] = np.nan
    found = cluster(plane)
    assert found.order[-1] == "m3"
    assert sorted(found.order) == sorted(plane.model_a.values.tolist())
    assert "m3" not in found.models
    assert np.isnan(embed(plane).sel(model="m3")).all()


@pytest.mark.parametrize("function", [cluster, embed])
def test_too_few_cells_are_refused_with_the_numbers(function, scores):
    only_one_reference = distances(summarize(scores.isel(pair=[0, 1, 3])), "mse")
    assert function(only_one_reference) is not None  # 3 of 6 pairs
    many = labelled(np.full((8, 8), np.nan))
    many.values[0] = many.values[:, 0] = 1
    with pytest.raises(UsageError, match="7 of 28 pairs"):
        function(many)
    with pytest.raises(UsageError, match="0 of 0 pairs"):
        function(labelled(np.zeros((1, 1))))


# -- The map of the models ----------------------------------------------------------------------------------


def test_points_of_a_plane_are_found_again(plane):
    found = embed(plane)
    assert found.attrs["stress"] < 1e-4
    np.testing.assert_allclose(squareform(pdist(found.values)), plane, atol=1e-3)
    np.testing.assert_allclose(found.mean("model"), 0, atol=1e-12)
    assert found.std("model")[0] > found.std("model")[1]


def test_missing_cells_carry_no_weight(plane):
    found = embed(without(plane, 0.3))
    assert found.attrs["stress"] < 1e-4
    np.testing.assert_allclose(squareform(pdist(found.values)), plane, atol=1e-2)


def test_smacof_is_scikit_learns():
    apart = squareform(pdist(np.random.default_rng(1).normal(size=(9, 5))))
    start = np.random.default_rng(2).normal(size=(9, 2))
    for steps in (1, 5, 60):
        expected, _ = smacof(apart, n_components=2, init=start, n_init=1, max_iter=steps, eps=0, metric=True)
        _, placed = _smacof(apart, 1 - np.eye(9), start, steps=steps)
        np.testing.assert_allclose(pdist(placed), pdist(expected), rtol=1e-9)


def test_stress_is_scikit_learns_best():
    for seed in range(3):
        apart = squareform(pdist(np.random.default_rng(seed).normal(size=(9, 5))))
        found = embed(labelled(apart))
        _, expected = smacof(
            apart, n_components=2, n_init=30, max_iter=5000, eps=1e-9, random_state=0, metric=True,
            normalized_stress=True,
        )  # fmt: skip
        assert found.attrs["stress"] <= expected + 1e-4


@pytest.mark.parametrize("missing", [0, 0.2])
def test_order_of_models_does_not_matter(plane, missing):
    apart = without(plane, missing)
    order = np.random.default_rng(7).permutation(12)
    shuffled = apart[order, order]
    first, second = embed(apart, seed=3), embed(shuffled, seed=3)
    np.testing.assert_allclose(first, second.sel(model=first.model), atol=1e-6)
    a, b = cluster(apart), cluster(shuffled)
    np.testing.assert_allclose(a.linkage[:, 2], b.linkage[:, 2])
    assert a.order in (b.order, b.order[::-1])


@pytest.mark.parametrize("unit", [2.0**-700, 2.0**700])
def test_the_unit_of_the_scores_does_not_matter(unit):
    rng = np.random.default_rng(0)
    names = [*"abcde"]
    apart = squareform(pdist(rng.normal(size=(5, 3))))
    near = xr.DataArray(apart, {"model_a": names, "model_b": names}, ("model_a", "model_b"))
    plain, scaled = embed(near), embed(near * unit)
    np.testing.assert_allclose(scaled / unit, plain, rtol=1e-9)
    assert scaled.attrs["stress"] == pytest.approx(plain.attrs["stress"])


def test_identical_models_fall_together():
    found = embed(labelled(np.zeros((4, 4))))
    assert found.attrs["stress"] == 0
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_two_models_lie_on_a_line():
    found = embed(labelled(np.array([[0.0, 2.0], [2.0, 0.0]])))
    assert found.attrs["stress"] == pytest.approx(0, abs=1e-6)
    assert abs(found[0, 0] - found[1, 0]) == pytest.approx(2)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-9)


# -- Agreement of metrics -----------------------------------------------------------------------------------


def test_agreement_is_spearmans_over_the_common_cells(make_scores):
    scores = make_scores(models=9, images=3)
    scores.mse[[0, 5]] = np.nan
    scores.kl_a_to_b[7] = scores.kl_b_to_a[7] = np.nan
    summary = summarize(scores)
    found = metric_agreement(scores, summary, repeats=99, bootstrap=0)
    a, b = (distances(summary, slug).values[np.triu_indices(9, 1)] for slug in ("mse", "kl"))
    expected = spearmanr(a, b, nan_policy="omit").statistic
    assert found.spearman.sel(metric="mse", metric_2="kl") == pytest.approx(expected)
    assert found.n.sel(metric="mse", metric_2="kl") == 36 - 3
    assert found.p.sel(metric="kl", metric_2="mse") == pytest.approx(1 / 100)
    np.testing.assert_array_equal(found.spearman, found.spearman.T)
    np.testing.assert_allclose(np.diag(found.spearman), 1)


@pytest.mark.parametrize("models", [2, 3])
def test_agreement_of_too_few_pairs_is_not_claimed(make_scores, models):
    scores = make_scores(models=models)
    found = metric_agreement(scores, summarize(scores), repeats=50, bootstrap=0)
    if models == 2:
        assert np.isnan(found.spearman).all()
    else:
        assert (found.p.values[~np.eye(3, dtype=bool)] > 0.1).all()  # three models have six permutations


def test_mantel_is_uniform_when_the_metrics_know_nothing_of_each_other(make_scores):
    rng = np.random.default_rng(0)
    p = []
    for _ in range(100):
        scores = make_scores(models=7, images=1)
        for names in (["mse"], ["kl_a_to_b", "kl_b_to_a"]):
            # Distances between random points: their cells depend on each other, as those of models do.
            apart = pdist(rng.normal(size=(7, 3)))
            a, b = np.triu_indices(7, 1)
            place = {(f"m{i}", f"m{j}"): k for k, (i, j) in enumerate(zip(a, b, strict=True))}
            ends = zip(scores.model_a.values, scores.model_b.values, strict=True)
            found = apart[[place[pair] for pair in ends]]
            for name in names:
                scores[name][:, 0] = found
        names = ["mse", "kl_a_to_b", "kl_b_to_a"]
        chosen = scores[[*names, *(f"{n}_reason" for n in names)]]
        found = metric_agreement(chosen, summarize(chosen), bootstrap=0)
        p.append(found.p[0, 1].item())
    assert abs(np.mean(np.array(p) <= 0.2) - 0.2) < 3.5 * np.sqrt(0.2 * 0.8 / 100)
    assert abs(np.mean(p) - 0.5) < 3.5 / np.sqrt(12 * 100)
