"""Draw the README's pictures: a matrix, a gallery, the report, and what the EMD means."""

import sys
from pathlib import Path

import numpy as np
import ot
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import sync_playwright
from scipy.spatial.distance import cdist
from skimage import io

from salzarr import open_maps
from salzarr.drawing import draw
from salzarr.plot import save
from salzarr.plot.kinds import KINDS

GRID = 14
FAINT = 0.06  # of the strongest arrow: what is left out
WIDTH = 1200
CHROMIUM = ("/usr/bin/chromium", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def earth_movers(demo, target, image="cat", models=("center_surround", "spectral_residual")):
    """Draw two maps, and the cheapest plan that carries one's mass to the other, on a coarse grid."""
    maps = open_maps(demo / "maps.zarr").sel(image=image, model=list(models)).values.astype(float)
    photo = io.imread(demo / "photos" / f"{image}.png")
    factor = maps.shape[-1] // GRID
    mass = maps.reshape(2, GRID, factor, GRID, factor).sum((2, 4)).reshape(2, -1)
    mass /= mass.sum(axis=1, keepdims=True)
    surplus = mass[0] - mass[1]
    at = (np.stack(np.mgrid[:GRID, :GRID], axis=-1).reshape(-1, 2) + 0.5) * factor
    source, sink = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    plan = ot.emd(surplus[source], -surplus[sink], cdist(at[source], at[sink]))
    distance = (plan * cdist(at[source], at[sink])).sum()

    figure = Figure(figsize=(11, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, values, name in zip((left, right), maps, models, strict=True):
        axes.imshow(values, cmap="inferno")
        axes.set_title(name)
    middle.imshow(photo.mean(axis=2), cmap="gray", vmin=-250, vmax=255)
    for i, j in zip(*np.nonzero(plan > FAINT * plan.max()), strict=True):
        (y, x), (to_y, to_x) = at[source[i]], at[sink[j]]
        weight = plan[i, j] / plan.max()
        style = {"arrowstyle": "-|>", "color": "#1668b8", "shrinkA": 0, "shrinkB": 0}
        style |= {
            "linewidth": 0.3 + 2.5 * weight,
            "mutation_scale": 5 + 6 * weight,
            "alpha": 0.35 + 0.6 * weight,
        }
        middle.annotate("", (to_x, to_y), (x, y), arrowprops=style)
    middle.set_title(f"mass to carry: EMD = {distance:.1f} pixels")
    for axes in (left, middle, right):
        axes.set_axis_off()
    save(figure, target / "emd", ["png"], dpi=110)


def report(demo, target):
    """Take screenshots of the report's matrix and of its large view."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM[0], args=list(CHROMIUM[1:]))
        page = browser.new_page(viewport={"width": 1280, "height": 880})
        page.goto((demo / "results" / "report.html").resolve().as_uri())
        page.get_by_role("radio", name="emd", exact=True).check()
        page.locator("#controls").evaluate("controls => controls.scrollIntoView()")
        page.wait_for_timeout(500)
        page.screenshot(path=target / "report.png")
        page.locator("#pair-body .strip").first.click()
        page.wait_for_timeout(500)
        page.screenshot(path=target / "view.png")
        browser.close()


def shrink(path):
    """Make a picture small enough for a README."""
    with Image.open(path) as picture:
        height = round(picture.height * WIDTH / picture.width)
        small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.save(path, optimize=True)


def main(demo, target):
    demo, target = Path(demo), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    assert {"matrix", "gallery"} <= set(KINDS)
    draw(demo / "results", "matrix", metric="emd", output=target / "matrix_emd.png")
    draw(demo / "results", "gallery", metric="emd", output=target / "gallery.png", photos=demo / "photos")
    earth_movers(demo, target)
    report(demo, target)
    for path in target.glob("*.png"):
        shrink(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
