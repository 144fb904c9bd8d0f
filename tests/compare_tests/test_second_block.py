"""Six or seven differences: the second block is laid out by what the first has shown."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.commands.compare.asked.layout import Layout
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import experiment_cells, laid_out
from spaces.errors import InputError
from tests.support.toy_comparison import outcome, request, run

HUGE, NOISE = 0.2, 0.01


def seed_of(cell: Cell) -> list[int]:
    return [cell.seed, *cell.run_id.encode()]


def joint_of_three(
    levels: Mapping[str, int], cell: Cell, *, size: float = 0.06, trial: int = 0
) -> float:
    """f3 has a huge effect, f4 and f6 act only together with it, and f5 does nothing at all."""
    signs = {name: 2 * level - 1 for name, level in levels.items()}
    joint = signs["f3"] * signs["f4"] * signs["f6"]
    noise = np.random.default_rng([trial, *seed_of(cell)]).normal(0.0, NOISE)
    return float(0.5 + HUGE * levels["f3"] + size / 2.0 * joint + noise)


def hurt_or_helped(directory: Path, *, lay_out: str | None = None, **more: float | int) -> set[str]:
    """The factors beside f3 of which the comparison says that they matter."""
    directory.mkdir(exist_ok=True)
    asked = request(directory, 7, confirm_seeds=0, max_blocks=2)
    if lay_out:
        RunLog(directory).lay_out(lay_out)
    _, finding = run(asked, lambda levels, cell: joint_of_three(levels, cell, **more))  # type: ignore[arg-type]
    outcomes = {factor.name: factor.outcome for factor in finding.factors}
    assert outcomes.pop("f3") == "helps"
    return {name for name, said in outcomes.items() if said in ("helps", "hurts")}


def test_what_a_huge_effect_does_with_two_others_is_not_taken_for_a_fourth(tmp_path: Path) -> None:
    assert not hurt_or_helped(tmp_path / "chosen")
    # Laid out for another factor, the same script has its joint effect taken for that of a fourth.
    assert len(hurt_or_helped(tmp_path / "other", lay_out="f0")) == 1


def test_choosing_by_the_first_block_makes_false_decisions_no_more_frequent(
    tmp_path: Path,
) -> None:
    """30 comparisons with one huge effect and six that do nothing: 5 % may say anything of any."""
    wrong = sum(bool(hurt_or_helped(tmp_path / str(t), size=0.0, trial=t)) for t in range(30))
    # 6 of 30 or more would come with probability 0.3 % from a rate of 5 %.
    assert wrong < 6


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


def test_a_second_block_begun_before_there_was_a_choice_goes_on_as_it_was(tmp_path: Path) -> None:
    asked, log = request(tmp_path, 7), RunLog(tmp_path)
    old = replace(asked.layout, cleared=None)
    for cell in experiment_cells(asked, old, 2)[:20]:
        log.begin(cell)
        log.end(outcome(cell, 0.5, asked))
    again = laid_out(asked.layout, log)
    assert [again.block(block) for block in (0, 1)] == [old.block(block) for block in (0, 1)]


def test_the_limits_say_what_is_clear_and_what_is_not() -> None:
    names = tuple(f"f{i}" for i in range(7))
    (before,) = Layout(names=names).limits(2)
    assert "The second block is laid out once the first has ended" in before
    after, pairs = Layout(names=names, cleared="f3").limits(2)
    assert after.startswith("What `f3` does together with two others does not pass for the effect")
    assert "f3 x" not in pairs
    assert Layout(names=names[:5]).limits(2) == ()


def test_a_log_that_lays_the_second_block_out_twice_is_refused(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.lay_out("f1")
    assert RunLog(tmp_path).cleared == "f1"
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(InputError, match="must lay out the second block once"):
        RunLog(tmp_path)
