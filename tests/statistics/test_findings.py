"""The sentences that say what was found: true where the answer is known, and modest where it is not."""

import numpy as np
import pytest

import salzarr
from salzarr.scores import chance as by_chance
from salzarr.statistics.analysis import Settings, analyze
from salzarr.statistics.findings import findings

RNG = np.random.default_rng(5)
IMAGES = 40
SHARED = RNG.random((IMAGES, 8, 8))


def near(spread):
    return SHARED + spread * RNG.random(SHARED.shape)


MODELS = {
    "twin_a": near(0.05),
    "twin_b": near(0.05),
    "cousin": near(1.0),
    "uncle": near(1.2),
    "stranger": RNG.random(SHARED.shape),
}


def told(maps, metrics="pearson", *, chance=False, **options):
    scores = salzarr.compare(maps, metrics, **options).compute()
    given = {"chance": by_chance(scores, maps)} if chance else {}
    return findings(analyze(scores, settings=Settings(200, 99), **given))


def test_the_nearest_the_farthest_and_the_one_apart_are_named():
    sentences = told(MODELS, "pearson, cosine")
    assert sentences[0].startswith("By both metrics, twin_a and twin_b are the most alike (pearson 0.99")
    assert "stranger" in sentences[1]
    assert "the least alike" in sentences[1]
    assert sentences[2].startswith("stranger stands apart: it is ")
    assert "The metrics agree" in sentences[3]


def test_a_pair_that_may_be_as_much_alike_is_named_too():
    maps = {name: RNG.random((20, 8, 8)) for name in "abcd"}
    assert "may be as much so" in told(maps)[0]


def test_no_model_is_made_to_stand_apart():
    text = " ".join(told({name: RNG.random((30, 8, 8)) for name in "abcde"}))
    assert "No model stands apart" in text
    assert "could give different matrices" in text


def test_chance_is_measured_or_said_not_to_be():
    assert told(MODELS)[-1].endswith("--baseline does that.")
    text = told(MODELS, chance=True)[-1]
    assert "6 of 10 pairs are clearly above chance" in text


def test_with_a_reference_the_models_are_told_from_it():
    text = told(MODELS, reference="twin_a")
    assert text[0].startswith("By pearson, twin_b is the most like twin_a (0.99")
    assert text[1].startswith("By pearson, stranger is the least like twin_a (")


def test_two_models_have_their_scores_told():
    text = told({name: MODELS[name] for name in ("twin_a", "cousin")}, "pearson, mse")
    assert text[0].startswith("twin_a and cousin, on average over the images: pearson 0.")
    assert "; mse " in text[0]


@pytest.mark.parametrize("metrics", ["kl", "mse"])
def test_a_directed_metric_and_a_distance_are_told_alike(metrics):
    maps = {name: values + 0.1 for name, values in MODELS.items()}
    assert told(maps, metrics)[0].startswith(f"By {metrics}, twin_a and twin_b are the most alike")


@pytest.mark.filterwarnings("ignore::salzarr.bootstrap.SmallSampleWarning")
def test_where_nothing_has_a_score_that_is_all_that_is_said():
    flat = {name: np.ones((4, 8, 8)) for name in "abc"}
    assert told(flat) == ["No pair of models has a score."]
