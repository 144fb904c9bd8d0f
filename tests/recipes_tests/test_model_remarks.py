"""What an architecture does otherwise than most is said where it matters, and only there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.recipes.diff import diff
from search.recipes.model_remarks import model_remarks, settled
from search.recipes.timm_export import timm_args
from search.recipes.torchvision_export import torchvision_flags
from search.recipes.yaml_file import read_recipe, write_recipe
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.space import Space
from spaces.task import Task


def space_of(recipe: Recipe) -> Space:
    task = Task.of(recipe, num_train=300, num_classes=10, num_blocks=3)
    return Space.for_task(task)


def said(model: str, *, searched: bool = True, **changes: Any) -> str:
    recipe = settled(Recipe.from_dict({"model": model, **changes}))
    return " ".join(model_remarks(recipe, space=space_of(recipe) if searched else None))


def test_dropout_left_open_is_settled_as_the_architecture_has_it() -> None:
    assert settled(Recipe(model="ghostnet_050")).dropout == 0.2
    assert settled(Recipe(model="test_resnet")).dropout == 0.0
    assert settled(Recipe(model="resnet18_cifar")).dropout == 0.0
    kept = Recipe(model="ghostnet_050", dropout=0.3)
    assert settled(kept) is kept
    unknown = Recipe(model="no_such_model")
    assert settled(unknown) is unknown


def test_nothing_is_said_of_an_ordinary_model() -> None:
    assert said("convnext_atto") == ""
    assert said("test_resnet", layer_decay=0.8) == ""


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("ghostnet_050", {}, "trains with a dropout of 0.2 (`dropout`; its architecture's own)"),
        ("ghostnet_050", {"dropout": 0.1}, "a dropout of 0.1 (`dropout`; its own is 0.2)"),
        ("ghostnet_050", {"dropout": 0.0}, "trains without dropout (`dropout` is 0); left to"),
        ("test_vit_relpos", {}, "a dropout of 0.125 inside that no setting of timm switches off"),
        ("tf_efficientnet_lite0", {}, "the deepest with 0.875 of it"),
        ("hgnetv2_b0", {}, "has one block that can be skipped, with 0.75 of drop_path_rate"),
        ("cait_xxs24_224", {}, "skips each of its 24 blocks with the same drop_path_rate"),
        ("test_nfnet", {}, "Weight decay also pulls at 25 `gain` of test_nfnet"),
        ("resmlp_12_224", {}, "also pulls at 25 `alpha` and 25 `beta`"),
        ("poolformer_s12", {"layer_decay": 0.8}, "layer_decay counts every twelve parameters"),
        ("resnet18_cifar", {"layer_decay": 0.8}, "layer_decay does nothing to resnet18_cifar"),
    ],
)
def test_what_is_unusual_is_said(model: str, changes: dict[str, Any], words: str) -> None:
    assert words in said(model, **changes)


def test_what_changes_nothing_in_this_recipe_is_not_said() -> None:
    assert said("tf_efficientnet_lite0", searched=False) == ""
    assert said("test_nfnet", searched=False) == ""
    assert said("test_nfnet", no_decay_split=False) == ""  # Then everything decays anyway.
    assert "twelve" not in said("poolformer_s12")
    strong = Recipe(model="test_nfnet").with_strengths(weight_decay=0.1)
    assert "25 `gain`" in " ".join(model_remarks(strong))


def test_everything_off_is_said_to_be_without_dropout_where_there_is_such_a_recipe() -> None:
    assert "everything off trains without it" in said("ghostnet_050")
    assert "everything off" not in said("ghostnet_050", searched=False)


def test_a_model_that_is_not_here_is_an_input_error() -> None:
    with pytest.raises(InputError, match="must be a timm model"):
        model_remarks(Recipe(model="no_such_model"))


SHIPPED = Recipe(model="resnet18", pretrained=True).with_strengths(ema_decay=0.99)
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"ema_batch_norm": "measured"}, "averages BatchNorm's statistics with the weights, where"),
    ({"freeze": "until:1"}, "no flag to freeze (`freeze: until:1`)"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES)
def test_both_exports_say_what_the_scripts_have_no_flag_for(
    changes: dict[str, Any], words: str
) -> None:
    def exported(recipe: Recipe) -> tuple[str, str]:
        timm = " ".join(timm_args(recipe, num_train=300, num_classes=10).comments)
        text = torchvision_flags(recipe, num_train=300, num_classes=10)
        return timm, text.replace("\n# ", " ")

    for told, untold in zip(exported(replace(SHIPPED, **changes)), exported(SHIPPED), strict=True):
        assert words in told
        assert words not in untold


@pytest.mark.parametrize("changes", [changes for changes, _ in CHANGES])
def test_both_settings_come_back_from_a_recipe_file_and_show_in_a_diff(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = replace(SHIPPED, **changes)
    write_recipe(tmp_path / "r.yaml", recipe)
    assert read_recipe(tmp_path / "r.yaml", defaults=None) == recipe
    task = Task.of(recipe, num_train=300, num_classes=10, num_blocks=8)
    (found,) = diff(recipe, SHIPPED, task, task)
    ((name, value),) = changes.items()
    assert (found.name, found.mine) == (name, value)
    assert value in found.sentence
    (missing,) = diff(SHIPPED, recipe, task, task)
    assert value in missing.sentence
