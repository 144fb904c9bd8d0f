"""The error budget adds up, Holm steps down, and forecasts are what one would find by trying."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from search.records.metrics import TOP1
from search.verdict.effects import Effect
from search.verdict.sequential import (
    FAMILY_ALPHA,
    RESERVE,
    look_share,
    p_helps,
    runs_to_decide,
    runs_to_turn,
    shares,
    step_down,
)


def test_what_is_asked_at_a_look_shares_it_out_whole() -> None:
    assert sum(shares().values()) == pytest.approx(1.0)
    alone = replace(TOP1, then=())
    assert sum(shares(alone).values()) == pytest.approx(1.0)
    assert shares(alone)["val/top1"] > shares()["val/top1"]


@pytest.mark.parametrize("most", [2, 3, 4, 16])
@pytest.mark.parametrize("first", [2, 3, 4])
def test_planned_looks_spend_all_but_the_reserve_and_most_of_it_late(most: int, first: int) -> None:
    if first > most:
        pytest.skip("no look is planned then")
    shares = [look_share(rounds, (most,), first=first) for rounds in range(first, most + 1)]
    assert sum(shares) == pytest.approx(1.0 - RESERVE)
    assert all(share > 0.0 for share in shares)
    assert all(a < b for a, b in itertools.pairwise(shares[1:]))


def test_an_endless_series_of_top_ups_never_spends_more_than_there_is() -> None:
    plans = tuple(range(4, 60, 3))
    spent = sum(look_share(rounds, plans) for rounds in range(2, plans[-1] + 1))
    assert 1.0 - RESERVE < spent < 1.0
    # What a top-up adds changes nothing of what earlier looks had.
    for rounds in range(2, 8):
        assert look_share(rounds, plans) == look_share(rounds, plans[:2])


@pytest.mark.parametrize(
    ("rounds", "plans", "first"),
    [
        (1, (4,), 2),
        (5, (4,), 2),
        (2, (4,), 3),
        (2, (4,), 1),
        (2, (), 2),
        (2, (1,), 2),
        (5, (4, 4), 2),
    ],
)
def test_looks_and_plans_that_cannot_be_are_refused(
    rounds: int, plans: tuple[int, ...], first: int
) -> None:
    with pytest.raises(ValueError, match=r"must (hold|rise)"):
        look_share(rounds, plans, first=first)


def test_holm_asks_less_of_the_next_and_stops_at_the_first_that_fails() -> None:
    assert step_down({"a": 0.04, "b": 0.011, "c": 0.02, "d": 0.5}) == {"b": pytest.approx(0.0125)}
    assert set(step_down({"a": 0.02, "b": 0.012, "c": 0.016, "d": 0.5})) == {"b", "c", "a"}
    assert step_down({}) == {}


def test_holm_never_rejects_less_than_bonferroni_and_keeps_the_family_error() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(4000):
        p_values = dict(zip("abcde", rng.uniform(size=5), strict=True))
        p_values["a"] = 1e-6  # One that is really there must not cost the others their protection.
        rejected = step_down(p_values)
        assert set(rejected) >= {n for n, p in p_values.items() if p <= FAMILY_ALPHA / 5}
        wrong += len(rejected) > 1
    assert wrong / 4000 == pytest.approx(FAMILY_ALPHA, abs=2 * math.sqrt(0.05 * 0.95 / 4000))


@pytest.mark.parametrize("mean", [-0.02, 0.0, 0.013])
def test_a_p_value_is_the_upper_tail_of_what_helps(mean: float) -> None:
    effect = Effect(mean=mean, std_error=0.006, dof=9, num_runs=16)
    assert p_helps(effect) == pytest.approx(stats.t.sf(mean / 0.006, 9))
    assert p_helps(effect.times(-1.0)) == pytest.approx(stats.t.cdf(mean / 0.006, 9))


NO_NOISE = [
    Effect(mean=math.nan),
    Effect(mean=0.01, num_runs=8),
    Effect(mean=0.0, ci95=(0.0, 0.0), std_error=0.0, dof=9, num_runs=16),
]


@pytest.mark.parametrize("effect", NO_NOISE)
def test_without_an_error_estimate_nothing_is_found_and_nothing_forecast(effect: Effect) -> None:
    settings = {"runs_per_round": 8, "share": 0.4, "num_dials": 5}
    assert p_helps(effect) == 1.0
    assert runs_to_decide(effect, margin=0.005, **settings) is None  # type: ignore[arg-type]
    assert runs_to_turn(effect, **settings) == math.inf  # type: ignore[arg-type]


def after(effect: Effect, rounds: int) -> Effect:
    total = effect.num_runs + rounds * 8
    error = effect.std_error * math.sqrt(effect.num_runs / total)
    bare = Effect(mean=effect.mean, std_error=error, dof=effect.dof + rounds, num_runs=total)
    return Effect(
        mean=bare.mean,
        ci95=bare.interval(0.05),
        std_error=error,
        dof=bare.dof,
        num_runs=total,
    )


@pytest.mark.parametrize("mean", [0.0, 0.001, 0.0024, 0.004, -0.008, 0.012, -0.03, 0.2])
@pytest.mark.parametrize("std_error", [0.001, 0.006, 0.03])
def test_the_forecast_is_the_first_round_after_which_the_dial_would_be_decided(
    mean: float, std_error: float
) -> None:
    effect = Effect(mean=mean, std_error=std_error, dof=9, num_runs=16)
    level = FAMILY_ALPHA * 0.4 / 5
    turned_after = None
    for rounds in itertools.count(1):
        later = after(effect, rounds)
        helps, hurts = (p_helps(later.times(way)) <= level for way in (1.0, -1.0))
        if helps and turned_after is None:
            turned_after = 8 * rounds
        if helps or hurts or max(map(abs, later.ci95)) < 0.005:
            break
    settings = {"runs_per_round": 8, "share": 0.4, "num_dials": 5}
    assert runs_to_decide(effect, margin=0.005, **settings) == 8 * rounds  # type: ignore[arg-type]
    if turned_after is not None:
        assert runs_to_turn(effect, **settings) == turned_after  # type: ignore[arg-type]
    if mean <= 0.0:
        assert runs_to_turn(effect, **settings) == math.inf  # type: ignore[arg-type]
