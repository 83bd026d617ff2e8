"""The largest pixels and their ties, agreement of features, overlap of ranks: small cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from salzarr import compare, summarize
from salzarr.errors import MetricError
from salzarr.metrics import as_metrics, check_maps, parse_metrics, score_block
from salzarr.metrics.largest import memberships
from salzarr.metrics.ranks import persistence
from salzarr.schema import Reason

RNG = np.random.default_rng(4)


def scored(a, b, spec):
    maps = np.array([np.atleast_2d(a), np.atleast_2d(b)], np.float64)[:, None]
    [metric] = parse_metrics(spec)
    return score_block(maps, [(0, 1)], [metric])[metric.slug]


def value(a, b, spec):
    return scored(a, b, spec).values[0, 0]


# Ties


def test_tied_pixels_belong_by_equal_shares():
    assert memberships(np.array([9, 7, 7, 7, 1]), 3).tolist() == [1, 2 / 3, 2 / 3, 2 / 3, 0]
    assert memberships(np.array([9, 7, 7, 1, 1]), 3).tolist() == [1, 1, 1, 0, 0]
    assert memberships(np.array([9, 1, 1, 1, 1]), 3).tolist() == [1, 0, 0, 0, 0], "the minimum never belongs"


def test_the_intersection_is_the_expectation_under_random_breaking_of_ties():
    a, b = RNG.integers(0, 4, (2, 40))

    def broken(m):
        order = np.lexsort((RNG.random(m.size), -m))
        return set(order[:10].tolist())

    mean = np.mean([len(broken(a) & broken(b)) / 10 for _ in range(4000)])
    assert value(a, b, "topk_intersection:fraction=0.25") == pytest.approx(mean, abs=0.01)
    assert value(a, b, "topk_iou:fraction=0.25") == pytest.approx(mean / (2 - mean), abs=0.01)


def test_random_binary_masks_agree_by_chance():
    a, b = (RNG.random((2, 200, 1600)) < 0.5).astype(float)
    scores = [value(p, q, "topk_intersection") for p, q in zip(a, b, strict=True)]
    assert np.mean(scores) == pytest.approx(0.1, abs=0.005)


def test_a_map_with_ties_at_the_cut_is_less_than_one_with_itself_and_the_companions_say_so():
    tied, fine = [3, 3, 3, 3, 0, 0, 0, 0, 0, 0], np.arange(10)
    found = scored(tied, fine, "topk_intersection:fraction=0.2")
    assert found.companions["tied"][0, 0] == 0.4
    assert value(tied, tied, "topk_intersection:fraction=0.2") == 0.5  # 4 times (1/2)² of 2
    assert found.companions["self"][0, 0] == (0.5 + 1) / 2
    assert value(fine, fine, "topk_intersection:fraction=0.2") == 1


def test_sparse_maps_do_not_agree_on_their_zeros():
    a, b = np.zeros((2, 10))
    a[0] = b[9] = 1
    assert value(a, b, "topk_iou:fraction=0.5") == 0
    assert value(a, a, "topk_iou:fraction=0.5") == 1


def test_many_ties_at_the_cut_draw_a_warning_with_the_share():
    maps = {"a": (RNG.random((5, 20, 20)) < 0.5).astype(float), "b": RNG.random((5, 20, 20))}
    scores = compare(maps, "topk_intersection,mse")
    assert scores.topk_intersection_tied.dims == ("pair", "image")
    with pytest.warns(UserWarning, match=r"topk_intersection: on average \d+% of the pixels tie"):
        summarize(scores)
    summarize(compare({"a": RNG.random((5, 20, 20)), "b": RNG.random((5, 20, 20))}, "topk_intersection"))


# Agreement of features (Krishna et al. 2022)

A = [9, -8, 7, -6, 0.1, 0.2]
B = [8, 9, 0.1, 6, -0.2, 0.3]


def test_agreement_by_hand():
    half = ":fraction=0.5"  # of a: 0, 1, 2; of b: 1, 0, 3
    assert value(A, B, "feature_agreement" + half) == pytest.approx(2 / 3)
    assert value(A, B, "sign_agreement" + half) == pytest.approx(1 / 3)  # pixel 1 changes sign
    assert value(A, B, "rank_agreement:grid=full" + half) == 0
    assert value(A, np.multiply(B, [2, 1, 1, -1, 1, 1]), "rank_agreement:grid=full" + half) == pytest.approx(
        2 / 3
    )
    signed = "signed_rank_agreement:grid=full" + half
    assert value(A, np.multiply(B, [2, 1, 1, -1, 1, 1]), signed) == pytest.approx(1 / 3)


def test_by_magnitude_and_by_value_differ_where_there_are_negatives():
    assert value(A, B, "topk_intersection:fraction=0.34") == pytest.approx(1 / 2)
    a, b = RNG.random((2, 9, 9))
    assert value(a, b, "topk_intersection") == value(a, b, "feature_agreement")


def test_blocks_are_summed_with_their_signs():
    a, b = np.zeros((2, 14, 14))
    a[:2, :2], b[:2, :2] = 1, [[1, 2], [3, -2]]  # the same sum, 4
    a[5, 5], b[5, 5] = -3, -1
    assert value(a, b, "signed_rank_agreement") == 1
    assert value(a, b, "sign_agreement:fraction=0.02") < 1


def test_a_map_without_negatives_has_no_signs_to_compare():
    for spec in ("sign_agreement", "signed_rank_agreement"):
        assert scored(A, np.abs(B), spec).reason[0, 0] == Reason.UNSIGNED
        with pytest.raises(MetricError, match=f"{spec} compares signs, and the maps of b have no neg"):
            check_maps(as_metrics(spec), [-1.0, 0.0], ["a", "b"])
        with pytest.raises(MetricError, match="there are none after the normalization abs; use feat"):
            check_maps(as_metrics(f"{spec}:normalize=abs"), [-1.0, -1.0], ["a", "b"])
        check_maps(as_metrics(f"{spec}:normalize=zscore"), [0.0, 0.0], ["a", "b"])


def test_a_map_of_one_magnitude_has_no_largest():
    assert scored([1, -1, 1, -1], A[:4], "feature_agreement").reason[0, 0] == Reason.CONSTANT


# Rank-biased overlap


def test_overlap_by_hand():
    a, b = [4, 3, 2, 1], [3, 4, 2, 1]  # agreement at depths 1 to 4: 0, 1, 1, 1
    p = 0.5
    assert value(a, b, "rbo:p=0.5") == pytest.approx((1 - p) * (p + p**2 + p**3) + p**4)
    tied = [4, 4, 2, 1]  # shares ½ and 1 at depths 1 and 2
    assert value(a, tied, "rbo:p=0.5:ties=a") == pytest.approx((1 - p) * (0.5 + p + p**2 + p**3) + p**4)
    assert value(a, tied, "rbo:p=0.5") == pytest.approx(
        (1 - p) * (0.5 / np.sqrt(0.5) + p + p**2 + p**3) + p**4
    )


def test_overlap_of_opposite_orders_is_small_and_of_ties_is_one_or_says_what_it_is():
    a = np.arange(400.0)
    assert value(a, -a, "rbo") < 0.05
    tied = np.repeat([0, 1], 200)
    assert value(tied, tied, "rbo") == pytest.approx(1)
    found = scored(tied, tied, "rbo:ties=a")
    assert found.values[0, 0] == pytest.approx(found.companions["self"][0, 0])
    assert found.values[0, 0] < 0.5


def test_the_expectation_of_random_breaking_of_ties_is_variant_a():
    a, b = RNG.integers(0, 3, (2, 30)).astype(float)
    broken = [value(a + 1e-3 * RNG.random(30), b + 1e-3 * RNG.random(30), "rbo:p=0.8") for _ in range(3000)]
    assert value(a, b, "rbo:p=0.8:ties=a") == pytest.approx(np.mean(broken), abs=0.01)


def test_the_persistence_that_follows_from_the_maps_is_stored():
    scores = compare({"a": RNG.random((2, 20, 30)), "b": RNG.random((2, 20, 30))}, "rbo")
    assert persistence(0.1, 600) == pytest.approx(1 - 1 / 60)
    assert f'"p": {persistence(0.1, 600)}' in scores.rbo.attrs["parameters"]
    assert scores.rbo.attrs["spec"] == "rbo"


# Masks and noise


def test_overlap_of_masks_by_hand():
    a, b = [1, 1, 1, 0], [1, 0, 0, 0]
    assert value(a, b, "iou:threshold=0.5") == pytest.approx(1 / 3)
    assert value(a, b, "dice:threshold=0.5") == pytest.approx(2 / 4)
    assert scored(a, b, "iou:threshold=5").reason[0, 0] == Reason.EMPTY
    assert value(a, np.multiply(b, 9), "iou:threshold=5") == 0


def test_identical_maps_have_no_finite_signal_to_noise_ratio():
    a = RNG.random((3, 3))
    assert scored(a, a, "psnr:data_range=1").reason[0, 0] == Reason.IDENTICAL
    assert scored(a, a + 1e-170, "psnr:data_range=1").reason[0, 0] == Reason.IDENTICAL  # the same in float64
    tiny = np.array([[1.0, 1e-200], [1.0, 3e-200]])
    assert value(tiny[:1], tiny[1:], "psnr:data_range=1") == pytest.approx(20 * np.log10(np.sqrt(2) / 2e-200))
    assert value(1e200 * a, 0 * a, "psnr:data_range=1e200") == pytest.approx(-10 * np.log10((a**2).mean()))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sign_agreement:fraction=0", "fraction must be a number above 0"),
        ("rank_agreement:grid=0", "grid must be a whole number from 1, or full"),
        ("rank_agreement:grid=fine", "grid must be"),
        ("rbo:p=1", "p must be a number from 0 to below 1"),
        ("rbo:ties=w", "ties must be a or b"),
        ("rbo:fraction=2", "fraction must be"),
        ("iou:quantile=1", "quantile must be a number from 0 to below 1"),
        ("dice:threshold=nan", "threshold must be a finite number"),
        ("psnr:data_range=-1", "data_range must be"),
        ("jaccard", "did you mean 'iou'"),
    ],
)
def test_invalid_parameters_are_refused(spec, says):
    with pytest.raises(MetricError, match=says):
        parse_metrics(spec)
