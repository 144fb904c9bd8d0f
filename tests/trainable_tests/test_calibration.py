"""Temperature, calibration error and Brier score against slow twins and planted cases."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from trainable.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    NonFiniteError,
    brier_score,
    expected_calibration_error,
    refined_nll,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy_logits(num: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that know something, and labels drawn from the probabilities that they state."""
    g = generator(seed)
    logits = 2 * torch.randn(num, num_classes, generator=g)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=g).flatten()
    return logits, labels


def nll_at(temperature: float, logits: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(logits.double() / temperature, labels))


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 0.3, 1.0, 7.0, 1e3, 1e5])
@pytest.mark.parametrize(("num", "num_classes"), [(20, 2), (300, 10), (200, 102)])
def test_the_refined_loss_equals_a_slow_bounded_search(
    num: int, num_classes: int, scale: float
) -> None:
    logits, labels = noisy_logits(num, num_classes)
    logits = logits * scale
    slow = minimize_scalar(
        lambda log_t: nll_at(math.exp(log_t), logits, labels),
        bounds=(math.log(scale) - 4, math.log(scale) + 4),
        method="bounded",
        options={"xatol": 1e-10},
    )
    loss, temperature = refined_nll(logits, labels)
    assert loss == pytest.approx(slow.fun, abs=1e-9)
    assert temperature == pytest.approx(math.exp(slow.x), rel=1e-4)


def test_multiplying_logits_multiplies_the_temperature_and_leaves_the_loss() -> None:
    logits, labels = noisy_logits(300, 10)
    loss, temperature = refined_nll(logits, labels)
    loss_of_scaled, temperature_of_scaled = refined_nll(8 * logits, labels)
    assert loss_of_scaled == pytest.approx(loss, rel=1e-9)
    assert temperature_of_scaled == pytest.approx(8 * temperature, rel=1e-6)


def test_calibrated_logits_need_a_temperature_near_one() -> None:
    logits, labels = noisy_logits(20_000, 5)
    assert refined_nll(logits, labels)[1] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_refining_never_raises_the_loss(seed: int, scale: float) -> None:
    g = generator(seed)
    logits = scale * torch.randn(30, 4, generator=g)
    labels = torch.randint(4, (30,), generator=g)
    assert refined_nll(logits, labels)[0] <= nll_at(1.0, logits, labels) + 1e-12


def test_the_shift_of_a_row_does_not_matter() -> None:
    logits, labels = noisy_logits(100, 6)
    shifted = logits.double() + 1e6 * torch.randn(100, 1, generator=generator(1)).double()
    assert refined_nll(shifted, labels)[0] == pytest.approx(refined_nll(logits, labels)[0])


def test_separated_data_end_at_the_lowest_temperature_with_no_loss() -> None:
    labels = torch.arange(12) % 3
    loss, temperature = refined_nll(F.one_hot(labels).float(), labels)
    assert temperature == pytest.approx(MIN_TEMPERATURE)
    assert 0.0 <= loss < 1e-12


def test_logits_that_are_always_wrong_end_at_the_highest_temperature_near_log_k() -> None:
    labels = torch.arange(12) % 3
    loss, temperature = refined_nll(-F.one_hot(labels).float(), labels)
    assert temperature == pytest.approx(MAX_TEMPERATURE)
    assert loss == pytest.approx(math.log(3), abs=1e-5)


def test_constant_logits_cost_log_k() -> None:
    assert refined_nll(torch.zeros(6, 4), torch.arange(6) % 4)[0] == pytest.approx(math.log(4))


def test_one_hard_mistake_among_confident_logits_is_paid_at_the_optimum() -> None:
    # 99 right and 1 wrong at margin m: the optimum turns every margin into log(99), whatever m is.
    labels = torch.zeros(100, dtype=torch.long)
    logits = torch.tensor([[1e4, 0.0]]).repeat(100, 1)
    logits[0] = torch.tensor([0.0, 1e4])
    loss, temperature = refined_nll(logits, labels)
    entropy = -(0.99 * math.log(0.99) + 0.01 * math.log(0.01))
    assert loss == pytest.approx(entropy, abs=1e-9)
    assert temperature == pytest.approx(1e4 / math.log(99), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_is_refused(bad: float) -> None:
    logits = torch.zeros(5, 3)
    logits[2, 1] = bad
    with pytest.raises(NonFiniteError, match="1 of 5 images have NaN or infinity"):
        refined_nll(logits, torch.zeros(5, dtype=torch.long))


def slow_calibration_error(probs: Tensor, labels: Tensor, num_bins: int) -> float:
    total = 0.0
    for i in range(num_bins):
        rows = [
            row
            for row in range(len(labels))
            if i / num_bins < float(probs[row].max()) <= (i + 1) / num_bins
        ]
        if rows:
            confidence = sum(float(probs[row].max()) for row in rows) / len(rows)
            hits = sum(int(probs[row].argmax()) == int(labels[row]) for row in rows)
            total += len(rows) / len(labels) * abs(confidence - hits / len(rows))
    return total


@pytest.mark.parametrize("num_bins", [1, 7, 15, 100])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_calibration_error_equals_a_loop_over_bins(num_bins: int, scale: float) -> None:
    logits, labels = noisy_logits(200, 4)
    probs = (scale * logits.double()).softmax(dim=1)
    fast = expected_calibration_error(probs, labels, num_bins)
    assert fast == pytest.approx(slow_calibration_error(probs, labels, num_bins), abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_that_it_closes() -> None:
    # 0.5 (wrong) and 0.75 (right): apart, |0.5| / 2 + |0.25| / 2; in one bin the errors cancel.
    probs = torch.tensor([[0.5, 0.5], [0.75, 0.25]])
    labels = torch.tensor([1, 0])
    assert expected_calibration_error(probs, labels, num_bins=2) == pytest.approx(0.375)


@pytest.mark.parametrize(("right", "expected"), [(True, 0.0), (False, 1.0)])
def test_full_confidence_is_as_far_off_as_it_is_wrong(right: bool, expected: float) -> None:
    probs = torch.eye(3)
    labels = torch.arange(3) if right else (torch.arange(3) + 1) % 3
    assert expected_calibration_error(probs, labels) == expected


@pytest.mark.parametrize("num_classes", [2, 3, 50])
def test_brier_score_equals_the_squared_distance_to_one_hot_labels(num_classes: int) -> None:
    logits, labels = noisy_logits(80, num_classes)
    probs = logits.softmax(dim=1)
    slow = 0.0
    for row in range(80):
        for k in range(num_classes):
            slow += (float(probs[row, k]) - float(labels[row] == k)) ** 2 / 80
    assert brier_score(probs, labels) == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 2.0)])
def test_brier_score_reaches_both_ends_with_one_class_present(label: int, expected: float) -> None:
    probs = torch.tensor([[1.0, 0.0]] * 4)
    assert brier_score(probs, torch.full((4,), label)) == expected
