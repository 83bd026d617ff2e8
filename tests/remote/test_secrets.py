"""User, password and signature of an address: nothing that salzarr writes or says holds them."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from salzarr import convert, info
from salzarr.cli.terminal import configure_logging, notice
from salzarr.errors import SalzarrError, redacted
from salzarr.location import locate

SECRETS = ("hunter2", "s1gnature")
URL = "http://me:hunter2@127.0.0.1:9/maps.zarr?sig=s1gnature"


def safe(text):
    return not any(secret in text for secret in SECRETS)


def test_no_error_and_no_note_has_them(capsys):
    configure_logging(0, quiet=False)
    logging.getLogger("salzarr").warning("%s is slow", URL)
    notice(f"Error: {URL}")
    with pytest.raises(SalzarrError) as raised:
        info(URL)
    said = capsys.readouterr().err
    assert safe(str(raised.value))
    assert "127.0.0.1" in str(raised.value)
    assert safe(said)
    assert said.count("http://127.0.0.1:9/maps.zarr") == 2


def test_a_place_is_opened_with_what_it_is_shown_without():
    place = locate(URL)
    assert place == URL
    assert f"{place}" == "http://127.0.0.1:9/maps.zarr"
    assert redacted("is a/b? no: c@d.org") == "is a/b? no: c@d.org"


def files_with(folder, texts):
    """Name the files of a folder that hold any of some texts."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                data = file.read()
            found += [name for text in texts if text.encode() in data]
    return found


def test_results_of_maps_behind_a_password_hold_no_password(web, tmp_path):
    """The server asks for no password, so that the address decides alone."""
    rng = np.random.default_rng(0)
    convert({name: rng.random((3, 8, 9)) for name in "AB"}, tmp_path / "maps.zarr")
    url = web.replace("://", "://me:hunter2@") + "/maps.zarr"
    done = subprocess.run(
        [sys.executable, "-m", "salzarr", "compare", url, "results", "--metrics", "mse"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert safe(done.stdout + done.stderr)
    assert files_with(tmp_path / "results", SECRETS) == []


def test_a_page_shows_paths_as_they_were_typed(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    convert({name: rng.random((3, 8, 9)) for name in "AB"}, "maps.zarr")
    done = subprocess.run(
        [sys.executable, "-m", "salzarr", "compare", "maps.zarr", "results", "--metrics", "mse"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results" / "report.html").read_text()
    assert "maps.zarr" in page
    assert str(tmp_path) not in page
