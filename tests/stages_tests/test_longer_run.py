"""The run that tells whether longer training would help: run, resumed, and what it decides."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import read_json, write_json
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec
from search.stages.analysis import analyse
from search.stages.sequence import stage_makers
from tests.support.finished_run import EPOCHS, REFERENCE, SCALED, a_config, a_plan
from tests.support.replay import Curve, replay

CANDIDATE = REFERENCE.with_strengths(label_smoothing=0.0)
PLAN: Plan = replace(a_plan(), candidate=CANDIDATE)


def accuracy(speed: float) -> Curve:
    """Accuracy of a model that can fit 70 %, a little noisy; smoothing costs five points."""

    def curve(trial: Trial, epoch: int) -> Mapping[str, float]:
        recipe = trial.spec.recipe
        rng = np.random.default_rng([recipe.seed, trial.spec.number, epoch])
        reached = 0.7 * (1.0 - np.exp(-speed * epoch / EPOCHS))
        reached -= 0.5 * recipe.strengths.label_smoothing

        def measured() -> float:
            return float(reached + 0.01 * rng.normal())

        metrics = {
            f"{where}{level}/{name}": value
            for level in ("", "_raw", *(f".{level}" for level in trial.spec.ema_levels))
            for where in ("val", "clean_train", "test")
            for name, value in (("top1", measured()), ("nll", 1.0), ("nll_refined", 1.0))
        }
        return {"train/loss": 1.0, **metrics}

    return curve


def a_run(tmp_path: Path, speed: float, kills: tuple[int, ...] = ()) -> tuple[Journal, RunConfig]:
    """A diagnosis from its first trial to its last, killed after so many reports."""
    config = a_config(tmp_path, stages=("attribute", "confirm"))
    config.path.mkdir(parents=True)
    for most in (*kills, 10**9):
        journal = Journal(config.path)
        conductor = Conductor(journal, stage_makers(config, PLAN, journal, deadline=None))
        replay(conductor, accuracy(speed), max_events=most)
        journal.close()
    predictions = config.path / "predictions"
    predictions.mkdir()
    correct = np.packbits(np.arange(PLAN.data.num_test) % 5 > 0).tobytes()
    nll = np.full(PLAN.data.num_test, 0.4, "<f2").tobytes()
    packed: dict[str, Any] = {
        "correct": b64encode(correct).decode(),
        "nll": b64encode(nll).decode(),
    }
    packed |= {f"raw_{name}": value for name, value in packed.items()}
    for trial in journal.of_stage("confirm"):
        if trial.spec.evaluate_on == "test":
            write_json(predictions / f"{trial.spec.trial_id}.json", packed)
    return journal, config


def longer_runs(journal: Journal) -> list[Trial]:
    return [trial for trial in journal.of_stage("confirm") if trial.spec.role == "longer"]


def test_an_unfinished_run_turns_nothing_and_says_what_twice_the_epochs_bring(
    tmp_path: Path,
) -> None:
    journal, config = a_run(tmp_path, speed=0.8)
    (longer,) = longer_runs(journal)
    assert (longer.status, longer.epoch) == ("finished", 2 * EPOCHS)
    verdict = analyse(journal, PLAN, config).verdict
    assert verdict.fit.reference == "undertrained"
    assert {dial.turn for dial in verdict.dials if dial.num_runs} == {"inconclusive"}
    assert verdict.exported == "reference"
    write_json(tmp_path / "verdict.json", verdict.to_dict())
    told = read_json(tmp_path / "verdict.json")["fit"]["longer"]
    assert (told["recipe"], told["times"], told["helps"]) == ("off", 2, True)
    planted = 0.7 * (np.exp(-0.8) - np.exp(-1.6))
    assert told["gain"]["val/top1"]["mean"] == pytest.approx(planted, abs=0.04)
    low, high = told["gain"]["val/top1"]["ci95"]
    assert low < planted < high


def test_a_run_that_can_fit_no_more_is_fit_limited_and_its_dials_are_turned(
    tmp_path: Path,
) -> None:
    journal, config = a_run(tmp_path, speed=20.0)
    assert len(longer_runs(journal)) == 1
    verdict = analyse(journal, PLAN, config).verdict
    assert verdict.fit.best == "fit-limited"
    assert verdict.fit.longer is not None
    assert not verdict.fit.longer.helps
    turns = {dial.strength: dial.turn for dial in verdict.dials}
    assert turns["label_smoothing"] == "down"


def test_a_run_killed_near_its_end_has_its_longer_run_once(tmp_path: Path) -> None:
    whole, _ = a_run(tmp_path / "whole", speed=0.8)
    events = sum(len(trial.records) for trial in whole.trials.values())
    # In the last of the other runs, in the longer one, and in it again after going on.
    kills = (events - 2 * EPOCHS - 3, 5, 1)
    killed, _ = a_run(tmp_path / "killed", speed=0.8, kills=kills)
    assert what_was_run(killed) == what_was_run(whole)


def what_was_run(journal: Journal) -> list[tuple[TrialSpec, str, list[Mapping[str, float]]]]:
    """All of it but when."""
    return [(t.spec, t.status, [r.metrics for r in t.records]) for t in journal.trials.values()]


def test_where_some_recipe_fits_nothing_longer_is_run(tmp_path: Path) -> None:
    config = a_config(tmp_path, stages=("attribute", "confirm"))
    config.path.mkdir(parents=True)

    def fits(trial: Trial, epoch: int) -> Mapping[str, float]:
        metrics = dict(accuracy(20.0)(trial, epoch))
        if trial.spec.recipe.strengths == SCALED.strengths:
            metrics["clean_train/top1"] = 1.0
        return metrics

    journal = Journal(config.path)
    replay(Conductor(journal, stage_makers(config, PLAN, journal, deadline=None)), fits)
    journal.close()
    assert len(journal.of_stage("confirm")) > 0
    assert longer_runs(journal) == []
