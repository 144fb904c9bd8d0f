"""Logits are adjusted for the sizes of classes, in all that is measured and shipped."""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support.toy_training import SIZES, TOY, unequal_dataset
from trainable import checkpoint
from trainable.calibration import refined_nll
from trainable.evaluation import full_metrics, per_class_accuracy, quick_metrics
from trainable.measuring.class_prior import log_prior
from trainable.models.build import create_model, describe_model
from trainable.models.output_bias import output_biases
from trainable.trainer import Trainer

DATASET = unequal_dataset()
LABELS = torch.from_numpy(np.array(DATASET.labels))
LEVELS = {"reference": 0.95, "best": 0.6, "none": 0.0}
ADJUSTED = replace(TOY, logit_adjustment=1.5)
NAME = "logit_adjustment"


def trained(
    recipe: Recipe, *, epochs: int = 4, within: Mapping[str, float] | None = None
) -> Trainer:
    run = Trainer(recipe, DATASET, DATASET.split, ema_levels=LEVELS, within_levels=within)
    for _ in range(epochs):
        run.train_epoch()
    return run


def logits_of(run: Trainer, name: str, part: str) -> Tensor:
    """What a copy of some weights returns for a part of the split."""
    with run.ema.averaged(name):
        model = deepcopy(run.model).eval()
    with torch.no_grad():
        found: Tensor = model(run._normalize(run._images[getattr(DATASET.split, part)]))
    return found


def by_hand(logits: Tensor, tau: float) -> Tensor:
    """Adjust image by image and class by class, from the sizes that the dataset was made with."""
    total = sum(size for _, size in SIZES)
    rows = [[float(row[k]) - tau * math.log(size / total) for k, size in SIZES] for row in logits]
    return torch.tensor(rows)


def no_times(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("cost/")}


def test_the_prior_is_that_of_training_images_alone() -> None:
    run = trained(TOY, epochs=0)
    total = sum(size for _, size in SIZES)
    assert run.log_prior.exp().tolist() == pytest.approx([size / total for _, size in SIZES])
    # Validation images have other shares here.
    val = np.bincount(DATASET.labels[DATASET.split.val]) / len(DATASET.split.val)
    assert abs(run.log_prior.exp().numpy() - val).max() > 0.1


def test_a_class_without_training_images_counts_as_one_with_a_single_image() -> None:
    assert log_prior(np.array([3, 0, 6])).exp().tolist() == pytest.approx([1 / 3, 1 / 9, 2 / 3])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_every_level_is_measured_with_the_other_tau_as_by_hand(level: str, tau: float) -> None:
    run = trained(TOY, within={f"{level}.{NAME}": tau})
    found = run.evaluate("val")
    labels = LABELS[DATASET.split.val]
    for name, value in quick_metrics(by_hand(logits_of(run, level, "val"), tau), labels).items():
        assert found[f"val.{level}.{NAME}/{name}"] == pytest.approx(value, abs=1e-5)
    assert found[f"val.{level}.{NAME}/nll"] != pytest.approx(found[f"val.{level}/nll"], abs=1e-3)


def test_a_recipe_that_adjusts_does_so_with_all_its_weights_and_on_all_parts() -> None:
    run = trained(ADJUSTED, within={f"best.{NAME}": 0.0})
    measured = run.measure("val", "test")
    weights = {"val": "own", "test": "own", "clean_train": "own", "val_raw": "none"}
    weights |= {"val.best": "best", "val.reference": "reference"}
    slices = {"clean_train": run._measurement._clean_train}
    for reported, name in weights.items():
        part = reported.partition("_raw")[0].partition(".")[0]
        indices = slices[part] if part in slices else getattr(DATASET.split, part)
        with run.ema.averaged(name), torch.no_grad():
            logits = deepcopy(run.model).eval()(run._normalize(run._images[indices]))
        expected = full_metrics(by_hand(logits, 1.5), LABELS[indices])
        for key in ("top1", "nll", "balanced_top1", "worst_class_top1"):
            assert measured.metrics[f"{reported}/{key}"] == pytest.approx(expected[key], abs=1e-5)
    plain = quick_metrics(logits_of(run, "best", "val"), LABELS[DATASET.split.val])
    assert measured.metrics[f"val.best.{NAME}/nll"] == pytest.approx(plain["nll"], abs=1e-5)


def test_the_smallest_class_is_predicted_more_often_and_the_largest_less() -> None:
    plain, run = (trained(recipe, epochs=1) for recipe in (TOY, replace(TOY, logit_adjustment=3.0)))
    before, after = (one.measure("test").logits["test"].softmax(1).mean(0) for one in (plain, run))
    assert after[2] > before[2]
    assert after[0] < before[0]


def test_training_is_the_same_to_the_last_bit() -> None:
    plain, run = trained(TOY).state_dict(), trained(ADJUSTED).state_dict()
    moments = [one["optimizer"]["state"] for one in (run, plain)]
    torch.testing.assert_close(*moments, rtol=0, atol=0)
    for part in ("model", "ema", "precision", "statistics"):
        torch.testing.assert_close(run[part], plain[part], rtol=0, atol=0)


def test_a_run_goes_on_from_its_checkpoint_to_the_last_bit(tmp_path: Path) -> None:
    whole = trained(ADJUSTED, epochs=2)
    whole.evaluate("val")
    checkpoint.save(whole, tmp_path)
    resumed = trained(ADJUSTED, epochs=0)
    checkpoint.load(resumed, tmp_path)
    for run in (whole, resumed):
        for _ in range(2):
            run.train_epoch()
    assert no_times(whole.evaluate("val")) == no_times(resumed.evaluate("val"))
    shipped, again = whole.shipped_weights(), resumed.shipped_weights()
    assert all(torch.equal(tensor, again[name]) for name, tensor in shipped.items())


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
@pytest.mark.parametrize("statistics", ["averaged", "measured"])
def test_what_ships_is_adjusted_and_what_is_trained_on_is_not(
    ema_decay: float, statistics: str
) -> None:
    recipe = replace(ADJUSTED, ema_batch_norm=statistics).with_strengths(ema_decay=ema_decay)
    run = trained(recipe)
    found = run.evaluate("test")
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    model = timm.create_model(TOY.model, num_classes=3)
    model.load_state_dict(run.shipped_weights())
    with torch.no_grad():
        logits = model.eval()(run._normalize(run._images[DATASET.split.test]))
    expected = quick_metrics(logits, LABELS[DATASET.split.test])
    assert found["test/nll"] == pytest.approx(expected["nll"], abs=1e-5)
    assert found["test/top1"] == expected["top1"]
    assert all(torch.equal(tensor, before[n]) for n, tensor in run.model.state_dict().items())
    # Without it the same weights are worth something else, so that the above can fail.
    plain = quick_metrics(by_hand(logits, -1.5), LABELS[DATASET.split.test])
    assert found["test/nll"] != pytest.approx(plain["nll"], abs=1e-2)


def test_no_image_goes_through_the_model_for_it() -> None:
    within = {f"{level}.{NAME}": 1.0 for level in LEVELS}
    run, plain = trained(TOY, within=within), trained(TOY)
    assert run.measure("val").num_images == plain.measure("val").num_images


def test_both_settings_of_measuring_are_measured_with_the_other_as_the_recipe_has_it() -> None:
    recipe = replace(ADJUSTED, ema_batch_norm="measured")
    run = trained(recipe, within={f"best.{NAME}": 0.0, "best.ema_batch_norm": 0.0})
    seen = 0

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    run.model.register_forward_pre_hook(count)
    measured = run.measure("val")
    assert measured.num_images == seen
    averaged = trained(ADJUSTED).evaluate("val")["val.best/nll"]
    assert measured.metrics["val.best.ema_batch_norm/nll"] == pytest.approx(averaged, abs=1e-5)
    plain = trained(replace(recipe, logit_adjustment=0.0)).evaluate("val")["val.best/nll"]
    assert measured.metrics[f"val.best.{NAME}/nll"] == pytest.approx(plain, abs=1e-5)


def test_readings_and_accuracies_by_class_are_those_of_adjusted_logits() -> None:
    run = trained(ADJUSTED)
    measured = run.measure("val", "test")
    found = run.readings_on_test(measured).metrics
    test, val = DATASET.split.test, DATASET.split.val
    mirrored = DATASET.images[test][:, :, ::-1].copy()
    with torch.no_grad(), run.ema.averaged("own"):
        other = run.model.eval()(run._normalize(mirrored))
    both = [by_hand(logits, 1.5).double() for logits in (logits_of(run, "own", "test"), other)]
    mean = torch.stack(both).softmax(2).mean(0)
    expected = quick_metrics(mean.log(), LABELS[test])["nll"]
    assert found["test_flip/nll"] == pytest.approx(expected, abs=1e-5)
    _, temperature = refined_nll(by_hand(logits_of(run, "own", "val"), 1.5), LABELS[val])
    assert found["test_temperature/temperature"] == pytest.approx(temperature, rel=1e-3)
    by_class = per_class_accuracy(by_hand(logits_of(run, "own", "test"), 1.5), LABELS[test])
    assert run.by_class("test") == pytest.approx(by_class)


MODELS = {
    "resnet18_cifar": 16,
    "test_byobnet": 16,
    "test_convnext": 32,
    "test_mambaout": 32,
    "test_nfnet": 32,
    "test_resnet": 16,
    "test_vit": 32,
    "tf_efficientnet_lite0": 32,
    "deit_tiny_distilled_patch16_224": 32,
    "levit_128s": 224,
    "lcnet_035": 32,
    "efficientvim_m1": 64,
    "crossvit_9_240": 240,
}
WITHOUT = "repvit_m0_9"


@pytest.mark.parametrize("name", MODELS)
def test_a_change_of_the_found_biases_is_that_change_of_the_logits(name: str) -> None:
    recipe = replace(TOY, model=name, image_size=MODELS[name]).with_strengths(drop_path_rate=0.0)
    assert describe_model(name).has_output_bias
    model = create_model(recipe, num_classes=3).eval()
    images, change = torch.rand(2, 3, MODELS[name], MODELS[name]), torch.tensor([0.5, -2.0, 1.0])
    with torch.no_grad():
        before = model(images)
        names = output_biases(model, num_classes=3)
        parameters = dict(model.named_parameters())
        for found in names:
            parameters[found].add_(change)
        torch.testing.assert_close(model(images) - before, change.expand(2, 3))


def test_a_recipe_may_not_adjust_where_that_cannot_ship() -> None:
    without = replace(TOY, model=WITHOUT, image_size=64).with_strengths(drop_path_rate=0.0)
    assert not describe_model(WITHOUT).has_output_bias
    create_model(without, num_classes=3)
    with pytest.raises(InputError, match=r"`logit_adjustment` must be 0 for .* have no bias"):
        create_model(replace(without, logit_adjustment=1.0), num_classes=3)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, "1"])
def test_another_value_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="logit_adjustment"):
        replace(TOY, logit_adjustment=value)
