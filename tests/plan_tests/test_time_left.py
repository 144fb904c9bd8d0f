"""The time that is left, held against real runs whose end is known."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from search.plan.stage_size import ANOTHER_ROUND, RERUNS, StageSize
from search.plan.time_left import time_left_s
from search.records.trials import Record, Trial, TrialSpec
from spaces.recipe import Recipe
from tests.support.recorded_run import RecordedRun, recorded_run

RECORDINGS = ("small_transfer",)
ROUND = 8


def said(run: RecordedRun, *, late: float = math.inf) -> Iterator[tuple[Trial, float, float]]:
    """At each event the trial it is about, what is said and what is true.

    Args:
        run: What happened.
        late: When the time budget is used up, in seconds after the begin.
    """
    trials: dict[str, Trial] = {}
    num_expected: dict[str, int] = {}
    for at, trial in run.events:
        trials[trial.spec.trial_id] = trial
        if trial.spec.stage == "attribute":  # It lists a round when that begins.
            num_expected["attribute"] = ROUND * max(2, trial.block + 1)
        told = time_left_s(
            trials.values(),
            run.sizes,
            num_expected=num_expected,
            num_workers=run.num_workers,
            until_s=late - at,
        )
        num_ended = sum(t.status != "running" for t in trials.values())
        assert (told is None) == (num_ended < 3)
        if told is not None:
            yield trial, told, run.end_s - at


def require_close(run: RecordedRun) -> None:
    """Within a quarter, and at the end within what half a trial takes."""
    (*_, last) = run.sizes
    assert last.full_s is not None
    checked = list(said(run))
    assert len(checked) > 800
    for trial, told, true in checked:
        assert told == pytest.approx(true, abs=max(true / 4, last.full_s / 2)), trial.spec.trial_id


@pytest.mark.parametrize("name", RECORDINGS)
def test_it_is_within_a_quarter_from_the_third_trial_on(name: str) -> None:
    require_close(recorded_run(name))


@pytest.mark.parametrize("factor", [1.25, 1.6])
def test_a_machine_that_is_slower_than_planned_is_followed(factor: float) -> None:
    require_close(recorded_run("small_transfer").slower(factor))


def test_a_confirmation_is_counted_in_full_although_the_budget_is_used_up() -> None:
    """What stood there: about 0 min, for the five minutes that it took."""
    run = recorded_run("small_transfer")
    checked = [one for one in said(run, late=300.0) if one[0].spec.stage == "confirm"]
    assert len(checked) > 100
    for _, told, true in checked:
        assert told == pytest.approx(true, abs=max(true / 4, 8.0))


def a_trial(number: int, *, status: str = "finished", stage: str = "confirm") -> Trial:
    """Five epochs of two seconds if it finished, else none."""
    spec = TrialSpec(stage=stage, number=number, role="best", recipe=Recipe(epochs=5))
    records = tuple(
        Record(trial_id=spec.trial_id, stage=stage, epoch=e, metrics={"cost/train_s": 2.0})
        for e in range(1, 6 if status == "finished" else 1)
    )
    return Trial(spec=spec, records=records, status=status)


def left_of(num_trials: int, trials: list[Trial], *, num_workers: int = 1) -> float | None:
    sizes = [StageSize(name="confirm", num_trials=num_trials, epochs=5)]
    return time_left_s(trials, sizes, num_expected={}, num_workers=num_workers)


@pytest.mark.parametrize("num_trials", [12, 13, 5000])
@pytest.mark.parametrize("num_workers", [1, 3, 4])
def test_even_trials_are_divided_over_the_workers(num_trials: int, num_workers: int) -> None:
    """By hand: each takes 10 s, workers begin together, and the last round may be short."""
    ended = [a_trial(number) for number in range(12)]
    told = left_of(num_trials, ended, num_workers=num_workers)
    assert told == pytest.approx(10.0 * math.ceil((num_trials - 12) / num_workers))


def test_a_running_trial_counts_for_the_epochs_that_it_still_has() -> None:
    ended = [a_trial(number) for number in range(3)]
    one = a_trial(3)
    halfway = replace(one, records=one.records[:3], status="running")
    assert left_of(4, [*ended, halfway]) == pytest.approx(4.0)
    assert left_of(5, [*ended, halfway], num_workers=2) == pytest.approx(10.0)


def test_a_trial_that_failed_before_it_reported_says_nothing_of_the_pace() -> None:
    ended = [a_trial(number) for number in range(3)]
    assert left_of(5, [*ended, a_trial(3, status="failed")]) == pytest.approx(10.0)
    assert left_of(5, [a_trial(number, status="failed") for number in range(3)]) == 0.0


def test_a_stage_that_another_one_followed_is_over() -> None:
    """A search may end long before its samples are used up."""
    run = recorded_run("small_transfer")
    without = tuple(e for e in run.events if e[1].spec.stage != "attribute")
    *_, (_, told, _) = said(replace(run, events=without))
    assert told == 0.0
    assert {size.name for size in run.sizes} == {"search", RERUNS, "attribute", "confirm"}


def test_a_budget_cuts_off_proposals_and_further_rounds_and_nothing_that_is_sure() -> None:
    sizes = [
        StageSize(name="search", num_trials=20, epochs=5),
        StageSize(name=RERUNS, num_trials=5, epochs=5),
        StageSize(name="attribute", num_trials=16, epochs=5, round_size=8, max_trials=32),
        StageSize(name="confirm", num_trials=19, epochs=5),
    ]
    searched = [a_trial(number, stage="search") for number in range(10)]
    sure, proposals = (5 + 16 + 19) * 10.0, 10 * 10.0
    further = 8 * (ANOTHER_ROUND + ANOTHER_ROUND**2) * 10.0
    for until_s, expected in (
        (-1.0, sure),
        (0.0, sure),
        (30.0, 30.0 + sure),
        (proposals, proposals + sure),
        (1000.0, proposals + sure + further),
        (math.inf, proposals + sure + further),
    ):
        told = time_left_s(searched, sizes, num_expected={}, num_workers=1, until_s=until_s)
        assert told == pytest.approx(expected), until_s
