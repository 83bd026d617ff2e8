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
from random import Random

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from salzarr.errors import InputError
from salzarr.sources.npy import NPY, npy_shape, read_npy
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
    """Draw the bytes of a file: a header, right or wrong, and data, right or wrong; or a good file, cut."""
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
    for read in (read_npy, npy_shape, lambda name: list(NPY.read(name, "", [(0,)]))):
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


def good_files():
    """Return files of many kinds, from which the fast half begins."""
    found = []
    for dtype in ("<f4", ">f8", "|u1", "<i2", "|b1", "<c8", "<M8[s]", "<U2", "|V3"):
        for shape in ((), (0,), (3,), (2, 3), (2, 2, 3), (1, 2, 3, 1)):
            for order in "CF":
                with tempfile.TemporaryFile() as file:
                    np.save(file, np.zeros(shape, dtype, order))
                    file.seek(0)
                    found.append(file.read())
    return found


TOKENS = [
    b"'",
    b"(",
    b")",
    b",",
    b"}",
    b"{",
    b"-",
    b"True",
    b"9" * 20,
    b"\xff",
    b"\0",
    b"<f4",
    b"|O",
    b"'shape': ",
    b"10**9",
    b"lambda:0",
]


def mutate(files, random):
    """Change a file in a few places, or put two together."""
    content = bytearray(random.choice(files))
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        at = (
            random.randrange(len(content) + 1)
            if random.random() < 0.5
            else random.randrange(min(90, len(content) + 1))
        )
        kind = random.randrange(5)
        if kind == 0 and content:
            content[min(at, len(content) - 1)] ^= 1 << random.randrange(8)
        elif kind == 1:
            content[at:at] = random.choice(TOKENS)
        elif kind == 2:
            del content[at : at + random.randrange(1, 20)]
        elif kind == 3:
            content[at : at + 2] = random.randbytes(2)
        else:
            content[at:] = random.choice(files)[at:]
    return bytes(content)


def main(seconds):
    """Draw files for half of the time, and change files for the other half."""
    files = {"read": 0, "refused": 0}
    armed = False

    def watch(event, arguments):
        elsewhere = event == "open" and arguments[2] & os.O_CREAT and "cat.npy" not in str(arguments[0])
        if armed and (event in FORBIDDEN or elsewhere):
            print("FORBIDDEN", event, arguments, flush=True)
            os._exit(1)

    sys.addaudithook(watch)
    begun, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "cat.npy"
        check(path, b"")
        np.lib.format.descr_to_dtype("<f4")
        corpus, random = good_files(), Random(0)
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

        def count(content):
            nonlocal armed
            armed = True
            try:
                for outcome in check(path, content):
                    files[outcome] += 1
            except BaseException:
                print("FAILED", content)
                raise
            finally:
                armed = False

        while time.monotonic() < begun + seconds / 2:
            number += 1
            none = list(HealthCheck)
            quiet = settings(
                max_examples=2000,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=none,
            )
            seed(number)(quiet(given(npy_files())(count)))()
        drawn = dict(files)
        while time.monotonic() < begun + seconds:
            for _ in range(1000):
                count(mutate(corpus, random))
    changed = {outcome: files[outcome] - drawn[outcome] for outcome in files}
    print(
        f"answers to files drawn: {drawn}; to files changed: {changed}; in {time.monotonic() - begun:.0f} s"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
