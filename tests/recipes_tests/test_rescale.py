"""Moving a recipe to another size keeps what it means, and says what it moved."""

from dataclasses import replace
from typing import Any

import pytest

from search.recipes.rescale import rescaled_recipe
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import to_effective

RECIPE = Recipe(
    epochs=15,
    batch_size=32,
    lr=1e-3,
    min_lr=1e-5,
    strengths=Strengths(weight_decay=2.0, ema_decay=0.9, warmup_fraction=0.1, drop_path_rate=0.05),
)
TASK = Task.of(RECIPE, num_train=5000, num_classes=10, num_blocks=16)


def test_nothing_asked_moves_nothing() -> None:
    moved, lines = rescaled_recipe(RECIPE, TASK)
    assert moved == RECIPE
    assert len(lines) == 1
    assert lines[0].endswith(": unchanged.")
    assert all(name in lines[0] for name in STRENGTHS)


def test_strengths_move_as_the_space_says_and_the_rest_as_asked() -> None:
    moved, lines = rescaled_recipe(
        RECIPE, TASK, num_train=1_281_167, epochs=300, batch_size=1024, lr=4e-3
    )
    task = Task.of(moved, num_train=1_281_167, num_classes=10, num_blocks=16)
    assert moved.strengths == rescale(RECIPE, TASK, task).recipe.strengths
    assert (moved.epochs, moved.batch_size, moved.lr) == (300, 1024, 4e-3)
    assert moved.min_lr == pytest.approx(4e-5)
    for name in ("weight_decay", "ema_decay"):
        old = to_effective(name, getattr(RECIPE.strengths, name), TASK)
        assert to_effective(name, getattr(moved.strengths, name), task) == pytest.approx(old)
    text = "\n".join(lines)
    assert "num_train 5000 becomes 1281167, as asked." in text
    assert "epochs 15 becomes 300" in text
    assert "batch_size 32 becomes 1024" in text
    assert "lr 0.001 becomes 0.004" in text
    for name in STRENGTHS:
        has_moved = getattr(moved.strengths, name) != getattr(RECIPE.strengths, name)
        told = [line for line in lines if line.startswith(f"{name} ") and "becomes" in line]
        assert len(told) == has_moved
    assert replace(moved, strengths=RECIPE.strengths) == replace(
        RECIPE, epochs=300, batch_size=1024, lr=4e-3, min_lr=moved.min_lr
    )


@pytest.mark.parametrize(("optimizer", "says"), [("sgd", "0.004"), ("adamw", "0.002")])
def test_a_rate_that_stays_under_a_larger_batch_is_remarked_on(optimizer: str, says: str) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    moved, lines = rescaled_recipe(recipe, TASK, batch_size=128)
    assert moved.lr == 1e-3
    assert f"rule says {says} " in lines[-1]
    _, quiet = rescaled_recipe(recipe, TASK, batch_size=128, lr=1e-3)
    assert "rule says" not in quiet[-1]


@pytest.mark.parametrize("changes", [{"num_train": 0}, {"epochs": 0}, {"batch_size": -1}])
def test_a_number_outside_its_interval_is_an_input_error(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(changes))}"):
        rescaled_recipe(RECIPE, TASK, **changes)
