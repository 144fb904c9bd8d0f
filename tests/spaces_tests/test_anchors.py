"""Anchors differ in their strengths alone, and the scaled one follows the rules of the design."""

from dataclasses import replace

import pytest

from spaces.anchors import anchors, size_scaled
from spaces.recipe import Recipe
from spaces.references import published, reference
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import describe, to_effective


def scaled_strengths(task: Task) -> Strengths:
    return size_scaled(Recipe(), task).strengths


SMALL_TRANSFER = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)


def test_small_transfer_has_the_defaults_worked_out_by_hand() -> None:
    assert scaled_strengths(SMALL_TRANSFER).as_dict() == pytest.approx(
        {
            "weight_decay": 0.5 / 0.135,
            "label_smoothing": 0.0,
            "drop_path_rate": 0.1 * (135 / 50_000) ** 0.5,
            "ema_decay": 1 - 1 / (0.05 * 135),
            "warmup_fraction": 0.2,
        }
    )


def test_on_imagenet_the_scaled_default_is_close_to_the_published_recipe() -> None:
    original = published("deit_small")

    scaled = scaled_strengths(original.task)

    assert scaled.weight_decay == pytest.approx(0.05, rel=0.02)
    assert scaled.label_smoothing == 0.1
    assert scaled.drop_path_rate == 0.1
    assert scaled.ema_decay == pytest.approx(0.99995, abs=1e-5)
    assert scaled.warmup_fraction == 0.02


@pytest.mark.parametrize(
    ("epochs", "fraction"), [(10, 0.2), (500, 0.2), (1000, 0.1), (5000, 0.02), (10**6, 0.02)]
)
def test_warmup_is_a_hundred_steps_within_its_bounds(epochs: int, fraction: float) -> None:
    task = replace(SMALL_TRANSFER, num_train=32, epochs=epochs)

    assert scaled_strengths(task).warmup_fraction == fraction


@pytest.mark.parametrize(("num_train", "smoothing"), [(1, 0.0), (1999, 0.0), (2000, 0.1)])
def test_smoothing_starts_at_two_thousand_images(num_train: int, smoothing: float) -> None:
    task = replace(SMALL_TRANSFER, num_train=num_train)

    assert scaled_strengths(task).label_smoothing == smoothing


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 20, 135, 10**4, 10**8])
@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("lr", [1e-5, 1e-3, 0.5])
def test_the_scaled_default_makes_sense_whatever_the_length(
    steps: int, pretrained: bool, lr: float
) -> None:
    task = replace(SMALL_TRANSFER, num_train=32, epochs=steps, pretrained=pretrained, lr=lr)

    scaled = scaled_strengths(task)

    assert scaled.weight_decay <= min(10, 1 / lr)
    assert to_effective("weight_decay", scaled.weight_decay, task) <= 19 + 1e-9
    assert "initial weights" not in describe("ema_decay", scaled.ema_decay, task)
    assert "turns the sign" not in describe("weight_decay", scaled.weight_decay, task)


def test_where_a_twentieth_of_the_run_is_less_than_a_step_there_is_no_average() -> None:
    assert scaled_strengths(replace(SMALL_TRANSFER, num_train=32, epochs=19)).ema_decay == 0.0
    assert scaled_strengths(replace(SMALL_TRANSFER, num_train=32, epochs=21)).ema_decay > 0.0


def test_a_model_without_blocks_has_no_drop_path() -> None:
    assert scaled_strengths(replace(SMALL_TRANSFER, num_blocks=0)).drop_path_rate == 0.0


@pytest.mark.parametrize("dropout", [None, 0.0, 0.3])
def test_anchors_differ_in_their_strengths_and_off_has_no_dropout_either(
    dropout: float | None,
) -> None:
    base = Recipe(pretrained=True, hflip=0.5, dropout=dropout, seed=4)
    ref = reference("deit_small", base, num_train=300)

    three = anchors(ref, SMALL_TRANSFER)

    assert list(three) == ["reference", "scaled", "off"]
    assert three["reference"] == ref
    assert three["scaled"] == replace(ref, strengths=scaled_strengths(SMALL_TRANSFER))
    assert three["off"] == replace(ref, strengths=Strengths(), dropout=0.0)


def test_a_model_that_takes_no_drop_path_has_none_in_any_anchor() -> None:
    ref = reference("imagenet", Recipe(), num_train=300)

    with_it = anchors(ref, SMALL_TRANSFER)
    without = anchors(ref, replace(SMALL_TRANSFER, num_blocks=0))

    assert ref.strengths.drop_path_rate > 0
    for name, recipe in without.items():
        assert recipe == with_it[name].with_strengths(drop_path_rate=0.0)
