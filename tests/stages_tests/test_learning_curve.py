"""Half of the training images, asked for of a finished run or from the start."""

import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from search.engine.conductor import Conductor
from search.plan.config import OF_INGREDIENTS, RunConfig
from search.plan.halves import require_halves
from search.plan.plan import Plan, space_of
from search.plan.stage_size import search_sizes, with_requests
from search.plan.top_up import topped_up
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec
from search.stages.advice import advise
from search.stages.analysis import analyse, decide_dials
from search.stages.experiment import block_specs, experiment_factors
from search.stages.learning_curve import learning_curve_of, require_enough_images, split_seeds
from search.stages.sequence import stage_makers
from search.stages.within_run import with_tried
from search.verdict.effects import Run
from search.verdict.schema import Dial, DialAtSizes, Verdict
from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.stages_tests.test_topped_up_run import noisy
from tests.support.finished_run import BEST, a_config, a_plan
from tests.support.replay import replay
from trainable.data.datasets import Dataset
from trainable.data.splits import stratified_split

PLAN: Plan = replace(a_plan(), rungs=())
GAIN = 0.06
"""What the other half of the images brings."""


def hungry(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Half of the images cost `GAIN`, and smoothing 0.4 per unit more of it."""
    if trial.spec.num_train is None:
        return noisy(trial, epoch)
    cost = GAIN + 0.4 * trial.spec.recipe.strengths.label_smoothing
    return {
        name: value + (cost if "nll" in name and not name.endswith("_se") else -cost)
        for name, value in noisy(trial, epoch).items()
    }


def work(config: RunConfig, most: int = 10**9) -> Journal:
    config.path.mkdir(parents=True, exist_ok=True)
    journal = Journal(config.path)
    makers = stage_makers(config, PLAN, journal, deadline=None)
    replay(Conductor(journal, makers), hungry, max_events=most, num_workers=2)
    journal.close()
    return journal


def analysed(config: RunConfig, journal: Journal) -> Verdict:
    """The verdict without results of each image, which a replay does not have."""
    config.path.joinpath("predictions").mkdir(exist_ok=True)
    for trial_id in journal.trials:
        config.path.joinpath("predictions", f"{trial_id}.json").write_text("{}")
    return analyse(journal, PLAN, config).verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Journal]:
    config = a_config(
        tmp_path_factory.mktemp("halved"), num_samples=6, max_blocks=2, confirm_seeds=4
    )
    return config, work(config)


@pytest.fixture(scope="module")
def halved(finished: tuple[RunConfig, Journal]) -> tuple[RunConfig, Journal]:
    config, first = finished
    asked = topped_up(config, first, learning_curve=True)
    return asked, work(asked)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def same_but_for_images(spec: TrialSpec, other: TrialSpec) -> bool:
    differ = ("stage", "number", "role", "num_train", "keep_weights", "lends_weights", "soup_of")
    names = {f.name for f in fields(TrialSpec)} - {*differ, "with_readings", "with_frozen"}
    steps = [
        s.recipe.epochs * ((s.num_train or PLAN.data.num_train) // s.recipe.batch_size)
        for s in (spec, other)
    ]
    assert steps[0] == pytest.approx(steps[1], rel=0.1)
    spec = replace(spec, recipe=replace(spec.recipe, epochs=other.recipe.epochs))
    return all(getattr(spec, name) == getattr(other, name) for name in names)


def test_the_cells_of_a_round_and_the_advised_recipe_run_again_on_half_of_the_images(
    finished: tuple[RunConfig, Journal], halved: tuple[RunConfig, Journal]
) -> None:
    _, journal = halved
    specs = [trial.spec for trial in journal.of_stage("learning_curve")]
    assert {spec.num_train for spec in specs} == {PLAN.data.num_train // 2}
    cells = [spec for spec in specs if spec.role == "cell"]
    first_round = [t.spec for t in journal.of_stage("attribute")][: len(cells)]
    assert len(cells) == 8
    assert all(map(same_but_for_images, cells, first_round))
    advised = [spec for spec in specs if spec.role == "advised"]
    confirmed = {t.spec.recipe: t.spec for t in journal.of_stage("confirm")}
    epochs = PLAN.reference.epochs
    assert {spec.recipe.epochs > epochs for spec in specs} == {True}
    assert len(advised) == finished[0].confirm_seeds
    for spec in advised:
        assert same_but_for_images(spec, confirmed[replace(spec.recipe, epochs=epochs)])
        assert not any((spec.with_readings, spec.with_frozen, spec.keep_weights, spec.soup_of))


def test_effects_and_gain_are_followed_from_half_to_all_to_twice(
    halved: tuple[RunConfig, Journal],
) -> None:
    verdict = analysed(*halved)
    found = verdict.learning_curve
    assert found is not None
    num = PLAN.data.num_train
    assert (found.num_half, found.num_all, found.num_twice) == (num // 2, num, 2 * num)
    by_name = {dial.strength: dial for dial in found.dials}
    smoothing, others = by_name["label_smoothing"], set(by_name) - {"label_smoothing"}
    assert others
    # Of 0.1 less, 8 points with all images and 12 with half of them, so 4 with twice as many.
    assert smoothing.turned
    sign = -1.0 if "nll" in smoothing.metric else 1.0
    assert sign * smoothing.at_all.mean == pytest.approx(0.08, abs=0.02)
    assert sign * smoothing.at_half.mean == pytest.approx(0.12, abs=0.02)
    low, high = smoothing.at_twice.times(sign).ci95
    assert low < 0.04 < high
    tried = analyse(halved[1], PLAN, halved[0]).tried
    for dial in found.dials:
        assert dial.reference != dial.tried
        assert dial.tried in (tried[dial.strength], 0.0)
        assert dial.at_twice.ci95[0] < dial.at_twice.mean < dial.at_twice.ci95[1]
    assert found.seeds == halved[0].confirm_seeds
    gain = found.gain["test/top1"]
    assert gain.ci95[0] < GAIN < gain.ci95[1]
    assert found.gain["test/nll"].mean < 0.0


def test_it_turns_nothing_and_advises_nothing_else(
    finished: tuple[RunConfig, Journal], halved: tuple[RunConfig, Journal]
) -> None:
    before, after = analysed(*finished), analysed(*halved)
    assert before.learning_curve is None
    asked = replace(after, learning_curve=None, top_ups=0)
    assert replace(asked, cost=before.cost) == before


@pytest.mark.parametrize("reports", [1, 30, 65])
def test_a_killed_run_goes_on_to_the_same_runs(
    finished: tuple[RunConfig, Journal],
    halved: tuple[RunConfig, Journal],
    tmp_path: Path,
    reports: int,
) -> None:
    config, _ = finished
    again = replace(config, run_dir=str(tmp_path))
    shutil.copytree(config.path, again.path)
    for name in ("trials.jsonl", "records.jsonl"):  # As they were before the runs on half of them.
        kept = [line for line in _lines(again.path / name) if "learning_curve-" not in line]
        (again.path / name).write_text("".join(kept))
    asked = topped_up(again, Journal(again.path), learning_curve=True)
    work(asked, most=reports)
    journal = work(asked)
    found, expected = analysed(asked, journal), analysed(*halved)
    assert found.learning_curve == expected.learning_curve
    assert len(journal.trials) == len(halved[1].trials)


def test_a_run_without_a_confirmation_follows_the_dials_alone(tmp_path: Path) -> None:
    config = a_config(tmp_path, stages=("attribute",), max_blocks=2, learning_curve=True)
    found = analysed(config, work(config)).learning_curve
    assert found is not None
    assert found.dials
    assert (found.gain, found.seeds) == ({}, 0)


def test_the_plan_counts_its_runs_as_long_as_others(tmp_path: Path) -> None:
    asked = a_config(tmp_path, confirm_seeds=4, learning_curve=True)
    *before, added = search_sizes(PLAN, asked, None)
    assert before == search_sizes(PLAN, replace(asked, learning_curve=False), None)
    assert (added.name, added.num_trials, added.max_trials) == ("learning_curve", 8 + 4, 0)
    timed = [replace(size, full_s=10.0) for size in before]
    assert with_requests(timed, asked)[-1].full_s == 10.0


def test_too_few_images_and_runs_without_an_experiment_are_refused(
    finished: tuple[RunConfig, Journal], tmp_path: Path
) -> None:
    least = 2 * PLAN.task.num_classes
    enough = replace(PLAN, data=replace(PLAN.data, num_train=least))
    require_enough_images(enough)
    few = replace(PLAN, data=replace(PLAN.data, num_train=least - 1))
    with pytest.raises(InputError, match=f"needs {least} training images, .* are {least - 1}"):
        require_enough_images(few)
    ablation = a_config(tmp_path, stages=OF_INGREDIENTS)
    with pytest.raises(InputError, match="`learning_curve` is that of an experiment"):
        topped_up(ablation, finished[1], learning_curve=True)


def a_dataset(group_size: int | None) -> Dataset:
    """400 images of two classes, 300 of them to train on, in groups of one class."""
    labels = np.arange(400) // 200
    groups = None if group_size is None else np.arange(400) // group_size
    return Dataset(
        name="digits",
        images=np.zeros((400, 1, 1, 3), np.uint8),
        labels=labels,
        class_names=("zero", "one"),
        split=stratified_split(labels, num_train=300, num_val=60, seed=0, groups=groups),
        digest="0123abcd",
        notes=(),
        groups=groups,
    )


def test_groups_so_large_that_no_half_can_be_kept_are_refused(tmp_path: Path) -> None:
    asked = a_config(tmp_path, learning_curve=True)
    seeds = split_seeds(PLAN, asked)
    assert len(seeds) > asked.confirm_seeds
    require_halves(a_dataset(None), seeds)
    require_halves(a_dataset(5), seeds)
    with pytest.raises(
        InputError, match="by whole groups, but groups are so large that 134 of 134"
    ):
        require_halves(a_dataset(67), seeds)


def test_an_effect_on_half_of_the_images_is_that_of_its_own_runs(
    halved: tuple[RunConfig, Journal],
) -> None:
    found = analysed(*halved).learning_curve
    assert found is not None
    dial = next(d for d in found.dials if d.strength == "label_smoothing")
    cells = [t for t in halved[1].of_stage("learning_curve") if t.spec.role == "cell"]
    name = dial.metric.replace("/", ".best/")
    by_level = {
        level: np.mean(
            [
                t.records[-1].metrics[name]
                for t in cells
                if t.spec.levels["label_smoothing"] == level
            ]
        )
        for level in (-1, 1)
    }
    assert dial.at_half.mean == pytest.approx(by_level[1] - by_level[-1])


Scores = Callable[[TrialSpec, str], float]
"""Top-1 of a run on the weights of a level."""


def measured(plan: Plan, best: Recipe, scores: Scores, *, blocks: int) -> list[Run]:
    """Runs of an experiment that have these scores and noise of half a point between them."""
    what = experiment_factors(plan, best)
    runs = []
    for block in range(blocks):
        for spec in block_specs(plan, best, what, block=block, seed=0):
            rng = np.random.default_rng(zlib.crc32(spec.trial_id.encode()))
            noise = 0.005 * rng.normal()
            top1 = {
                level: scores(spec, level) + noise + 0.001 * rng.normal()
                for level in (*spec.ema_levels, *spec.within_levels)
            }
            metrics = {
                level: {"val/top1": value, "val/nll": 1.0 - value, "val/nll_refined": 1.0 - value}
                for level, value in top1.items()
            }
            runs.append(Run(run_id=spec.trial_id, block=block, levels=spec.levels, metrics=metrics))
    return runs


def followed(
    plan: Plan, best: Recipe, path: Path, *, at_all: Scores, at_half: Scores
) -> tuple[dict[str, Dial], dict[str, DialAtSizes]]:
    """The dials of four rounds on all images, and what one on half of them says of each."""
    config = a_config(path)
    runs = measured(plan, best, at_all, blocks=4)
    dials = decide_dials(runs, plan, config, best)[1]
    found = learning_curve_of(
        Journal(path),
        plan,
        config,
        runs=runs,
        at_half=measured(plan, best, at_half, blocks=1),
        tried=best,
        advised=advise(plan, best, dials).recipe,
        dials=dials,
    )
    assert found is not None
    return {d.strength: d for d in dials}, {d.strength: d for d in found.dials}


def test_effects_are_of_the_same_weights_with_half_and_with_all_images(tmp_path: Path) -> None:
    def lagging_by(lag: float) -> Scores:
        def scores(spec: TrialSpec, level: str) -> float:
            gain = (spec.levels["label_smoothing"] + 1) / 2
            return 0.6 + lag + 0.1 * gain if level == "none" else 0.6 + 0.02 * gain

        return scores

    # On half of the images the averages lag so far that raw weights would be taken by themselves.
    _, found = followed(PLAN, BEST, tmp_path, at_all=lagging_by(-0.04), at_half=lagging_by(0.1))
    smoothing = found["label_smoothing"]
    assert smoothing.at_all.mean == pytest.approx(0.02, abs=0.02)
    assert smoothing.at_half.mean == pytest.approx(0.02, abs=0.02)
    assert smoothing.outlook != "hurts"


def test_a_reference_without_an_average_is_compared_with_the_average_that_was_tried(
    tmp_path: Path,
) -> None:
    def scores(spec: TrialSpec, level: str) -> float:
        return 0.7 - 0.1 * (level == "best")

    bare = PLAN.reference.with_strengths(ema_decay=0.0)
    plan = replace(PLAN, anchors={**PLAN.anchors, "reference": bare})
    dials, found = followed(plan, BEST, tmp_path, at_all=scores, at_half=scores)
    assert dials["ema_decay"].recommended == 0.0
    average = found["ema_decay"]
    assert (average.reference, average.tried) == (0.0, 0.9)
    assert average.at_all.mean == pytest.approx(-0.1, abs=0.01)
    assert (average.outlook, average.turned) == ("hurts", False)


def test_an_adjustment_is_followed_on_the_weights_that_its_dial_was_decided_on(
    tmp_path: Path,
) -> None:
    def scores(spec: TrialSpec, level: str) -> float:
        # The tried average is worse, so that it is not advised, and only after it does adjusting
        # the logits help.
        average, _, adjusted = level.partition(".")
        if average == "best":
            return 0.5 + 0.1 * bool(adjusted)
        return 0.8 - 0.1 * bool(adjusted)

    task = replace(PLAN.task, has_output_bias=True, smallest_class=20, largest_class=280)
    plan = replace(PLAN, task=task, space=space_of(task, a_config(tmp_path)))
    dials, found = followed(plan, with_tried(BEST, plan), tmp_path, at_all=scores, at_half=scores)
    dial, followed_dial = dials["logit_adjustment"], found["logit_adjustment"]
    assert dial.effect["val/top1"].mean == pytest.approx(-0.1, abs=0.01)
    assert followed_dial.at_all.mean == pytest.approx(-0.1, abs=0.01)
    assert followed_dial.outlook == "hurts"
