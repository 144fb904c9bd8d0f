"""A finished run of which more is asked: what was run stays, and the rest goes on from it."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.top_up import topped_up
from search.records.journal import Journal
from search.records.trials import Trial
from search.stages.analysis import decide_dials, experiment_runs, pick_best, tried_best
from search.stages.selection import RERUN
from search.stages.sequence import stage_makers
from search.verdict.design import blocks_per_look
from search.verdict.schema import Dial
from tests.support.finished_run import EPOCHS, a_config, a_plan
from tests.support.replay import replay

PLAN: Plan = replace(a_plan(), rungs=())


def noisy(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Smoothing and stochastic depth cost accuracy, the first much, the second about its noise."""
    strengths = trial.spec.recipe.strengths
    # Of its name, not of the text of its recipe, which gets new keys.
    rng = np.random.default_rng(zlib.crc32(trial.spec.trial_id.encode()))
    top1 = 0.8 - 0.8 * strengths.label_smoothing - 0.25 * strengths.drop_path_rate
    top1 += 0.012 * rng.normal() - 0.02 * (EPOCHS - epoch) / EPOCHS

    def at(level: str) -> dict[str, float]:
        own = top1 + 0.002 * rng.normal()
        return {
            f"{where}{level}/{name}": value
            for where, bonus in (("val", 0.0), ("clean_train", 0.2), ("test", 0.0))
            for name, value in (
                ("top1", own + bonus),
                ("nll", 1.0 - own),
                ("nll_refined", 1.0 - own),
                ("nll_refined_se", 0.01),
            )
        }

    metrics: dict[str, float] = {"train/loss": 1.0}
    for level in ("", "_raw", *(f".{level}" for level in trial.spec.ema_levels)):
        metrics |= at(level)
    return metrics


def work(config: RunConfig, most: int = 10**9) -> Journal:
    """One process that works at the run, killed after so many reports."""
    config.path.mkdir(parents=True, exist_ok=True)
    journal = Journal(config.path)
    makers = stage_makers(config, PLAN, journal, deadline=None)
    try:
        replay(Conductor(journal, makers), noisy, max_events=most)
    finally:
        journal.close()
    return journal


def dials(journal: Journal, config: RunConfig) -> tuple[Dial, ...]:
    runs = experiment_runs(journal.of_stage("attribute"))
    return decide_dials(runs, PLAN, config, tried_best(journal, PLAN, config))[1]


def a_first(tmp_path: Path, **settings: Any) -> tuple[RunConfig, Journal]:
    config = a_config(
        tmp_path, **{"num_samples": 6, "max_blocks": 2, "confirm_seeds": 2, **settings}
    )
    return config, work(config)


def blocks_of(journal: Journal) -> set[int | None]:
    return {trial.spec.block for trial in journal.of_stage("attribute")}


def blocks_a_round(journal: Journal) -> int:
    """As many as make eight runs: the pick may differ from the reference in two strengths only."""
    return blocks_per_look(len(journal.of_stage("attribute")[0].spec.levels))


def what_was_run(journal: Journal) -> list[Any]:
    return [(t.spec, t.status, [r.metrics for r in t.records]) for t in journal.trials.values()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Journal]:
    return a_first(tmp_path_factory.mktemp("first"))


def copied(finished: tuple[RunConfig, Journal], to: Path) -> tuple[RunConfig, Journal]:
    """A run directory like the finished one."""
    config = replace(finished[0], run_dir=str(to))
    config.path.mkdir(parents=True)
    for name in ("trials.jsonl", "records.jsonl"):
        (config.path / name).write_bytes((finished[0].path / name).read_bytes())
    return config, finished[1]


def test_a_top_up_adds_to_what_was_run_and_turns_stay(
    finished: tuple[RunConfig, Journal], tmp_path: Path
) -> None:
    config, first = copied(finished, tmp_path)
    more = topped_up(config, first, max_blocks=4, num_samples=10)
    second = work(more)
    was, now = what_was_run(first), what_was_run(second)
    assert now[: len(was)] == was
    assert blocks_of(second) == set(range(4 * blocks_a_round(second)))
    assert sum(t.spec.role != RERUN for t in second.of_stage("search")) == 10
    before, after = dials(first, config), dials(second, more)
    turned = {d.strength: d.turn for d in before if d.turn in ("down", "up")}
    assert turned["label_smoothing"] == "down"
    assert turned.items() <= {d.strength: d.turn for d in after}.items()
    assert max(d.num_runs for d in after) == 32
    # The experiment stays about the recipe it began with, whatever the search finds now.
    assert tried_best(second, PLAN, more) == tried_best(first, PLAN, config)
    assert tried_best(second, PLAN, more) == pick_best(first, PLAN, config)


@pytest.mark.parametrize("kills", [(3,), (4 * EPOCHS + 5,), (20 * EPOCHS, 2), (27 * EPOCHS + 1,)])
def test_a_top_up_that_is_killed_goes_on_to_the_same_end(
    finished: tuple[RunConfig, Journal], tmp_path: Path, kills: tuple[int, ...]
) -> None:
    config, first = copied(finished, tmp_path / "whole")
    whole = work(topped_up(config, first, max_blocks=4, num_samples=10))
    config, first = copied(finished, tmp_path / "killed")
    # What was asked is in the config: nobody has to ask again.
    more = topped_up(config, first, max_blocks=4, num_samples=10)
    for most in kills:
        work(more, most)
    assert what_was_run(work(more)) == what_was_run(whole)


def test_a_recipe_that_is_advised_anew_is_confirmed_and_nothing_is_run_twice(
    finished: tuple[RunConfig, Journal], tmp_path: Path
) -> None:
    config, first = copied(finished, tmp_path)
    second = work(topped_up(config, first, max_blocks=6, num_samples=14))
    confirmed = [t.spec for t in second.of_stage("confirm")]
    new = confirmed[len(first.of_stage("confirm")) :]
    assert len({spec.trial_id for spec in confirmed}) == len(confirmed)
    assert len({(spec.recipe, spec.evaluate_on) for spec in confirmed}) == len(confirmed)
    # On the seeds of what it is compared with, none of which chose it.
    seeds = {t.spec.recipe.seed for t in first.of_stage("confirm")}
    assert {spec.recipe.seed for spec in new} <= seeds
    assert {spec.role for spec in new} <= {"best", "advised"}


def test_asking_for_blocks_alone_does_not_open_the_search_again(tmp_path: Path) -> None:
    # Patience ends the proposals early, so that samples are left over.
    config, first = a_first(tmp_path, num_samples=20, patience=2)
    searched = [t.spec for t in first.of_stage("search")]
    assert sum(spec.role != RERUN for spec in searched) < 20
    second = work(topped_up(config, first, max_blocks=3))
    assert [t.spec for t in second.of_stage("search")] == searched
    # Who asks for more samples sees at least as many as patience wants.
    more = topped_up(topped_up(config, first, max_blocks=3), second, num_samples=30)
    third = work(more)
    proposed = [t for t in third.of_stage("search") if t.spec.role != RERUN]
    assert len(proposed) >= sum(spec.role != RERUN for spec in searched) + 2


def test_a_confirmation_that_failed_does_not_keep_earlier_stages_from_going_on(
    finished: tuple[RunConfig, Journal], tmp_path: Path
) -> None:
    config, _ = copied(finished, tmp_path)
    path = config.path / "trials.jsonl"
    lines = path.read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if '"event": "end"' in line)
    lines[last] = lines[last].replace('"status": "finished"', '"status": "failed"')
    path.write_text("\n".join(lines) + "\n")
    first = Journal(config.path)
    second = work(topped_up(config, first, max_blocks=3, num_samples=8))
    assert sum(t.spec.role != RERUN for t in second.of_stage("search")) == 8
    assert blocks_of(second) == set(range(3 * blocks_a_round(second)))
    assert {t.status for t in second.of_stage("confirm")} == {"finished"}
