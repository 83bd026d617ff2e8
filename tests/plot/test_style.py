import logging
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import salzarr
from salzarr.metrics import METRICS
from salzarr.plot import save, similarity_matrix, style
from salzarr.plot.kinds import KINDS
from salzarr.plot.style import color_scale, numbers, plain, short


def brightness(scale, values):
    return scale.rgba(values)[..., :3] @ (0.2126, 0.7152, 0.0722)


LIKENESS = [metric for metric in METRICS.values() if metric.symmetry != "antisymmetric"]
ENDS = [metric for metric in LIKENESS if not np.isnan(metric.self_value)]


@pytest.mark.parametrize("metric", LIKENESS, ids=lambda m: m.name)
@pytest.mark.parametrize("stretch", [False, True])
def test_more_alike_is_darker_for_every_metric(metric, stretch):
    low, high = metric.limits((32, 32))
    values = np.linspace(max(low, 0.0), min(high, 3.0), 9)
    order = values if metric.kind == "similarity" else values[::-1]
    found = brightness(color_scale(metric.attrs(), values, stretch=stretch), order)
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("metric", ENDS, ids=lambda m: m.name)
def test_the_self_value_is_one_end_of_the_colors(metric):
    low, high = metric.limits((32, 32))
    scale = color_scale(metric.attrs(), np.linspace(max(low, 0.1), min(high, 3.0) * 0.9, 5))
    end = scale.high if metric.kind == "similarity" else scale.low
    assert end == metric.self_value


def test_zero_is_white_where_scores_have_a_sign():
    attrs = {"kind": "similarity", "score_range": ["-1.0", "1.0"], "self_value": 1.0}
    for values in ([-0.2, 0.9], [0.1, 0.9]):
        assert brightness(color_scale(attrs, values), 0.0) > 0.96


def test_spreads_and_counts_have_colors_of_their_own():
    attrs = {"kind": "dissimilarity", "score_range": ["0.0", "inf"], "self_value": 0.0}
    names = {color_scale(attrs, [1, 2], statistic).cmap.name for statistic in ("mean", "std", "n")}
    assert len(names) == 3


@pytest.mark.parametrize("values", [[], [np.nan], [0.5], [0.5, 0.5], [0.0, 0.0]])
@pytest.mark.parametrize("kind", ["similarity", "dissimilarity"])
def test_degenerate_values_still_have_a_scale(values, kind):
    attrs = {"kind": kind, "score_range": ["-inf", "inf"], "self_value": float("nan")}
    for stretch in (False, True):
        scale = color_scale(attrs, values, stretch=stretch)
        assert scale.low < scale.high
        assert np.isfinite(scale.rgba([0.1, 0.9])).all()


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(5, 30))
def test_short_names_are_distinct_and_printable(names, limit):
    cut = short(names, limit)
    assert len(set(cut)) == len(cut) == len(names)
    assert all(plain(name) == name for name in cut)
    assert all(len(name) <= limit + 5 for name in cut)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=20))
def test_numbers_are_those_given_to_their_decimals(values):
    most = max([abs(v) for v in values if v == v], default=1.0) or 1.0
    for value, text in zip(values, numbers(values), strict=True):
        assert (text == "") == (value != value)
        if text:
            assert abs(float(text) - value) <= 0.06 * most
            assert float(text) != 0 or not text.startswith("-")


def test_a_name_that_looks_like_a_number_added_stays_distinct():
    assert short(["a", "a (2)", "a"]) == ["a", "a (2)", "a (3)"]


def test_only_zero_is_written_as_zero():
    assert numbers([0.9, -0.003, 0.0, -0.0, 1e-9]) == ["0.90", "-0.003", "0.00", "0.00", "1e-09"]
    assert numbers([250.0, 0.2, -0.2]) == ["250", "0.2", "-0.2"]


@pytest.fixture
def fonts(monkeypatch):
    """Choose the fallback fonts, and forget what was found out about others."""

    def choose(*names):
        monkeypatch.setattr(style, "FALLBACKS", names)
        style._installed.cache_clear()
        style._say_lacking.cache_clear()

    yield choose
    style._installed.cache_clear()


def test_a_script_that_the_usual_font_lacks_takes_another_that_is_installed(invent, fonts, tmp_path, caplog):
    only = min(style._glyphs("STIXGeneral") - style._glyphs("DejaVu Sans"))
    fonts("No Such Font", "STIXGeneral")
    summary = salzarr.summarize(invent(3))
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        save(similarity_matrix(summary, "emd", names=["a", "b", only]), tmp_path / "matrix")
    assert caplog.messages == []


def test_characters_without_any_glyph_are_said_once(invent, fonts, tmp_path, caplog):
    fonts()
    summary = salzarr.summarize(invent(3))
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        for metric in ("emd", "pearson"):
            ax = similarity_matrix(summary, metric, names=["模型", "型", "a\u1d84"])
            save(ax, tmp_path / metric)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["模型", "型", "a\u1d84"]
    (said,) = caplog.messages
    assert "\u1d84型模" in said


def test_names_that_differ_before_a_shared_end_show_where_they_differ():
    names = [f"family{k}/a-rather-long-name_{k}/pretrained-on-ImageNet" for k in range(30)]
    cut = short(names)
    assert all(f"_{k}…" in one for k, one in enumerate(cut))
    assert max(map(len, cut)) <= 28


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_picture_takes_names_in_any_script(kind, monkeypatch):
    seen = []
    monkeypatch.setattr(style, "_installed", lambda: seen.append(1) or ())
    with pytest.raises(TypeError):
        kind.draw()
    assert seen


def test_a_value_just_below_zero_does_not_stretch_the_legend():
    attrs = {"kind": "similarity", "score_range": ["-1.0", "1.0"], "self_value": 1.0}
    scale = color_scale(attrs, [-0.003, 0.8])
    assert (scale.low, scale.high) == (-0.003, 1.0)
    np.testing.assert_allclose(scale.rgba(0.8), color_scale(attrs, [0.2, 0.8]).rgba(0.8))


@pytest.mark.parametrize("values", [[0.1, 0.9], [-0.9, 0.9]])
@pytest.mark.parametrize("kind", ["similarity", "dissimilarity"])
def test_text_on_every_color_has_contrast(kind, values):
    attrs = {"kind": kind, "score_range": ["-1.0", "1.0"], "self_value": 1.0}
    scale = color_scale(attrs, values)
    at = np.linspace(-1, 1, 500)
    rgb = scale.rgba(at)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    bright = linear @ (0.2126, 0.7152, 0.0722)
    contrast = np.where(scale.dark(at), 1.05 / (bright + 0.05), (bright + 0.05) / 0.05)
    assert contrast.min() >= 4.5
