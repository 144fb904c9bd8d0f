"""Other ways of using a trained model: equal to those by hand, and chosen on no test image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spaces.recipe import Recipe
from tests.support.toy_training import TOY, toy_dataset
from trainable.calibration import refined_nll
from trainable.data.datasets import Dataset
from trainable.evaluation import quick_metrics
from trainable.measurement import Measured
from trainable.on_test.results import OnTest
from trainable.trainer import Trainer

DATASET = toy_dataset()
LABELS = torch.from_numpy(np.array(DATASET.labels))
MEASURED = replace(TOY, ema_batch_norm="measured")


def read(recipe: Recipe, dataset: Dataset = DATASET) -> tuple[Trainer, Measured, OnTest]:
    run = Trainer(replace(recipe, epochs=2), dataset, dataset.split)
    for _ in range(2):
        run.train_epoch()
    measured = run.measure("val", "test")
    return run, measured, run.readings_on_test(measured)


@pytest.mark.parametrize("recipe", [TOY, MEASURED, TOY.with_strengths(ema_decay=0.0)])
def test_mirror_images_are_averaged_by_their_probabilities(recipe: Recipe) -> None:
    run, measured, found = read(recipe)
    test = DATASET.split.test
    mirrored = DATASET.images[test][:, :, ::-1].copy()
    with torch.no_grad(), run.ema.averaged("own"):
        other = run.model.eval()(run._normalize(mirrored)).double()
    probabilities = (measured.logits["test"].double().softmax(1) + other.softmax(1)) / 2
    expected = quick_metrics(probabilities.log(), LABELS[test])
    for name, value in expected.items():
        assert found.metrics[f"test_flip/{name}"] == pytest.approx(value, abs=1e-5)
    assert found.images["flip"].correct.mean() == pytest.approx(expected["top1"])
    assert found.metrics["test_flip/nll"] != measured.metrics["test/nll"]


def test_the_temperature_is_fitted_on_validation_images_and_moves_no_prediction() -> None:
    _, measured, found = read(TOY)
    _, temperature = refined_nll(measured.logits["val"], LABELS[DATASET.split.val])
    assert found.metrics["test_temperature/temperature"] == temperature
    scaled = quick_metrics(measured.logits["test"] / temperature, LABELS[DATASET.split.test])
    assert found.metrics["test_temperature/nll"] == pytest.approx(scaled["nll"], abs=1e-5)
    images = found.images["temperature"]
    assert images.predicted.tolist() == measured.shipped["test"].predicted.tolist()
    # Fitted on the test images themselves, it could only be better.
    assert found.metrics["test_temperature/nll"] >= measured.metrics["test/nll_refined"] - 1e-9


def test_labels_of_test_images_choose_nothing() -> None:
    labels = np.array(DATASET.labels)
    labels[DATASET.split.test] = np.roll(labels[DATASET.split.test], 1)
    key = "test_temperature/temperature"
    assert read(TOY)[2].metrics[key] == read(TOY, replace(DATASET, labels=labels))[2].metrics[key]


def test_readings_leave_the_model_as_it_was() -> None:
    run, measured, _ = read(MEASURED)
    again = run.measure("val", "test").metrics
    for name in ("test/nll", "val/nll", "val_raw/nll"):
        assert again[name] == measured.metrics[name]
