"""A frozen part keeps weights and statistics, costs the optimizer nothing, and the head trains."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support.toy_training import TOY, toy_dataset
from trainable.batch_norm import tracked_norms
from trainable.models import build
from trainable.models.build import create_model, require_freezable
from trainable.trainer import Trainer

PRETRAINED = replace(TOY, pretrained=True)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build, "_with_timm_weights", lambda name, given: timm.create_model(name, **given)
    )


def frozen(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def made(freeze: str, model: str = TOY.model) -> nn.Module:
    recipe = replace(PRETRAINED, model=model, freeze=freeze, image_size=64)
    recipe = recipe.with_strengths(drop_path_rate=0.0)
    return create_model(recipe, num_classes=3)


@pytest.mark.parametrize("name", ["test_byobnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_all_is_everything_but_the_classifier_and_stages_grow_from_the_stem(name: str) -> None:
    model = made("all", name)
    head = {f"{name}" for name, m in model.named_modules() if m is model.get_classifier()}  # type: ignore[operator]
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert {n.rpartition(".")[0] for n in trained} == head
    first, second = frozen(made("until:0", name)), frozen(made("until:1", name))
    assert set() < first < second < frozen(model)
    assert not frozen(made("none", name))


@pytest.mark.parametrize("freeze", ["all", "until:1"])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_schedulefree", "sam"])
def test_a_frozen_part_comes_out_as_it_went_in(freeze: str, optimizer: str) -> None:
    dataset = toy_dataset()
    recipe = replace(PRETRAINED, freeze=freeze, optimizer=optimizer, ema_batch_norm="measured")
    run = Trainer(recipe, dataset, dataset.split)
    norms = [m for m in run.model.modules() if isinstance(m, _BatchNorm)]
    kept = [norm for norm in norms if norm not in tracked_norms(run.model)]
    assert kept
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    means = [norm.get_buffer("running_mean").clone() for norm in kept]
    for _ in range(recipe.epochs):
        run.train_epoch()
    run.evaluate("val")
    names = frozen(run.model)
    for name, parameter in run.model.named_parameters():
        assert torch.equal(parameter, before[name]) is (name in names), name
        assert (parameter.grad is None) or name not in names
    for norm, mean in zip(kept, means, strict=True):
        assert torch.equal(norm.get_buffer("running_mean"), mean)
    with run.ema.averaged("own"):
        for norm, mean in zip(kept, means, strict=True):
            torch.testing.assert_close(norm.get_buffer("running_mean"), mean)
    groups = run.optimizer.inner.param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in run.model.parameters() if p.requires_grad}


@pytest.mark.parametrize("freeze", ["some", "until:", "until:-1", "until:x", "All", ""])
def test_what_names_no_part_is_refused(freeze: str) -> None:
    with pytest.raises(InputError, match="`freeze` must be none, all or until: with the number"):
        replace(PRETRAINED, freeze=freeze)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (replace(TOY, freeze="all"), "`freeze` must be none without pretrained weights"),
        (replace(PRETRAINED, freeze="until:9"), r"`until:0` to `until:\d` or all can be frozen of"),
        (
            replace(PRETRAINED, model="resnet18_cifar", freeze="until:1"),
            "`freeze` must be none without pretrained weights",
        ),
    ],
)
def test_a_part_that_is_not_there_is_refused_before_anything_starts(
    recipe: Recipe, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        require_freezable(recipe)


def test_a_part_that_is_there_is_accepted() -> None:
    require_freezable(replace(PRETRAINED, freeze="until:1"))
    require_freezable(TOY)
