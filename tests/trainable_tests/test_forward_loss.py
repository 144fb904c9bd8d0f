"""All trials of a process run what its first one compiled, and get what they would get without."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from spaces.recipe import Recipe
from spaces.strengths.values import Strengths
from tests.support.toy_training import TOY, toy_dataset
from trainable.models.drop_path import StochasticDepth
from trainable.readback import require_arrived
from trainable.trainer import Trainer

DATASET = toy_dataset()
STRENGTHS = [
    TOY.strengths,
    Strengths(
        weight_decay=1.0,
        label_smoothing=0.3,
        drop_path_rate=0.4,
        ema_decay=0.5,
        warmup_fraction=0.3,
    ),
    Strengths(),
]


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounterWithBackend]:
    """Counts what is compiled, and runs it with the compiler's autograd but no generated code."""
    counting = CompileCounterWithBackend("aot_eager")
    torch.compiler.reset()
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend=counting))
    yield counting
    torch.compiler.reset()


def trained(recipe: Recipe) -> tuple[list[float], list[torch.Tensor]]:
    run = Trainer(recipe, DATASET, DATASET.split)
    require_arrived(run)
    losses = [run.train_epoch()["train/loss"] for _ in range(2)]
    run.evaluate("val")
    return losses, [*run.model.parameters()]


def test_trials_with_other_strengths_compile_nothing_and_train_as_they_would_without(
    counter: CompileCounterWithBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    for strengths in STRENGTHS:
        compiled.append(trained(replace(TOY, strengths=strengths, compile=True)))
        assert counter.frame_count == 1
    # The compiled step draws stochastic depth by comparing with a tensor, not with `bernoulli_`.
    monkeypatch.setattr(
        StochasticDepth,
        "forward",
        lambda self, x: self._drop_by_tensor(x) if self.training else x,
    )
    eager = [trained(replace(TOY, strengths=strengths)) for strengths in STRENGTHS]
    for (losses, weights), (expected_losses, expected_weights) in zip(compiled, eager, strict=True):
        assert losses == pytest.approx(expected_losses, rel=1e-5)
        for weight, expected in zip(weights, expected_weights, strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)
    assert len({losses[-1] for losses, _ in compiled}) == 3


def test_an_optimizer_with_a_criterion_of_its_own_compiles_once_too(
    counter: CompileCounterWithBackend,
) -> None:
    for strengths in STRENGTHS:
        trained(replace(TOY, optimizer="sophia", lr=0.01, strengths=strengths, compile=True))
        # The whole for training, and the model alone for the curvature.
        assert counter.frame_count == 2
