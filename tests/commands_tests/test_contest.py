"""A contest of optimizers: each with its own rate, in equal time, and no winner out of noise."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from search.commands.ablation.contest import CONTEST
from search.commands.ablation.contest_result import EPOCHS, TIME, Contest, contest_of
from search.commands.ablation.contest_stages import (
    TUNE,
    choices,
    contest_stage,
    contestant,
    rates,
    tune_specs,
    tune_stage,
)
from search.commands.ablation.contest_text import answer, remarks, rows
from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.records.journal import Journal
from search.records.trials import Trial
from tests.support.finished_run import a_config, a_plan
from tests.support.replay import replay
from trainable.optim.optimizers import DEFAULTS

NAMES = ("adamw", "lion", "sam", "adamw_schedulefree")
EPOCHS_ASKED = 5
SECONDS = {"adamw": 1.0, "lion": 1.01, "sam": 2.0, "adamw_schedulefree": 0.8}
BEST = {"adamw": 1e-3, "lion": 1e-4, "sam": 1e-4, "adamw_schedulefree": 2.5e-3}
"""Sam's best rate lies at the low end of what is tried."""

PLAN = replace(
    a_plan(),
    anchors={**a_plan().anchors, "reference": replace(a_plan().reference, epochs=EPOCHS_ASKED)},
)


def settings(run_dir: Path, **changes: object) -> RunConfig:
    given = {"stages": ("tune", "contest"), "optimizers": NAMES, "seeds": 3, "metric": "val/top1"}
    return a_config(run_dir, **given | changes)


def planted(winner: str = "sam", gain: float = 0.05):  # type: ignore[no-untyped-def]
    def curve(trial: Trial, epoch: int) -> Mapping[str, float]:
        recipe = trial.spec.recipe
        off = abs(math.log10(recipe.lr / BEST[recipe.optimizer]))
        noise = 0.001 * ((7 * trial.spec.number) % 5 - 2)
        top1 = 0.8 - 0.05 * off + noise + gain * (recipe.optimizer == winner)
        if recipe.optimizer == "lion" and recipe.lr > 9e-4 and epoch == 2:
            return {"diverged": 1.0}
        return {
            "val/top1": top1,
            "val/nll": 1.0 - top1,
            "val/nll_refined": 1.0 - top1,
            "cost/train_s": SECONDS[recipe.optimizer] + 3.0 * (epoch == 1),
        }

    return curve


def a_run(run_dir: Path, *, max_events: int = 10**9, gain: float = 0.05) -> Journal:
    config, journal = settings(run_dir), Journal(run_dir)
    stages = CONTEST.stages(config, PLAN, journal)
    replay(Conductor(journal, stages), planted(gain=gain), num_workers=2, max_events=max_events)
    journal.close()
    return journal


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return a_run(tmp_path_factory.mktemp("finished"))


def result_of(journal: Journal, run_dir: Path) -> Contest:
    chosen = choices(journal.of_stage(TUNE), PLAN, settings(run_dir))
    return contest_of(journal.of_stage("contest"), chosen)


def test_rates_lie_evenly_around_the_default_a_decade_each_way() -> None:
    assert rates(1e-3, number=5) == pytest.approx([1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2])
    assert rates(0.1, number=3) == pytest.approx([0.01, 0.1, 1.0])


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_each_optimizer_starts_as_far_from_its_default_as_the_recipe_does(name: str) -> None:
    plan = PLAN
    doubled = replace(plan.reference, lr=2e-3).with_strengths(weight_decay=0.1)
    plan = replace(plan, anchors={**plan.anchors, "reference": doubled})
    recipe = contestant(plan, name)
    lr, decay = DEFAULTS[name]
    assert recipe.optimizer == name
    assert recipe.lr == pytest.approx(2 * lr)
    assert recipe.strengths.weight_decay == pytest.approx(2 * decay)
    own_average = name == "adamw_schedulefree"
    assert (recipe.strengths.ema_decay == 0.0) == own_average


def test_every_optimizer_gets_the_same_number_of_rates_on_one_split(tmp_path: Path) -> None:
    specs = tune_specs(PLAN, settings(tmp_path, lr_trials=4))
    assert {n: sum(s.role == n for s in specs) for n in NAMES} == dict.fromkeys(NAMES, 4)
    assert len({(s.split_seed, s.recipe.seed) for s in specs}) == 1
    assert {s.evaluate_on for s in specs} == {"val"}
    assert len({(s.role, s.recipe.lr) for s in specs}) == 16


def test_the_best_rate_is_chosen_and_the_end_of_the_range_is_told(
    finished: Journal, tmp_path: Path
) -> None:
    chosen = {c.name: c for c in choices(finished.of_stage(TUNE), PLAN, settings(tmp_path))}
    assert {name: c.lr for name, c in chosen.items()} == pytest.approx(BEST)
    assert [name for name, c in chosen.items() if c.is_at_edge] == ["sam"]
    assert chosen["lion"].tried[1e-3] is None, "it diverged there"
    assert chosen["sam"].step_ratio == pytest.approx(2.0)


def test_equal_time_scales_the_epochs_and_with_them_the_schedule(
    finished: Journal, tmp_path: Path
) -> None:
    trials = finished.of_stage("contest")
    epochs = {t.spec.role: t.spec.recipe.epochs for t in trials}
    assert epochs == {
        "adamw": 5,
        "lion": 5,  # One percent slower rounds to the same run, which stands for both.
        "sam": 5,
        "sam in equal time": 2,
        "adamw_schedulefree": 5,
        "adamw_schedulefree in equal time": 6,
    }
    assert len(trials) == 3 * 6
    tuned = {s.split_seed for s in tune_specs(PLAN, settings(tmp_path))}
    assert not tuned & {t.spec.split_seed for t in trials}
    for block in range(3):
        assert len({t.spec.split_seed for t in trials if t.spec.block == block}) == 1


@pytest.mark.parametrize("killed_after", [1, 50, 120])
def test_a_killed_contest_goes_on_to_the_same_result(
    finished: Journal, tmp_path: Path, killed_after: int
) -> None:
    a_run(tmp_path, max_events=killed_after)
    again = a_run(tmp_path)
    assert set(again.trials) == set(finished.trials)
    assert rows(result_of(again, tmp_path)) == rows(result_of(finished, tmp_path))


def test_a_real_lead_wins_and_a_small_one_does_not(finished: Journal, tmp_path: Path) -> None:
    clear = result_of(finished, tmp_path)
    assert [(one.at, one.winner) for one in clear.rounds] == [(EPOCHS, "sam"), (TIME, "sam")]
    assert "At equal epochs sam is ahead of all others" in answer(clear)
    level = result_of(a_run(tmp_path, gain=0.0), tmp_path)
    assert [one.winner for one in level.rounds] == [None, None]
    assert all(len(one.level) == 4 for one in level.rounds)
    assert answer(level).count("no winner") == 2


def test_differences_are_against_the_first_and_times_are_measured(
    finished: Journal, tmp_path: Path
) -> None:
    result = result_of(finished, tmp_path)
    at_epochs = {s.name: s for s in result.rounds[0].standings}
    assert at_epochs["adamw"].top1_difference is None
    difference = at_epochs["sam"].top1_difference
    assert difference is not None
    assert difference.mean == pytest.approx(0.05, abs=3e-3)
    in_time = {s.name: s for s in result.rounds[1].standings}
    # Five epochs of a second and two of two, each after three seconds of warming up.
    assert at_epochs["adamw"].train_s == pytest.approx(8.0)
    assert in_time["sam"].train_s == pytest.approx(7.0)
    assert result.step_time["sam"].mean == pytest.approx(1.0)
    assert next(r for r in rows(result) if r["optimizer"] == "sam")["lr"] == "0.0001"
    said = " ".join(remarks(result, metric="val/top1"))
    assert "sam's best rate, 0.0001, is at the end of what was tried" in said
    assert "sam 2.00 -> 2 epochs" in said
    assert "adamw_schedulefree runs without EMA" in said


def test_what_finishes_with_no_rate_is_left_out_and_named(
    finished: Journal, tmp_path: Path
) -> None:
    config, plan = settings(tmp_path), PLAN
    trials = [
        replace(t, status="diverged") if t.spec.role == "adamw" else t
        for t in finished.trials.values()
    ]
    chosen = choices([t for t in trials if t.spec.stage == TUNE], plan, config)
    assert [c.name for c in chosen] == ["lion", "sam", "adamw_schedulefree"]
    assert chosen[0].step_ratio == 1.0
    findings = CONTEST.find(config, plan, trials)
    assert findings.data["left_out"] == ["adamw"]
    assert any("adamw finished with none of its rates" in remark for remark in findings.remarks)
    nothing = [replace(t, status="diverged") for t in trials]
    with pytest.raises(RuntimeError, match="no optimizer finished"):
        CONTEST.find(config, plan, nothing)


def test_the_findings_can_be_written_and_drawn(finished: Journal, tmp_path: Path) -> None:
    findings = CONTEST.find(settings(tmp_path), PLAN, list(finished.trials.values()))
    data = json.loads(json.dumps(findings.data))
    assert data["schema"] == "optimizers/1"
    assert [one["at"] for one in data["rounds"]] == [EPOCHS, TIME]
    assert len(data["choices"][0]["tried"]) == 5
    assert len(findings.rows) == 2 * len(NAMES)
    assert findings.answer.metrics["equal_epochs/sam_difference"] == pytest.approx(0.05, abs=3e-3)
    assert findings.figure.png().startswith(b"\x89PNG")
    words = [getattr(item, "text", "") for item in findings.figure.draw(356.0).items]
    assert words.count("sam") == 3, "a panel each on a narrow page"


def test_a_contest_needs_its_rates_before_it_begins(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    replay(
        Conductor(journal, [lambda: tune_stage(journal, PLAN, settings(tmp_path))]),
        planted(),
        num_workers=3,
    )
    stage = contest_stage(journal, PLAN, settings(tmp_path))
    first = stage.next()
    journal.close()
    assert getattr(first, "stage", None) == "contest"
