"""The advised recipe agrees with every dial, whatever they say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from search.stages.advice import advise
from search.verdict.answer.advised_value import advised_value, shrunken
from search.verdict.schema import Dial, Estimate
from tests.support.finished_run import BEST, REFERENCE, a_dial, a_plan, an_effect

TURNS = ("down", "up", "leave", "inconclusive")


def random_dials(seed: int) -> list[Dial]:
    """Any turn for each strength, with any effect."""
    rng = np.random.default_rng(seed)
    tried = BEST.strengths.as_dict()
    dials = []
    for name in REFERENCE.strengths.as_dict():
        turn = str(rng.choice(TURNS))
        effect = an_effect(float(rng.normal(0, 0.02)), float(rng.uniform(0.002, 0.05)))
        dial = a_dial(name, turn, effect)
        dials.append(replace(dial, recommended=tried[name]) if turn == "inconclusive" else dial)
    return dials


@pytest.mark.parametrize("seed", range(50))
def test_every_value_is_what_its_dial_recommends_and_the_reason_says_so(seed: int) -> None:
    dials = random_dials(seed)
    advice = advise(a_plan(), BEST, dials)
    held = advice.recipe.strengths.as_dict()
    for dial in dials:
        reason = advice.reasons[dial.strength]
        if dial.turn in ("down", "up"):
            assert held[dial.strength] == dial.recommended
            assert dial.turn in reason
        elif dial.turn == "leave" or held[dial.strength] == dial.reference:
            assert held[dial.strength] == dial.reference
            assert "the reference's value" in reason
        else:
            assert held[dial.strength] == dial.recommended
            assert reason.startswith(("not decided; tried, and likely +", "not decided; off did"))
    assert advice.recipe.seed == REFERENCE.seed


def test_an_open_dial_moves_only_for_a_gain_that_is_likely_and_worth_it() -> None:
    def value(mean: float, half: float, tried: float = 0.05) -> float:
        effect = {"val/top1": Estimate(mean=mean, ci95=(mean - half, mean + half))}
        dial = a_dial("label_smoothing", "inconclusive", effect)
        return advised_value(replace(dial, recommended=tried))[0]

    assert value(0.02, 0.015) == 0.05
    assert value(0.004, 0.001) == 0.1, "less than the margin of half a point"
    assert value(0.02, 0.10) == 0.1, "next to nothing is known"
    assert value(-0.02, 0.015) == 0.1
    assert value(0.004, 0.001, tried=0.0) == 0.0, "off did no worse and is simpler"
    assert value(0.02, 0.10, tried=0.0) == 0.0
    assert value(-0.001, 0.015, tried=0.0) == 0.1, "off did worse, if only a little"


def test_shrinking_keeps_the_sign_and_takes_more_where_there_is_more_noise() -> None:
    dials = [
        a_dial("label_smoothing", "inconclusive", an_effect(0.02, half))
        for half in (0.0, 0.01, 0.02, 0.05)
    ]
    found = [shrunken(dial) for dial in dials]
    assert found[0] == pytest.approx(0.02)
    assert all(a is not None and b is not None and a > b > 0.0 for a, b in pairwise(found))
    assert shrunken(a_dial("label_smoothing", "inconclusive", {})) is None
    unknown = {"val/top1": Estimate(mean=0.02, ci95=(float("-inf"), float("inf")))}
    assert shrunken(a_dial("label_smoothing", "inconclusive", unknown)) is None
