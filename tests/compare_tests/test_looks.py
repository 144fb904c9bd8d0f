"""Looks and stopping rule of experiments of any size, against slow twins written out here."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.efficiency.dealt_seeds import simulate
from search.commands.compare.answer.judging import rounds_of as rounds_of_layout
from search.commands.compare.asked.layout import Layout
from search.records.metrics import TOP1
from search.verdict.design import Factors, cells
from search.verdict.divergence import Divergence
from search.verdict.effects import Run, estimate_effects
from search.verdict.looking import FUTILE, Rounds, Schedule, is_enough, looks_at, rounds_of
from search.verdict.sequential import runs_to_turn, shares

SCHEDULE = Schedule(first=2, plans=(4,))


def runs_of(names: Sequence[str], blocks: int, *, effect: float, noise: float) -> list[Run]:
    """Runs of so many blocks in which the first factor has an effect on top-1."""
    rng = np.random.default_rng([len(names), blocks])
    made = []
    for block in range(blocks):
        for number, levels in enumerate(cells(tuple(names), block=block)):
            top1 = 0.7 + effect * levels[names[0]] / 2.0 + rng.normal(0.0, noise)
            metrics = {"val/top1": top1, "val/nll": 1.0, "val/nll_refined": 1.0}
            run_id = f"{block}-{number}"
            made.append(Run(run_id=run_id, block=block, levels=levels, metrics={"none": metrics}))
    return made


@pytest.mark.parametrize(
    ("num_factors", "blocks", "runs"),
    [(1, 4, 8), (2, 2, 8), (3, 1, 8), (4, 1, 8), (5, 1, 16), (7, 1, 16)],
)
def test_a_comparison_of_a_script_has_the_rounds_of_a_search(
    num_factors: int, blocks: int, runs: int
) -> None:
    names = tuple(f"f{i}" for i in range(num_factors))
    of_search = rounds_of(Factors(trajectory=names, unchanged=()))
    assert of_search == Rounds(names=names, blocks=blocks, runs=runs)
    one_seed = Layout(names=names, two_seeds=False)
    assert rounds_of_layout(one_seed) == of_search
    dealt = rounds_of_layout(Layout(names=names))
    assert dealt == replace(of_search, blocks=2 if num_factors > 4 else blocks)


@pytest.mark.parametrize(("num_factors", "num_blocks"), [(1, 15), (2, 6), (4, 3), (5, 2)])
def test_a_look_sees_the_runs_of_its_rounds_and_the_last_one_sees_all(
    num_factors: int, num_blocks: int
) -> None:
    names = tuple(f"f{i}" for i in range(num_factors))
    rounds = rounds_of(Factors(trajectory=names, unchanged=()))
    runs = runs_of(names, num_blocks, effect=0.05, noise=0.01)
    looks = looks_at(runs, rounds, SCHEDULE)
    whole = num_blocks // rounds.blocks
    assert len(looks) == whole - 1
    for number, look in zip(range(2, whole + 1), looks, strict=True):
        seen = [r for r in runs if number == whole or r.block // rounds.blocks < number]
        twin = estimate_effects(seen, names)
        assert repr(look.effects) == repr(twin)
        assert look.share == SCHEDULE.share(number)


@pytest.mark.parametrize("effect", [0.0, 0.004, 0.008, 0.012, 0.03])
@pytest.mark.parametrize("size", [8, 16, 24])
def test_it_is_enough_where_the_runs_left_would_have_to_be_doubled(
    effect: float, size: int
) -> None:
    names = ("a", "b", "c", "d")
    runs = runs_of(names, 2, effect=effect, noise=0.01)
    rounds = Rounds(names=names, blocks=1, runs=size)
    enough = is_enough(runs, rounds, SCHEDULE, still_open=["a", "b"], num_unturned=3)
    # The twin asks for every number of further rounds whether a last look would turn a factor.
    needed = [
        runs_to_turn(
            estimate_effects(runs, names, least_dof=dof)[name]["val/top1"],
            runs_per_round=size,
            share=SCHEDULE.share(4) * shares(TOP1)["val/top1"],
            num_dials=3,
        )
        for name in ("a", "b")
        for dof in (8, 4)
    ]
    assert enough == all(runs_needed > FUTILE * 2 * size for runs_needed in needed)


def test_a_clear_effect_goes_on_and_none_ends() -> None:
    names = ("a", "b", "c", "d")
    rounds = Rounds(names=names, blocks=1, runs=8)

    def enough(effect: float, **more: object) -> bool:
        asked: dict[str, object] = {"still_open": ["a"], "num_unturned": 4, **more}
        runs = runs_of(names, 2, effect=effect, noise=0.01)
        return is_enough(runs, rounds, SCHEDULE, **asked)  # type: ignore[arg-type]

    assert not enough(0.02)
    assert enough(-0.02)  # What hurts is never turned to.
    assert enough(0.02, still_open=[])
    tied = Divergence(runs=(8, 8), diverged=(7, 0), p_value=0.001)
    assert not enough(-0.02, failures={"a": tied})
    assert enough(-0.02, failures={"b": tied})  # It is decided: only `a` is open.


def test_a_plan_that_is_used_up_ends_and_a_top_up_does_not() -> None:
    names = ("a", "b", "c", "d")
    rounds = Rounds(names=names, blocks=1, runs=8)
    runs = runs_of(names, 4, effect=0.02, noise=0.03)
    assert is_enough(runs, rounds, SCHEDULE, still_open=["a"], num_unturned=4)
    topped_up = Schedule(first=2, plans=(4, 6))
    assert not is_enough(runs, rounds, topped_up, still_open=["d"], num_unturned=4)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_cover_where_effects_differ_between_seeds(spread: float) -> None:
    """700 intervals each: 95 % are promised, and 93 % would be three standard errors below it."""
    found = simulate(two_seeds=True, spread=spread, draws=100)
    assert found.covered > 0.93
    assert found.false < 0.12
