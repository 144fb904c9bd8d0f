"""The simpler value wins a tie, and only a tie."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.stages.analysis import decide_dials
from search.stages.experiment import NO_AVERAGE
from search.stages.simpler import off_for_nearly_off
from search.verdict.design import cells
from search.verdict.effects import Run
from search.verdict.schema import Dial
from tests.support.finished_run import BEST, a_config, a_dial, a_plan, an_effect

LEVELS = ("label_smoothing", "warmup_fraction")


def runs(*, reference: float, best: float, none: float, noise: float = 0.002) -> list[Run]:
    """Eight blocks in which only the average makes a difference, with noise of its own."""
    rng = np.random.default_rng(5)
    made = []
    for block in range(8):
        for i, levels in enumerate(cells(LEVELS, block=block)):
            at = {"reference": reference, "best": best, NO_AVERAGE: none}
            seen = {level: value + noise * rng.normal() for level, value in at.items()}
            metrics = {
                level: {"val/top1": x, "val/nll": 1.0 - x, "val/nll_refined": 1.0 - x}
                for level, x in seen.items()
            }
            made.append(Run(run_id=f"{block}-{i}", block=block, levels=levels, metrics=metrics))
    return made


def ema_dial(tmp_path: Path, found: list[Run]) -> Dial:
    _, dials = decide_dials(found, a_plan(), a_config(tmp_path), BEST)
    (dial,) = (dial for dial in dials if dial.strength == "ema_decay")
    return dial


def test_no_average_is_recommended_where_it_is_as_good_as_the_best_one(tmp_path: Path) -> None:
    dial = ema_dial(tmp_path, runs(reference=0.10, best=0.93, none=0.93))
    assert (dial.turn, dial.recommended) == ("down", 0.0)
    assert dial.recommended_effective == pytest.approx(1 / 90)
    assert dial.effect["val/top1"].mean == pytest.approx(0.83, abs=0.002)


def test_the_effect_is_that_of_no_average_and_not_of_the_best_one(tmp_path: Path) -> None:
    dial = ema_dial(tmp_path, runs(reference=0.10, best=0.90, none=0.93))
    assert dial.recommended == 0.0
    assert dial.effect["val/top1"].mean == pytest.approx(0.83, abs=0.002)


def test_an_average_that_is_better_beyond_noise_stays(tmp_path: Path) -> None:
    dial = ema_dial(tmp_path, runs(reference=0.10, best=0.95, none=0.93))
    assert (dial.turn, dial.recommended) == ("down", 0.9)
    assert dial.effect["val/top1"].mean == pytest.approx(0.85, abs=0.002)


def test_no_average_turns_nothing_that_the_best_one_does_not_turn(tmp_path: Path) -> None:
    dial = ema_dial(tmp_path, runs(reference=0.93, best=0.93, none=0.93))
    assert (dial.turn, dial.recommended) == ("leave", 0.9999)


@pytest.mark.parametrize(
    ("turn", "tried", "recommended"),
    [("down", 0.01, 0.0), ("down", 0.05, 0.05), ("down", 0.0, 0.0), ("up", 0.01, 0.01)],
)
def test_a_value_that_is_as_good_as_off_is_written_as_off(
    turn: str, tried: float, recommended: float
) -> None:
    dial = a_dial("drop_path_rate", turn, an_effect(0.03, 0.01))
    dial = replace(dial, recommended=tried, recommended_effective=tried)
    assert off_for_nearly_off(dial, a_plan()).recommended == recommended
