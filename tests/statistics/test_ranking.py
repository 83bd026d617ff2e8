import numpy as np
import pytest

from salzarr.descriptive import DESCRIBE_BYTES
from salzarr.statistics.ranking import extremes, histograms, rank_images
from salzarr.statistics.rows import ScoreReader


def test_ranks_follow_the_mean_over_pairs(make_scores):
    scores = make_scores()
    found = rank_images(scores)
    np.testing.assert_allclose(found.mse, scores.mse.mean("pair"))
    np.testing.assert_allclose(found.kl, (scores.kl_a_to_b + scores.kl_b_to_a).mean("pair") / 2)
    assert found.mse_rank.argmin("image") == scores.mse.mean("pair").argmax("image")  # the most error
    assert found.ssim_window_11_rank.argmin("image") == scores.ssim_window_11.mean("pair").argmin("image")
    np.testing.assert_allclose(
        found["rank"], (found.mse_rank + found.ssim_window_11_rank + found.kl_rank) / 3
    )


def test_a_missing_outlier_does_not_make_an_image_look_agreed_upon(make_scores):
    scores = make_scores(images=40)
    pairs_of_m3 = (scores.model_a == "m3") | (scores.model_b == "m3")
    scores.mse[pairs_of_m3.values] += 10
    whole = rank_images(scores)
    scores.mse[pairs_of_m3.values, 5] = np.nan
    assert abs(rank_images(scores).mse[5] - whole.mse[5]) < 0.5
    scores.mse[:, 6] = np.nan
    found = rank_images(scores)
    assert np.isnan(found.mse[6])
    assert np.isnan(found.mse_rank[6])
    assert np.nanmax(found.mse_rank) == 39


def test_extremes_are_the_ends_of_the_sorted_scores(scores):
    found = extremes(scores, 4)
    for pair in range(6):
        values = scores.mse[pair].values
        order = np.argsort(values)
        known = order[: np.isfinite(values).sum()]
        least, most = found.mse_image.isel(pair=pair)
        np.testing.assert_array_equal(least, known[::-1][:4])
        np.testing.assert_array_equal(most, known[:4])
        np.testing.assert_array_equal(found.mse_score.sel(end="least_alike")[pair], values[known[::-1][:4]])
    assert found.kl_b_to_a_score.sel(end="most_alike")[0, 0] == scores.kl_b_to_a[0].min()
    similar = found.ssim_window_11_score.isel(pair=0)
    assert similar.sel(end="most_alike")[0] == scores.ssim_window_11[0].max()


def test_fewer_scores_than_places(scores):
    scores.mse[0, 2:] = np.nan
    scores.mse[0, :2] = [1.0, 2.0]
    scores.mse[1] = np.nan
    found = extremes(scores, 3)
    assert found.mse_image[0, 0].values.tolist() == [1, 0, -1]
    assert found.mse_image[1, 0].values.tolist() == [0, 1, -1]
    assert np.isnan(found.mse_score[:, 0, 2]).all()
    assert (found.mse_image[:, 1] == -1).all()
    assert extremes(scores, 99).sizes["place"] == 30


def test_histograms_count_every_score_once(scores):
    found = histograms(scores, 12)
    for slug, names in {"mse": ["mse"], "kl": ["kl_a_to_b", "kl_b_to_a"]}.items():
        edges = found[f"{slug}_edge"].values
        assert edges[0] == min(scores[name].min() for name in names)
        assert edges[-1] == max(scores[name].max() for name in names)
        for name in names:
            for counts, row in zip(found[f"{name}_count"].values, scores[name].values, strict=True):
                np.testing.assert_array_equal(counts, np.histogram(row[np.isfinite(row)], edges)[0])


def test_histograms_of_nothing_and_of_one_value(scores):
    scores.mse[:] = np.nan
    scores.ssim_window_11[:] = 0.5
    found = histograms(scores, 8)
    assert found.mse_count.sum() == 0
    assert (found.ssim_window_11_count.sum("bin") == 30).all()


@pytest.mark.parametrize("function", [rank_images, extremes, histograms])
def test_small_memory_gives_the_same(scores, function):
    whole = function(scores)
    few = function(ScoreReader(scores.chunk({"image": 11}), 2 * 2 * 2 * 30 * DESCRIBE_BYTES))
    for name in whole.data_vars:
        np.testing.assert_allclose(few[name], whole[name], rtol=1e-12)
