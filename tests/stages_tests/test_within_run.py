"""What is measured within runs costs none, is judged like the average, and ships where it was."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.plan.plan import Plan
from search.plan.stage_size import usual_runs_per_round
from search.records.trials import Record, Trial
from search.stages.advice import advise
from search.stages.analysis import decide_dials, experiment_runs
from search.stages.experiment import NO_AVERAGE, block_specs, experiment_factors
from search.stages.within_run import with_tried
from search.verdict.design import AVERAGES, cells
from search.verdict.effects import Run
from search.verdict.schema import Dial
from search.verdict.wording import value_text
from spaces.recipe import Recipe
from tests.support.finished_run import BEST, EPOCHS, REFERENCE, a_config, a_plan

NAME = "ema_batch_norm"


def plan_with_batch_norm(reference: Recipe = REFERENCE) -> Plan:
    plan = a_plan()
    anchors = {**plan.anchors, "reference": reference}
    return replace(plan, task=replace(plan.task, has_batch_norm=True), anchors=anchors)


def test_each_run_measures_the_best_average_with_both_statistics() -> None:
    plan = plan_with_batch_norm()
    tried = with_tried(BEST, plan)
    what = experiment_factors(plan, tried)
    assert [factor.name for factor in what.within] == ["ema_decay", NAME]
    without = block_specs(a_plan(), BEST, experiment_factors(a_plan(), BEST), block=0, seed=0)
    specs = block_specs(plan, tried, what, block=0, seed=0)
    assert [spec.within_levels for spec in specs] == [{f"best.{NAME}": 1.0}] * len(specs)
    # It costs no run and trains nothing differently.
    assert [replace(spec, within_levels={}) for spec in specs] == without
    assert usual_runs_per_round(plan) == usual_runs_per_round(a_plan())


def test_a_model_without_batch_norm_has_no_such_dial() -> None:
    assert NAME in plan_with_batch_norm().dial_names
    assert NAME not in a_plan().dial_names
    assert with_tried(BEST, a_plan()) == BEST


@pytest.mark.parametrize(
    ("reference", "best", "judged_on"),
    [(0.9999, 0.9, "best"), (0.0, 0.9, "best"), (0.9, 0.0, "reference"), (0.0, 0.0, None)],
)
def test_it_is_judged_on_an_average_if_there_is_one(
    reference: float, best: float, judged_on: str | None
) -> None:
    plan = plan_with_batch_norm(REFERENCE.with_strengths(ema_decay=reference))
    tried = with_tried(BEST.with_strengths(ema_decay=best), plan)
    found = [f for f in experiment_factors(plan, tried).within if f != AVERAGES]
    assert [f.reference for f in found] == ([judged_on] if judged_on else [])
    assert (tried.ema_batch_norm == "measured") is (judged_on is not None)


def test_of_a_reference_that_measures_the_average_is_what_is_tried() -> None:
    reference = replace(REFERENCE, ema_batch_norm="measured")
    plan = plan_with_batch_norm(reference)
    tried = with_tried(replace(BEST, ema_batch_norm="measured"), plan)
    assert tried.ema_batch_norm == "averaged"
    (spec, *_) = block_specs(plan, tried, experiment_factors(plan, tried), block=0, seed=0)
    assert spec.recipe.ema_batch_norm == "measured"
    assert spec.within_levels == {f"best.{NAME}": 0.0}


def test_what_a_run_reported_of_a_level_is_read_as_its_own_measurement() -> None:
    plan = plan_with_batch_norm()
    tried = with_tried(BEST, plan)
    spec = block_specs(plan, tried, experiment_factors(plan, tried), block=0, seed=0)[0]
    reported = {f"val.best.{NAME}/top1": 0.9, "val.best/top1": 0.8, "val.none/top1": 0.7}
    record = Record(trial_id=spec.trial_id, stage=spec.stage, epoch=EPOCHS, metrics=reported)
    trial = Trial(spec=spec, records=(record,), status="finished")
    (run,) = experiment_runs([trial])
    assert run.metrics[f"best.{NAME}"] == {"val/top1": 0.9}
    assert run.metrics["best"] == {"val/top1": 0.8}


def runs(plan: Plan, at: Mapping[str, float]) -> list[Run]:
    """Eight blocks in which nothing but the measurement makes a difference, with noise."""
    rng = np.random.default_rng(3)
    what = experiment_factors(plan, with_tried(BEST, plan))
    made = []
    for block in range(8):
        for i, levels in enumerate(cells(what.trajectory, block=block)):
            of_run = 0.02 * rng.normal()
            seen = {name: x + of_run + 0.002 * rng.normal() for name, x in at.items()}
            metrics = {
                name: {"val/top1": x, "val/nll": 1.0 - x, "val/nll_refined": 1.0 - x}
                for name, x in seen.items()
            }
            made.append(Run(run_id=f"{block}-{i}", block=block, levels=levels, metrics=metrics))
    return made


def decided(tmp_path: Path, plan: Plan, at: Mapping[str, float]) -> dict[str, Dial]:
    tried = with_tried(BEST, plan)
    _, dials = decide_dials(runs(plan, at), plan, a_config(tmp_path), tried)
    return {dial.strength: dial for dial in dials}


def levels_of(
    *, best: float, measured: float, none: float = 0.5, reference: float = 0.1
) -> dict[str, float]:
    return {"reference": reference, "best": best, f"best.{NAME}": measured, NO_AVERAGE: none}


def test_a_gain_turns_the_dial_and_the_advised_recipe_measures(tmp_path: Path) -> None:
    plan = plan_with_batch_norm()
    dials = decided(tmp_path, plan, levels_of(best=0.85, measured=0.88))
    dial = dials[NAME]
    assert (dial.turn, dial.reference, dial.recommended) == ("up", 0.0, 1.0)
    assert dial.effect["val/top1"].mean == pytest.approx(0.03, abs=0.002)
    assert value_text(NAME, dial.recommended) == "measured"
    advised = advise(plan, with_tried(BEST, plan), list(dials.values())).recipe
    assert (advised.ema_batch_norm, advised.strengths.ema_decay) == ("measured", 0.9)


def test_no_gain_leaves_the_average_of_the_statistics(tmp_path: Path) -> None:
    plan = plan_with_batch_norm()
    dials = decided(tmp_path, plan, levels_of(best=0.85, measured=0.85))
    assert dials[NAME].turn == "leave"
    assert "measured was tried instead" in dials[NAME].remark
    advised = advise(plan, with_tried(BEST, plan), list(dials.values())).recipe
    assert advised.ema_batch_norm == "averaged"


def test_an_average_is_kept_that_beats_the_raw_weights_with_statistics_of_its_own(
    tmp_path: Path,
) -> None:
    plan = plan_with_batch_norm()
    dials = decided(tmp_path, plan, levels_of(best=0.70, measured=0.90, none=0.80))
    assert dials["ema_decay"].recommended == 0.9
    assert dials[NAME].turn == "up"


def test_without_an_advised_average_there_is_nothing_to_measure(tmp_path: Path) -> None:
    plan = plan_with_batch_norm()
    dials = decided(tmp_path, plan, levels_of(best=0.80, measured=0.83, none=0.90))
    assert dials["ema_decay"].recommended == 0.0
    assert dials[NAME].turn == "leave"
    assert dials[NAME].remark == "the advised recipe has no average"
    assert dials[NAME].effect == {}


def test_what_was_measured_on_an_average_that_is_not_advised_says_nothing(tmp_path: Path) -> None:
    plan = plan_with_batch_norm()
    at = levels_of(reference=0.90, best=0.80, measured=0.85, none=0.5)
    dials = decided(tmp_path, plan, at)
    assert dials["ema_decay"].recommended == REFERENCE.strengths.ema_decay
    assert dials[NAME].turn == "leave"
    assert "the average with a decay of 0.9, which the advised recipe does" in dials[NAME].remark
