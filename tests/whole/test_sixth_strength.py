"""A sixth strength is one registration: plan, search, experiment, verdict, report, MLflow, exports.

Three ways to have one: MixUp moved from the extras to the strengths, random erasing, which nothing
but this file knows as a strength, and MixUp asked for with ``--set`` as the extra that it is. The
recipe of the reference has too much of it, which costs eight points, and nothing else matters.
"""

import base64
import csv
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from search.commands.progress import Progress
from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.config_file import write_config
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.plan.stage_size import search_sizes
from search.plan.text import plan_text
from search.recipes.diff import diff
from search.recipes.rescale import rescaled_recipe
from search.recipes.yaml_file import read_recipe
from search.records.files import write_json
from search.records.journal import Journal
from search.records.trials import Trial
from search.report.outputs import write_outputs
from search.report.terminal import print_verdict
from search.stages.analysis import Analysis, analyse
from search.stages.sequence import stage_makers
from search.tracking.notes import verdict_metrics
from search.tracking.open_store import embedded_uri, set_environment
from search.tracking.run_info import make_tracker, open_search
from search.tracking.trial_fields import run_name
from search.tracking.view import MAX_CHARACTERS, view_value
from search.verdict.wording import raw
from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_at_least
from spaces.strengths.registry import EXTRAS, STRENGTHS, known
from spaces.strengths.strength import Strength, beside_strengths
from spaces.units import to_effective
from tests.support.replay import replay
from trainable.readback import LIVE

set_environment()

from mlflow import MlflowClient  # noqa: E402  It reads the environment while it is imported.

FIVE = tuple(STRENGTHS)
ERASING = Strength(
    name="erasing",
    label="random erasing",
    short="re",
    unit="probability of a box",
    place=beside_strengths("erasing"),
    interval=Interval(high=1.0, has_high=True),
    limits=lambda task: (0.0, 1.0),
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 0.9)),
    default=lambda task: 0.125,
    differs=by_at_least(0.05),
    remark=lambda raw, task: "hides most images" if raw > 0.7 else "",
    is_regularizer=True,
    usual_points=0.2,
)
TOO_MUCH, COST = 0.8, 0.1
"""Value in the reference, and accuracy that one unit of it costs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A whole run on planted curves, and the strength that it is about."""

    sixth: Strength
    default: float | None
    config: RunConfig
    plan: Plan
    trials: list[Trial]
    analysis: Analysis
    printed: str

    @property
    def name(self) -> str:
        return self.sixth.name


@pytest.fixture(scope="module", params=["promoted", "new", "extra"])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    """The registry holds the sixth strength until the tests of one way are over."""
    before = [(kept, dict(kept)) for kept in (STRENGTHS, EXTRAS)]
    sixth = ERASING if request.param == "new" else EXTRAS["mixup_alpha"]
    if request.param != "extra":
        EXTRAS.pop(sixth.name, None)
        STRENGTHS[sixth.name] = sixth
    ranges = (f"{sixth.name}=0:1",) if request.param == "extra" else ()
    try:
        yield _run(sixth, tmp_path_factory.mktemp(request.param), ranges)
    finally:
        for kept, entries in before:
            # In their order, which is that of tables.
            kept.clear()
            kept.update(entries)


def _run(sixth: Strength, home: Path, ranges: tuple[str, ...]) -> Whole:
    (home / "reference.yaml").write_text(
        f"{sixth.name}: {TOO_MUCH}\n"
        "strengths: {weight_decay: 0.05, label_smoothing: 0.1, drop_path_rate: 0.1, "
        "ema_decay: 0.5, warmup_fraction: 0.1}\n"
    )
    config = RunConfig(
        dataset="small-transfer",
        run_dir=str(home),
        run_name="six",
        data_dir=str(home),
        created="",
        model="test_resnet",
        pretrained=False,
        amp_dtype="none",
        epochs=5,
        reference=str(home / "reference.yaml"),
        num_samples=8,
        rerun_top=2,
        confirm_seeds=2,
        max_blocks=2,
        ranges=ranges,
    )
    plan, _ = make_plan(config)
    config.path.mkdir()
    # What is resumed later is read from these two.
    write_config(config, begins=True)
    write_json(config.path / "plan.json", plan.to_dict())
    journal = Journal(config.path)
    journal.begin_session(num_cores=1, cores_per_trial=1)
    console = Console(file=io.StringIO(), width=200)
    progress = Progress(
        console,
        sizes=search_sizes(plan, config, None),
        space=plan.space,
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=None,
    )
    stages = stage_makers(config, plan, journal, deadline=None)
    conductor = Conductor(
        journal,
        stages,
        on_change=lambda trial: progress.seen(trial, num_expected=conductor.num_expected),
    )
    replay(conductor, lambda trial, epoch: _curve(sixth, trial, epoch))
    trials = list(journal.trials.values())
    _write_predictions(config, plan, trials)
    analysis = analyse(journal, plan, config)
    write_outputs(config, plan, journal, analysis)
    print_verdict(console, config, plan, analysis)
    journal.close()
    assert isinstance(console.file, io.StringIO)
    default = sixth.default(plan.task) if sixth.name in STRENGTHS else None
    return Whole(
        sixth=sixth,
        default=default,
        config=config,
        plan=plan,
        trials=trials,
        analysis=analysis,
        printed=console.file.getvalue(),
    )


def _curve(sixth: Strength, trial: Trial, epoch: int) -> Mapping[str, float]:
    spec, recipe = trial.spec, trial.spec.recipe
    accuracy = 0.92 - COST * sixth.read(recipe)
    # The same noise for all that share a split, and a smaller one of each run's own.
    accuracy += 0.01 * _noise(spec.split_seed) + 0.003 * _noise(spec.trial_id, epoch)
    accuracy *= min(1.0, 0.7 + 0.3 * epoch / recipe.epochs)
    seen = {"top1": accuracy, "nll": 1.5 * (1 - accuracy), "nll_refined": 1.4 * (1 - accuracy)}
    fitted = {"top1": 0.98 + 0.01 * _noise(spec.trial_id, "fit"), "nll": 0.05}
    metrics = {"train/loss": 1.0, "cost/train_s": 1.0, "cost/eval_s": 0.1}
    for suffix in ("", "_raw", "_ema", *(f".{level}" for level in spec.ema_levels)):
        metrics |= {f"val{suffix}/{name}": value for name, value in seen.items()}
        metrics |= {f"clean_train{suffix}/{name}": value for name, value in fitted.items()}
    if spec.evaluate_on == "test":
        metrics |= {f"test/{name}": value for name, value in seen.items()}
    if epoch == 1:
        metrics |= {f"{LIVE}{name}": s.read(recipe) for name, s in known().items()}
    return metrics


def _noise(*key: object) -> float:
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6], "big") / 2**47 - 1.0


def _write_predictions(config: RunConfig, plan: Plan, trials: list[Trial]) -> None:
    (config.path / "predictions").mkdir()
    for trial in trials:
        if trial.spec.stage == "confirm":
            num_right = round(plan.data.num_test * (trial.last("test/top1") or 0.0))
            correct = np.arange(plan.data.num_test) < num_right
            nll = np.where(correct, 0.2, 2.0).astype("<f2")
            packed = {
                "correct": base64.b64encode(np.packbits(correct).tobytes()).decode(),
                "nll": base64.b64encode(nll.tobytes()).decode(),
            }
            write_json(config.path / "predictions" / f"{trial.spec.trial_id}.json", packed)


def test_the_plan_searches_it_and_shows_it_for_every_anchor(whole: Whole) -> None:
    plan, name = whole.plan, whole.name
    assert plan.space.free_names == (*FIVE, name)
    # What every run measures at both values gets a dial, too, and is not searched.
    assert plan.dial_names == (*FIVE, name, *plan.within_names)
    held = {role: whole.sixth.read(recipe) for role, recipe in plan.anchors.items()}
    # Only strengths are scaled and switched off; what is searched besides stays the reference's.
    expected = {"reference": TOO_MUCH, "scaled": whole.default, "off": 0.0}
    assert held == (dict.fromkeys(held, TOO_MUCH) if whole.default is None else expected)
    console = Console(file=io.StringIO(), width=200)
    console.print(plan_text(console, plan, whole.config, estimate_s=None))
    assert isinstance(console.file, io.StringIO)
    (line,) = (ln for ln in console.file.getvalue().splitlines() if ln.startswith(f"│ {name} "))
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells[3:6] == [f"{value:.6g} ({value:.3g})" for value in held.values()]
    assert cells[-1] == whole.sixth.unit


def test_a_remark_on_the_references_value_stands_in_the_plan(whole: Whole) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(plan_text(console, whole.plan, whole.config, estimate_s=None))
    assert isinstance(console.file, io.StringIO)
    remark = f"! reference: {whole.name} {TOO_MUCH} hides most images"
    assert (remark in console.file.getvalue()) == (whole.sixth is ERASING)


def test_a_plan_that_was_kept_is_read_back(whole: Whole) -> None:
    kept = json.loads((whole.config.path / "plan.json").read_text())
    assert Plan.from_dict(kept, config=whole.config) == whole.plan


def test_the_search_proposes_it(whole: Whole) -> None:
    proposed = [t for t in whole.trials if t.spec.role == "proposed"]
    assert len(proposed) >= 4
    for trial in proposed:
        assert tuple(trial.spec.positions) == whole.plan.space.free_names
        values = whole.plan.space.decode(trial.spec.positions)
        assert whole.sixth.read(trial.spec.recipe) == pytest.approx(values[whole.name])
        assert trial.spec.searched == pytest.approx(values)
    assert len({whole.sixth.read(t.spec.recipe) for t in proposed}) > 2


def test_the_experiment_has_a_factor_of_it(whole: Whole) -> None:
    assert whole.name in whole.analysis.factors.trajectory
    cells = [t for t in whole.trials if t.spec.stage == "attribute"]
    tried = whole.sixth.read(whole.analysis.best)
    assert {t.spec.levels[whole.name] for t in cells} == {-1, 1}
    for trial in cells:
        value = tried if trial.spec.levels[whole.name] > 0 else TOO_MUCH
        assert whole.sixth.read(trial.spec.recipe) == value


def test_the_verdict_turns_it_down_and_nothing_else(whole: Whole) -> None:
    verdict, tried = whole.analysis.verdict, whole.sixth.read(whole.analysis.best)
    names = [*FIVE, whole.name, *whole.plan.within_names]
    assert [dial.strength for dial in verdict.dials] == names
    turns = {dial.strength: dial.turn for dial in verdict.dials}
    assert [name for name, turn in turns.items() if turn in ("down", "up")] == [whole.name]
    dial = verdict.dials[len(FIVE)]
    assert (dial.turn, dial.reference, dial.recommended) == ("down", TOO_MUCH, tried)
    assert dial.effective_unit == whole.sixth.unit
    effect = dial.effect["val/top1"]
    assert effect.ci95[0] <= COST * (TOO_MUCH - tried) <= effect.ci95[1]
    assert f"turn down {whole.name} from {TOO_MUCH}" in verdict.sentence.lower()


def test_the_files_of_the_run_hold_it(whole: Whole) -> None:
    path, name = whole.config.path, whole.name
    kept = json.loads((path / "verdict.json").read_text())
    names = [*FIVE, name, *whole.plan.within_names]
    assert [dial["strength"] for dial in kept["dials"]] == names
    for table in ("trials.csv", "experiment.csv"):
        with (path / table).open(newline="") as file:
            rows = list(csv.DictReader(file))
        by_id = {t.spec.trial_id: whole.sixth.read(t.spec.recipe) for t in whole.trials}
        assert [float(row[name]) for row in rows] == [by_id[row["trial_id"]] for row in rows]
    page = (path / "report.html").read_text()
    heads, dials, plan = (
        page.partition(begin)[2].partition("</section>")[0]
        for begin in ('<section id="trials"', '<section id="dials"', '<section id="plan"')
    )
    # Names may be broken where the column is narrow.
    plain = [part.replace("<wbr>", "") for part in (heads, dials, plan)]
    assert all(name in part for part in plain)
    assert whole.sixth.unit in plan
    assert name in (path / "figures" / "dials.html").read_text()


def test_the_terminal_tells_it(whole: Whole) -> None:
    lines = whole.printed.splitlines()
    reference, *others = (line for line in lines if line.startswith(("search ", "confirm ")))
    assert reference.endswith(f" {whole.sixth.short} {TOO_MUCH})")
    assert all(f" {whole.sixth.short} " in line for line in others)
    tried = raw(whole.sixth.read(whole.analysis.best))
    (said,) = (line for line in lines if f" {whole.name} " in line)
    assert said.startswith(f"Sure    {whole.name} {TOO_MUCH} -> {tried}: +")


def test_exports_hold_it(whole: Whole) -> None:
    exported = whole.analysis.exported
    # The reference, turned where the verdict says so, and nowhere else.
    assert exported == whole.sixth.copied(whole.plan.reference, whole.analysis.best)
    assert read_recipe(whole.config.path / "best.yaml", defaults=None) == exported
    timm = {"mixup_alpha": "mixup", "erasing": "reprob"}[whole.name]
    lines = (whole.config.path / "best.timm.yaml").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{timm}:"))
    assert float(line.partition(":")[2]) == whole.sixth.read(exported)


def test_another_size_of_run_has_a_line_on_it(whole: Whole) -> None:
    recipe = whole.analysis.exported
    moved, lines = rescaled_recipe(recipe, whole.plan.task, num_train=50_000)
    assert whole.sixth.read(moved) == whole.sixth.read(recipe)
    said = [line for line in lines if f"{whole.name} " in line]
    # What is no strength stays too, and nobody expects it to move.
    assert said == ([] if whole.default is None else [said[0]])
    assert all(line.endswith(": unchanged.") for line in said)


def test_a_recipe_is_compared_with_another_by_it_once(whole: Whole) -> None:
    task, best = whole.plan.task, whole.analysis.best
    (found,) = (d for d in diff(best, whole.plan.reference, task, task) if d.name == whole.name)
    assert (found.mine, found.reference) == (whole.sixth.read(best), TOO_MUCH)
    assert whole.sixth.label in found.sentence


def test_mlflow_holds_it_raw_effective_by_position_and_live(whole: Whole) -> None:
    store, name = whole.config.path / "store", whole.name
    tracker = make_tracker(whole.config, whole.plan, store_dir=store)
    open_search(tracker, whole.config, whole.plan)
    proposed = [t for t in whole.trials if t.spec.role == "proposed"][:2]
    tracker.sync(proposed)
    verdict = whole.analysis.verdict
    tracker.close_search("FINISHED", verdict=verdict, artifacts=None)
    assert tracker.problems == []
    client = MlflowClient(embedded_uri(store))
    experiment = client.get_experiment_by_name("recipe-strengths")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.data.tags["mlflow.runName"]: run.data for run in runs}
    for trial in proposed:
        params = by_name[run_name(trial)].params
        value = whole.sixth.read(trial.spec.recipe)
        assert f" {whole.sixth.short} " in run_name(trial)
        assert float(params[name]) == pytest.approx(value, abs=1e-6)
        assert float(params[f"live.{name}"]) == pytest.approx(value, abs=1e-6)
        effective = to_effective(name, value, whole.plan.task)
        assert float(params[f"effective.{name}"]) == pytest.approx(effective, abs=1e-6)
        # Every position up to the share of off means off, and off lies at 0.
        position = trial.spec.positions[name] if value > 0 else 0.0
        assert float(params[f"position.{name}"]) == pytest.approx(position, abs=1e-6)
    (parent,) = (data for data in by_name.values() if data.tags.get("role") == "search")
    assert float(parent.params[f"reference.{name}"]) == TOO_MUCH
    assert parent.params[f"space.{name}"].startswith("0 to ")
    assert parent.metrics[f"effect/{name}"] == pytest.approx(
        verdict_metrics(verdict)[f"effect/{name}"]
    )
    assert parent.tags["turn_down"] == name
    assert f"| {name}" in parent.tags["mlflow.note.content"]


def test_the_saved_view_of_mlflow_has_its_column_and_chart_and_still_fits(whole: Whole) -> None:
    value = view_value(search_id="six", title="six", names=whole.plan.space.names)
    assert len(json.dumps(value)) < MAX_CHARACTERS
    packed = value["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert f"params.`{whole.name}`" in state["selectedColumns"]
    scatters = [chart["xaxis"]["key"] for chart in state["compareRunCharts"] if "xaxis" in chart]
    assert f"position.{whole.name}" in scatters
