"""What is said of the differences is true: planted ones are found, others are not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.efficiency.beside import simulate
from search.commands.compare.answer.judging import find
from search.commands.compare.answer.margin import metric_for
from search.commands.compare.answer.verdict import verdict_of
from search.commands.compare.answer.written import to_dict
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.running import next_runs, warnings_of
from search.commands.compare.schedule import confirm_cells, experiment_cells, next_cells
from search.commands.compare.script import Outcome
from search.commands.compare.suspicion import why_useless
from tests.support.toy_comparison import Formula, additive, outcome, request, run


def outcomes(finding_factors: object) -> dict[str, str]:
    return {f.name: f.outcome for f in finding_factors}  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [2, 4, 7, 9])
def test_planted_differences_are_found_and_no_others(tmp_path: Path, number: int) -> None:
    planted = {"f0": 0.06, "f1": -0.06}
    asked = request(tmp_path, number, confirm_seeds=0)
    log, finding = run(asked, additive(planted, noise=0.01))
    found = outcomes(finding.factors)
    assert found["f0"] == "helps"
    assert found["f1"] == "hurts"
    assert all(found[f"f{i}"] in ("same", "open") for i in range(2, number))
    assert (finding.advised["f0"], finding.advised["f1"]) == (1, -1)
    assert len(log.outcomes) <= 32
    effects = {f.name: f.effects[asked.metrics[0]] for f in finding.factors}
    for name, planted_effect in planted.items():
        assert abs(effects[name].mean - planted_effect) < 0.02


def test_where_smaller_is_better_the_same_change_hurts(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, metrics=("{dir}/r.json:loss",), confirm_seeds=0)
    _, finding = run(asked, additive({"f0": 0.06, "f1": -0.06}, noise=0.01))
    assert outcomes(finding.factors)["f0"] == "hurts"
    assert outcomes(finding.factors)["f1"] == "helps"


def test_false_decisions_are_as_rare_as_is_promised(tmp_path: Path) -> None:
    """60 comparisons of four keys that do nothing: 5 % may say anything of any."""
    wrong = 0
    for trial in range(60):
        directory = tmp_path / str(trial)
        directory.mkdir()
        asked = request(directory, 4, confirm_seeds=0)
        _, finding = run(asked, additive({}, noise=0.02, seed=trial))
        wrong += any(outcome == "helps" for outcome in outcomes(finding.factors).values())
    # 9 of 60 or more would come with probability 0.4 % from a rate of 5 %.
    assert wrong < 9


@pytest.mark.parametrize("spread", [0.33, 1.0])
@pytest.mark.parametrize(("num_factors", "rounds"), [(2, 2), (3, 2), (4, 4)])
def test_intervals_beside_the_advised_values_cover(
    num_factors: int, rounds: int, spread: float
) -> None:
    """95 % are promised, of 200 draws; 91 % is 2.6 standard errors below, if each draw is one."""
    found = simulate(num_factors, rounds, size=3.0, spread=spread, draws=200)
    assert found.covered >= 0.91
    # The averaged effect is another question: were its intervals the answer, this would say so.
    assert found.covered_by_average < 0.6


def test_a_top_up_runs_more_rounds_and_confirms_what_is_advised_then(tmp_path: Path) -> None:
    """At first f1 is open; with more runs it is found, and the new advice is confirmed."""
    formula = additive({"f0": 0.1, "f1": 0.04}, noise=0.03, seed=1)
    asked = request(tmp_path, 3, confirm_seeds=2, max_blocks=2)
    log, finding = run(asked, formula)
    before, begun = dict(log.outcomes), list(log.cells)
    assert finding.factors[1].outcome == "open"
    more = asked.topped_up(8)
    log, finding = run(more, formula)
    assert {run_id: log.outcomes[run_id] for run_id in before} == before
    assert list(log.cells)[: len(begun)] == begun
    assert finding.rounds == 8
    assert finding.factors[1].outcome == "helps"
    verdict = verdict_of(more, more.layout, log, finding, rounds=8)
    assert verdict.confirmation is not None
    assert verdict.confirmation.seeds == {"reference": 2, "best": 2, "advised": 2}
    fresh = [cell for cell in log.of_stage("confirm") if cell.levels == finding.advised]
    values = [log.outcomes[cell.run_id].metrics[asked.metrics[0]] for cell in fresh]
    assert verdict.confirmation.means["advised"] == pytest.approx(np.mean(values))
    wanted = confirm_cells(more, more.layout, log, finding.advised)
    assert all(log.cells[cell.run_id] == cell and log.is_over(cell.run_id) for cell in wanted)
    # Reference and best were confirmed before: only the advised configuration may be new.
    roles = [cell.role for cell in log.of_stage("confirm")]
    assert (roles.count("reference"), roles.count("best")) == (2, 2)
    assert set(roles) == {"reference", "best", "advised"}


def test_stopped_anywhere_it_goes_on_with_the_same_runs(tmp_path: Path) -> None:
    formula = additive({"f0": 0.06}, noise=0.01)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for directory in (whole, parts):
        directory.mkdir()
    log, finding = run(request(whole, 3, confirm_seeds=2), formula)
    asked = request(parts, 3, confirm_seeds=2)
    for stop_after in (1, 6, 10, 3):
        run(asked, formula, most=stop_after)
    again, same = run(asked, formula)
    assert again.outcomes == log.outcomes
    assert list(again.cells) == list(log.cells)
    assert to_dict(verdict_of(asked, asked.layout, again, same, rounds=2)) == to_dict(
        verdict_of(asked, asked.layout, log, finding, rounds=2)
    )


def test_a_torn_last_line_is_cut_and_its_run_made_again(tmp_path: Path) -> None:
    asked = request(tmp_path, 2)
    run(asked, additive({}, noise=0.01), most=3)
    path = tmp_path / "runs.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    log = RunLog(tmp_path)
    assert len(log.outcomes) == 2
    assert len(log.cells) == 3
    layout = asked.layout
    metric = metric_for(asked.measures[0], log, None)
    cells = next_cells(
        asked, layout, log, lambda: find(layout, log, asked.measures, metric, plans=(2,))
    )
    assert cells[0].run_id == list(log.cells)[2]


def test_a_run_that_fails_is_tried_once_more_in_a_directory_of_its_own(tmp_path: Path) -> None:
    tries: list[str] = []

    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        tries.append(cell.run_id)
        return None if tries.count(cell.run_id) == 1 else 0.5 + 0.01 * len(tries)

    asked = request(tmp_path, 1, confirm_seeds=0)
    log, _ = run(asked, value, most=4)
    assert tries == ["attribute-0000", "attribute-0000", "attribute-0001", "attribute-0001"]
    assert log.outcomes["attribute-0000"].is_done
    assert log.directory("attribute-0000").name == "attribute-0000.2"


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_script_that_ended_well_is_not_tried_again(tmp_path: Path, is_missing: bool) -> None:
    asked, log = request(tmp_path, 2), RunLog(tmp_path)
    cell = experiment_cells(asked, asked.layout, 1)[0]
    log.begin(cell)
    log.end(
        Outcome(
            run_id=cell.run_id,
            exit_code=0,
            seconds=1.0,
            problem="it left no result: none",
            is_missing=is_missing,
        )
    )
    assert log.is_over(cell.run_id)
    assert log.directory(cell.run_id).name == cell.run_id


def test_a_script_that_is_ended_in_good_order_after_its_time_is_tried_again(tmp_path: Path) -> None:
    """It may answer SIGTERM with exit code 0."""
    asked, log = request(tmp_path, 2), RunLog(tmp_path)
    cell = experiment_cells(asked, asked.layout, 1)[0]
    log.begin(cell)
    late = "it was ended after its time limit of 3 s"
    log.end(Outcome(run_id=cell.run_id, exit_code=0, seconds=3.0, problem=late))
    assert not log.is_over(cell.run_id)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_metric_that_is_not_there_ends_it_after_reference_and_best(
    tmp_path: Path, missing: int
) -> None:
    asked, log = request(tmp_path, 3), RunLog(tmp_path)
    for number, cell in enumerate(next_runs(asked, asked.layout, log, lambda: None)[:2]):  # type: ignore[arg-type,return-value]
        log.begin(cell)
        ended = outcome(cell, 0.5, asked)
        if number < missing:
            problem = "it left no result: r.json is not there"
            ended = replace(ended, metrics={}, problem=problem, is_missing=True)
        log.end(ended)
    said = why_useless(asked, log)
    assert said == (
        "The first 2 runs ended well, but left no result: r.json is not there." * (missing == 2)
    )
    # While it may be missing everywhere nothing is warned of; once another run has it, it is.
    warned = warnings_of(log, asked.layout)
    assert [text.partition(" as a whole")[0] for text in warned] == ["! yours"] * (missing == 1)


def constant(levels: Mapping[str, int], cell: Cell) -> float:
    return 0.5


def ignorant(levels: Mapping[str, int], cell: Cell) -> float:
    return 0.5 + 0.01 * cell.seed


def broken(levels: Mapping[str, int], cell: Cell) -> None:
    return None


@pytest.mark.parametrize(
    ("formula", "most", "says"),
    [
        (constant, 4, "is 0.5 in all of 4 runs, whatever their configuration"),
        (constant, 16, "is 0.5 in all of 16 runs: it is constant"),
        (ignorant, 16, "the same in all 16 runs of a seed"),
        (broken, 8, "first 4 runs left no result, the last of them because it broke"),
    ],
)
def test_a_script_that_shows_nothing_is_found_out_early(
    tmp_path: Path, formula: Formula, most: int, says: str
) -> None:
    asked = request(tmp_path, 3)
    log, _ = run(asked, formula, most=most)
    assert says in why_useless(asked, log)


@pytest.mark.parametrize("lost", [None, 0.5])
def test_runs_that_agree_or_fail_while_one_key_stays_are_no_sign(
    tmp_path: Path, lost: float | None
) -> None:
    """Runs that have one value of a key only say nothing of its other one."""

    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        return 0.6 if levels["f2"] else lost

    asked, log = request(tmp_path, 3), RunLog(tmp_path)
    cells = [cell for cell in experiment_cells(asked, asked.layout, 1) if cell.levels["f2"] < 0]
    assert len(cells) == 4
    for cell in cells:
        log.begin(cell)
        for _ in range(2 if lost is None else 1):
            levels = {name: int(level > 0) for name, level in cell.levels.items()}
            log.end(outcome(cell, value(levels, cell), asked))
    assert why_useless(asked, log) == ""


def test_the_reference_and_the_best_are_run_first(tmp_path: Path) -> None:
    asked = request(tmp_path, 3)
    log, _ = run(asked, additive({}, noise=0.01), most=2)
    assert [set(cell.levels.values()) for cell in log.cells.values()] == [{-1}, {1}]
    log, _ = run(asked, additive({}, noise=0.01))
    assert len({cell.run_id for cell in log.of_stage("attribute")}) == len(
        experiment_cells(asked, asked.layout, len({c.block for c in log.of_stage("attribute")}))
    )


def test_a_script_that_works_is_not_suspected(tmp_path: Path) -> None:
    asked = request(tmp_path, 3)
    log, _ = run(asked, additive({"f0": 0.1}, noise=0.0), most=8)
    assert why_useless(asked, log) == ""
