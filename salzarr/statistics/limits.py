"""What bounds scores: how well images predict each other, and whether a metric tells them apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from salzarr.descriptive import mean
from salzarr.schema import IMAGE, MODEL_A, PAIR, STATISTIC
from salzarr.scores.leave_one_out import made_from
from salzarr.statistics.baseline import walk_both
from salzarr.statistics.ceilings import ceiling
from salzarr.statistics.discriminability import discriminability
from salzarr.statistics.intervals import of_means
from salzarr.statistics.rows import ScoreReader, metric_names, variable_names
from salzarr.statistics.summary import summarize
from salzarr.units import Units


def matrix_ceilings(
    scores: xr.Dataset | ScoreReader,
    *,
    units: Units | None = None,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlate each unit's matrix with the mean matrix of the others and of all: a noise ceiling.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    units : Units, optional
        Units of the images; by default each image is one.
    repeats, confidence, seed
        Confidence of the intervals over units.

    Returns
    -------
    DataFrame
        One row per metric: ``metric``; ``units`` and ``pairs``, how many; ``lower``, Pearson's correlation
        over pairs of a unit's scores with the mean of all other units, averaged over units, and ``lower_low,
        lower_high``, its interval; ``upper``, the same with the mean of all units, this one included. A model
        of these matrices can be expected to reach between the two. NaN below three pairs or two units.

    References
    ----------
    Nili et al.: A toolbox for representational similarity analysis, PLOS Computational Biology, 2014.
    """
    reader = ScoreReader.of(scores)
    units = Units.by(reader.scores[IMAGE].values.astype(str).tolist()) if units is None else units
    each = units.singles()
    rows = []
    for name in metric_names(reader.scores):
        blocks = list(reader.blocks(name))
        values = np.concatenate(blocks)
        found = ceiling(values, units)
        lower = of_means(found.lower[None], each, repeats=repeats, confidence=confidence, seed=seed)
        rows.append(
            {
                "metric": name,
                "units": int(np.count_nonzero(~np.isnan(found.lower))),
                "pairs": int(np.count_nonzero(~np.isnan(values).all(axis=1))),
                "lower": mean(found.lower[None])[0],
                "lower_low": lower.low[0],
                "lower_high": lower.high[0],
                "upper": mean(found.upper[None])[0],
            }
        )
    return pd.DataFrame(rows)


def map_ceilings(
    bounds: tuple[xr.Dataset, xr.Dataset],
    *,
    units: Units | None = None,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Average what each model scores with the consensus of the others, and of all.

    Parameters
    ----------
    bounds : (Dataset, Dataset)
        Of :func:`salzarr.scores.leave_one_out.consensus_bounds`.
    units, repeats, confidence, seed
        Of the intervals over units of images.

    Returns
    -------
    DataFrame
        One row per metric and model: ``metric, model``; ``units``, how many have a score; ``others_min,
        others_max``, of how many maps a consensus of the others is the mean; ``lower``, the mean score
        with the consensus of the others, and ``lower_low, lower_high``, its interval; ``upper``, that with
        the consensus of all. Rows share maps with each other: they are not independent.
    """
    lower, upper = (
        summarize(
            of, units=units, bootstrap=repeats if of is bounds[0] else 0, confidence=confidence, seed=seed
        )
        for of in bounds
    )
    others = made_from(bounds[0])
    frames = []
    for name in metric_names(lower):
        of_lower = {str(s): lower[name].sel({STATISTIC: s}).values for s in lower[STATISTIC].values}
        nothing = np.full(lower.sizes[PAIR], np.nan)
        frame = {
            "metric": name,
            "model": lower[MODEL_A].values,
            "units": of_lower.get("units", of_lower["n"]).astype(np.int64),
            **{end: values for end, (_, values) in others.items()},
            "lower": of_lower["mean"],
            "lower_low": of_lower.get("mean_low", nothing),
            "lower_high": of_lower.get("mean_high", nothing),
            "upper": upper[name].sel({STATISTIC: "mean"}).values,
        }
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


def tell_images_apart(
    scores: xr.Dataset | ScoreReader,
    chance: xr.Dataset,
    *,
    units: Units | None = None,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return by metric how often an image's own partner beats another image's.

    Parameters
    ----------
    scores, chance : Dataset
        From :func:`salzarr.compare` and of :func:`salzarr.scores.chance`.
    units : Units, optional
        Units of the images, those that ``chance`` was given.
    repeats, confidence, seed
        Confidence of the intervals over units.

    Returns
    -------
    DataFrame
        One row per variable of the scores: ``metric, normalize``; ``units``, how many have a score;
        ``discriminability``, the share of mismatched partners that the own one beats, a tie one half,
        averaged over images and then over pairs: 0.5 by chance, 1 if always; ``low, high``, its interval. It
        is no ground for choosing the metric that is reported on these same maps.
    """
    reader = ScoreReader.of(scores)
    units = Units.by(reader.scores[IMAGE].values.astype(str).tolist()) if units is None else units
    rows = []
    for name in variable_names(chance):
        attrs = reader.scores[name].attrs
        matched, mismatched, partners = zip(*walk_both(reader, chance, name, 0.0), strict=True)
        found = discriminability(
            np.concatenate(matched),
            np.concatenate(mismatched, axis=1),
            partners[0],
            units,
            similarity=attrs["kind"] == "similarity",
            repeats=repeats,
            confidence=confidence,
            seed=seed,
        )
        rows.append(
            {
                "metric": name,
                "normalize": attrs.get("normalize", "none"),
                "units": found.units,
                "discriminability": found.value,
                "low": found.low,
                "high": found.high,
            }
        )
    return pd.DataFrame(rows)
