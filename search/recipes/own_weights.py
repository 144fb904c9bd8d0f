"""Refusal of runs that start from the user's own weight file, which a recipe cannot name."""

from pathlib import Path

from search.recipes.timm_import import Described
from spaces.errors import InputError
from trainable.models.pretrained import weights_folder


def refuse_own_weights(path: Path, described: Described) -> None:
    """Raise if a recipe file starts from a weight file of its own.

    A recipe only holds whether training starts from the pretrained weights of its model. Using
    those in place of the user's, or none, would be another run.

    Raises:
        InputError: If it does. The message explains how to use the weights.
    """
    if not described.own_weights:
        return
    model = described.recipe.model
    raise InputError(
        f"{path}: this run starts from the weights in {described.own_weights}, which a recipe "
        f"cannot name: put that file at {weights_folder() / model}.safetensors (or .pth) and write "
        "`pretrained: true` instead, or leave the key out to start from scratch."
    )
