"""What intervals and tests promise, simulated: 2,000 samples a cell. Each prints what it found."""

import numpy as np
import pytest
from scipy import stats

from salzarr.scores.derangements import derangements
from salzarr.statistics.flips import Contrasts, Flips, equivalence_test, sign_flip_test
from salzarr.statistics.intervals import of_means, of_medians
from salzarr.statistics.mismatches import corrected
from salzarr.statistics.two_groups import difference
from salzarr.units import Units

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RUNS, TOGETHER = 2000, 50
NOISE = 0.006
"""One standard error of a rate of 0.08 over so many runs."""
LAWS = {"normal": stats.norm(), "beta": stats.beta(5, 2), "exponential": stats.expon()}
UNEVEN = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 12, 14, 18, 22, 30, 39]


def named(images, of=None):
    names = [f"{i:05d}" for i in range(images)]
    return Units.by(names, None if of is None else [f"u{unit:05d}" for unit in of])


def standard(law, rng, *shape):
    """Numbers of a law with a mean of 0 and a standard deviation of 1."""
    return (law.rvs(shape, random_state=rng) - law.mean()) / law.std()


def share(of):
    """Average over samples what of(rng, seed) says of each of some at a time."""
    return float(np.mean([of(np.random.default_rng([5, seed]), seed) for seed in range(RUNS // TOGETHER)]))


def clustered(law, rng, icc, of):
    between, within = (standard(law, rng, TOGETHER, n) for n in (of.max() + 1, len(of)))
    return np.sqrt(icc) * between[:, of] + np.sqrt(1 - icc) * within


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [12, 20, 50, 200])
def test_intervals_of_means_cover(law, n):
    def covers(rng, seed):
        found = of_means(standard(LAWS[law], rng, TOGETHER, n), named(n), seed=seed)
        return (found.low <= 0) & (found.high >= 0)

    found = share(covers)
    print(f"mean, {law}, n = {n}: {found:.3f}")
    assert (0.92 if law == "exponential" else 0.93) <= found <= 0.965


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [12, 20, 50, 200])
def test_intervals_of_corrected_scores_cover(law, n):
    """A score is the sum of what is of either map and of both; so is that of mismatched images."""

    def covers(rng, seed):
        units = named(n)
        partners = derangements(units, 4, seed=seed)
        first, second, both = (standard(LAWS[law], rng, TOGETHER, n) for _ in range(3))
        others = standard(LAWS[law], rng, 4, TOGETHER, n)
        matched = 0.6 + 0.08 * (first + second + both)
        mismatched = np.stack(
            [0.2 + 0.08 * (first + second[:, at] + of) for at, of in zip(partners, others, strict=True)]
        )
        found = corrected(matched, mismatched, partners, units, 1.0, seed=seed)
        return (found.low <= 0.5) & (found.high >= 0.5)

    found = share(covers)
    print(f"corrected, {law}, n = {n}: {found:.3f}")
    assert (0.92 if law == "exponential" else 0.93) <= found <= 0.965


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [12, 20, 50, 200])
def test_intervals_of_medians_cover(law, n):
    truth = (LAWS[law].median() - LAWS[law].mean()) / LAWS[law].std()

    def covers(rng, seed):
        found = of_medians(standard(LAWS[law], rng, TOGETHER, n), named(n), seed=seed)
        return (found.low <= truth) & (found.high >= truth)

    found = share(covers)
    print(f"median, {law}, n = {n}: {found:.3f}")
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("icc", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sizes", [[10] * 20, UNEVEN], ids=["equal", "unequal"])
def test_intervals_over_units_cover(law, icc, sizes):
    of = np.repeat(np.arange(20), sizes)
    units = named(len(of), of)

    def covers(rng, seed):
        found = of_means(clustered(LAWS[law], rng, icc, of), units, seed=seed)
        return (found.low <= 0) & (found.high >= 0)

    found = share(covers)
    print(f"20 units of {len(of)} images, {law}, ICC {icc}, sizes {sizes[:1]}…{sizes[-1:]}: {found:.3f}")
    assert found >= (0.93 if sizes[0] == 10 else 0.90)


@pytest.mark.parametrize("icc", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sizes", [[10] * 20, UNEVEN], ids=["equal", "unequal"])
def test_flips_of_units_keep_their_level(law, icc, sizes):
    of = np.repeat(np.arange(20), sizes)
    units = named(len(of), of)
    pairs = np.stack([np.arange(TOGETHER), np.full(TOGETHER, TOGETHER)], axis=1)

    def rejects(rng, seed):
        values = np.vstack([clustered(LAWS[law], rng, icc, of), np.zeros((1, len(of)))])
        return sign_flip_test([Contrasts(values, pairs, units)], Flips(20, 999, seed))[0].p <= 0.05

    found = share(rejects)
    # Flips test symmetry: the sum of units of very unequal size and a skewed law is not quite at its level.
    limit = 0.06 if law == "normal" else 0.08 if sizes[0] == 10 else 0.09
    print(f"type I error, {law}, ICC {icc}, {len(of)} images: {found:.3f} (at most {limit})")
    assert found <= limit + NOISE


@pytest.mark.parametrize("n", [12, 30, 200])
@pytest.mark.parametrize("false", [0, 10], ids=["all null", "half null"])
def test_family_wise_errors_are_controlled(n, false):
    """Rows of different spread and correlated noise; among 20 contrasts none that is null is rejected."""
    wrong, runs = 0, 2000
    pairs = np.stack([np.arange(20), np.full(20, 20)], axis=1)
    spread = np.geomspace(0.01, 100, 20)[:, None]
    for seed in range(runs):
        rng = np.random.default_rng([9, seed])
        rows = rng.normal(size=(20, n)) + rng.normal(size=n)
        rows[:false] += 1.0
        values = np.vstack([rows * rng.permuted(spread), np.zeros((1, n))])
        (found,) = sign_flip_test([Contrasts(values, pairs, named(n))], Flips(n, 499, seed))
        wrong += (found.p_family[false:] <= 0.05).any()
    print(f"family-wise error, n = {n}, {false} of 20 differ: {wrong / runs:.3f}")
    assert wrong / runs <= 0.06


@pytest.mark.parametrize("law", LAWS)
def test_two_groups_and_equivalence_keep_their_level(law):
    """Groups of 15 and 30 units, the smaller one with twice the spread."""
    first = np.arange(45) < 15
    units = named(45)
    pairs = np.stack([np.arange(TOGETHER), np.full(TOGETHER, TOGETHER)], axis=1)

    def of_groups(rng, seed):
        values = standard(LAWS[law], rng, TOGETHER, 45) * np.where(first, 2, 1)
        found = difference(values, first, units, permutations=999, repeats=999, seed=seed)
        return np.stack([found.p <= 0.05, (found.low <= 0) & (found.high >= 0)])

    def at_the_margin(rng, seed):
        values = np.vstack([0.5 + standard(LAWS[law], rng, TOGETHER, 45), np.zeros((1, 45))])
        return equivalence_test(Contrasts(values, pairs, units), 0.5, Flips(45, 999, seed)) <= 0.05

    rejected, covered = np.mean(
        [of_groups(np.random.default_rng([7, s]), s).mean(axis=1) for s in range(RUNS // TOGETHER)], axis=0
    )
    alike = share(at_the_margin)
    print(f"{law}: two groups {rejected:.3f}, covered {covered:.3f}; equivalence {alike:.3f}")
    assert rejected <= (0.06 if law == "normal" else 0.09) + NOISE
    assert covered >= (0.93 if law == "normal" else 0.90)
    assert alike <= (0.06 if law == "normal" else 0.09) + NOISE
