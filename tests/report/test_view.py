"""The large view of an image: opened, stepped through, overlaid, closed, by mouse and by keyboard."""

import numpy as np
import pytest

pytestmark = pytest.mark.browser

PIXEL = "c => [...c.getContext('2d').getImageData(c.width >> 1, c.height >> 1, 1, 1).data]"

DRAWN = "all => all.map((c) => c.toDataURL())"


@pytest.fixture
def page(made, open_page):
    page = open_page(made.report)
    page.locator("#metrics label", has_text="mse").click()
    page.locator("#matrix td").nth(1).click()
    return page


def title(page):
    return page.locator("#view-title").text_content()


def names(page):
    return page.locator("#pair-body .examples .name").all_text_contents()


def opened(page):
    return page.locator("#view").evaluate("v => v.open")


def test_a_click_opens_photograph_maps_and_difference(page):
    page.locator("#pair-body .strip canvas").first.click()
    assert opened(page)
    page.wait_for_selector("#view-pair canvas")
    a, b = (page.locator("#matrix tbody th").nth(k).get_attribute("title") for k in (0, 1))
    captions = page.locator("#view-pair figcaption > span").all_text_contents()
    assert captions == ["photograph", a, b, f"{a} − {b}"]
    assert page.locator("#view-others canvas").count() == 2
    assert title(page) == names(page)[0]
    assert "least alike, 1 of 5 · mse" in page.locator("#view-note").text_content()
    width = page.locator("#view-pair canvas").first.bounding_box()["width"]
    assert width > 2 * page.locator("#pair-body .strip canvas").first.bounding_box()["width"]


def test_it_opens_by_enter_and_closes_by_escape_and_the_focus_comes_back(page):
    strip = page.locator("#pair-body .strip").nth(2)
    strip.focus()
    page.keyboard.press("Enter")
    assert title(page) == names(page)[2]
    for _ in range(12):  # the focus does not leave the view for the page
        page.keyboard.press("Tab")
        assert page.evaluate("['BODY', 'DIALOG'].includes(document.activeElement.tagName) "
                             "|| document.activeElement.closest('#view') !== null")  # fmt: skip
    page.keyboard.press("Escape")
    assert not opened(page)
    assert strip.evaluate("s => s === document.activeElement")


def test_the_arrows_go_through_the_images_of_the_pair_and_round(page):
    expected = names(page)
    page.locator("#pair-body .strip").first.click()
    seen = [title(page)]
    for _ in expected[1:]:
        page.keyboard.press("ArrowRight")
        seen.append(title(page))
    assert seen == expected
    page.keyboard.press("ArrowRight")
    assert title(page) == expected[0]
    page.keyboard.press("ArrowLeft")
    assert title(page) == expected[-1]
    page.locator("#view-previous").click()
    assert title(page) == expected[-2]


def test_maps_fade_over_their_photograph(page):
    page.locator("#pair-body .strip").first.click()
    page.wait_for_selector("#view-pair canvas")
    slider = page.locator("#view-opacity")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "40"
    assert opened(page)
    shown = page.locator("#view-pair figure").nth(1)
    assert shown.locator("canvas").evaluate("c => Number(getComputedStyle(c).opacity)") == pytest.approx(0.4)
    assert shown.locator("img").bounding_box() == shown.locator("canvas").bounding_box()


def test_one_scale_for_all_is_named_and_changes_the_colors(page, until):
    page.locator("#pair-body .strip").first.click()
    page.wait_for_selector("#view-pair canvas")
    assert "each map on its own scale" in page.locator("#view-legend").text_content()
    before = page.locator("#view-pair canvas").evaluate_all(DRAWN)
    page.locator("#view label", has_text="one for all").click()
    until(page, "document.querySelector('#view-legend').textContent.includes('one scale for all')")
    assert "A − B in the maps' values" in page.locator("#view-legend").text_content()
    assert page.locator("#view-pair canvas").evaluate_all(DRAWN) != before


def test_a_pixel_has_the_color_of_its_value(page, made, read_page):
    from matplotlib import colormaps

    import salzarr

    page.locator("#pair-body .strip").first.click()
    page.wait_for_selector("#view-pair canvas")
    name = page.locator("#matrix tbody th").first.get_attribute("title")
    one = salzarr.open_maps(made.maps).sel(model=name, image=title(page)).values
    low, high = one.min(), one.min() + np.quantile(one - one.min(), 0.995)
    expected = 255 * np.array(colormaps["inferno"](min(1.0, (one[12, 12] - low) / (high - low)))[:3])
    shown = page.locator("#view-pair canvas").first.evaluate(PIXEL)[:3]
    assert np.abs(np.array(shown) - expected).max() < 20


def test_the_difference_of_other_models_can_be_asked_for(page, until):
    page.locator("#pair-body .strip").first.click()
    page.select_option("#view-b", "3")
    until(page, "document.querySelectorAll('#view-pair figcaption > span')[3].textContent.includes('long')")
    page.select_option("#view-b", "0")
    until(page, "document.querySelectorAll('#view-pair figure').length === 3")  # none with itself


def test_it_says_how_maps_are_stored(page):
    page.locator("#gallery .strip").first.click()
    assert "24 px in 256 levels" in page.locator("#view-stored").text_content()
    assert "mean over pairs" in page.locator("#view-note").text_content()


def test_the_picture_can_be_saved(page, tmp_path):
    from PIL import Image

    page.locator("#pair-body .strip").first.click()
    page.wait_for_selector("#view-pair canvas")
    with page.expect_download() as waiting:
        page.locator("#view-save").click()
    waiting.value.save_as(tmp_path / "view.png")
    picture = np.asarray(Image.open(tmp_path / "view.png").convert("RGB"))
    assert picture.shape[1] > 1200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_a_view_has_an_address_and_back_closes_it(page, made, until):
    page.locator("#pair-body .strip").nth(1).click()
    shown, address = title(page), page.url
    page.reload()
    assert opened(page)
    assert title(page) == shown
    assert page.url == address
    page.go_back()
    until(page, "!document.querySelector('#view').open")
    page.go_forward()
    until(page, "document.querySelector('#view').open")


def test_screen_readers_get_a_named_dialog(page):
    page.locator("#pair-body .strip").first.click()
    assert page.get_by_role("dialog", name=title(page)).count() == 1
    assert page.get_by_role("slider", name="Opacity of the maps over the photograph").count() == 1
    assert page.get_by_role("button", name="Next image").count() == 1
    page.wait_for_selector("#view-pair canvas")
    assert page.locator("#view canvas:not([aria-label])").count() == 0
