"""The experiment's runs differ in what is compared and in nothing else."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from search.engine.conductor import Wait
from search.plan.config import RunConfig
from search.plan.plan import DataFacts, Plan
from search.plan.stage_size import usual_runs_per_round
from search.records.journal import Journal
from search.records.metrics import TOP1
from search.records.trials import TrialSpec
from search.stages.experiment import (
    attribute_stage,
    block_specs,
    confirm_specs,
    confirm_stage,
    experiment_factors,
    same_role,
    with_soups,
)
from search.stages.listed_stage import ListedStage
from spaces.anchors import anchors
from spaces.recipe import RandAugment, Recipe
from spaces.space import Space, parse_set
from spaces.strengths.values import Strengths
from spaces.task import Task

REFERENCE = Recipe(
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        ema_decay=0.9999,
        warmup_fraction=0.05,
    )
)
TASK = Task.of(REFERENCE, num_train=300, num_classes=10, num_blocks=9)
BEST = REFERENCE.with_strengths(
    label_smoothing=0.0, drop_path_rate=0.0, ema_decay=0.85, warmup_fraction=0.2
)


def plan() -> Plan:
    return Plan(
        data=DataFacts(
            name="d",
            digest="0",
            num_train=300,
            num_val=300,
            num_test=1197,
            class_names=tuple("abcdefghij"),
        ),
        task=TASK,
        anchors=anchors(REFERENCE, TASK),
        candidate=None,
        space=Space.for_task(TASK),
        eval_epochs=(5, 15),
        rungs=(5,),
        notes=(),
    )


def config(tmp_path: Path, **values: object) -> RunConfig:
    fixed = {
        "dataset": "d",
        "run_dir": str(tmp_path),
        "run_name": "r",
        "data_dir": "",
        "created": "",
    }
    return RunConfig(**(fixed | values))  # type: ignore[arg-type]


def block(number: int, best: Recipe = BEST) -> list[TrialSpec]:
    return block_specs(plan(), best, experiment_factors(plan(), best), block=number, seed=0)


@pytest.mark.parametrize("number", [0, 1, 5])
def test_runs_of_a_block_share_split_and_seed_and_blocks_do_not(number: int) -> None:
    seeds = {(s.split_seed, s.recipe.seed, s.block) for s in block(number)}
    assert len(seeds) == 1
    others = {(s.split_seed, s.recipe.seed) for s in block(number + 1)}
    assert others.isdisjoint({(s.split_seed, s.recipe.seed) for s in block(number)})


def test_levels_are_the_values_that_are_trained_with() -> None:
    for spec in block(0):
        for name, level in spec.levels.items():
            source = BEST if level > 0 else REFERENCE
            assert getattr(spec.recipe.strengths, name) == getattr(source.strengths, name)
        # Not noticeably different, so the reference's value everywhere.
        assert spec.recipe.strengths.weight_decay == REFERENCE.strengths.weight_decay
        assert replace(spec.recipe, strengths=Strengths(), seed=0) == replace(
            REFERENCE, strengths=Strengths()
        )


def test_reference_and_best_are_both_among_the_cells_and_every_run_carries_all_averages() -> None:
    levels = [tuple(spec.levels.values()) for spec in block(0)]
    assert (-1,) * 3 in levels
    assert (1,) * 3 in levels
    for spec in block(0):
        assert spec.ema_levels == {"reference": 0.9999, "best": 0.85, "none": 0.0}
        assert spec.evaluate_on == "val"
        assert spec.never_stop


def test_an_average_that_does_not_differ_stays_the_reference_s() -> None:
    best = REFERENCE.with_strengths(label_smoothing=0.0)
    assert "ema_decay" in experiment_factors(plan(), best).unchanged
    for spec in block(0, best):
        assert spec.recipe.strengths.ema_decay == REFERENCE.strengths.ema_decay


def test_an_average_that_differs_is_shipped_at_the_best_s_value() -> None:
    assert {spec.recipe.strengths.ema_decay for spec in block(0)} == {BEST.strengths.ema_decay}


def searched(plan: Plan, *ranges: str) -> Plan:
    space = plan.space
    for text in ranges:
        space = space.with_range(*parse_set(text))
    return replace(plan, space=space)


def test_a_searched_extra_axis_is_a_factor_and_the_learning_rate_is_not() -> None:
    reference = replace(REFERENCE, mixup_alpha=0.8, randaugment=RandAugment(num_ops=3))
    wide = searched(plan(), "mixup_alpha=0:1", "randaugment_magnitude=0:20", "lr=0.0001:0.01")
    wide = replace(wide, anchors={**wide.anchors, "reference": reference})
    best = replace(
        reference.with_strengths(label_smoothing=0.0), mixup_alpha=0.0, randaugment=None, lr=3e-3
    )
    what = experiment_factors(wide, best)
    assert what.trajectory == ("label_smoothing", "mixup_alpha", "randaugment_magnitude")
    specs = block_specs(wide, best, what, block=0, seed=0)
    assert len(specs) == 8
    # With all that could differ, six factors; without the extras, four.
    assert (usual_runs_per_round(wide), usual_runs_per_round(plan())) == (16, 8)
    for spec in specs:
        level = {name: at > 0 for name, at in spec.levels.items()}
        assert spec.recipe.mixup_alpha == (0.0 if level["mixup_alpha"] else 0.8)
        given = None if level["randaugment_magnitude"] else RandAugment(num_ops=3)
        assert spec.recipe.randaugment == given
        assert spec.recipe.lr == 3e-3


def test_an_extra_that_is_not_searched_is_the_best_s_in_every_cell() -> None:
    reference = replace(REFERENCE, mixup_alpha=0.8, randaugment=RandAugment())
    given = replace(plan(), anchors={**plan().anchors, "reference": reference})
    best = replace(reference.with_strengths(label_smoothing=0.0), mixup_alpha=0.2, randaugment=None)
    what = experiment_factors(given, best)
    assert what.trajectory == ("label_smoothing",)
    for spec in block_specs(given, best, what, block=0, seed=0):
        assert (spec.recipe.mixup_alpha, spec.recipe.randaugment) == (0.2, None)


def test_numbers_go_on_from_block_to_block_without_repeats() -> None:
    ids = [spec.trial_id for number in range(4) for spec in block(number)]
    assert len(ids) == len(set(ids)) == 32


def test_a_best_that_equals_the_reference_needs_no_experiment(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    stage = attribute_stage(
        journal,
        plan(),
        config(tmp_path),
        best=REFERENCE,
        is_decided=lambda: False,
        deadline=None,
    )
    assert stage.next() is Wait.NO_MORE


@pytest.mark.parametrize(("is_decided", "expected"), [(True, 16), (False, 32)])
def test_blocks_are_added_until_every_dial_is_decided_or_the_last_is_done(
    tmp_path: Path, is_decided: bool, expected: int
) -> None:
    journal = Journal(tmp_path)
    stage = attribute_stage(
        journal,
        plan(),
        config(tmp_path, min_blocks=2, max_blocks=4),
        best=BEST,
        is_decided=lambda: is_decided,
        deadline=None,
    )
    while isinstance(spec := stage.next(), TrialSpec):
        journal.start(spec)
        journal.end(spec.trial_id, "finished")
    journal.close()
    assert len(journal.trials) == expected


def test_equal_recipes_are_confirmed_once_and_stand_for_each_other(tmp_path: Path) -> None:
    off, reference = plan().anchors["off"], plan().reference
    assert same_role(plan(), off, reference) == {
        "reference": "reference",
        "best": "best",
        "off": "best",
        "scaled": "scaled",
        "advised": "reference",
    }
    journal = Journal(tmp_path)
    stage = confirm_stage(
        journal, plan(), config(tmp_path, confirm_seeds=2), best=off, advised=reference
    )
    specs = []
    while isinstance(spec := stage.next(), TrialSpec):
        journal.start(spec)
        journal.end(spec.trial_id, "finished")
        specs.append(spec)
    journal.close()
    assert [spec.role for spec in specs] == ["reference", "best", "scaled"] * 2
    assert {spec.evaluate_on for spec in specs} == {"test"}
    seeds = {(spec.block, spec.recipe.seed, spec.split_seed) for spec in specs}
    assert len(seeds) == 2


def test_what_the_answer_is_about_has_more_seeds_than_what_it_is_compared_with(
    tmp_path: Path,
) -> None:
    advised = plan().reference.with_strengths(label_smoothing=0.03)
    specs = confirm_specs(plan(), config(tmp_path, confirm_seeds=5), best=BEST, advised=advised)
    runs = Counter(spec.role for spec in specs)
    assert runs == {"reference": 5, "advised": 5, "best": 3, "off": 3, "scaled": 3}
    assert [spec.number for spec in specs] == list(range(19))
    of_seed = {role: {s.recipe.seed for s in specs if s.role == role} for role in runs}
    assert of_seed["off"] < of_seed["advised"] == of_seed["reference"]
    # Where the advised recipe is the best, that one has all seeds.
    same = confirm_specs(plan(), config(tmp_path, confirm_seeds=5), best=BEST, advised=BEST)
    assert Counter(spec.role for spec in same)["best"] == 5


def test_frozen_features_are_measured_once_per_seed_with_the_advised_recipe_if_pretrained(
    tmp_path: Path,
) -> None:
    asked = config(tmp_path, confirm_seeds=5)
    reference = replace(plan().reference, pretrained=True)
    weighted = replace(plan(), anchors={**plan().anchors, "reference": reference})
    advised = reference.with_strengths(label_smoothing=0.03)
    for known, role in ((advised, "advised"), (reference, "reference")):
        specs = confirm_specs(weighted, asked, best=BEST, advised=known)
        assert [(s.role, s.block) for s in specs if s.with_frozen] == [(role, i) for i in range(5)]
        assert {s.run_spec.with_frozen for s in specs if s.role == role} == {True}
        read = [(s.role, s.block) for s in specs if s.run_spec.with_readings]
        assert read == [(role, i) for i in range(5)]
    scratch = replace(advised, pretrained=False)
    specs = confirm_specs(plan(), asked, best=BEST, advised=scratch)
    assert not any(spec.with_frozen for spec in specs)
    assert {spec.role for spec in specs if spec.with_readings} == {"advised"}


def pretrained() -> Plan:
    known = {name: replace(recipe, pretrained=True) for name, recipe in plan().anchors.items()}
    return replace(plan(), anchors=known, task=replace(TASK, pretrained=True))


def confirmation(
    journal: Journal, config: RunConfig, advised: Recipe, *, plan: Plan
) -> ListedStage:
    best = replace(BEST, pretrained=True)
    return confirm_stage(journal, plan, config, best=best, advised=advised)


@pytest.mark.parametrize("advised_is", ["of its own", "best", "reference"])
def test_the_advised_recipe_s_run_of_a_seed_waits_for_those_whose_weights_it_averages(
    tmp_path: Path, advised_is: str
) -> None:
    weighted = pretrained()
    reference = weighted.reference
    advised = {
        "of its own": reference.with_strengths(label_smoothing=0.03),
        "best": replace(BEST, pretrained=True),
        "reference": reference,
    }[advised_is]
    journal = Journal(tmp_path)
    asked = config(tmp_path, confirm_seeds=5, metric="balanced_top1")
    stage = confirmation(journal, asked, advised, plan=weighted)
    started: list[TrialSpec] = []
    running: list[TrialSpec] = []
    # Four workers, of which the one that began first is slowest.
    while True:
        spec = stage.next() if len(running) < 4 else Wait.FOR_RUNNING
        if isinstance(spec, TrialSpec):
            journal.start(spec)
            assert not {other.trial_id for other in running} & set(spec.soup_of)
            ended = {t.spec.trial_id for t in journal.of_stage("confirm") if t.status != "running"}
            assert set(spec.soup_of) <= ended
            started.append(spec)
            running.append(spec)
        elif running:
            spec = running.pop() if len(running) > 1 else running.pop(0)
            journal.end(spec.trial_id, "finished")
        else:
            break
    journal.close()
    assert {spec.trial_id for spec in started} == {f"confirm-{i:04d}" for i in range(len(started))}
    cooks = [spec for spec in started if spec.soup_of]
    assert sorted(spec.block or 0 for spec in cooks) == [0, 1, 2]
    of = {spec.trial_id: spec for spec in started}
    for cook in cooks:
        assert cook.with_readings
        assert cook.soup_metric == "balanced_top1"
        others = {spec.trial_id for spec in started if spec.block == cook.block} - {cook.trial_id}
        assert set(cook.soup_of) == others
        assert all(of[name].split_seed == cook.split_seed for name in cook.soup_of)
    lenders = {spec.trial_id for spec in started if spec.lends_weights}
    assert lenders == {name for cook in cooks for name in cook.soup_of}


def test_no_soup_is_made_from_scratch(tmp_path: Path) -> None:
    specs = confirm_specs(
        plan(),
        config(tmp_path, confirm_seeds=5),
        best=BEST,
        advised=plan().reference.with_strengths(label_smoothing=0.03),
    )
    assert not any(spec.lends_weights for spec in specs)
    assert with_soups(specs, [], TOP1) == specs


def test_a_run_that_was_begun_keeps_the_soup_it_was_begun_with(tmp_path: Path) -> None:
    weighted = pretrained()
    asked = config(tmp_path, confirm_seeds=2)
    first = weighted.reference.with_strengths(label_smoothing=0.03)
    other = weighted.reference.with_strengths(label_smoothing=0.05)
    journal = Journal(tmp_path)
    for advised in (first, other, first):
        stage = confirmation(journal, asked, advised, plan=weighted)
        while isinstance(spec := stage.next(), TrialSpec):
            journal.start(spec)
            journal.end(spec.trial_id, "finished")
    journal.close()
    # The advised recipe of before lends no weights. What the others lent is gone by now, so that a
    # run that was topped up has a soup of its first advised recipe only.
    specs = {t.spec.trial_id: t.spec for t in journal.of_stage("confirm")}
    cooks = [spec for spec in specs.values() if spec.soup_of]
    assert [spec.recipe.strengths.label_smoothing for spec in cooks] == [0.03] * 2 + [0.05] * 2
    roles = {specs[name].role for cook in cooks for name in cook.soup_of}
    assert roles == {"reference", "best", "off", "scaled"}


def test_one_longer_run_of_everything_off_follows_only_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    asked: list[int] = []

    def confirmed(is_asked: bool) -> list[TrialSpec]:
        journal = Journal(tmp_path / str(is_asked))

        def asks() -> bool:
            # Only once all others have ended.
            asked.append(sum(trial.status == "finished" for trial in journal.trials.values()))
            return is_asked

        stage = confirm_stage(
            journal,
            plan(),
            config(tmp_path, confirm_seeds=2),
            best=BEST,
            advised=BEST,
            asks_for_longer=asks,
        )
        specs = []
        while isinstance(spec := stage.next(), TrialSpec):
            journal.start(spec)
            journal.end(spec.trial_id, "finished")
            specs.append(spec)
        journal.close()
        return specs

    for name in ("True", "False"):
        (tmp_path / name).mkdir()
    usual, with_longer = confirmed(False), confirmed(True)
    assert with_longer[:-1] == usual
    assert set(asked) == {len(usual)}
    longer = with_longer[-1]
    first_off = next(spec for spec in usual if spec.role == "off")
    assert (longer.role, longer.recipe.epochs) == ("longer", 2 * first_off.recipe.epochs)
    # It is paired with a run of every recipe, differs from it in length alone, and sees no test
    # image.
    assert longer.recipe == replace(first_off.recipe, epochs=longer.recipe.epochs)
    assert (longer.split_seed, longer.evaluate_on) == (first_off.split_seed, "val")
    assert longer.trial_id not in {spec.trial_id for spec in usual}
    assert not longer.keep_weights


def test_no_stage_shares_a_seed_with_another(tmp_path: Path) -> None:
    confirm = confirm_stage(
        Journal(tmp_path), plan(), config(tmp_path), best=BEST, advised=BEST
    ).next()
    assert isinstance(confirm, TrialSpec)
    attribute = {spec.split_seed for number in range(20) for spec in block(number)}
    assert confirm.split_seed not in attribute
    assert REFERENCE.seed not in attribute
