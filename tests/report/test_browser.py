"""The report as a reader has it: opened from disk in a headless Chromium."""

import numpy as np
import pandas as pd
import pytest

import salzarr
from salzarr.report import Page, render
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.structure import cluster, distances
from salzarr.statistics.summary import summarize

pytestmark = pytest.mark.browser


def cell(page, row, column):
    return page.locator(f"#matrix tbody tr:nth-child({row + 1}) td").nth(column)


def shown_order(page):
    """Names of the rows, in full: what is shown of a long one is short."""
    return [th.get_attribute("title") for th in page.locator("#matrix tbody th").all()]


def pick_metric(page, slug):
    page.locator("#metrics label", has_text=slug).first.click()


def page_of(scores, **page):
    return render(analyze(scores, settings=Settings(0, 9)), scores, Page(**page))


@pytest.fixture
def page(made, open_page):
    return open_page(made.report)


@pytest.fixture(scope="module")
def frame(made):
    return pd.read_csv(made.results / "summary.csv")


def value(frame, metric, a, b, statistic="mean"):
    for name, ends in (
        (f"{metric}_a_to_b", (a, b)),
        (f"{metric}_b_to_a", (b, a)),
        (metric, (a, b)),
        (metric, (b, a)),
    ):
        rows = frame[(frame.metric == name) & (frame.model_a == ends[0]) & (frame.model_b == ends[1])]
        if len(rows):
            return float(rows[statistic].iloc[0])
    raise AssertionError(f"{a} and {b} are not in the table")


def test_hostile_names_are_text(page, made):
    names = salzarr.open_scores(made.results).attrs["models"]
    assert sorted(shown_order(page)) == sorted(names)
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.scripts.length") == 6
    pick_metric(page, "mse")
    cell(page, 0, 1).click()
    a, b = shown_order(page)[:2]
    assert page.locator("#pair-title").text_content() == f"{a} – {b}"


@pytest.mark.parametrize("metric", ["pearson", "mse", "kl"])
def test_every_cell_shows_its_number(page, frame, metric):
    pick_metric(page, metric)
    names = shown_order(page)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            text = cell(page, i, j).text_content()
            expected = value(frame, metric, a, b) if a != b else float(metric == "pearson")
            assert float(text) == pytest.approx(
                expected, abs=0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-12
            )


def test_hovering_tells_the_pair_and_its_score(page, frame):
    a, b = (shown_order(page)[k] for k in (2, 1))
    cell(page, 2, 1).scroll_into_view_if_needed()
    page.wait_for_timeout(100)  # scrolling hides the tip
    cell(page, 2, 1).hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert f"{a} – {b}" in tip.text_content()
    assert float(tip.locator("data").get_attribute("value")) == value(frame, "pearson", a, b)
    assert page.locator("#matrix th.lit").count() == 2
    page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_clicking_a_cell_opens_the_pair(page, frame):
    a, b = (shown_order(page)[k] for k in (0, 3))
    cell(page, 0, 3).click()
    assert cell(page, 0, 3).get_attribute("aria-selected") == "true"
    panel = page.locator("#pair-body")
    labels = panel.locator(".stats dt").all_text_contents()
    values = [d.get_attribute("value") for d in panel.locator(".stats data").all()]
    stats = dict(zip(labels, map(float, values), strict=True))
    for label, statistic in {"images": "n", "mean": "mean", "median": "median", "minimum": "min",
                             "maximum": "max", "standard deviation": "std"}.items():  # fmt: skip
        assert stats[label] == value(frame, "pearson", a, b, statistic)
    assert panel.locator("svg.histogram path.bars").get_attribute("d").count("z") == 40
    lists = panel.locator(".examples .images")
    assert lists.count() == 2
    for k in range(2):
        assert lists.nth(k).locator("li").count() == 5
    strip = lists.nth(0).locator("li").first
    assert strip.locator("img").count() == 1  # the photograph
    assert strip.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth > 0)")
    assert strip.locator("canvas").count() == 2
    captions = lists.nth(0).locator("li").first.locator("figcaption").all()
    assert [caption.get_attribute("title") for caption in captions] == ["photograph", a, b]
    assert all(len(caption.text_content()) <= 24 for caption in captions)


def test_the_images_of_a_pair_are_its_extremes(page, made):
    scores = salzarr.open_scores(made.results).compute()
    names = shown_order(page)
    cell(page, 1, 0).click()
    pair = next(
        k for k, ends in enumerate(zip(scores.model_a.values, scores.model_b.values, strict=True))
        if set(ends) == set(names[:2])
    )  # fmt: skip
    values = scores.pearson.isel(pair=pair).values
    order = [str(scores.image.values[k]) for k in np.argsort(values, kind="stable") if np.isfinite(values[k])]
    lists = page.locator("#pair-body .examples .images")
    assert lists.nth(0).locator(".name").all_text_contents() == order[:5]
    assert lists.nth(1).locator(".name").all_text_contents()[0] == order[-1]


def test_cells_over_fewer_images_say_their_n(page, frame):
    pick_metric(page, "pearson")
    names = shown_order(page)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            expected = None if a == b else value(frame, "pearson", a, b, "n")
            shown = cell(page, i, j).get_attribute("data-n")
            assert (shown and float(shown)) == (expected if expected and expected < 24 else None)
    assert (
        "22–24 images (n is written where it is less than 24)" in page.locator("#matrix-note").text_content()
    )


def test_maps_without_values_say_what_they_are(page):
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert set(page.locator(".flaw").all_text_contents()) <= {"missing", "constant 0.5"}
    data = page.evaluate("JSON.parse(document.getElementById('maps').textContent)")
    flaws = {flaw for stored in data.values() for flaw in stored["flaws"].values()}
    assert flaws == {"missing", "constant 0.5"}


def test_small_values_are_not_shown_as_zero(tmp_path, open_page):
    rng = np.random.default_rng(0)
    scores = salzarr.compare({name: rng.random((4, 8, 8)) for name in "abc"}, "pearson").compute()
    analysis = analyze(scores, settings=Settings(0, 9))
    summary = analysis.summary
    summary.pearson.loc[{"statistic": "mean"}] = [-0.003, 0.8, 0.00002]
    path = tmp_path / "report.html"
    path.write_text(render(analysis, scores), "utf-8")
    page = open_page(path)
    assert cell(page, 0, 1).text_content() == "-0.003"
    assert cell(page, 1, 2).text_content() == "2e-05"
    assert page.locator("#matrix td").all_text_contents() == [
        text for row in salzarr_texts(summary) for text in row
    ]


def salzarr_texts(summary):
    """What the picture of the matrix says."""
    ax = salzarr.plot.similarity_matrix(summary, "pearson")
    found = np.full((3, 3), "", object)
    for text in ax.texts:
        found[round(text.get_position()[1]), round(text.get_position()[0])] = text.get_text()
    return found


def test_tests_are_listed_by_metric(made, tmp_path, open_page):
    scores = salzarr.open_scores(made.results)
    analysis = analyze(scores, settings=Settings(0, 99))
    table = analysis.tests
    path = tmp_path / "report.html"
    path.write_text(render(analysis, scores), "utf-8")
    page = open_page(path)
    for slug in ("pearson", "mse"):
        pick_metric(page, slug)
        rows = table[table.metric == slug]
        found = rows[rows.p_family < 0.05]
        assert f"{len(found)} of {len(rows)} comparisons" in page.locator("#tests-note").text_content()
        lines = page.locator("#tests tbody tr")
        assert lines.count() == min(8, len(found)) > 0
        model, near, far = lines.first.locator("th, td.text").all_text_contents()
        (one,) = found[(found.model == model) & (found.closer == near)
                       & ((found.other_1 == far) | (found.other_2 == far))].itertuples()  # fmt: skip
        found_numbers = [float(d.get_attribute("value")) for d in lines.first.locator("data").all()]
        share = one.probability if one.difference > 0 else 1 - one.probability
        expected = [abs(one.difference), share, one.units, found.p_family.min(), one.q_permutation]
        assert found_numbers == pytest.approx(expected, rel=1e-5)


def test_order_can_be_switched(page, made):
    scores = salzarr.open_scores(made.results)
    names = scores.attrs["models"]
    assert page.locator("#order").input_value() == "given"  # as in the pictures
    assert shown_order(page) == names
    page.select_option("#order", "name")
    assert shown_order(page) == sorted(names, key=str.casefold)
    page.select_option("#order", "cluster")
    assert shown_order(page) == list(cluster(distances(summarize(scores), "pearson")).order)
    assert page.locator("#tree path").count() == 3
    box, rows = page.locator("#tree").bounding_box(), page.locator("#matrix tbody").bounding_box()
    assert box["y"] == pytest.approx(rows["y"], abs=2)
    assert box["height"] == pytest.approx(rows["height"], abs=2)


def test_statistic_can_be_switched(page, frame):
    a, b = shown_order(page)[:2]
    page.select_option("#statistic", "std")
    text = cell(page, 0, 1).text_content()
    assert float(text) == pytest.approx(value(frame, "pearson", a, b, "std"), abs=0.006)
    assert cell(page, 0, 0).text_content() == ""
    page.select_option("#statistic", "n")
    assert cell(page, 0, 1).text_content() == str(int(value(frame, "pearson", a, b, "n")))


def test_a_directed_metric_keeps_its_directions(page, frame):
    pick_metric(page, "kl")
    a, b = shown_order(page)[:2]
    found = []
    for i, j in ((0, 1), (1, 0)):
        cell(page, i, j).click()
        found.append(float(page.locator("#pair-body .big data").get_attribute("value")))
    assert found == [value(frame, "kl", a, b), value(frame, "kl", b, a)]
    assert found[0] != found[1]
    assert page.locator("#pair-title").text_content() == f"{b} → {a}"


FOCUSED = """
() => {
  const at = document.activeElement.closest("#matrix td");
  return at && [at.parentElement.sectionRowIndex, at.cellIndex - 1];
}
"""


def test_the_keyboard_reaches_everything(page):
    page.locator("#models-summary").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) is not None
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    assert page.evaluate(FOCUSED) == [0, 0]
    moves = "Right 0 1, Down 1 1, Down 2 1, Left 2 0, Left 2 0, Down 3 0, Down 3 0, Up 2 0"
    for key, row, column in map(str.split, moves.split(", ")):
        page.keyboard.press(f"Arrow{key}")
        assert page.evaluate(FOCUSED) == [int(row), int(column)]
    for key, at in (("End", [2, 3]), ("PageDown", [3, 3]), ("ArrowUp", [2, 3])):
        page.keyboard.press(key)
        assert page.evaluate(FOCUSED) == at
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Enter")
    names = shown_order(page)
    assert page.locator("#pair-title").text_content() == f"{names[2]} – {names[3]}"
    assert page.evaluate(FOCUSED) == [2, 3]  # the focus stays where the reader is
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    assert page.locator("#matrix td[tabindex='0']").count() == 1


def test_groups_have_their_own_matrix(page, made):
    page.select_option("#group", label="cats")
    grouped = summarize(salzarr.open_scores(made.results), group_by="kind").sel(group="cats")
    names = shown_order(page)
    matrix = salzarr.to_matrix(grouped, "pearson").sel(model_a=names[0], model_b=names[1])
    cell(page, 0, 1).click()
    assert float(page.locator("#pair-body .big data").get_attribute("value")) == float(matrix)
    assert page.locator("#groups figure").count() == 2
    page.locator("#groups button").first.click()
    assert page.locator("#group").input_value() == "0"


def test_a_model_lists_its_neighbours(page, frame):
    names = shown_order(page)
    cell(page, 1, 1).click()
    assert page.locator("#pair-title").text_content() == names[1]
    rows = page.locator("#pair-body tbody tr")
    found = [float(d.get_attribute("value")) for d in rows.locator("data").all()]
    assert found == sorted(
        (value(frame, "pearson", names[1], n) for n in names if n != names[1]), reverse=True
    )
    rows.first.locator("button").click()
    assert " – " in page.locator("#pair-title").text_content()


def test_the_metrics_of_a_pair_lead_to_their_matrices(page):
    page.locator("#pair-body button", has_text="mse").click()
    assert page.locator("#matrix-title").text_content() == "mse"
    assert page.locator("#metrics input:checked").input_value() == "1"


def test_the_colors_of_the_page_are_those_of_the_pictures(page, made):
    from salzarr.plot.style import color_scale

    summary = summarize(salzarr.open_scores(made.results))
    for slug in ("pearson", "mse"):
        pick_metric(page, slug)
        names = shown_order(page)
        value = float(salzarr.to_matrix(summary, slug).sel(model_a=names[0], model_b=names[2]))
        scale = color_scale(summary[slug].attrs, summary[slug].sel(statistic="mean").values)
        shown = cell(page, 0, 2).evaluate(
            "c => getComputedStyle(c).backgroundColor.match(/\\d+/g).map(Number)"
        )
        page.wait_for_timeout(250)  # colors fade in
        shown = cell(page, 0, 2).evaluate(
            "c => getComputedStyle(c).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert np.abs(np.array(shown[:3]) - 255 * scale.rgba(value)[:3]).max() < 8


@pytest.mark.parametrize("width", [390, 820, 1900])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_any_screen(made, open_page, width, scheme):
    page = open_page(made.report, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    style = "getComputedStyle(document.body)"
    paper, ink = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
    bright = [sum(map(int, c.strip("rgb()").split(","))) for c in (paper, ink)]
    assert (bright[0] > bright[1]) == (scheme == "light")


def test_it_prints_without_its_controls(page):
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#matrix").is_visible()
    assert len(page.pdf()) > 10_000


def test_screen_readers_find_headers_and_names(page):
    assert page.locator("#matrix").get_attribute("role") == "grid"
    assert page.locator("#matrix thead th[scope=col]").count() == 5
    assert page.locator("#matrix tbody th[scope=row]").count() == 4
    assert page.get_by_role("combobox", name="Order").count() == 1
    assert page.get_by_role("radio", name="pearson").is_checked()
    assert page.locator("img:not([alt]), svg[role=img]:not([aria-label])").count() == 0
    assert page.locator("#pair-title").get_attribute("aria-live") == "polite"


def test_a_comparison_with_a_reference_is_one_column(tmp_path, open_page):
    rng = np.random.default_rng(0)
    maps = {name: rng.random((5, 8, 8)) for name in ("vit", "fixations", "vgg")}
    scores = salzarr.compare(maps, "mse, kl", reference="fixations").compute()
    path = tmp_path / "report.html"
    path.write_text(page_of(scores), "utf-8")
    page = open_page(path)
    assert shown_order(page) == ["vit", "vgg"]
    assert page.locator("#matrix thead th").all_text_contents()[1:] == ["fixations"]
    pick_metric(page, "kl")
    cell(page, 1, 0).click()
    expected = float(salzarr.to_matrix(summarize(scores), "kl").sel(model_a="vgg", model_b="fixations"))
    assert float(page.locator("#pair-body .big data").get_attribute("value")) == expected
    cell(page, 1, 0).press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator("#pair-title").text_content() == "vit → fixations"


@pytest.mark.parametrize("models", [1, 2])
def test_a_page_of_few_models_works(models, tmp_path, open_page):
    rng = np.random.default_rng(0)
    scores = salzarr.compare({name: rng.random((1, 8, 8)) for name in "ab"}, "mse").compute()
    scores = scores.isel(pair=slice(0, models - 1)).assign_attrs(models=["a", "b"][:models])
    path = tmp_path / "report.html"
    path.write_text(page_of(scores), "utf-8")
    page = open_page(path)
    assert shown_order(page) == ["a", "b"][:models]
    assert page.locator("#pair").is_visible() == (models > 1)
    cell(page, 0, 0).click()
