"""What of the packing benchmark runs without a GPU."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from benchmarks.steps.gpu_packing import Rate, Stack, flops_of_step, main, row, train_for
from spaces.recipe import Recipe
from tests.support.toy_training import TOY
from trainable.models.build import create_model

RECIPE = replace(TOY, strengths=replace(TOY.strengths, drop_path_rate=0.0))
NUM_MODELS = 3


def test_models_in_a_stack_train_as_each_would_alone() -> None:
    torch.manual_seed(0)
    images = torch.randn(NUM_MODELS, 8, 3, 16, 16, dtype=torch.float64)
    labels = torch.randint(0, 3, (NUM_MODELS, 8))

    def models() -> list[torch.nn.Module]:
        # In double precision, for Adam makes a full step of a gradient that is only rounding.
        torch.manual_seed(1)
        made = [create_model(RECIPE, num_classes=3) for _ in range(NUM_MODELS)]
        return [model.double().train() for model in made]

    alone = []
    for place, model in enumerate(models()):
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.strengths.weight_decay
        )
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[place]), labels[place])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.detach())
        alone.append(torch.stack(losses))
    stack = Stack(models(), RECIPE)
    together = torch.stack([stack.step(images, labels) for _ in range(4)], dim=1)
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-6, atol=1e-6)
    # The models differ, so agreement is not that of one model with itself.
    assert len(set(together[:, -1].tolist())) == NUM_MODELS


def test_a_training_counts_its_own_steps_after_the_others_are_ready() -> None:
    called = []
    rate = train_for(RECIPE, "cpu", 0.01, lambda: called.append(True))
    assert called == [True]
    assert rate.packing == 1
    assert rate.steps_per_s > 0


def test_operations_grow_with_the_batch() -> None:
    small = flops_of_step(replace(RECIPE, batch_size=2))
    assert flops_of_step(replace(RECIPE, batch_size=6)) == 3 * small > 0


def test_a_row_says_trials_per_hour_and_share_of_the_peak() -> None:
    rate = Rate(packing=4, steps_per_s=30.0, memory_bytes=3 * 2**30)
    # 30 steps a second are 108 000 an hour, and 30 * 2e9 of 6e11 operations a second.
    assert row(rate, steps=135, flops=2 * 10**9, peak=6e11) == "| 4 | 30.0 | 800 | 10.0% | 3.0 |"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so it would measure")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["processes"]) == 2
    assert capsys.readouterr().err == "A CUDA device must be at hand, but torch finds none here.\n"
    assert Recipe().amp_dtype  # The default recipe is valid without one, too.
