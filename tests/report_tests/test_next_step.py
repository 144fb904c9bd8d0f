"""What is tried next, and that the command for more runs does run more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.plan.top_up import topped_up
from search.records.journal import Journal
from search.report.next_step import NextStep, next_step
from search.stages.analysis import Analysis
from search.verdict.looking import MOST_TIMES, Schedule, may_stop, rounds_of
from search.verdict.schema import Fit, Longer
from tests.support.finished_run import DIALS, a_config, a_plan, an_analysis

OPEN = next(dial for dial in DIALS if dial.turn == "inconclusive")


def analysis_of(more_runs: tuple[int, int] | None, **changes: Any) -> Analysis:
    dials = tuple(replace(d, more_runs=more_runs) if d is OPEN else d for d in DIALS)
    return replace(an_analysis(dials, **changes), edges=())


def blocks_of(step: NextStep) -> int:
    words = step.command.replace("=", " ").replace("--max-blocks", "MAX_BLOCKS").split()
    return int(words[words.index("MAX_BLOCKS") + 1])


@pytest.mark.parametrize("state", ["undertrained", "fit-limited", "diverged"])
def test_where_no_turn_holds_no_further_runs_are_offered(tmp_path: Path, state: str) -> None:
    fit = Fit(reference=state, best="balanced", reasons=())
    assert next_step(a_config(tmp_path), a_plan(), analysis_of((8, 16), fit=fit)).command == ""


@pytest.mark.parametrize(("may_help", "says"), [(True, "EPOCHS="), (False, "a larger MODEL, or")])
def test_longer_runs_come_before_a_larger_model_unless_time_is_ruled_out(
    tmp_path: Path, may_help: bool, says: str
) -> None:
    longer = Longer(recipe="off", times=2, gain={}, helps=False, may_help=may_help)
    fit = Fit(reference="fit-limited", best="balanced", reasons=(), longer=longer)
    step = next_step(a_config(tmp_path), a_plan(), analysis_of((8, 16), fit=fit))
    assert step.text.removeprefix("the same search with ").startswith(says)


@pytest.mark.parametrize("looks", [1, 2, 3])
@pytest.mark.parametrize("low", [1, 8, 9, 30])
def test_the_command_asks_for_enough_runs_and_for_more_than_was_planned(
    tmp_path: Path, low: int, looks: int
) -> None:
    config = a_config(tmp_path)
    analysis = analysis_of((low, 900), looks=looks)
    step = next_step(config, a_plan(), analysis)
    rounds, size = config.min_blocks + looks - 1, rounds_of(analysis.factors).runs
    assert f"takes {low} to 900 more runs" in step.text
    assert f"for the next {(blocks_of(step) - rounds) * size}:" in step.offer
    assert (blocks_of(step) - rounds) * size >= low
    # It is a top-up, and the experiment goes on in it while a setting is open.
    config.path.mkdir()
    journal = Journal(config.path)
    topped = topped_up(config, journal, max_blocks=blocks_of(step))
    journal.close()
    assert len(topped.top_ups) == 1
    schedule = Schedule(first=config.min_blocks, plans=topped.planned_blocks)
    assert not may_stop([], analysis.factors, schedule, analysis.verdict.dials)


def test_more_runs_than_anybody_will_wait_for_are_told_without_a_command(tmp_path: Path) -> None:
    config, size = a_config(tmp_path), rounds_of(an_analysis().factors).runs
    most = MOST_TIMES * config.min_blocks * size
    assert next_step(config, a_plan(), analysis_of((most, 9999), looks=1)).command
    step = next_step(config, a_plan(), analysis_of((most + 1, 9999), looks=1))
    assert (step.command, "more runs" in step.text) == ("", True)


def test_where_nothing_is_open_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert next_step(a_config(tmp_path), a_plan(), analysis_of(None)) == NextStep(
        text="train it; search again when images, epochs or model change, for values move with them"
    )
