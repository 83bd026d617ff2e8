"""Going back to the maps after a comparison: the same models, images and metrics, some images at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import plan
from salzarr.cluster import capacity
from salzarr.errors import BudgetError, ChangedError, MetricError, UsageError
from salzarr.maps import Maps, StoreMaps, as_maps
from salzarr.metrics import Metric, as_metrics, parse_metrics
from salzarr.run import Job, Progress, run
from salzarr.schema import IMAGE, MODEL_A, MODEL_B
from salzarr.statistics.rows import metric_names, model_names

FEW = 16
"""Images of a task, if they are not stored many together."""


def metrics_of(scores: xr.Dataset) -> tuple[Metric, ...]:
    """Make the metrics anew that scores were computed with, from what is stored beside them.

    Raises
    ------
    UsageError
        If one of them is a function of the user's, which a store cannot hold.
    ChangedError
        If this salzarr defines one of them differently.
    """
    found = []
    for slug in metric_names(scores):
        attrs = scores[slug].attrs
        try:
            (metric,) = parse_metrics(attrs["spec"])
        except (MetricError, ImportError) as error:
            raise UsageError(f"{slug} cannot be made from its name ({error}); give metrics=") from error
        metric = metric.with_normalize(attrs["normalize"])
        if metric.needs_data_range:
            metric = metric.with_data_range(json.loads(attrs["parameters"])["data_range"])
        now = metric.attrs()
        for what in ("revision", "parameters", "normalize"):
            if now[what] != attrs[what]:
                raise ChangedError(
                    f"{slug} was computed with {what} {attrs[what]}, and here it would be {now[what]}; "
                    "compare the maps again"
                )
        found.append(metric)
    return tuple(found)


@dataclass(frozen=True, eq=False)
class SecondRead:
    """The maps behind some scores.

    Attributes
    ----------
    maps : Maps
    metrics : tuple of Metric
    pairs : (pair, 2) int
        Positions of the scores' pairs among the models.
    """

    maps: Maps
    metrics: tuple[Metric, ...]
    pairs: NDArray[np.intp]

    @classmethod
    def of(cls, scores: xr.Dataset, maps: Any, metrics: Any = None) -> SecondRead:
        """Find the maps of the scores' models and images in what :func:`salzarr.compare` takes as maps.

        Raises
        ------
        UsageError
            If a model or an image of the scores is not there.
        """
        models = model_names(scores)
        chosen = as_maps(maps).named(models, scores[IMAGE].values.astype(str).tolist())
        ends = [[models.index(str(name)) for name in scores[end].values] for end in (MODEL_A, MODEL_B)]
        return cls(
            chosen,
            metrics_of(scores) if metrics is None else as_metrics(metrics),
            np.array(ends, np.intp).T.reshape(-1, 2),
        )

    def fit(self, copies: int, memory: int) -> tuple[int, int]:
        """Choose how many images, and how many models along a tile, a task takes.

        Parameters
        ----------
        copies : int
            Maps that a task holds for each model and image of its tile.
        memory : int
            Bytes for all tasks that run at the same time in a process.

        Returns
        -------
        images, models : int

        Raises
        ------
        BudgetError
            If not even the maps of two models on one image fit.
        """
        pixels = math.prod(self.maps.shape[2:])
        share = memory // (capacity().threads if isinstance(self.maps, StoreMaps) else 1)
        per_map = copies * (self.maps.dtype.itemsize + 8 + sum(m.map_bytes for m in self.metrics))
        image_bytes = copies * max((m.image_bytes for m in self.metrics), default=0)
        pair_bytes = max((m.pair_bytes for m in self.metrics), default=0)
        count = len(self.maps.models)
        for side in dict.fromkeys(count // parts for parts in range(1, count + 1)):
            held = min(2 * side, count)  # a tile has the models of both its sides
            spare = share / pixels - held * image_bytes - pair_bytes
            images = int(spare // (held * per_map))
            if images >= 1:
                return min(images, max(self.maps.chunk, FEW)), side
        raise BudgetError(
            f"two models' maps of {self.maps.shape[2]}x{self.maps.shape[3]} with what {self.metrics[0].slug} "
            f"and the other metrics need do not fit {plan.size(share)} for a task; give more memory"
        )

    def run(
        self, jobs: Sequence[Job[Any]], done: Callable[[Any], None], progress: Progress | None = None
    ) -> None:
        """Run jobs: those of stored maps wherever Dask runs tasks, others here, one by one.

        Raises
        ------
        RunError
            If a job takes its workers down.
        """
        run(jobs, done, progress, here=not isinstance(self.maps, StoreMaps))
