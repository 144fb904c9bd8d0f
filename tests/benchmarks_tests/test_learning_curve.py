"""An extrapolation to twice as many images: arithmetic, coverage, and what is said of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.learning_curve import Condition, covers
from search.records.metrics import NLL, TOP1
from search.verdict.effects import NO_EFFECT, Effect
from search.verdict.learning_curve import (
    HOLDS_FOR,
    at_twice,
    dial_at_sizes,
    learning_curve,
    short_learning_curve,
)
from search.verdict.schema import Dial, DialAtSizes, Estimate


def effect(mean: float, std_error: float = 0.005, dof: int = 10) -> Effect:
    half = float(stats.t.ppf(0.975, dof)) * std_error if dof else math.inf
    return Effect(mean=mean, ci95=(mean - half, mean + half), std_error=std_error, dof=dof)


def a_dial(turn: str = "down", **changes: object) -> Dial:
    dial = Dial(
        strength="label_smoothing",
        turn=turn,
        reference=0.1,
        recommended=0.0,
        effective_unit="",
        reference_effective=0.1,
        recommended_effective=0.0,
        effect={},
        decided_by=TOP1.on("val"),
        num_runs=16,
        runs_to_decide=None,
    )
    return replace(dial, **changes)  # type: ignore[arg-type]


def followed(turn: str, half: float, whole: float, **of_dial: object) -> DialAtSizes:
    found = dial_at_sizes(
        a_dial(turn, **of_dial),
        effect(whole),
        effect(whole),
        effect(half),
        tried=0.0,
        advised=0.0 if turn == "down" else 0.1,
        blocks=2,
        both=1,
    )
    assert found is not None
    return found


def test_a_step_to_twice_as_many_images_is_as_long_as_the_one_from_half() -> None:
    # All blocks say 2, those with both sizes 2.5 with all images and 4 with half of them.
    found = at_twice(effect(0.02), effect(0.025), effect(0.04), blocks=4, both=1)
    assert found.mean == pytest.approx(0.02 - 0.015)


@pytest.mark.parametrize(("blocks", "both"), [(2, 1), (4, 1), (8, 2)])
def test_with_noise_known_exactly_the_interval_has_the_variance_of_the_estimate(
    blocks: int, both: int
) -> None:
    rng = np.random.default_rng(blocks)
    by_block = rng.normal(size=(200_000, blocks))
    half = 1.5 * rng.normal(size=(200_000, both)).mean(axis=1)
    estimates = by_block.mean(axis=1) + by_block[:, :both].mean(axis=1) - half
    known = 10**6
    found = at_twice(
        effect(0.0, 1.0 / math.sqrt(blocks), known),
        effect(0.0),
        effect(0.0, 1.5 / math.sqrt(both), known),
        blocks=blocks,
        both=both,
    )
    assert found.ci95[1] / stats.norm.ppf(0.975) == pytest.approx(estimates.std(), rel=0.01)


@pytest.mark.parametrize("unknown", [effect(0.01, math.inf, 0), effect(0.01, dof=0)])
def test_without_an_error_term_every_value_is_possible(unknown: Effect) -> None:
    found = at_twice(effect(0.02), effect(0.02), unknown, blocks=2, both=1)
    assert found.ci95 == (-math.inf, math.inf)
    all_images, half = effect(0.1), NO_EFFECT
    sizes = {"tried": 0.0, "advised": 0.0, "blocks": 2, "both": 1}
    assert dial_at_sizes(a_dial(), all_images, all_images, half, **sizes) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("turn", "half", "whole", "outlook", "said"),
    [
        ("down", 0.2, 0.2, "helps", "helps there: label_smoothing 0.1 -> 0 (+20.0 points ["),
        ("down", 0.2, 0.0, "hurts", "would flip back: label_smoothing"),
        ("down", 0.21, 0.1, "open", "these runs cannot tell of: label_smoothing"),
        ("leave", -0.1, 0.1, "helps", "would turn too: label_smoothing"),
        ("inconclusive", -0.2, -0.2, "hurts", "hurts there: label_smoothing"),
    ],
)
def test_each_dial_is_said_to_stay_to_flip_or_to_be_open(
    turn: str, half: float, whole: float, outlook: str, said: str
) -> None:
    dial = followed(turn, half, whole)
    assert dial.outlook == outlook
    found = learning_curve([dial], {}, num_half=150, num_all=300, seeds=0, metric=TOP1)
    first, last = found.sentences
    assert first.startswith("With 600 training images, extrapolated: ")
    assert said in first
    assert last == HOLDS_FOR
    flips = "flip" in said or "would turn" in said
    short = short_learning_curve(found, TOP1)
    assert ("no flip is shown" in short) == (not flips and outlook != "open")
    assert ("these runs cannot tell of a flip" in short) == (outlook == "open")


def test_where_less_is_better_the_sign_turns_and_the_metric_is_the_one_that_decided() -> None:
    dial = followed("down", -0.2, -0.2, decided_by=NLL.on("val"))
    assert (dial.metric, dial.outlook) == ("val/nll", "helps")
    by_divergence = followed("down", 0.2, 0.2, decided_by="diverged")
    assert by_divergence.metric == TOP1.on("val")


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.01, 0.03), "more images helped"),
        ((-0.01, 0.03), "more images are not shown to have helped"),
        ((-0.03, -0.01), "more images hurt"),
    ],
)
def test_the_gain_is_said_with_its_interval_and_as_the_most_to_expect(
    interval: tuple[float, float], said: str
) -> None:
    gain = {
        "test/top1": Estimate(mean=sum(interval) / 2, ci95=interval),
        "test/nll": Estimate(mean=-0.1, ci95=(-0.2, 0.0)),
    }
    found = learning_curve([], gain, num_half=150, num_all=300, seeds=5, metric=TOP1)
    said_first = "From 150 to 300 training images, for as many steps, the advised recipe's top-1"
    assert said_first in found.sentences[0]
    assert "(5 seeds)" in found.sentences[0]
    assert found.sentences[0].endswith(f"{said}.")
    assert ("the most to expect" in " ".join(found.sentences)) == (interval[0] > 0.0)
    assert "cannot tell of a flip" in short_learning_curve(found, TOP1)
    assert short_learning_curve(found, TOP1).startswith("150 -> 300 images: top-1 ")


@pytest.mark.parametrize(("base", "is_left"), [(0.7, True), (0.89, False)])
def test_no_more_is_expected_than_there_is_left_to_gain(base: float, is_left: bool) -> None:
    gain = {"test/top1": Estimate(mean=0.1, ci95=(0.08, 0.12), base=base)}
    found = learning_curve([], gain, num_half=150, num_all=300, seeds=5, metric=TOP1)
    assert ("the most to expect" in found.sentences[1]) == is_left
    assert ("less is left to gain" in found.sentences[1]) != is_left


@pytest.mark.parametrize(("base", "is_left"), [(0.5, True), (0.19, False)])
def test_no_loss_is_expected_below_zero(base: float, is_left: bool) -> None:
    gain = {"test/nll": Estimate(mean=-0.1, ci95=(-0.12, -0.08), base=base)}
    found = learning_curve([], gain, num_half=150, num_all=300, seeds=5, metric=NLL)
    assert ("the most to expect" in found.sentences[1]) == is_left
    assert ("less is left to gain" in found.sentences[1]) != is_left


def test_a_change_of_the_advised_recipe_that_no_turn_made_flips_too() -> None:
    worse = effect(-0.2)
    sizes = {"tried": 0.0, "advised": 0.0, "blocks": 2, "both": 1}
    dial = dial_at_sizes(a_dial("inconclusive"), worse, worse, worse, **sizes)  # type: ignore[arg-type]
    assert dial is not None
    found = learning_curve([dial], {}, num_half=150, num_all=300, seeds=0, metric=TOP1)
    assert "would flip back: label_smoothing" in found.sentences[0]


def test_nothing_is_said_of_nothing() -> None:
    assert learning_curve([], {}, num_half=1, num_all=2, seeds=0, metric=TOP1).sentences == ()


@pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition(rounds=4, noise=2.0),
        Condition(split=1.0),
        Condition(interaction=True),
        Condition(strengths=2, rounds=4, noise=1.5),
    ],
)
def test_intervals_cover_where_effects_are_linear_in_the_logarithm(condition: Condition) -> None:
    found = np.array([covers(condition, seed) for seed in range(200)], dtype=float)
    assert found[:, 0].mean() >= 0.93
    assert found[:, 3].mean() >= 0.93
