import numpy as np
import pytest

from salzarr.scores.labels import units_of
from salzarr.statistics.reliability import split_half


def test_reliability_is_that_of_the_full_set(make_scores):
    """Pairs with means of variance 1 and images with noise of variance s²: reliability 1 / (1 + s² / n)."""
    rng = np.random.default_rng(0)
    scores = make_scores(models=40, images=50)
    truth = rng.normal(size=(scores.sizes["pair"], 1))
    scores["mse"] = scores.mse.copy(data=truth + 5 * rng.normal(size=scores.mse.shape))
    found = split_half(scores[["mse", "mse_reason"]], repeats=200)
    assert found.reliability.item() == pytest.approx(1 / (1 + 25 / 50), abs=0.05)
    assert found.splits_low < found.reliability < found.splits_high


def test_reliability_of_noise_is_zero_and_of_constants_one(make_scores):
    scores = make_scores(models=30, images=40, missing=0.1)
    rng = np.random.default_rng(0)
    scores.mse[:] = rng.normal(size=scores.mse.shape)
    scores.ssim_window_11[:] = rng.normal(size=(scores.sizes["pair"], 1))
    found = split_half(scores, repeats=200)
    assert abs(found.reliability[0]) < 0.25
    assert found.reliability[1] == pytest.approx(1)
    assert found.identical(split_half(scores, repeats=200))


@pytest.mark.parametrize(("models", "images"), [(2, 30), (5, 1)])
def test_reliability_of_too_little_is_not_claimed(make_scores, models, images):
    assert np.isnan(split_half(make_scores(models, images), repeats=10).reliability).all()


def test_copies_of_an_image_go_to_the_same_half(make_scores):
    """Copies in both halves would predict each other, whatever the models have in common."""
    rng = np.random.default_rng(1)
    scores = make_scores(models=30, images=10)[["mse", "mse_reason"]]
    scores.mse[:] = rng.normal(size=scores.mse.shape)
    copied = scores.isel(image=np.repeat(np.arange(10), 8)).assign_coords(
        photo=("image", np.repeat(np.arange(10), 8)), image=[f"{i:02d}" for i in range(80)]
    )
    assert split_half(copied, repeats=200).reliability.item() > 0.7
    found = split_half(copied, units=units_of(copied, "photo"), repeats=200)
    assert abs(found.reliability.item()) < 0.25
    assert found["units"].item() == 10
    np.testing.assert_allclose(found.reliability, split_half(scores, repeats=200).reliability)
