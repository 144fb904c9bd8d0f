"""A weight average may have BatchNorm statistics of its own, which change nothing else."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task
from tests.support.toy_training import TOY, toy_dataset
from trainable.evaluation import quick_metrics
from trainable.measurement import EVAL_BATCH_SIZE
from trainable.models.build import describe_model
from trainable.trainer import Trainer

DATASET = toy_dataset()
MEASURED = replace(TOY, ema_batch_norm="measured")
LEVELS = {"reference": 0.95, "best": 0.6, "none": 0.0}


def trained(
    recipe: Recipe, *, epochs: int = 4, within: Mapping[str, float] | None = None
) -> Trainer:
    run = Trainer(recipe, DATASET, DATASET.split, ema_levels=LEVELS, within_levels=within)
    for _ in range(epochs):
        run.train_epoch()
    return run


def normalized(run: Trainer, part: str) -> torch.Tensor:
    return run._normalize(run._images[getattr(DATASET.split, part)])


def metrics_by_hand(run: Trainer, level: str) -> dict[str, float]:
    """The slow twin: a copy of the average, whose statistics are those of one training batch."""
    with run.ema.averaged(level):
        model = deepcopy(run.model).eval()
    with torch.no_grad():
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.momentum = 1.0  # Only the last batch counts.
            norm.train()
        assert len(DATASET.split.train) <= EVAL_BATCH_SIZE
        model(normalized(run, "train"))
        logits = model.eval()(normalized(run, "val"))
    return quick_metrics(logits, torch.from_numpy(np.array(DATASET.labels)[DATASET.split.val]))


@pytest.mark.parametrize("level", ["reference", "best"])
def test_an_average_is_measured_with_the_statistics_of_the_training_images(level: str) -> None:
    run = trained(TOY, within={f"{level}.ema_batch_norm": 1.0})
    expected = metrics_by_hand(run, level)
    found = run.evaluate("val")
    for name, value in expected.items():
        assert found[f"val.{level}.ema_batch_norm/{name}"] == pytest.approx(value, abs=1e-5)
    assert found[f"val.{level}.ema_batch_norm/nll"] != found[f"val.{level}/nll"]


def test_the_recipes_own_average_ships_with_them_and_the_raw_weights_stay_as_they_are() -> None:
    plain, run = trained(TOY), trained(MEASURED, within={"best.ema_batch_norm": 0.0})
    expected, found = plain.evaluate("val"), run.evaluate("val")
    by_hand = metrics_by_hand(plain, "reference")  # Of the same decay as the recipe's own.
    assert found["val/nll"] == pytest.approx(by_hand["nll"], abs=1e-5)
    assert found["val_raw/nll"] == expected["val_raw/nll"]
    assert found["val.none/nll"] == expected["val.none/nll"]
    assert found["val.best.ema_batch_norm/nll"] == expected["val.best/nll"]
    model = deepcopy(run.model)
    model.load_state_dict(run.shipped_weights())
    with torch.no_grad():
        logits = model.eval()(normalized(run, "val"))
    labels = torch.from_numpy(np.array(DATASET.labels)[DATASET.split.val])
    assert quick_metrics(logits, labels)["nll"] == pytest.approx(found["val/nll"], abs=1e-5)


def test_an_evaluation_before_the_end_does_not_move_the_average() -> None:
    looked, blind = trained(MEASURED, epochs=0), trained(MEASURED)
    for _ in range(4):
        looked.evaluate("val")
        looked.train_epoch()
    found, expected = looked.evaluate("val"), blind.evaluate("val")
    assert {n: v for n, v in found.items() if not n.startswith("cost/")} == {
        n: v for n, v in expected.items() if not n.startswith("cost/")
    }


def test_other_values_are_measured_after_the_last_epoch_only() -> None:
    run = trained(TOY, epochs=3, within={"best.ema_batch_norm": 1.0})
    assert not [name for name in run.evaluate("val") if "ema_batch_norm" in name]


def test_all_images_that_pass_the_model_are_counted() -> None:
    run = trained(MEASURED, within={"best.ema_batch_norm": 1.0})
    seen = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    run.model.register_forward_pre_hook(count)
    assert run.measure("val").num_images == seen


def test_a_model_says_whether_it_has_batch_norm() -> None:
    assert describe_model("test_byobnet").has_batch_norm
    assert describe_model("resnet18_cifar").has_batch_norm
    assert not describe_model("test_vit").has_batch_norm
    assert trained(TOY, epochs=0).task.has_batch_norm
    assert not Task.of(TOY, num_train=9, num_classes=2, num_blocks=0).has_batch_norm


def test_another_word_is_refused() -> None:
    with pytest.raises(InputError, match="`ema_batch_norm` must be one of averaged, measured, got"):
        replace(TOY, ema_batch_norm="fresh")
