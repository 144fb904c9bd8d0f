"""Images that a toy model learns in milliseconds, and a written run directory to train from."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from search.plan.config_file import write_config
from search.recipes.yaml_file import write_recipe
from search.records.files import write_json
from search.records.journal import Journal
from search.report.outputs import write_recipes
from search.stages.analysis import pick_best
from search.verdict.schema import Confirmed, Cost, Fit, Verdict
from spaces.recipe import Recipe
from spaces.strengths.values import Strengths
from tests.support import finished_run
from trainable.data.datasets import Dataset
from trainable.data.splits import Split

TOY = Recipe(
    model="test_byobnet",
    image_size=16,
    epochs=4,
    batch_size=8,
    lr=3e-3,
    amp_dtype="none",
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.2,
        ema_decay=0.95,
        warmup_fraction=0.1,
    ),
)
NUM_TRAIN, NUM_VAL, NUM_TEST = 24, 12, 12
SIZES = ((0, 7), (1, 6), (2, 2))
"""Classes and training images of each in `unequal_dataset`."""


def unequal_dataset() -> Dataset:
    """The three classes of `toy_dataset`, of which 7, 6 and 2 images are trained on."""
    dataset = toy_dataset()
    train = dataset.split.train
    kept = np.sort(np.concatenate([train[dataset.labels[train] == k][:n] for k, n in SIZES]))
    return replace(dataset, split=replace(dataset.split, train=kept))


def toy_dataset(scale: int = 1, image_size: int = 16) -> Dataset:
    """Three classes that differ in colour; ``scale`` times as many images of each part."""
    num_images = scale * (NUM_TRAIN + NUM_VAL + NUM_TEST)
    generator = np.random.default_rng(0)
    labels = np.arange(num_images) % 3
    shape = (num_images, image_size, image_size, 3)
    images = generator.integers(0, 120, shape, dtype=np.uint8)
    images[np.arange(num_images), :, :, labels] += 100
    train, val, test = np.split(
        generator.permutation(num_images), np.cumsum([scale * NUM_TRAIN, scale * NUM_VAL])
    )
    return Dataset(
        name="digits",
        images=images,
        labels=labels,
        class_names=("red", "green", "blue"),
        split=Split(train=np.sort(train), val=np.sort(val), test=np.sort(test)),
        digest="0" * 32,
        notes=(),
    )


def write_run(root: Path, *, exported: str = "best", name: str = "r1") -> Path:
    """A finished run with its recipe files, and ``toy.yaml`` beside them."""
    config = finished_run.a_config(root, run_name=name)
    plan = finished_run.a_plan()
    config.path.mkdir(parents=True)
    write_config(config, begins=True)
    write_json(config.path / "plan.json", plan.to_dict())
    journal = Journal(config.path)
    for trial in finished_run.search_trials(2):
        if trial.spec.role == "anchor:scaled":
            continue  # It would win, and then could not be told from the best of the search.
        journal.start(trial.spec)
        for record in trial.records:
            journal.report(record)
        journal.end(trial.spec.trial_id, trial.status)
    journal.close()
    said = Verdict(
        run=name,
        dataset=plan.data.name,
        model=plan.reference.model,
        num_train=plan.data.num_train,
        total_steps=plan.task.total_steps,
        fit=Fit(reference="underfit", best="balanced", reasons=()),
        dials=(),
        confirmed=Confirmed(
            num_images=500,
            seeds=3,
            reference={"test/top1": 0.11},
            best={"test/top1": 0.94, "test/nll": 0.4},
            off={"test/top1": 0.92},
            best_minus_reference={},
        ),
        cost=Cost(wall_s=1.0, core_s=2.0, train_share=0.5),
        exported=exported,
        sentence="Turn down label_smoothing from 0.1 to 0.",
    )
    write_json(config.path / "verdict.json", said.to_dict())
    best = pick_best(journal, plan, config)
    recipe = {"best": best, **plan.anchors}[exported]
    write_recipes(config, plan, recipe, sentence=said.sentence)
    write_recipe(config.path / "toy.yaml", TOY)
    return config.path
