"""Results on the test images beside a recipe's own, which cost no training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spaces.recipe import Recipe
from trainable.calibration import refined_nll, require_finite
from trainable.evaluation import quick_metrics
from trainable.measurement import Measured, Measurement
from trainable.measuring.image_results import ImageResults, image_results
from trainable.on_test.frozen import create_backbone, frozen_predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class OnTest:
    """Results on the test images, each under a name of its own.

    Attributes:
        metrics: By reported name, such as ``test_probe/top1``.
        images: Results for each image by name, such as ``probe``.
    """

    metrics: Mapping[str, float]
    images: Mapping[str, ImageResults]


def frozen_on_test(
    measurement: Measurement, recipe: Recipe, *, num_classes: int, device: torch.device
) -> OnTest:
    """Fit the baselines of `trainable.on_test.frozen` to a run's training images and test them.

    Args:
        measurement: Of the run; its split, images and precision are used, and not its model.
        recipe: The run's, pretrained.
        num_classes: Number of classes.
        device: Device to compute features on.
    """
    backbone = create_backbone(recipe, device)
    features = {part: measurement.outputs_of(backbone, part).numpy() for part in ("train", "test")}
    predicted = frozen_predictions(
        features["train"],
        measurement.labels_of("train").numpy(),
        features["test"],
        num_classes=num_classes,
        seed=recipe.seed,
    )
    return judged(predicted, measurement.labels_of("test"))


def readings_on_test(measurement: Measurement, measured: Measured) -> OnTest:
    """Test two other ways of using a trained model, neither of which is chosen by its result.

    ``flip`` averages the probabilities of an image and its mirror image; ``temperature`` divides
    the outputs by the temperature with the least log-loss on the validation images, which is
    reported as ``test_temperature/temperature``.

    Args:
        measurement: Of the run, after its end.
        measured: Its results on validation and test images.
    """
    labels = measurement.labels_of("test")
    logits = measured.logits["test"]
    _, temperature = refined_nll(measured.logits["val"], measurement.labels_of("val"))
    both = torch.stack([logits, measurement.mirrored_outputs("test")]).double()
    require_finite(both.flatten(0, 1))
    flipped = torch.logsumexp(both.log_softmax(dim=2), dim=0) - math.log(2.0)
    found = judged({"flip": flipped, "temperature": logits.double() / temperature}, labels)
    reported = {"test_temperature/temperature": temperature}
    return OnTest(metrics={**found.metrics, **reported}, images=found.images)


def judged(predicted: Mapping[str, Tensor], labels: Tensor) -> OnTest:
    """Compute metrics and results of each image from logits ``[N, K]`` by name.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    return OnTest(
        metrics={
            f"test_{name}/{key}": value
            for name, logits in predicted.items()
            for key, value in quick_metrics(logits, labels).items()
        },
        images={name: image_results(logits, labels) for name, logits in predicted.items()},
    )
