"""Influence of the architecture on a recipe: its default dropout, and remarks for the user."""

from collections.abc import Mapping
from dataclasses import replace

from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.space import Space
from spaces.strengths.drop_path_rate import DROP_PATH_RATE
from spaces.strengths.layer_decay import LAYER_DECAY
from spaces.strengths.weight_decay import WEIGHT_DECAY
from trainable.models.architecture import Architecture, architecture
from trainable.models.probe import RESNET18_CIFAR, ModelInfo, describe_model


def settled(recipe: Recipe) -> Recipe:
    """Set the dropout of a recipe to the architecture's own if the recipe leaves it open.

    The recipe of a model that is not installed stays as it is.
    """
    if recipe.dropout is not None:
        return recipe
    try:
        return replace(recipe, dropout=architecture(recipe.model).dropout)
    except InputError:
        return recipe


def on_freezing(recipe: Recipe) -> list[str]:
    """Say what the scripts of timm and torchvision do where a recipe freezes a part."""
    if recipe.freeze == "none":
        return []
    return [
        f"The script has no flag to freeze (`freeze: {recipe.freeze}`): it trains all parameters, "
        "unless those of the frozen part get `requires_grad = False` where it builds the model."
    ]


def on_statistics(recipe: Recipe) -> list[str]:
    """Say what the scripts of timm and torchvision do where a recipe measures statistics anew."""
    if recipe.ema_batch_norm != "measured":
        return []
    return [
        "The script averages BatchNorm's statistics with the weights, where this recipe measures "
        "them anew (`ema_batch_norm: measured`): for the same model, pass training images without "
        "augmentation through the average afterwards, only BatchNorm in training mode, or train "
        "with `make train`."
    ]


def on_logits(recipe: Recipe) -> list[str]:
    """Say what the scripts of timm and torchvision do where a recipe adjusts logits."""
    tau = recipe.logit_adjustment
    if not tau:
        return []
    return [
        f"logit_adjustment {tau:.6g} is lost: the script ships outputs as they were trained. For "
        f"the same model, subtract {tau:.6g} * log(training images of the class / all training "
        "images) from the bias of each output afterwards; `make train` does."
    ]


def model_remarks(recipe: Recipe, *, space: Space | None = None) -> tuple[str, ...]:
    """Write sentences on the properties in which a recipe's model differs from most models.

    Args:
        recipe: The recipe, after `settled`.
        space: Search space, whose strengths matter even if the recipe has them off. None if only
            this recipe is trained.

    Raises:
        InputError: If the model does not exist.
    """
    info, own = describe_model(recipe.model), architecture(recipe.model)
    searched = space.free_names if space else ()
    found = _on_dropout(recipe, info, own, has_off=space is not None)
    if recipe.strengths.drop_path_rate or DROP_PATH_RATE.name in searched:
        found += _on_depth(recipe.model, info.depth_shares)
    if recipe.strengths.weight_decay or WEIGHT_DECAY.name in searched:
        found += _on_vectors(recipe, own.decayed_vectors)
    if (recipe.layer_decay < 1 or LAYER_DECAY.name in searched) and not own.has_layers:
        found.append(_on_layers(recipe.model))
    return tuple(found)


def _on_dropout(recipe: Recipe, info: ModelInfo, own: Architecture, *, has_off: bool) -> list[str]:
    model, rate = recipe.model, recipe.dropout or 0.0
    found = []
    if rate:
        whose = "its architecture's own" if rate == own.dropout else f"its own is {own.dropout:g}"
        found.append(
            f"{model} trains with a dropout of {rate:g} (`dropout`; {whose})"
            + ("; everything off trains without it." if has_off else ".")
        )
    elif own.dropout:
        found.append(
            f"{model} trains without dropout (`dropout` is 0); left to itself, its architecture "
            f"has {own.dropout:g}."
        )
    if info.fixed_dropout:
        found.append(
            f"{model} has a dropout of {info.fixed_dropout:g} inside that no setting of timm "
            "switches off: it is on in every run, in everything off too."
        )
    return found


def _on_depth(model: str, shares: tuple[float, ...]) -> list[str]:
    """Write a sentence if the drop path rate does not rise evenly with depth to its full value."""
    if not shares:
        return []
    first, last = shares[0], shares[-1]
    if last > 0.999 and first < 1.5 / len(shares):
        return []
    if len(shares) == 1:
        return [f"{model} has one block that can be skipped, with {last:.3g} of drop_path_rate."]
    if max(shares) - min(shares) < 1e-3:
        return [f"{model} skips each of its {len(shares)} blocks with the same drop_path_rate."]
    return [
        f"{model} skips the first of its {len(shares)} blocks with {first:.3g} of drop_path_rate, "
        f"the deepest with {last:.3g} of it."
    ]


def _on_vectors(recipe: Recipe, vectors: Mapping[str, int]) -> list[str]:
    if not vectors or not recipe.no_decay_split:
        return []
    named = " and ".join(f"{count} `{name}`" for name, count in vectors.items())
    return [
        f"Weight decay also pulls at {named} of {recipe.model}: vectors that are kept with more "
        "than one dimension, which timm's rule decays like matrices; some models do not stand "
        "strong decay of these (docs/weight_decay.md)."
    ]


def _on_layers(model: str) -> str:
    if model == RESNET18_CIFAR:
        return f"layer_decay does nothing to {model}, all of which is one layer to it."
    return (
        f"{model} does not say what its layers are, so that layer_decay counts every twelve "
        "parameters as one, across its blocks."
    )
