"""Smoothed cross-entropy against targets written out in full, and against torch."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainable.losses import cross_entropy, one_hot

SMOOTHINGS = [0.0, 0.1, 0.5, 0.999]


def a_batch(num_classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(16, num_classes, generator=generator)
    return logits, torch.randint(num_classes, (16,), generator=generator)


def smoothed(targets: Tensor, label_smoothing: float) -> Tensor:
    return targets * (1.0 - label_smoothing) + label_smoothing / targets.shape[-1]


def written_out(logits: Tensor, targets: Tensor) -> float:
    """The mean of ``-sum_k target_k log p_k``, one image and one class at a time."""
    total = 0.0
    for scores, row in zip(logits.tolist(), targets.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(score) for score in scores))
        total -= sum(mass * (score - log_sum) for mass, score in zip(row, scores, strict=True))
    return total / len(logits)


@pytest.mark.parametrize("label_smoothing", SMOOTHINGS)
@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_is_the_one_against_smoothed_targets_written_out(
    label_smoothing: float, as_tensor: bool, soft: bool
) -> None:
    logits, labels = a_batch()
    mixed = 0.3 * one_hot(labels, 5) + 0.7 * one_hot(labels.flip(0), 5)
    rows = mixed if soft else one_hot(labels, 5)
    expected = written_out(logits, (1 - label_smoothing) * rows + label_smoothing / 5)
    loss = cross_entropy(
        logits,
        mixed if soft else labels,
        label_smoothing=torch.tensor(label_smoothing) if as_tensor else label_smoothing,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label_smoothing", SMOOTHINGS)
@pytest.mark.parametrize("soft", [False, True])
def test_loss_and_gradient_are_the_ones_of_torch(label_smoothing: float, soft: bool) -> None:
    logits, labels = a_batch()
    targets = one_hot(labels, 5).roll(1, 0) * 0.4 + one_hot(labels, 5) * 0.6 if soft else labels
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = cross_entropy(ours, targets, label_smoothing=torch.tensor(label_smoothing))
    loss.backward()  # type: ignore[no-untyped-call]
    expected = F.cross_entropy(theirs, targets, label_smoothing=label_smoothing)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@given(label_smoothing=st.floats(0.0, 0.999), num_classes=st.integers(2, 50))
def test_the_smallest_reachable_loss_is_the_entropy_of_the_smoothed_target(
    label_smoothing: float, num_classes: int
) -> None:
    target = smoothed(one_hot(torch.tensor([0]), num_classes), label_smoothing)
    perfect = target.double().log().clamp(min=-1e3)  # Zero probability as a score of its own.
    entropy = -torch.special.xlogy(target.double(), target.double()).sum().item()
    loss = cross_entropy(perfect, torch.tensor([0]), label_smoothing=label_smoothing)
    assert loss.item() == pytest.approx(entropy, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("num_classes", "floor"), [(10, 0.50), (100, 0.78), (1000, 1.01)])
def test_a_tenth_of_smoothing_has_the_known_floor(num_classes: int, floor: float) -> None:
    perfect = smoothed(one_hot(torch.tensor([3]), num_classes), 0.1).log()
    loss = cross_entropy(perfect, torch.tensor([3]), label_smoothing=0.1)
    assert loss.item() == pytest.approx(floor, abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_lose_nothing_beyond_their_own_rounding(dtype: torch.dtype) -> None:
    logits, labels = a_batch(num_classes=1000)
    rounded = logits.to(dtype)
    loss = cross_entropy(rounded, labels, label_smoothing=0.1)
    assert loss.dtype is torch.float32
    torch.testing.assert_close(loss, cross_entropy(rounded.float(), labels, label_smoothing=0.1))


def test_autocast_does_not_lower_the_precision_of_the_loss() -> None:
    logits, labels = a_batch()
    mixed = one_hot(labels, 5)
    outside = cross_entropy(logits, mixed, label_smoothing=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cross_entropy(logits, mixed, label_smoothing=0.1)
    assert torch.equal(inside, outside)


def test_a_new_value_of_a_smoothing_tensor_needs_no_new_graph() -> None:
    logits, labels = a_batch()
    graphs: list[torch.fx.GraphModule] = []

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(cross_entropy, backend=counting, fullgraph=True)
    for value in SMOOTHINGS:
        loss = compiled(logits, labels, label_smoothing=torch.tensor(value))
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels, label_smoothing=value))
    assert len(graphs) == 1


def test_soft_targets_that_would_broadcast_are_refused() -> None:
    logits = torch.zeros(5, 5)
    with pytest.raises(ValueError, match=r"shape of the logits, but got \(5,\) and \(5, 5\)"):
        cross_entropy(logits, torch.ones(5), label_smoothing=0.0)


def test_one_hot_is_the_one_of_torch() -> None:
    labels = torch.tensor([[0, 2], [1, 1]])
    assert torch.equal(one_hot(labels, 3), F.one_hot(labels, 3).float())
