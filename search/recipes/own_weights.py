"""Runs that start from a weight file of the user's, which no recipe can name."""

from pathlib import Path

from search.recipes.timm_import import Described
from spaces.errors import InputError
from trainable.models.pretrained import weights_folder


def refuse_own_weights(path: Path, described: Described) -> None:
    """Refuse to train what starts from weights that are not at hand under the name of the model.

    A recipe says only whether training starts from the pretrained weights of its model. Taking
    those instead of the user's, or none, would be another run.

    Raises:
        InputError: If the source starts from a file of its own. The message says how to use it.
    """
    if not described.own_weights:
        return
    model = described.recipe.model
    raise InputError(
        f"{path}: this run starts from the weights in {described.own_weights}, which a recipe "
        f"cannot name: put that file at {weights_folder() / model}.safetensors (or .pth) and write "
        "`pretrained: true` instead, or leave the key out to start from scratch."
    )
