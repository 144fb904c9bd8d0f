"""What is said of the differences is true: planted ones are found, others are not."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.efficiency.beside import simulate
from search.commands.compare.answer.judging import find
from search.commands.compare.answer.margin import metric_for
from search.commands.compare.answer.remarks import ending, remarks, warnings
from search.commands.compare.answer.sentences import (
    BESIDE,
    FAILS,
    ON_AVERAGE,
    confirmed_sentence,
    rows,
    sentence,
)
from search.commands.compare.answer.verdict import verdict_of
from search.commands.compare.answer.written import advised_text, to_dict
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.running import next_runs
from search.commands.compare.schedule import confirm_cells, experiment_cells, next_cells
from search.commands.compare.script import Outcome
from search.commands.compare.suspicion import why_useless
from tests.support.toy_comparison import Formula, outcome, request, run


def additive(
    effects: Mapping[str, float], *, noise: float, seed: int = 0
) -> Callable[[Mapping[str, int], Cell], float]:
    """An accuracy of 0.6 in the mean, with effects that add up; blocks differ, too."""

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        rng = np.random.default_rng([seed, hash_of(cell.run_id)])
        of_block = np.random.default_rng([seed, cell.seed]).normal(0.0, 0.02)
        gains = sum(effects.get(name, 0.0) * level for name, level in levels.items())
        return float(0.6 + of_block + gains + rng.normal(0.0, noise))

    return value


def hash_of(name: str) -> int:
    return zlib.crc32(name.encode())


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


def test_runs_that_fail_at_one_value_decide_for_the_other(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        return None if not levels["f0"] else additive({}, noise=0.01)(levels, cell)

    asked = request(tmp_path, 3, confirm_seeds=0)
    log, finding = run(asked, value)
    (first, *_) = finding.factors
    assert first.outcome == "helps"
    assert first.by_runs_that_fail
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    assert log.outcomes["attribute-0000"].problem == "it broke"
    assert "12 of 12 runs ended without a result at 0, 0 of 12 at 1" in remarks(verdict)[0]
    assert warnings(verdict)[0] == "`f0`: runs fail at 0, the last because it broke."
    assert (
        warnings(verdict)[1] == "No run of the reference left a result, the last because it broke."
    )
    assert rows(verdict)[0]["accuracy"] == FAILS
    # Held at yours by --fix, every run would fail.
    assert ending(verdict).endswith("give both files the best's value of `f0` and compare again.")


def test_an_effect_that_depends_on_another_is_said_with_both_sizes(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float:
        joint = 0.2 * levels["f0"] * (1 - levels["f1"])
        return additive({"f1": 0.3}, noise=0.005)(levels, cell) - joint

    asked = request(tmp_path, 3, confirm_seeds=2)
    log, finding = run(asked, value)
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    (said,) = [line for line in warnings(verdict) if "depends on" in line]
    assert "`f0` depends on `f1`" in said
    joint = to_dict(verdict)["interactions"][0]
    assert joint["effect_at_reference"] == pytest.approx(-0.2, abs=0.03)
    assert joint["effect_at_best"] == pytest.approx(0.0, abs=0.03)


def test_what_a_change_is_worth_beside_the_advised_values_is_said(tmp_path: Path) -> None:
    """On average f1 gains 0.1; where f0 is taken, as is advised, next to nothing."""

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        gain = (0.01 if levels["f0"] else 0.2) * levels["f1"]
        return additive({"f0": 0.4}, noise=0.005)(levels, cell) + gain

    asked = request(tmp_path, 3, confirm_seeds=0)
    log, finding = run(asked, value)
    found = {factor.name: factor for factor in finding.factors}
    assert found["f1"].takes_best
    assert found["f1"].effects[asked.metrics[0]].mean == pytest.approx(0.105, abs=0.01)
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    beside = verdict.beside["f1"]
    assert beside.mean == pytest.approx(0.01, abs=0.01)
    assert beside.ci95[0] < 0.01 < beside.ci95[1]
    assert "f2" not in verdict.beside
    row = next(row for row in rows(verdict) if row["factor"] == "f1")
    assert row[BESIDE].startswith("+0.0")
    (said,) = [line for line in warnings(verdict) if "`f1` depends on `f0`" in line]
    assert said.index("where `f0` is 1") < said.index("where `f0` is 0")
    assert said.endswith("averaged over the rest.")
    assert to_dict(verdict)["dials"][1]["beside_advised"]["mean"] == beside.mean
    assert to_dict(verdict)["dials"][2]["beside_advised"] is None


def test_where_the_average_misleads_the_other_value_is_said_to_be_worth_a_try(
    tmp_path: Path,
) -> None:
    """Beside f0 the change gains, alone it costs more: the average keeps what is worse here."""

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        gain = (0.06 if levels["f0"] else -0.2) * levels["f1"]
        return additive({"f0": 0.3}, noise=0.004)(levels, cell) + gain

    asked = request(tmp_path, 3, confirm_seeds=0)
    log, finding = run(asked, value)
    assert finding.advised == {"f0": 1, "f1": -1, "f2": -1}
    said = warnings(verdict_of(asked, asked.layout, log, finding, rounds=2))
    (hint,) = [line for line in said if "beside what is written out" in line]
    assert hint.startswith("`f1`: beside what is written out the best's is better, +0.0")
    assert hint.endswith("though not on average: try that.")


def test_where_nothing_depends_on_another_no_column_says_so(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, confirm_seeds=0)
    log, finding = run(asked, additive({"f0": 0.06}, noise=0.01))
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    assert all(BESIDE not in row for row in rows(verdict))


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


def test_it_is_said_why_the_experiment_ended_and_how_it_goes_on(tmp_path: Path) -> None:
    said, findings = [], []
    for number, (effect, noise) in enumerate(((0.1, 0.001), (-0.01, 0.01), (0.0, 0.05))):
        directory = tmp_path / str(number)
        directory.mkdir()
        asked = request(directory, 2, confirm_seeds=0, fixed=("f1",))
        log, finding = run(asked, additive({"f0": effect}, noise=noise))
        findings.append(finding)
        said.append(ending(verdict_of(asked, asked.layout, log, finding, rounds=finding.rounds)))
    assert (
        said[0] == "The experiment ended after 2 of at most 4 rounds: every difference is decided."
    )
    for text, finding in zip(said[1:], findings[1:], strict=True):
        assert finding.factors[0].outcome == "open"
        early = f"after {finding.rounds} of at most 4 rounds: the runs that were left would hardly"
        assert (early in text) == (finding.rounds < 4)
        offered = re.search(
            r"`f0` may be decided, for or against, by (\d+) more, .*MAX_BLOCKS=(\d+)$", text
        )
        assert offered is not None
        assert int(offered[1]) == 8 * (int(offered[2]) - finding.rounds)
        assert int(offered[2]) > 4


def test_where_no_run_tells_an_effect_no_number_of_runs_is_offered(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, confirm_seeds=0)
    log, finding = run(asked, additive({"f0": 0.1}, noise=0.0))
    open_ = replace(finding.factors[1], outcome="open", more_runs=None)
    finding = replace(finding, factors=(finding.factors[0], open_, finding.factors[2]))
    said = ending(verdict_of(asked, asked.layout, log, finding, rounds=2))
    assert said.endswith("How many more would decide it, these runs do not tell.")


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


def test_where_the_best_as_a_whole_is_better_it_is_what_is_written(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float:
        # Alone f1 costs much more than it gains beside f0: its mean effect hurts.
        gain = (0.05 if levels["f0"] else -0.3) * levels["f1"]
        return additive({"f0": 0.1}, noise=0.005)(levels, cell) + gain

    asked = request(tmp_path, 3, confirm_seeds=4)
    log, finding = run(asked, value)
    assert {name: finding.advised[name] for name in ("f0", "f1")} == {"f0": 1, "f1": -1}
    assert finding.factors[2].outcome == "open"
    assert not finding.factors[2].takes_best
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    confirmation = verdict.confirmation
    assert confirmation is not None
    assert confirmation.better == "best"
    assert verdict.advised.flat == {"same": 1, "f0": 1, "f1": 1, "f2": 1}
    said = re.fullmatch(
        r"Take the best as a whole, with accuracy (.*) above the changes that help one by one and "
        r"(.*) above yours on fresh seeds; `f1` helps only beside the best's `f0`.",
        sentence(verdict),
    )
    assert said is not None
    assert float(said[1]) == pytest.approx(-confirmation.advised_minus["best"].mean, abs=1e-3)
    assert confirmation.gap is not None
    assert float(said[2]) == pytest.approx(confirmation.gap.mean, abs=1e-3)
    (yours, best, advised) = re.findall(r"(0\.\d+) with", confirmed_sentence(verdict))
    means = confirmation.means
    assert [float(yours), float(best), float(advised)] == pytest.approx(
        [means[role] for role in ("reference", "best", "advised")], abs=1e-3
    )
    assert confirmation.gap.mean == pytest.approx(means["best"] - means["reference"])
    assert [row["what to do"] for row in rows(verdict)] == ["take the best's"] * 3
    averages = ["take the best's", "keep yours", "not decided"]
    assert [row[ON_AVERAGE] for row in rows(verdict)] == averages
    # Nothing that is said speaks of another configuration than the file holds.
    (of_open,) = [line for line in remarks(verdict) if line.startswith("`f2`: matters")]
    assert of_open.endswith("the best's value is written out.")
    head, *values = [x for x in advised_text(verdict).splitlines() if x.startswith("#")]
    assert "Take the best as a whole" in head
    assert values[1:] == ["# f0 = 1", "# f1 = 1", "# f2 = 1"]
    told = to_dict(verdict)["dials"]
    assert [(dial["recommended"], dial["advised"]) for dial in told] == [("1", "best")] * 3


def test_what_is_advised_may_be_yours_while_the_best_is_better(tmp_path: Path) -> None:
    """Nothing is decided in the experiment, and the fresh seeds speak for the best."""

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        gain = 0.02 * levels["f0"] if cell.stage == "confirm" else 0.0
        return additive({}, noise=0.001)(levels, cell) + gain

    asked = request(tmp_path, 2, confirm_seeds=4)
    log, finding = run(asked, value)
    assert finding.advised == {"f0": -1, "f1": -1}
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=finding.rounds)
    assert re.fullmatch(
        r"Take the best as a whole, with accuracy 0\.0\d+ above yours on fresh seeds\.",
        sentence(verdict),
    )
    assert "as advised" not in confirmed_sentence(verdict)


def test_fewer_seeds_of_a_configuration_are_said(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        if cell.stage == "confirm" and levels["f0"] and cell.block > 1:
            return None
        return additive({"f0": 0.1}, noise=0.005)(levels, cell)

    asked = request(tmp_path, 2, confirm_seeds=5)
    log, finding = run(asked, value)
    said = confirmed_sentence(verdict_of(asked, asked.layout, log, finding, rounds=2))
    assert said.startswith("On 5 fresh seeds ")
    assert said.count("on 2 of them") == 2  # The best, and what is advised.


def test_a_confirmation_of_which_every_run_failed_is_no_missing_one(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        if cell.stage == "confirm":
            return None
        return additive({"f0": 0.1}, noise=0.005)(levels, cell)

    asked = request(tmp_path, 2, confirm_seeds=2)
    log, finding = run(asked, value)
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    assert confirmed_sentence(verdict) == "No run on fresh seeds left a result."
    without = replace(verdict, confirmation=None)
    assert confirmed_sentence(without) == "Nothing is confirmed on fresh seeds."


def test_the_confirmation_compares_on_seeds_that_nothing_else_had(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, confirm_seeds=3)
    log, finding = run(asked, additive({"f0": 0.06, "f1": -0.06}, noise=0.005, seed=1))
    earlier = {cell.seed for cell in log.of_stage("attribute")}
    fresh = {cell.seed for cell in log.of_stage("confirm")}
    assert len(fresh) == 3
    assert not earlier & fresh
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    assert verdict.confirmation is not None
    gain = verdict.confirmation.advised_minus["reference"]
    assert gain.ci95[0] < 0.06 < gain.ci95[1]
    assert verdict.confirmation.advised_minus["best"].mean == pytest.approx(0.06, abs=0.02)
    assert confirmed_sentence(verdict).startswith("On 3 fresh seeds accuracy is 0.")
    assert sentence(verdict).startswith("Take the best's value of `f0`; keep yours of `f1`")


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


def test_a_configuration_that_never_ran_is_missed_in_the_answer(tmp_path: Path) -> None:
    """The best has a key that the script does not know: its runs crash, and only some do."""

    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        return None if levels["f0"] else additive({}, noise=0.01)(levels, cell)

    asked = request(tmp_path, 3, confirm_seeds=2)
    log, finding = run(asked, value)
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    said = confirmed_sentence(verdict)
    assert "with yours (as advised)" in said
    assert "none with the best, which left no result" in said
    assert "No run of the best left a result, the last because it broke." in warnings(verdict)


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
