"""The findings of an analysis in a few plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.schema import STATISTIC
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.rows import metric_names, model_names
from salzarr.statistics.structure import distances, reference_model
from salzarr.statistics.summary import to_matrix

APART = 1.25
"""Ratio of a model's distance from the others to theirs from each other, above which it stands apart."""
AGREE, DISAGREE = 0.7, 0.3
"""Rank correlations of metrics above which they agree, and below which they disagree."""
RELIABLE, UNRELIABLE = 0.9, 0.7
"""Split-half reliabilities above which other images would give the same matrix, and below which not."""

Floats = NDArray[np.float64]


class _Matrix(NamedTuple):
    """One metric's pairs: distances (NaN at and below the diagonal), mean scores, and their intervals."""

    spec: str
    apart: Floats
    score: Floats
    low: Floats
    high: Floats


def findings(analysis: Analysis) -> list[str]:
    """Return the findings as sentences: which models are alike, which stands apart, how reliable that is.

    Parameters
    ----------
    analysis : Analysis
        From :func:`salzarr.analyze`.

    Returns
    -------
    list of str
        Which models are most and least alike, and by how many metrics; whether one stands apart; whether the
        metrics agree; how reliable the matrices are; how far above chance the pairs are, if that was
        measured.

    Examples
    --------
    >>> import salzarr
    >>> from salzarr.statistics.analysis import Settings
    >>> rng = np.random.default_rng(0)
    >>> a, c = rng.random((2, 30, 8, 8))
    >>> scores = salzarr.compare({"a": a, "b": a + 0.1 * c, "c": c}, "pearson")
    >>> findings(salzarr.analyze(scores, settings=Settings(bootstrap=0)))[0]
    'By pearson, a and b are the most alike (0.995).'
    """
    summary = analysis.summary
    models = model_names(summary)
    matrices = [_matrix(summary, slug) for slug in metric_names(summary)]
    matrices = [one for one in matrices if np.isfinite(one.apart).any()]
    if not matrices:
        return ["No pair of models has a score."]
    reference = reference_model(summary)
    if len(models) == 2:
        sentences = [_only_pair(matrices, models)]
    elif reference is not None:
        sentences = _from_reference(matrices, models, reference)
    else:
        sentences = [_extreme(matrices, models, most=True), _extreme(matrices, models, most=False)]
        sentences += _standing_apart(matrices, models)
    sentences += _uneven(summary)
    specs = {slug: str(to_matrix(summary, slug).attrs.get("spec", slug)) for slug in metric_names(summary)}
    sentences += _agreement(analysis.agreement, specs)
    sentences += _reliability(analysis.reliability, len(models))
    return [*sentences, _above_chance(analysis.corrected)]


def _matrix(summary: xr.Dataset, slug: str) -> _Matrix:
    mean = to_matrix(summary, slug)
    apart = np.where(np.triu(np.ones(mean.shape, bool), 1), distances(summary, slug).values, np.nan)
    known = [str(name) for name in summary[STATISTIC].values]
    nothing = np.full(mean.shape, np.nan)
    symmetric = np.array_equal(mean.values, mean.values.T, equal_nan=True)
    low, high = (
        to_matrix(summary, slug, f"mean_{end}").values if symmetric and f"mean_{end}" in known else nothing
        for end in ("low", "high")
    )
    return _Matrix(str(mean.attrs.get("spec", slug)), apart, (mean.values + mean.values.T) / 2, low, high)


def _uneven(summary: xr.Dataset) -> list[str]:
    """Return over how many images the pairs are, where these differ: such pairs are not of one ranking."""
    least, most, spec = 0, 0, ""
    for slug in metric_names(summary):
        mean = to_matrix(summary, slug)
        counts = mean["n"].values[np.isfinite(mean.values) & ~np.eye(len(mean), dtype=bool)]
        if counts.size and counts.max() - counts.min() > most - least:
            least, most = int(counts.min()), int(counts.max())
            spec = str(mean.attrs.get("spec", slug))
    if least == most:
        return []
    return [
        f"The pairs are over different images (by {spec} {least} to {most}), and their order is of these; "
        "--complete-cases compares all on the same images."
    ]


def _number(value: float) -> str:
    return f"{value:.3g}"


def _votes(winners: Sequence[object], specs: Sequence[str]) -> tuple[object, list[str]]:
    """Return what most metrics say, and which metrics these are."""
    winner, _ = Counter(winners).most_common(1)[0]
    return winner, [spec for said, spec in zip(winners, specs, strict=True) if said == winner]


def _by(votes: Sequence[str], count: int) -> str:
    """Return by how many of all metrics, or by which if there are few."""
    if count == 1:
        return f"By {votes[0]}"
    if len(votes) == count:
        return f"By {'both' if count == 2 else f'all {count}'} metrics"
    return (
        f"By {len(votes)} of {count} metrics ({', '.join(votes)})"
        if len(votes) < 4
        else (f"By {len(votes)} of {count} metrics")
    )


def _only_pair(matrices: Sequence[_Matrix], models: Sequence[str]) -> str:
    scores = "; ".join(f"{one.spec} {_scored(one, (0, 1))}" for one in matrices)
    return f"{models[0]} and {models[1]}, on average over the images: {scores}."


def _scored(one: _Matrix, pair: tuple[int, int]) -> str:
    """Return the score of a pair, with its interval if there is one, as text."""
    text = _number(one.score[pair])
    if np.isfinite(one.low[pair]) and np.isfinite(one.high[pair]):
        text += f", interval {_number(one.low[pair])} to {_number(one.high[pair])}"
    return text


def _extreme(matrices: Sequence[_Matrix], models: Sequence[str], *, most: bool) -> str:
    """Name the pair that is most or least alike by most metrics, and whether another is as close."""
    winners = [_ranked(one, most=most)[0] for one in matrices]
    winner, votes = _votes(winners, [one.spec for one in matrices])
    assert isinstance(winner, tuple)
    one = next(one for one in matrices if one.spec == votes[0])
    a, b = (models[k] for k in winner)
    told = f"{one.spec} {_scored(one, winner)}" if len(matrices) > 1 else _scored(one, winner)
    text = f"{_by(votes, len(matrices))}, {a} and {b} are the {'most' if most else 'least'} alike ({told})"
    second = _ranked(one, most=most)[1:2]
    if second and one.low[winner] <= one.score[second[0]] <= one.high[winner]:
        text += f"; {models[second[0][0]]} and {models[second[0][1]]} may be as much so"
    return f"{text}."


def _ranked(one: _Matrix, *, most: bool) -> list[tuple[int, int]]:
    """Sort the pairs that have a score, the most or the least alike first."""
    pairs = np.argwhere(np.isfinite(one.apart))
    order = np.argsort(one.apart[tuple(pairs.T)] * (1 if most else -1), kind="stable")
    return [(int(i), int(j)) for i, j in pairs[order]]


def _from_reference(matrices: Sequence[_Matrix], models: Sequence[str], reference: int) -> list[str]:
    """Name the models that are closest to the reference and farthest from it."""
    sentences = []
    for most, word in ((True, "most"), (False, "least")):
        winners = [sum(_ranked(one, most=most)[0]) - reference for one in matrices]
        winner, votes = _votes(winners, [one.spec for one in matrices])
        assert isinstance(winner, int)
        one = next(one for one in matrices if one.spec == votes[0])
        told = _scored(one, (winner, reference))
        told = f"{one.spec} {told}" if len(matrices) > 1 else told
        sentences.append(
            f"{_by(votes, len(matrices))}, {models[winner]} is the {word} like {models[reference]} ({told})."
        )
    return sentences


def _standing_apart(matrices: Sequence[_Matrix], models: Sequence[str]) -> list[str]:
    """Return whether a model is much farther from all others than these are from each other."""
    if len(models) < 4:
        return []
    ratios = [_ratios(one.apart) for one in matrices]
    ratios = [one for one in ratios if np.isfinite(one).any()]
    if not ratios:
        return []
    specs = [one.spec for one in matrices][: len(ratios)]
    winner, votes = _votes([int(np.nanargmax(one)) for one in ratios], specs)
    assert isinstance(winner, int)
    ratio = float(np.median([one[winner] for one in ratios]))
    times = f"{ratio:.1f} times as far from the others as these are from each other"
    if 2 * len(votes) <= len(ratios):
        return ["No model stands apart by most metrics."]
    if ratio < APART:
        return [f"No model stands apart: {models[winner]}, the farthest, is {times}."]
    return [
        f"{models[winner]} stands apart: it is {times}{', by the median of the metrics' * (len(ratios) > 1)}."
    ]


def _ratios(apart: Floats) -> Floats:
    """Divide each model's mean distance to the others by the mean distance among these."""
    whole = np.where(np.isfinite(apart), apart, apart.T)
    result = np.full(len(whole), np.nan)
    for k in range(len(whole)):
        others = np.delete(np.delete(whole, k, 0), k, 1)
        own, among = np.delete(whole[k], k), others[np.isfinite(others)]
        if np.isfinite(own).any() and among.size and among.mean() > 0:
            result[k] = np.nanmean(own) / among.mean()
    return result


def _agreement(agreement: xr.Dataset, specs: dict[str, str]) -> list[str]:
    """Return whether the metrics order the pairs alike."""
    values = agreement["spearman"].values
    names = [specs[str(slug)] for slug in agreement["metric"].values]
    cells = [(float(values[i, j]), names[i], names[j]) for i in range(len(names)) for j in range(i)]
    cells = sorted(cell for cell in cells if np.isfinite(cell[0]))
    if not cells:
        return []
    low, high = cells[0], cells[-1]
    if len(cells) == 1:
        found = f"rank correlation {low[0]:.2f}"
    else:
        found = f"rank correlations {low[0]:.2f} ({low[2]} and {low[1]}) to {high[0]:.2f}"
    word = "agree" if low[0] >= AGREE else "disagree" if high[0] < DISAGREE else "agree in part"
    return [f"The metrics {word} on which pairs are alike ({found})."]


def _reliability(reliability: xr.Dataset, count: int) -> list[str]:
    """Return whether other images would give the same matrices."""
    values = reliability["reliability"].values
    values = values[np.isfinite(values)]
    if not values.size:
        return [] if count < 3 else ["There are too few images or pairs to say how reliable this is."]
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    found = low if low == high else f"{low} to {high}"
    if values.min() >= RELIABLE:
        return [f"Other images of the kind would give nearly the same matrices (reliability {found})."]
    if values.min() >= UNRELIABLE:
        return [f"Other images of the kind would give similar matrices (reliability {found})."]
    return [f"Take more images: others of the kind could give different matrices (reliability {found})."]


def _above_chance(corrected: xr.Dataset | None) -> str:
    """Return how far pairs are above what two different images give."""
    if corrected is None:
        return "How far above chance the scores are was not measured; --baseline does that."
    told = []
    for slug in metric_names(corrected):
        share, low = (to_matrix(corrected, slug, name) for name in ("corrected", "corrected_low"))
        cells = np.isfinite(share.values) & np.isfinite(low.values) & ~np.eye(len(share), dtype=bool)
        if cells.any():
            above = round((low.values[cells] > 0).sum() / 2), round(cells.sum() / 2)
            told.append((float(share.values[cells].mean()), *above, str(share.attrs.get("spec", slug))))
    if not told:
        return "How far above chance the scores are cannot be told from these metrics."
    shares = sorted(share for share, *_ in told)
    span = f"{shares[0]:.0%}" if len(told) == 1 else f"{shares[0]:.0%} to {shares[-1]:.0%}"
    above, pairs, spec = min((above, pairs, spec) for _, above, pairs, spec in told)
    count = f"all {pairs} pairs" if above == pairs else f"{above} of {pairs} pairs"
    by = f" by {spec}" if above < pairs and len(told) > 1 else ""
    return (
        f"On the way from chance (0%, maps of different images) to identical maps (100%), pairs are on "
        f"average at {span}; {count} are clearly above chance{by}."
    )
