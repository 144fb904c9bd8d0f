"""How a trial shows in MLflow."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from search.records.metrics import NLL_REFINED, TOP1
from search.records.trials import STAGES, STATUSES, Record, Trial, TrialSpec
from search.stages.standings import Standing
from search.tracking import metric_keys, ranks, trial_fields
from search.tracking.store import Point
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS


def a_trial(
    number: int,
    curve: Sequence[Mapping[str, float]],
    status: str = "finished",
    *,
    stage: str = "search",
    epochs: int = 3,
    **more: Any,
) -> Trial:
    role = more.pop("role", "proposed")
    recipe = more.pop("recipe", Recipe(epochs=epochs))
    spec = TrialSpec(stage=stage, number=number, role=role, recipe=recipe, **more)
    records = tuple(
        Record(trial_id=spec.trial_id, stage=stage, epoch=epoch, metrics=metrics)
        for epoch, metrics in enumerate(curve, start=1)
    )
    return Trial(spec=spec, records=records, status=status)


def top1(*values: float) -> list[Mapping[str, float]]:
    return [{"val/top1": value} for value in values]


def test_every_status_has_a_run_status_and_a_colour_of_its_own() -> None:
    trials = [a_trial(0, [], status) for status in STATUSES]
    assert set(trial_fields.RUN_STATUS) == set(STATUSES)
    colours = {trial_fields.state_tags(trial)["mlflow.runColor"] for trial in trials}
    assert len(colours | {trial_fields.PARENT_COLOUR}) == len(STATUSES) + 1


def test_names_begin_with_the_stage_the_number_and_how_it_ended() -> None:
    recipe = Recipe().with_strengths(weight_decay=0.5, label_smoothing=0.125, ema_decay=0.9999)
    named = {
        "t004 ✂2 wd 0.5 ls 0.12 dp 0 ema 0.9999 wu 0": a_trial(
            4, top1(0.1, 0.2), "stopped", recipe=recipe
        ),
        "t005 ✗ wd 0.5 ls 0.12 dp 0 ema 0.9999 wu 0": a_trial(5, [], "failed", recipe=recipe),
        "t000 reference": a_trial(0, [], role="anchor:reference"),
        "t025 rerun of t007, seed 9": a_trial(
            25, [], role="rerun", rerun_of="search-0007", recipe=Recipe(seed=9)
        ),
        "a003 block 1 wd+ ls-": a_trial(
            3,
            [],
            stage="attribute",
            role="cell",
            block=1,
            levels={"weight_decay": 1, "label_smoothing": -1},
        ),
        "c001 best seed 7": a_trial(1, [], stage="confirm", role="best", recipe=Recipe(seed=7)),
    }
    assert {trial_fields.run_name(trial) for trial in named.values()} == set(named)
    assert len({trial_fields.run_name(a_trial(0, [], stage=stage))[0] for stage in STAGES}) == len(
        STAGES
    )


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_params_sort_as_text_like_the_numbers_they_are(scale: float) -> None:
    numbers = [0.0, *(scale * x for x in (0.001, 0.02, 0.5, 0.99, 1.0, 9.5))]
    texts = [trial_fields.fixed_point(x) for x in numbers]
    assert texts == sorted(texts)
    assert len(set(texts)) == len(texts)
    assert [float(text) for text in texts] == pytest.approx(numbers, abs=1e-10)
    assert not any("e" in text for text in texts)


def test_params_hold_raw_value_effective_value_and_position_of_all_strengths() -> None:
    trial = a_trial(0, [], block=2, split_seed=11, levels={"ema_decay": -1})
    ones = dict.fromkeys(STRENGTHS, 1.0)
    twos = dict.fromkeys(STRENGTHS, 2.0)
    told = trial_fields.Values(positions=lambda _: ones, effective=lambda _: twos)
    params = trial_fields.params(trial, told)
    for name in STRENGTHS:
        assert params[name] == "0.000000"
        assert params[f"position.{name}"] == "1.000000"
        assert params[f"effective.{name}"] == "2.000000"
    rest = {k: v for k, v in params.items() if k.rpartition(".")[2] not in STRENGTHS}
    assert rest == {"block": "2", "split_seed": "11", "seed": "0"}
    assert params["level.ema_decay"] == "-1"


def test_strengths_that_were_read_back_are_params_of_their_own_and_no_metrics() -> None:
    reported = {"live/ema_decay": 0.99996, "live/lr": 0.1, "train/loss": 1.0}
    assert trial_fields.live_params(reported, ["ema_decay"]) == {"live.ema_decay": "0.999960"}
    assert not [p for p in trial_fields.points(a_trial(0, [reported]), after=0) if "live" in p.name]


def test_points_hold_wanted_metrics_rounded_with_the_best_so_far() -> None:
    curve = [
        {"val/top1": 0.5, "val/nll": 1.00006, "cost/train_s": 2.0, "diverged": 0.0},
        {"train/loss": 1.5},
        {"val/top1": 0.4, "val/nll": 0.9},
    ]
    found = {(p.name, p.value, p.step) for p in trial_fields.points(a_trial(0, curve), after=0)}
    assert found == {
        ("val/top1", 0.5, 1),
        ("best/val/top1", 0.5, 1),
        ("val/nll", 1.0001, 1),
        ("best/val/nll", 1.0001, 1),
        ("train/loss", 1.5, 2),
        ("val/top1", 0.4, 3),
        ("best/val/top1", 0.5, 3),
        ("val/nll", 0.9, 3),
        ("best/val/nll", 0.9, 3),
    }


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_points_after_an_epoch_are_those_of_later_epochs(after: int) -> None:
    trial = a_trial(0, top1(0.3, 0.5, 0.4))
    late = [point for point in trial_fields.points(trial, after=0) if point.step > after]
    assert list(trial_fields.points(trial, after=after)) == late


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_out(value: float) -> None:
    trial = a_trial(0, [{"val/top1": 0.5}, {"val/top1": value, "val/nll": value}], "diverged")
    assert {point.step for point in trial_fields.points(trial, after=0)} == {1}


def test_averages_of_the_experiment_are_shown_by_level() -> None:
    curve = [{"val.best/top1": 0.5, "val.best/nll": 1.0, "val.other/top1": 0.1}]
    trial = a_trial(0, curve, stage="attribute", ema_levels={"best": 0.9})
    assert [point.name for point in trial_fields.points(trial, after=0)] == ["val.best/top1"]


def test_all_points_have_names_that_the_view_knows() -> None:
    levels = dict.fromkeys(metric_keys.LEVELS, 0.9)
    names = metric_keys.epoch_metrics(levels)
    trial = a_trial(0, [dict.fromkeys(names, 0.5)], epochs=1, ema_levels=levels)
    finals = trial_fields.final_points(trial, (TOP1, NLL_REFINED))
    found = [*trial_fields.points(trial, after=0), *finals]
    assert {point.name for point in found} | {metric_keys.RANK_METRIC} == set(
        metric_keys.metric_keys(TOP1, NLL_REFINED)
    )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("length", [0, 2, 3])
def test_only_full_length_trials_of_the_search_have_a_final_value(status: str, length: int) -> None:
    trial = a_trial(0, top1(0.5, 0.7, 0.61234)[:length], status)
    other = a_trial(0, top1(0.5, 0.7, 0.61234)[:length], status, stage="confirm")
    again = a_trial(0, top1(0.5, 0.7, 0.61234)[:length], status, rerun_of="search-0000")
    assert trial_fields.final_points(other, (TOP1,)) == []
    assert trial_fields.final_points(again, (TOP1,)) == []
    has_final = status == "finished" and length == 3
    expected = [Point(name="final/val/top1", value=0.6123, step=3)] if has_final else []
    assert trial_fields.final_points(trial, (TOP1,)) == expected


def test_a_place_says_what_selection_saw_and_which_one_it_picked() -> None:
    trial = a_trial(0, top1(0.5, 0.7, 0.6))
    first = Standing(trial=trial, place=1, value=0.31, again=None, num_again=0, is_picked=False)
    assert trial_fields.place_tags(first, NLL_REFINED) == {
        "place": "1",
        "selection": "log-loss after temperature scaling 0.310",
    }
    picked = replace(first, place=2, again=0.3305, num_again=2, is_picked=True)
    assert trial_fields.place_tags(picked, NLL_REFINED) == {
        "place": "2 ★ picked",
        "selection": "log-loss after temperature scaling 0.310, run again 0.331 (mean of 2)",
    }


@pytest.mark.parametrize("status", STATUSES)
def test_times_are_those_of_the_records(status: str) -> None:
    curve = [{"val/top1": 0.5, "cost/train_s": 3.0, "cost/eval_s": 1.0}, {"val/top1": 0.6}]
    trial = a_trial(0, curve, status)
    assert (trial_fields.start_time(trial), trial_fields.end_time(trial)) == (None, None)
    timed = tuple(replace(record, time=100.0 * record.epoch) for record in trial.records)
    trial = replace(trial, records=timed)
    assert trial_fields.start_time(trial) == 96.0
    ended_with_a_report = status in ("finished", "stopped", "diverged")
    assert trial_fields.end_time(trial) == (200.0 if ended_with_a_report else None)
    assert {point.time for point in trial_fields.points(trial, after=0)} == {100.0, 200.0}


def best_so_far(trials: list[Trial]) -> list[float]:
    best = ranks.BestSoFar()
    for trial in trials:
        best.add(trial)
    return best.values


def test_the_best_so_far_ends_before_the_first_running_trial_and_skips_reruns() -> None:
    trials = [
        a_trial(2, top1(0.4), "running"),
        a_trial(0, top1(0.2, 0.5, 0.3)),
        a_trial(3, top1(0.9)),
        a_trial(1, [], "failed"),
    ]
    assert best_so_far(trials) == [0.5, 0.5]
    ended = [a_trial(2, top1(0.4, math.nan), "diverged"), *trials[1:]]
    rerun = a_trial(4, top1(1.0), role="rerun", rerun_of="search-0000")
    other = a_trial(4, top1(1.0), stage="confirm")
    assert best_so_far([*ended, rerun, other]) == [0.5, 0.5, 0.5, 0.9]
    assert best_so_far([]) == []


def test_a_trial_that_failed_and_was_started_again_counts_from_then_on() -> None:
    trials = [
        a_trial(0, [], "failed"),
        a_trial(1, top1(0.5)),
        a_trial(0, top1(0.8)),
        a_trial(2, top1(0.6)),
    ]
    assert best_so_far(trials) == [-math.inf, 0.5, 0.8]


def slow_rank(trials: list[Trial], trial: Trial) -> float:
    """Percentile by the definition: walk through the others one by one."""
    values = []
    for other in trials:
        if other is trial or not other.records:
            continue
        seen = [r.metrics["val/top1"] for r in other.records if r.epoch <= trial.epoch]
        values.append(seen[-1])
    own = trial.records[-1].metrics["val/top1"]
    points = sum(1.0 if value < own else 0.5 if value == own else 0.0 for value in values)
    return round(100 * points / len(values), 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_is_the_percentile_at_the_epoch_where_the_trial_stopped(seed: int) -> None:
    rng = random.Random(seed)
    trials = [
        a_trial(n, top1(*(rng.randint(0, 9) / 10 for _ in range(rng.randint(0, 5)))), "stopped")
        for n in range(12)
    ]
    expected = {t.spec.trial_id: slow_rank(trials, t) for t in trials if t.records}
    assert ranks.rank_at_stop(trials) == expected


def test_the_rank_of_an_only_trial_is_the_top() -> None:
    assert ranks.rank_at_stop([a_trial(0, top1(0.1))]) == {"search-0000": 100.0}
    assert ranks.rank_at_stop([a_trial(0, [])]) == {}


def test_colours_of_full_length_trials_run_from_the_worst_to_the_best() -> None:
    trials = [a_trial(n, top1(0.1, 0.2, n / 40)) for n in (5, 20, 1, 39)]
    trials += [a_trial(7, top1(0.9), "stopped"), a_trial(8, top1(0.9), stage="attribute")]
    colours = ranks.rank_colours(trials)
    assert list(colours) == ["search-0001", "search-0005", "search-0020", "search-0039"]
    assert colours["search-0001"] == "#440154"
    assert colours["search-0039"] == "#ADDC30"
    assert len(set(colours.values())) == 4
    assert ranks.rank_colours([]) == {}
