"""Timings of the kernels, off by default: ``pytest tests/metrics/test_benchmarks.py --benchmark-enable``.

All 45 pairs of 10 maps of 224 x 224 float32, features included; ``./scripts/benchmark`` has the peers.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from salzarr import metrics
from salzarr.schema import Reason

FAST = [name for name, metric in metrics.METRICS.items() if metric.cost == "low"]


@pytest.mark.parametrize("names", ["mse,cosine,pearson", "spearman", *FAST])
def test_all_pairs_of_ten_models(benchmark, names):
    chosen = [m.with_data_range(1.0) if m.needs_data_range else m for m in metrics.as_metrics(names)]
    models = 10 if benchmark.enabled else 3
    maps = np.random.default_rng(0).random((models, 1, 224, 224)).astype(np.float32)
    maps -= 0.5 * any(Reason.UNSIGNED in metric.undefined for metric in chosen)
    scored = benchmark(metrics.score_block, maps, list(combinations(range(models), 2)), chosen)
    assert all(np.isfinite(one.values).all() for one in scored.values())
