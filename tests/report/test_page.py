import base64
import html
import io
import re
import shutil
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import salzarr
from salzarr.errors import CorruptError, StoreNotFoundError
from salzarr.report import Page, render
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.ranking import extremes, rank_images
from salzarr.statistics.rows import variables_of
from salzarr.statistics.summary import summarize


class Elements(HTMLParser):
    """Collects the tags of a page and the words between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def elements(made):
    return Elements(made.page)


def page_of(scores):
    return render(analyze(scores, settings=Settings(0, 9)), scores, Page())


def test_the_matrix_the_page_draws_is_that_of_to_matrix(made, read_page):
    summary = summarize(salzarr.open_scores(made.results))
    page, metrics = read_page(made.page)
    for slug, data in metrics.items():
        matrix = salzarr.to_matrix(summary, slug)
        assert page["models"] == matrix.model_a.values.tolist()
        for statistic, look in data["looks"].items():
            if statistic in summary.statistic:
                own = np.diag(salzarr.to_matrix(summary, slug, statistic))
                expected = None if np.isnan(own[0]) else own[0]
                assert look["own"] == expected


def test_extremes_histograms_and_galleries_are_those_of_the_scores(made, read_page):
    scores = salzarr.open_scores(made.results).compute()
    page, metrics = read_page(made.page)
    found, ranks = extremes(scores, 5), rank_images(scores)
    for slug, data in metrics.items():
        names = variables_of(scores, slug)
        least = found.sel(end="least_alike")
        positions, values = (
            np.concatenate([least[f"{name}_{what}"].values for name in names]) for what in ("image", "score")
        )
        for row, listed in enumerate(data["extremes"]["least"]):
            assert [page["images"][k] for k, _ in listed] == [
                str(scores.image.values[p]) for p in positions[row]
            ]
            np.testing.assert_allclose([v for _, v in listed], values[row], rtol=1e-5)
        assert [sum(counts) for counts in data["histogram"]["counts"]] == data["values"]["n"]
        worst = str(scores.image.values[int(np.nanargmin(ranks[f"{slug}_rank"].values))])
        assert page["images"][data["ranking"]["least"][0][0]] == worst
        for k, image in enumerate(page["gallery"]):
            one = scores.sel(image=page["images"][image])
            shown = np.concatenate([one[name].values for name in names])
            listed = [np.nan if row[k] is None else row[k] for row in data["shown"]]
            np.testing.assert_allclose(listed, shown, rtol=1e-3)


def test_names_are_data_and_never_markup(made, elements):
    assert "<img src=x" not in made.page
    assert "</script><img" not in made.page
    assert not [tag for tag, _ in elements.tags if tag == "img"]
    assert not [attrs for _, attrs in elements.tags if any(name.startswith("on") for name in attrs)]
    assert made.page.count("<script") == made.page.count("</script>") == 3 + 3


def test_nothing_is_fetched(elements):
    policy = next(a["content"] for t, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "sha256-" in policy
    assert not [a for _, a in elements.tags for key in ("src", "srcset", "action") if key in a]
    assert [a["href"] for _, a in elements.tags if "href" in a] == ["#matrix-section"] * 2


def test_counts_of_what_has_no_score_are_on_the_page(made, elements):
    text = re.sub(r"\s+", " ", " ".join(elements.words))
    assert "Degenerate maps" in text
    assert "img_003" in text  # missing
    assert "img_005" in text  # constant
    frame = pd.read_csv(made.results / "summary.csv")
    pearson = frame[frame.metric == "pearson"]
    assert f"pearson {pearson.n.sum()} {pearson.missing.sum()} 0 {pearson.constant.sum()} 0 0 0" in text


def test_the_commands_that_make_it_again_are_those_that_were_given(made, elements):
    (pre,) = re.findall(r"<pre>(.*?)</pre>", made.page, re.DOTALL)
    convert, compare, publish = html.unescape(pre).split("\n")
    assert convert.startswith(f"salzarr.convert({str(made.root)!r}, {str(made.maps)!r}, models={{'VGG16': ")
    assert compare == (
        f"salzarr.compare({str(made.maps)!r}, 'pearson, mse, kl', labels={str(made.root / 'labels.csv')!r}, "
        f"out={str(made.results)!r})"
    )
    assert publish.startswith(f"salzarr.publish({str(made.results)!r}, bootstrap=100, group_by='kind', ")
    assert publish.endswith(f"baseline=True, photos={str(made.root / 'photos')!r})")


def test_without_its_maps_a_report_lists_images_by_name(made, tmp_path, caplog, read_page):
    results = tmp_path / "results"
    shutil.copytree(made.results, results)
    away = made.maps.with_name("away.zarr")
    made.maps.rename(away)
    try:
        bare = salzarr.publish(results, bootstrap=0).report.read_text("utf-8")
        found = salzarr.publish(results, bootstrap=0, maps=away).report.read_text("utf-8")
    finally:
        away.rename(made.maps)
    assert read_page(found)[0]["stored"]["carried"]
    page, metrics = read_page(bare)
    assert page["stored"] is None
    assert page["maps"] == {}
    assert metrics["mse"]["extremes"]["least"][0]
    assert "shows no maps" in caplog.text
    assert not list(tmp_path.glob(".*partial"))


def test_maps_that_are_asked_for_must_be_there(made, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(made.results, results)
    with pytest.raises(StoreNotFoundError):
        salzarr.publish(results, bootstrap=0, maps=tmp_path / "nowhere.zarr")


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_a_report_written_again_has_the_numbers_it_had(tmp_path, read_page):
    rng = np.random.default_rng(0)
    salzarr.convert({name: rng.random((15, 8, 8)) for name in "abc"}, tmp_path / "maps.zarr")
    salzarr.compare(tmp_path / "maps.zarr", "mse, kl", out=tmp_path / "r")
    first = salzarr.publish(tmp_path / "r", bootstrap=60, seed=4)
    again = salzarr.publish(tmp_path / "r", title="Another title")
    assert again.analysis.settings == first.analysis.settings == Settings(bootstrap=60, seed=4)
    for name, table in first.analysis.tables().items():
        pd.testing.assert_frame_equal(again.analysis.tables()[name], table, check_exact=True)
    other = salzarr.publish(tmp_path / "r", seed=5)
    assert not other.summary.equals(first.summary)
    (tmp_path / "r" / "run.json").write_text('{"settings": {"seed": "1"}}')
    with pytest.raises(CorruptError, match=r"run\.json is damaged"):
        salzarr.publish(tmp_path / "r")


@pytest.mark.parametrize("models", [1, 2])
def test_few_models_have_a_report_too(models, read_page):
    maps = {f"model {k}": np.random.default_rng(k).random((3, 8, 8)) for k in range(2)}
    scores = salzarr.compare(maps, "mse").compute()
    if models == 1:
        scores = scores.isel(pair=[]).assign_attrs(models=["model 0"])
    page, metrics = read_page(page_of(scores))
    assert len(page["models"]) == models
    assert metrics["mse"]["tree"] is None


def test_a_metric_without_any_score_has_its_place(read_page):
    maps = {name: np.ones((3, 8, 8)) for name in "abc"}
    scores = salzarr.compare(maps, "pearson, mse").compute()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, metrics = read_page(page_of(scores))
    assert metrics["pearson"]["values"]["mean"] == [None] * 3
    assert metrics["pearson"]["extremes"]["least"] == [[], [], []]
    assert metrics["pearson"]["tree"] is None
    assert metrics["mse"]["values"]["mean"] == [0.0] * 3


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e308, 5e-324])
def test_extreme_scores_are_still_json(value, read_page):
    scores = salzarr.compare({"a": np.zeros((3, 4, 4)), "b": np.ones((3, 4, 4))}, "mse").compute()
    analysis = analyze(scores, settings=Settings(0, 9))
    analysis.summary.mse[1:] = value
    _, metrics = read_page(render(analysis, scores))
    assert np.isfinite(metrics["mse"]["values"]["mean"][0])


def test_two_metrics_of_one_name_are_told_apart(read_page):
    maps = {name: np.random.default_rng(k).random((4, 8, 8)) for k, name in enumerate("abc")}
    scores = salzarr.compare(maps, "mse, mse:normalize=minmax").compute()
    page, _ = read_page(page_of(scores))
    assert [m["spec"] for m in page["metrics"]] == ["mse", "mse:normalize=minmax"]


def test_a_users_own_metric_has_a_page(read_page):
    def brightest(a, b):
        return float(abs(a.max() - b.max()))

    maps = {name: np.random.default_rng(k).random((4, 8, 8)) for k, name in enumerate("abc")}
    scores = salzarr.compare(maps, brightest).compute()
    page, metrics = read_page(page_of(scores))
    assert page["metrics"][0]["self"] is None
    assert metrics["brightest"]["looks"]["mean"]["own"] is None
    assert metrics["brightest"]["tree"] is not None


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_a_grown_store_and_what_was_asked_are_in_the_commands_and_old_tables_go(tmp_path):
    store, rng = str(tmp_path / "maps.zarr"), np.random.default_rng(0)
    salzarr.convert({name: rng.random((30, 8, 8)) for name in "ab"}, store)
    salzarr.convert({"c": rng.random((30, 8, 8))}, store, append=True)
    labels = {"image": ["0000", "0001", "0002"], "kind": ["x", "x", "y"]}
    salzarr.compare(store, "mse", out=tmp_path / "r", labels=labels)
    salzarr.publish(tmp_path / "r", baseline=True, group_by="kind", bootstrap=50)
    text = (tmp_path / "r" / "report.html").read_text()
    first, more, _, last = html.unescape(re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1]).split("\n")
    assert first == f"salzarr.convert(source, {store!r})"
    assert more == f"salzarr.convert(source, {store!r}, append=True)"
    assert last.endswith("bootstrap=50, group_by='kind', baseline=True)")
    optional = [tmp_path / "r" / f"{name}.csv" for name in ("groups", "consensus", "corrected")]
    assert all(path.exists() for path in optional)
    salzarr.publish(tmp_path / "r", bootstrap=50)
    assert not any(path.exists() for path in optional)


@pytest.mark.parametrize("shape", [(12, 60), (1, 40), (40, 1), (1, 1)])
def test_maps_of_any_shape_keep_it(shape, tmp_path):
    rng = np.random.default_rng(0)
    maps = {name: rng.random((2, *shape)) for name in "ab"}
    salzarr.convert(maps, tmp_path / "maps.zarr")
    salzarr.compare(tmp_path / "maps.zarr", "cosine", out=tmp_path / "results")
    page = salzarr.publish(tmp_path / "results", bootstrap=0).report.read_text("utf-8")
    pictures = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page)
    sizes = {Image.open(io.BytesIO(base64.b64decode(one))).size for one in pictures}
    assert sizes
    for width, height in sizes:
        assert abs(width * shape[0] - height * shape[1]) <= max(*shape, width, height)
