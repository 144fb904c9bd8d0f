"""Six or seven differences: the second round is laid out by what the first has shown."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.commands.compare.asked.layout import Layout
from search.commands.compare.asked.request import Request
from search.commands.compare.plan_text import plan_lines
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import experiment_cells, laid_out
from search.records.home import Home
from spaces.errors import InputError
from tests.support.toy_comparison import outcome, request, run

HUGE, NOISE = 0.2, 0.01


def seed_of(cell: Cell) -> list[int]:
    return [cell.seed, *cell.run_id.encode()]


def joint_of_three(levels: Mapping[str, int], cell: Cell) -> float:
    """f3 has a huge effect, f4 and f6 act only together with it, and f5 does nothing at all."""
    signs = {name: 2 * level - 1 for name, level in levels.items()}
    joint = signs["f3"] * signs["f4"] * signs["f6"]
    noise = np.random.default_rng(seed_of(cell)).normal(0.0, NOISE)
    return float(0.5 + HUGE * levels["f3"] + 0.03 * joint + noise)


def hurt_or_helped(directory: Path, *, lay_out: str | None = None, rounds: int = 2) -> set[str]:
    """The factors beside f3 of which the comparison says that they matter."""
    directory.mkdir(exist_ok=True)
    asked = request(directory, 7, confirm_seeds=0, min_blocks=rounds, max_blocks=rounds)
    if lay_out:
        RunLog(directory).lay_out(lay_out)
    _, finding = run(asked, joint_of_three)
    outcomes = {factor.name: factor.outcome for factor in finding.factors}
    assert outcomes.pop("f3") == "helps"
    return {name for name, said in outcomes.items() if said in ("helps", "hurts")}


@pytest.mark.parametrize("rounds", [2, 4])
def test_what_a_huge_effect_does_with_two_others_is_not_taken_for_a_fourth(
    tmp_path: Path, rounds: int
) -> None:
    assert not hurt_or_helped(tmp_path / "chosen", rounds=rounds)


def test_laid_out_for_another_factor_it_is_taken_for_a_fourth(tmp_path: Path) -> None:
    assert len(hurt_or_helped(tmp_path, lay_out="f0")) == 1


def test_choosing_by_the_first_round_makes_false_decisions_no_more_frequent(
    tmp_path: Path,
) -> None:
    """30 comparisons of seven keys that do nothing, so that noise chooses: 5 % may say anything."""
    wrong, chosen = 0, set()
    for trial in range(30):

        def noise(_: Mapping[str, int], cell: Cell, trial: int = trial) -> float:
            rng = np.random.default_rng([trial, *seed_of(cell)])
            of_seed = np.random.default_rng([trial, cell.seed]).normal(0.0, 0.02)
            return float(0.5 + of_seed + rng.normal(0.0, NOISE))

        directory = tmp_path / str(trial)
        directory.mkdir()
        log, finding = run(request(directory, 7, confirm_seeds=0, max_blocks=2), noise)
        chosen.add(log.cleared)
        wrong += any(factor.outcome in ("helps", "hurts") for factor in finding.factors)
    assert len(chosen) > 3
    # 6 of 30 or more would come with probability 0.3 % from a rate of 5 %, 7 from one of 10 %.
    assert wrong < 7


@pytest.mark.parametrize("number", [6, 7])
def test_stopped_anywhere_it_goes_on_with_the_same_second_block(
    tmp_path: Path, number: int
) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float:
        return (
            0.5 + 0.2 * levels["f5"] + float(np.random.default_rng(seed_of(cell)).normal(0, 0.02))
        )

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for directory in (whole, parts):
        directory.mkdir()
    log, _ = run(request(whole, number, confirm_seeds=0), value)
    for stop_after in (15, 1, 1, 5):
        run(request(parts, number, confirm_seeds=0), value, most=stop_after)
    again, _ = run(request(parts, number, confirm_seeds=0), value)
    assert log.cleared == again.cleared == "f5"
    assert list(again.cells.values()) == list(log.cells.values())


@pytest.mark.parametrize("number", [5, 8])
def test_where_nothing_is_to_be_chosen_no_run_waits(tmp_path: Path, number: int) -> None:
    log, _ = run(request(tmp_path, number, confirm_seeds=0), lambda *_: 0.5, most=40)
    assert log.cleared is None


def test_where_no_run_of_the_first_block_has_a_result_the_first_factor_is_cleared(
    tmp_path: Path,
) -> None:
    log, _ = run(request(tmp_path, 7, confirm_seeds=0), lambda *_: None, most=33)
    assert log.cleared == "f0"


def test_a_second_round_begun_before_there_was_a_choice_goes_on_as_it_was(tmp_path: Path) -> None:
    asked, log = request(tmp_path, 7), RunLog(tmp_path)
    old = replace(asked.layout, cleared=None)
    for cell in experiment_cells(asked, old, 2)[:20]:
        log.begin(cell)
        log.end(outcome(cell, 0.5, asked))
    again = laid_out(asked.layout, log)
    assert [again.block(block) for block in range(4)] == [old.block(block) for block in range(4)]


def test_a_comparison_of_an_earlier_version_keeps_one_seed_for_a_fraction(tmp_path: Path) -> None:
    asked = replace(request(tmp_path, 7), home=Home.at(tmp_path, has_begun=True))
    written = asked.to_dict()
    assert Request.from_dict(written, path=tmp_path).layout == asked.layout
    del written["two_seeds"]
    earlier = Request.from_dict(written, path=tmp_path).layout
    assert len(earlier.block(0)) == 16
    assert earlier.blocks_per_round == 1


def test_what_requirements_leave_still_tells_all_factors_apart(tmp_path: Path) -> None:
    """The largest effect is not cleared where the runs that are left would not do."""
    required = ("f5=1 -> f0=1", "f3=1 -> f5=1")

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        noise = np.random.default_rng(seed_of(cell)).normal(0.0, NOISE)
        return float(0.5 + HUGE * levels["f2"] + 0.05 * levels["f0"] + noise)

    asked = request(tmp_path, 7, required=required, confirm_seeds=0)
    log, finding = run(asked, value)
    assert replace(asked.layout, cleared=log.cleared).untold is None
    effects = {f.name: f.effects[asked.metrics[0]] for f in finding.factors}
    assert all(effect.is_estimable for effect in effects.values())


def test_the_limits_say_what_is_clear_and_what_is_not() -> None:
    names = tuple(f"f{i}" for i in range(7))
    (before,) = Layout(names=names).limits(2)
    assert before.startswith("The second 16 runs are laid out once the first have ended")
    after, pairs = Layout(names=names, cleared="f3").limits(2)
    assert after.startswith("What `f3` does together with two others does not pass for the effect")
    assert "f3 x" not in pairs
    assert Layout(names=names[:5]).limits(2) == ()
    # The third round has no counterpart yet.
    assert not any("does not pass" in line for line in Layout(names=names, cleared="f3").limits(3))


@pytest.mark.parametrize("number", [5, 7])
def test_a_dry_run_lists_no_command_that_might_not_be_run(tmp_path: Path, number: int) -> None:
    lines = plan_lines(request(tmp_path, number), every_run=True)
    listed = [line for line in lines if line.startswith("attribute-")]
    assert len(listed) == (16 if number == 7 else 32)
    assert ("16 more runs are laid out once these have ended." in lines) == (number == 7)


def test_a_log_that_lays_the_second_block_out_twice_is_refused(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.lay_out("f1")
    assert RunLog(tmp_path).cleared == "f1"
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(InputError, match="must lay out the second round once"):
        RunLog(tmp_path)


def test_a_log_that_names_what_is_no_factor_is_refused(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.lay_out("nothing")
    with pytest.raises(InputError, match=r"runs\.jsonl lays out .* 'nothing', which is no factor"):
        laid_out(request(tmp_path, 7).layout, log)
