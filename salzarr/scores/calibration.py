"""Time the metrics on a few maps, for the plan."""

from __future__ import annotations

import time
from dataclasses import replace

from salzarr import plan
from salzarr.metrics import score_block
from salzarr.scores.request import Request

SAMPLE_MODELS, SAMPLE_IMAGES = 4, 4
"""Maps that a calibration times."""


def calibrate(request: Request, asked: plan.Plan) -> plan.Plan:
    """Return the plan with measured times: of a read, and of each metric per map and per pair."""
    models = min(SAMPLE_MODELS, len(request.models))
    sample = request.maps.part(range(models), slice(0, min(SAMPLE_IMAGES, len(request.images))))
    images = sample.shape[1]
    sample.read()
    whole = request.maps.part(range(models), slice(0, min(request.maps.chunk, len(request.images))))
    begun = time.perf_counter()
    read = whole.read()
    read_seconds = (time.perf_counter() - begun) / (models * read.shape[1])
    maps = read[:, :images]
    few, many = plan.pairs(2), plan.pairs(models)
    measured = []
    for metric, load in zip(request.metrics, asked.loads, strict=True):
        score_block(maps[:2, :1], few, [metric])
        seconds = []
        for block, pairs in ((maps[:2], few), (maps, many)):
            begun = time.perf_counter()
            score_block(block, pairs, [metric])
            seconds.append((time.perf_counter() - begun) / images)
        # seconds = maps x per map + pairs x per pair, of 2 maps with 1 pair and of n maps with n (n - 1) / 2.
        per_pair = seconds[0] / 3
        if models > 2:
            per_pair = max(0.0, (seconds[1] - models / 2 * seconds[0]) / (len(many) - models / 2))
        per_map = max(0.0, (seconds[0] - per_pair) / 2)
        measured.append(replace(load, map_seconds=per_map, pair_seconds=per_pair))
    return replace(asked, loads=tuple(measured), read_seconds=read_seconds)
