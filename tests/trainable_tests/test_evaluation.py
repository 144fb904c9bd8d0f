"""Prediction leaves the model as it was; metrics of planted logits."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from search.records.metrics import METRICS
from trainable.augment.batch_augment import Normalizer
from trainable.calibration import NonFiniteError, refined_nll
from trainable.evaluation import WORST, full_metrics, per_class_accuracy, predict, quick_metrics

NUM_IMAGES = 11
SIDE = 8


def toy_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 5)
    )


def stored_images() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (NUM_IMAGES, SIDE, SIDE, 3), dtype=np.uint8)


def normalizer() -> Normalizer:
    return Normalizer((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "cpu")


def slow_logits(model: nn.Module, images: NDArray[np.uint8], indices: Sequence[int]) -> Tensor:
    model.eval()
    mean, std = torch.tensor((0.5, 0.4, 0.3)), torch.tensor((0.2, 0.3, 0.4))
    rows = []
    for index in indices:
        pixels = (torch.tensor(images[index]).float() / 255 - mean) / std
        rows.append(model(pixels.permute(2, 0, 1)[None])[0].detach())
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 1000])
def test_predictions_equal_one_image_at_a_time_in_the_order_of_the_indices(batch_size: int) -> None:
    model, images, indices = toy_model(), stored_images(), [7, 0, 10, 3, 3]
    logits = predict(
        model, images, indices, batch_size=batch_size, device="cpu", normalize=normalizer()
    )
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, slow_logits(model, images, indices), atol=1e-5, rtol=1e-5)


def test_arrays_memory_maps_and_tensors_give_the_same_predictions(tmp_path: Path) -> None:
    model, images = toy_model(), stored_images()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    results = [
        predict(model, source, indices, batch_size=4, device="cpu", normalize=normalizer())
        for source in (images, mapped, torch.from_numpy(images))
        for indices in (range(NUM_IMAGES), np.arange(NUM_IMAGES), torch.arange(NUM_IMAGES))
    ]
    for result in results:
        assert torch.equal(result, results[0])


def test_each_module_gets_its_own_training_flag_back() -> None:
    model = toy_model()
    model.train()
    model[1].eval()  # A frozen BatchNorm.
    predict(model, stored_images(), [0], batch_size=4, device="cpu", normalize=normalizer())
    assert model.training
    assert [module.training for module in model] == [True, False, True, True, True]


def test_flags_come_back_when_the_model_raises() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Linear(3, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict(model, stored_images(), [0], batch_size=4, device="cpu", normalize=normalizer())
    assert model.training
    assert model[0].training


def test_prediction_leaves_weights_buffers_and_the_global_generator_alone() -> None:
    model = toy_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    predict(model, stored_images(), range(4), batch_size=2, device="cpu", normalize=normalizer())
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_predictions_are_ordinary_tensors() -> None:
    logits = predict(
        toy_model(), stored_images(), [0], batch_size=4, device="cpu", normalize=normalizer()
    )
    assert not logits.is_inference()
    assert not logits.requires_grad


def test_the_model_sees_channels_last_images() -> None:
    seen: list[bool] = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.is_contiguous(memory_format=torch.channels_last))
            return images.mean(dim=(2, 3))

    predict(Spy(), stored_images(), range(5), batch_size=2, device="cpu", normalize=normalizer())
    assert seen == [True, True, True]


def planted() -> tuple[Tensor, Tensor]:
    """Six classes; classes 0 and 1 right, class 2 fifth, class 3 last, 4 and 5 without images."""
    logits = torch.tensor(
        [
            [9.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            [1.0, 9.0, 2.0, 3.0, 4.0, 5.0],
            [9.0, 8.0, 2.0, 4.0, 6.0, 1.0],
            [9.0, 5.0, 4.0, 1.0, 3.0, 2.0],
        ]
    )
    return logits, torch.arange(4)


def test_quick_metrics_of_a_planted_case() -> None:
    logits, labels = planted()
    metrics = quick_metrics(logits, labels)
    slow_nll = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        slow_nll += (math.log(sum(math.exp(z) for z in row)) - row[label]) / len(labels)
    assert set(metrics) == {"top1", "nll", "nll_refined", "balanced_top1", "macro_f1"}
    assert metrics["top1"] == 0.5
    assert metrics["nll"] == pytest.approx(slow_nll, abs=1e-9)
    assert metrics["nll_refined"] == refined_nll(logits, labels)[0]
    assert metrics["nll_refined"] < metrics["nll"]


def test_errors_of_both_log_losses_are_those_over_images() -> None:
    logits, labels = planted()
    metrics = quick_metrics(logits, labels, with_errors=True)
    _, temperature = refined_nll(logits, labels)
    for name, scaled in (("nll_se", logits), ("nll_refined_se", logits / temperature)):
        losses = [
            math.log(sum(math.exp(z) for z in row)) - row[label]
            for row, label in zip(scaled.tolist(), labels.tolist(), strict=True)
        ]
        expected = statistics.pstdev(losses) / math.sqrt(len(labels))
        assert metrics[name] == pytest.approx(expected, rel=1e-5)
    full = full_metrics(logits, labels, with_errors=True)
    assert {name: full[name] for name in metrics} == metrics


def test_the_temperature_of_a_measurement_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []

    def counted(logits: Tensor, labels: Tensor) -> tuple[float, float]:
        fits.append(len(labels))
        return refined_nll(logits, labels)

    monkeypatch.setattr("trainable.evaluation.refined_nll", counted)
    full_metrics(*planted(), with_errors=True)
    assert fits == [4]


def test_full_metrics_add_to_the_quick_ones() -> None:
    logits, labels = planted()
    metrics = full_metrics(logits, labels)
    quick = quick_metrics(logits, labels)
    assert {key: metrics[key] for key in quick} == quick
    assert metrics["top5"] == 0.75
    assert metrics["worst_class_top1"] == 0.0
    one_hot = F.one_hot(labels, 6)
    brier = (logits.double().softmax(dim=1) - one_hot).square().sum(dim=1).mean()
    assert metrics["brier"] == pytest.approx(float(brier), abs=1e-9)
    confidence = logits.double().softmax(dim=1).amax(dim=1)
    # All confidences but the third's (0.69) lie in the last bin, with two hits among three.
    last_bin = abs(float(confidence[[0, 1, 3]].sum()) - 2)
    assert metrics["ece"] == pytest.approx((last_bin + float(confidence[2])) / 4, abs=1e-9)


def test_top5_of_few_classes_is_one() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0]])
    assert full_metrics(logits, torch.tensor([2]))["top5"] == 1.0


def test_accuracy_per_class_is_nan_for_a_class_without_images() -> None:
    logits, labels = planted()
    assert per_class_accuracy(logits, labels)[:4] == [1.0, 1.0, 0.0, 0.0]
    assert all(math.isnan(value) for value in per_class_accuracy(logits, labels)[4:])


def test_a_class_without_images_is_not_the_worst() -> None:
    logits, labels = planted()
    assert full_metrics(logits[:2], labels[:2])["worst_class_top1"] == 1.0


def test_metrics_are_plain_numbers() -> None:
    logits, labels = planted()
    values = [*full_metrics(logits, labels).values(), *per_class_accuracy(logits, labels)]
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_metrics_of_a_diverged_model_are_refused_and_not_replaced(bad: float) -> None:
    logits, labels = planted()
    logits[1, 0] = bad
    with pytest.raises(NonFiniteError, match="Logits must be finite, but 1 of 4"):
        quick_metrics(logits, labels)
    with pytest.raises(NonFiniteError, match="Logits must be finite, but 1 of 4"):
        full_metrics(logits, labels)


def test_every_metric_that_a_run_may_be_judged_by_is_computed_and_worse_if_it_diverges() -> None:
    measured = quick_metrics(torch.eye(5)[[1, 2, 3, 4, 0]] * 9.0, torch.arange(5))
    assert set(METRICS) <= set(measured)
    assert WORST.keys() == measured.keys()
    for name, metric in METRICS.items():
        assert math.isfinite(WORST[name])
        assert metric.sign * WORST[name] <= metric.sign * measured[name]
