"""The right weights in the right model, and never a wait for a server that is silent."""

import http.server
import os
import socket
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models import pretrained
from trainable.models.build import create_model, describe_model
from trainable.models.pretrained import (
    load_packaged_weights,
    packaged_weights,
    rename_keys,
    require_weights,
    weights_folder,
)
from trainable.network import is_reachable

LITE0 = "tf_efficientnet_lite0"
DAISY, PALACE = 985, 698
"""ImageNet classes of flower.jpg (a dahlia, seen as a daisy) and china.jpg (a temple)."""


@pytest.fixture(autouse=True)
def _no_network_and_no_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "is_reachable", lambda url: False)
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda repo, name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def views(photo: str) -> Tensor:
    """Eight crops of 224 px in [0, 1]: the middle at four scales, each also mirrored."""
    from sklearn.datasets import load_sample_image

    image = Image.fromarray(load_sample_image(photo))
    crops = []
    for short_side in (240, 256, 288, 320):
        fitted = ImageOps.scale(image, short_side / min(image.size), Image.Resampling.BICUBIC)
        left, top = (fitted.width - 224) // 2, (fitted.height - 224) // 2
        crop = fitted.crop((left, top, left + 224, top + 224))
        crops += [np.asarray(crop), np.asarray(ImageOps.mirror(crop))]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255


def probabilities(model: nn.Module, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model.eval()((images - mean[:, None, None]) / std[:, None, None])
    return torch.softmax(logits, dim=1)


def packaged_state() -> dict[str, Tensor]:
    path = packaged_weights(LITE0)
    assert path is not None
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


def stages_of(model: nn.Module) -> list[int]:
    return [len(list(stage.children())) for stage in model.get_submodule("blocks").children()]


def test_the_packaged_weights_recognise_two_known_photographs_and_the_wrong_variants_less() -> None:
    """The right model sees a daisy about twice as sure as one with the wrong padding and epsilon.

    The wrong variant (timm's name without ``tf_``) and the wrong normalization load and run without
    complaint, and even their first guess is often right; only how sure they are gives them away.
    Measured on flower.jpg: 0.33 right, 0.17 wrong variant, 0.09 wrong normalization.
    """
    info = describe_model(LITE0)
    mean, std = torch.tensor(info.mean), torch.tensor(info.std)
    imagenet = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    right = create_model(Recipe(model=LITE0, pretrained=True, image_size=224), num_classes=1000)
    wrong = timm.create_model("efficientnet_lite0")
    wrong.load_state_dict(rename_keys(packaged_state(), blocks_per_stage=stages_of(wrong)))
    flower = views("flower.jpg")
    seen = probabilities(right, flower, mean, std)
    assert seen.argmax(dim=1).tolist() == [DAISY] * 8
    sure = seen[:, DAISY].mean()
    assert sure > 1.5 * probabilities(wrong, flower, mean, std)[:, DAISY].mean()
    assert sure > 2.5 * probabilities(right, flower, *imagenet)[:, DAISY].mean()
    china = probabilities(right, views("china.jpg"), mean, std)
    assert china.argmax(dim=1).tolist() == [PALACE] * 8


def test_every_packaged_weight_arrives_once() -> None:
    model = timm.create_model(LITE0)
    packaged = packaged_state()
    renamed = rename_keys(packaged, blocks_per_stage=stages_of(model))
    assert renamed.keys() == model.state_dict().keys()
    assert len(renamed) == len(packaged)
    # Spot checks, written down by hand from both definitions of the network.
    pairs = {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn1.running_var": "bn2.running_var",
        "_blocks.0._bn1.bias": "blocks.0.0.bn1.bias",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.1._bn0.weight": "blocks.1.0.bn1.weight",
        "_blocks.4._depthwise_conv.weight": "blocks.2.1.conv_dw.weight",
        "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
        "_fc.bias": "classifier.bias",
    }
    for old, new in pairs.items():
        assert torch.equal(packaged[old], renamed[new])


@pytest.mark.parametrize("name", ["_blocks.16._bn1.bias", "_blocks.0._se.weight", "stem.weight"])
def test_a_weight_of_another_network_is_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"'{name}' is no weight of an EfficientNet-Lite"):
        rename_keys({name: torch.zeros(1)}, blocks_per_stage=[1, 2, 2, 3, 3, 4, 1])


def test_a_missing_weight_is_refused(tmp_path: Path) -> None:
    state = packaged_state()
    del state["_blocks.3._bn2.running_mean"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(RuntimeError, match=r"Missing key.*blocks\.2\.0\.bn3\.running_mean"):
        load_packaged_weights(timm.create_model(LITE0), tmp_path / "x.pth")


@pytest.mark.parametrize("num_classes", [10, 1000])
def test_only_a_head_of_1000_classes_is_taken_over(num_classes: int) -> None:
    def made(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        recipe = Recipe(model=LITE0, pretrained=True)
        return create_model(recipe, num_classes=num_classes).state_dict()

    one, again, other = made(0), made(0), made(1)
    renamed = rename_keys(packaged_state(), blocks_per_stage=[1, 2, 2, 3, 3, 4, 1])
    assert one["classifier.weight"].shape == (num_classes, 1280)
    for name, weight in one.items():
        assert torch.equal(weight, again[name])
        is_fresh = name == "classifier.weight" and num_classes != 1000
        assert torch.equal(weight, other[name]) is not is_fresh
        if not name.startswith("classifier"):
            assert torch.equal(weight, renamed[name])


def test_only_the_tf_variants_have_packaged_weights() -> None:
    assert packaged_weights(LITE0) == packaged_weights(f"{LITE0}.in1k") is not None
    for name in ("efficientnet_lite0", f"{LITE0}.other", "resnet18"):
        assert packaged_weights(name) is None


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "PACKAGES", {LITE0: "efficientnet_lite9_pytorch_model"})
    with pytest.raises(InputError, match="install efficientnet-lite9-pytorch-model, put https"):
        require_weights(LITE0)


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k", "efficientnet_lite0"])
def test_without_network_and_cache_the_ways_out_are_named_at_once(
    name: str, tmp_path: Path
) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=r"not on this machine.*`pretrained: false`") as error:
        create_model(Recipe(model=name, pretrained=True), num_classes=10)
    # Whoever asks a network that is away tries again for a minute.
    assert time.monotonic() - started < 30
    assert str(tmp_path / "hub" / "checkpoints" / f"{name}.safetensors") in str(error.value)
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("name", ["resnet18_cifar", "cs3darknet_s"])
def test_a_model_that_nobody_pretrained_is_refused(name: str) -> None:
    if name != "resnet18_cifar":
        assert not timm.is_model_pretrained(name)
    with pytest.raises(InputError, match=f"`pretrained` must be false for {name}"):
        create_model(Recipe(model=name, pretrained=True), num_classes=10)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_put_in_place_by_hand_are_loaded_except_the_head(
    suffix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    given = timm.create_model("resnet10t").state_dict()
    path = folder / f"resnet10t{suffix}"
    if suffix == ".pth":
        torch.save(given, path)
    else:
        safetensors.torch.save_file(given, path)
    assert require_weights("resnet10t") == path
    torch.manual_seed(2)
    recipe = Recipe(model="resnet10t", pretrained=True).with_strengths(drop_path_rate=0.1)
    loaded = create_model(recipe, num_classes=10).state_dict()
    for name, weight in loaded.items():
        assert name.startswith("fc.") or torch.equal(weight, given[name])
    assert loaded["fc.weight"].shape == (10, 512)


def test_a_checkpoint_of_timms_train_py_can_be_put_in_place_and_what_runs_code_cannot(
    tmp_path: Path,
) -> None:
    """The way out for a run that starts from a file of its own (`initial_checkpoint`)."""
    folder = weights_folder()
    assert folder == tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    given = timm.create_model("test_resnet", num_classes=7).state_dict()
    saved = {"epoch": 3, "state_dict": given, "args": Namespace(model="test_resnet")}
    torch.save(saved, folder / "test_resnet.pth")
    recipe = Recipe(model="test_resnet", pretrained=True)
    loaded = create_model(recipe, num_classes=3).state_dict()
    assert all(name.startswith("fc.") or torch.equal(loaded[name], given[name]) for name in loaded)
    torch.save(saved | {"code": os.system}, folder / "test_resnet.pth")
    with pytest.raises(InputError, match=r"test_resnet\.pth must hold weights of test_resnet"):
        create_model(recipe, num_classes=3)


def test_the_caches_of_timm_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = timm.get_pretrained_cfg("resnet10t")
    assert url is not None
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    downloaded = folder / str(url.url).rpartition("/")[2]
    downloaded.touch()
    assert require_weights("resnet10t") == downloaded
    asked = []

    def cached(repo: str, name: str) -> str | None:
        asked.append((repo, name))
        return str(tmp_path / "cached") if name.endswith(".bin") else None

    monkeypatch.setattr(pretrained, "try_to_load_from_cache", cached)
    assert require_weights("resnet10t") == tmp_path / "cached"
    assert asked == [(url.hf_hub_id, "model.safetensors"), (url.hf_hub_id, "pytorch_model.bin")]


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(timm.create_model("resnet10t").state_dict(), folder / "resnet18.pth")
    with pytest.raises(InputError, match=r"resnet18\.pth must hold weights of resnet18"):
        create_model(Recipe(model="resnet18", pretrained=True), num_classes=10)


# Whether a server answers.


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.mark.parametrize("status", [200, 403, 404, 405, 500])
def test_any_answer_is_an_answer(server: str, status: int) -> None:
    assert is_reachable(f"{server}/{status}")


def test_a_refused_connection_and_an_unknown_host_are_no_answer() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not is_reachable(f"http://127.0.0.1:{closed.getsockname()[1]}/200")
    assert not is_reachable("http://no-such-host.invalid/x")


def test_a_silent_server_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert not is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.3)
        assert time.monotonic() - started < 2
