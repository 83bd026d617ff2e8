"""Pipes, sockets, devices and links that lead nowhere, called like maps."""

import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest

import salzarr
from salzarr.errors import InputError
from salzarr.sources import FORMATS
from salzarr.sources.npy import NPY

MAP = np.random.default_rng(0).random((4, 5))
SUFFIXES = (".npy", ".npz", ".png", ".tif", ".h5", ".mat", ".pt", ".safetensors")


@pytest.fixture
def folder(tmp_path):
    for model in "AB":
        (tmp_path / "Models" / model).mkdir(parents=True)
        for image in "abc":
            np.save(tmp_path / "Models" / model / f"{image}.npy", MAP)
    return tmp_path / "Models"


def converted(folder):
    """Convert in a process of its own, which a hang would not outlive; return its notes."""
    target = folder.parent / "maps.zarr"
    done = subprocess.run(
        [sys.executable, "-m", "salzarr", "convert", folder, target],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    facts = salzarr.info(target)
    return done.stdout + done.stderr, facts["unreadable"], facts["missing"]


def test_a_pipe_costs_its_own_map(folder):
    os.mkfifo(folder / "A" / "d.npy")
    np.save(folder / "B" / "d.npy", MAP)
    said, unreadable, _ = converted(folder)
    assert "d.npy is a pipe, socket or device" in said
    assert unreadable == 1


def test_a_socket_and_a_device_cost_their_own_maps(folder):
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(folder / "A")  # an address is at most 108 bytes long
        try:
            made.bind("d.npy")
        finally:
            os.chdir(here)
    os.symlink("/dev/zero", folder / "B" / "e.npy")
    said, unreadable, _ = converted(folder)
    assert "is a pipe, socket or device" in said
    assert unreadable == 2


def test_a_link_round_in_a_circle_costs_its_own_map(folder):
    os.symlink("d.npy", folder / "A" / "d.npy")
    os.symlink("loop", folder / "loop")
    said, unreadable, _ = converted(folder)
    assert "d.npy cannot be opened: Too many levels of symbolic links" in said
    assert "loop cannot be examined" in said
    assert unreadable == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_format_waits_for_a_pipe(tmp_path, suffix):
    pipe = tmp_path / f"map{suffix}"
    os.mkfifo(pipe)
    [format_] = [one for one in FORMATS if suffix in one.suffixes][:1]
    for call in (format_.look, lambda path: list(format_.read(path, "", [()]))):
        with pytest.raises(InputError, match="is a pipe"):
            call(str(pipe))


def test_a_format_is_the_same_after_pickling():
    assert pickle.loads(pickle.dumps(NPY)) == NPY
