"""The diff finds what was planted, most important first, in raw and effective units."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.recipes.diff import diff, to_json, to_lines, usual_points
from search.recipes.difference import label_of
from search.recipes.timm_import import Described, describe_timm_args
from search.recipes.timm_keys import TRAIN_DEFAULTS
from search.recipes.yaml_file import read_described
from spaces.recipe import RandAugment, Recipe
from spaces.references import published
from spaces.strengths.registry import STRENGTHS, known
from spaces.task import Task

CONVNEXT = published("convnext_tiny")
# The reproduction of the seed text, as timm's train.py would be told: everything of the paper but
# the three omissions.
REPRODUCTION: dict[str, Any] = {
    **TRAIN_DEFAULTS,
    "model": "convnext_tiny",
    "img_size": 224,
    "epochs": 300,
    "batch_size": 4096,
    "lr": 4e-3,
    "min_lr": 1e-6,
    "weight_decay": 0.05,
    "warmup_epochs": 20,
    "mixup": 0.8,
    "cutmix": 1.0,
    "aa": "rand-m9-mstd0.5-inc1",
    "reprob": 0.25,
    "drop_path": 0.1,
    "model_ema": True,
    "model_ema_decay": 0.9999,
    "amp": True,
    "seed": 3,
    # The omissions:
    "smoothing": 0.0,
    "opt": "adam",
    "sched": "step",
    "decay_epochs": 90,
    "decay_rate": 0.1,
}


def against_convnext(mine: Recipe | Described) -> Any:
    return diff(mine, CONVNEXT.recipe, CONVNEXT.task, CONVNEXT.task)


def test_the_three_omissions_of_the_tale_are_found_at_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    path.write_text(yaml.safe_dump(REPRODUCTION))
    found = against_convnext(read_described(path, defaults=Recipe()))
    mattering = [d for d in found if d.kind != "speed"]
    assert [d.name for d in mattering] == ["optimizer", "schedule", "label_smoothing"]
    optimizer, schedule, smoothing = (d.sentence for d in mattering)
    assert "plain Adam: L2 enters the gradient" in optimizer
    assert "AdamW decouples" in optimizer
    assert "step decay, times 0.1 every 90 epochs instead of cosine" in schedule
    assert "missing label smoothing: the reference has 0.1" in smoothing


def test_the_same_omissions_are_found_without_what_the_file_says_beyond_a_recipe() -> None:
    recipe = describe_timm_args(REPRODUCTION, defaults=Recipe()).recipe
    names = [d.name for d in against_convnext(recipe) if d.kind != "speed"]
    assert names == ["optimizer", "schedule", "label_smoothing"]


@pytest.mark.parametrize("name", ["imagenet", "convnext_tiny", "rsb_a1", "torchvision"])
def test_a_recipe_does_not_differ_from_itself(name: str) -> None:
    original = published(name)
    other_seed = replace(original.recipe, seed=original.recipe.seed + 1)
    assert diff(other_seed, original.recipe, original.task, original.task) == ()
    assert to_lines(()) == ("No difference.",)


CHANGES: dict[str, Any] = {
    "model": "convnext_small",
    "pretrained": True,
    "image_size": 192,
    "epochs": 100,
    "batch_size": 1024,
    "optimizer": "sgd",
    "lr": 1e-3,
    "schedule": "constant",
    "min_lr": 0.0,
    "layer_decay": 0.8,
    "no_decay_split": False,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.5,
    "randaugment": None,
    "crop_scale_min": 1.0,
    "hflip": 0.0,
    "erasing": 0.0,
    "freeze": "all",
    "ema_batch_norm": "measured",
    "dropout": 0.2,
    "class_weighting": 0.99,
    "logit_adjustment": 0.5,
    "amp_dtype": "none",
    "grad_clip_norm": 1.0,
    "grad_accum_steps": 4,
    "compile": True,
    "weight_decay": 0.0,
    "label_smoothing": 0.05,
    "drop_path_rate": 0.2,
    "ema_decay": 0.0,
    "warmup_fraction": 0.0,
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_key_that_differs_is_told_with_both_values(name: str) -> None:
    value = CHANGES[name]
    if name in STRENGTHS:
        mine = CONVNEXT.recipe.with_strengths(**{name: value})
    else:
        mine = replace(CONVNEXT.recipe, **{name: value})
    (found,) = (d for d in against_convnext(mine) if d.name == name)
    # A batch size also changes what a rate means.
    follows = {"batch_size": {"lr"}}.get(name, set())
    assert {d.name for d in against_convnext(mine)} == {name} | follows
    assert found.mine == value
    assert found.sentence
    off = {"weight_decay", "ema_decay", "warmup_fraction", "mixup_alpha", "randaugment", "hflip"}
    if name in off | {"crop_scale_min", "erasing", "no_decay_split"}:
        assert found.kind == "missing"
    extra = {"pretrained", "layer_decay", "class_weighting", "logit_adjustment", "freeze"}
    if name in extra | {"grad_clip_norm"}:
        assert found.kind == "extra"
    if name in ("amp_dtype", "compile", "grad_accum_steps"):
        assert (found.kind, found.usual_points) == ("speed", 0.0)


def test_every_key_of_a_recipe_is_compared_except_the_seed() -> None:
    keys = {f.name for f in fields(Recipe)} - {"strengths", "seed"} | set(STRENGTHS)
    assert set(usual_points()) == set(CHANGES) == keys
    assert all(label_of(name) != name for name in known() if name in keys)


def small_task(recipe: Recipe) -> Task:
    return Task.of(recipe, num_train=300, num_classes=10, num_blocks=18)


def test_the_same_number_in_a_short_run_is_told_in_effective_units() -> None:
    mine = replace(CONVNEXT.recipe, epochs=15, batch_size=32, lr=1e-3)
    found = {d.name: d for d in diff(mine, CONVNEXT.recipe, small_task(mine), CONVNEXT.task)}
    average, decay = found["ema_decay"], found["weight_decay"]
    assert average.mine == average.reference == 0.9999
    assert average.mine_effective == pytest.approx(10_000 / 135)
    assert average.reference_effective == pytest.approx(10_000 / (312 * 300))
    assert "in both amounts to something else" in average.sentence
    assert "remembers 10000 steps; this run has 135" in average.sentence
    assert decay.mine_effective == pytest.approx(1e-3 * 0.05 * 135)
    assert decay.reference_effective == pytest.approx(4e-3 * 0.05 * 312 * 300)
    assert found["epochs"].effective_unit == "images seen"
    assert found["epochs"].mine_effective == 15 * 300
    assert found["epochs"].reference_effective == 300 * 1_281_167


def test_a_smaller_batch_with_its_smaller_rate_buries_nothing() -> None:
    half = REPRODUCTION | {"batch_size": 512, "lr": 5e-4, "warmup_lr": 1e-6, "min_lr": 1.25e-7}
    mine = describe_timm_args(half, defaults=Recipe())
    task = Task.of(mine.recipe, num_train=1_281_167, num_classes=1000, num_blocks=18)
    found = diff(mine, CONVNEXT.recipe, task, CONVNEXT.task)
    assert [d.name for d in found[:3]] == ["optimizer", "schedule", "label_smoothing"]
    kinds = {d.name: d.kind for d in found}
    assert kinds["lr"] == kinds["min_lr"] == "same_effect"
    assert not {"epochs", "weight_decay"} & kinds.keys()  # The pull and the images seen are equal.


def test_an_average_that_is_off_has_no_window() -> None:
    (found,) = against_convnext(CONVNEXT.recipe.with_strengths(ema_decay=0.0))
    assert found.mine_effective is None
    assert found.reference_effective == pytest.approx(10_000 / (312 * 300))
    assert "window" not in found.sentence


def test_other_numbers_of_the_same_effect_come_last_and_are_called_that() -> None:
    mine = replace(CONVNEXT.recipe, lr=2e-3, hflip=0.0).with_strengths(weight_decay=0.1)
    task = replace(CONVNEXT.task, lr=2e-3)
    found = diff(mine, CONVNEXT.recipe, task, CONVNEXT.task)
    by_name = {d.name: d for d in found}
    assert by_name["weight_decay"].kind == "same_effect"
    assert by_name["weight_decay"].usual_points == 0
    assert "amounts to the same" in by_name["weight_decay"].sentence
    assert found[-1].name == "weight_decay"


def test_two_numbers_that_round_alike_are_written_so_that_they_differ() -> None:
    mine = CONVNEXT.recipe.with_strengths(warmup_fraction=0.0667)
    (found,) = [d for d in against_convnext(mine) if d.name == "warmup_fraction"]
    assert found.sentence.startswith("warmup 0.0667 instead of 0.06666666666666667 amounts to")


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ({"hflip": 0.4}, {"hflip": 0.1}),
        ({"lr": 3e-3}, {"lr": 4e-5}),
        ({"batch_size": 2048}, {"batch_size": 64}),
        ({"cutmix_alpha": 0.9}, {"cutmix_alpha": 0.0}),
        (
            {"randaugment": RandAugment(num_ops=1, magnitude=24)},
            {"randaugment": RandAugment(num_ops=3, magnitude=30)},
        ),
    ],
)
def test_a_larger_difference_in_one_key_matters_more(
    small: dict[str, Any], large: dict[str, Any]
) -> None:
    name = next(iter(small))
    (little,) = (d for d in against_convnext(replace(CONVNEXT.recipe, **small)) if d.name == name)
    (much,) = (d for d in against_convnext(replace(CONVNEXT.recipe, **large)) if d.name == name)
    assert 0 < little.usual_points < much.usual_points <= usual_points()[much.name]


def test_points_never_rise_down_the_list() -> None:
    mine = Recipe(model="resnet18", optimizer="sgd", lr=0.1, hflip=0.3, compile=True)
    found = diff(mine, CONVNEXT.recipe, small_task(mine), CONVNEXT.task)
    points = [d.usual_points for d in found]
    assert points == sorted(points, reverse=True)
    assert len(found) > 15
    lines = to_lines(found)
    assert lines[0].startswith("1. ")
    assert len(lines) == len(found)


def test_what_a_recipe_has_no_key_for_is_told_from_either_side() -> None:
    plain = CONVNEXT.recipe
    with_jitter = Described(recipe=plain, facts={"color_jitter": "0.4"})
    (extra,) = diff(with_jitter, plain, CONVNEXT.task, CONVNEXT.task)
    (missing,) = diff(plain, with_jitter, CONVNEXT.task, CONVNEXT.task)
    assert (extra.kind, missing.kind) == ("extra", "missing")
    assert (extra.mine, extra.reference) == ("0.4", None)
    assert "missing color_jitter: the reference has 0.4" in missing.sentence
    assert diff(with_jitter, with_jitter, CONVNEXT.task, CONVNEXT.task) == ()


def test_json_is_strict_and_keeps_the_order() -> None:
    mine = describe_timm_args(REPRODUCTION, defaults=Recipe())
    found = against_convnext(mine)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    data = json.loads(to_json(found), parse_constant=refuse)
    assert data["schema"] == "diff/1"
    assert [row["name"] for row in data["differences"]] == [d.name for d in found]
    assert data["differences"][0]["mine"] == "adam"
    assert data["differences"][2]["reference_effective"] == 0.1
    augmented = replace(CONVNEXT.recipe, randaugment=RandAugment(num_ops=2, magnitude=9))
    row = json.loads(to_json(against_convnext(augmented)))["differences"][0]
    assert row["mine"] == {"num_ops": 2, "magnitude": 9}
    assert json.loads(to_json(()))["differences"] == []
