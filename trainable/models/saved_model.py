"""Saving of a trained model as one safetensors file, which timm and torch load without this code.

The weights are those that the recipe ships. Everything else that is needed to use them lies in the
file's metadata, as JSON texts: recipe, class names, normalization, image size, what was measured.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from spaces.recipe import Recipe
from trainable.ema import OWN, EmaBank
from trainable.measuring.class_prior import adjusted
from trainable.models.architecture import architecture
from trainable.models.build import RESNET18_CIFAR, describe_model
from trainable.models.output_bias import output_biases
from trainable.whole_file import commit

MODEL_FILE = "model.safetensors"
SCHEMA = "model/1"


def shipped_weights(
    model: nn.Module, ema: EmaBank, *, logit_adjustment: float, log_prior: Tensor
) -> dict[str, Tensor]:
    """Return the weights that a recipe ships, by the names of the model's ``state_dict``.

    An adjustment of logits is written into the biases of the outputs, so that whoever loads the
    weights has it; the model itself, which may be trained on, stays as it is.

    Args:
        model: Holds the weights that its optimizer wants evaluated.
        ema: The averages of the run; its average `OWN` is shipped if it has a decay above 0.
        logit_adjustment: Tau of the recipe.
        log_prior: Logarithm of each class's share of the training images, ``[K]``.
    """
    with ema.averaged(OWN):
        weights = {
            # A copy each: tied weights would share memory, which the format refuses.
            name: tensor.detach().cpu().clone().contiguous()
            for name, tensor in model.state_dict().items()
        }
    if logit_adjustment:
        for name in output_biases(model, num_classes=len(log_prior)):
            weights[name] = adjusted(weights[name], logit_adjustment, log_prior)
    return weights


def save_model(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    recipe: Recipe,
    class_names: tuple[str, ...],
    metrics: Mapping[str, float],
) -> None:
    """Write weights and metadata atomically.

    Args:
        path: The file.
        weights: From `shipped_weights`.
        recipe: What was trained.
        class_names: Name of each output.
        metrics: What was measured on these weights.
    """
    info = describe_model(recipe.model)
    metadata = {
        "format": "pt",
        "schema": SCHEMA,
        "model": recipe.model,
        "model_args": json.dumps(model_args(recipe, num_classes=len(class_names))),
        "image_size": str(recipe.image_size),
        "mean": json.dumps(info.mean),
        "std": json.dumps(info.std),
        "class_names": json.dumps(class_names),
        "recipe": json.dumps(recipe.to_dict()),
        "metrics": json.dumps(dict(metrics)),
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(save(dict(weights), metadata=metadata))
    commit(partial, path)


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata of a file of `save_model`."""
    with safe_open(path, framework="pt") as file:
        texts = file.metadata()
    plain = {"format", "schema", "model"}
    return {key: text if key in plain else json.loads(text) for key, text in texts.items()}


def model_args(recipe: Recipe, *, num_classes: int) -> dict[str, float]:
    """Return the arguments of `timm.create_model`, beside the name, for which the weights fit.

    The dropout of the recipe is among them where the architecture's own is another, so that who
    trains on does so with the same.
    """
    args: dict[str, float] = {"num_classes": num_classes}
    if recipe.model == RESNET18_CIFAR:
        return args
    config = timm.get_pretrained_cfg(recipe.model)
    if config is not None and config.fixed_input_size:
        # A vision transformer has as many positions as its image has patches.
        args["img_size"] = recipe.image_size
    if recipe.dropout is not None and recipe.dropout != architecture(recipe.model).dropout:
        args["drop_rate"] = recipe.dropout
    return args


def loading_code(recipe: Recipe, *, num_classes: int, file: str = MODEL_FILE) -> str:
    """Write Python code that loads ``file`` with timm and torch."""
    args = ", ".join(
        f"{key}={value}" for key, value in model_args(recipe, num_classes=num_classes).items()
    )
    if recipe.model == RESNET18_CIFAR:
        imports, create = (
            "from trainable.models.resnet_cifar import ResNet18Cifar",
            "ResNet18Cifar(",
        )
    else:
        imports, create = "import timm", f"timm.create_model({_literal(recipe.model)}, "
    return (
        f"{imports}\nfrom safetensors.torch import load_file\n\n"
        f"model = {create}{args})\n"
        f"model.load_state_dict(load_file({_literal(file)}))\n"
        "model.eval()\n"
    )


def _literal(text: str) -> str:
    """Format a text as a Python literal in double quotes, with JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)
