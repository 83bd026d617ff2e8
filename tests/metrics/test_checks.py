"""What is refused or warned of before a comparison starts."""

from __future__ import annotations

import numpy as np
import pytest

from salzarr.errors import MetricError
from salzarr.metrics import (
    METRICS,
    as_metrics,
    check_maps,
    check_size,
    parse_metrics,
    range_warnings,
    ssim,
    warnings_for,
)
from salzarr.schema import Reason

MODELS = ["VGG16", "ResNet50", "LRP"]


@pytest.mark.parametrize("name", [name for name, m in METRICS.items() if m.smallest > 1])
def test_maps_too_small_are_refused_and_the_smallest_are_not(name):
    side = METRICS[name].smallest
    check_size(as_metrics(name), (side, side))
    with pytest.raises(MetricError, match=rf"maps of {side - 1} x 300 pixels .* {name} \(at least {side}"):
        check_size(as_metrics(["mse", name]), (side - 1, 300))


def test_the_smallest_sides_are_those_of_the_definitions():
    sides = {
        spec: as_metrics(spec)[0].smallest
        for spec in ("ssim", "ssim:window=11", "ssim_gaussian", "hog", "ms_ssim")
    }
    assert list(sides.values()) == [7, 11, 11, 48, 176]


def test_a_normalization_that_makes_values_negative_is_refused_for_mass():
    with pytest.raises(
        MetricError, match=r'kl compares .* zscore makes values negative; use metrics="mse,kl:'
    ):
        check_maps([m.with_normalize("zscore") for m in as_metrics("mse,kl")], [0.0], ["one"])


def test_signed_maps_are_refused_with_the_metrics_that_would_work():
    chosen = as_metrics(
        "mse,kl,js:normalize=sum,hellinger:normalize=zscore+sum,similarity,center_distance:normalize=abs"
    )
    low = np.array([0.0, -0.25, np.nan])
    with pytest.raises(MetricError) as error:
        check_maps(chosen, low, MODELS)
    message = str(error.value)
    assert "kl, js:normalize=sum, hellinger:normalize=zscore+sum compare distributions" in message
    assert "ResNet50 (-0.25)" in message
    assert "VGG16" not in message
    remedy = message.partition('metrics="')[2].partition('"')[0]
    assert remedy.startswith(
        "mse,kl:normalize=abs,js:normalize=abs+sum,hellinger:normalize=abs+sum,similarity,"
    )
    check_maps(parse_metrics(remedy), low, MODELS)


def test_every_distribution_metric_is_refused_signed_maps():
    needy = [m for m in METRICS.values() if Reason.NEGATIVE in m.undefined]
    assert {"kl", "js", "hellinger", "center_distance"} <= {m.name for m in needy}
    for metric in needy:
        with pytest.raises(MetricError, match=f"{metric.name} compares distributions"):
            check_maps([metric], [-1.0], ["one"])
        for chain in ("abs", "positive", "minmax", "abs+sum"):
            check_maps([metric.with_normalize(chain)], [-1.0], ["one"])


def test_a_crowd_of_signed_models_is_not_listed_whole():
    with pytest.raises(MetricError, match="and 15 more"):
        check_maps(as_metrics("kl"), np.full(20, -1.0), [f"m{i}" for i in range(20)])


def said(metrics, low, high, shape=(224, 224)):
    return warnings_for(as_metrics(metrics), shape, low, high, MODELS)


def test_models_of_very_different_ranges_draw_a_warning():
    low, high = [0, 0, -1], [1, 255, 1]
    warning, of_signs = said("mse,pearson,ssim,mae:normalize=minmax", low, high)
    assert "the maps of LRP have negative values, for which ssim can be" in of_signs
    assert "ResNet50 span 255 and those of VGG16 1" in warning
    assert "so mse, ssim mostly compare" in warning
    assert "--normalize minmax" in warning
    assert not said("pearson,spearman,js,mse:normalize=max", low, high)
    assert said("mse:normalize=abs", low, high)
    assert not said("mse", [0, 0, 0], [1, 9.9, 2])
    assert said("mse", [0, 0, 0], [1, 10, 2])
    assert not said("mse", [0, np.nan, 0], [1, np.nan, 0]), "a missing and a constant model have no range"


def test_maps_of_few_pixels_bias_mutual_information():
    [warning] = said("mutual_information,mse", [0, 0, 0], [1, 1, 1], (30, 30))
    assert "mutual_information is biased on maps of 900 pixels, fewer than the 1000" in warning
    assert not said("mutual_information:bins=50", [0, 0, 0], [1, 1, 1], (30, 30))


def test_structural_similarity_of_signed_maps_draws_a_warning():
    low, high = [[0, 0], [0, -1], [0, 0]], [[1, 1], [1, 1], [1, 1]]
    [warning] = said("ssim,ms_ssim,pearson", low, high)
    assert "the maps of ResNet50 have negative values, for which ssim, ms_ssim can be high" in warning
    assert not said("ssim:normalize=minmax", low, high)
    assert not said("ssim", np.zeros((3, 2)), high)
    [warning] = said("ssim:normalize=zscore", np.zeros((3, 2)), high)
    assert "maps after zscore have negative values" in warning


def test_pixels_of_zero_draw_a_warning_for_kl():
    low, high = [[0, 0.5], [0.1, np.nan], [0.2, 0]], [[1, 1], [1, np.nan], [1, 0]]
    [warning] = said("kl,js", low, high)
    assert "1 of 5 maps have pixels of 0: mass of the other map there counts in kl by its eps" in warning
    [warning] = said("kl:normalize=positive", [[-0.5, 0.5]] * 3, [[1, 1]] * 3)
    assert "3 of 6 maps" in warning
    assert not said("kl:normalize=minmax", [[0.5, 0.5]] * 3, [[1, 1]] * 3), "a single pixel"
    assert not said("kl:normalize=abs", [[-0.5]] * 3, [[1]] * 3), "nobody knows how near to 0 these come"


def test_a_data_range_that_one_hot_pixel_made_draws_a_warning():
    metric = ssim(data_range=500.0)
    [warning] = range_warnings([metric], [[0, 0], [0, 0]], [[1, 1], [500, np.nan]])
    assert "the data range of ssim, 500, is 500 times that of the median map" in warning
    assert "--normalize minmax" in warning
    assert not range_warnings([metric], [[0, 0]], [[400, 500]])
    assert not range_warnings(as_metrics("mse"), [0, 0, 0], [1, 1, 500])
    assert not range_warnings([metric], [np.nan], [np.nan])
