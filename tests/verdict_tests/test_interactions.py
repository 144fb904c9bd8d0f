"""Interactions are measured, told from noise, and worded the right way round."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from benchmarks.efficiency.beside import SCRIPT
from search.records.metrics import declared
from search.verdict.blocked_model import t_quantile
from search.verdict.design import cells
from search.verdict.effects import LOSS_SPLIT_PRIOR, Effect, Run, estimate_effects
from search.verdict.interactions import (
    effects_beside,
    estimate_interactions,
    strong_interactions,
)

NAMES = ("label_smoothing", "drop_path_rate", "weight_decay")
REFERENCE = {"label_smoothing": 0.1, "drop_path_rate": 0.3, "weight_decay": 0.05}
BEST = {"label_smoothing": 0.0, "drop_path_rate": 0.0, "weight_decay": 1.0}


def experiment(
    truth: Callable[[int, int], float],
    *,
    names: tuple[str, ...] = NAMES,
    num_blocks: int = 2,
    noise: float = 0.004,
) -> list[Run]:
    rng = np.random.default_rng(0)
    return [
        Run(
            run_id=f"{block}-{i}",
            block=block,
            levels=cell,
            metrics={
                "best": {
                    "val/top1": 0.9
                    + truth(cell["label_smoothing"], cell["drop_path_rate"])
                    + 0.02 * block
                    + rng.normal(0.0, noise)
                }
            },
        )
        for block in range(num_blocks)
        for i, cell in enumerate(cells(names, block=block))
    ]


def worded(runs: list[Run], names: tuple[str, ...] = NAMES) -> tuple[str, ...]:
    return strong_interactions(
        estimate_interactions(runs, names, ema=False),
        estimate_effects(runs, names),
        reference=REFERENCE | {"warmup_fraction": 0.0},
        best=BEST | {"warmup_fraction": 0.1},
    )


def test_an_interaction_is_the_difference_of_the_two_simple_effects() -> None:
    # Smoothing costs 5 points with drop path at its reference and 1 at the best's.
    runs = experiment(lambda a, b: -0.05 * (a < 0 and b < 0) - 0.01 * (a < 0 and b > 0), noise=0.0)
    found = estimate_interactions(runs, NAMES, ema=False)
    assert found["label_smoothing", "drop_path_rate"].mean == pytest.approx(0.01 - 0.05)
    assert found["label_smoothing", "weight_decay"].mean == pytest.approx(0.0, abs=1e-12)
    assert list(found) == [(NAMES[0], NAMES[1]), (NAMES[0], NAMES[2]), (NAMES[1], NAMES[2])]


def test_a_cost_that_needs_both_strengths_is_worded_as_such() -> None:
    sentences = worded(experiment(lambda a, b: -0.05 * (a < 0 and b < 0) - 0.03 * (b < 0)))
    assert len(sentences) == 1
    assert sentences[0].startswith(
        "label_smoothing at 0.1 only hurts when drop_path_rate is 0.3: going from 0.1 to 0 "
        "changes top-1 by +"
    )
    assert sentences[0].endswith("points where drop_path_rate is 0.")


def test_a_gain_that_needs_both_strengths_is_worded_as_such() -> None:
    sentences = worded(experiment(lambda a, b: 0.05 * (a < 0 and b < 0) + 0.03 * (b < 0)))
    assert len(sentences) == 1
    assert "label_smoothing at 0.1 only helps when drop_path_rate is 0.3" in sentences[0]


def test_a_cost_that_is_there_in_both_cases_is_not_called_exclusive() -> None:
    sentences = worded(
        experiment(lambda a, b: -0.05 * (a < 0 and b < 0) - 0.04 * (a < 0) - 0.03 * (b < 0))
    )
    assert len(sentences) == 1
    assert "drop_path_rate at 0.3 hurts most when label_smoothing is 0.1" in sentences[0]


def test_an_effect_that_turns_its_sign_says_so() -> None:
    sentences = worded(experiment(lambda a, b: 0.03 * a * b + 0.02 * b))
    assert len(sentences) == 1
    assert sentences[0].startswith("label_smoothing turns its sign with drop_path_rate; where")


@pytest.mark.parametrize("size", [0.0, 0.001])
def test_what_is_noise_or_too_small_is_not_mentioned(size: float) -> None:
    assert worded(experiment(lambda a, b: size * a * b + 0.05 * a, noise=1e-4)) == ()


def test_noise_alone_rarely_makes_a_sentence() -> None:
    rng = np.random.default_rng(0)
    count = sum(
        bool(worded(experiment(lambda a, b: float(rng.normal(0.0, 0.012)), noise=0.0)))
        for _ in range(150)
    )
    assert count <= 0.05 * 150 + 2 * math.sqrt(0.05 * 0.95 * 150)


def test_one_half_fraction_cannot_tell_pairs_apart_and_two_can() -> None:
    names = (*NAMES, "warmup_fraction")
    for num_blocks, is_estimable in ((1, False), (2, True)):
        runs = experiment(lambda a, b: 0.03 * a * b, names=names, num_blocks=num_blocks)
        found = estimate_interactions(runs, names, ema=False)
        assert {effect.is_estimable for effect in found.values()} == {is_estimable}
    assert len(worded(experiment(lambda a, b: 0.03 * a * b, names=names, num_blocks=3), names)) == 1


def test_without_runs_or_without_an_estimate_there_is_nothing_to_say() -> None:
    assert estimate_interactions([], NAMES, ema=False) == {}
    pair = {("a", "b"): Effect(mean=math.nan)}
    effects = {name: {"val/top1": Effect(mean=math.nan)} for name in ("a", "b")}
    assert strong_interactions(pair, effects, reference={}, best={}) == ()


def script_runs(names: tuple[str, ...], blocks: int, *, seed: int) -> list[Run]:
    """Runs with noise, and effects and a joint effect that differ from block to block."""
    rng = np.random.default_rng(seed)
    made = []
    for block in range(blocks):
        own = rng.normal(0.0, 0.1, 4)
        for number, signs in enumerate(product((-1, 1), repeat=len(names))):
            value = own @ (1.0, signs[0], signs[1], signs[0] * signs[1]) + rng.normal(0.0, 0.05)
            levels = dict(zip(names, signs, strict=True))
            metrics = {"none": {SCRIPT.on("val"): float(value)}}
            made.append(
                Run(run_id=f"{block}-{number}", block=block, levels=levels, metrics=metrics)
            )
    return made


@pytest.mark.parametrize("blocks", [4, 5, 9])
@pytest.mark.parametrize("beside", [-1, 1])
def test_an_effect_beside_a_level_is_that_of_the_runs_that_have_it(
    blocks: int, beside: int
) -> None:
    """In blocks of all four cells it is a difference of two runs a block, and its error follows."""
    runs = script_runs(("a", "b"), blocks, seed=blocks)
    with declared(SCRIPT):
        found = effects_beside(runs, ("a", "b"), {"a": 1, "b": beside}, metric=SCRIPT)["a"]
    values = {
        (r.block, r.levels["a"], r.levels["b"]): r.metrics["none"]["val/script"] for r in runs
    }
    each = np.array(
        [values[block, 1, beside] - values[block, -1, beside] for block in range(blocks)]
    )
    assert found.mean == pytest.approx(each.mean())
    # What differs between blocks in these two runs, and all else that is left.
    own = float(((each - each.mean()) ** 2).sum()) / 2.0
    model = np.array(
        [
            [*(float(r.block == block) for block in range(blocks)), a, b, a * b]
            for r in runs
            for a, b in [(r.levels["a"], r.levels["b"])]
        ]
    )
    outcome = np.array([r.metrics["none"]["val/script"] for r in runs])
    left = outcome - model @ np.linalg.lstsq(model, outcome, rcond=None)[0]
    rest_dof = len(runs) - (blocks + 3) - (blocks - 1)
    rest = (float(left @ left) - own) / rest_dof
    prior = min(12, rest_dof)
    variance = (prior * LOSS_SPLIT_PRIOR * rest + own) / (prior + blocks - 1)
    half = t_quantile(0.05, prior + blocks - 1) * np.sqrt(variance * 2.0 / blocks)
    assert found.ci95 == pytest.approx((each.mean() - half, each.mean() + half))


def test_where_the_runs_leave_little_to_tell_noise_by_nothing_is_said_beside_others() -> None:
    names = ("a", "b", "c", "d")
    runs = script_runs(names, 1, seed=0)
    with declared(SCRIPT):
        assert effects_beside(runs, names, dict.fromkeys(names, 1), metric=SCRIPT) == {}
        twice = script_runs(names, 2, seed=0)
        assert set(effects_beside(twice, names, dict.fromkeys(names, 1), metric=SCRIPT)) == {*names}
