"""What must hold for every registered metric, whatever the maps."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from salzarr import metrics
from salzarr.schema import Reason

NAMES = sorted(metrics.METRICS)
FAST = [name for name in NAMES if metrics.METRICS[name].smallest <= 48]
WIDE = [name for name in NAMES if name not in FAST]


def ready(name):
    metric = metrics.METRICS[name]
    return metric.with_data_range(2.0) if metric.needs_data_range else metric


@st.composite
def blocks(draw, smallest):
    """(model, image, y, x): continuous, tied, sparse, offset, signed, constant, holed or missing maps."""
    models, images = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    shape = tuple(max(smallest, draw(st.integers(1, 12))) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.random((models, images, *shape))
    for model, image in np.ndindex(models, images):
        kind = draw(st.sampled_from(["smooth", "tied", "sparse", "offset", "signed", "same", "plain"]))
        one = maps[model, image]
        if kind == "tied":
            one[:] = np.floor(one * 3)
        elif kind == "sparse":
            one[one < 0.9] = 0
        elif kind == "offset":
            one += draw(st.sampled_from([1.0, 1e3]))
        elif kind == "signed":
            one -= 0.5
        elif kind == "same":
            one[:] = maps[0, image]
        if draw(st.integers(0, 9)) == 0:
            one[:] = draw(st.sampled_from([0.0, 1.0, -2.0, np.nan]))
        if draw(st.integers(0, 9)) == 0:
            one[0, 0] = draw(st.sampled_from([np.nan, np.inf]))
    return maps.astype(draw(st.sampled_from([np.float32, np.float64])))


def all_pairs(models):
    return [(i, j) for j in range(models) for i in range(j)]


def score(maps, pairs, metric):
    return metrics.score_block(maps, pairs, [metric])[metric.slug]


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def holds(name, maps):
    metric = ready(name)
    pairs = all_pairs(len(maps))
    scored = score(maps, pairs, metric)
    values = scored.values if metric.directed else scored.values[None]

    low, high = metric.limits(maps.shape[2:])
    known = values[:, scored.reason == Reason.SCORED]
    assert (np.isnan(values) == (scored.reason != Reason.SCORED)).all(), (
        "NaN where there is a reason, only there"
    )
    assert (known >= low - 1e-9).all(), "lower bound"
    assert (known <= high * (1 + 1e-9) + 1e-9).all(), "upper bound"

    swapped = score(maps, [(j, i) for i, j in pairs], metric)
    assert (swapped.reason == scored.reason).all(), "symmetric reasons"
    turn = {"symmetric": slice(None), "antisymmetric": slice(None), "directed": slice(None, None, -1)}
    sign = -1 if metric.symmetry == "antisymmetric" else 1
    close(sign * swapped.values[turn[metric.symmetry]], scored.values)

    order = np.random.default_rng(0).permutation(maps.shape[1])
    close(score(maps[:, order], pairs, metric).values, scored.values[..., order])
    parts = [score(maps[:, i : i + 1], pairs, metric).values for i in range(maps.shape[1])]
    close(np.concatenate(parts, axis=-1), scored.values)

    alone = score(maps[:2], [(0, 1)], metric)
    close(alone.values, scored.values[..., :1, :])

    selves = score(maps, [(m, m) for m in range(len(maps))], metric)
    found = selves.values[..., selves.reason == Reason.SCORED]
    if np.isnan(metric.self_value):
        assert not found.size
    elif "self" in metric.companions:  # it depends on the map
        itself = selves.companions["self"]
        np.testing.assert_allclose(found, itself[selves.reason == Reason.SCORED], atol=2e-9)
        assert (found <= metric.self_value + 1e-9).all()
        close(scored.companions["self"], [(itself[a] + itself[b]) / 2 for a, b in pairs])
    else:
        np.testing.assert_allclose(found, metric.self_value, atol=2e-9)


def turned(name, maps):
    """Scores of transposed maps: those of the maps as they were."""
    metric, pairs = ready(name), all_pairs(len(maps))
    scored, other = (score(m, pairs, metric) for m in (maps, np.ascontiguousarray(maps.swapaxes(2, 3))))
    assert (scored.reason == other.reason).all()
    close(other.values, scored.values)


relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("name", FAST)
def test_properties(name):
    smallest = metrics.METRICS[name].smallest

    @settings(relaxed, max_examples=25 if smallest < 48 else 6)
    @given(blocks(smallest))
    def check(maps):
        holds(name, maps)

    check()


@pytest.mark.parametrize("name", [name for name in FAST if name not in ("hog", "dx", "dy")])
def test_which_way_round_the_maps_are_plays_no_part(name):
    smallest = metrics.METRICS[name].smallest

    @settings(relaxed, max_examples=15)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        shape = 3, 2, *rng.integers(smallest, smallest + 9, 2)
        turned(name, rng.integers(-4 * rng.integers(2), 5, shape).astype(np.float64))

    check()


@pytest.mark.parametrize("name", WIDE)
def test_properties_of_metrics_of_large_maps(name):
    rng = np.random.default_rng(5)
    maps = rng.random((3, 2, metrics.METRICS[name].smallest, 180))
    maps[2, 0] = maps[1, 0]
    maps[0, 1] = 0.5
    maps[1, 1, 3, 3] = np.nan
    holds(name, maps)
    turned(name, maps)


@given(arrays(np.float64, (2, 1, 6, 6), elements=st.floats(-1e6, 1e6, width=32)), st.floats(0.1, 100))
@settings(relaxed, max_examples=40)
def test_scale_dependence_is_what_the_field_says(maps, factor):
    assume(np.ptp(maps, axis=(2, 3)).min() > 1)
    for metric in metrics.METRICS.values():
        if metric.smallest > 6 or metric.scale_dependent or metric.name == "mutual_information":
            continue  # the bins' edges are rounded anew at another scale
        free = replace(metric, normalize="abs")
        close(score(maps * factor, [(0, 1)], free).values, score(maps, [(0, 1)], free).values)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_is_told(name):
    metric = metrics.METRICS[name]
    assert metric.definition
    assert metric.reference
    assert metric.kind in ("similarity", "dissimilarity")
    low, high = metric.limits((224, 224))
    if metric.symmetry == "antisymmetric":
        assert metric.self_value == 0 == low + high
    elif not np.isnan(metric.self_value):
        assert metric.self_value == (high if metric.kind == "similarity" else low)
    attrs = metric.attrs()
    assert attrs["metric"] == name
    assert all(isinstance(value, str | int | float | list) for value in attrs.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_survives_the_way_to_a_worker(name):
    metric = ready(name)
    again = pickle.loads(pickle.dumps(metric))
    assert again == metric
    assert again.attrs() == metric.attrs()
    maps = np.random.default_rng(2).random((2, 1, metric.smallest + 8, metric.smallest + 8))
    close(score(maps, [(0, 1)], again).values, score(maps, [(0, 1)], metric).values)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_named_and_freed(name):
    """What a metric leaves in a block is what it names; a later metric that names it finds it there."""
    metric = ready(name)
    maps = np.random.default_rng(2).random((2, 1, metric.smallest + 8, metric.smallest + 8))
    block = metrics.Block(maps)
    metric.score(block, np.array([(0, 1)]), np.ones((1, 1), bool))
    left = set(block._features)
    assert set(metric.features) <= left
    metrics.score_block(block, [(0, 1)], [metric])
    assert not block._features


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_below_what_the_metric_declares(name):
    """Of NumPy's allocations; what kernels allocate inside is small."""
    metric, pairs = ready(name), [(0, 1), (0, 2), (1, 2)]
    side = max(160, metric.smallest)
    maps = np.random.default_rng(2).random((3, 2, side, side)).astype(np.float32)
    score(maps[:, :1], pairs, metric)  # compiled and imported
    block = metrics.Block(maps)
    tracemalloc.start()
    try:
        metrics.score_block(block, pairs, [metric])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    declared = 6 * metric.map_bytes + 3 * metric.image_bytes + metric.pair_bytes
    assert peak < side * side * declared + 150_000
