"""What the columns of the tables mean, a line each: ``salzarr tables`` lists it."""

from __future__ import annotations

_PAIR = {
    "metric": "the metric's variable; kl_a_to_b is KL(model_a || model_b)",
    "model_a": "first model of the pair",
    "model_b": "second model of the pair",
}
_REASONS = {
    "missing": "images without a score because a map is missing",
    "non_finite": "… because a map holds NaN or infinity",
    "constant": "… because a map is constant",
    "zero_mass": "… because a map has no mass",
    "negative": "… because a map has negative values",
    "failed": "… because scoring failed",
    "overflow": "… because the score is no finite number",
    "identical": "… because the maps are identical, where the metric has no finite value for that",
    "unsigned": "… because a map has no negative value",
    "empty": "… because no pixel of either map is above the threshold",
}
_STATISTICS = {
    "n": "images with a score; with --unit-mean units",
    "units": "units of images with a score: the n of the interval",
    "mean": "mean over images (or units), in the metric's unit",
    "std": "standard deviation over images, divisor n - 1",
    "se": "standard error of the mean, from what units vary",
    "min": "smallest score",
    "q25": "lower quartile",
    "median": "median",
    "q75": "upper quartile",
    "max": "largest score",
    "mean_low": "lower end of the mean's interval over units",
    "mean_high": "upper end of it",
    "median_low": "lower end of the median's interval",
    "median_high": "upper end of it",
    "interval": "kind of the mean's interval: studentized, bca or percentile",
    "confidence": "level of all intervals",
    "data_range": "the one range of the data that the metric was given; empty for one that takes none",
}
_SUMMARY = _PAIR | _STATISTICS | _REASONS

COLUMNS: dict[str, dict[str, str]] = {
    "summary": _SUMMARY,
    "groups": {"group": "label of the images"} | _SUMMARY,
    "group_differences": _PAIR
    | {
        "group_1": "label of the one group",
        "group_2": "label of the other",
        "units_1": "units of images with a score in group_1",
        "units_2": "units of images with a score in group_2",
        "difference": "mean of group_1 less that of group_2, in the metric's unit",
        "low": "lower end of its interval over units",
        "high": "upper end of it",
        "p": "two-sided, labels permuted over units, studentized; empty if units have images of both",
        "q": "the same as a false discovery rate over all rows",
    },
    "consensus": _SUMMARY
    | {
        "model_b": "the consensus of the other models: the mean of their maps",
        "others_min": "fewest maps that a consensus is the mean of",
        "others_max": "most maps that a consensus is the mean of",
    },
    "corrected": _PAIR
    | _REASONS
    | {
        "n": "images with a score",
        "units": "units of images with a score",
        "score": "mean score, in the metric's unit",
        "baseline": "mean score of mismatched images, in the metric's unit",
        "corrected": "(score - baseline) / (self - baseline): 0 as by chance, 1 as a map with itself",
        "corrected_low": "lower end of its interval over units, in both of their roles",
        "corrected_high": "upper end of it",
        "constant_model": "1 if a model has the same map on all images: corrected is 0 by construction",
        "confidence": "level of the interval",
        "data_range": "the one range of the data that the metric was given",
    },
    "discriminability": {
        "metric": "the metric's variable",
        "normalize": "what was done to the maps; zscore takes scale away",
        "units": "units of images with a score",
        "discriminability": "share of other images' maps that the own one beats, ties ½: 0.5 by chance",
        "low": "lower end of its interval over units",
        "high": "upper end of it",
    },
    "map_ceilings": {
        "metric": "pearson or mse of maps after zscore: by these no map is closer to all than their mean",
        "model": "the model",
        "units": "units of images with a score",
        "others_min": "fewest maps that a consensus of the others is the mean of",
        "others_max": "most maps that it is the mean of",
        "lower": "mean score with the consensus of the others",
        "lower_low": "lower end of its interval over units",
        "lower_high": "upper end of it",
        "upper": "mean score with the consensus of all; rows share maps, and are not independent",
    },
    "conclusions": {
        "metric": "one metric",
        "metric_2": "the other",
        "certain": "twos of pairs that both order with certainty (intervals exclude 0)",
        "reversed": "those of them that the two order differently",
        "model_a": "of the first such two: with model_b the less alike by metric",
        "model_b": "see model_a",
        "other_a": "with other_b the less alike by metric_2",
        "other_b": "see other_a",
    },
    "tests": {
        "metric": "the metric; of a directed one f(model, other) is compared",
        "model": "the third model",
        "other_1": "one of the two that are compared",
        "other_2": "the other",
        "n": "images on which both pairs have a score",
        "units": "units of these images",
        "difference": "mean advantage of other_1 in the metric's unit; above 0 it is closer to model",
        "closer": "the closer one; empty if they are equal",
        "probability": "P(other_1 is closer) over units, a tie one half",
        "d_z": "mean difference over units in its standard deviations",
        "p_permutation": "two-sided, sign flips of units; they test symmetry about 0",
        "p_family": "family-wise p over the metric's rows (step-down max-T)",
        "p_all": "family-wise p over all rows; empty if they do not fit the memory at once",
        "q_permutation": "false discovery rate over all rows (Benjamini and Hochberg)",
        "p_smallest": "smallest p that so many units and flips can give",
        "p_wilcoxon": "two-sided, Wilcoxon's signed-rank test of units",
        "q_wilcoxon": "false discovery rate of it over all rows",
        "margin": "margin of equivalence, in the metric's unit",
        "p_equivalent": "two one-sided sign-flip tests: small where the difference lies within the margin",
    },
    "agreement": {
        "metric": "one metric",
        "metric_2": "the other",
        "spec": "the first one as it was asked for",
        "spearman": "rank correlation of their distances over pairs of models",
        "low": "lower end of its interval over units",
        "high": "upper end of it",
        "p": "two-sided, Mantel's test: models permuted",
        "p_smallest": "smallest p that so many models can give",
        "n": "pairs of models that both have",
    },
    "reliability": {
        "metric": "the metric",
        "reliability": "correlation over pairs of two halves of the units, for all of them (Spearman-Brown)",
        "splits_low": "2.5 % quantile over splits; no confidence interval",
        "splits_high": "97.5 % quantile over splits; no confidence interval",
        "units": "units of images",
    },
    "ceilings": {
        "metric": "the metric",
        "units": "units of images with a score",
        "pairs": "pairs of models with a score",
        "lower": "mean correlation over pairs of a unit's scores with the mean of all other units",
        "lower_low": "lower end of its interval over units",
        "lower_high": "upper end of it",
        "upper": "the same with the mean of all units",
    },
    "images": {
        "image": "the image",
        "rank": "1 for the image on which models differ most, over all metrics",
        "<metric>": "mean distance over pairs on this image, in the metric's unit",
        "<metric>_rank": "1 for the image on which models differ most by this metric",
        "<metric>_n": "pairs with a score on this image",
    },
}
"""By table and column, what it holds; units where it has one."""


def meaning(table: str, column: str, metrics: tuple[str, ...] = ()) -> str | None:
    """Return what a column holds; None if it is not known.

    Examples
    --------
    >>> meaning("images", "emd_rank", ("emd",))
    '1 for the image on which models differ most by this metric'
    """
    for metric in metrics:
        if column == metric or column.startswith(f"{metric}_"):
            column = f"<metric>{column.removeprefix(metric)}"
    return COLUMNS.get(table, {}).get(column)
