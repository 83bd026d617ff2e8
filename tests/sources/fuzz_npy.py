"""Feed the ``.npy`` reader with files for some minutes: ``python tests/sources/fuzz_npy.py SECONDS``.

Whatever the bytes: it answers with an InputError that names the file, or with real numbers that fit in the
file; it takes no memory for claims, opens nothing else, and executes nothing. Prints how many files it was.
"""

import os
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from salzarr.errors import InputError
from salzarr.sources.npy import NpyStack, npy_shape, read_npy
from salzarr.sources.shaping import Recipe

FORBIDDEN = {
    "import",
    "exec",
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "socket.connect",
    "os.remove",
}

lengths = st.one_of(
    st.integers(0, 9), st.integers(), st.sampled_from([2**31, 2**63, 10**40, True, 1.0, None, "8"])
)
shapes = st.one_of(st.lists(lengths, max_size=5).map(tuple), lengths, st.lists(lengths, max_size=3))
descrs = st.one_of(
    st.sampled_from(
        [
            k + str(n)
            for k in ("<f", ">f", "|b", "<i", ">u", "<c", "<M8[s]", "|O", "|S", "<U", "|V")
            for n in (1, 2, 4, 8)
        ]
    ),
    st.text(max_size=12),
    st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["<f4", "|O"]), st.integers(0, 3)), max_size=2),
    st.none(),
)
orders = st.one_of(st.booleans(), st.integers(), st.text(max_size=2))
headers = st.one_of(
    st.fixed_dictionaries({"descr": descrs, "fortran_order": orders, "shape": shapes}).map(repr),
    st.dictionaries(st.sampled_from(["descr", "fortran_order", "shape", "x"]), shapes).map(repr),
    st.text(max_size=200),
    st.sampled_from(
        [
            "(" * 500,
            "[" * 9000,
            "{" * 100,
            "__import__('os').system('true')",
            "'" + "a" * 9000 + "'",
            "-" * 5000 + "1",
        ]
    ),
)


@st.composite
def npy_files(draw):
    """Draw the bytes of a file: a header, right or wrong, and data, right or wrong; or a good file, changed."""
    if draw(st.booleans()):
        text = draw(headers).encode("utf-8", "surrogatepass")
        version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x00\x00", b"\xff\xff"]))
        length = draw(st.one_of(st.just(len(text)), st.integers(0, 2**16 - 1)))
        packed = struct.pack("<H" if version[0] == 1 else "<I", length)
        return b"\x93NUMPY" + version + packed + text + draw(st.binary(max_size=200))
    with tempfile.TemporaryFile() as file:
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        values = np.zeros(
            shape, draw(st.sampled_from(["<f4", ">f8", "|u1", "<i2", "|b1", "<c8", "<M8[s]", "<U2"]))
        )
        np.save(file, np.asfortranarray(values) if draw(st.booleans()) else values)
        file.seek(0)
        content = bytearray(file.read())
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 4]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    start, end = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
    kept = content[start:end] if draw(st.integers(0, 3)) == 0 else content
    return bytes(kept) + (draw(st.binary(max_size=10)) if draw(st.integers(0, 3)) == 0 else b"")


def check(path, content):
    """Read a file in all ways, and judge the answers."""
    path.write_bytes(content)
    outcomes = set()
    for read in (read_npy, npy_shape, lambda name: list(NpyStack.open([name]).read())):
        try:
            found = read(str(path))
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error)) < 11_000  # noqa: PT017
            outcomes.add("refused")
        else:
            outcomes.add("read")
            if read is read_npy:
                assert found.dtype.kind in "buif"
                assert found.nbytes <= len(content)
                try:
                    Recipe.of(channel="mean").apply(found, str(path))
                except InputError as error:
                    assert str(path) in str(error)  # noqa: PT017
    return outcomes


def main(seconds):
    """Run until the time is over."""
    files = {"read": 0, "refused": 0}
    armed = False

    def watch(event, arguments):
        if armed and (
            event in FORBIDDEN
            or (event == "open" and arguments[2] & os.O_CREAT and "cat.npy" not in str(arguments[0]))
        ):
            print("FORBIDDEN", event, arguments, flush=True)
            os._exit(1)

    sys.addaudithook(watch)
    end, number = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cat.npy"
        check(path, b"")
        np.lib.format.descr_to_dtype("<f4")
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        while time.monotonic() < end:
            number += 1

            @seed(number)
            @settings(
                max_examples=5000,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(npy_files())
            def run(content):
                nonlocal armed
                armed = True
                try:
                    for outcome in check(path, content):
                        files[outcome] += 1
                finally:
                    armed = False

            run()
    print(f"{sum(files.values())} answers: {files}; seeds 1 to {number}")


if __name__ == "__main__":
    main(float(sys.argv[1]))
