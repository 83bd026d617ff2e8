import json
import os
import re
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import salzarr
from salzarr.bootstrap import SmallSampleWarning

NAMES = ("VGG16", "$a_$", "</script><img src=x onerror=alert(1)>", "[red]" + "long" * 20)
IMAGES = tuple(f"img_{k:03d}" for k in range(24))
METRICS = "pearson, mse, kl"


def data_of(page):
    """Read what a page carries: its own data with the maps in it, and that of each metric by slug."""
    blocks = dict(re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.DOTALL))
    main = json.loads(blocks["page"])
    main["maps"] = {int(image): stored for image, stored in json.loads(blocks["maps"]).items()}
    return main, {m["slug"]: json.loads(blocks[f"metric-{k}"]) for k, m in enumerate(main["metrics"])}


@pytest.fixture(scope="session")
def read_page():
    return data_of


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A results folder with its report, made from .npy files; one map is missing, and one is constant."""
    root = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(3)
    y, x = np.indices((24, 24))
    sources = {}
    (root / "photos").mkdir()
    for k, image in enumerate(IMAGES):
        cy, cx = rng.uniform(4, 20, 2)
        Image.new("RGB", (40, 30), (10 * k, 90, 40)).save(root / "photos" / f"{image}.png")
        for m, name in enumerate(NAMES):
            folder = root / f"model{m}"
            folder.mkdir(exist_ok=True)
            sources[name] = folder
            dy, dx = rng.normal(0, 1 + m, 2)
            one = np.exp(-((y - cy - dy) ** 2 + (x - cx - dx) ** 2) / 40) + 0.02 * rng.random(y.shape)
            if (m, k) == (2, 5):
                one[:] = 0.5
            if (m, k) != (1, 3):
                np.save(folder / f"{image}.npy", one.astype(np.float32))
    maps, results = root / "maps.zarr", root / "results"
    salzarr.convert(root, maps, models=sources)
    labels = [f"{image},{('cats', '</script>')[k % 2]}" for k, image in enumerate(IMAGES)]
    (root / "labels.csv").write_text("\n".join(["image,kind", *labels]))
    salzarr.compare(maps, METRICS, out=results, labels=root / "labels.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSampleWarning)
        published = salzarr.publish(
            results, group_by="kind", baseline=True, bootstrap=100, photos=root / "photos"
        )
    return SimpleNamespace(
        root=root,
        maps=maps,
        results=results,
        analysis=published.analysis,
        report=published.report,
        page=published.report.read_text("utf-8"),
    )


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; without one its tests are skipped, but not in CI."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    assert binary, "CI needs a Chromium"
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def until():
    """Wait until an expression is true; the page's own policy lets no string be polled inside it."""

    def wait(page, expression):
        for _ in range(100):
            if page.evaluate(expression):
                return
            page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    return wait


@pytest.fixture
def open_page(chromium):
    """Open a report as a double click does; at the end nothing may have been fetched, logged or popped up."""
    events, contexts = [], []

    def open_file(path, **options):
        context = chromium.new_context(viewport={"width": 1400, "height": 1000}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "request", lambda r: r.url.startswith(("file:", "data:")) or events.append(f"request {r.url}")
        )
        page.on("console", lambda m: events.append(f"{m.type} {m.text}"))
        page.on("pageerror", lambda e: events.append(f"error {e}"))
        page.on("dialog", lambda d: (events.append(f"dialog {d.message}"), d.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_selector("#matrix td")
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert events == []
