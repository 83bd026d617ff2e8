"""What a notebook shows, run in a kernel of its own."""

import nbformat
import pytest
from nbclient import NotebookClient

MAPS = """
import numpy as np, salzarr
rng = np.random.default_rng(0)
maps = {name: rng.random((30, 16, 16)) for name in ("vit", "<b>vgg</b>", "convnext")}
"""


def run(folder, *cells):
    """Run the cells one after the other; return the outputs of the last."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    options = {"kernel_name": "python3", "resources": {"metadata": {"path": str(folder)}}}
    NotebookClient(notebook, timeout=200, **options).execute()
    return notebook.cells[-1].outputs


def shown(outputs, kind):
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.parametrize("magic", ["%matplotlib inline", "pass"])
def test_a_picture_that_ends_a_cell_is_shown_once(magic, tmp_path):
    draw = 'salzarr.plot.similarity_matrix(salzarr.summarize(salzarr.compare(maps, "pearson")))'
    assert len(shown(run(tmp_path, magic, MAPS, draw), "image/png")) == 1


def test_results_are_shown_with_their_report_and_runs_with_their_progress(tmp_path):
    convert = 'salzarr.convert(maps, "maps.zarr")'
    outputs = run(tmp_path, MAPS, convert)
    (html,) = shown(outputs, "text/html")
    assert "&lt;b&gt;vgg&lt;/b&gt;</td><td>30</td>" in html
    compare = 'scores = salzarr.compare("maps.zarr", "mse", out="results")'
    outputs = run(tmp_path, MAPS, compare)
    text = "".join(output.get("text", "") for output in outputs) + "".join(shown(outputs, "text/plain"))
    assert "Comparing" in text
    outputs = run(tmp_path, MAPS, 'salzarr.publish("results", bootstrap=50)')
    (html,) = shown(outputs, "text/html")
    assert '<iframe src="results/report.html"' in html
    assert "By mse, " in html
    assert "<b>vgg" not in html
    assert not shown(outputs, "image/png")  # pictures that are written are not shown
