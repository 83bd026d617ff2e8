"""The arithmetic of a comparison: every pair once, and bytes that follow from the sizes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salzarr import plan
from salzarr.errors import BudgetError, UsageError

MSE = plan.Load("mse", map_bytes=8)


def planned(models=10, images=1000, **options):
    options = {"shape": (224, 224), "loads": (MSE,), "chunk": 20} | options
    return plan.Plan(models, images, pairs=plan.pairs(models), **options)


@given(st.integers(0, 40))
def test_every_pair_once_and_those_of_fewer_models_first(models):
    found = plan.pairs(models).tolist()
    assert len(found) == models * (models - 1) // 2
    assert len({tuple(pair) for pair in found}) == len(found)
    assert all(a < b for a, b in found)
    assert plan.pairs(models + 1).tolist()[: len(found)] == found


@given(st.integers(2, 30), st.data())
def test_a_reference_is_compared_with_every_other(models, data):
    reference = data.draw(st.integers(0, models - 1))
    found = plan.pairs(models, reference)
    assert (found[:, 0] == reference).all()
    assert sorted(found[:, 1].tolist()) == [m for m in range(models) if m != reference]


@given(st.integers(2, 30), st.integers(1, 30), st.booleans())
def test_tiles_hold_every_pair_once_and_few_models(models, size, one):
    pairs = plan.pairs(models, 1 if one else None)
    seen = []
    for needed, where in plan.tiles(pairs, size):
        assert len(needed) <= 2 * size
        assert set(needed.tolist()) == set(pairs[where].ravel().tolist())
        seen += where.tolist()
    assert sorted(seen) == list(range(len(pairs)))


def test_tiles_of_no_pairs():
    assert plan.tiles(plan.pairs(1), 1) == []


@given(st.integers(0, 500), st.integers(1, 60))
def test_blocks_cover_the_images(images, size):
    assert [i for block in plan.blocks(images, size) for i in range(block.start, block.stop)] == list(
        range(images)
    )


def test_all_models_at_once_if_they_fit():
    found = plan.fit(planned(budget=2**30))
    assert (found.block, found.tile, found.models_at_once, found.map_reads) == (20, 10, 10, 10)
    assert found.read_bytes == 10 * 1000 * 224 * 224 * 4
    assert found.score_bytes == 45 * 1000 * 9
    assert found.tasks == 50


def test_smaller_tiles_need_less_memory_and_more_reads():
    budgets = [2**30, 420 * 2**20, 400 * 2**20, 380 * 2**20]
    found = [plan.fit(planned(budget=budget)) for budget in budgets]
    assert all(one.peak_bytes <= budget for one, budget in zip(found, budgets, strict=True))
    assert [one.tile for one in found] == sorted({one.tile for one in found}, reverse=True)
    assert [one.map_reads for one in found] == sorted(one.map_reads for one in found)


def test_peak_does_not_grow_with_the_images():
    peaks = {plan.fit(planned(images=images)).peak_bytes for images in (1_000, 10_000, 40_000)}
    assert len(peaks) == 1
    million = plan.fit(planned(images=1_000_000))
    assert million.tasks <= plan.MANY_BLOCKS
    assert million.task_bytes < 1.1 * plan.fit(planned()).task_bytes


def test_what_cannot_fit_is_refused_with_the_numbers_and_the_remedy():
    with pytest.raises(
        BudgetError, match=r"2 models of 2000x2000 needs 2.1. GiB .* 330.00 MiB are allowed; allow more"
    ):
        plan.fit(planned(shape=(2000, 2000), budget=330 * 2**20))


def test_a_resume_keeps_its_grid():
    kept = plan.fit(planned(budget=2**30), block=60, tile=4)
    assert (kept.block, kept.tile) == (60, 4)
    with pytest.raises(BudgetError, match="began with"):
        plan.fit(planned(budget=380 * 2**20), block=20, tile=10)


def test_threads_share_a_process():
    one, four = plan.fit(planned()), plan.fit(planned(threads=4))
    assert four.peak_bytes - plan.BASE_BYTES == 4 * (one.peak_bytes - plan.BASE_BYTES)


def test_seconds_come_from_what_was_measured():
    measured = replace(MSE, map_seconds=0.001, pair_seconds=0.002)
    found = plan.fit(planned(loads=(measured,), threads=2, workers=3, read_seconds=0.003))
    assert found.seconds == pytest.approx(1000 * (10 * 0.004 + 45 * 0.002) / 6)
    assert math.isnan(plan.fit(planned()).seconds)
    assert "time" in str(found)
    assert "time" not in str(plan.fit(planned()))
    assert found.to_dict()["seconds"] == found.seconds
    assert plan.fit(planned()).to_dict()["seconds"] is None


def test_a_thousand_models_and_a_million_images_on_paper():
    found = plan.fit(planned(1_000, 1_000_000, budget=16 * 2**30))
    assert len(found.pairs) == 499_500
    assert found.score_bytes == pytest.approx(4.5e12, rel=0.01)
    assert found.peak_bytes <= 16 * 2**30
    assert found.read_bytes >= 1_000 * 1_000_000 * found.map_bytes
    assert "TiB" in str(found)


@pytest.mark.parametrize("text", ["", "MiB", "-1GiB", "0", "1 parsec", "nan", "inf", "1e400"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is no size; write it as 512MiB"):
        plan.parse_size(text)


def test_sizes():
    assert [plan.parse_size(text) for text in ("1k", "1KiB", "1kb", "2 GiB", 77, None)] == [
        *(1000, 1024, 1000, 2 * 2**30, 77, None)
    ]


def test_chunks_of_maps():
    assert plan.chunk_images((16, 16), 4, target=4 * 16 * 16 * 4) == 4
    assert np.prod((plan.chunk_images((224, 224), 4), 224, 224, 4)) <= plan.CHUNK_BYTES
