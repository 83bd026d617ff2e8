"""Every registered metric against an independent implementation, on maps of many kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference import table
from scipy import ndimage
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr
from skimage import data
from skimage.metrics import normalized_mutual_information, structural_similarity
from skimage.transform import resize

from salzarr import metrics
from salzarr.schema import Reason

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "Models"
PAIRS = [(0, 1), (0, 2), (1, 2)]
SLOW_PIXELS = 20_000


def random(rng, shape):
    return rng.random((3, 1, *shape))


def spiky(rng, shape):
    """Sparse and heavy-tailed: most pixels are exactly 0."""
    return np.abs(rng.standard_t(2, (3, 1, *shape))) * (rng.random((3, 1, *shape)) < 0.2)


def offset(rng, shape):
    return 1000 + 0.01 * rng.standard_normal((3, 1, *shape))


def nearly_identical(rng, shape):
    return rng.random((1, 1, *shape)) * (1 + 1e-6 * rng.standard_normal((3, 1, *shape)))


def smooth(rng, shape):
    """As class activation maps are: a coarse grid, enlarged."""
    coarse = np.maximum(rng.standard_normal((3, 7, 7)), 0)
    return np.stack([resize(c, shape, order=1) for c in coarse])[:, None]


def quantized(rng, shape):
    """Many ties, as 8-bit pictures have."""
    blurred = ndimage.gaussian_filter(rng.random((3, 1, *shape)), (0, 0, 3, 3))
    return np.round(blurred / blurred.max() * 20)


def signed(rng, shape):
    return rng.standard_normal((3, 1, *shape))


KINDS = [random, spiky, offset, nearly_identical, smooth, quantized, signed]
CASES = [(kind, (40, 56), dtype) for kind in KINDS for dtype in (np.float32, np.float64)]
CASES += [(kind, (7, 7), np.float32) for kind in KINDS]
CASES += [(spiky, (1, 9), np.float64), (smooth, (181, 190), np.float32), (spiky, (224, 224), np.float32)]


def check(maps, pairs=PAIRS, only=None):
    """Compare all scores of a block with the table, and return the specs that were compared."""
    data_range = float(maps.max() - maps.min())
    compared = set()
    for spec, row in table(data_range).items():
        if spec.partition(":")[0] not in metrics.METRICS:
            continue
        [metric] = metrics.parse_metrics(spec)
        if min(maps.shape[2:]) < metric.smallest or maps[0, 0].size > row.largest:
            continue
        if metric.needs_data_range:
            metric = metric.with_data_range(data_range)
        scored = metrics.score_block(maps, pairs, [metric])[metric.slug]
        if Reason.NEGATIVE in metric.undefined and maps.min() < 0:
            assert (scored.reason == Reason.NEGATIVE).all(), spec
            continue
        if Reason.UNSIGNED in metric.undefined and maps.min() >= 0:
            assert (scored.reason == Reason.UNSIGNED).all(), spec
            continue
        assert np.isin(scored.reason, (Reason.SCORED, Reason.EMPTY)).all(), spec
        for p, (a, b) in enumerate(pairs):
            for image in range(maps.shape[1]):
                directions = [(a, b), (b, a)] if metric.directed else [(a, b)]
                got = scored.values[:, p, image] if metric.directed else scored.values[None, p, image]
                want = [row.equals(maps[i, image], maps[j, image]) for i, j in directions]
                np.testing.assert_allclose(got, want, row.relative, row.absolute, err_msg=f"{spec} {a} {b}")
        compared.add(spec)
    return compared


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"), CASES, ids=lambda c: getattr(c, "__name__", str(c).replace(" ", ""))
)
def test_every_metric_equals_its_reference(kind, shape, dtype):
    maps = kind(np.random.default_rng(7), shape).astype(dtype)
    large = maps[0, 0].size > SLOW_PIXELS
    assert check(maps, PAIRS[:1] if large else PAIRS)


def test_every_registered_metric_has_a_row():
    assert {spec.partition(":")[0] for spec in table(1.0)} >= set(metrics.METRICS)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real maps are not there")
def test_every_metric_on_real_maps():
    stacks = [np.load(path) for path in sorted(REAL.rglob("*.npy"))]
    maps = np.stack([[resize(m, (224, 224)) for m in stack[:2]] for stack in stacks]).astype(np.float32)
    assert check(maps) >= {"ssim", "ms_ssim", "kl", "hog", "kendall"}


def test_ssim_equals_scikit_image_where_scikit_image_is_accurate():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 60, 50))
    for spec, options in {
        "ssim": {},
        "ssim:window=11": {"win_size": 11},
        "ssim_gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    }.items():
        metric = metrics.parse_metrics(spec)[0].with_data_range(1.0)
        [[got]] = metrics.score_block(np.stack([a, b])[:, None], [(0, 1)], [metric])[metric.slug].values
        assert got == pytest.approx(structural_similarity(a, b, data_range=1.0, **options), abs=1e-12)


def score(a, b, spec, data_range=None):
    [metric] = metrics.parse_metrics(spec)
    if data_range:
        metric = metric.with_data_range(data_range)
    values = metrics.score_block(np.stack([a, b])[:, None], [(0, 1)], [metric])[metric.slug].values
    return values[:, 0, 0] if metric.directed else values[0, 0]


def test_published_ssim():
    camera = data.camera()
    noisy = np.clip(camera + 20 * np.random.RandomState(5).randn(*camera.shape), 0, 255).astype(np.uint8)
    assert score(camera, noisy, "ssim", 255.0) == pytest.approx(0.3674518327910367, abs=1e-9)
    assert score(camera, noisy, "ssim_gaussian", 255.0) == pytest.approx(0.35796, abs=5e-4)


def test_published_similarity_and_divergence():
    y, x = np.mgrid[:40, :40]
    g = np.exp(-0.5 * ((x - 20) ** 2 + (y - 20) ** 2) / np.sqrt(3200))
    ones = np.ones_like(g)
    assert score(g, ones, "similarity:shift=if_negative") == pytest.approx(0.5439198, abs=5e-8)
    forth, back = score(ones, g, "kl")
    assert forth == pytest.approx(0.8396272788909163, abs=2e-11)
    assert back != pytest.approx(forth, abs=1e-3)


def test_published_correlation():
    a, b = (np.random.default_rng(seed).gumbel(0, 0.1, (256, 256)) for seed in (123, 456))
    assert score(a, b, "pearson") == pytest.approx(0.005532439020454301, abs=1e-15)


def test_scipy_and_scikit_image_by_name():
    a, b = np.random.default_rng(3).random((2, 9, 9))
    assert score(a, b, "pearson") == pytest.approx(pearsonr(a.ravel(), b.ravel()).statistic)
    assert score(a, b, "mutual_information") == pytest.approx(normalized_mutual_information(a, b) - 1)
    assert score(a, b, "js") == pytest.approx(jensenshannon(a.ravel(), b.ravel()) ** 2)


def test_float64_beyond_the_range_of_squares():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 12, 12))
    for spec in ("pearson", "cosine", "spearman", "similarity", "js", "hellinger"):
        for scale in (1e-250, 1e250):
            assert score(a * scale, b * scale, spec) == pytest.approx(score(a, b, spec), rel=1e-9), spec
    assert score(a * 1e-250, b * 1e-250, "ssim", 1e-250) == pytest.approx(score(a, b, "ssim", 1.0), abs=1e-9)
