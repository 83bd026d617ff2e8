"""Each step of a chain against its formula, and what is foreseen against what comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from salzarr.metrics import normalize

FORMULAS = {
    "none": lambda x: x,
    "minmax": lambda x: (x - x.min()) / (x.max() - x.min()),
    "max": lambda x: x / x.max(),
    "sum": lambda x: x / x.sum(),
    "zscore": lambda x: (x - x.mean()) / x.std(),
    "abs": np.abs,
    "positive": lambda x: np.maximum(x, 0),
    "abs+sum": lambda x: np.abs(x) / np.abs(x).sum(),
    "positive+max": lambda x: np.maximum(x, 0) / x.max(),
    "abs+zscore+minmax": lambda x: (np.abs(x) - np.abs(x).min()) / np.ptp(np.abs(x)),
}


@pytest.mark.parametrize("chain", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_map_on_its_own_by_the_formula(chain, dtype):
    maps = np.random.default_rng(0).standard_normal((3, 2, 5, 6)).astype(dtype)
    if chain == "sum":
        maps = np.abs(maps)
    before = maps.copy()
    got = normalize.apply(maps, chain)
    for index in np.ndindex(3, 2):
        np.testing.assert_allclose(
            got[index], FORMULAS[chain](np.float64(maps[index])), rtol=1e-12, atol=1e-14
        )
    np.testing.assert_array_equal(maps, before)


def test_a_large_offset_costs_no_digits():
    maps = (1000 + 0.01 * np.random.default_rng(0).standard_normal((1, 40, 40))).astype(np.float32)
    exact = np.float64(maps[0])
    np.testing.assert_array_equal(normalize.apply(maps, "minmax")[0], FORMULAS["minmax"](exact))


@pytest.mark.parametrize(
    ("chain", "values"),
    [
        ("minmax", [3, 3]),
        ("zscore", [0.1, 0.1]),
        ("max", [0, 0]),
        ("max", [-1, 0]),
        ("sum", [0, 0]),
        ("sum", [2, -1]),
        ("positive+sum", [-2, -1]),
        ("abs", [1, np.nan]),
    ],
)
def test_undefined_is_nan(chain, values):
    assert np.isnan(normalize.apply(np.array([values], np.float64), chain)).any()


@given(
    arrays(np.float64, (4, 2, 3), elements=st.floats(-100, 100, width=32)),
    st.lists(st.sampled_from([*normalize.STEPS]), max_size=3),
    st.booleans(),
)
def test_extremes_are_foreseen_where_they_can_be(maps, steps, positive):
    maps = np.abs(maps) if positive else maps
    maps[np.abs(maps) < 1e-3] = 0
    chain = "+".join(steps) or "none"
    axes = (1, 2)
    foreseen = normalize.extremes(chain, maps.min(axes), maps.max(axes), maps.sum(axes))
    if foreseen is None:
        return
    got = normalize.apply(maps, chain)
    np.testing.assert_allclose(foreseen[0], got.min(axes), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(foreseen[1], got.max(axes), rtol=1e-9, atol=1e-12)


@given(
    arrays(np.float64, (2, 3), elements=st.floats(-100, 100, width=32)),
    st.lists(st.sampled_from([*normalize.STEPS]), max_size=3),
)
def test_signs_are_foreseen(one, steps):
    chain = "+".join(steps) or "none"
    if not normalize.may_be_negative(chain):
        got = normalize.apply(one, chain)
        assert not (got < 0).any()


def test_what_is_always_foreseen():
    low, high, total = np.array([-1.0, 0.0]), np.array([3.0, 2.0]), np.array([4.0, 5.0])
    for chain in ("none", "minmax", "max", "positive", "positive+max", "abs+minmax"):
        known = normalize.extremes(chain, low, high, total)
        assert (known is None) == chain.startswith("abs"), chain


@given(
    arrays(np.float64, (4, 2, 3), elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0])),
    st.lists(st.sampled_from([*normalize.STEPS]), max_size=3),
)
def test_which_maps_become_undefined_zero_or_constant_is_foreseen(maps, steps):
    maps[0] = maps[0, 0, 0]
    # A map of c and -c becomes constant by abs, which its extremes do not tell.
    assume("abs" not in steps or not any(one.min() < one.max() and np.ptp(abs(one)) == 0 for one in maps))
    chain, axes = "+".join(steps) or "none", (1, 2)
    low, high = normalize.spans(chain, maps.min(axes), maps.max(axes))
    got = normalize.apply(maps, chain)
    for one, bottom, top in zip(got, low, high, strict=True):
        assert np.isnan(one).any() == np.isnan(bottom)
        assert one.any() != (bottom == 0 == top)
        if "abs" not in steps:  # c and -c become one value
            assert (one.min() == one.max()) == (bottom == top)
