"""SSIM is right to 1e-9, on maps made to break it."""

from __future__ import annotations

import numpy as np
import pytest
from reference import ms_ssim, ssim

from salzarr.metrics import ms_ssim as ms_ssim_metric
from salzarr.metrics import score_block, ssim_gaussian
from salzarr.metrics import ssim as ssim_metric

SHAPE = (61, 75)
RNG = np.random.default_rng(11)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]] / 75


def noise(scale):
    return scale * RNG.standard_normal(SHAPE)


PAIRS = {
    "offset": (1000 + noise(0.01), 1000 + noise(0.01)),
    "plateaus far from the mean": (
        np.where(X < 0.9, 1.0, 0.0) + noise(1e-4),
        np.where(X < 0.9, 1.0, 0.0) + noise(1e-4),
    ),
    "smooth": (np.exp(-8 * (X - 0.4) ** 2), np.exp(-8 * (X - 0.5) ** 2)),
    "gradient": (X + Y, 1.001 * X + Y + noise(1e-5)),
    "near identical": (X * Y, X * Y + noise(1e-7)),
    "one hot": (np.eye(*SHAPE), np.roll(np.eye(*SHAPE), 9, axis=1)),
    "opposite": (noise(1.0), None),
    "spiky": (np.abs(RNG.standard_t(2, SHAPE)), np.abs(RNG.standard_t(2, SHAPE))),
    "constant": (np.full(SHAPE, 0.1), np.full(SHAPE, 0.7) + noise(1e-3)),
    "denormal": (noise(1e-310), noise(1e-310)),
    "huge": (noise(1e300), noise(1e300)),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error(kind, dtype):
    a, b = PAIRS[kind]
    b = -a if b is None else b
    if kind in ("denormal", "huge") and dtype == np.float32:
        return
    maps = np.stack([a, b])[:, None].astype(dtype)
    data_range = float(maps.max() - maps.min())
    wide = np.longdouble(maps)
    variants = [
        (ssim_metric(data_range=data_range), ssim(data_range)),
        (ssim_metric(window=21, data_range=data_range), ssim(data_range, 21)),
        (ssim_gaussian(data_range=data_range), ssim(data_range, gaussian=True)),
    ]
    for metric, reference in variants:
        [[got]] = score_block(maps, [(0, 1)], [metric])[metric.slug].values
        assert abs(got - reference(wide[0, 0], wide[1, 0])) < 1e-9, metric.spec


def test_a_data_range_far_below_that_of_the_maps():
    """A mistake, but one with an answer: the constants hardly count."""
    maps = 255 * RNG.random((2, 1, 40, 40))
    metric = ssim_metric(data_range=1.0)
    [[got]] = score_block(maps, [(0, 1)], [metric])[metric.slug].values
    assert got == pytest.approx(ssim(1.0)(maps[0, 0], maps[1, 0]), abs=1e-9)


def test_the_length_of_a_map_does_not_add_up():
    maps = RNG.random((2, 1, 3000, 9)) + 5
    metric = ssim_metric(data_range=1.0)
    [[got]] = score_block(maps, [(0, 1)], [metric])[metric.slug].values
    assert got == pytest.approx(ssim(1.0)(maps[0, 0], maps[1, 0]), abs=1e-12)


def test_opposite_contrasts_count_as_zero_in_ms_ssim():
    one = RNG.random((180, 177))
    maps = np.stack([one, 1 - one, 0.5 * one + 0.5 * RNG.random(one.shape)])[:, None]
    metric = ms_ssim_metric(data_range=1.0)
    [[opposite], [alike]] = score_block(maps, [(0, 1), (0, 2)], [metric])[metric.slug].values
    assert opposite == 0.0
    assert alike == pytest.approx(ms_ssim(1.0)(maps[0, 0], maps[2, 0]), abs=1e-12)
    assert 0.1 < alike < 1
