"""An adjustment of logits is judged on the weights and class weights that are advised."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.plan.plan import Plan, space_of
from search.plan.stage_size import search_sizes, usual_runs_per_round
from search.stages.advice import advise
from search.stages.analysis import decide_dials, is_decided_by, schedule_of
from search.stages.experiment import NO_AVERAGE, block_specs, experiment_factors
from search.stages.within_run import with_tried
from search.verdict.design import WithinRun, cells
from search.verdict.effects import Run
from search.verdict.judgement import judge_all
from search.verdict.looking import looks_at, rounds_of
from search.verdict.schema import Dial
from spaces.recipe import Recipe
from tests.support.finished_run import BEST, REFERENCE, a_config, a_plan
from trainable.timing import Timing

NAME = "logit_adjustment"
WEIGHTS = "class_weighting"
LEVELS = ("reference", "best", NO_AVERAGE)


def plan_of(
    folder: Path, *, smallest: int = 20, bias: bool = True, reference: Recipe = REFERENCE
) -> Plan:
    """A plan of 300 images of two classes, ``smallest`` of them of one."""
    plan = a_plan()
    task = replace(
        plan.task, has_output_bias=bias, smallest_class=smallest, largest_class=300 - smallest
    )
    return replace(
        plan,
        task=task,
        space=space_of(task, a_config(folder)),
        anchors={**plan.anchors, "reference": reference},
    )


@pytest.mark.parametrize(
    ("smallest", "bias", "is_there"),
    [(20, True, True), (74, True, True), (75, True, False), (150, True, False), (20, False, False)],
)
def test_it_gets_a_dial_where_classes_differ_and_it_can_ship(
    smallest: int, bias: bool, is_there: bool, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, smallest=smallest, bias=bias)
    assert (NAME in plan.dial_names) is is_there
    assert with_tried(BEST, plan).logit_adjustment == (1.0 if is_there else 0.0)


@pytest.mark.parametrize(("asked", "tried"), [(0.0, 1.0), (1.0, 0.0), (0.4, 0.0)])
def test_every_run_measures_it_on_all_weights_and_none_is_added(
    asked: float, tried: float, tmp_path: Path
) -> None:
    reference = replace(REFERENCE, logit_adjustment=asked)
    plan = plan_of(tmp_path, reference=reference)
    best = with_tried(replace(BEST, logit_adjustment=asked), plan)
    what = experiment_factors(plan, best)
    specs = block_specs(plan, best, what, block=0, seed=0)
    expected = {f"{level}.{NAME}": tried for level in LEVELS}
    assert [spec.within_levels for spec in specs] == [expected] * len(specs)
    assert {spec.recipe.logit_adjustment for spec in specs} == {asked}
    without = plan_of(tmp_path, bias=False, reference=reference)
    assert usual_runs_per_round(plan) == usual_runs_per_round(without)
    # Nor does it cost time: the images have gone through the model already.
    timing = Timing(step_s=0.1, evaluated_image_s=0.01)
    config = a_config(tmp_path)
    assert search_sizes(plan, config, timing) == search_sizes(without, config, timing)


def runs(
    plan: Plan,
    best: Recipe,
    at: Mapping[str, float],
    *,
    gains: Mapping[int, float],
    weights_gain: float = 0.0,
    noise: float = 0.01,
    noise_of_gain: float = 0.0,
) -> list[Run]:
    """Eight blocks of runs that differ by class weights, averages and the adjustment alone.

    Args:
        plan: The plan.
        best: What is tried.
        at: Accuracy of each set of weights, without adjustment.
        gains: What adjustment adds, by level of the class weights; where these do not vary, -1.
        weights_gain: What class weights add.
        noise: Standard deviation between runs.
        noise_of_gain: Standard deviation of what adjustment adds.
    """
    rng = np.random.default_rng(3)
    what = experiment_factors(plan, best)
    made = []
    for block in range(8):
        for i, levels in enumerate(cells(what.trajectory, block=block)):
            weighted = levels.get(WEIGHTS, -1)
            of_run = noise * rng.normal() + (weights_gain if weighted > 0 else 0.0)
            seen = {name: x + of_run + 0.002 * rng.normal() for name, x in at.items()}
            seen |= {
                f"{n}.{NAME}": x + gains[weighted] + noise_of_gain * rng.normal()
                for n, x in seen.items()
            }
            metrics = {
                name: {"val/top1": x, "val/nll": 1.0 - x, "val/nll_refined": 1.0 - x}
                for name, x in seen.items()
            }
            made.append(Run(run_id=f"{block}-{i}", block=block, levels=levels, metrics=metrics))
    return made


def decided(
    folder: Path,
    at: Mapping[str, float],
    *,
    gains: Mapping[int, float],
    best: Recipe = BEST,
    weights_gain: float = 0.0,
    reference: Recipe = REFERENCE,
) -> tuple[dict[str, Dial], Recipe]:
    plan = plan_of(folder, reference=reference)
    tried = with_tried(best, plan)
    made = runs(plan, tried, at, gains=gains, weights_gain=weights_gain)
    _, dials = decide_dials(made, plan, a_config(folder), tried)
    return {d.strength: d for d in dials}, advise(plan, tried, dials).recipe


AT = {"reference": 0.1, "best": 0.85, NO_AVERAGE: 0.5}


def test_a_gain_turns_the_dial_and_the_advised_recipe_adjusts(tmp_path: Path) -> None:
    dials, advised = decided(tmp_path, AT, gains={-1: 0.03})
    dial = dials[NAME]
    assert (dial.turn, dial.reference, dial.recommended) == ("up", 0.0, 1.0)
    assert dial.effect["val/top1"].mean == pytest.approx(0.03, abs=0.002)
    assert advised.logit_adjustment == 1.0


def test_a_loss_leaves_outputs_as_they_were_trained(tmp_path: Path) -> None:
    dials, advised = decided(tmp_path, AT, gains={-1: -0.03})
    assert dials[NAME].turn == "leave"
    assert "1 was tried instead" in dials[NAME].remark
    assert advised.logit_adjustment == 0.0


@pytest.mark.parametrize(
    ("at", "judged_on"),
    [
        (AT, "best"),
        ({"reference": 0.85, "best": 0.5, NO_AVERAGE: 0.1}, "reference"),
        ({"reference": 0.1, "best": 0.5, NO_AVERAGE: 0.85}, NO_AVERAGE),
    ],
)
def test_it_is_judged_on_the_weights_that_are_advised(
    at: Mapping[str, float], judged_on: str, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path)
    tried = with_tried(BEST, plan)
    made = [
        replace(
            run,
            metrics={
                # It helps on these weights only.
                name: {m: x + 0.03 * (name == f"{judged_on}.{NAME}") for m, x in of.items()}
                for name, of in run.metrics.items()
            },
        )
        for run in runs(plan, tried, at, gains={-1: 0.0})
    ]
    effects, dials = decide_dials(made, plan, a_config(tmp_path), tried)
    (dial,) = (dial for dial in dials if dial.strength == NAME)
    assert dial.turn == "up"
    assert dial.effect["val/top1"].mean == effects[NAME]["val/top1"].mean
    assert dial.effect["val/top1"].mean == pytest.approx(0.03, abs=0.002)
    decays = {
        "best": BEST.strengths.ema_decay,
        "reference": REFERENCE.strengths.ema_decay,
        NO_AVERAGE: 0.0,
    }
    assert advise(plan, tried, dials).recipe.strengths.ema_decay == decays[judged_on]


def test_an_average_is_not_kept_for_what_the_adjustment_gains(tmp_path: Path) -> None:
    at = {"reference": 0.1, "best": 0.84, NO_AVERAGE: 0.85}
    dials, advised = decided(tmp_path, at, gains={-1: 0.05})
    assert advised.strengths.ema_decay == 0.0
    assert (dials[NAME].turn, advised.logit_adjustment) == ("up", 1.0)


BALANCED = replace(BEST, class_weighting=1.0)


def test_after_class_weights_that_help_a_second_correction_has_to_help_too(tmp_path: Path) -> None:
    # Over all runs it would gain 2 points; with the weights that are advised it loses 4.
    gains = {-1: 0.08, 1: -0.04}
    dials, advised = decided(tmp_path, AT, gains=gains, best=BALANCED, weights_gain=0.1)
    assert dials[WEIGHTS].turn == "up"
    assert dials[NAME].turn == "leave"
    assert dials[NAME].effect["val/top1"].mean == pytest.approx(-0.04, abs=0.002)
    assert (advised.class_weighting, advised.logit_adjustment) == (1.0, 0.0)


def test_without_class_weights_it_is_judged_in_runs_that_have_none(tmp_path: Path) -> None:
    # Over all runs it would lose a point.
    gains = {-1: 0.04, 1: -0.06}
    dials, advised = decided(tmp_path, AT, gains=gains, best=BALANCED, weights_gain=-0.05)
    assert dials[WEIGHTS].turn == "leave"
    assert dials[NAME].turn == "up"
    assert (advised.class_weighting, advised.logit_adjustment) == (0.0, 1.0)


def test_where_both_help_both_are_advised(tmp_path: Path) -> None:
    gains = {-1: 0.04, 1: 0.02}
    dials, advised = decided(tmp_path, AT, gains=gains, best=BALANCED, weights_gain=0.05)
    assert (advised.class_weighting, advised.logit_adjustment) == (1.0, 1.0)
    assert dials[NAME].effect["val/top1"].mean == pytest.approx(0.02, abs=0.002)


def test_weights_that_go_to_off_are_judged_in_the_runs_that_come_nearest(tmp_path: Path) -> None:
    # A beta of 0.9 undoes a twentieth of the imbalance, so that off is advised in its place.
    reference, best = (replace(r, class_weighting=b) for r, b in ((REFERENCE, 1.0), (BEST, 0.9)))
    gains = {-1: -0.06, 1: 0.04}
    dials, advised = decided(
        tmp_path, AT, gains=gains, best=best, weights_gain=0.05, reference=reference
    )
    assert (dials[WEIGHTS].turn, dials[WEIGHTS].recommended) == ("down", 0.0)
    assert dials[NAME].turn == "up"
    assert dials[NAME].effect["val/top1"].mean == pytest.approx(0.04, abs=0.002)
    assert (advised.class_weighting, advised.logit_adjustment) == (0.0, 1.0)


@pytest.mark.parametrize("adjustment", [0.03, -0.03])
def test_it_stays_open_where_other_statistics_of_the_average_are_advised(
    adjustment: float, tmp_path: Path
) -> None:
    of_plan = plan_of(tmp_path)
    plan = replace(of_plan, task=replace(of_plan.task, has_batch_norm=True))
    tried = with_tried(BEST, plan)
    statistics = "best.ema_batch_norm"

    def decided_with(gain: float) -> tuple[dict[str, Dial], Recipe, bool]:
        at = {**AT, statistics: AT["best"] + gain}
        made = runs(plan, tried, at, gains={-1: adjustment}, noise=0.001, noise_of_gain=0.004)
        config = a_config(tmp_path, max_blocks=100)
        _, dials = decide_dials(made, plan, config, tried)
        assert not [d for d in dials if d.turn == "inconclusive" and d.strength != NAME]
        is_decided = is_decided_by(made, plan, config, tried)
        return {d.strength: d for d in dials}, advise(plan, tried, dials).recipe, is_decided

    dials, advised, is_decided = decided_with(0.04)
    assert (advised.ema_batch_norm, advised.strengths.ema_decay) == ("measured", 0.9)
    assert (dials[NAME].turn, advised.logit_adjustment) == ("inconclusive", 0.0)
    assert "with ema_batch_norm averaged, while measured is advised" in dials[NAME].remark
    assert dials[NAME].more_runs is None
    assert is_decided  # No run of this experiment would tell.
    dials, advised, _ = decided_with(-0.04)
    assert advised.ema_batch_norm == "averaged"
    assert dials[NAME].turn == ("up" if adjustment > 0 else "leave")


def test_of_the_further_runs_of_an_open_dial_half_have_the_advised_class_weights(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    tried = with_tried(BALANCED, plan)
    gains = {-1: 0.012, 1: -0.04}
    made = runs(plan, tried, AT, gains=gains, weights_gain=-0.05, noise_of_gain=0.05)
    _, dials = decide_dials(made, plan, a_config(tmp_path), tried)
    (dial,) = (dial for dial in dials if dial.strength == NAME)
    assert (dial.turn, dial.num_runs) == ("inconclusive", len(made) // 2)
    # The same by hand: half of a round tells of it, and takes the whole round.
    what = experiment_factors(plan, tried)
    of_round = rounds_of(what).runs
    seen = [run for run in made if run.levels[WEIGHTS] < 0]
    at_best = WithinRun(name=NAME, reference="best", best=f"best.{NAME}")
    rounds = replace(rounds_of(what), within=(at_best,))
    looks = looks_at(seen, rounds, schedule_of(a_config(tmp_path)))
    judged = judge_all(looks, runs_per_round=of_round // 2)[NAME]
    assert judged.more_runs is not None
    assert judged.more_runs_range is not None
    assert dial.runs_to_decide == 2 * judged.more_runs
    assert dial.more_runs == tuple(2 * number for number in judged.more_runs_range)
    assert dial.runs_to_decide % of_round == 0
