import base64
import io
import re
import shutil
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import salzarr
from salzarr.errors import InputError, StoreNotFoundError
from salzarr.report import Contents, render, write_report
from salzarr.report.results import restored
from salzarr.statistics.ranking import extremes, rank_images
from salzarr.statistics.rows import variables_of
from salzarr.statistics.summary import read_csv, summarize, to_frame


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


def test_every_number_equals_summary_csv(made, read_page):
    frame = read_csv(made.results / "summary.csv")
    page, metrics = read_page(made.page)
    statistics = [c for c in frame.columns if c in page["statistics"]]
    assert {"n", "mean", "mean_low", "median", "max"} <= set(statistics)
    seen = 0
    for slug, data in metrics.items():
        rows = frame[frame.metric.isin([slug, f"{slug}_a_to_b", f"{slug}_b_to_a"])]
        pairs = [tuple(page["models"][k] for k in pair) for pair in page["pairs"]]
        assert list(zip(rows.model_a, rows.model_b, strict=True)) == pairs * (len(rows) // len(pairs))
        for name in statistics:
            found = [np.nan if v is None else v for v in data["values"][name]]
            np.testing.assert_array_equal(found, rows[name].to_numpy(float))
            seen += len(found)
        for reason in page["reasons"]:
            assert data["reasons"][reason] == rows[reason].tolist()[: len(pairs)]
    assert seen == len(statistics) * len(frame)


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
    frame = read_csv(made.results / "summary.csv")
    pearson = frame[frame.metric == "pearson"]
    assert f"pearson {pearson.n.sum()} {pearson.missing.sum()} 0 {pearson.constant.sum()} 0 0 0" in text


def test_the_commands_that_make_it_again_are_spelled_out(made, elements):
    (pre,) = re.findall(r"<pre>(.*?)</pre>", made.page, re.DOTALL)
    convert, compare = pre.split("\n")
    assert convert.startswith("salzarr convert ")
    assert compare.startswith("salzarr compare ")
    assert compare.endswith("--metrics pearson,mse,kl")


def test_without_its_maps_a_report_lists_images_by_name(made, tmp_path, caplog, read_page):
    results = tmp_path / "results"
    shutil.copytree(made.results, results)
    away = made.maps.with_name("away.zarr")
    made.maps.rename(away)
    try:
        path = write_report(results, tmp_path / "bare.html")
    finally:
        away.rename(made.maps)
    page, metrics = read_page(path.read_text("utf-8"))
    assert page["stored"] is None
    assert page["maps"] == {}
    assert metrics["mse"]["extremes"]["least"][0]
    assert "shows no maps" in caplog.text
    assert not list(tmp_path.glob(".*partial"))


def test_without_a_table_the_scores_are_summarized(made, tmp_path, read_page):
    results = tmp_path / "results"
    shutil.copytree(made.results, results)
    (results / "summary.csv").unlink()
    _, metrics = read_page(write_report(results).read_text("utf-8"))
    frame = to_frame(summarize(salzarr.open_scores(results)))
    assert metrics["mse"]["values"]["mean"] == frame[frame.metric == "mse"]["mean"].tolist()


def test_maps_that_are_asked_for_must_be_there(made, tmp_path):
    with pytest.raises(StoreNotFoundError):
        write_report(made.results, tmp_path / "x.html", maps=tmp_path / "nowhere.zarr")


def test_a_table_becomes_the_same_summary_again(made, read_page):
    scores = salzarr.open_scores(made.results)
    frame = read_csv(made.results / "summary.csv")
    summary = restored(frame, scores)
    again = to_frame(summary)
    assert again[frame.columns].equals(frame)
    assert read_page(render(Contents(summary)))[0]["confidence"] == "95 %"
    with pytest.raises(InputError, match=r"summary.csv is not that of these scores"):
        restored(frame.iloc[::-1], scores)


@pytest.mark.parametrize("models", [1, 2])
def test_few_models_have_a_report_too(models, read_page):
    maps = {f"model {k}": np.random.default_rng(k).random((3, 8, 8)) for k in range(2)}
    summary = summarize(salzarr.compare(maps, "mse"))
    if models == 1:
        summary = summary.isel(pair=[])
        summary.attrs["models"] = ["model 0"]
    page, metrics = read_page(render(Contents(summary)))
    assert len(page["models"]) == models
    assert metrics["mse"]["tree"] is None


def test_a_metric_without_any_score_has_its_place(read_page):
    maps = {name: np.ones((3, 8, 8)) for name in "abc"}
    scores = salzarr.compare(maps, "pearson, mse").compute()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, metrics = read_page(render(Contents(summarize(scores), scores)))
    assert metrics["pearson"]["values"]["mean"] == [None] * 3
    assert metrics["pearson"]["extremes"]["least"] == [[], [], []]
    assert metrics["pearson"]["tree"] is None
    assert metrics["mse"]["values"]["mean"] == [0.0] * 3


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e308, 5e-324])
def test_extreme_scores_are_still_json(value, read_page):
    scores = salzarr.compare({"a": np.zeros((3, 4, 4)), "b": np.ones((3, 4, 4))}, "mse").compute()
    summary = summarize(scores)
    summary.mse[1:] = value
    _, metrics = read_page(render(Contents(summary)))
    assert np.isfinite(metrics["mse"]["values"]["mean"][0])


def test_two_metrics_of_one_name_are_told_apart(read_page):
    maps = {name: np.random.default_rng(k).random((4, 8, 8)) for k, name in enumerate("abc")}
    scores = salzarr.compare(maps, "mse, mse:normalize=minmax").compute()
    page, _ = read_page(render(Contents(summarize(scores), scores)))
    assert [m["spec"] for m in page["metrics"]] == ["mse", "mse:normalize=minmax"]


def test_a_users_own_metric_has_a_page(read_page):
    def brightest(a, b):
        return float(abs(a.max() - b.max()))

    maps = {name: np.random.default_rng(k).random((4, 8, 8)) for k, name in enumerate("abc")}
    scores = salzarr.compare(maps, brightest).compute()
    page, metrics = read_page(render(Contents(summarize(scores), scores)))
    assert page["metrics"][0]["self"] is None
    assert metrics["brightest"]["looks"]["mean"]["own"] is None
    assert metrics["brightest"]["tree"] is not None


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_a_grown_store_and_what_was_asked_are_in_the_commands_and_old_tables_go(tmp_path):
    store, rng = str(tmp_path / "maps.zarr"), np.random.default_rng(0)
    salzarr.convert({name: rng.random((30, 8, 8)) for name in "ab"}, store)
    salzarr.convert({"c": rng.random((30, 8, 8))}, store, append=True)
    salzarr.compare(store, "mse", out=tmp_path / "r")
    (tmp_path / "g.csv").write_text("image,label\n0000,x\n0001,x\n0002,y\n")
    salzarr.publish(tmp_path / "r", baseline=True, groups=tmp_path / "g.csv", bootstrap=50)
    text = (tmp_path / "r" / "report.html").read_text()
    assert re.search(rf"salzarr convert SOURCE {store}\nsalzarr convert SOURCE {store} --append\n", text)
    assert f"--metrics mse --groups {tmp_path}/g.csv --baseline" in text
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
    page = salzarr.write_report(tmp_path / "results").read_text("utf-8")
    pictures = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page)
    sizes = {Image.open(io.BytesIO(base64.b64decode(one))).size for one in pictures}
    assert sizes
    for width, height in sizes:
        assert abs(width * shape[0] - height * shape[1]) <= max(*shape, width, height)
