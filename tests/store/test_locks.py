"""Locks where the file system locks no folders, or nothing: network disks."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest

from salzarr.errors import LockedError, StoreError
from salzarr.locks import lock

REAL = fcntl.flock
CODES = [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF]

# A process that holds a lock on a file system that answers so when a folder is to be locked.
HOLD = """
import fcntl, os, stat, sys, time
real = fcntl.flock

def flock(file, kind):
    if stat.S_ISDIR(os.fstat(file).st_mode):
        raise OSError(int(sys.argv[2]), "cannot")
    real(file, kind)

fcntl.flock = flock
from salzarr.locks import lock
with lock(sys.argv[1], shared=len(sys.argv) > 3):
    print("held", flush=True)
    time.sleep(60)
"""


def no_folders(code):
    def flock(file, kind):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, "cannot")
        REAL(file, kind)

    return flock


@contextmanager
def holder(folder, code, *shared):
    command = [sys.executable, "-c", HOLD, str(folder), str(code), *shared]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("code", CODES, ids=[errno.errorcode[code] for code in CODES])
def test_8_where_no_folder_can_be_locked_a_file_beside_it_is(tmp_path, monkeypatch, code, caplog):
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "notes").touch()
    monkeypatch.setattr(fcntl, "flock", no_folders(code))
    opened = len(os.listdir("/proc/self/fd"))
    with holder(folder, code):
        for path in (folder, f"{folder}/"):
            with pytest.raises(LockedError, match="r is in use by another run"), lock(path):
                pass
    with lock(folder):  # the other was killed
        assert (tmp_path / "r.lock").exists()
    assert len(os.listdir("/proc/self/fd")) == opened
    assert not caplog.records


def test_8_there_it_can_be_shared(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    monkeypatch.setattr(fcntl, "flock", no_folders(errno.ENOLCK))
    with holder(folder, errno.ENOLCK, "shared"):
        with lock(folder, shared=True):
            pass
        with pytest.raises(LockedError), lock(folder):
            pass


def test_8_where_nothing_can_be_locked_that_is_said(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock(tmp_path / "r"):
        (tmp_path / "r" / "notes").touch()
    assert "/r; make sure that only one run writes to it" in caplog.text


def test_8_another_error_is_one(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"r cannot be used: Input/output error"), lock(tmp_path / "r"):
        pass
    assert not (tmp_path / "r").exists()
