"""A model has the dropout that its recipe says, or its architecture's own, and tells which."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from torch import nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models.architecture import architecture
from trainable.models.build import create_model, describe_model, read_dropout
from trainable.models.dropout import DropoutWatch, places_of, read_places


def made(model: str, dropout: float | None) -> nn.Module:
    torch.manual_seed(0)
    return create_model(Recipe(model=model, image_size=64, dropout=dropout), num_classes=5)


def is_random(model: nn.Module, image_size: int = 64) -> bool:
    """Whether two passes in training mode differ, BatchNorm apart."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    images = torch.rand(4, 3, image_size, image_size)
    with torch.no_grad():
        return not torch.equal(model(images), model(images))


# A layer of its own (rexnet, test_resnet), a function (ghostnet), and dropout of its own or none.
OWN = {"rexnetr_100": 0.2, "ghostnet_050": 0.2, "test_resnet": 0.0, "test_efficientnet": 0.0}


@pytest.mark.parametrize(("model", "own"), OWN.items())
def test_a_recipe_sets_dropout_and_leaves_it_to_the_architecture_where_it_says_nothing(
    model: str, own: float
) -> None:
    assert architecture(model).dropout == own
    assert describe_model(model).takes_dropout
    for dropout, expected in ((None, own), (0.0, 0.0), (0.4, 0.4)):
        net = made(model, dropout)
        assert read_dropout(net, model) == expected
        assert is_random(net) == (expected > 0)


@pytest.mark.parametrize("model", OWN)
def test_the_weights_are_the_same_whatever_the_dropout(model: str) -> None:
    one, other = made(model, None).state_dict(), made(model, 0.5).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_dropout_that_no_setting_reaches_is_known() -> None:
    info = describe_model("test_vit_relpos")
    assert (info.fixed_dropout, info.takes_dropout) == (0.125, True)
    net = create_model(Recipe(model="test_vit_relpos", image_size=64, dropout=0.0), num_classes=5)
    assert read_dropout(net, "test_vit_relpos") == 0.0
    assert is_random(net)
    assert architecture("test_vit_relpos").dropout == 0.0
    assert describe_model("cpubone_nano").fixed_dropout == pytest.approx(0.1)
    assert describe_model("test_resnet").fixed_dropout == 0.0


def test_a_model_without_a_place_for_it_takes_only_0() -> None:
    assert not describe_model("resnet18_cifar").takes_dropout
    assert read_dropout(made("resnet18_cifar", None), "resnet18_cifar") == 0.0
    made("resnet18_cifar", 0.0)
    with pytest.raises(InputError, match="`dropout` must be 0 or null for resnet18_cifar"):
        made("resnet18_cifar", 0.1)


def test_layers_that_disagree_are_found_out() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(2, 2), nn.Dropout(0.3))
    places = places_of(model, 0.3)
    assert places == (("0", "p"), ("2", "p"))
    assert read_places(model, places) == 0.3
    # Timm leaves a layer out that would drop nothing.
    assert read_places(nn.Sequential(), places) == 0.0
    model[2].p = 0.2  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"must have one rate, but got 0\.2\.\.0\.3"):
        read_places(model, places)


def test_the_watch_notes_what_is_dropped_and_only_that() -> None:
    x = torch.ones(2, 2, 4, 4)
    with DropoutWatch() as watch:
        F.dropout(x, 0.1)
        F.dropout(x, p=0.2, training=False)
        nn.Dropout2d(0.3)(x)
        nn.Dropout(0.4).eval()(x)
        nn.Dropout(0.0)(x)
        F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
        F.scaled_dot_product_attention(x, x, x)
    F.dropout(x, 0.6)
    assert watch.rates == {0.1, 0.3, 0.5}


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("nest_tiny", 0.5),
        ("swin_tiny_patch4_window7_224", 0.1),
        ("tf_efficientnet_lite0", 0.0),
        ("vgg11", 0.0),
        ("resnet18_cifar", 0.0),
    ],
)
def test_the_drop_path_rate_that_an_architecture_has_of_its_own(model: str, rate: float) -> None:
    assert architecture(model).drop_path_rate == pytest.approx(rate)
    if rate:
        # What `drop_path_rate` of a recipe sets is what timm has when told nothing.
        with torch.device("meta"):
            theirs = timm.create_model(model)
        rates = [float(m.drop_prob) for m in theirs.modules() if isinstance(m, DropPath)]
        assert max(rates) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("model", "first", "deepest", "blocks"),
    [
        ("tf_efficientnet_lite0", 2 / 16, 14 / 16, 9),
        ("convnext_atto", 1 / 11, 1.0, 11),
        ("hgnetv2_b0", 0.75, 0.75, 1),
        ("resnet18_cifar", 1 / 7, 1.0, 7),
    ],
)
def test_the_share_of_the_rate_that_each_block_has(
    model: str, first: float, deepest: float, blocks: int
) -> None:
    info = describe_model(model)
    assert len(info.depth_shares) == info.num_blocks == blocks
    assert info.depth_shares[0] == pytest.approx(first)
    assert info.deepest_share == pytest.approx(deepest)
    assert describe_model("vgg11").deepest_share == 1.0


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_with_dropout_0_every_architecture_drops_what_it_is_said_to() -> None:
    """Of timm 1.0.31, 37 have dropout of their own that goes, and 60 some that stays."""
    own, fixed = [], []
    for name in timm.list_models():
        try:
            info = describe_model(name)
        except InputError:
            continue  # No plain classifier.
        config: Any = timm.get_pretrained_cfg(name)
        side = config.input_size[-1]
        with torch.device("meta"), torch.no_grad(), DropoutWatch() as watch:
            timm.create_model(name, drop_rate=0.0).train()(torch.empty(2, 3, side, side))
        assert max(watch.rates, default=0.0) == info.fixed_dropout, name
        own += [name] * (architecture(name).dropout > 0)
        fixed += [name] * (info.fixed_dropout > 0)
    assert len(own) >= 37
    assert len(fixed) >= 60
