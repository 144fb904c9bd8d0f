"""What an architecture does otherwise than most is said where it matters, and only there."""

from typing import Any

import pytest

from search.recipes.model_remarks import model_remarks, settled
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
