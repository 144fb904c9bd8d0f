"""The line for a run that has ended: which it was, its result, and what is left."""

from pathlib import Path

import pytest

from search.commands.compare.answer.judging import judging
from search.commands.compare.answer.number_text import result_words
from search.commands.compare.progress import Progress
from search.commands.compare.run_log import RunLog
from search.commands.compare.running import next_runs
from search.commands.compare.schedule import experiment_cells
from search.commands.compare.script import Outcome
from tests.support.toy_comparison import additive, outcome, request, run


def test_each_line_says_which_run_it_was_and_how_many_there_are(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, confirm_seeds=2)
    log, finding = run(asked, lambda levels, cell: 0.5 + 0.1 * levels["f0"] + 0.001 * cell.seed)
    progress = Progress(asked, asked.layout, log, lambda: finding, places=2)
    lines = [progress.line(log.outcomes[cell.run_id]) for cell in log.cells.values()]
    assert "attribute-0000, seed 0, yours: accuracy 0.5000 in 1 s" in lines[0]
    assert any("seed 0, the best: accuracy 0.6000" in line for line in lines)
    assert any("yours with the best's f0: " in line for line in lines)
    assert any("the best with your f2: " in line for line in lines)
    assert all(line.startswith("experiment 16/16 ") for line in lines[:16])
    assert all(line.startswith("confirm 6/6 ") for line in lines[16:])


def test_the_time_left_is_that_of_all_runs_that_may_come(tmp_path: Path) -> None:
    asked, log = request(tmp_path, 3, confirm_seeds=2), RunLog(tmp_path)
    progress = Progress(asked, asked.layout, log, lambda: None, places=2)  # type: ignore[arg-type,return-value]
    lines = []
    for cell in experiment_cells(asked, asked.layout, 1)[:4]:
        log.begin(cell)
        log.end(outcome(cell, 0.5, asked))
        lines.append(progress.line(log.outcomes[cell.run_id]))
    assert [line.split(" ")[1] for line in lines] == ["1/16", "2/16", "3/16", "4/16"]
    assert "left" not in lines[1]
    # At most 32 runs and 6 to confirm, of which 4 are done, a second each, two at once.
    assert lines[3].endswith("· at most about 17 s left")


def test_a_run_that_crashed_is_said_to_be_tried_again(tmp_path: Path) -> None:
    asked, log = request(tmp_path, 2), RunLog(tmp_path)
    progress = Progress(asked, asked.layout, log, lambda: None, places=1)  # type: ignore[arg-type,return-value]
    (cell, *_) = experiment_cells(asked, asked.layout, 1)
    said = []
    for _ in range(2):
        log.begin(cell)
        log.end(Outcome(run_id=cell.run_id, exit_code=1, seconds=1.0, problem="it broke"))
        said.append(progress.line(log.outcomes[cell.run_id]))
    assert said[0].endswith("yours: it broke; it is tried once more")
    assert said[1].endswith("yours: it broke")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((0.9, "0.9000"), (0.81234, "0.8123"), (55.25, "55.25"), (-0.5, "-0.5000")),
        *((1234.5, "1234"), (123456.0, "1.235e+05"), (0.0, "0"), (1e-7, "1e-07")),
    ],
)
def test_results_have_the_same_digits(value: float, words: str) -> None:
    assert result_words(value) == words


def test_after_a_top_up_all_that_is_left_is_counted(tmp_path: Path) -> None:
    """With more runs another configuration is advised, which no fresh seed has seen."""
    formula = additive({"f0": 0.1, "f1": 0.04}, noise=0.03, seed=1)
    first = request(tmp_path, 3, confirm_seeds=2, max_blocks=2)
    _, before = run(first, formula)
    more = first.topped_up(8)
    log, layout = RunLog(tmp_path), more.layout
    judge = judging(more, layout, log)
    progress = Progress(more, layout, log, judge, places=1)
    lines = []
    while cells := next_runs(more, layout, log, judge):
        log.begin(cells[0])
        levels = {name: int(level > 0) for name, level in cells[0].levels.items()}
        log.end(outcome(cells[0], formula(levels, cells[0]), more))
        lines.append(progress.line(log.outcomes[cells[0].run_id]))
    assert judge().advised != before.advised
    assert "experiment 64/64" in lines[-3]
    # Two fresh seeds of the new advice come, and nobody knew: reference and best may be asked for.
    assert lines[-3].endswith("at most about 6 s left")
    assert [line.split(" ")[1] for line in lines[-2:]] == ["5/6", "6/6"]
    assert lines[-2].endswith("at most about 1 s left")
    assert "left" not in lines[-1]
