"""The words of an answer are true, and agree with the table and the file that is written out."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from search.commands.compare.answer.figure import factors_figure
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
from search.commands.compare.run_log import Cell
from tests.support.toy_comparison import additive, request, run


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


def test_keys_whose_best_values_fail_are_to_be_held_not_the_group(tmp_path: Path) -> None:
    def value(levels: Mapping[str, int], cell: Cell) -> float | None:
        return None if levels["both"] else additive({}, noise=0.01)(levels, cell)

    asked = request(tmp_path, 4, confirm_seeds=0, groups=("both=f0,f1",))
    log, finding = run(asked, value)
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    assert ending(verdict).endswith("compare again with `f0` and `f1` held by `--fix`.")
    drawing = str(factors_figure(verdict).draw(900.0))
    assert FAILS in drawing
    assert "cannot be told from these runs" not in drawing


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
