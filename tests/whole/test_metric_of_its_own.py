"""A metric that only this test declares is searched, judged and shown by, without a further line.

The trainable is a formula. What it plants: label smoothing raises top-1, and makes worse what the
two metrics of this test measure. So a run judged by top-1 turns smoothing up, and a run judged by
either of the others turns it down.
"""

import base64
import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from search.cli import main
from search.commands.progress import Progress
from search.engine.border import config_of
from search.engine.conductor import Conductor
from search.engine.scheduler import ConductedScheduler
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import search_sizes
from search.records.journal import Journal
from search.records.metrics import METRICS, POINTS, Metric, Unit
from search.records.trials import Trial
from search.report.outputs import write_outputs
from search.report.terminal import print_verdict
from search.stages.analysis import Analysis, analyse
from search.stages.search_stage import SearchStage
from search.stages.sequence import stage_makers
from search.tracking.run_info import make_tracker, open_search
from spaces.errors import InputError
from spaces.space import Space
from spaces.task import Task
from tests.support import finished_run
from trainable.run_spec import RunSpec

NUM_TEST = 500
SHARE = Metric(
    name="class_share",
    words="share by class",
    unit=POINTS,
    larger_is_better=True,
    margin=0.005,
    kind="share",
    ties_by="nll_refined",
    then=("nll_refined", "nll"),
)
DEGREES = Unit(word="degrees", decimals=2, mark="°", least_span=1.0)
ANGLE = Metric(name="angle", words="mean angle", unit=DEGREES, larger_is_better=False, margin=0.25)


def measure(spec: RunSpec, epoch: int) -> Mapping[str, float]:
    """Return the reports of the trainable, on every part of the data and with every average."""
    strengths, seed = spec.recipe.strengths, spec.recipe.seed
    parts = ["val", "clean_train", *(["test"] if spec.is_tested_after(epoch) else [])]
    weights = ["", "_raw", "_ema", *(f".{level}" for level in spec.ema_levels)]
    found: dict[str, float] = {"train/loss": 1.0, "cost/train_s": 1.0, "cost/eval_s": 0.1}
    smoothing = strengths.label_smoothing
    for part in parts:
        digest = hashlib.sha256(repr((seed, part, strengths)).encode()).digest()
        luck = digest[0] / 255 - 0.5
        # All fit what they have seen: a recipe that does not is told to train longer instead.
        is_seen = part == "clean_train"
        values = {
            "top1": 0.99 if is_seen else 0.80 + 0.5 * smoothing + 0.004 * luck,
            "nll": 0.5,
            "nll_refined": 0.5,
            "class_share": 0.99 if is_seen else 0.80 - 0.5 * smoothing + 0.004 * luck,
            "angle": 1.0 if is_seen else 10.0 + 50.0 * smoothing + 0.2 * luck,
        }
        values |= {"class_share_se": 0.004, "angle_se": 0.3, "nll_refined_se": 0.05}
        found |= {f"{part}{which}/{name}": v for which in weights for name, v in values.items()}
    return found


class FakeTrainable:
    """The protocol of `trainable.ray_trainable.RecipeTrainable`, as Tune's scheduler sees it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._spec = RunSpec.from_dict(config["spec"])
        self._epoch = 0

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        metrics: Mapping[str, float] = {"train/loss": 1.0}
        if self._spec.is_evaluated_after(self._epoch):
            metrics = measure(self._spec, self._epoch)
        result: dict[str, Any] = {f"metrics/{name}": value for name, value in metrics.items()}
        if self._spec.is_tested_after(self._epoch):
            right = np.arange(NUM_TEST) < round(metrics["test/top1"] * NUM_TEST)
            losses = np.full(NUM_TEST, 0.5).astype("<f2")
            result["by_image/correct"] = base64.b64encode(np.packbits(right).tobytes()).decode()
            result["by_image/nll"] = base64.b64encode(losses.tobytes()).decode()
        return {"epoch": self._epoch, **result}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that is over."""

    config: RunConfig
    plan: Plan
    journal: Journal
    analysis: Analysis
    study_values: Mapping[str, float]
    terminal: str
    progress: str


def a_plan() -> Plan:
    """The plan of `tests.support.finished_run`, in which only smoothing is searched."""
    plan = finished_run.a_plan()
    task = Task.of(finished_run.REFERENCE, num_train=300, num_classes=2, num_blocks=9)
    held = {
        name: value
        for name, value in finished_run.REFERENCE.strengths.as_dict().items()
        if name != "label_smoothing"
    }
    anchors = {
        role: finished_run.REFERENCE.with_strengths(label_smoothing=value)
        for role, value in (("reference", 0.1), ("scaled", 0.09), ("off", 0.0))
    }
    space = Space.for_task(task)
    for name, value in held.items():
        space = space.fixed(name, value)
    return replace(plan, task=task, anchors=anchors, space=space)


def run(tmp_path: Path, metric: str) -> Ran:
    config = finished_run.a_config(
        tmp_path, metric=metric, num_samples=12, rerun_top=2, patience=8, max_blocks=8
    )
    plan = a_plan()
    config.path.mkdir(parents=True)
    journal = Journal(config.path)
    journal.begin_session(num_cores=1, cores_per_trial=1)
    out = io.StringIO()
    progress = Progress(
        Console(file=out, width=200),
        sizes=search_sizes(plan, config, None),
        space=plan.space,
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=None,
    )
    makers = stage_makers(config, plan, journal, deadline=None)
    search = makers[0]()
    makers[0] = lambda: search
    conductor = Conductor(
        journal,
        makers,
        on_change=lambda trial: progress.seen(trial, num_expected=conductor.num_expected),
    )
    scheduler = ConductedScheduler(conductor, config.path)
    while isinstance(trial := conductor.next_trial(), Trial):
        tune_trial = SimpleNamespace(config=config_of(trial, checkpoint=None))
        worker = FakeTrainable(tune_trial.config)
        answer = TrialScheduler.CONTINUE
        while answer == TrialScheduler.CONTINUE:
            answer = scheduler.on_trial_result(None, tune_trial, worker.step())
    assert isinstance(search, SearchStage)
    analysis = analyse(journal, plan, config)
    write_outputs(config, plan, journal, analysis)
    terminal = io.StringIO()
    print_verdict(Console(file=terminal, width=140), config, plan, analysis)
    return Ran(
        config=config,
        plan=plan,
        journal=journal,
        analysis=analysis,
        study_values={
            t.user_attrs["trial_id"]: t.value
            for t in search.proposer.study.trials
            if t.value is not None
        },
        terminal=terminal.getvalue(),
        progress=out.getvalue(),
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ran]]:
    """A run by top-1, and one by each metric that only this module declares."""
    with pytest.MonkeyPatch.context() as patch:
        for metric in (SHARE, ANGLE):
            patch.setitem(METRICS, metric.name, metric)
        found = {
            name: run(tmp_path_factory.mktemp(name), name)
            for name in ("top1", SHARE.name, ANGLE.name)
        }
        yield found
        for one in found.values():
            one.journal.close()


def smoothing_dial(one: Ran) -> Any:
    (dial,) = [d for d in one.analysis.verdict.dials if d.strength == "label_smoothing"]
    return dial


OWN = [SHARE, ANGLE]
each_own = pytest.mark.parametrize("metric", OWN, ids=[metric.name for metric in OWN])


def test_what_is_planted_is_turned_up_by_top1(ran: dict[str, Ran]) -> None:
    """Or the tests below would hold whatever decided."""
    dial = smoothing_dial(ran["top1"])
    assert (dial.turn, dial.decided_by) == ("up", "val/top1")
    assert ran["top1"].analysis.best.strengths.label_smoothing > 0.15


@each_own
def test_the_search_optimises_it_in_its_direction(ran: dict[str, Ran], metric: Metric) -> None:
    values = ran[metric.name].study_values
    trials = ran[metric.name].journal.trials
    reached = {name: trials[name].last(metric.on("val")) or math.nan for name in values}
    by_score = sorted(values, key=lambda name: values[name], reverse=True)
    by_value = sorted(reached, key=lambda name: metric.sign * reached[name], reverse=True)
    assert len(values) > 5
    assert by_score == by_value


@each_own
def test_selection_picks_by_it(ran: dict[str, Ran], metric: Metric) -> None:
    assert ran[metric.name].analysis.best.strengths.label_smoothing < 0.02


@each_own
def test_the_dials_are_decided_by_it(ran: dict[str, Ran], metric: Metric) -> None:
    dial = smoothing_dial(ran[metric.name])
    assert (dial.turn, dial.decided_by) == ("down", metric.on("val"))
    truth = {SHARE: 0.5, ANGLE: -50.0}[metric] * (0.1 - dial.recommended)
    effect = dial.effect[metric.on("val")]
    assert effect.ci95[0] < truth < effect.ci95[1]
    assert metric.sign * effect.mean > metric.margin


@each_own
def test_it_is_confirmed_and_exported_by(ran: dict[str, Ran], metric: Metric) -> None:
    verdict = ran[metric.name].analysis.verdict
    assert verdict.confirmed is not None
    gain = verdict.confirmed.best_minus_reference[metric.on("test")].times(metric.sign)
    assert gain.ci95[0] > 0.0
    assert verdict.exported == "advised"
    # Top-1 on test images says the opposite.
    assert verdict.confirmed.best_minus_reference["test/top1"].ci95[1] < 0.0
    assert verdict.to_dict()["metric"] == metric.name


@pytest.mark.parametrize(
    ("metric", "effect"),
    [(SHARE, r" \+[45]\.\d points \["), (ANGLE, r" -[45]\.\d\d degrees \[")],
    ids=["class_share", "angle"],
)
def test_terminal_and_report_say_it_in_its_unit(
    ran: dict[str, Ran], metric: Metric, effect: str
) -> None:
    one, head = ran[metric.name], f"{metric.words}, {metric.unit.word}"
    report = (one.config.path / "report.html").read_text()
    (row,) = [line for line in one.terminal.splitlines() if line.startswith("Sure")]
    value = one.analysis.measured["best"][metric.on("test")]
    assert "label_smoothing 0.1 -> " in row
    assert re.search(effect, row)
    assert f"test {metric.words}" in one.terminal
    assert metric.unit.value(value) in one.terminal
    assert head in report
    assert f"test {metric.words}" in report
    assert metric.unit.value(value) in report
    assert f"validation {metric.words}, {metric.unit.word}" in report  # The figure of the dials.
    assert re.search(rf"{metric.unit.word} \[[^]]*\] over the reference as it ships", report)
    assert f"val {metric.head} {metric.unit.value(value)[:2]}" in one.progress


@each_own
def test_mlflow_holds_it_in_its_direction(
    ran: dict[str, Ran], metric: Metric, tmp_path: Path
) -> None:
    one = ran[metric.name]
    tracker = make_tracker(one.config, one.plan, store_dir=tmp_path)
    open_search(tracker, one.config, one.plan)
    for trial in one.journal.trials.values():
        tracker.trial_changed(trial)
    tracker.close_search("FINISHED", verdict=one.analysis.verdict, artifacts=one.config.path)
    assert tracker.problems == []
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [r for r in runs if r.data.tags.get("role") == "search"]
    children = {r.data.tags["trial_id"]: r.data for r in runs if "trial_id" in r.data.tags}
    best = one.analysis.best.strengths.label_smoothing
    truth = metric.sign * abs({SHARE: 0.5, ANGLE: 50.0}[metric] * (0.1 - best))
    assert parent.data.metrics[f"confirmed/gain_{metric.name}"] == pytest.approx(truth, rel=0.1)
    assert parent.data.metrics["effect/label_smoothing"] == pytest.approx(truth, rel=0.1)
    assert parent.data.metrics[f"confirmed/best_{metric.name}"] == pytest.approx(
        one.analysis.measured["best"][metric.on("test")], abs=1e-3
    )
    searched = {
        t.spec.trial_id: t.last(metric.on("val")) or math.nan
        for t in one.journal.of_stage("search")
        if t.is_full_length and t.spec.rerun_of is None
    }
    top = max(searched, key=lambda name: metric.sign * searched[name])
    history = client.get_metric_history(parent.info.run_id, f"search/best_val_{metric.name}")
    assert history[-1].value == pytest.approx(searched[top], abs=1e-3)
    final = children[top].metrics[f"final/val/{metric.name}"]
    assert final == pytest.approx(searched[top], abs=1e-3)
    assert children[top].metrics[f"best/val/{metric.name}"] == pytest.approx(final)
    ranked = [t for t in one.journal.of_stage("search") if t.is_full_length]
    ranked.sort(key=lambda t: metric.sign * (t.last(metric.on("val")) or math.nan))
    colours = [children[t.spec.trial_id].tags["mlflow.runColor"] for t in ranked]
    assert (colours[0], colours[-1]) == ("#440154", "#ADDC30")  # Viridis: bright is better.
    note = parent.data.tags["mlflow.note.content"]
    assert f"val {metric.head}, {metric.unit.word}" in note
    assert f"Test {metric.words} " in note


@pytest.mark.parametrize("asked", ["f1", "val/f1", "test/top1", "", "top-1"])
def test_an_unknown_metric_is_refused_in_one_line_that_names_the_known_ones(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: dict[str, Ran]
) -> None:
    line = (
        "`metric` must be one of top1, nll, nll_refined, balanced_top1, macro_f1, class_share, "
        f"angle, but got {asked!r}."
    )
    with pytest.raises(InputError) as caught:
        finished_run.a_config(tmp_path, metric=asked)
    assert str(caught.value) == line
    if asked:
        assert main(["plan", "--dataset", "digits", "--metric", asked]) == 2
        assert capsys.readouterr().err.strip() == line


@pytest.mark.parametrize("asked", ["class_share", "val/class_share"])
def test_a_metric_may_be_asked_for_with_or_without_its_part(
    asked: str, tmp_path: Path, ran: dict[str, Ran]
) -> None:
    assert finished_run.a_config(tmp_path, metric=asked).metric == "val/class_share"


def test_the_help_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    shipped = "top1, nll, nll_refined, balanced_top1, macro_f1."
    assert f"What the search optimises on validation images: {shipped}" in words
