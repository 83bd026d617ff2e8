"""A number that stands in a table and on the page is the same number."""

import re

import numpy as np
import pandas as pd
import pytest

TABLES = (
    "summary", "groups", "corrected", "consensus", "images", "reliability", "agreement", "tests", "ceilings",
    "discriminability", "conclusions", "group_differences", "map_ceilings",
)  # fmt: skip


@pytest.fixture(scope="module")
def tables(made):
    return {name: pd.read_csv(made.results / f"{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def page(made, read_page):
    return read_page(made.page)


def rows_of(table, slug):
    """Return the rows of a metric: of its one variable, or of those from a to b and then from b to a."""
    return table[table.metric.isin([slug, f"{slug}_a_to_b", f"{slug}_b_to_a"])]


def same(shown, table, digits=None):
    """Compare numbers of the page, None for NaN, in full or to some significant digits."""
    shown = np.array([np.nan if value is None else value for value in shown], float)
    expected = np.asarray(table, float)
    assert shown.shape == expected.shape
    np.testing.assert_allclose(shown, expected, rtol=0 if digits is None else 0.5 * 10.0 ** (1 - digits))


@pytest.mark.parametrize("name", ["summary", "corrected"])
def test_every_statistic_of_every_pair(page, tables, name):
    data, metrics = page
    pairs = [tuple(data["models"][k] for k in pair) for pair in data["pairs"]]
    statistics = [column for column in tables[name] if column in data["statistics"]]
    assert {"summary": {"n", "mean", "mean_low", "median_high"}, "corrected": {"baseline", "corrected_low"}}[
        name
    ] <= set(statistics)
    for slug, metric in metrics.items():
        rows = rows_of(tables[name], slug)
        assert list(zip(rows.model_a, rows.model_b, strict=True)) == pairs * (1 + (slug == "kl"))
        for statistic in statistics:
            same(metric["values"][statistic], rows[statistic])
        for reason in data["reasons"]:
            assert metric["reasons"][reason] == rows[reason].tolist()[: len(pairs)]


def test_every_statistic_of_every_group(page, tables):
    data, metrics = page
    assert data["groups"] == sorted(tables["groups"].group.unique())
    for slug, metric in metrics.items():
        for label, group in zip(data["groups"], metric["groups"], strict=True):
            rows = rows_of(tables["groups"], slug)
            for statistic, shown in group.items():
                same(shown, rows[rows.group == label][statistic])


def test_the_agreement_of_the_metrics(page, tables):
    data, metrics = page
    count = len(metrics)
    assert tables["agreement"].metric.tolist() == [slug for slug in metrics for _ in range(count)]
    for shown, column in (("values", "spearman"), ("p", "p"), ("low", "low"), ("high", "high")):
        same(np.ravel(data["agreement"][shown]), tables["agreement"][column])


def test_the_tests_of_which_model_is_closer(page, tables):
    data, metrics = page
    table = tables["tests"]
    for slug, metric in metrics.items():
        rows, shown = table[table.metric == slug], metric["tests"]
        assert shown["count"] == len(rows)
        assert shown["significant"] == (rows.p_family < 0.05).sum()
        for model, closer, farther, *numbers in shown["clearest"]:
            model, closer, farther = (data["models"][k] for k in (model, closer, farther))
            others = rows[(rows.model == model) & (rows.closer == closer)]
            (row,) = others[(others.other_1 == farther) | (others.other_2 == farther)].itertuples()
            share = row.probability if row.difference > 0 else 1 - row.probability
            expected = [abs(row.difference), share, row.units, row.p_family, row.q_permutation]
            same(numbers, expected, digits=6)


def test_the_ranking_of_the_images(page, tables):
    data, metrics = page
    images = tables["images"].set_index("image")
    for slug, metric in metrics.items():
        order = images.sort_values(f"{slug}_rank", kind="stable").dropna(subset=slug)
        for end, expected in (("least", order), ("most", order[::-1])):
            shown = metric["ranking"][end]
            assert [data["images"][k] for k, _ in shown] == expected.index.tolist()[: len(shown)]
            same([score for _, score in shown], expected[slug][: len(shown)], digits=6)


def test_the_consensus_and_the_reliability(made, page, tables):
    data, metrics = page
    (section,) = re.findall(r'<section aria-labelledby="consensus-title">.*?</section>', made.page, re.DOTALL)
    shown = [float(value) for value in re.findall(r'<data value="([^"]+)"', section)]
    columns = [rows_of(tables["consensus"], slug)["mean"][: len(data["models"])] for slug in metrics]
    same(shown, np.stack(columns, axis=1).ravel())
    for row in tables["reliability"].itertuples():
        assert f">{row.reliability:.3f}</td>" in made.page


def test_the_analysis_holds_what_the_tables_hold(made, tables):
    for name, table in made.analysis.tables().items():
        pd.testing.assert_frame_equal(tables[name], table, check_dtype=False, check_exact=True)
