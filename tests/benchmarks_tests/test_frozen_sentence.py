"""When it is said that fine-tuning does not pay, and how often that is false."""

import math
from collections.abc import Mapping

import pytest

from benchmarks.planted.frozen import sentence
from search.records.metrics import NLL, TOP1, Metric
from search.verdict.answer.problem import first_sentence, frozen_sentence
from search.verdict.schema import Confirmed, Estimate, Fit

FIT = Fit(reference="balanced", best="balanced", reasons=())


def confirmed(minus: Mapping[str, tuple[float, float]], metric: Metric = TOP1) -> Confirmed:
    return Confirmed(
        num_images=1000,
        seeds=5,
        reference={},
        best={},
        off={},
        best_minus_reference={},
        advised_minus={
            role: {metric.on("test"): Estimate(mean=(low + high) / 2, ci95=(low, high))}
            for role, (low, high) in minus.items()
        },
    )


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((-0.03, -0.01), "better on test images"),
        ((-0.03, 0.0049), "as good on test images"),
        ((0.001, 0.004), "as good on test images"),
        ((-0.03, 0.0051), ""),
        ((0.01, 0.03), ""),
        ((-math.inf, math.inf), ""),
    ],
)
@pytest.mark.parametrize(
    ("role", "name"), [("probe", "linear probe"), ("knn", "neighbours by frozen")]
)
def test_it_is_said_where_the_gain_lies_below_the_margin_beyond_noise(
    interval: tuple[float, float], words: str, role: str, name: str
) -> None:
    said = frozen_sentence(confirmed({role: interval, "off": (-0.5, -0.4)}))
    assert bool(said) == bool(words)
    assert words in said
    if said:
        assert name in said
        assert first_sentence(FIT, (), confirmed({role: interval})).startswith(said)


def test_of_a_loss_smaller_is_better() -> None:
    assert "better on" in frozen_sentence(confirmed({"probe": (0.1, 0.2)}, NLL), NLL)
    assert frozen_sentence(confirmed({"probe": (-0.2, -0.1)}, NLL), NLL) == ""


def test_of_two_as_good_ones_the_better_is_named() -> None:
    said = frozen_sentence(confirmed({"probe": (-0.02, 0.0), "knn": (-0.06, -0.04)}))
    assert "neighbours by frozen features are better" in said


def test_nothing_is_said_without_a_confirmation_or_frozen_features() -> None:
    assert frozen_sentence(None) == ""
    assert frozen_sentence(confirmed({"off": (-0.2, -0.1)})) == ""


def test_it_is_rarely_false_and_found_where_it_is_true() -> None:
    # 5 % for both classifiers together; 60 draws stay below 15 % in 99.9 of 100 samples.
    at_margin = [sentence(0.5, 300, seed) for seed in range(60)]
    assert sum(map(bool, at_margin)) <= 9
    equal = [sentence(0.0, 300, seed) for seed in range(60)]
    assert sum("better on" in said for said in equal) <= 9
    worse = [sentence(-3.0, 1200, seed) for seed in range(20)]
    assert sum(map(bool, worse)) >= 15


def test_runs_that_were_too_short_do_not_speak_for_longer_ones() -> None:
    found = confirmed({"probe": (-0.2, -0.1)})
    said = frozen_sentence(found, too_short=True)
    assert said.startswith("Fine-tuning for so few epochs does not pay: ")
    assert frozen_sentence(found).startswith("Fine-tuning does not pay: ")
