"""Working with a report: addresses, finding and hiding models, sorting, saving, phones, paper, contrast."""

import csv
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import salzarr
from salzarr.report import Page, render
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.summary import summarize

pytestmark = pytest.mark.browser


@pytest.fixture
def page(made, open_page):
    return open_page(made.report)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A report of 30 models with maps, whose names break where people expect it."""
    rng = np.random.default_rng(0)
    values = {f"family_{k % 5}/model-{k:02d}": rng.random((12, 8, 8)) for k in range(30)}
    scores = salzarr.compare(values, "mse, pearson, cosine").compute()
    coords = {"model": list(values), "image": scores.image.values}
    maps = xr.DataArray(np.stack(list(values.values())), coords, ("model", "image", "y", "x"))
    path = tmp_path_factory.mktemp("large") / "report.html"
    about = Page("Thirty models", "First line.\n<b>Second</b> line.", ["A sentence.", "Another."], maps=maps)
    path.write_text(render(analyze(scores, settings=Settings(0, 9)), scores, about), "utf-8")
    return path


def names(page):
    return [th.get_attribute("title") for th in page.locator("#matrix tbody th").all()]


def metric(page):
    return page.locator("#metrics label:has(:checked)").text_content()


def test_every_step_has_an_address_that_back_and_reload_lead_to(page):
    page.locator("#metrics label", has_text="mse").click()
    page.locator("#matrix tbody tr:nth-child(1) td").nth(1).click()
    page.select_option("#order", "cluster")
    page.select_option("#statistic", "std")
    assert "metric=mse" in page.url
    assert "order=cluster" in page.url
    pair, order = page.locator("#pair-title").text_content(), names(page)
    page.reload()
    assert (metric(page), page.locator("#pair-title").text_content(), names(page)) == ("mse", pair, order)
    assert page.locator("#statistic").input_value() == "std"
    page.go_back()
    assert page.locator("#statistic").input_value() == "mean"
    page.go_back()
    assert page.locator("#order").input_value() == "given"
    page.go_back()
    page.go_back()
    assert metric(page) == "pearson"
    page.go_forward()
    assert metric(page) == "mse"


def test_an_address_written_by_hand_is_read(made, open_page):
    page = open_page(made.report)
    page.goto(f"{made.report.as_uri()}#metric=mse&pair=VGG16,%24a_%24&order=name&hide=nobody&group=cats")
    page.reload()
    assert metric(page) == "mse"
    assert page.locator("#pair-title").text_content() == "VGG16 – $a_$"
    assert page.locator("#order").input_value() == "name"
    assert page.locator("#group option:checked").text_content() == "cats"


@pytest.mark.parametrize("address", ["#", "#metric=none&pair=a&order=up", "#%E0%A4%A", "#pair=,,,&image=%00"])
def test_an_address_that_means_nothing_shows_the_page(made, open_page, address):
    page = open_page(made.report)
    page.goto(made.report.as_uri() + address)
    page.reload()
    assert metric(page) == "pearson"
    assert len(names(page)) == 4


def test_models_are_found_and_hidden_and_shown_again(large, open_page):
    page = open_page(large)
    page.locator("#find").fill("family_2")
    assert page.locator("#find-note").text_content() == "6 models"
    assert page.locator("#matrix tbody th.found").count() == 6
    assert page.locator("#model-map g.lit").count() >= 6
    page.locator("#models-summary").click()
    page.get_by_role("button", name="Show only these").click()
    shown = names(page)
    assert len(shown) == 6
    assert all("family_2" in name for name in shown)
    assert page.locator("#model-map circle").count() == 6
    page.reload()
    assert names(page) == shown
    page.locator("#models-summary").click()
    page.get_by_role("checkbox", name=shown[0]).click()
    assert names(page) == shown[1:]
    page.get_by_role("button", name="Show all").click()
    assert len(names(page)) == 30
    page.get_by_role("button", name="Hide these").click()
    assert len(names(page)) == 24


def test_all_models_may_be_hidden(page):
    page.locator("#models-summary").click()
    for box in page.locator("#models-list input").all():
        box.click()
    assert page.locator("#matrix td").count() == 0
    page.get_by_role("button", name="Show all").click()
    assert len(names(page)) == 4


def test_tables_are_sorted_by_a_click_on_a_head(page):
    table = page.locator("#metrics-table")

    def column(k):
        return [row.locator("th, td").nth(k).text_content() for row in table.locator("tbody tr").all()]

    table.get_by_role("button", name="Metric").click()
    assert column(0) == sorted(column(0))
    assert table.locator("th[aria-sort=ascending]").count() == 1
    table.get_by_role("button", name="Metric").click()
    assert column(0) == sorted(column(0), reverse=True)
    table.get_by_role("button", name="Itself").click()
    assert [float(cell) for cell in column(3)] == [0, 0, 1]


def saved(page, name):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    with open(waiting.value.path(), "rb") as file:
        return waiting.value.suggested_filename, file.read()


def test_the_matrix_is_saved_as_picture_and_as_numbers(page, made):
    name, text = saved(page, "Save matrix_pearson_mean as CSV")
    assert name == "matrix_pearson_mean.csv"
    head, *rows = csv.reader(io.StringIO(text.decode()))
    matrix = salzarr.to_matrix(summarize(salzarr.open_scores(made.results)), "pearson")
    assert head[1:] == matrix.model_a.values.tolist()
    np.testing.assert_array_equal([[float(v) for v in row[1:]] for row in rows], matrix.values)
    _, drawing = saved(page, "Save matrix_pearson_mean as SVG")
    root = ET.fromstring(drawing)
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "VGG16" in texts
    assert page.locator("#matrix td").nth(1).text_content() in texts
    _, picture = saved(page, "Save matrix_pearson_mean as PNG")
    assert min(Image.open(io.BytesIO(picture)).size) > 300


@pytest.mark.parametrize("what", ["models_pearson", "histogram_pearson"])
def test_other_pictures_are_saved_with_the_colors_of_the_page(page, what):
    button = page.locator(f"button[aria-label^='Save {what}'][aria-label$='as SVG']")
    with page.expect_download() as waiting:
        button.click()
    text = waiting.value.path().read_text()
    assert "rgb(31, 95, 153)" in text  # the accent
    assert ET.fromstring(text).tag.endswith("svg")


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(tmp_path, open_page):
    rng = np.random.default_rng(0)
    scores = salzarr.compare({name: rng.random((4, 8, 8)) for name in ("=1+1", 'a,"b"')}, "mse").compute()
    path = tmp_path / "report.html"
    path.write_text(render(analyze(scores, settings=Settings(0, 9)), scores), "utf-8")
    _, text = saved(open_page(path), "Save matrix_mse_mean as CSV")
    assert next(csv.reader(io.StringIO(text.decode()))) == ["mse mean", "'=1+1", 'a,"b"']


def test_the_contents_lead_to_the_sections_and_change_no_address(page):
    links = page.locator("nav a")
    assert "Matrix" in links.all_text_contents()
    address = page.url
    links.filter(has_text="Reproduce").click()
    page.wait_for_timeout(100)
    assert page.locator("#provenance-title").bounding_box()["y"] < 900
    assert page.url == address
    assert page.locator("nav").bounding_box()["y"] == pytest.approx(0, abs=1)


def test_title_comment_and_findings_stand_at_the_top(large, open_page):
    page = open_page(large)
    assert page.title() == "Thirty models"
    assert page.locator(".comment").all_text_contents() == ["First line.", "<b>Second</b> line."]
    assert page.locator("#findings").text_content().strip() == "A sentence. Another."
    assert page.locator("#findings").bounding_box()["y"] < 400


def test_the_panel_of_a_pair_keeps_its_place_when_the_metric_changes(page):
    page.locator("#pair-body button", has_text="mse").scroll_into_view_if_needed()
    for slug in ("mse", "kl", "pearson"):
        before = page.locator("#pair").bounding_box()
        page.locator("#pair-body button", has_text=slug).last.click()
        after = page.locator("#pair").bounding_box()
        assert (after["x"], after["y"]) == pytest.approx((before["x"], before["y"]), abs=1)


def test_the_histogram_shows_the_statistic_that_is_chosen(page):
    text = page.locator(".histogram .chosen-name")
    assert text.text_content().startswith("mean ")
    page.select_option("#statistic", "median")
    shown = float(text.text_content().split()[-1])
    big = float(page.locator("#pair-body .big data").get_attribute("value"))
    assert shown == pytest.approx(big, rel=1e-3)
    page.select_option("#statistic", "std")
    assert text.count() == 0
    assert "has no place on this axis" in page.locator(".distribution figcaption").text_content()
    size = page.locator(".histogram text").first.evaluate(
        "t => Number.parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a"
    )
    assert size >= 10  # as it is seen, in pixels


@pytest.mark.parametrize("width", [390, 1280])
def test_all_dots_have_names_that_can_be_read(large, open_page, width):
    page = open_page(large)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(200)
    for slug in ("mse", "pearson"):
        page.locator("#metrics label", has_text=slug).click()
        assert page.locator("#model-map circle").count() == page.locator("#model-map text").count() == 30
        size = page.locator("#model-map text").first.evaluate(
            "t => Number.parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a"
        )
        assert size >= 10


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_figures_are_drawn_for_the_width_they_have(made, open_page, until, width):
    page = open_page(made.report)
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    scale = "document.querySelector('.histogram').getScreenCTM().a"
    until(page, f"Math.abs({scale} - 1) < 0.02")
    until(page, f"Math.abs({scale.replace('.histogram', '#model-map svg')} - 1) < 0.02")


def test_the_statistics_begin_with_the_mean(page):
    assert page.locator("#statistic option").first.text_content() == "mean"


def test_a_tapped_pair_comes_into_view_on_a_phone(made, open_page, until):
    page = open_page(made.report, has_touch=True, is_mobile=True)
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("#matrix td").nth(2).tap()
    until(page, "document.querySelector('#pair-title').getBoundingClientRect().top < 300")
    page.locator(".back a").tap()
    until(page, "document.querySelector('#matrix').getBoundingClientRect().bottom > 100")
    page.locator("#pair-body .strip").first.tap()
    assert page.locator("#view").evaluate("v => v.open")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_wide_matrix_shows_that_it_scrolls(large, open_page, until):
    page = open_page(large)
    page.set_viewport_size({"width": 390, "height": 800})
    frame = page.locator("#matrix-section > .scroll")
    until(page, "document.querySelector('#matrix-section > .scroll').dataset.more === 'right'")
    assert "scroll sideways" in frame.evaluate("f => getComputedStyle(f, '::after').content")
    frame.evaluate("f => f.scrollTo(5000, 0)")
    until(page, "document.querySelector('#matrix-section > .scroll').dataset.more === 'left'")


def test_of_many_models_a_gallery_shows_a_choice_and_those_that_are_sought(large, open_page):
    page = open_page(large)
    assert page.locator("#gallery figure").count() <= 8 * 14
    assert "Of 30 models 14 are shown" in page.locator("#gallery-note").text_content()
    page.locator("#find").fill("model-07")
    page.locator("#metrics label", has_text="pearson").click()
    shown = page.locator("#gallery ul").first.locator("li").first.locator("figcaption").all()
    assert "family_2/model-07" in [caption.get_attribute("title") for caption in shown]


def test_names_break_where_people_expect_it(large, open_page):
    page = open_page(large)
    page.locator("#matrix td").first.click()
    assert page.locator("#pair-body tbody th").first.locator("wbr").count() == 3


CONTRAST = """
() => {
  const channels = (c) => { const v = c.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = channels(getComputedStyle(at).backgroundColor);
      if (c[3] > 0.5) return c;
    }
    return channels(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement, style = getComputedStyle(parent);
    const unseen = ["SCRIPT", "STYLE", "OPTION"].includes(parent.tagName) || !parent.getClientRects().length;
    if (unseen || !node.data.trim()) continue;
    if (parent.closest("#groups svg")) continue; // its texts lie on rectangles, as the cells of the matrix do
    const [a, b] = [light(channels(parent.closest("svg") ? style.fill : style.color)), light(behind(parent))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${parent.tagName} ${node.data.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(made, open_page, scheme):
    page = open_page(made.report, color_scheme=scheme)
    for slug in ("pearson", "mse"):
        page.locator("#metrics label", has_text=slug).click()
        page.locator("#matrix td").nth(6).click()
        page.wait_for_timeout(250)  # colors fade in
        assert page.evaluate(CONTRAST) == []
    page.locator("#pair-body .strip").first.click()
    page.wait_for_selector("#view-pair canvas")
    assert page.evaluate(CONTRAST) == []


def test_numbers_in_the_panels_of_groups_have_contrast(page):
    pairs = page.evaluate(
        "[...document.querySelectorAll('#groups text')].map((t) => "
        "[getComputedStyle(t).fill, t.previousElementSibling.getAttribute('fill'), t.textContent])"
    )
    assert len(pairs) == 2 * 16

    def light(color):
        rgb = np.array(color.strip("rgb()").split(","), float) / 255
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (
            0.2126,
            0.7152,
            0.0722,
        )

    for ink, paper, _ in pairs:
        low, high = sorted((light(ink), light(paper)))
        assert (high + 0.05) / (low + 0.05) >= 4.5
    assert float(pairs[0][2]) == 1


def test_a_matrix_of_many_models_fits_the_paper(large, open_page):
    page = open_page(large)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 900})
    box = page.locator(".matrix-frame").bounding_box()
    assert box["x"] + box["width"] <= 700
    assert page.locator("nav").is_hidden()
    assert page.pdf(format="A4", print_background=True).count(b"/Type /Page\n") < 12


def test_the_address_survives_hostile_names(page):
    page.locator("#matrix tbody tr:nth-child(3) td").nth(3).click()
    title = page.locator("#pair-title").text_content()
    page.reload()
    assert page.locator("#pair-title").text_content() == title
