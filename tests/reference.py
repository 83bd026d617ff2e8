"""One independent implementation per metric, from the literature or another library, in float64 or better.

``TABLE`` maps a metric's spec to the function that it must equal and how closely. Nothing here calls salzarr.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score

if TYPE_CHECKING:
    from collections.abc import Callable

Map = NDArray[np.floating[Any]]
EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Row:
    """What a metric must equal: within ``absolute`` + ``relative`` * abs(reference)."""

    equals: Callable[[Map, Map], float]
    relative: float = 1e-9
    absolute: float = 1e-12
    largest: int = 10**9  # pixels; a slow reference is left out on larger maps


def wide(a: Map) -> NDArray[np.longdouble]:
    """80-bit floats, which leave nothing to argue about in 64."""
    return np.asarray(a, np.longdouble).ravel()


def mass(a: Map) -> NDArray[np.longdouble]:
    return wide(a) / wide(a).sum()


def mse(a: Map, b: Map) -> float:
    return float(np.mean((wide(a) - wide(b)) ** 2))


def cosine(a: Map, b: Map) -> float:
    a, b = wide(a), wide(b)
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def pearson(a: Map, b: Map) -> float:
    return cosine(wide(a) - wide(a).mean(), wide(b) - wide(b).mean())


BELL = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)


def ssim(data_range: float, window: int = 7, gaussian: bool = False) -> Callable[[Map, Map], float]:
    taps, sample = (BELL, 1.0) if gaussian else (np.ones(window), window**2 / (window**2 - 1))
    return lambda a, b: float(np.mean(similarity_map(a, b, taps, sample, data_range)[0]))


def similarity_map(a: Map, b: Map, taps: Map, sample: float, data_range: float) -> tuple[Map, Map]:
    """SSIM and its contrast and structure alone, by the formulas, in 80 bits: E[x²] - E[x]² cancels."""
    taps = wide(taps) / wide(taps).sum()

    def blur(m: Map) -> Map:
        for _ in range(2):
            m = sum(w * m[k : len(m) - len(taps) + 1 + k] for k, w in enumerate(taps)).T
        return m

    a, b = np.longdouble(a), np.longdouble(b)
    c1, c2 = (np.longdouble(data_range) ** 2 * k**2 for k in (0.01, 0.03))
    ua, ub = blur(a), blur(b)
    va, vb, cov = (sample * (blur(p * q) - blur(p) * blur(q)) for p, q in ((a, a), (b, b), (a, b)))
    contrast = (2 * cov + c2) / (va + vb + c2)
    return contrast * (2 * ua * ub + c1) / (ua**2 + ub**2 + c1), contrast


def ms_ssim(data_range: float) -> Callable[[Map, Map], float]:
    """Wang's msssim.m, with scipy's filters."""

    def score(a: Map, b: Map) -> float:
        a, b, result = np.float64(a), np.float64(b), 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            ssims, contrasts = similarity_map(a, b, BELL, 1.0, data_range)
            result *= max(0.0, float(np.mean(ssims if scale == 4 else contrasts))) ** weight
            # MATLAB's imfilter with ones(2)/4, symmetric, looks at the next pixel; every other one is kept.
            a, b = (
                ndimage.correlate(m, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2]
                for m in (a, b)
            )
        return result

    return score


def kl(eps: float) -> Callable[[Map, Map], float]:
    def score(a: Map, b: Map) -> float:
        p, q = mass(a), mass(b)
        return max(0.0, float(np.sum(p * np.log(eps + p / (q + eps)))))

    return score


def js(a: Map, b: Map) -> float:
    p, q = mass(a), mass(b)
    m = (p + q) / 2
    return sum(float(np.sum(r[r > 0] * np.log(r[r > 0] / m[r > 0]))) for r in (p, q)) / 2


def similarity(shift: bool) -> Callable[[Map, Map], float]:
    def above(a: Map) -> NDArray[np.longdouble]:
        low = wide(a).min()
        return mass(wide(a) - low if shift or low < 0 else a)

    return lambda a, b: float(np.minimum(above(a), above(b)).sum())


def hellinger(a: Map, b: Map) -> float:
    return float(np.sqrt(np.sum((np.sqrt(mass(a)) - np.sqrt(mass(b))) ** 2) / 2))


def belonging(values: Map, fraction: float) -> Map:
    """Probability of each value to be among the largest, ties broken at random; the minimum never is."""
    k = max(1, round(fraction * values.size))
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    larger, equal = (values.size - np.cumsum(counts))[group], counts[group]
    return np.where(values > values.min(), np.clip((k - larger) / equal, 0, 1), 0)


def topk(
    fraction: float,
    union: bool = False,
    magnitude: bool = False,
    signs: bool = False,
    ranks: bool = False,
    grid: int | None = None,
) -> Callable[[Map, Map], float]:
    """Expected agreement on the largest, by the definitions of Krishna et al. (2022)."""

    def flat(a: Map) -> Map:
        if grid is None:
            return np.float64(a).ravel()
        side = -(-max(a.shape) // grid)
        a, (rows, columns) = np.float64(a), (range(0, n, side) for n in a.shape)
        return np.array([a[y : y + side, x : x + side].sum() for y in rows for x in columns])

    def score(a: Map, b: Map) -> float:
        a, b = flat(a), flat(b)
        sizes = [np.abs(m) if magnitude else m for m in (a, b)]
        p, q = (belonging(m, fraction) for m in sizes)
        counts = np.ones(a.size, bool)
        if signs:
            counts &= np.sign(a) == np.sign(b)
        if ranks:
            counts &= stats.rankdata(sizes[0]) == stats.rankdata(sizes[1])
        common = np.sum(p * q * counts)
        return float(common / (p.sum() + q.sum() - common if union else max(p.sum(), q.sum())))

    return score


def rbo(fraction: float, p: float | None = None, corrected: bool = True) -> Callable[[Map, Map], float]:
    """Contribution of every pixel at every depth, as Corsi & Urbano (2024) define it."""

    def contributions(a: Map) -> Map:
        flat = -np.float64(a).ravel()
        top, bottom = (stats.rankdata(flat, method)[:, None] for method in ("min", "max"))
        depth = np.arange(1, flat.size + 1)
        return np.clip((depth - top + 1) / (bottom - top + 1), 0, 1)

    def score(a: Map, b: Map) -> float:
        c, d = contributions(a), contributions(b)
        depth = np.arange(1, a.size + 1)
        common = np.sum(c * d, axis=0)
        agreement = common / (np.sqrt(np.sum(c**2, 0) * np.sum(d**2, 0)) if corrected else depth)
        q = max(0.0, 1 - 1 / (fraction * a.size)) if p is None else p
        return float((1 - q) * np.sum(agreement * q ** (depth - 1.0)) + common[-1] / a.size * q**a.size)

    return score


def psnr(data_range: float) -> Callable[[Map, Map], float]:
    return lambda a, b: float(10 * np.log10(wide(data_range)[0] ** 2 / np.mean((wide(a) - wide(b)) ** 2)))


def masks(score: Callable[[Map, Map], float], threshold: float | None = None) -> Callable[[Map, Map], float]:
    """scikit-learn's score of the pixels above a threshold, or above the 0.9 quantile."""

    def above(a: Map) -> Map:
        values = np.sort(np.float64(a).ravel())
        place = 0.9 * (values.size - 1)
        low, high = values[int(np.floor(place))], values[int(np.ceil(place))]
        cut = low + (place % 1) * (high - low) if high > low else low
        return np.float64(a).ravel() > (cut if threshold is None else threshold)

    def agree(a: Map, b: Map) -> float:
        p, q = above(a), above(b)
        return float(score(p, q)) if p.any() or q.any() else np.nan

    return agree


def hog(cells: int, correlation: Callable[..., Any] = stats.pearsonr) -> Callable[[Map, Map], float]:
    from skimage.feature import hog as descriptor

    def score(a: Map, b: Map) -> float:
        p, q = (np.float64(descriptor(m, pixels_per_cell=(cells, cells))) for m in (a, b))
        return float(correlation(p, q).statistic)

    return score


def mutual_information(bins: int) -> Callable[[Map, Map], float]:
    """As scikit-image does it, in float64, with counts for densities, whose widths are noisy."""

    def score(a: Map, b: Map) -> float:
        joint = np.histogramdd([np.float64(a).ravel(), np.float64(b).ravel()], bins=bins)[0]
        alone = stats.entropy(joint.sum(axis=0)) + stats.entropy(joint.sum(axis=1))
        return float(alone / stats.entropy(joint.ravel())) - 1

    return score


def center_distance(a: Map, b: Map) -> float:
    return float(np.linalg.norm(np.subtract(*(ndimage.center_of_mass(np.float64(m)) for m in (a, b)))))


def displacement(axis: int) -> Callable[[Map, Map], float]:
    return lambda a, b: float(np.subtract(*(ndimage.center_of_mass(np.float64(m))[axis] for m in (b, a))))


def emd(grid: int, ground: str) -> Callable[[Map, Map], float]:
    """POT's network simplex on sums of square blocks."""
    import ot

    def score(a: Map, b: Map) -> float:
        factor = -(-max(a.shape) // grid)
        sums = []
        for m in (a, b):
            padded = np.pad(np.float64(m), [(0, -side % factor) for side in m.shape])
            blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor).sum((1, 3))
            sums.append(blocks / blocks.sum())
        places = np.argwhere(np.ones(sums[0].shape))
        cost = cdist(places, places, ground)
        p, q = (s.ravel() for s in sums)
        # Mass that both have stays where it is when the ground distance is a metric.
        p, q = p - np.minimum(p, q), q - np.minimum(p, q)
        total = p.sum()
        if total < 1e-14:
            return 0.0
        keep_p, keep_q = p > 0, q > 0
        plan = ot.emd2(p[keep_p] / total, q[keep_q] / q.sum(), cost[np.ix_(keep_p, keep_q)], numItermax=10**7)
        return float(factor * total * plan)

    return score


def sliced(directions: NDArray[np.int64]) -> Callable[[Map, Map], float]:
    def score(a: Map, b: Map) -> float:
        y, x = np.indices(a.shape)
        distances = []
        for p, q in directions:
            line = ((p * x + q * y) / np.hypot(p, q)).ravel()
            distances.append(stats.wasserstein_distance(line, line, np.float64(mass(a)), np.float64(mass(b))))
        return float(np.mean(distances))

    return score


def values(a: Map, b: Map) -> float:
    return float(stats.wasserstein_distance(np.float64(a).ravel(), np.float64(b).ravel()))


def table(data_range: float) -> dict[str, Row]:
    """Rows by spec; a metric with parameters may have several. ``data_range`` is for those that need one."""
    from salzarr.transport.sliced import DIRECTIONS  # the 32 directions are part of the definition

    return {
        "mse": Row(mse, absolute=0),
        "rmse": Row(lambda a, b: np.sqrt(mse(a, b)), absolute=0),
        "mae": Row(lambda a, b: float(np.mean(np.abs(wide(a) - wide(b)))), absolute=0),
        "cosine": Row(cosine),
        "pearson": Row(pearson),
        "spearman": Row(lambda a, b: stats.spearmanr(a.ravel(), b.ravel()).statistic),
        "kendall": Row(lambda a, b: stats.kendalltau(a.ravel(), b.ravel()).statistic),
        "ssim": Row(ssim(data_range), absolute=1e-9),
        "ssim:window=11": Row(ssim(data_range, 11), absolute=1e-9),
        "ssim_gaussian": Row(ssim(data_range, gaussian=True), absolute=1e-9),
        "ms_ssim": Row(ms_ssim(data_range), absolute=1e-9),
        "kl": Row(kl(EPS), absolute=1e-14),
        "kl:eps=0.001": Row(kl(1e-3), absolute=1e-14),
        "js": Row(js, absolute=1e-16),
        "similarity": Row(similarity(shift=True)),
        "similarity:shift=if_negative": Row(similarity(shift=False)),
        "hellinger": Row(hellinger),
        "psnr": Row(psnr(data_range), absolute=1e-9),
        "topk_iou": Row(topk(0.1, union=True)),
        "topk_iou:fraction=0.03": Row(topk(0.03, union=True)),
        "topk_intersection": Row(topk(0.1)),
        "feature_agreement": Row(topk(0.1, magnitude=True)),
        "sign_agreement": Row(topk(0.1, magnitude=True, signs=True)),
        "rank_agreement": Row(topk(0.1, magnitude=True, ranks=True, grid=7)),
        "rank_agreement:fraction=0.5:grid=full": Row(topk(0.5, magnitude=True, ranks=True)),
        "signed_rank_agreement:fraction=0.4": Row(topk(0.4, magnitude=True, ranks=True, signs=True, grid=7)),
        "rbo": Row(rbo(0.1), largest=2500),
        "rbo:p=0.9:ties=a": Row(rbo(0.1, 0.9, corrected=False), largest=2500),
        "dice": Row(masks(f1_score)),
        "iou": Row(masks(jaccard_score)),
        "iou:threshold=0.5": Row(masks(jaccard_score, 0.5)),
        "hog": Row(hog(16)),
        "hog:cells=8:correlation=spearman": Row(hog(8, stats.spearmanr)),
        "mutual_information": Row(mutual_information(100)),
        "mutual_information:bins=16": Row(mutual_information(16)),
        "center_distance": Row(center_distance, absolute=1e-10),
        "dx": Row(displacement(1), absolute=1e-10),
        "dy": Row(displacement(0), absolute=1e-10),
        "emd": Row(emd(32, "euclidean"), 1e-9, 1e-9, largest=50_000),
        "emd_l1:grid=16": Row(emd(16, "cityblock"), 1e-9, 1e-9),
        "emd_l1": Row(emd(10**6, "cityblock"), 1e-9, 1e-9, largest=400),
        "sliced_wasserstein": Row(sliced(DIRECTIONS), 1e-8, 1e-10, largest=10_000),
        "wasserstein_values": Row(values, 1e-9, 1e-12),
    }


def nss(a: Map, places: Map) -> float:
    return float(np.mean([(wide(a)[i] - wide(a).mean()) / wide(a).std() for i in places]))


def auc_judd(a: Map, places: Map) -> float:
    """The staircase of the MIT benchmark's AUC_Judd.m: thresholds at the fixations, from the largest on."""
    flat = a.ravel()
    negatives = np.delete(flat, places)
    cuts = sorted(flat[places], reverse=True)
    corners = [(np.mean(negatives >= cut), np.mean(flat[places] >= cut)) for cut in cuts]
    x, y = np.transpose([(0.0, 0.0), *corners, (1.0, 1.0)])
    return float(np.trapezoid(y, x))


def auc(a: Map, places: Map, negatives: Map) -> float:
    values = np.concatenate([a.ravel()[places], a.ravel()[negatives]])
    return float(roc_auc_score([1] * len(places) + [0] * len(negatives), values))


def information_gain(softmax: bool = False, mix: float = 0.0) -> Callable[[Map, Map], float]:
    def score(a: Map, places: Map) -> float:
        p = np.exp(wide(a) - wide(a).max()) if softmax else wide(a)
        p = (1 - mix) * p / p.sum() + mix / a.size
        return float(np.mean([np.log2(p[i]) - np.log2(1 / a.size) for i in places]))

    return score


def points_table() -> dict[str, Callable[[Map, Map, Map], float]]:
    """Scores of a map, its points and those of other images, all as pixels in reading order."""
    return {
        "nss": lambda a, p, _: nss(a, p),
        "auc_judd": lambda a, p, _: auc_judd(a, p),
        "auc_uniform": lambda a, p, _: auc(a, p, np.arange(a.size)),
        "auc_shuffled": auc,
        "information_gain:density=sum": lambda a, p, _: information_gain()(a, p),
        "information_gain:density=softmax": lambda a, p, _: information_gain(softmax=True)(a, p),
        "information_gain:density=sum:mix=0.1": lambda a, p, _: information_gain(mix=0.1)(a, p),
    }


def largest_inside(a: Map, inside: Map, tolerance: float = 0.0) -> float:
    near = cdist(np.argwhere(a == a.max()), np.argwhere(inside)).min(axis=1) <= tolerance
    return float(np.mean(near))


def masks_table() -> dict[str, Callable[[Map, Map], float]]:
    """Scores of a map and a mask."""

    def own_area(a: Map, inside: Map) -> float:
        shares = belonging(a.ravel(), inside.mean())
        common = shares[inside.ravel()].sum()
        return float(common / (shares.sum() + inside.sum() - common))

    return {
        "pointing_game": largest_inside,
        "pointing_game:tolerance=3": lambda a, inside: largest_inside(a, inside, 3),
        "mass_inside": lambda a, inside: float(mass(a)[inside.ravel()].sum()),
        "auprc": lambda a, inside: float(average_precision_score(inside.ravel(), a.ravel())),
        "mask_iou": own_area,
        "mask_iou:threshold=0.5": lambda a, inside: float(jaccard_score(inside.ravel(), (a > 0.5).ravel())),
    }
