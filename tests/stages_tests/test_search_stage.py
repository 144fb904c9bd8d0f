"""The stages on replayed learning curves: what they start, stop, rerun and resume."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.engine.conductor import Conductor
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec
from search.stages.analysis import decide_dials, experiment_runs, pick_best
from search.stages.listed_stage import ListedStage
from search.stages.proposer import Proposer
from search.stages.rungs import Rungs
from search.stages.search_stage import SearchSettings, SearchStage
from search.stages.selection import RERUN, pick
from search.stages.sequence import stage_makers
from spaces.anchors import anchors
from spaces.recipe import Recipe
from spaces.space import Space
from spaces.strengths.values import Strengths
from spaces.task import Task
from tests.support import finished_run
from tests.support.replay import replay, saturating

EPOCHS = 15
REFERENCE = Recipe(
    epochs=EPOCHS,
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        ema_decay=0.9999,
        warmup_fraction=0.05,
    ),
)
TASK = Task.of(REFERENCE, num_train=300, num_classes=10, num_blocks=9)
ANCHORS = anchors(REFERENCE, TASK)


def search_stage(
    journal: Journal,
    run_dir: Path,
    *,
    anchors: Mapping[str, Recipe] = ANCHORS,
    say: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> SearchStage:
    space = Space.for_task(TASK)
    values: dict[str, Any] = {
        "num_samples": 20,
        "metric": "val/top1",
        "num_val": 300,
        "eval_epochs": tuple(range(1, EPOCHS + 1)),
        "rerun_top": 3,
        "seed": 0,
    }
    return SearchStage(
        journal,
        anchors=anchors,
        base=REFERENCE,
        space=space,
        proposer=Proposer(
            run_dir,
            study_name="test",
            names=space.free_names,
            metric="val/top1",
            num_val=300,
            seed=0,
        ),
        rungs=Rungs((5,), keep=1 / 3),
        settings=SearchSettings(**values | settings),
        say=say,
    )


def heavy_is_better_late(trial: Trial, epoch: int) -> Mapping[str, float]:
    """More smoothing learns slower and ends higher: early ranks favour the wrong end."""
    smoothing = trial.spec.recipe.strengths.label_smoothing
    return saturating(quality=0.6 + 1.5 * smoothing, speed=0.6 - 2.0 * smoothing, epoch=epoch)


def run(tmp_path: Path, **settings: Any) -> Journal:
    journal = Journal(tmp_path)
    conductor = Conductor(journal, [lambda: search_stage(journal, tmp_path, **settings)])
    replay(conductor, heavy_is_better_late, num_workers=2)
    assert conductor.is_over
    journal.close()
    return journal


def test_anchors_come_first_and_run_to_full_length(tmp_path: Path) -> None:
    trials = run(tmp_path).of_stage("search")
    assert [t.spec.role for t in trials[:3]] == [
        "anchor:reference",
        "anchor:scaled",
        "anchor:off",
    ]
    assert all(t.is_full_length for t in trials[:3])
    assert trials[0].spec.recipe == REFERENCE


def test_only_trials_at_a_rung_are_stopped_and_the_rest_is_finished(tmp_path: Path) -> None:
    trials = run(tmp_path).of_stage("search")
    assert len([t for t in trials if t.spec.role != RERUN]) == 20
    assert {t.epoch for t in trials if t.status == "stopped"} == {5}
    assert {t.epoch for t in trials if t.status == "finished"} == {EPOCHS}
    assert sum(t.status == "stopped" for t in trials) >= 8


def test_stopping_early_does_not_shorten_the_schedule_of_what_ran(tmp_path: Path) -> None:
    assert {t.spec.recipe.epochs for t in run(tmp_path).of_stage("search")} == {EPOCHS}


def test_the_pick_compares_full_length_runs_only(tmp_path: Path) -> None:
    """A stopped trial that led at its rung must not be picked over a finished one."""
    trials = run(tmp_path).of_stage("search")
    best = pick(trials, top=3, metric="val/top1", num_val=300)
    finished = [t for t in trials if t.is_full_length]
    strongest = max(t.spec.recipe.strengths.label_smoothing for t in finished)
    assert best.strengths.label_smoothing == strongest


def test_reruns_share_split_and_seed_within_a_round_and_differ_between_rounds(
    tmp_path: Path,
) -> None:
    again = [t for t in run(tmp_path).of_stage("search") if t.spec.role == RERUN]
    seeds = [(t.spec.block, t.spec.split_seed, t.spec.recipe.seed) for t in again]
    assert [block for block, _, _ in seeds] == [0, 0, 0, 1, 1]
    assert len(set(seeds)) == 2
    assert {seed for _, _, seed in seeds}.isdisjoint({REFERENCE.seed})


@pytest.mark.parametrize("later", [0.1, 0.5, 0.9])
def test_scores_of_a_later_round_do_not_change_who_takes_part_in_it(
    tmp_path: Path, later: float
) -> None:
    """A contender that falls behind in the second round does not let a third one into it."""

    def metrics(trial: Trial, epoch: int) -> Mapping[str, float]:
        found = heavy_is_better_late(trial, epoch)
        if trial.spec.role == RERUN and trial.spec.block == 1:
            return saturating(quality=later, speed=1.0, epoch=epoch)
        return found

    journal = Journal(tmp_path)
    conductor = Conductor(journal, [lambda: search_stage(journal, tmp_path)])
    replay(conductor, metrics, num_workers=2)
    journal.close()
    again = [t.spec.block for t in journal.of_stage("search") if t.spec.role == RERUN]
    assert again == [0, 0, 0, 1, 1]


def test_the_same_seed_gives_the_same_trials_in_the_same_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    assert first.trials == second.trials


@pytest.mark.parametrize("kill_after", [1, 7, 44, 61, 100, 130, 160])
def test_a_killed_search_goes_on_to_the_very_same_trials(tmp_path: Path, kill_after: int) -> None:
    """Everything the proposer and the rungs knew is rebuilt from the journal."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()

    def conductor(journal: Journal, run_dir: Path) -> Conductor:
        return Conductor(journal, [lambda: search_stage(journal, run_dir)])

    whole = Journal(tmp_path / "whole")
    num_reports = replay(conductor(whole, tmp_path / "whole"), heavy_is_better_late)
    killed = Journal(tmp_path / "killed")
    replay(conductor(killed, tmp_path / "killed"), heavy_is_better_late, max_events=kill_after)
    killed.close()

    resumed = Journal(tmp_path / "killed")
    rest = replay(conductor(resumed, tmp_path / "killed"), heavy_is_better_late)

    assert kill_after + rest == num_reports  # No epoch lost, none trained twice.
    assert resumed.trials.keys() == whole.trials.keys()
    for trial_id, trial in whole.trials.items():
        again = resumed.trials[trial_id]
        assert again.spec == trial.spec
        assert again.status == trial.status
        assert [r.metrics for r in again.records] == [r.metrics for r in trial.records]
    for journal in (whole, resumed):
        journal.close()


def strip(trials: Mapping[str, Trial]) -> dict[str, tuple[object, ...]]:
    """Trials without the times at which they reported."""
    return {
        trial_id: (t.spec, t.status, [(r.epoch, r.metrics) for r in t.records])
        for trial_id, t in trials.items()
    }


@pytest.mark.parametrize("kill_after", [44, 61])
@pytest.mark.parametrize("epochs_back", [1, EPOCHS])
def test_a_trial_that_starts_from_an_older_epoch_repeats_it_without_a_trace(
    tmp_path: Path, kill_after: int, epochs_back: int
) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = Journal(tmp_path / "whole")
    stage = search_stage(whole, tmp_path / "whole")
    num_reports = replay(Conductor(whole, [lambda: stage]), heavy_is_better_late)
    killed = Journal(tmp_path / "killed")
    stage = search_stage(killed, tmp_path / "killed")
    replay(Conductor(killed, [lambda: stage]), heavy_is_better_late, max_events=kill_after)
    killed.close()

    resumed = Journal(tmp_path / "killed")
    repeated: list[int] = []

    def older(trial: Trial) -> int:
        first = max(1, trial.epoch + 1 - epochs_back)
        repeated.append(trial.epoch + 1 - first)
        return first

    rest = replay(
        Conductor(resumed, [lambda: search_stage(resumed, tmp_path / "killed")]),
        heavy_is_better_late,
        first_epoch=older,
    )
    assert kill_after + rest == num_reports + sum(repeated)
    assert strip(resumed.trials) == strip(whole.trials)
    lines = (tmp_path / "killed" / "records.jsonl").read_text().splitlines()
    assert len(lines) == num_reports
    for journal in (whole, resumed):
        journal.close()


def told(proposer: Proposer) -> list[tuple[str, object, object, object]]:
    """Return the trials that Optuna holds, in its order."""
    return [
        (str(t.user_attrs["trial_id"]), t.state, t.params, t.intermediate_values)
        for t in proposer.study.trials
    ]


def inside() -> dict[str, Recipe]:
    """Anchors that lie inside the space, which the published recipe on 300 images does not."""
    space = Space.for_task(TASK)
    return {
        role: space.apply(REFERENCE, space.decode(dict.fromkeys(space.free_names, position)))
        for role, position in zip(ANCHORS, (0.2, 0.4, 0.6), strict=True)
    }


@pytest.mark.parametrize("num_workers", [2, 3])
@pytest.mark.parametrize("kill_after", [16, 31, 77])
def test_the_study_is_the_same_whether_lived_through_or_rebuilt(
    tmp_path: Path, num_workers: int, kill_after: int
) -> None:
    """Anchors inside the space have their place from their start, not from their end."""
    journal = Journal(tmp_path)
    stage = search_stage(journal, tmp_path, anchors=inside())
    replay(
        Conductor(journal, [lambda: stage]),
        heavy_is_better_late,
        num_workers=num_workers,
        max_events=kill_after,
    )
    journal.close()
    lived = told(stage.proposer)
    assert [trial_id for trial_id, *_ in lived] == list(journal.trials)
    rebuilt = search_stage(Journal(tmp_path), tmp_path, anchors=inside())
    assert told(rebuilt.proposer) == lived


def test_a_failed_trial_that_is_tried_again_keeps_its_place_in_the_study(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    stage = search_stage(journal, tmp_path)
    replay(Conductor(journal, [lambda: stage]), heavy_is_better_late, max_events=70)
    (running,) = [t.spec.trial_id for t in journal.trials.values() if t.status == "running"]
    journal.end(running, "failed", "out of memory")
    journal.close()
    again = Journal(tmp_path)
    conductor = Conductor(again, [lambda: search_stage(again, tmp_path)])
    first = conductor.next_trial()
    assert isinstance(first, Trial)
    assert first.spec.trial_id == running
    replay(conductor, heavy_is_better_late, max_events=30)
    again.close()
    order = [trial_id for trial_id, *_ in told(search_stage(Journal(tmp_path), tmp_path).proposer)]
    assert order == sorted(order)
    assert len(order) == len(set(order))


def with_effort(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Nothing beats the anchors by more than noise, except that the eleventh trial does."""
    quality = 0.8 if trial.spec.number == 10 and trial.spec.role == "proposed" else 0.6
    luck = 0.01 * (trial.spec.number % 3)
    return saturating(quality + luck, speed=1.0, epoch=epoch)


@pytest.mark.parametrize(("patience", "expected"), [(4, 3 + 4), (8, 11 + 8), (99, 25)])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_patience_ends_the_proposals_and_a_resumed_search_ends_them_there_too(
    tmp_path: Path, patience: int, expected: int, num_workers: int
) -> None:
    """With one worker trial 10 is the eighth proposal: seven in vain end the search before it."""
    said: list[str] = []

    def conductor(journal: Journal) -> Conductor:
        return Conductor(
            journal,
            [
                lambda: search_stage(
                    journal, tmp_path, say=said.append, num_samples=25, patience=patience
                ),
                lambda: ListedStage("attribute", journal, lambda b: [listed(0)] if b == 0 else []),
            ],
        )

    for max_events in (20, 35, 50, 65, 90, 10**9):
        journal = Journal(tmp_path)
        replay(conductor(journal), with_effort, num_workers=num_workers, max_events=max_events)
        journal.close()
    searched = [t for t in journal.of_stage("search") if t.spec.role != RERUN]
    # What ran beside the last one in vain is started already.
    assert expected <= len(searched) < expected + num_workers
    assert bool(said) == (expected < 25)
    assert [t.status for t in journal.of_stage("attribute")] == ["finished"]


def test_effects_are_those_of_full_length_though_early_ranks_say_the_opposite(
    tmp_path: Path,
) -> None:
    candidate = REFERENCE.with_strengths(label_smoothing=0.2, drop_path_rate=0.0)
    plan = replace(
        finished_run.a_plan(), task=TASK, anchors=ANCHORS, candidate=candidate, rungs=(5,)
    )
    config = finished_run.a_config(tmp_path, stages=("attribute",))
    config.path.mkdir()

    def curve(trial: Trial, epoch: int) -> Mapping[str, float]:
        metrics = heavy_is_better_late(trial, epoch)
        return {
            name.replace("/", f".{level}/"): value
            for level in trial.spec.ema_levels
            for name, value in metrics.items()
        }

    def planted(epoch: int) -> float:
        """Compute the effect of more smoothing after so many epochs."""
        more, less = (
            heavy_is_better_late(finished_run.a_trial("attribute", 0, "cell", recipe, {}), epoch)
            for recipe in (candidate, REFERENCE)
        )
        return more["val/top1"] - less["val/top1"]

    journal = Journal(config.path)
    replay(Conductor(journal, stage_makers(config, plan, journal, deadline=None)), curve)
    journal.close()
    trials = journal.of_stage("attribute")
    best = pick_best(journal, plan, config)
    effects, _ = decide_dials(experiment_runs(trials), plan, config, best)
    assert planted(5) < -0.01 < 0.01 < planted(EPOCHS)
    assert effects["label_smoothing"]["val/top1"].mean == pytest.approx(planted(EPOCHS))
    assert effects["drop_path_rate"]["val/top1"].mean == pytest.approx(0.0, abs=1e-9)


def test_a_diverged_trial_ends_at_once_and_is_never_picked(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> Mapping[str, float]:
        if trial.spec.number == 4:
            return {**saturating(0.0, 1.0, epoch), "diverged": 1.0}
        return heavy_is_better_late(trial, epoch)

    journal = Journal(tmp_path)
    replay(Conductor(journal, [lambda: search_stage(journal, tmp_path)]), curve)
    journal.close()
    diverged = journal.trials["search-0004"]
    assert diverged.status == "diverged"
    assert diverged.epoch == 1
    best = pick(journal.of_stage("search"), top=3, metric="val/top1", num_val=300)
    assert best.strengths != diverged.spec.recipe.strengths


def test_a_deadline_ends_the_search_between_epochs_but_spares_the_anchors(tmp_path: Path) -> None:
    trials = run(tmp_path, deadline=0.0, rerun_top=0).of_stage("search")
    assert [t.spec.role for t in trials] == ["anchor:reference", "anchor:scaled", "anchor:off"]
    assert all(t.is_full_length for t in trials)


def listed(number: int) -> TrialSpec:
    return TrialSpec(stage="attribute", number=number, role="cell", recipe=Recipe(epochs=2))


def test_sure_batches_start_without_waiting_and_further_ones_after_all_ended(
    tmp_path: Path,
) -> None:
    asked: list[tuple[int, int]] = []

    def batch(number: int) -> list[TrialSpec]:
        ended = sum(t.status == "finished" for t in journal.trials.values())
        asked.append((number, ended))
        return [listed(2 * number), listed(2 * number + 1)] if number < 4 else []

    journal = Journal(tmp_path)
    stage = ListedStage("attribute", journal, batch, num_sure=2)
    replay(Conductor(journal, [lambda: stage]), lambda t, e: saturating(1.0, 1.0, e), num_workers=3)
    journal.close()
    assert len(journal.trials) == 8
    assert asked[1][1] < 2
    assert asked[2:] == [(2, 4), (3, 6), (4, 8)]
