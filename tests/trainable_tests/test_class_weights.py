"""Class weights are those of the paper, weigh whole images, and touch nothing but training."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support.toy_training import TOY, toy_dataset
from trainable.data.datasets import Dataset
from trainable.losses import class_weights, cross_entropy, one_hot
from trainable.readback import require_arrived
from trainable.trainer import Trainer

BETAS = [0.0, 0.3, 0.9, 0.99, 0.9999, 1.0]
COUNTS = [[3, 3, 3], [1, 90, 7], [40, 1_623], [0, 5, 20], [8, 120, 60, 30]]


def written_out(images: list[int], beta: float) -> list[float]:
    """One over the effective number, added up image by image, with a mean of 1 over all images."""
    numbers = [math.fsum(beta**i for i in range(count)) for count in images]
    weights = [1 / number if number else 0.0 for number in numbers]
    total = sum(count * weight for count, weight in zip(images, weights, strict=True))
    return [weight * sum(images) / total for weight in weights]


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("images", COUNTS, ids=str)
def test_weights_are_one_over_the_effective_number_added_up(images: list[int], beta: float) -> None:
    found = class_weights(np.array(images), beta)
    assert found == pytest.approx(written_out(images, beta), rel=1e-9)
    assert (found * images).sum() == pytest.approx(sum(images))


@given(
    st.lists(st.integers(0, 10_000), min_size=2, max_size=20).filter(any),
    st.floats(0, 1),
)
def test_rarer_classes_never_weigh_less_and_absent_ones_nothing(
    images: list[int], beta: float
) -> None:
    weights = class_weights(np.array(images), beta)
    by_size = [weight for count, weight in sorted(zip(images, weights, strict=True)) if count]
    assert all(a >= b * (1 - 1e-9) for a, b in pairwise(by_size))
    assert all(weights[i] == 0 for i, count in enumerate(images) if count == 0)
    assert np.isfinite(weights).all()


def test_the_ends_count_every_image_and_every_class_alike() -> None:
    images = np.array([4, 16, 80])
    assert class_weights(images, 0.0).tolist() == [1.0, 1.0, 1.0]
    assert images * class_weights(images, 1.0) == pytest.approx([100 / 3] * 3)


WEIGHTS = torch.tensor([0.2, 3.0, 1.0, 0.5, 1.7])


def a_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(16, 5, generator=generator)
    return logits, torch.randint(5, (16,), generator=generator)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("soft", [False, True])
def test_every_image_counts_by_the_classes_it_is_made_of_and_is_taught_the_same(
    label_smoothing: float, soft: bool
) -> None:
    logits, labels = a_batch()
    other = labels.flip(0)
    share = 0.3 if soft else 1.0
    total = 0.0
    for scores, first, second in zip(logits, labels.tolist(), other.tolist(), strict=True):
        rows = [one_hot(torch.tensor([label]), 5)[0] for label in (first, second)]
        target = share * rows[0] + (1 - share) * rows[1]
        smoothed = (1 - label_smoothing) * target + label_smoothing / 5
        weight = share * WEIGHTS[first] + (1 - share) * WEIGHTS[second]
        total -= float(weight * (smoothed * scores.log_softmax(-1)).sum())
    mixed = share * one_hot(labels, 5) + (1 - share) * one_hot(other, 5)
    loss = cross_entropy(
        logits,
        mixed if soft else labels,
        label_smoothing=label_smoothing,
        class_weights=WEIGHTS,
    )
    assert loss.item() == pytest.approx(total / len(logits), rel=1e-5)


def test_without_smoothing_the_gradient_is_that_of_torch_times_the_mean_weight() -> None:
    logits, labels = a_batch()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = cross_entropy(ours, labels, label_smoothing=0.0, class_weights=WEIGHTS)
    loss.backward()  # type: ignore[no-untyped-call]
    scale = WEIGHTS[labels].mean()
    expected = scale * F.cross_entropy(theirs, labels, weight=WEIGHTS)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_autocast_does_not_round_the_weights_of_mixtures() -> None:
    logits, labels = a_batch()
    mixed = 0.37 * one_hot(labels, 5) + 0.63 * one_hot(labels.flip(0), 5)
    outside = cross_entropy(logits, mixed, label_smoothing=0.1, class_weights=WEIGHTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cross_entropy(logits, mixed, label_smoothing=0.1, class_weights=WEIGHTS)
    assert torch.equal(inside, outside)


def with_classes(*counts: int) -> Dataset:
    """The toy images with so many red, green and blue ones in the training part."""
    whole = toy_dataset()
    pool = np.concatenate([whole.split.train, whole.split.test])
    train = np.concatenate([pool[whole.labels[pool] == k][:n] for k, n in enumerate(counts)])
    test = np.setdiff1d(pool, train)
    return replace(whole, split=replace(whole.split, train=np.sort(train), test=test))


UNEQUAL, EQUAL = with_classes(8, 4, 1), with_classes(6, 6, 6)


def trainer(dataset: Dataset, class_weighting: float, **changes: float) -> Trainer:
    recipe = replace(TOY, class_weighting=class_weighting, **changes)  # type: ignore[arg-type]
    return Trainer(recipe, dataset, dataset.split)


@pytest.mark.parametrize("mixup_alpha", [0.0, 0.4])
def test_training_weighs_by_the_classes_of_its_own_training_images(mixup_alpha: float) -> None:
    run = trainer(UNEQUAL, 0.9, mixup_alpha=mixup_alpha)
    assert require_arrived(run)["live/class_weighting"] == 0.9
    expected = written_out([8, 4, 1], 0.9)
    assert run.loss.class_weights is not None
    assert run.loss.class_weights.tolist() == pytest.approx(expected, rel=1e-6)
    assert math.isfinite(run.train_epoch()["train/loss"])


def test_validation_is_never_weighted_and_weights_do_change_what_is_trained() -> None:
    runs = [trainer(UNEQUAL, beta) for beta in (0.0, 1.0)]
    before, same = (run.evaluate("val") for run in runs)
    compared = [name for name in before if name.startswith(("val", "clean_train"))]
    assert [before[name] for name in compared] == [same[name] for name in compared]
    after, other = ((run.train_epoch(), run.evaluate("val"))[1] for run in runs)
    assert after["val_raw/nll"] != other["val_raw/nll"]


def test_equal_classes_train_the_same_weights_whatever_it_is() -> None:
    runs = [trainer(EQUAL, beta) for beta in (0.0, 0.99)]
    assert runs[1].loss.class_weights is not None
    for run in runs:
        run.train_epoch()
    states = [run.model.state_dict() for run in runs]
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name])


def test_weights_that_are_not_the_recipes_are_refused() -> None:
    run = trainer(UNEQUAL, 0.9)
    weights = run.loss.class_weights
    assert weights is not None
    weights *= 1.01
    with pytest.raises(RuntimeError, match=r"`class_weighting` is 0.9 in the recipe, but nan"):
        require_arrived(run)
