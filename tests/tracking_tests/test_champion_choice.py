"""The champion of a run is what its verdict exports, from weights that a confirmation left."""

import hashlib
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from search.plan.config import RunConfig
from search.plan.config_file import read_config, write_config
from search.plan.plan import Plan
from search.records.journal import Journal
from search.records.trials import Record, TrialSpec
from search.stages.advice import Advice
from search.stages.analysis import Analysis
from search.stages.experiment import confirm_stage
from search.tracking.champion import Champion
from search.tracking.champion_choice import make_champion
from spaces.recipe import Recipe
from tests.support.finished_run import a_config, a_plan, an_analysis
from tests.support.toy_training import TOY, toy_dataset
from trainable import checkpoint
from trainable.models.saved_model import MODEL_FILE, read_metadata
from trainable.trainer import Trainer

BEST = TOY.with_strengths(label_smoothing=0.0)
SCALED = TOY.with_strengths(ema_decay=0.8)
OFF = TOY.with_strengths(ema_decay=0.0, label_smoothing=0.0)
ADVISED = TOY.with_strengths(label_smoothing=0.05)


def a_toy_plan() -> Plan:
    return replace(
        a_plan(("red", "green", "blue")),
        anchors={"reference": TOY, "scaled": SCALED, "off": OFF},
    )


def confirmed(config: RunConfig, plan: Plan) -> Journal:
    """Every confirmation run of two seeds; the first seed's leave what a worker leaves."""
    config.path.mkdir(parents=True)
    journal = Journal(config.path)
    dataset = toy_dataset()
    stage = confirm_stage(journal, plan, config, best=BEST, advised=ADVISED)
    while isinstance(spec := stage.next(), TrialSpec):
        journal.start(spec)
        metrics = {"test/top1": 0.25, "clean_train/top1": 0.5}
        if spec.keep_weights:
            folder = config.path / "ray" / spec.trial_id
            folder.mkdir(parents=True)
            trainer = Trainer(spec.recipe, dataset, dataset.split)
            metrics = trainer.evaluate("val", "test")
            checkpoint.save(trainer, folder)
            journal.checkpoint(spec.trial_id, str(folder))
        for epoch in range(1, spec.recipe.epochs + 1):
            record = Record(trial_id=spec.trial_id, stage=spec.stage, epoch=epoch, metrics=metrics)
            journal.report(record)
        journal.end(spec.trial_id, "finished")
    journal.close()
    return journal


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = a_config(tmp_path_factory.mktemp("runs"), confirm_seeds=2)
    confirmed(config, a_toy_plan())
    return config.path


@pytest.fixture
def config(template: Path, tmp_path: Path) -> RunConfig:
    """A copy of the run, whose checkpoints lie where its journal says: in the template."""
    found = a_config(tmp_path, confirm_seeds=2)
    shutil.copytree(template, found.path)
    found = write_config(found, begins=True)
    text = (found.path / "trials.jsonl").read_text().replace(str(template), str(found.path))
    (found.path / "trials.jsonl").write_text(text)
    return found


def champion_of(config: RunConfig, exported: str = "best", **changes: Any) -> Champion:
    found = _with_best(an_analysis(exported=exported, **changes))
    with closing(Journal(config.path)) as journal:
        return make_champion(config, a_toy_plan(), toy_dataset(), journal, found)


def _with_best(analysis: Analysis) -> Analysis:
    return replace(analysis, best=BEST, advice=Advice(recipe=ADVISED, reasons={}))


def test_only_the_first_seed_of_what_may_be_exported_leaves_weights(config: RunConfig) -> None:
    specs = [trial.spec for trial in Journal(config.path).of_stage("confirm")]
    roles = {"reference", "best", "off", "scaled", "advised"}
    assert len(specs) == 2 * len(roles)
    assert {spec.role for spec in specs if spec.keep_weights} == roles
    assert {spec.block for spec in specs if spec.keep_weights} == {0}


def test_a_run_that_stands_for_an_equal_recipe_leaves_weights_too(tmp_path: Path) -> None:
    plan = a_toy_plan()
    equal = replace(plan, anchors={**plan.anchors, "scaled": OFF})
    config = a_config(tmp_path, confirm_seeds=2)
    config.path.mkdir(parents=True)
    journal = Journal(config.path)
    stage = confirm_stage(journal, equal, config, best=BEST, advised=ADVISED)
    kept = []
    while isinstance(spec := stage.next(), TrialSpec) and spec.block == 0:
        kept += [spec.role] if spec.keep_weights else []
        journal.start(spec)
    journal.close()
    assert kept == ["reference", "best", "off", "advised"]


def test_a_champion_that_is_not_the_advised_recipe_says_why(config: RunConfig) -> None:
    because = "the advised recipe has no result on fresh seeds"
    described = champion_of(config, "scaled", exported_because=because).description
    assert f"It is the size-scaled default; {because}." in described


@pytest.mark.parametrize(
    ("exported", "recipe", "why"),
    [
        ("advised", ADVISED, "the reference with the turns of the verdict"),
        ("best", BEST, "It is the best recipe."),
        ("scaled", SCALED, "It is the size-scaled default."),
        ("off", OFF, "It is everything off."),
        ("reference", TOY, "It is the reference as it ships."),
    ],
)
def test_the_champion_is_the_recipe_that_the_verdict_exports_and_says_so(
    config: RunConfig, exported: str, recipe: Recipe, why: str
) -> None:
    champion = champion_of(config, exported)
    assert champion.name == "digits-test_byobnet"
    assert champion.tags["recipe"] == exported
    assert why in champion.description
    seed = read_metadata(champion.model_file)["recipe"]["seed"]
    assert read_metadata(champion.model_file)["recipe"] == replace(recipe, seed=seed).to_dict()
    first = min(t.spec.recipe.seed for t in Journal(config.path).of_stage("confirm"))
    assert seed == first


def test_what_it_was_made_of_is_deleted_and_not_missed(config: RunConfig) -> None:
    first = champion_of(config)
    assert not any((config.path / "ray").rglob("*.pt"))
    written = first.model_file.stat().st_mtime_ns
    # A run that is over and was moved is written out again, from the file alone.
    moved = replace(config, run_name="renamed")
    config.path.rename(moved.path)
    again = champion_of(moved)
    assert again.model_file.stat().st_mtime_ns == written
    assert again.tags == first.tags
    assert again.description == first.description


def test_a_changed_file_is_not_registered_though_its_metadata_is_right(config: RunConfig) -> None:
    file = champion_of(config).model_file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # One bit of a weight.
    file.write_bytes(content)
    assert read_metadata(file)["model"] == TOY.model
    with pytest.raises(FileNotFoundError, match="There is no checkpoint in"):
        champion_of(config)


def test_a_run_that_was_begun_elsewhere_writes_its_weights_and_registers_nothing(
    config: RunConfig,
) -> None:
    came = write_config(replace(config, home=None))
    with pytest.raises(PermissionError, match="not registered: the run was begun elsewhere"):
        champion_of(came)
    assert read_metadata(came.path / "model.safetensors")["model"] == TOY.model
    # Going on with it here does not make it one that was begun here.
    again = write_config(read_config(came.path))
    assert again.home is not None
    with pytest.raises(PermissionError, match="begun elsewhere"):
        champion_of(again)


def test_an_example_can_be_left_out(config: RunConfig) -> None:
    assert len(champion_of(config).images) == 16
    assert len(champion_of(replace(config, no_example=True)).images) == 0


def test_a_file_of_another_recipe_is_not_taken_for_the_champion(config: RunConfig) -> None:
    champion_of(config, "scaled")
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint in .*confirm-0001"):
        champion_of(config, "best")


def test_nothing_outside_of_the_run_is_read_or_deleted(config: RunConfig, template: Path) -> None:
    path = config.path / "trials.jsonl"
    path.write_text(path.read_text().replace(str(config.path), str(template)))
    with pytest.raises(FileNotFoundError, match="does not lie in"):
        champion_of(config)
    assert len(list((template / "ray").rglob("*.pt"))) == 5


def test_a_checkpoint_of_another_model_is_told_and_not_used(config: RunConfig) -> None:
    (file,) = (config.path / "ray" / "confirm-0001").glob("*.pt")
    torch.save({"model": {}, "ema": {}}, other := file.with_name("other"))
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    other.rename(file.with_name(f"run-000009-{digest}.pt"))
    with pytest.raises(OSError, match=r"confirm-0001 cannot be used: .*Missing key"):
        champion_of(config)


def test_a_model_file_of_somebody_else_is_written_over(
    config: RunConfig, template: Path, tmp_path: Path
) -> None:
    """Its metadata is right, and none of its weights."""
    right = load_file(champion_of(config).model_file)
    with safe_open(config.path / MODEL_FILE, "pt") as file:
        metadata = file.metadata()
    again = replace(config, run_name="again")
    shutil.copytree(template, again.path)
    events = (again.path / "trials.jsonl").read_text().replace(str(template), str(again.path))
    (again.path / "trials.jsonl").write_text(events)
    wrong = {name: torch.zeros_like(tensor) for name, tensor in right.items()}
    save_file(wrong, again.path / MODEL_FILE, metadata)
    written = load_file(champion_of(write_config(again, begins=True)).model_file)
    assert all(torch.equal(written[name], tensor) for name, tensor in right.items())


def test_a_broken_model_file_is_written_again(config: RunConfig) -> None:
    (config.path / "model.safetensors").write_bytes(b"no model")
    assert read_metadata(champion_of(config).model_file)["model"] == TOY.model


def test_a_run_that_kept_no_weights_says_so(config: RunConfig) -> None:
    path = config.path / "trials.jsonl"
    lines = [line for line in path.read_text().splitlines() if '"checkpoint"' not in line]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileNotFoundError, match=r"exported recipe \(best\) left its weights"):
        champion_of(config)


def test_the_example_shows_training_images_only(config: RunConfig) -> None:
    dataset = toy_dataset()
    shown = champion_of(config).images
    kept = torch.from_numpy(dataset.images[dataset.split.train[: len(shown)]])
    assert torch.equal(torch.from_numpy(shown), kept)
