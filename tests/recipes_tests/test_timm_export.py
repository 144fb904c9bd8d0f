"""The export for timm, by what timm's own factories build from it, step by step against ours."""

import inspect
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.data.auto_augment import RandAugment as TimmRandAugment
from timm.data.auto_augment import rand_augment_transform
from timm.data.mixup import Mixup, mixup_target
from timm.data.random_erasing import RandomErasing
from timm.data.transforms_factory import create_transform
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim._optim_factory import create_optimizer_v2, optimizer_kwargs
from timm.optim.muon import Muon
from timm.scheduler import scheduler_factory
from timm.scheduler.scheduler_factory import create_scheduler_v2, scheduler_kwargs
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from search.recipes.timm_export import TimmExport, timm_args, write_timm
from search.recipes.timm_extras import MOMENTA
from search.recipes.timm_keys import TRAIN_DEFAULTS
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from trainable.ema import EmaBank
from trainable.losses import cross_entropy, one_hot
from trainable.models.build import create_model, read_dropout
from trainable.optim.optimizers import create_optimizer
from trainable.optim.schedule import lr_factor, warmup_steps_of
from trainable.precision import Precision

CLASSES = 5
HAS_WSD = "'wsd'" in inspect.getsource(scheduler_factory)
RECIPE = Recipe(
    model="test_resnet",
    image_size=32,
    epochs=6,
    batch_size=8,
    lr=3e-3,
    strengths=Strengths(
        weight_decay=0.5,
        label_smoothing=0.1,
        drop_path_rate=0.2,
        ema_decay=0.8,
        warmup_fraction=2 / 6,
    ),
    amp_dtype="none",
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train_py(export: TimmExport) -> Namespace:
    """Return the arguments that train.py sees: the file over the defaults of its parser."""
    return Namespace(**deepcopy(dict(TRAIN_DEFAULTS)) | export.args)


def timm_model(args: Namespace) -> nn.Module:
    model: nn.Module = timm.create_model(
        args.model,
        pretrained=args.pretrained,
        num_classes=args.num_classes,
        drop_rate=args.drop,
        drop_path_rate=args.drop_path,
        **args.model_kwargs,
    )
    return model


def timm_optimizer(args: Namespace, model: nn.Module) -> torch.optim.Optimizer:
    kwargs = optimizer_kwargs(cfg=args)  # type: ignore[no-untyped-call]
    return create_optimizer_v2(model, **kwargs, **args.opt_kwargs)


def timm_scheduler(args: Namespace, optimizer: torch.optim.Optimizer, num_train: int) -> Any:
    batches = num_train // args.batch_size  # timm's training loader drops the last incomplete one.
    updates = -(-batches // args.grad_accum_steps)
    kwargs = scheduler_kwargs(args, decreasing_metric=False)
    return *create_scheduler_v2(optimizer, **kwargs, updates_per_epoch=updates), updates


def timm_loss(args: Namespace) -> nn.Module:
    if args.mixup > 0 or args.cutmix > 0:
        return SoftTargetCrossEntropy()  # type: ignore[no-untyped-call]
    if args.smoothing:
        return LabelSmoothingCrossEntropy(args.smoothing)  # type: ignore[no-untyped-call]
    return nn.CrossEntropyLoss()


def timm_rates(args: Namespace, num_train: int) -> list[float]:
    """The rate of every update, in the order in which train.py moves its scheduler."""
    optimizer = timm_optimizer(args, nn.Linear(2, 2))
    scheduler, num_epochs, updates = timm_scheduler(args, optimizer, num_train)
    rates, num_updates = [], 0
    for epoch in range(num_epochs):
        for _ in range(updates):
            rates.append(optimizer.param_groups[0]["lr"])
            num_updates += 1
            scheduler.step_update(num_updates=num_updates)
        scheduler.step(epoch + 1)
    return rates


def our_rates(recipe: Recipe, num_train: int) -> list[float]:
    task = Task.of(recipe, num_train=num_train, num_classes=CLASSES, num_blocks=0)
    return [
        recipe.lr
        * lr_factor(
            step,
            schedule=recipe.schedule,
            total_steps=task.total_steps,
            warmup_steps=warmup_steps_of(recipe.strengths.warmup_fraction, task.total_steps),
            min_factor=recipe.min_lr / recipe.lr,
        )
        for step in range(task.total_steps)
    ]


def exported(recipe: Recipe, num_train: int = 40) -> TimmExport:
    return timm_args(recipe, num_train=num_train, num_classes=CLASSES)


@pytest.mark.parametrize("schedule", ["cosine", "constant", "wsd"])
@pytest.mark.parametrize(
    ("epochs", "warmup_epochs"), [(1, 0), (2, 1), (6, 0), (6, 1), (6, 5), (20, 3)]
)
@pytest.mark.parametrize(("num_train", "batch_size"), [(40, 8), (47, 8), (1000, 8), (5, 8)])
@pytest.mark.parametrize("min_lr", [0.0, 1e-4])
def test_every_update_has_the_rate_that_it_has_here(
    schedule: str, epochs: int, warmup_epochs: int, num_train: int, batch_size: int, min_lr: float
) -> None:
    if schedule == "wsd" and not HAS_WSD:
        pytest.skip("this timm has no wsd schedule")
    recipe = replace(
        RECIPE, schedule=schedule, epochs=epochs, batch_size=batch_size, min_lr=min_lr
    ).with_strengths(warmup_fraction=warmup_epochs / epochs)
    export = exported(recipe, num_train)
    assert timm_rates(train_py(export), num_train) == pytest.approx(our_rates(recipe, num_train))
    assert not any("Warmup" in comment for comment in export.comments)


@pytest.mark.parametrize("pieces", [2, 4, 8])
@pytest.mark.parametrize("num_train", [40, 1000])
def test_accumulated_updates_have_the_rate_that_they_have_here(pieces: int, num_train: int) -> None:
    recipe = replace(RECIPE, grad_accum_steps=pieces)
    args = train_py(exported(recipe, num_train))
    assert args.grad_accum_steps == pieces
    assert timm_rates(args, num_train) == pytest.approx(our_rates(recipe, num_train))


@pytest.mark.parametrize("fraction", [0.001, 0.04, 0.1, 0.3, 0.49, 0.99])
@pytest.mark.parametrize("epochs", [1, 2, 15])
def test_a_warmup_of_broken_epochs_becomes_whole_ones_and_says_so(
    fraction: float, epochs: int
) -> None:
    recipe = replace(RECIPE, epochs=epochs).with_strengths(warmup_fraction=fraction)
    total_steps = 5 * epochs
    steps = warmup_steps_of(fraction, total_steps)
    export = exported(recipe)
    warmup_epochs = export.args["warmup_epochs"]
    assert isinstance(warmup_epochs, int)
    assert abs(5 * warmup_epochs - steps) <= 5
    assert (warmup_epochs == 0) == (steps == 0 or epochs == 1)
    rounded = recipe.with_strengths(warmup_fraction=warmup_epochs / epochs)
    assert timm_rates(train_py(export), 40) == pytest.approx(our_rates(rounded, 40))
    told = [comment for comment in export.comments if "Warmup" in comment]
    assert bool(told) == (steps % 5 != 0)
    assert all(f"instead of {steps} steps" in comment for comment in told)


def per_parameter(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("layer_decay", [1.0, 0.6])
@pytest.mark.parametrize("no_decay_split", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_every_parameter_has_the_decay_and_the_rate_that_it_has_here(
    model_name: str, layer_decay: float, no_decay_split: bool, weight_decay: float
) -> None:
    recipe = replace(
        RECIPE, model=model_name, layer_decay=layer_decay, no_decay_split=no_decay_split
    ).with_strengths(weight_decay=weight_decay)
    export = exported(recipe)
    args = train_py(export)
    model = timm_model(args)
    ours = create_optimizer(recipe, model)
    theirs = timm_optimizer(args, model)
    timm_scheduler(args, theirs, 40)  # Sets the first rate, each group's times its scale.
    ours.set_lr(our_rates(recipe, 40)[0])
    expected, found = per_parameter(model, ours.inner), per_parameter(model, theirs)
    if not no_decay_split:
        assert any("no_weight_decay()" in comment for comment in export.comments)
        spared: set[str] = getattr(model, "no_weight_decay", set)()
        expected = {n: (0.0 if n in spared else wd, lr) for n, (wd, lr) in expected.items()}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values), name


def batches(num: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(8, 3, 32, 32, generator=generator),
            torch.randint(CLASSES, (8,), generator=generator),
        )
        for _ in range(num)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam"},
        {"optimizer": "sgd", "lr": 0.05},
        {"optimizer": "lion", "lr": 3e-4},
        {"optimizer": "muon"},
        {"layer_decay": 0.7, "grad_clip_norm": 0.0},
        {"grad_clip_norm": 0.05},
        # Adam's first steps are the signs of gradients, and near zero rounding decides on those.
        {"optimizer": "sgd", "lr": 0.05, "warmup_fraction": 0.0, "min_lr": 1e-3},
        {"schedule": "constant", "label_smoothing": 0.0},
        {"optimizer": "sgd", "lr": 0.05, "grad_accum_steps": 4},
        {"optimizer": "sgd", "lr": 0.05, "mixup_alpha": 0.8},
        {"optimizer": "sgd", "mixup_alpha": 0.8, "cutmix_alpha": 1.0, "label_smoothing": 0.0},
        {"optimizer": "sgd", "lr": 0.01, "grad_accum_steps": 2, "cutmix_alpha": 1.0},
    ],
    ids=lambda changes: ",".join(changes) or "adamw",
)
def test_timm_trains_the_same_weights_and_the_same_average(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if changes.get("optimizer") == "muon":
        # It works in bfloat16, which makes 3e-4 of the last digit of a gradient's norm; with the
        # same norm both sides are equal.
        monkeypatch.setattr("trainable.precision._total_norm", nn.utils.get_total_norm)
    strengths = {"warmup_fraction": 1 / 3}
    strengths |= {k: v for k, v in changes.items() if k in STRENGTHS}
    others = {k: v for k, v in changes.items() if k not in STRENGTHS}
    recipe = replace(RECIPE, epochs=3, **others).with_strengths(**strengths)
    args = train_py(exported(recipe))

    torch.manual_seed(0)
    ours = create_model(recipe, num_classes=CLASSES).train()
    theirs = timm_model(args).train()
    theirs.load_state_dict(ours.state_dict())

    slot, precision = create_optimizer(recipe, ours), Precision(None, torch.device("cpu"))
    bank = EmaBank(ours, {"own": recipe.strengths.ema_decay})
    optimizer = timm_optimizer(args, theirs)
    scheduler, _, updates = timm_scheduler(args, optimizer, 40)
    average = ModelEmaV3(theirs, decay=args.model_ema_decay, use_warmup=args.model_ema_warmup)
    loss_fn = timm_loss(args)
    pieces = recipe.grad_accum_steps
    assert (args.grad_accum_steps, args.batch_size) == (pieces, 8 // pieces)

    for step, (rate, (images, labels)) in enumerate(
        zip(our_rates(recipe, 40), batches(3 * updates), strict=True)
    ):
        micro_batches = [
            (images[start : start + args.batch_size], labels[start : start + args.batch_size])
            for start in range(0, len(images), args.batch_size)
        ]
        torch.manual_seed(step)  # Both drop the same branches.
        slot.set_lr(rate)
        slot.inner.zero_grad()
        our_loss = 0.0
        for number, micro_batch in enumerate(micro_batches):
            # Ours smooths mixed targets in its loss, timm's Mixup has smoothed them before.
            mixed, targets = timm_mixed(args, *micro_batch, smoothing=0.0, seed=8 * step + number)
            part = cross_entropy(
                ours(mixed), targets, label_smoothing=recipe.strengths.label_smoothing
            )
            precision.backward(part * (len(mixed) / len(images)))
            our_loss += part.item() / pieces
        precision.step(slot.inner, ours.parameters(), recipe.grad_clip_norm)
        bank.update(ours)
        if step == 0:
            # timm's average starts at the weights after the first update.
            bank = EmaBank(ours, {"own": recipe.strengths.ema_decay})

        torch.manual_seed(step)
        optimizer.zero_grad()
        their_loss = 0.0
        for number, micro_batch in enumerate(micro_batches):
            mixed, targets = timm_mixed(
                args, *micro_batch, smoothing=args.smoothing, seed=8 * step + number
            )
            loss = loss_fn(theirs(mixed), targets) / args.grad_accum_steps
            loss.backward()
            their_loss += loss.item()
        if args.clip_grad is not None:
            dispatch_clip_grad(theirs.parameters(), value=args.clip_grad, mode=args.clip_mode)
        optimizer.step()
        average.update(theirs, step=step + 1)
        scheduler.step_update(num_updates=step + 1)

        assert our_loss == pytest.approx(their_loss, abs=1e-6)
        assert_close(ours, theirs)
        # Clipping rounds otherwise here than there. Where that takes an activation over the edge of
        # its ReLU, the two would part for good, so each step begins with the same weights.
        ours.load_state_dict(theirs.state_dict())
    with bank.averaged("own"):
        assert_close(ours, average.module)


def timm_mixed(
    args: Namespace, images: Tensor, labels: Tensor, *, smoothing: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Apply train.py's Mixup to a micro-batch; without Mixup labels stay labels."""
    if args.mixup == 0 and args.cutmix == 0:
        return images, labels
    np.random.seed(seed)  # noqa: NPY002  It knows no other generator.
    mixup: Any = Mixup(  # type: ignore[no-untyped-call]
        mixup_alpha=args.mixup,
        cutmix_alpha=args.cutmix,
        cutmix_minmax=args.cutmix_minmax,
        prob=args.mixup_prob,
        switch_prob=args.mixup_switch_prob,
        mode=args.mixup_mode,
        label_smoothing=smoothing,
        num_classes=args.num_classes,
    )
    mixed: tuple[Tensor, Tensor] = mixup(images.clone(), labels)
    assert not torch.equal(mixed[0], images)
    return mixed


def assert_close(ours: nn.Module, theirs: nn.Module) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == other.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_ours_for_labels_and_for_mixed_targets(smoothing: float) -> None:
    logits, labels = torch.randn(16, CLASSES) * 3, torch.randint(CLASSES, (16,))
    recipe = RECIPE.with_strengths(label_smoothing=smoothing)
    plain = train_py(exported(recipe))
    ours = cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(timm_loss(plain)(logits, labels), ours)

    mixing = train_py(exported(replace(recipe, mixup_alpha=0.8)))
    share = 0.3
    # train.py lets its Mixup smooth the targets instead of the loss.
    smoothed = mixup_target(  # type: ignore[no-untyped-call]
        labels, CLASSES, lam=share, smoothing=mixing.smoothing
    )
    rows = one_hot(labels, CLASSES)
    mixed = share * rows + (1 - share) * rows.flip(0)
    ours = cross_entropy(logits, mixed, label_smoothing=smoothing)
    torch.testing.assert_close(timm_loss(mixing)(logits, smoothed), ours)
    assert mixing.mixup_mode == "elem"


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "tf_efficientnet_lite0"])
def test_each_block_is_dropped_as_often_as_here(name: str, rate: float) -> None:
    recipe = replace(RECIPE, model=name).with_strengths(drop_path_rate=rate)
    ours = create_model(recipe, num_classes=CLASSES)
    theirs = timm_model(train_py(exported(recipe)))

    def rates(model: nn.Module) -> dict[str, float]:
        probabilities = {n: float(getattr(m, "drop_prob", 0)) for n, m in model.named_modules()}
        return {n: p for n, p in probabilities.items() if p}

    expected = rates(ours)
    # timm also makes one for blocks without a shortcut, and never calls it.
    assert {n: p for n, p in rates(theirs).items() if n in expected} == pytest.approx(expected)
    assert bool(expected) == (rate > 0)
    theirs.eval()(
        torch.randn(1, 3, 32, 32)
    )  # Also: a model with a fixed input size was told the size.


def test_a_model_without_stochastic_depth_is_built_without_it() -> None:
    export = exported(replace(RECIPE, model="vgg11"))
    assert export.args["drop_path"] is None
    assert any("drop_path_rate 0.2 is lost" in comment for comment in export.comments)
    quiet = exported(replace(RECIPE, model="vgg11").with_strengths(drop_path_rate=0, ema_decay=0))
    assert quiet.args["drop_path"] is None
    assert quiet.comments == ()


def test_the_command_in_the_heading_can_be_pasted(tmp_path: Path) -> None:
    export = timm_args(RECIPE, num_train=64, num_classes=3)
    write_timm(tmp_path / "best.timm.yaml", export)
    text = (tmp_path / "best.timm.yaml").read_text()
    (line,) = [line for line in text.splitlines() if "train.py --" in line]
    script = f"python() {{ printf '%s\\n' \"$@\"; }}; {line.removeprefix('#')}"
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    words = ["train.py", "--config", "best.timm.yaml", "--data-dir", "DATA"]
    assert result.stdout.splitlines() == words


@pytest.mark.parametrize(
    ("name", "dropout", "drop"),
    [
        ("ghostnet_050", None, 0.2),  # train.py's default would switch it off.
        ("ghostnet_050", 0.0, 0.0),
        ("test_resnet", 0.3, 0.3),
        ("test_resnet", None, 0.0),
        ("resnet18_cifar", None, 0.0),
    ],
)
def test_timm_trains_with_the_dropout_that_is_trained_with_here(
    name: str, dropout: float | None, drop: float
) -> None:
    recipe = replace(RECIPE, model=name, dropout=dropout).with_strengths(drop_path_rate=0.0)
    args = train_py(exported(recipe))
    assert args.drop == drop
    if name != "resnet18_cifar":
        ours = read_dropout(create_model(recipe, num_classes=CLASSES), name)
        assert read_dropout(timm_model(args), name) == ours == drop


@pytest.mark.parametrize(("beta", "is_told"), [(0.0, False), (0.9999, True), (1.0, True)])
def test_class_weights_are_said_to_be_lost(beta: float, is_told: bool) -> None:
    comments = exported(replace(RECIPE, class_weighting=beta)).comments
    assert any(f"class_weighting {beta:g} is lost" in said for said in comments) is is_told


def test_no_average_means_no_average() -> None:
    args = train_py(exported(RECIPE.with_strengths(ema_decay=0.0)))
    assert args.model_ema is False
    args = train_py(exported(RECIPE))
    assert (args.model_ema, args.model_ema_decay, args.model_ema_warmup) == (True, 0.8, False)
    assert any("average starts" in comment for comment in exported(RECIPE).comments)


def timm_transform(args: Namespace, size: int) -> Any:
    return create_transform(
        (3, size, size),
        is_training=True,
        no_aug=args.no_aug,
        train_crop_mode=args.train_crop_mode,
        scale=args.scale,
        ratio=args.ratio,
        hflip=args.hflip,
        vflip=args.vflip,
        color_jitter=args.color_jitter,
        color_jitter_prob=args.color_jitter_prob,
        grayscale_prob=args.grayscale_prob,
        gaussian_blur_prob=args.gaussian_blur_prob,
        auto_augment=args.aa,
        interpolation=args.train_interpolation,
        re_prob=args.reprob,
        re_mode=args.remode,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def test_without_augmentation_timm_leaves_every_pixel_alone() -> None:
    noise = torch.randint(256, (32, 32, 3), dtype=torch.uint8)
    image = Image.fromarray(noise.numpy())
    transform = timm_transform(train_py(exported(RECIPE)), 32)
    for _ in range(10):
        torch.testing.assert_close(transform(image), noise.permute(2, 0, 1) / 255)
    flipping = timm_transform(train_py(exported(replace(RECIPE, hflip=1.0))), 32)
    torch.testing.assert_close(flipping(image), noise.flip(1).permute(2, 0, 1) / 255)


def test_erasing_fills_with_what_the_model_sees_as_zero() -> None:
    transform = timm_transform(train_py(exported(replace(RECIPE, erasing=1.0))), 32)
    erasing = transform.transforms[-1]
    assert isinstance(erasing, RandomErasing)
    white = transform(Image.new("RGB", (32, 32), "white"))
    assert set(white.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("num_ops", "magnitude"), [(1, 0), (2, 9), (3, 30)])
def test_randaugment_always_applies_as_many_operations_as_here(
    num_ops: int, magnitude: int
) -> None:
    recipe = replace(RECIPE, randaugment=RandAugment(num_ops=num_ops, magnitude=magnitude))
    export = exported(recipe)
    policy = rand_augment_transform(export.args["aa"], {"magnitude_std": 0, "img_mean": (0, 0, 0)})
    assert isinstance(policy, TimmRandAugment)
    assert policy.num_layers == num_ops
    assert {op.prob for op in policy.ops} == {1.0}
    assert {op.magnitude for op in policy.ops} == {min(9, magnitude / 3)}
    assert any("RandAugment" in comment for comment in export.comments)


@pytest.mark.parametrize("magnitude", range(31))
def test_timm_can_apply_every_operation_of_randaugment(magnitude: int) -> None:
    """At its largest magnitude it posterizes to no bits, which Pillow refuses."""
    recipe = replace(RECIPE, randaugment=RandAugment(magnitude=magnitude))
    policy = rand_augment_transform(exported(recipe).args["aa"], {"img_mean": (0, 0, 0)})
    image = Image.effect_noise((32, 32), 64.0).convert("RGB")
    assert {op(image).size for op in policy.ops} == {(32, 32)}


@pytest.mark.parametrize(
    ("batch_size", "pieces", "num_train", "sizes", "comment"),
    [
        (32, 1, 320, (32, 1), None),
        (32, 4, 320, (8, 4), None),
        (32, 4, 300, (8, 4), "10 updates instead of 9"),
        (32, 3, 320, (16, 2), "grad_accum_steps is 2 instead of 3"),
        (31, 2, 320, (31, 1), "grad_accum_steps is 1 instead of 2"),
        (32, 1, 20, (20, 1), "batch_size is 20 instead of 32"),
    ],
)
def test_batches_are_timms_micro_batches(
    batch_size: int, pieces: int, num_train: int, sizes: tuple[int, int], comment: str | None
) -> None:
    recipe = replace(RECIPE, batch_size=batch_size, grad_accum_steps=pieces)
    export = exported(recipe.with_strengths(warmup_fraction=0.0, ema_decay=0.0), num_train)
    assert (export.args["batch_size"], export.args["grad_accum_steps"]) == sizes
    told = " ".join(export.comments)
    assert comment in told if comment else told == ""


@pytest.mark.parametrize(
    ("batch_size", "pieces", "num_train", "sizes", "comment"),
    [
        (32, 4, 320, (8, 4), ""),
        (20, 4, 320, (10, 2), "grad_accum_steps is 2 instead of 4"),
        (6, 3, 320, (2, 3), ""),
        (31, 1, 310, (30, 1), "batch_size is 30 instead of 31"),
        (32, 1, 25, (24, 1), "batch_size is 24 instead of 32: timm drops a last"),
        (1, 1, 40, (2, 1), "batch_size is 2 instead of 1"),
    ],
)
def test_timms_mixup_gets_micro_batches_of_even_length_only(
    batch_size: int, pieces: int, num_train: int, sizes: tuple[int, int], comment: str
) -> None:
    recipe = replace(RECIPE, batch_size=batch_size, grad_accum_steps=pieces, cutmix_alpha=1.0)
    export = exported(recipe, num_train)
    args = train_py(export)
    assert (args.batch_size, args.grad_accum_steps) == sizes
    assert comment in " ".join(export.comments)
    assert any("odd length" in said for said in export.comments) == bool(comment)
    images, labels = torch.rand(args.batch_size, 3, 32, 32), torch.zeros(args.batch_size).long()
    timm_mixed(args, images, labels, smoothing=0.1, seed=0)  # An odd length would raise here.


@pytest.mark.parametrize("name", ["sam", "sophia", "adamw_schedulefree"])
def test_an_optimizer_that_timm_lacks_is_said_loudly(name: str) -> None:
    export = exported(replace(RECIPE, optimizer=name))
    assert export.args["opt"] == "adamw"
    assert any(f"timm has no {name}" in comment for comment in export.comments)


def test_a_one_cycle_schedule_is_said_to_be_only_nearly_one() -> None:
    export = exported(replace(RECIPE, schedule="one_cycle"))
    assert export.args["sched"] == "cosine"
    assert any("one-cycle" in comment for comment in export.comments)


@pytest.mark.parametrize(
    ("amp_dtype", "amp", "dtype"),
    [("none", False, "float16"), ("bfloat16", True, "bfloat16"), ("float16", True, "float16")],
)
def test_precision_arrives(amp_dtype: str, amp: bool, dtype: str) -> None:
    args = train_py(exported(replace(RECIPE, amp_dtype=amp_dtype)))
    assert args.amp is amp
    assert args.amp_dtype == dtype


def test_automatic_precision_is_said_to_be_a_choice() -> None:
    export = exported(replace(RECIPE, amp_dtype="auto"))
    assert (export.args["amp"], export.args["amp_dtype"]) == (True, "bfloat16")
    assert any("auto" in comment for comment in export.comments)


def test_what_timm_would_default_to_something_else_is_always_written() -> None:
    not_off = {
        "opt", "weight_decay", "smoothing", "color_jitter", "hflip", "scale", "ratio", "epochs",
        "warmup_epochs", "warmup_lr", "lr", "batch_size", "train_interpolation", "sched", "seed",
        "model", "num_classes", "remode", "crop_pct", "min_lr", "model_ema", "drop_path",
    }  # fmt: skip
    for recipe in (Recipe(model="test_resnet"), RECIPE):
        export = exported(recipe)
        assert not_off <= export.args.keys() <= TRAIN_DEFAULTS.keys()
        if export.args["model_ema"]:
            assert "model_ema_decay" in export.args


def test_momenta_are_those_of_our_optimizers() -> None:
    model = nn.Linear(2, 2)
    for name in ("adam", "adamw", "lion", "muon", "sgd"):
        group = create_optimizer(replace(RECIPE, optimizer=name), model).inner.param_groups[0]
        if name == "muon":
            assert inspect.signature(Muon).parameters["momentum"].default == MOMENTA[name]
        assert group.get("momentum") == MOMENTA.get(name)


def test_the_file_holds_the_arguments_and_the_comments_above_them(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer="sam", randaugment=RandAugment(), lr=1e-8)
    export = exported(recipe)
    path = tmp_path / "best.timm.yaml"
    write_timm(path, export)
    text = path.read_text()
    assert yaml.safe_load(text) == export.args
    assert {type(v) for v in yaml.safe_load(text).values()} == {
        type(v) for v in export.args.values()
    }
    heading = text[: text.index("\nmodel:")].splitlines()
    assert all(line.startswith("#") for line in heading)
    for comment in export.comments:
        assert f"# - {comment}" in heading


def test_a_model_that_timm_does_not_know_is_an_input_error() -> None:
    with pytest.raises(InputError, match="resnet_of_mine"):
        exported(replace(RECIPE, model="resnet_of_mine"))


def test_the_small_resnet_of_this_project_is_said_to_be_no_timm_model() -> None:
    export = exported(replace(RECIPE, model="resnet18_cifar"))
    assert export.args["model"] == "resnet18"
    assert any("resnet18_cifar is this project's" in comment for comment in export.comments)


def test_a_size_given_to_a_model_of_fixed_size_reaches_the_model() -> None:
    args = train_py(exported(replace(RECIPE, model="vit_tiny_patch16_224", image_size=64)))
    assert timm_model(args)(torch.randn(1, 3, 64, 64)).shape == (1, CLASSES)


@pytest.mark.parametrize(("tau", "is_told"), [(0.0, False), (1.0, True), (0.25, True)])
def test_an_adjustment_of_logits_is_said_to_be_lost_and_how_to_make_it(
    tau: float, is_told: bool
) -> None:
    comments = exported(replace(RECIPE, logit_adjustment=tau)).comments
    said = f"logit_adjustment {tau:g} is lost"
    way = (
        f"subtract {tau:g} * log(training images of the class / all training images) from the bias"
    )
    assert any(said in comment and way in comment for comment in comments) is is_told
