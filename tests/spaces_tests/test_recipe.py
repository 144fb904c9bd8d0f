"""A recipe is read from outside completely or refused by key, value and interval."""

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest

from spaces.errors import InputError
from spaces.recipe import AMP_DTYPES, OPTIMIZERS, SCHEDULES, RandAugment, Recipe
from spaces.strengths.values import Strengths

FULL = Recipe(
    model="resnet18_cifar",
    pretrained=True,
    image_size=64,
    epochs=3,
    batch_size=16,
    optimizer="lion",
    lr=3e-4,
    strengths=Strengths(weight_decay=0.5, warmup_fraction=0.1),
    schedule="wsd",
    min_lr=1e-6,
    layer_decay=0.8,
    no_decay_split=False,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    randaugment=RandAugment(num_ops=1, magnitude=27),
    crop_scale_min=0.08,
    hflip=0.5,
    erasing=0.25,
    freeze="until:2",
    ema_batch_norm="measured",
    dropout=0.2,
    class_weighting=0.99,
    logit_adjustment=1.5,
    amp_dtype="bfloat16",
    grad_clip_norm=0.0,
    grad_accum_steps=2,
    compile=True,
    seed=7,
)


def test_the_full_recipe_differs_from_the_default_in_every_field() -> None:
    default = Recipe()

    assert all(getattr(FULL, f.name) != getattr(default, f.name) for f in fields(Recipe))


@pytest.mark.parametrize("recipe", [Recipe(), FULL], ids=["default", "full"])
def test_a_recipe_comes_back_from_its_own_file(recipe: Recipe) -> None:
    text = json.dumps(recipe.to_dict())

    assert text.startswith('{"schema": "recipe/1"')
    assert Recipe.from_dict(json.loads(text)) == recipe


def test_what_is_missing_comes_from_the_defaults_strength_by_strength() -> None:
    recipe = Recipe.from_dict({"lr": 0.01, "strengths": {"ema_decay": 0.9}}, defaults=FULL)

    strengths = replace(FULL.strengths, ema_decay=0.9)
    assert recipe == replace(FULL, lr=0.01, strengths=strengths)


def test_an_empty_file_is_the_defaults() -> None:
    assert Recipe.from_dict({}, defaults=FULL) == FULL
    assert Recipe.from_dict({}) == Recipe()


def test_randaugment_can_be_switched_off_over_defaults_that_have_it() -> None:
    assert Recipe.from_dict({"randaugment": None}, defaults=FULL).randaugment is None
    assert Recipe.from_dict({"randaugment": {"magnitude": 5}}).randaugment == RandAugment(
        num_ops=2, magnitude=5
    )


def test_some_strengths_can_be_replaced() -> None:
    changed = FULL.with_strengths(ema_decay=0.5)

    assert changed.strengths == replace(FULL.strengths, ema_decay=0.5)
    assert replace(changed, strengths=FULL.strengths) == FULL


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"smoothing": 0.1}, "Unknown recipe key 'smoothing'; known are model, "),
        ({3: 0.1}, "Unknown recipe key 3"),
        ({"strengths": {"dropout": 0.1}}, "Unknown strength 'dropout'; known are weight_decay"),
        ({"randaugment": {"m": 9}}, "Unknown randaugment key 'm'; known are num_ops, magnitude"),
        ({"schema": "recipe/2"}, "`schema` must be 'recipe/1', but got 'recipe/2'"),
        ({"strengths": 0.1}, "`strengths` must be a mapping"),
        ({"strengths": None}, "`strengths` must be a mapping"),
        ({"randaugment": 9}, "`randaugment` must be a mapping"),
        ({"strengths": {"ema_decay": 1.0}}, "0 <= ema_decay < 1` must hold, but got 1.0"),
        ({"randaugment": {"magnitude": 31}}, "0 <= magnitude <= 30` must hold, but got 31"),
        ({"randaugment": {"num_ops": 0}}, "1 <= num_ops` must hold, but got 0"),
        ({"randaugment": {"num_ops": 1.5}}, "`num_ops` must be an integer, but got 1.5"),
        ({"optimizer": "adagrad"}, "`optimizer` must be one of adamw, .*, got 'adagrad'"),
        ({"schedule": "step"}, "`schedule` must be one of cosine, .*, got 'step'"),
        ({"amp_dtype": "fp16"}, "`amp_dtype` must be one of auto, .*, got 'fp16'"),
        ({"model": 18}, "`model` must be text, but got 18"),
        ({"pretrained": 1}, "`pretrained` must be true or false, but got 1"),
        ({"compile": "yes"}, "`compile` must be true or false, but got 'yes'"),
        ({"no_decay_split": None}, "`no_decay_split` must be true or false"),
        ({"lr": 0.0}, "`lr > 0` must hold, but got 0.0"),
        ({"lr": 1e-4, "min_lr": 1e-3}, "`min_lr <= lr` must hold, but got 0.001 and 0.0001"),
        ({"layer_decay": 0.0}, "0 < layer_decay <= 1` must hold, but got 0.0"),
        ({"crop_scale_min": 0.0}, "0 < crop_scale_min <= 1` must hold, but got 0.0"),
        ({"batch_size": 4, "grad_accum_steps": 5}, "`grad_accum_steps <= batch_size` must hold"),
    ],
)
def test_what_is_wrong_is_refused_by_key_value_and_interval(
    data: dict[Any, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_dict(data)


INTEGERS = {"image_size": 8, "epochs": 1, "batch_size": 1, "grad_accum_steps": 1, "seed": 0}


@pytest.mark.parametrize(("name", "least"), INTEGERS.items())
def test_integers_start_at_their_least(name: str, least: int) -> None:
    assert getattr(Recipe.from_dict({name: least}), name) == least
    with pytest.raises(InputError, match=f"{least} <= {name}` must hold, but got {least - 1}"):
        Recipe.from_dict({name: least - 1})
    for wrong in (float(least + 1), "9", True, None, math.nan):
        with pytest.raises(InputError, match=f"`{name}` must be an integer"):
            Recipe.from_dict({name: wrong})


NUMBERS = {
    "lr": math.inf,
    "min_lr": math.inf,
    "layer_decay": 1.0,
    "mixup_alpha": math.inf,
    "cutmix_alpha": math.inf,
    "crop_scale_min": 1.0,
    "hflip": 1.0,
    "erasing": 1.0,
    "class_weighting": 1.0,
    "grad_clip_norm": math.inf,
}


@pytest.mark.parametrize(("name", "most"), NUMBERS.items())
def test_numbers_stay_in_their_interval(name: str, most: float) -> None:
    inside = {"lr": 2.0} | {name: 1.0}
    assert getattr(Recipe.from_dict(inside), name) == 1.0
    for wrong in (-1e-9, math.nan, math.inf, -math.inf, *([1.0000001] if most == 1 else [])):
        with pytest.raises(InputError, match=f"0 <= {name}.* must hold, but got"):
            Recipe.from_dict(inside | {name: wrong})
    for wrong_type in ("0.5", True, None):
        with pytest.raises(InputError, match=f"`{name}` must be a number"):
            Recipe.from_dict(inside | {name: wrong_type})


@pytest.mark.parametrize(
    ("name", "choices"),
    [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("amp_dtype", AMP_DTYPES)],
)
def test_every_choice_can_be_chosen(name: str, choices: tuple[str, ...]) -> None:
    for choice in choices:
        assert getattr(Recipe.from_dict({name: choice}), name) == choice


def test_the_default_recipe_has_no_regularizer() -> None:
    recipe = Recipe()

    assert recipe.strengths == Strengths()
    assert recipe.randaugment is None
    assert recipe.mixup_alpha == recipe.cutmix_alpha == recipe.hflip == recipe.erasing == 0
    assert recipe.crop_scale_min == recipe.layer_decay == 1
