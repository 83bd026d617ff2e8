#!/usr/bin/env python
"""Run every benchmark, print one Markdown table, and write it where the README shows it.

    python scripts/benchmark_all.py [--quick] [--dry-run]

Each ``scripts/benchmark_<part>.py`` gives its rows; a part that is not there is left out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

# One thread on both sides, before anything loads a BLAS.
for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

SCRIPTS = Path(__file__).parent
ROOT = SCRIPTS.parent
PARTS = ("metrics", "emd", "compare", "store")
MARKS = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
PACKAGES = ("numpy", "numba", "scipy", "scikit-image", "scikit-learn", "pot", "zarr", "dask")


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and repeats; nothing is written")
    parser.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    from benchmark_emd import table

    measured = []
    for part in PARTS:
        if (SCRIPTS / f"benchmark_{part}.py").exists():
            sys.stderr.write(f"benchmark_{part}\n")
            measured += importlib.import_module(f"benchmark_{part}").rows(options.quick)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    text = (
        f"{table(measured)}\n\n"
        "Ratio: the peer's time over ours for the same work, medians of repeats in turns, on one thread "
        "unless the row says otherwise; the numbers were checked to agree first. Measured on "
        f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}, {versions}.\n"
    )
    sys.stdout.write(text)
    if options.quick or options.dry_run:
        return
    (ROOT / "BENCHMARKS.md").write_text(
        "# Benchmarks\n\n"
        "Written by `./scripts/benchmark`. Times prove nothing on another machine; ratios do.\n\n"
        f"{text}"
    )
    readme = ROOT / "README.md"
    shown = MARKS.sub(lambda mark: f"{mark[1]}{text}{mark[2]}", readme.read_text())
    readme.write_text(shown)


if __name__ == "__main__":
    main()
