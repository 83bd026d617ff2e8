"""Maps against points and masks: by hand, by the libraries they must equal, and what is refused."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from reference import masks_table, points_table

from salzarr import metrics
from salzarr.errors import MetricError, ShapeError
from salzarr.metrics import Block, Masks, Points, as_metrics, pixels, score_block, score_targets
from salzarr.schema import Reason

RNG = np.random.default_rng(9)
KINDS = {
    "random": lambda shape: RNG.random(shape),
    "tied": lambda shape: np.floor(4 * RNG.random(shape)),
    "sparse": lambda shape: RNG.random(shape) * (RNG.random(shape) < 0.1),
    "offset": lambda shape: 1000 + RNG.random(shape),
    "tiny": lambda shape: 1e-200 * RNG.random(shape),
}


def against_points(a, places, spec, others=None, baseline=None):
    target = Points([np.array(places)], None if others is None else [np.array(others)], baseline)
    found = score_targets(np.asarray(a, float)[None, None], {"people": target}, as_metrics(spec, "points"))
    [scored] = found["people"].values()
    return scored


def against_mask(a, inside, spec):
    target = Masks(np.asarray(inside, bool)[None])
    found = score_targets(np.asarray(a, float)[None, None], {"box": target}, as_metrics(spec, "mask"))
    [scored] = found["box"].values()
    return scored


def test_every_metric_against_a_target_has_a_row():
    specs = [*points_table(), *masks_table()]
    assert {spec.partition(":")[0] for spec in specs} == set(metrics.TARGET_METRICS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_equal_their_reference(kind, dtype):
    if kind == "tiny" and dtype == np.float32:
        return
    maps = KINDS[kind]((3, 4, 12, 17)).astype(dtype)
    places = [RNG.integers(0, 12 * 17, n) for n in (1, 5, 30, 30)]
    others = [RNG.integers(0, 12 * 17, 200) for _ in range(4)]
    for spec, equals in points_table().items():
        [metric] = as_metrics(spec, "points")
        [scored] = score_targets(maps, {"p": Points(places, others)}, [metric])["p"].values()
        for model, image in np.ndindex(3, 4):
            with np.errstate(divide="ignore"):
                want = equals(maps[model, image], places[image], others[image])
            got = scored.values[model, image]
            if np.isfinite(want):
                assert got == pytest.approx(want, abs=1e-9, rel=1e-9), spec
            else:
                assert scored.reason[model, image] == Reason.ZERO_MASS, spec


@pytest.mark.parametrize("kind", KINDS)
def test_masks_equal_their_reference(kind):
    maps = KINDS[kind]((3, 4, 12, 17))
    inside = np.zeros((4, 12, 17), bool)
    inside[0, 2:6, 3:9] = inside[1, :, 5:] = inside[2, 11, 16] = True
    inside[3] = RNG.random((12, 17)) < 0.3
    for spec, equals in masks_table().items():
        [metric] = as_metrics(spec, "mask")
        [scored] = score_targets(maps, {"m": Masks(inside)}, [metric])["m"].values()
        assert (scored.reason == Reason.SCORED).all(), spec
        want = [[equals(one, box) for one, box in zip(maps[m], inside, strict=True)] for m in range(3)]
        np.testing.assert_allclose(scored.values, want, 1e-9, 1e-12, err_msg=spec)


# By hand

MAP = [[1.0, 2.0], [3.0, 4.0]]


def test_nss_by_hand():
    assert against_points(MAP, [3], "nss").values[0, 0] == pytest.approx(1.5 / np.sqrt(1.25))
    assert against_points(MAP, [3, 0], "nss").values[0, 0] == pytest.approx(0)
    assert against_points(MAP, [3, 3, 0], "nss").values[0, 0] == pytest.approx(0.5 / np.sqrt(1.25)), "twice"


def test_areas_by_hand():
    # The point at 3 lies above two of four pixels, and equals one: (2 + 1/2) / 4.
    assert against_points(MAP, [2], "auc_uniform").values[0, 0] == 2.5 / 4
    # One of the three other pixels is larger. The only corner is (1/3, 1): a triangle and a square.
    assert against_points(MAP, [2], "auc_judd").values[0, 0] == pytest.approx(1 / 6 + 2 / 3)
    # Others at 1, 3 and 3: above one, equal to two.
    assert against_points(MAP, [2], "auc_shuffled", others=[0, 2, 2]).values[0, 0] == pytest.approx(2 / 3)


def test_information_by_hand():
    gain = against_points([[1, 1], [2, 4]], [3], "information_gain:density=sum").values[0, 0]
    assert gain == pytest.approx(1)  # half the mass on a quarter of the pixels
    log = np.log([[1, 1], [2, 4]])
    assert against_points(log, [3], "information_gain:density=softmax").values[0, 0] == pytest.approx(1)
    base = np.array([[[1.0, 1], [3, 3]]])
    gain = against_points([[1, 1], [2, 4]], [3], "information_gain:density=sum", baseline=base)
    assert gain.values[0, 0] == pytest.approx(np.log2(0.5 / 0.375))
    zero = [[0, 1], [1, 2]]
    assert against_points(zero, [0, 3], "information_gain:density=sum").reason[0, 0] == Reason.ZERO_MASS
    mixed = against_points(zero, [0], "information_gain:density=sum:mix=0.5").values[0, 0]
    assert mixed == pytest.approx(-1)


def test_masks_by_hand():
    inside = [[0, 0], [1, 1]]
    found = against_mask(MAP, inside, "mass_inside")
    assert (found.values[0, 0], found.companions["chance"][0, 0]) == (pytest.approx(0.7), 0.5)
    assert against_mask(MAP, inside, "pointing_game").values[0, 0] == 1
    assert against_mask(MAP, [[1, 0], [0, 0]], "pointing_game").values[0, 0] == 0
    near = against_mask(MAP, [[0, 1], [0, 0]], "pointing_game:tolerance=1")
    assert (near.values[0, 0], near.companions["chance"][0, 0]) == (1, 0.75)
    tied = [[4, 2], [3, 4]]
    assert against_mask(tied, inside, "pointing_game").values[0, 0] == 0.5
    assert against_mask(MAP, [[1, 0], [0, 1]], "auprc").values[0, 0] == pytest.approx((1 + 2 / 4) / 2)
    assert against_mask(MAP, [[1, 0], [0, 1]], "mask_iou").values[0, 0] == pytest.approx(1 / 3)
    assert against_mask(MAP, inside, "mask_iou:threshold=3").values[0, 0] == pytest.approx(1 / 2)


# What has no score, and why


def test_reasons():
    maps = RNG.random((5, 1, 4, 4))
    maps[1], maps[2], maps[3, 0, 0, 0], maps[4] = np.nan, 0.5, np.inf, -maps[4]
    people, box = Points([np.array([1, 2])], [np.array([3])]), Masks(np.eye(4, dtype=bool)[None])
    scored = score_targets(
        maps,
        {"people": people, "box": box},
        as_metrics(
            "nss,auc_judd,auc_shuffled,mass_inside,information_gain:density=softmax", "points", "mask"
        ),
    )
    why = [Reason.SCORED, Reason.MISSING, Reason.CONSTANT, Reason.NON_FINITE, Reason.SCORED]
    for name in ("nss", "auc_judd", "auc_shuffled"):
        assert scored["people"][name].reason[:, 0].tolist() == why, name
    assert set(scored["people"]) == {"nss", "auc_judd", "auc_shuffled", "information_gain_density_softmax"}
    assert scored["box"]["mass_inside"].reason[:, 0].tolist() == [0, 1, 0, 2, Reason.NEGATIVE]
    for by_metric in scored.values():
        for one in by_metric.values():
            assert (np.isnan(one.values) == (one.reason > 0)).all()
            assert all((np.isnan(values) == (one.reason > 0)).all() for values in one.companions.values())


def test_an_image_without_a_target_has_no_score():
    maps = RNG.random((2, 2, 3, 3))
    none = Points([np.array([1]), np.array([], int)])
    scored = score_targets(maps, {"p": none}, as_metrics("nss", "points"))["p"]["nss"]
    assert scored.reason.tolist() == [[0, Reason.EMPTY]] * 2
    everywhere = Points([np.arange(9), np.arange(9)])
    scored = score_targets(maps, {"p": everywhere}, as_metrics("auc_judd,auc_shuffled", "points"))["p"]
    assert (scored["auc_judd"].reason == Reason.EMPTY).all(), "no pixel without a point"
    assert (scored["auc_shuffled"].reason == Reason.EMPTY).all(), "no other points are known"
    empty = Masks(np.zeros((2, 3, 3), bool))
    scored = score_targets(maps, {"m": empty}, as_metrics("auprc,pointing_game:tolerance=2", "mask"))["m"]
    assert all((one.reason == Reason.EMPTY).all() for one in scored.values())


# How it hangs together


def test_what_is_computed_of_a_map_is_shared_over_targets_and_metrics(monkeypatch):
    from salzarr.metrics import points

    computed = []
    once = points._sorted
    monkeypatch.setattr(points, "_sorted", lambda block: computed.append(1) or once(block))
    maps = RNG.random((3, 4, 8, 8))
    targets = {name: Points([RNG.integers(0, 64, 5) for _ in range(4)]) for name in "abc"}
    block = Block(maps)
    found = score_targets(block, targets, as_metrics("auc_judd,nss,auc_uniform", "points"))
    assert len(computed) == 1
    assert not block._features
    assert [list(by_metric) for by_metric in found.values()] == [["auc_judd", "nss", "auc_uniform"]] * 3
    for name, target in targets.items():
        alone = score_targets(maps, {name: target}, as_metrics("auc_judd", "points"))[name]["auc_judd"]
        np.testing.assert_array_equal(alone.values, found[name]["auc_judd"].values)


def test_a_metric_has_its_normalization():
    maps = RNG.random((2, 1, 5, 5)) - 0.5
    scored = score_targets(
        maps, {"m": Masks(np.eye(5, dtype=bool)[None])}, as_metrics("mass_inside:normalize=abs", "mask")
    )["m"]["mass_inside_normalize_abs"]
    np.testing.assert_allclose(scored.values[:, 0], [np.trace(abs(m)) / abs(m).sum() for m in maps[:, 0]])


def test_points_of_a_picture_in_pixels_of_the_map():
    assert pixels([0, 9.99, 5], [0, 4.99, 2.5], (2, 4), (5, 10)).tolist() == [0, 7, 6]
    outside = pixels([-0.1, 10, 3, 3, np.nan], [1, 1, -1, 5, 1], (2, 4), (5, 10))
    assert outside.tolist() == [-1] * 5


SMALL, BOX = RNG.random((2, 1, 4, 4)), Masks(np.ones((1, 4, 4), bool))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: as_metrics("nss"), "nss scores maps against points, and not against each other"),
        (lambda: as_metrics("mse", "points", "mask"), "against each other, and not against points and masks"),
        (
            lambda: as_metrics("information_gain", "points"),
            "information_gain needs density=sum or den",
        ),
        (lambda: as_metrics("information_gain:density=max", "points"), "density must be sum or softmax"),
        (lambda: as_metrics("information_gain:density=sum:mix=1", "points"), "mix must be"),
        (lambda: as_metrics("pointing_game:tolerance=-1", "mask"), "tolerance must be"),
        (lambda: as_metrics("mask_iou:threshold=nan", "mask"), "threshold must be"),
        (lambda: as_metrics("auc_jud", "points"), "did you mean 'auc_judd'"),
        (
            lambda: score_block(RNG.random((2, 1, 4, 4)), [(0, 1)], [metrics.nss()]),
            "nss scores maps against poi",
        ),
        (
            lambda: score_targets(
                RNG.random((2, 1, 4, 4)), {"m": Masks(np.ones((1, 4, 4), bool))}, [metrics.nss()]
            ),
            "no target is of that kind",
        ),
        (
            lambda: score_targets(RNG.random((2, 1, 4, 4)), {}, [metrics.information_gain()]),
            "information_gain needs density",
        ),
    ],
)
def test_the_wrong_thing_is_refused_in_one_sentence(call, says):
    with pytest.raises(MetricError) as error:
        call()
    assert says in str(error.value)


@pytest.mark.parametrize(
    "target",
    [
        Points([np.array([1])] * 2),
        Points([np.array([16])]),
        Points([np.array([-1])]),
        Points([np.array([1])], others=[np.array([99])]),
        Points([np.array([1])], baseline=np.ones((1, 4, 5))),
        Masks(np.ones((1, 5, 4), bool)),
    ],
)
def test_a_target_of_other_maps_is_refused(target):
    with pytest.raises(ShapeError, match="people"):
        score_targets(RNG.random((2, 1, 4, 4)), {"people": target}, [])


@pytest.mark.parametrize("spec", [*points_table(), *masks_table()])
def test_memory_is_below_what_the_metric_declares(spec):
    [metric] = as_metrics(spec, "points", "mask")
    maps = RNG.random((3, 2, 160, 160)).astype(np.float32)
    inside = np.zeros((2, 160, 160), bool)
    inside[:, 30:70, 20:90] = True
    places = [RNG.integers(0, 25_600, 30)] * 2
    targets = {"p": Points(places, places)} if metric.against == "points" else {"m": Masks(inside)}
    score_targets(maps[:, :1], {"t": _first(targets)}, [metric])  # compiled and imported
    block = Block(maps)
    tracemalloc.start()
    try:
        score_targets(block, targets, [metric])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 25_600 * (6 * metric.map_bytes + 3 * metric.image_bytes + metric.pair_bytes) + 150_000


def _first(targets):
    [target] = targets.values()
    if isinstance(target, Masks):
        return Masks(target.inside[:1])
    return Points(target.places[:1], target.others[:1])


@pytest.mark.parametrize("name", metrics.TARGET_METRICS)
def test_a_metric_survives_the_way_to_a_worker(name):
    metric = metrics.TARGET_METRICS[name]
    again = pickle.loads(pickle.dumps(metric))
    assert again == metric
    assert metric.attrs()["against"] in ("points", "mask")
    assert metric.definition
    assert metric.reference
