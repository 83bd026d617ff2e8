"""Commands in broken environments, and outputs that nobody reads: one sentence, and its exit code."""

import subprocess
import sys

import numpy as np
import pytest

import salzarr
from salzarr.errors import CorruptError, MetricError

COMPARE = ["compare", "maps.zarr", "results", "--metrics", "mse"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    salzarr.convert({name: rng.random((3, 8, 9)) for name in "ABC"}, tmp_path / "maps.zarr")
    return tmp_path


@pytest.fixture
def shell(folder, monkeypatch):
    """Return what runs a line of a shell, in which $S is salzarr."""

    def line(text, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("S", f"{sys.executable} -m salzarr")
        done = subprocess.run(
            ["bash", "-c", text], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return done

    return line


def test_a_matplotlib_that_is_configured_for_tex_and_no_backend_draws(shell, folder):
    (folder / "matplotlibrc").write_text("text.usetex: True\nbackend: nonsense\n")
    done = shell(" ".join(["$S", *COMPARE]), MATPLOTLIBRC=folder / "matplotlibrc", MPLBACKEND="nonsense")
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "report.html").exists()
    assert list((folder / "results").glob("matrix_mse.*"))


def test_a_broken_configuration_of_dask_is_named(shell, folder):
    (folder / "dask.yaml").write_text("a: [b\n")
    done = shell("$S info maps.zarr", DASK_CONFIG=folder / "dask.yaml")
    assert done.returncode == 1
    assert "dask.yaml, of Dask's configuration, is no YAML" in done.stderr


def test_a_deleted_working_directory_is_said(shell):
    done = shell("mkdir gone && cd gone && rmdir ../gone && $S info maps.zarr")
    assert done.returncode == 1
    assert "was deleted; change to another" in done.stderr


def test_a_reader_that_leaves_is_no_fault_to_speak_of(shell):
    done = shell("{ sleep 1; $S metrics; } | true; echo ${PIPESTATUS[0]}")
    assert done.stdout.strip() == "1"
    assert done.stderr == ""


def test_an_output_on_a_full_disk_is_said(shell):
    done = shell("$S metrics > /dev/full")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


def test_closed_streams_cost_nothing(shell, folder):
    done = shell(" ".join(["$S", *COMPARE, ">&- 2>&-"]))
    assert done.returncode == 0
    assert salzarr.open_scores(folder / "results").mse.notnull().all()
    assert shell("$S info nothing.zarr 2>&-").returncode == 3


def test_warnings_that_are_errors_elsewhere_are_warnings_here(shell, folder):
    done = shell(" ".join(["$S", *COMPARE]), PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "report.html").exists()


def test_a_full_disk_is_said_with_the_file(folder):
    (folder / "summary.csv").symlink_to("/dev/full")
    summary = salzarr.summarize(salzarr.compare(folder / "maps.zarr", "mse"))
    with pytest.raises(OSError, match=r"No space left on device.*summary\.csv"):
        salzarr.write_csv(summary, folder / "summary.csv")


@pytest.mark.parametrize("spec", [":kendall", "kendall:", "a\udcff:b"])
def test_a_metric_of_no_module_is_said(folder, spec):
    with pytest.raises(MetricError):
        salzarr.compare(folder / "maps.zarr", spec)


def test_a_binary_note_of_where_scores_are_is_said(folder):
    (folder / "results").mkdir()
    (folder / "results" / "scores.url").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptError, match=r"scores\.url is damaged"):
        salzarr.open_scores(folder / "results")


def test_escapes_in_paths_do_not_reach_the_terminal(shell):
    done = shell("$S info $'no\\x1b[31mt\\xff.zarr'; $S info --nothing$'\\x1b[31m'")
    assert "\x1b" not in done.stderr
    assert r"no\x1b[31mt\udcff.zarr does not exist" in done.stderr
