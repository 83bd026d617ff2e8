import io
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PatchCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure

import salzarr
from salzarr.errors import UsageError
from salzarr.plot import save, similarity_matrix, style
from salzarr.plot.kinds import KINDS
from salzarr.statistics.structure import cluster, distances


def tick_labels(ax, axis):
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


def cell_texts(ax, size):
    """Texts by their cell, one below the other: (row, column) of strings."""
    found = np.full((size, size), "", object)
    for text in ax.texts:
        x, y = text.get_position()
        found[round(y), round(x)] = f"{found[round(y), round(x)]}\n{text.get_text()}".strip()
    return found


def drawn(ax):
    """Draw everything, so that a text that cannot be set raises."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def test_rows_and_columns_carry_the_models_names(summary):
    ax = similarity_matrix(summary, "mse", names=["a", "b", "c", "d"])
    assert tick_labels(ax, "x") == tick_labels(ax, "y") == ["a", "b", "c", "d"]


def test_the_number_of_names_must_fit(summary):
    with pytest.raises(UsageError, match="2 names for 4 models"):
        similarity_matrix(summary, "mse", names=["a", "b"])


def test_names_are_never_mathtext(summary):
    ax = similarity_matrix(summary, "pearson", title="$t^$")
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, *ax.texts]
    assert "$a_$" in tick_labels(ax, "x")
    assert not any(label.get_parse_math() for label in labels)
    assert drawn(ax)  # as mathtext "$a_$" raises


def test_long_names_are_cut_and_stay_distinct(invent):
    summary = salzarr.summarize(invent(3))
    ax = similarity_matrix(summary, "emd", names=["x" * 300 + end for end in "abc"])
    labels = tick_labels(ax, "y")
    assert max(map(len, labels)) <= 28
    assert len(set(labels)) == 3


@pytest.mark.parametrize("metric", ["pearson", "mse", "kl"])
def test_every_cell_shows_the_number_of_its_row_and_column(summary, metric):
    ax = similarity_matrix(summary, metric)
    matrix = salzarr.to_matrix(summary, metric).values
    shown = np.vectorize(lambda text: float(text.split("\n")[0]))(cell_texts(ax, 4))
    assert np.abs(shown - matrix).max() <= 0.005 * max(1, np.abs(matrix).max())
    if metric == "kl":
        assert not np.allclose(matrix, matrix.T)
        assert "b (column)" in ax.get_xlabel()
        assert "a (row)" in ax.get_ylabel()


def test_cells_without_a_score_are_hatched(summary):
    broken = summary.copy(deep=True)
    broken.pearson.loc[{"statistic": "mean", "pair": 1}] = np.nan  # models 0 and 2
    ax = similarity_matrix(broken, "pearson")
    (gone,) = [c for c in ax.collections if isinstance(c, PatchCollection)]
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    centers = {tuple(np.round(path.vertices[:4].mean(axis=0)).astype(int)) for path in gone.get_paths()}
    assert centers == {(0, 2), (2, 0)}
    assert gone.get_hatch()
    assert np.argwhere(mesh.get_array().mask).tolist() == [[0, 2], [2, 0]]
    assert cell_texts(ax, 4)[0, 2] == ""


@pytest.mark.parametrize("models", [2, 15, 16, 200])
def test_it_can_be_read_from_2_to_200_models(invent, models):
    ax = similarity_matrix(salzarr.summarize(invent(models, 3)), "pearson")
    width, height = ax.figure.get_size_inches()
    sizes = {label.get_fontsize() for label in ax.get_yticklabels()}
    rows = ax.get_position().height * height / models * 72
    assert min(sizes) >= 3.5
    assert max(sizes) <= max(9, 1.1 * rows)
    assert len(tick_labels(ax, "y")) == models
    assert bool(ax.texts) == (models <= 15)
    assert width < 30
    assert len(drawn(ax)) < 3e6


def test_the_interval_is_written_on_request(summary):
    texts = cell_texts(similarity_matrix(summary, "pearson", interval=True), 4)
    low, mean, high = (
        salzarr.to_matrix(summary, "pearson", name).values[0, 1] for name in ("mean_low", "mean", "mean_high")
    )
    assert texts[0, 1] == f"{mean:.2f}\n{low:.2f} – {high:.2f}\nn=29"
    assert texts[0, 0] == "1.00"


def test_an_interval_takes_a_bootstrap(invent):
    with pytest.raises(UsageError, match="mean_low"):
        similarity_matrix(salzarr.summarize(invent(3)), "emd", interval=True)


def test_clusters_stand_side_by_side_with_their_tree(summary):
    ax = similarity_matrix(summary, "pearson", order="cluster", names=["a", "b", "c", "d"])
    known = summary.attrs["models"]
    order = ["abcd"[known.index(name)] for name in cluster(distances(summary, "pearson")).order]
    assert tick_labels(ax, "y") == order
    trees = [inset for inset in ax.child_axes if len(inset.lines) == 3]  # three forks join four models
    assert len(trees) == 1
    assert trees[0].get_ylim() == ax.get_ylim()


def test_the_lower_triangle_shows_each_pair_once(summary):
    texts = cell_texts(similarity_matrix(summary, "pearson", triangle="lower"), 4)
    assert [(i, j) for i, j in np.ndindex(4, 4) if texts[i, j]] == [
        (i, j) for i in range(4) for j in range(i + 1)
    ]
    with pytest.raises(UsageError, match="directed"):
        similarity_matrix(summary, "kl", triangle="lower")


def test_a_comparison_with_a_reference_is_one_column(maps):
    scores = salzarr.compare(maps, "mse", reference="VGG16")
    ax = similarity_matrix(salzarr.summarize(scores), "mse", names=["a", "b", "c", "d"])
    assert tick_labels(ax, "x") == ["a"]
    assert tick_labels(ax, "y") == ["b", "c", "d"]


def test_cells_over_fewer_images_say_their_n(summary):
    counts = salzarr.to_matrix(summary, "pearson", "n").values  # of 30, and one or two less
    for annotate in (True, False):
        ax = similarity_matrix(summary, "pearson", annotate=annotate)
        (dots,) = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)] or [[]]
        marked = {(round(y), round(x)) for x, y in dots}
        if annotate:
            texts = cell_texts(ax, 4)
            marked = {at for at in np.ndindex(4, 4) if "n=" in texts[at]}
            assert all(texts[at].endswith(f"\nn={counts[at]:.0f}") for at in marked)
        assert marked == set(zip(*np.nonzero(counts < np.nanmax(counts)), strict=True))
        mark = "n is written" if annotate else "a dot"
        assert f"28–30 images ({mark} where it is less than 30)" in ax.title.get_text()


def test_where_all_n_are_the_same_nothing_is_marked(invent):
    ax = similarity_matrix(salzarr.summarize(invent(3)), "pearson")
    assert not any("n=" in text.get_text() for text in ax.texts)
    assert "mean over 12 images · " in ax.title.get_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["ssim"], "no metric 'ssim'"), ([], "name one of the metrics"), (["mse", None, None], None)],
)
def test_metrics_are_named(summary, arguments, message):
    if message is None:
        assert similarity_matrix(summary, *arguments) is not None
    else:
        with pytest.raises(UsageError, match=message):
            similarity_matrix(summary, *arguments)


def test_an_unknown_statistic_is_refused(summary):
    with pytest.raises(UsageError, match="no statistic 'mode' of mse; the summary has n, mean"):
        similarity_matrix(summary, "mse", statistic="mode")


def test_it_draws_into_the_axes_it_is_given(summary):
    figure = Figure()
    mine = figure.add_subplot()
    assert similarity_matrix(summary, "mse", ax=mine) is mine
    assert mine.figure is figure


def test_importing_the_pictures_chooses_no_backend():
    code = "import sys, salzarr.plot; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pyplot_knows_a_new_figure_and_none_of_those_that_are_our_own(summary):
    ax = similarity_matrix(summary, "mse")
    assert plt.gcf() is ax.figure
    plt.close("all")
    with style.own_figures():
        similarity_matrix(summary, "mse")
    assert plt.get_fignums() == []


def test_what_is_completed_are_the_pictures():
    assert dir(salzarr.plot) == sorted(kind.draw.__name__ for kind in KINDS.values())
    assert all(callable(getattr(salzarr.plot, name)) for name in dir(salzarr.plot))


def test_saved_pictures_are_the_same_each_time_and_refer_to_nothing(summary, tmp_path):
    first = save(similarity_matrix(summary, "pearson"), tmp_path / "one", ("svg", "pdf", "png"))
    second = save(similarity_matrix(summary, "pearson"), tmp_path / "two", ("svg", "pdf", "png"))
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    root = ET.parse(tmp_path / "one.svg").getroot()
    links = [v for node in root.iter() for k, v in node.attrib.items() if k.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_a_metric_that_does_not_say_what_itself_is_can_be_drawn(maps):
    def brightest(a, b):
        return float(abs(a.max() - b.max()))

    summary = salzarr.summarize(salzarr.compare(maps, brightest).compute())
    ax = similarity_matrix(summary)
    assert "nan" not in ax.title.get_text()
    assert drawn(ax)
