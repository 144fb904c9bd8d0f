"""The error budget adds up, and the forecast of runs is what one would find by trying."""

import itertools
import math

import pytest

from search.verdict.effects import Effect
from search.verdict.sequential import (
    FAMILY_ALPHA,
    decision_interval,
    look_alpha,
    runs_to_decide,
    shares,
)


@pytest.mark.parametrize("max_looks", [1, 2, 3, 15])
@pytest.mark.parametrize("num_dials", [1, 5])
def test_all_looks_dials_and_questions_together_spend_exactly_the_family_error(
    max_looks: int, num_dials: int
) -> None:
    spent = sum(
        look_alpha(look=look, max_looks=max_looks, num_dials=num_dials, share=share)
        for look, _, share in itertools.product(
            range(1, max_looks + 1), range(num_dials), shares().values()
        )
    )
    assert spent == pytest.approx(FAMILY_ALPHA)


def test_the_first_look_spends_two_shares_for_its_two_blocks() -> None:
    first, second, third = (look_alpha(look=n, max_looks=3, num_dials=1) for n in (1, 2, 3))
    assert first == pytest.approx(2 * second) == pytest.approx(2 * third)


def test_a_decision_interval_is_the_t_interval_at_the_share_of_the_look() -> None:
    effect = Effect(mean=0.03, ci95=(0.02, 0.04), std_error=0.006, dof=9, num_runs=16)
    low, high = decision_interval(effect, look=1, max_looks=3, num_dials=5)
    # t(9) at 1 - 0.05 / 5 / 2 / 2 = 0.9975 is 3.690.
    assert high - 0.03 == pytest.approx(0.03 - low) == pytest.approx(3.690 * 0.006, rel=1e-3)


def test_more_dials_more_looks_and_smaller_shares_all_widen_the_interval() -> None:
    effect = Effect(mean=0.0, ci95=(-0.01, 0.01), std_error=0.005, dof=9, num_runs=16)

    def width(
        *, look: int = 1, max_looks: int = 3, num_dials: int = 2, share: float = 1.0
    ) -> float:
        return decision_interval(
            effect, look=look, max_looks=max_looks, num_dials=num_dials, share=share
        )[1]

    assert width() < min(width(num_dials=3), width(max_looks=4), width(share=0.5), width(look=2))


@pytest.mark.parametrize("look", [0, 4, -1])
def test_a_look_beyond_the_plan_is_refused(look: int) -> None:
    with pytest.raises(ValueError, match="`1 <= look <= max_looks` must hold, but got look="):
        look_alpha(look=look, max_looks=3, num_dials=5)


@pytest.mark.parametrize(
    ("num_dials", "share"), [(0, 1.0), (5, 0.0), (5, 1.1), (5, math.nan), (5, -0.1)]
)
def test_no_dials_and_shares_that_are_none_are_refused(num_dials: int, share: float) -> None:
    with pytest.raises(ValueError, match="`num_dials >= 1` and `0 < share <= 1` must hold"):
        look_alpha(look=1, max_looks=3, num_dials=num_dials, share=share)


def after(effect: Effect, blocks: int, runs_per_block: int) -> Effect:
    total = effect.num_runs + blocks * runs_per_block
    error = effect.std_error * math.sqrt(effect.num_runs / total)
    later = Effect(mean=effect.mean, std_error=error, dof=effect.dof + blocks, num_runs=total)
    return Effect(
        mean=later.mean,
        ci95=later.interval(0.05),
        std_error=error,
        dof=later.dof,
        num_runs=total,
    )


@pytest.mark.parametrize("mean", [0.0, 0.001, 0.0024, 0.004, -0.008, 0.012, -0.03, 0.2])
@pytest.mark.parametrize("std_error", [0.001, 0.006, 0.03])
def test_the_forecast_is_the_first_block_after_which_the_dial_would_be_decided(
    mean: float, std_error: float
) -> None:
    effect = Effect(mean=mean, std_error=std_error, dof=9, num_runs=16)
    for blocks in itertools.count(1):
        later = after(effect, blocks, 8)
        low, high = decision_interval(later, look=3, max_looks=3, num_dials=5, share=0.6)
        if low > 0 or high < 0 or max(map(abs, later.ci95)) < 0.005:
            break
    found = runs_to_decide(effect, runs_per_block=8, max_looks=3, num_dials=5, share=0.6)
    assert found == 8 * blocks


def test_the_noise_of_the_prototype_needs_about_ninety_runs_to_call_nothing_nothing() -> None:
    # Effects of 1.2 points of noise have a standard error of 2.4 / sqrt(n) points; 1.96 of them
    # fit into half a point at n = 88.
    effect = Effect(mean=0.0, std_error=0.006, dof=1000, num_runs=16)
    assert runs_to_decide(effect, runs_per_block=8, max_looks=3, num_dials=5) == 80


@pytest.mark.parametrize(
    "effect",
    [
        Effect(mean=math.nan),
        Effect(mean=0.01, num_runs=8),
        Effect(mean=0.0, ci95=(0.0, 0.0), std_error=0.0, dof=9, num_runs=16),
    ],
)
def test_without_an_error_estimate_there_is_no_forecast(effect: Effect) -> None:
    assert runs_to_decide(effect, runs_per_block=8, max_looks=3, num_dials=5) is None
