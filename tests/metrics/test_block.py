"""Reasons, normalized blocks, and features that come and go."""

from __future__ import annotations

import numpy as np
import pytest

from salzarr.errors import MetricError, ShapeError
from salzarr.metrics import Block, as_metrics, custom, score_block, ssim
from salzarr.schema import Reason

RNG = np.random.default_rng(0)


def kinds(dtype=np.float32):
    """One image by eight models."""
    fine, other = RNG.random((2, 9, 9))
    hole, bright = fine.copy(), fine.copy()
    hole[3, 3], bright[0, 0] = np.nan, np.inf
    signed = fine - 0.5
    maps = {
        "fine": fine,
        "other": other,
        "missing": np.full((9, 9), np.nan),
        "hole": hole,
        "bright": bright,
        "constant": np.full((9, 9), 0.1),
        "zero": np.zeros((9, 9)),
        "signed": signed,
        "debt": np.full((9, 9), -1.0),
    }
    return list(maps), np.stack(list(maps.values()))[:, None].astype(dtype)


EXPECTED = {
    "mse": {"missing": "MISSING", "hole": "NON_FINITE", "bright": "NON_FINITE"},
    "pearson": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "cosine": {"zero": "ZERO_MASS"},
    "kl": {"zero": "ZERO_MASS", "signed": "NEGATIVE", "debt": "NEGATIVE"},
    "js": {"zero": "ZERO_MASS", "signed": "NEGATIVE", "debt": "NEGATIVE"},
    "center_distance": {"zero": "ZERO_MASS", "signed": "NEGATIVE", "debt": "NEGATIVE"},
    "similarity": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "similarity:shift=if_negative": {"zero": "ZERO_MASS", "debt": "ZERO_MASS"},
    "topk_iou": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "mutual_information": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "kendall": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "ssim:data_range=1": {},
    "mse:normalize=minmax": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "mse:normalize=zscore": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "mse:normalize=sum": {"zero": "ZERO_MASS", "signed": "NEGATIVE", "debt": "NEGATIVE"},
    "mse:normalize=max": {"zero": "ZERO_MASS", "debt": "NEGATIVE"},
    "mae:normalize=minmax": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
    "kl:normalize=abs+sum": {"zero": "ZERO_MASS"},
    "kl:normalize=positive": {"zero": "ZERO_MASS", "debt": "ZERO_MASS"},
    "kl:normalize=abs+minmax": {"constant": "CONSTANT", "zero": "CONSTANT", "debt": "CONSTANT"},
}


@pytest.mark.parametrize("spec", EXPECTED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_why_a_map_has_no_score(spec, dtype):
    names, maps = kinds(dtype)
    [metric] = as_metrics(spec)
    against = names.index("other")
    pairs = [(m, against) for m in range(len(names))] + [(against, m) for m in range(len(names))]
    scored = score_block(maps, pairs, [metric])[metric.slug]
    want = [Reason[(EXPECTED["mse"] | EXPECTED[spec]).get(name, "SCORED")] for name in names]
    assert [Reason(r) for r in scored.reason[:, 0]] == want * 2
    nan = np.isnan(scored.values).any(axis=0) if metric.directed else np.isnan(scored.values)
    assert (nan == (scored.reason > 0)).all()


def test_the_first_reason_wins_and_missing_is_first():
    names, maps = kinds()
    pairs = [(names.index(a), names.index("zero")) for a in ("missing", "hole", "constant")]
    scored = score_block(maps, pairs, as_metrics("pearson"))["pearson"]
    assert scored.reason[:, 0].tolist() == [Reason.MISSING, Reason.NON_FINITE, Reason.CONSTANT]


def test_a_constant_map_of_a_value_that_float32_cannot_hold():
    """Its standard deviation is 7e-9, not 0."""
    maps = np.full((2, 1, 50, 50), 0.1, np.float32)
    maps[1] = RNG.random((50, 50))
    assert score_block(maps, [(0, 1)], as_metrics("pearson"))["pearson"].reason[0, 0] == Reason.CONSTANT


def test_a_data_range_of_zero_leaves_ssim_undefined():
    metric = ssim(data_range=0.0)
    scored = score_block(np.ones((2, 1, 9, 9)), [(0, 1)], [metric])[metric.slug]
    assert np.isnan(scored.values).all()
    assert (scored.reason == Reason.CONSTANT).all()


def test_a_constant_descriptor_leaves_hog_undefined():
    maps = RNG.random((2, 1, 48, 48))
    maps[0] = 1.0
    maps[0, 0, 0, 0] = 1.0 + 1e-9  # no constant map, but the corner's gradient is left out by HOG's borders
    scored = score_block(maps, [(0, 1)], as_metrics("hog"))["hog"]
    assert np.isnan(scored.values).all() == (scored.reason > 0).all()


def test_scores_do_not_depend_on_dtype_order_of_metrics_or_company():
    maps = RNG.random((3, 2, 12, 12)).astype(np.float32)
    pairs = [(0, 1), (0, 2), (1, 2)]
    specs = [
        "mse",
        "kl",
        "kl:normalize=abs+sum",
        "hellinger",
        "pearson:normalize=minmax",
        "pearson",
        "spearman",
    ]
    together = score_block(maps, pairs, as_metrics(specs))
    assert list(together) == [m.slug for m in as_metrics(specs)]
    for metric in as_metrics(specs[::-1]):
        alone = score_block(maps.astype(np.float64), pairs, [metric])[metric.slug]
        np.testing.assert_allclose(together[metric.slug].values, alone.values, rtol=1e-12, atol=1e-14)


def test_other_dtypes_are_taken_as_numbers():
    maps = RNG.integers(0, 255, (2, 1, 8, 8))
    for dtype in (np.uint8, np.int64, np.float16, ">f4"):
        got = score_block(maps.astype(dtype), [(0, 1)], as_metrics("mse"))["mse"].values
        assert got[0, 0] == ((maps[0] - maps[1]) ** 2).mean()


def test_maps_need_not_be_contiguous():
    maps = RNG.random((9, 9, 2, 3))
    transposed = maps.transpose(2, 3, 0, 1)
    metrics = as_metrics(["mse", "kl", "spearman", ssim(data_range=1.0)])
    for slug, scored in score_block(transposed, [(0, 1)], metrics).items():
        np.testing.assert_array_equal(
            scored.values, score_block(transposed.copy(), [(0, 1)], metrics)[slug].values
        )


def test_a_block_that_is_none():
    with pytest.raises(ShapeError, match=r"not \(3, 4, 4\)"):
        Block(np.zeros((3, 4, 4)))


def test_ssim_without_a_data_range_is_refused():
    with pytest.raises(MetricError, match="ssim needs a data range"):
        score_block(np.ones((2, 1, 9, 9)), [(0, 1)], as_metrics("ssim"))


def test_no_pairs_and_no_images():
    for metric in as_metrics("mse,pearson,kl,spearman,kendall,topk_iou,js,center_distance"):
        none = score_block(np.ones((1, 2, 8, 8)), [], [metric])[metric.slug]
        assert none.values.shape[-2:] == (0, 2)
        empty = score_block(np.ones((2, 0, 8, 8)), [(0, 1)], [metric])[metric.slug]
        assert empty.values.shape[-2:] == (1, 0)


def test_a_feature_is_computed_once_while_metrics_want_it_and_then_freed(monkeypatch):
    from salzarr.metrics import mass

    seen, computed = [], []
    unit = mass._unit
    monkeypatch.setattr(mass, "_unit", lambda mass: computed.append(1) or unit(mass))
    block = Block(RNG.random((3, 2, 8, 8)))

    def spy(a, b):
        seen.append(set(block._features))
        return 0.0

    def spy_later(a, b):
        return spy(a, b)

    score_block(block, [(0, 1)], as_metrics(["kl", spy, "js", "hellinger", custom(spy_later), "mse"]))
    assert len(computed) == 1
    assert "mass" in seen[0]
    assert not seen[-1]


def test_normalized_maps_do_not_touch_the_callers():
    maps = RNG.random((2, 1, 8, 8))
    before = maps.copy()
    score_block(maps, [(0, 1)], as_metrics("mse:normalize=minmax,kl,pearson:normalize=abs,topk_iou,js"))
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("spec", ["mse", "mae", "mse:normalize=minmax"])
def test_a_score_of_finite_maps_that_overflows_has_a_reason_of_its_own(spec):
    maps = 1.7e308 * (2 * RNG.random((2, 1, 9, 9)) - 1)
    maps[:, 0, 0, 0], maps[:, 0, 1, 1] = 1.7e308, -1.7e308
    maps[1] *= -1
    scored = next(iter(score_block(maps, [(0, 1)], as_metrics(spec)).values()))
    assert scored.reason[0, 0] == Reason.OVERFLOW


@pytest.mark.parametrize("scale", [1e-300, 1e200, 1e300])
def test_rmse_does_not_overflow_where_mse_does(scale):
    a, b = RNG.random((2, 9, 9))
    want = np.sqrt(np.mean((a - b) ** 2)) * scale
    maps = np.stack([a, b])[:, None] * scale
    assert score_block(maps, [(0, 1)], as_metrics("rmse"))["rmse"].values[0, 0] == pytest.approx(want)


def test_rmse_of_maps_that_differ_by_next_to_nothing_is_not_zero():
    maps = np.ones((2, 1, 5, 5))
    maps[:, 0, 0, 0] = 1e-200, 3e-200
    assert score_block(maps, [(0, 1)], as_metrics("rmse"))["rmse"].values[0, 0] == pytest.approx(4e-201)


def test_kl_of_equal_maps_is_zero_and_of_no_maps_negative():
    one = RNG.random((9, 9))
    delta = np.zeros((9, 9))
    delta[3, 3] = 1
    maps = np.stack([one, one, one * (1 + 1e-9 * RNG.random((9, 9))), delta, delta])[:, None]
    for spec in ("kl", "kl:eps=0.1"):
        values = score_block(maps, [(0, 1), (0, 2), (3, 4)], as_metrics(spec)).popitem()[1].values
        assert (values[:, [0, 2]] == 0).all()
        assert (values >= 0).all()


def test_kl_where_one_map_is_zero_is_eps_alone():
    maps = np.ones((2, 1, 80, 100))
    maps[1, 0, :40] = 0
    forth, back = score_block(maps, [(0, 1)], as_metrics("kl"))["kl"].values[:, 0, 0]
    assert forth == pytest.approx(13.2, abs=0.1)  # by the formula; without eps it is infinite
    assert back == pytest.approx(np.log(2))


def test_bins_of_maps_on_an_offset_are_found_in_float64():
    maps = (1000 + 0.01 * RNG.standard_normal((2, 1, 64, 64))).astype(np.float32)
    single, double = (
        score_block(m, [(0, 1)], as_metrics("mutual_information"))["mutual_information"].values
        for m in (maps, maps.astype(np.float64))
    )
    assert single == double


def test_mutual_information_of_the_largest_maps():
    maps = 2 * RNG.random((2, 1, 64, 64)) - 1
    plain, huge = (
        score_block(m, [(0, 1)], as_metrics("mutual_information"))["mutual_information"].values
        for m in (maps, maps * 2.0**1023)
    )
    assert plain == huge


def test_the_displacement_of_a_moved_block_is_how_far_it_was_moved():
    maps = np.zeros((2, 1, 70, 60))
    maps[0, 0, 5:25, 10:30] = maps[1, 0, 20:40, 5:25] = 1
    for pair, sign in (((0, 1), 1), ((1, 0), -1)):
        scored = score_block(maps, [pair], as_metrics("dx,dy,center_distance"))
        assert scored["dx"].values[0, 0] == pytest.approx(sign * -5, abs=1e-12)  # b is to the left
        assert scored["dy"].values[0, 0] == pytest.approx(sign * 15, abs=1e-12)  # and further down
        assert scored["center_distance"].values[0, 0] == pytest.approx(np.hypot(5, 15))
    turned = score_block(maps.swapaxes(2, 3), [(0, 1)], as_metrics("dx"))["dx"].values
    assert turned[0, 0] == pytest.approx(15, abs=1e-12)
    assert as_metrics("dx")[0].limits((70, 60)) == (-59, 59)
    assert as_metrics("dy")[0].limits((70, 60)) == (-69, 69)
