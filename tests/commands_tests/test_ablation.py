"""An ablation takes out one thing at a time, ranks what that does, and survives being killed."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest

from search.cli import main
from search.commands.ablation import job
from search.commands.ablation.effects import (
    DIVERGES,
    HELPS,
    HURTS,
    OPEN,
    SAME,
    Ablation,
    effects_of,
)
from search.commands.ablation.job import ABLATION, run_seconds
from search.commands.ablation.stage import STAGE, ablate_stage
from search.commands.ablation.text import answer, judgement, rows
from search.commands.ablation.variants import FULL, Ingredient, full_recipe, ingredients, variants
from search.commands.comparison_page import Page, comparison_page
from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.resources import num_workers
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec, epoch_seconds
from search.report.tables import write_rows
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.task import Task
from tests.support.finished_run import a_config, a_plan
from tests.support.replay import replay
from tests.support.toy_training import TOY, toy_dataset
from trainable.timing import Timing

EVERYTHING = Recipe(
    epochs=4,
    amp_dtype="bfloat16",
    min_lr=1e-5,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    randaugment=RandAugment(),
).with_strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9,
    warmup_fraction=0.1,
)
NAMES = (
    "warmup",
    "lr_decay",
    "label_smoothing",
    "no_decay_split",
    "mixed_precision",
    "drop_path_rate",
    "dropout",
    "ema_decay",
    "mixup_cutmix",
    "randaugment",
)


def task_of(recipe: Recipe, *, num_train: int = 300, num_blocks: int = 9) -> Task:
    return Task.of(recipe, num_train=num_train, num_classes=10, num_blocks=num_blocks)


def found(recipe: Recipe = EVERYTHING, **task: int) -> dict[str, Ingredient]:
    return {i.name: i for i in ingredients(recipe, task_of(recipe, **task))}


def flat(recipe: Recipe) -> dict[str, object]:
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe) if f.name != "strengths"}
    return values | recipe.strengths.as_dict()


def test_each_variant_lacks_one_ingredient_and_nothing_else() -> None:
    full = replace(EVERYTHING, dropout=0.2)
    changed = {
        name: {key for key, value in flat(i.without).items() if value != flat(full)[key]}
        for name, i in found(full).items()
    }
    assert changed == {
        "warmup": {"warmup_fraction"},
        "lr_decay": {"schedule", "min_lr"},
        "label_smoothing": {"label_smoothing"},
        "no_decay_split": {"no_decay_split"},
        "mixed_precision": {"amp_dtype"},
        "drop_path_rate": {"drop_path_rate"},
        "dropout": {"dropout"},
        "ema_decay": {"ema_decay"},
        "mixup_cutmix": {"mixup_alpha", "cutmix_alpha"},
        "randaugment": {"randaugment"},
    }
    assert list(variants(full, list(found(full).values()))) == [
        FULL,
        *(f"without {name}" for name in NAMES),
    ]


def test_what_a_recipe_lacks_is_told_and_not_run() -> None:
    bare = Recipe(epochs=4, schedule="constant", no_decay_split=False, amp_dtype="none")
    assert all(ingredient.missing for ingredient in found(bare).values())
    assert variants(bare, list(found(bare).values())) == {FULL: bare}


def test_what_the_model_or_the_length_cannot_have_is_told_with_the_reason() -> None:
    assert "no block" in found(num_blocks=0)["drop_path_rate"].missing
    short = EVERYTHING.with_strengths(warmup_fraction=0.01)
    assert "0.01 of 36 steps" in found(short)["warmup"].missing
    assert (
        "schedule-free"
        in found(replace(EVERYTHING, optimizer="adamw_schedulefree"))["lr_decay"].missing
    )
    assert (
        "nothing to spare"
        in found(EVERYTHING.with_strengths(weight_decay=0.0))["no_decay_split"].missing
    )


def test_the_full_recipe_averages_over_a_window_that_fits_the_run() -> None:
    staples = EVERYTHING.with_strengths(ema_decay=0.9999)
    short, notes = full_recipe(staples, task_of(staples))
    assert short.strengths.ema_decay == pytest.approx(1 - 1 / (0.05 * 36))
    assert "0.9999 remembers 10000 steps, this run has 36" in notes[0]
    assert short.randaugment is not None
    assert (short.mixup_alpha, short.cutmix_alpha) == (0.8, 1.0)
    long, none = full_recipe(staples, task_of(replace(staples, epochs=300), num_train=100_000))
    assert long.strengths.ema_decay == 0.9999
    assert none == ()


def settings(run_dir: Path, *, seeds: int = 3) -> RunConfig:
    return a_config(run_dir, stages=("ablate",), seeds=seeds)


def a_run(tmp_path: Path, *, max_events: int = 10**9) -> Journal:
    journal = Journal(tmp_path)
    recipes = variants(EVERYTHING, list(found().values()))
    stage = ablate_stage(journal, a_plan(), settings(tmp_path), recipes)
    replay(Conductor(journal, [lambda: stage]), planted, num_workers=2, max_events=max_events)
    journal.close()
    return journal


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return a_run(tmp_path_factory.mktemp("finished"))


def planted(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Smoothing adds 4 points, EMA costs 3, warmup keeps from diverging, RandAugment takes time."""
    role, block = trial.spec.role, trial.spec.block or 0
    if role == "without warmup" and epoch == 2:
        return {"diverged": 1.0, "val/top1": 0.0, "val/nll": 1e3}
    noise = 0.0005 * ((7 * trial.spec.number) % 5 - 2)
    top1 = 0.7 + 0.05 * block + noise
    top1 -= 0.04 * (role == "without label_smoothing")
    top1 += 0.03 * (role == "without ema_decay")
    seconds = 1.0 - 0.2 * (role == "without randaugment") + 0.002 * (trial.spec.number % 3)
    return {"val/top1": top1, "val/nll": 1.0 - top1, "cost/train_s": seconds + 5.0 * (epoch == 1)}


def ablation(trials: list[Trial]) -> Ablation:
    return effects_of(trials, list(found().values()), steps_per_epoch=9)


def test_every_variant_runs_once_in_every_block_on_its_split_and_seed(finished: Journal) -> None:
    trials = finished.of_stage(STAGE)
    assert len(trials) == 3 * 10
    for block in range(3):
        of_block = [t.spec for t in trials if t.spec.block == block]
        # The recipe has no dropout.
        without = {f"without {name}" for name in NAMES if name != "dropout"}
        assert {spec.role for spec in of_block} == {FULL, *without}
        assert len({(spec.split_seed, spec.recipe.seed) for spec in of_block}) == 1
    assert len({t.spec.split_seed for t in trials}) == 3
    orders = {tuple(t.spec.role for t in trials if t.spec.block == block) for block in range(3)}
    assert len(orders) == 3, "a role must not always be first"
    assert {t.spec.evaluate_on for t in trials} == {"val"}


@pytest.mark.parametrize("killed_after", [0, 1, 13, 60])
def test_a_killed_ablation_goes_on_to_the_same_result(
    finished: Journal, tmp_path: Path, killed_after: int
) -> None:
    whole = finished
    a_run(tmp_path, max_events=killed_after)
    again = a_run(tmp_path)
    ends = {k: (t.status, t.epoch) for k, t in whole.trials.items()}
    assert {k: (t.status, t.epoch) for k, t in again.trials.items()} == ends
    first, second = (rows(ablation(list(j.trials.values()))) for j in (whole, again))
    assert first == second


def test_planted_effects_come_out_ranked_and_judged(finished: Journal) -> None:
    result = ablation(finished.of_stage(STAGE))
    worths = {worth.name: worth for worth in result.worths}
    order = [worth.name for worth in result.worths]
    assert order[:2] == ["warmup", "label_smoothing"]
    assert order[-1] == "ema_decay"
    assert worths["warmup"].accuracy == DIVERGES
    assert worths["warmup"].num_diverged == 3
    assert worths["label_smoothing"].accuracy == HELPS
    assert worths["label_smoothing"].top1.mean == pytest.approx(0.04, abs=2e-3)
    assert worths["label_smoothing"].nll.mean == pytest.approx(-0.04, abs=2e-3)
    assert worths["ema_decay"].accuracy == HURTS
    assert worths["randaugment"].accuracy == SAME
    assert worths["randaugment"].only_speed
    assert worths["randaugment"].step_time.mean == pytest.approx(0.25, abs=0.01)
    assert [name for name, worth in worths.items() if worth.only_speed] == ["randaugment"]
    # The first epoch, six times as long, is no step's time.
    assert result.step_ms.mean == pytest.approx(1000 / 9, rel=0.01)
    assert result.top1.mean == pytest.approx(0.75, abs=2e-3)


def test_the_answer_names_what_is_sure_and_says_what_is_not(finished: Journal) -> None:
    result = ablation(finished.of_stage(STAGE))
    said = answer(result)
    assert "Warmup: without it training diverges." in said
    assert "Label smoothing (+4." in said
    assert "EMA of the weights (-3." in said
    assert "RandAugment changes the time per step by +24.9" in said
    assert "it changes only the speed" in said
    assert rows(result)[0]["ingredient"] == "warmup"


def test_noise_is_called_noise(finished: Journal) -> None:
    noisy = [
        replace(
            trial,
            records=tuple(
                replace(
                    record,
                    metrics={
                        "val/top1": 0.5 + 0.05 * math.sin(37.0 * trial.spec.number),
                        "val/nll": 1.0,
                        "cost/train_s": 1.0 + 0.3 * math.cos(53.0 * trial.spec.number),
                    },
                )
                for record in trial.records
            ),
        )
        for trial in finished.of_stage(STAGE)
        if trial.status == "finished"
    ]
    result = ablation(noisy)
    judged = {worth.accuracy for worth in result.worths if worth.name != "warmup"}
    assert judged == {OPEN}
    assert not any(worth.only_speed for worth in result.worths)
    assert answer(result).startswith("No ingredient changes the accuracy beyond noise.")
    assert {judgement(w) for w in result.worths} == {"not distinguishable"}


def test_only_the_speed_is_hedged_where_accuracy_is_open(finished: Journal) -> None:
    result = ablation(finished.of_stage(STAGE))
    speed = next(worth for worth in result.worths if worth.only_speed)
    hedged = replace(speed, accuracy=OPEN)
    said = answer(replace(result, worths=(hedged,)))
    assert "nothing else that 3 seeds could tell from noise" in said
    assert judgement(hedged) == "only the speed, as far as seen"


def test_a_run_of_the_full_recipe_that_never_ends_well_leaves_no_answer() -> None:
    spec = TrialSpec(stage=STAGE, number=0, role=FULL, recipe=EVERYTHING, block=0)
    result = ablation([Trial(spec=spec, status="failed")])
    assert "finished no run" in answer(result)
    assert all(math.isnan(worth.top1.mean) for worth in result.worths)


def test_step_time_is_the_median_epoch_without_the_first() -> None:
    spec = TrialSpec(stage=STAGE, number=0, role=FULL, recipe=EVERYTHING, block=0)

    def trial(*seconds: float) -> Trial:
        records = tuple(
            Record(trial_id="x", stage=STAGE, epoch=i + 1, metrics={"cost/train_s": s})
            for i, s in enumerate(seconds)
        )
        return Trial(spec=spec, records=records)

    assert epoch_seconds(trial(9.0, 1.0, 2.0, 100.0)) == 2.0
    assert epoch_seconds(trial(9.0)) == 9.0
    assert math.isnan(epoch_seconds(trial()))


def test_the_findings_are_files_that_agree(finished: Journal, tmp_path: Path) -> None:
    config = settings(tmp_path)
    plan = a_plan()
    anchors = {**plan.anchors, "reference": EVERYTHING}
    plan = replace(plan, anchors=anchors, task=task_of(EVERYTHING))
    findings = ABLATION.find(config, plan, finished.of_stage(STAGE))
    data = json.loads(json.dumps(findings.data))
    assert data["schema"] == "ablation/1"
    assert "Bonferroni" in data["method"]
    write_rows(tmp_path / "ablation.csv", findings.rows)
    with (tmp_path / "ablation.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["ingredient"] for line in lines] == [w["name"] for w in data["worths"]]
    assert findings.answer.metrics["effect/label_smoothing"] == pytest.approx(0.04, abs=2e-3)
    assert all(math.isfinite(value) for value in findings.answer.metrics.values())
    assert any(f"{num_workers(config)} run(s) at once" in remark for remark in findings.remarks)
    for width in (760.0, 356.0):
        drawing = findings.figure.draw(width)
        assert drawing.width == width
        words = [getattr(item, "text", "") for item in drawing.items]
        assert words.index("label smoothing") < words.index("EMA of the weights")
    assert findings.figure.png().startswith(b"\x89PNG")
    page = comparison_page(
        Page(
            title="t",
            about="a <b>",
            sentence=findings.answer.sentence,
            lines=findings.lines,
            figure=findings.figure,
            rows=findings.answer.rows,
            remarks=findings.remarks,
        )
    )
    assert "a &lt;b&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "1"], "`seeds >= 2` must hold, but got 1"),
        (["--lr-trials", "2"], "`lr_trials >= 3` must hold, but got 2"),
        (["--optimizers", "adamw,lyon"], "`optimizers` must be among adamw, sgd, lion"),
        (["--optimizers", "adamw"], "two or more different ones, but got adamw"),
        (["--optimizers", "adamw, adamw"], "two or more different ones, but got adamw,adamw"),
        (["--reference", "nothing.yaml"], "nothing.yaml"),
        (["--dataset", "no-such-thing"], "no-such-thing"),
        (["--num-samples", "5"], "--num-samples"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    given = ["--dataset", "digits", "--num-train", "50", *arguments, "--run-dir", str(runs)]
    code = main(["ablate", *given, "--data-dir", str(tmp_path / "data")])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert says in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not runs.exists()


def test_cifar_that_is_not_there_is_named_with_its_file_and_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainable.data.public_datasets.is_reachable", lambda url: False)
    data_dir = tmp_path / "data"
    code = main(["ablate", "--run-dir", str(tmp_path / "runs"), "--data-dir", str(data_dir)])
    captured = capsys.readouterr()
    assert code == 2
    assert "`cifar100` is not in" in captured.err
    assert f"Put cifar-100-python.tar.gz into {data_dir}" in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(("host_bytes", "fits"), [(10**6, True), (10**15, False)])
def test_runs_that_do_not_fit_into_memory_are_refused_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host_bytes: int, fits: bool
) -> None:
    def timed(*_: object, **__: object) -> Timing:
        return Timing(step_s=0.1, evaluated_image_s=0.01, host_bytes=host_bytes)

    monkeypatch.setattr(job, "time_run", timed)
    config = a_config(tmp_path)
    if fits:
        assert run_seconds(config, a_plan(), toy_dataset(), TOY) is not None
        return
    with pytest.raises(InputError, match=r"of memory.*, but this machine has .* GB: give"):
        run_seconds(config, a_plan(), toy_dataset(), TOY)
