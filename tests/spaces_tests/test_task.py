"""A task counts its steps as the trainer takes them."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task

TASK = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)


def test_small_transfer_has_135_steps() -> None:
    assert (TASK.steps_per_epoch, TASK.total_steps) == (9, 135)


@given(num_train=st.integers(1, 500), batch_size=st.integers(1, 600), epochs=st.integers(1, 5))
def test_steps_are_those_of_a_loop_that_drops_the_last_incomplete_batch(
    num_train: int, batch_size: int, epochs: int
) -> None:
    batches = [range(num_train)[i : i + batch_size] for i in range(0, num_train, batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    expected = epochs * len(full or batches[:1])

    task = replace(TASK, num_train=num_train, batch_size=batch_size, epochs=epochs)

    assert task.total_steps == expected


@pytest.mark.parametrize(
    ("num_train", "size"),
    [
        (1, "small"),
        (19_999, "small"),
        (20_000, "medium"),
        (499_999, "medium"),
        (500_000, "large"),
        (1_281_167, "large"),
    ],
)
def test_size_classes_are_those_of_bit_hyperrule(num_train: int, size: str) -> None:
    assert replace(TASK, num_train=num_train).size_class == size


@pytest.mark.parametrize(
    ("name", "least"),
    [("num_train", 1), ("num_classes", 2), ("batch_size", 1), ("epochs", 1), ("num_blocks", 0)],
)
def test_numbers_start_at_their_least(name: str, least: int) -> None:
    changes: dict[str, Any] = {name: least}
    assert getattr(replace(TASK, **changes), name) == least
    for wrong in (least - 1, -5, math.nan):
        with pytest.raises(InputError, match=f"{name} >= {least}` must hold, but got {wrong!r}"):
            replace(TASK, **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("lr", [0.0, -1e-3, math.nan, math.inf])
def test_the_learning_rate_is_above_zero_and_finite(lr: float) -> None:
    with pytest.raises(InputError, match="0 < lr < inf"):
        replace(TASK, lr=lr)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_the_momentum_of_decay_lies_below_one(momentum: float) -> None:
    with pytest.raises(InputError, match="0 <= decay_momentum < 1"):
        replace(TASK, decay_momentum=momentum)


def test_decay_that_passes_through_momentum_pulls_as_often_as_momentum_repeats_it() -> None:
    """A constant pull enters the buffer in every step: the sum of a geometric series."""
    sgd = Task.of(Recipe(optimizer="sgd", lr=0.1), num_train=99, num_classes=2, num_blocks=0)
    series = sum(0.1 * sgd.decay_momentum**k for k in range(400))
    assert sgd.decay_rate == pytest.approx(series)
    assert sgd.decay_rate == pytest.approx(1.0)
    assert TASK.decay_rate == TASK.lr


def test_a_recipe_poses_a_task_on_a_dataset() -> None:
    recipe = Recipe(batch_size=32, epochs=15, lr=1e-3, pretrained=True)

    assert Task.of(recipe, num_train=300, num_classes=10, num_blocks=16) == TASK


def test_the_plan_holds_the_derived_counts_too() -> None:
    plan = TASK.to_dict()

    assert plan["num_train"] == 300
    assert (plan["steps_per_epoch"], plan["total_steps"], plan["size_class"]) == (9, 135, "small")


@pytest.mark.parametrize("share", [0.0, 1.1, math.nan])
def test_a_share_of_the_deepest_block_lies_above_0_and_at_most_at_1(share: float) -> None:
    with pytest.raises(InputError, match="`0 < deepest_share <= 1` must hold"):
        replace(TASK, deepest_share=share)
