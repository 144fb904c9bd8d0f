"""The line about a run that is under way: its count, its total and the time that is left."""

import io
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.commands.progress import Progress
from search.commands.search import SEARCH
from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.stage_size import search_sizes
from search.records.journal import Journal
from search.records.trials import Trial
from search.stages.sequence import stage_makers
from tests.support.finished_run import a_config, a_plan
from tests.support.recorded_run import recorded_run
from tests.support.replay import replay

LEFT = re.compile(r" · about (\d+) (s|min) left$")


def curve(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Less label smoothing is better, and every run has a share of luck of its own."""
    luck = zlib.crc32(f"{trial.spec.trial_id} {epoch}".encode()) % 1000 / 1e5
    top1 = 0.9 - trial.spec.recipe.strengths.label_smoothing + luck
    seen = {"top1": top1, "nll": 1.0 - top1, "nll_refined": 1.0 - top1}
    metrics = {"train/loss": 1.0, "cost/train_s": 1.0, "test/top1": top1, "test/nll": 1.0 - top1}
    for suffix in ("", "_raw", "_ema", *(f".{level}" for level in trial.spec.ema_levels)):
        metrics |= {f"val{suffix}/{name}": value for name, value in seen.items()}
        metrics |= {f"clean_train{suffix}/{name}": value for name, value in seen.items()}
    return metrics


class Watched:
    """A run whose every line is kept, by the trial it was printed about."""

    def __init__(self, config: RunConfig, *, deadline: float | None = None) -> None:
        self.out = io.StringIO()
        self.plan = a_plan()
        self.sizes = search_sizes(self.plan, config, None)
        self._progress = Progress(
            Console(file=self.out, width=400),
            sizes=self.sizes,
            space=self.plan.space,
            metric=config.metric,
            num_val=self.plan.data.num_val,
            deadline=deadline,
        )
        self._config, self._deadline = config, deadline
        self.told: list[tuple[str, int, int]] = []

    def session(self, *, max_events: int = 10**9, num_workers: int = 2) -> "Watched":
        """Run until it is over, or is killed after so many reports."""
        self._config.path.mkdir(parents=True, exist_ok=True)
        journal = Journal(self._config.path)
        journal.begin_session(num_cores=2, cores_per_trial=1)
        self._progress.know(journal.trials.values())
        makers = stage_makers(self._config, self.plan, journal, deadline=self._deadline)

        def changed(trial: Trial) -> None:
            self._progress.seen(trial, num_expected=conductor.num_expected)
            stage = trial.spec.stage
            ended = sum(t.status != "running" for t in journal.of_stage(stage))
            shown = self._progress._summary(stage).split(" · ")[0]
            done, total = map(int, shown.removeprefix(f"{stage} ").split("/"))
            assert done == ended
            assert len(journal.of_stage(stage)) <= total, shown
            self.told.append((stage, done, total))

        conductor = Conductor(journal, makers, on_change=changed)
        try:
            replay(conductor, curve, num_workers=num_workers, max_events=max_events)
        finally:
            journal.close()
        return self

    def require_all_done(self) -> None:
        last = {stage: (done, total) for stage, done, total in self.told}
        assert "confirm" in last
        for stage, (done, total) in last.items():
            assert done == total, stage


@pytest.mark.parametrize(
    ("num_workers", "changes"),
    [
        (2, {}),
        (5, {"num_samples": 4, "rerun_top": 8}),  # Fewer have full length than are asked for.
        (1, {"num_samples": 12, "rerun_top": 5, "keep": 0.3}),
        (3, {"num_samples": 40, "patience": 8, "metric": "val/top1"}),
        (2, {"rerun_top": 1, "confirm_seeds": 2, "min_blocks": 3, "max_blocks": 3}),
    ],
)
def test_the_count_never_passes_its_total_and_ends_at_it(
    num_workers: int, changes: dict[str, Any], tmp_path: Path
) -> None:
    config = a_config(tmp_path, **{"num_samples": 10, "rerun_top": 3} | changes)
    Watched(config).session(num_workers=num_workers).require_all_done()


def test_a_search_that_its_budget_ends_has_the_total_that_it_came_to(tmp_path: Path) -> None:
    watched = Watched(a_config(tmp_path, num_samples=10, rerun_top=3), deadline=0.0).session()
    watched.require_all_done()
    searched = [total for stage, _, total in watched.told if stage == "search"]
    assert searched[0] == 10 + 5
    assert searched[-1] == 3 + 5  # The anchors and their reruns.


@pytest.mark.parametrize("max_events", [25, 160, 260])
def test_a_run_that_goes_on_counts_what_it_has_already(max_events: int, tmp_path: Path) -> None:
    config = a_config(tmp_path, num_samples=10, rerun_top=3)
    Watched(config).session(max_events=max_events)
    again = Watched(config).session()
    again.require_all_done()


def test_every_line_of_a_log_has_number_total_and_from_the_third_on_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded_run("small_transfer")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    plan = a_plan()
    progress = Progress(
        Console(file=out, width=400),
        sizes=run.sizes,
        space=plan.space,
        metric="val/top1",
        num_val=10,
        deadline=300.0,  # Used up before the experiment ends.
    )
    ends = []
    for at, trial in run.events:
        now[0] = at
        round_of = {"attribute": 8 * max(2, (trial.spec.block or 0) + 1)}
        progress.seen(trial, num_expected=round_of if trial.spec.stage == "attribute" else {})
        ends += [at] if trial.status != "running" else []
    lines = out.getvalue().splitlines()
    assert len(lines) == len(ends) == 57
    assert all(LEFT.search(line) is None for line in lines[:2])
    for at, line in zip(ends[2:], lines[2:], strict=True):
        found = LEFT.search(line)
        assert found, line
        told = int(found[1]) * (60 if found[2] == "min" else 1)
        if line.startswith("confirm"):
            assert told == pytest.approx(run.end_s - at, abs=max((run.end_s - at) / 4, 10)), line


def test_a_run_that_was_planned_before_sizes_were_kept_is_given_them(tmp_path: Path) -> None:
    plan, config = a_plan(), a_config(tmp_path)
    assert SEARCH.sizes(config, plan) == search_sizes(plan, config, None)
