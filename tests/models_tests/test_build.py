"""Every model has the drop path rate it was asked for, at creation and when it changes later."""

import copy
import random
import time
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models.build import (
    create_model,
    describe_model,
    drop_path_rates,
    read_drop_path_rate,
    set_drop_path_rate,
)
from trainable.models.drop_path import StochasticDepth
from trainable.models.resnet_cifar import ResNet18Cifar

# Small ones of families whose blocks differ: unused DropPath modules (efficientnet), None instead
# of a module (resnet), one or two branches a block (convnext, vit).
FAMILIES = {
    "tf_efficientnet_lite0": 32,
    "resnet10t": 32,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 32,
}


def recipe(model: str, *, rate: float = 0.0, image_size: int | None = None) -> Recipe:
    size = image_size or FAMILIES.get(model, 32)
    return Recipe(model=model, image_size=size).with_strengths(drop_path_rate=rate)


def made(model: str, *, rate: float = 0.0, seed: int = 0, num_classes: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return create_model(recipe(model, rate=rate), num_classes=num_classes)


def fresh_from_timm(model: str, rate: float, seed: int = 0) -> nn.Module:
    """Make the model by timm alone."""
    size: dict[str, Any] = {"img_size": FAMILIES[model]} if model.startswith("vit") else {}
    torch.manual_seed(seed)
    net: nn.Module = timm.create_model(model, num_classes=5, drop_path_rate=rate, **size)
    return net


def called_rates(model: nn.Module, image_size: int) -> dict[str, float]:
    """Rates above 0 of the DropPath modules that a forward pass really goes through."""
    rates: dict[str, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, DropPath):
            module.register_forward_hook(
                lambda m, *_, name=name: rates.update({name: float(m.drop_prob)})
            )
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    return {name: rate for name, rate in rates.items() if rate > 0}


def outputs(model: nn.Module, image_size: int) -> Tensor:
    """Logits in training mode, with a fixed draw of skipped blocks."""
    images = torch.rand(4, 3, image_size, image_size, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(11)
    with torch.no_grad():
        logits: Tensor = model.train()(images)
    return logits


@pytest.mark.parametrize(("model", "rate"), [*((m, 0.2) for m in FAMILIES), ("resnet10t", 0.0)])
def test_weights_rates_and_skipped_blocks_are_those_of_timm(model: str, rate: float) -> None:
    size = FAMILIES[model]
    ours, theirs = made(model, rate=rate), fresh_from_timm(model, rate)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight)
    assert torch.equal(outputs(ours, size), outputs(theirs, size))
    assert called_rates(ours, size) == pytest.approx(called_rates(theirs, size), abs=1e-7)


@pytest.mark.parametrize("model", [*FAMILIES, "resnet18_cifar"])
def test_changing_the_rate_of_a_live_model_is_creating_it_with_that_rate(model: str) -> None:
    size = FAMILIES.get(model, 32)
    live = made(model, rate=0.05)
    for rate in (0.3, 0.0):
        set_drop_path_rate(live, rate)
        created = made(model, rate=rate)
        assert drop_path_rates(live) == drop_path_rates(created)
        assert read_drop_path_rate(live) == pytest.approx(rate, abs=1e-12)
        # Copied, because BatchNorm statistics move in training mode.
        assert torch.equal(outputs(copy.deepcopy(live), size), outputs(created, size))


@pytest.mark.parametrize("model", [*FAMILIES, "resnet18_cifar"])
def test_the_listed_rates_are_those_of_the_blocks_in_depth_order(model: str) -> None:
    rates = drop_path_rates(made(model, rate=0.2))
    assert len(rates) == describe_model(model).num_blocks > 0
    assert rates == sorted(rates)
    assert min(rates) > 0
    assert max(rates) <= 0.2 + 1e-7
    assert drop_path_rates(made(model, rate=0.0)) == [0.0] * len(rates)


def test_rates_that_can_be_counted_by_hand() -> None:
    # ResNet-18: blocks 0 to 7, of which the first has rate 0.
    expected = [0.7 * i / 7 for i in range(1, 8)]
    assert drop_path_rates(made("resnet18", rate=0.7)) == pytest.approx(expected)
    assert drop_path_rates(made("resnet18_cifar", rate=0.7)) == pytest.approx(expected)
    # EfficientNet-Lite0: stages of 1, 2, 2, 3, 3, 4, 1 blocks; the first of each changes shape, so
    # it has no shortcut and cannot be skipped. timm divides by 16, not by 15.
    skippable = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    expected = [0.8 * i / 16 for i in skippable]
    assert drop_path_rates(made("tf_efficientnet_lite0", rate=0.8)) == pytest.approx(expected)
    # ViT-Tiny: 12 blocks of two branches each; the branches of a block count once.
    expected = [0.11 * i / 11 for i in range(1, 12)]
    assert drop_path_rates(made("vit_tiny_patch16_224", rate=0.11)) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_rate_outside_its_interval_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="`0 <= drop_path_rate < 1` must hold"):
        set_drop_path_rate(ResNet18Cifar(10), rate)


def test_blocks_that_disagree_are_found_out() -> None:
    model = ResNet18Cifar(10, drop_path_rate=0.2)
    last = [m for m in model.modules() if isinstance(m, StochasticDepth)][-1]
    last.drop_prob = 0.19
    with pytest.raises(RuntimeError, match="must say the same rate"):
        read_drop_path_rate(model)


@pytest.mark.parametrize("model", ["vgg11", "densenet121", "efficientvit_m0"])
def test_models_without_stochastic_depth_are_known_and_take_only_0(model: str) -> None:
    info = describe_model(model)
    assert not info.takes_drop_path
    assert info.num_blocks == 0
    if model == "efficientvit_m0":
        with pytest.raises(InputError, match=r"must be 0 for a EfficientVitMsra, .* got 0\.1"):
            create_model(recipe(model, rate=0.1, image_size=224), num_classes=3)
        net = create_model(recipe(model, image_size=224), num_classes=3)
        assert (drop_path_rates(net), read_drop_path_rate(net)) == ([], 0.0)


# The branch itself, against what it must do on average and image by image.


@pytest.mark.parametrize("scale_by_keep", [True, False])
@pytest.mark.parametrize("by_tensor", [True, False])
def test_a_branch_is_skipped_per_image_and_scaled_up_when_kept(
    scale_by_keep: bool, by_tensor: bool
) -> None:
    branch = StochasticDepth(0.5, scale_by_keep)
    branch.set_model_rate(0.5)
    torch.manual_seed(0)
    x = torch.ones(8000, 2, 3)
    y = branch._drop_by_tensor(x) if by_tensor else branch(x)
    kept = y[:, 0, 0] > 0
    scale = 1 / 0.75 if scale_by_keep else 1.0
    torch.testing.assert_close(y, kept[:, None, None] * torch.full((2, 3), scale))
    # Skipped with 0.25; five standard deviations of 8000 draws are 0.024.
    assert abs(1 - kept.float().mean().item() - 0.25) < 0.024


def test_at_rate_0_and_in_evaluation_nothing_is_skipped() -> None:
    branch = StochasticDepth(1.0)
    x = torch.randn(64, 5)
    for by_tensor in (branch._drop_by_tensor(x), branch(x)):
        assert torch.equal(by_tensor, x)
    branch.set_model_rate(0.9)
    assert torch.equal(branch.eval()(x), x)


def test_a_compiled_model_is_not_compiled_again_when_the_rate_changes() -> None:
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    branch = StochasticDepth(1.0)
    compiled = torch.compile(branch, backend=counter)
    x = torch.ones(4000, 1)
    shares = []
    for rate in (0.0, 0.5, 0.25, 0.8):
        branch.set_model_rate(rate)
        shares.append((compiled(x) == 0).float().mean().item())
    assert counter.frame_count == 1
    assert shares == pytest.approx([0.0, 0.5, 0.25, 0.8], abs=0.05)


def test_the_rate_moves_with_the_model_but_is_no_weight_of_it() -> None:
    branch = StochasticDepth(1.0)
    branch.set_model_rate(0.25)
    assert list(branch.state_dict()) == list(branch.buffers()) == []
    assert branch.to(torch.float64)._keep_prob.dtype == torch.float64
    other = copy.deepcopy(branch)
    other.set_model_rate(0.5)
    assert (float(branch._keep_prob), float(other._keep_prob)) == (0.75, 0.5)


# Descriptions and creation.


def test_what_is_known_of_the_default_model() -> None:
    info = describe_model("tf_efficientnet_lite0")
    assert info.mean == info.std == (0.5, 0.5, 0.5)
    assert (info.num_blocks, info.takes_drop_path, info.num_params) == (9, True, 4_652_008)


def test_a_description_is_made_once() -> None:
    describe_model("convnext_atto")
    started = time.process_time()
    assert describe_model("convnext_atto") is describe_model("convnext_atto")
    assert time.process_time() - started < 0.01


@pytest.mark.parametrize("model", ["resnet18_cifar", "resnet10t", "vit_tiny_patch16_224"])
def test_fresh_weights_depend_on_torchs_seed_alone(model: str) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        random.seed(seed + 100)
        np.random.seed(seed + 200)  # noqa: NPY002 - must not matter
        return made(model, seed=5, rate=seed / 10).state_dict()

    one, other = weights(1), weights(2)
    assert all(torch.equal(one[name], other[name]) for name in one)
    third = made(model, seed=6).state_dict()
    assert not all(torch.equal(one[name], third[name]) for name in one)


def test_looking_at_a_model_does_not_move_the_seed() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    describe_model("resnet10t", image_size=48)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "close"),
    [("resnte18", "resnet18"), ("resnet18.no_tag", "resnet18"), ("resnet18_cifr", "18_cifar")],
)
def test_an_unknown_model_is_refused_with_close_names(name: str, close: str) -> None:
    with pytest.raises(InputError, match=f"got '{name}'; close are .*{close}"):
        describe_model(name)


@pytest.mark.parametrize("name", ["", "qqqqqq", "hf-hub:timm/resnet18", "../x", "local-dir:/tmp"])
def test_a_name_like_no_other_is_refused_without_looking_anything_up(name: str) -> None:
    with pytest.raises(InputError, match="`model` must be a timm model or resnet18_cifar"):
        describe_model(name)


@pytest.mark.parametrize(("name", "image_size"), [("inception_v3", 32), ("halonet26t", 32)])
def test_a_model_that_cannot_take_the_image_size_is_refused(name: str, image_size: int) -> None:
    with pytest.raises(InputError, match=f"{name} must be a classifier that takes images of 32 px"):
        describe_model(name, image_size=image_size)
    assert describe_model(name).num_params > 0


def test_a_model_with_several_outputs_in_training_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TwoHeads(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            logits = super().forward(x.flatten(1))
            return (logits, logits) if self.training else logits

    monkeypatch.setattr(timm, "create_model", lambda *_, **__: TwoHeads(3 * 48 * 48, 1000))
    with pytest.raises(InputError, match="does not return one row of logits per image"):
        describe_model("resnet26t", image_size=48)


@pytest.mark.parametrize("model", [*FAMILIES, "resnet18_cifar"])
def test_every_family_takes_its_images_and_counts_its_classes(model: str) -> None:
    net = made(model, num_classes=7).eval()
    size = FAMILIES.get(model, 32)
    assert net(torch.zeros(2, 3, size, size)).shape == (2, 7)


# Our own ResNet.


def test_the_small_resnet_has_the_size_of_the_known_one() -> None:
    # Stem 1,728 + stages 147,968 + 525,568 + 2,099,712 + 8,393,728 + stem norm 128 + head 5,130.
    assert sum(p.numel() for p in ResNet18Cifar(10).parameters()) == 11_173_962


def test_the_small_resnet_keeps_its_resolution_in_the_stem() -> None:
    sizes: list[int] = []
    model = ResNet18Cifar(10).eval()
    for block in model.blocks:
        block.register_forward_hook(lambda m, a, out: sizes.append(out.shape[-1]))
    model(torch.zeros(1, 3, 32, 32))
    assert sizes == [32, 32, 16, 16, 8, 8, 4, 4]


def test_every_block_of_the_small_resnet_starts_as_its_shortcut() -> None:
    block = ResNet18Cifar(10).eval().blocks[0]
    x = torch.rand(2, 64, 8, 8)
    torch.testing.assert_close(block(x), x)


def test_skipping_every_branch_leaves_the_shortcuts() -> None:
    model = ResNet18Cifar(10).train()
    for block in model.blocks:
        nn.init.ones_(block.bn2.weight)  # type: ignore[arg-type, union-attr]
    x = torch.rand(2, 64, 8, 8)
    block = model.blocks[1]
    branch = block.drop_path
    assert isinstance(branch, StochasticDepth)
    branch.set_model_rate(1.0 / branch.share - 1e-9)
    torch.testing.assert_close(block(x), x)
