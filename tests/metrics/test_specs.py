"""From names, specs and functions to metrics, and what is refused on the way."""

from __future__ import annotations

import json
import pickle
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest

from salzarr import compare, metrics
from salzarr.errors import MetricError, PairError
from salzarr.metrics import as_metrics, custom, parse_metrics, score_block
from salzarr.schema import Reason

MAPS = np.random.default_rng(0).random((3, 2, 8, 8))


def largest_difference(a, b):
    """Largest difference of two pixels."""
    return float(np.abs(a - b).max())


def test_parameters_are_values_in_the_api_and_text_on_the_command_line():
    by_call = metrics.ssim(window=11, data_range=2)
    [by_text] = parse_metrics("ssim:window=11:data_range=2")
    assert by_call == by_text
    assert by_text.spec == "ssim:window=11:data_range=2"
    assert by_text.slug == "ssim_window_11_data_range_2"
    assert dict(by_text.params) == {"window": 11, "data_range": 2}


def test_a_default_that_is_spelt_out_changes_nothing():
    assert metrics.ssim(window=7).slug == "ssim"
    with pytest.raises(MetricError, match="would be stored as 'ssim', and so would ssim"):
        parse_metrics("ssim,ssim:window=7")


def test_order_of_parameters_does_not_matter():
    assert parse_metrics("ssim:data_range=1:window=9") == parse_metrics("ssim:window=9:data_range=1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no metric was given"),
        ("nope", "unknown metric 'nope'; 'salzarr metrics' lists them"),
        ("pearsson", "did you mean 'pearson'"),
        ("mse,mse", "would be stored as 'mse'"),
        ("ssim:window", "'window' is not a parameter"),
        ("ssim:windw=9", "ssim has no parameter 'windw'; did you mean 'window'?"),
        ("Pearson", "did you mean 'pearson'?"),
        ("mse:normalize=mnimax", "unknown normalization 'mnimax'; did you mean 'minmax'"),
        ("math:dist:knd=x", "math:dist has no parameter 'knd'; did you mean 'kind'?"),
        ("ssim:=3", "'=3' is not a parameter"),
        ("ssim:window=", "'window=' is not a parameter"),
        ("ssim:window=9:window=11", "gives window twice"),
        ("ssim:size=9", "its parameters are window, data_range, normalize"),
        ("ssim:window=8", "window must be an odd number from 3, not 8"),
        ("ssim:window=9.0", "not 9.0"),
        ("ssim:window=true", "not True"),
        ("ssim:data_range=-1", "data_range must be a finite number"),
        ("ssim:data_range=nan", "data_range must be a finite number"),
        ("ssim:data_range=wide", "data_range must be a finite number"),
        ("topk_iou:fraction=0", "fraction must be a number above 0 and at most 1, not 0"),
        ("topk_iou:fraction=much", "fraction must be"),
        ("mutual_information:bins=1", "bins must be"),
        ("hog:cells=0", "cells must be"),
        ("similarity:shift=never", "shift must be"),
        ("mse:normalize=area", "unknown normalization 'area'"),
        ("mse:normalize=abs+none", "unknown normalization 'none'"),
        ("no_such_module:f", "Could not load"),
        ("math:no_such_function", "Could not load"),
        ("math:pi", "must be callable"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(text, says):
    with pytest.raises(MetricError) as error:
        parse_metrics(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_metric_at_all():
    with pytest.raises(MetricError, match="not 3"):
        as_metrics([3])


def test_a_function_becomes_a_metric_by_being_passed_in():
    mse, own = as_metrics(["mse", largest_difference])
    assert own.slug == "largest_difference"
    assert own.definition == "Largest difference of two pixels."
    scored = score_block(MAPS, [(0, 1), (1, 2)], [mse, own])
    want = [[np.abs(MAPS[a, i] - MAPS[b, i]).max() for i in range(2)] for a, b in [(0, 1), (1, 2)]]
    np.testing.assert_array_equal(scored["largest_difference"].values, want)


def test_a_factory_is_not_mistaken_for_a_function_of_the_users():
    assert as_metrics(metrics.ssim) == as_metrics("ssim")


def test_two_functions_of_one_name_need_names():
    with pytest.raises(MetricError, match="give a function of yours a name"):
        as_metrics([lambda a, b: 0.0, lambda a, b: 1.0])
    named = as_metrics([custom(lambda a, b: 0.0, name="zero"), custom(lambda a, b: 1.0, name="one")])
    assert [m.slug for m in named] == ["zero", "one"]


def test_a_name_must_not_shadow_what_is_stored_beside_it():
    for name in ("mse_reason", "image", "model_a"):
        with pytest.raises(MetricError, match="would be stored as"):
            as_metrics(["mse", custom(largest_difference, name=name)])


def test_prepare_is_called_once_per_map_and_only_for_maps_that_count():
    calls = []

    def prepare(one):
        assert not one.flags.writeable
        calls.append(one)
        return one.sum()

    maps = MAPS.copy()
    maps[2, 0] = np.nan
    own = custom(lambda a, b: a - b, prepare=prepare, name="mass", symmetry="directed")
    scored = score_block(maps, [(0, 1), (0, 2), (1, 2)], [own])["mass"]
    assert len(calls) == 5
    assert (scored.reason == [[0, 0], [1, 0], [1, 0]]).all()
    np.testing.assert_array_equal(scored.values[0], -scored.values[1])
    assert scored.values[0, 0, 1] == maps[0, 1].sum() - maps[1, 1].sum()


def test_a_function_that_gives_nan_has_a_reason():
    scored = score_block(MAPS, [(0, 1)], [custom(lambda a, b: np.nan, name="nothing")])["nothing"]
    assert np.isnan(scored.values).all()
    assert (scored.reason == Reason.NON_FINITE).all()


def test_a_function_that_fails_says_where():
    def broken(a, b):
        raise ZeroDivisionError("oh")

    with pytest.raises(PairError, match="broken: ZeroDivisionError: oh, for the maps of 2 and 1, image 0"):
        score_block(MAPS, [(2, 1)], [custom(broken)])
    maps = dict(zip("abc", MAPS, strict=True))
    with pytest.raises(
        PairError, match="broken: ZeroDivisionError: oh, for the maps of model 0 and model 1, image 0"
    ) as caught:
        compare(maps, broken).compute()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


@pytest.fixture
def own_module(monkeypatch):
    module = ModuleType("own_metrics")
    module.largest_difference = largest_difference
    module.total = lambda one: one.sum()
    module.distance = lambda a, b: abs(a - b)
    module.ready = metrics.ssim(window=9)
    monkeypatch.setitem(sys.modules, "own_metrics", module)


@pytest.mark.usefixtures("own_module")
def test_module_and_function_on_the_command_line():
    first, second, third = parse_metrics(
        "own_metrics:largest_difference,"
        "own_metrics:distance:prepare=total:kind=similarity:self_value=1:normalize=sum,own_metrics:ready"
    )
    assert first.slug == "own_metrics_largest_difference"
    assert (second.kind, second.self_value, second.normalize) == ("similarity", 1.0, "sum")
    assert second.spec.startswith("own_metrics:distance:prepare=total")
    assert third == metrics.ssim(window=9)
    np.testing.assert_allclose(score_block(MAPS, [(0, 1)], [second])[second.slug].values, 0, atol=1e-15)


def test_a_module_of_the_folder_in_which_the_command_is_run(tmp_path, monkeypatch):
    (tmp_path / "beside_the_maps.py").write_text("def gap(a, b):\n    return abs(a - b).max()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    [gap] = parse_metrics("beside_the_maps:gap")
    assert score_block(MAPS, [(0, 1)], [gap])[gap.slug].values[0, 0] == np.abs(MAPS[0, 0] - MAPS[1, 0]).max()


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    "spec",
    ["own_metrics:distance:wrong=1", "own_metrics:distance:kind=alike", "own_metrics:ready:window=7"],
)
def test_parameters_of_ones_own_metric_are_checked(spec):
    with pytest.raises(MetricError):
        parse_metrics(spec)


def test_ones_own_metric_survives_the_way_to_a_worker():
    own = custom(largest_difference, high=9)
    again = pickle.loads(pickle.dumps(own))
    assert again.attrs() == own.attrs()
    assert again.score.function is largest_difference


def test_an_edited_function_is_another_metric():
    def before(a, b):
        return 1.0

    def after(a, b):
        return 2.0

    one, other = custom(before, name="f"), custom(after, name="f")
    assert one.attrs()["parameters"] != other.attrs()["parameters"]


def test_a_function_bound_to_other_values_is_another_metric():
    def power(a, b, p):
        return float(np.mean(np.abs(a - b) ** p))

    def by_closure(p):
        return lambda a, b: power(a, b, p)

    for make in (lambda p: partial(power, p=p), by_closure):
        two, again, three = (custom(make(p), name="f").attrs()["parameters"] for p in (2, 2, 3))
        assert two == again
        assert two != three


def test_normalization_of_a_metric_and_of_a_comparison():
    own, free = parse_metrics("mse:normalize=abs + max,mae")
    assert own.spec == "mse:normalize=abs+max"
    assert own.with_normalize("minmax") == own
    assert free.with_normalize("minmax").normalize == "minmax"
    assert free.with_normalize("minmax").slug == "mae"
    assert free.attrs()["normalize"] == "none"
    assert parse_metrics("mse:normalize=none")[0].with_normalize("minmax").normalize == "none"


def test_the_data_range_is_told_later_and_recorded():
    [asked] = parse_metrics("ssim:window=9:normalize=minmax")
    assert asked.needs_data_range
    told = asked.with_data_range(np.float32(1.0))
    assert not told.needs_data_range
    assert (told.slug, told.normalize) == (asked.slug, asked.normalize)
    assert '"data_range": 1.0' in told.attrs()["parameters"]
    assert not parse_metrics("ssim:data_range=2")[0].needs_data_range


def test_the_listing():
    listed = {entry["name"]: entry for entry in metrics.describe()}
    assert set(listed) == set(metrics.METRICS)
    assert listed["kl"]["symmetry"] == "directed"
    assert listed["ssim"]["parameters"] == {"window": 7, "data_range": None}
    assert listed["similarity"]["undefined"] == ["constant"]
    assert all(
        entry["definition"] and entry["cost"] in ("low", "medium", "high") for entry in listed.values()
    )


def test_what_a_metric_left_to_the_maps_is_settled_as_stored():
    for spec in ("ssim:window=9", "rbo", "rbo:p=0.5", "mse", "information_gain:density=sum"):
        [metric] = as_metrics(spec, "map", "points")
        settled = (metric.with_data_range(3.0) if metric.needs_data_range else metric).for_shape((20, 30))
        stored = json.loads(settled.attrs()["parameters"])
        again = metric.with_settled(stored)
        assert again.attrs() == settled.attrs()
        assert again.slug == metric.slug
