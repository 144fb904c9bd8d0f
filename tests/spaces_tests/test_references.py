"""Published recipes hold what was published, and go over a user's recipe without taking it over."""

from dataclasses import fields, replace

import pytest
import timm

from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.references import REFERENCE_NAMES, published, reference
from spaces.strengths.values import Strengths
from spaces.units import to_effective

BASE = Recipe(
    model="tf_efficientnet_lite0",
    pretrained=True,
    image_size=32,
    epochs=15,
    batch_size=32,
    lr=1e-3,
    amp_dtype="none",
    seed=3,
)
KEPT = ("model", "pretrained", "image_size", "epochs", "batch_size", "amp_dtype", "seed", "compile")

every_name = pytest.mark.parametrize("name", REFERENCE_NAMES)


@every_name
def test_the_base_keeps_what_belongs_to_the_user(name: str) -> None:
    copied = reference(name, BASE, num_train=300)

    for field in KEPT:
        assert getattr(copied, field) == getattr(BASE, field), field


@every_name
def test_the_strengths_are_copied_as_published(name: str) -> None:
    copied = reference(name, BASE, num_train=300)

    assert copied.strengths == published(name, num_train=300).recipe.strengths


@every_name
def test_copying_over_the_published_recipe_itself_changes_nothing(name: str) -> None:
    original = published(name, num_train=300).recipe

    assert reference(name, original, num_train=300) == original


@every_name
def test_a_reference_says_where_it_comes_from_and_what_to_expect(name: str) -> None:
    original = published(name)

    assert "\n" not in original.source + original.expect
    assert original.source
    assert original.expect
    assert original.task.lr == original.recipe.lr
    assert original.task.batch_size == original.recipe.batch_size
    assert original.task.epochs == original.recipe.epochs


def test_the_imagenet_reference_copies_the_five_strengths_and_nothing_else() -> None:
    copied = reference("imagenet", BASE, num_train=300)

    assert copied == replace(
        BASE,
        strengths=Strengths(
            weight_decay=0.05,
            label_smoothing=0.1,
            drop_path_rate=0.1,
            ema_decay=0.9999,
            warmup_fraction=0.05,
        ),
    )


def test_other_references_bring_their_augmentation_and_schedule() -> None:
    copied = reference("deit_small", BASE, num_train=300)

    assert copied.mixup_alpha == 0.8
    assert copied.cutmix_alpha == 1.0
    assert copied.randaugment == RandAugment(num_ops=1, magnitude=27)
    assert (copied.crop_scale_min, copied.hflip, copied.erasing) == (0.08, 0.5, 0.25)
    assert copied.grad_clip_norm == 0.0
    assert copied.min_lr == pytest.approx(1e-5)  # A hundredth of the peak, as published.


def test_under_the_same_optimizer_the_learning_rate_is_the_users() -> None:
    copied = reference("convnext_tiny", replace(BASE, lr=3e-4), num_train=300)

    assert (copied.optimizer, copied.lr) == ("adamw", 3e-4)
    assert copied.min_lr == pytest.approx(3e-4 / 4000)


def test_under_another_optimizer_it_is_the_published_one_scaled_with_the_batch() -> None:
    copied = reference("torchvision", BASE, num_train=300)

    assert copied.optimizer == "sgd"
    assert copied.lr == pytest.approx(0.5 * 32 / 1024)
    assert reference("torchvision", replace(BASE, optimizer="sgd", lr=0.02), num_train=300).lr == (
        0.02
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ["rsb_a1", "rsb_a2", "rsb_a3"])
def test_lamb_is_not_to_be_had_so_the_users_optimizer_stays(name: str, optimizer: str) -> None:
    copied = reference(name, replace(BASE, optimizer=optimizer), num_train=300)

    assert (copied.optimizer, copied.lr) == (optimizer, BASE.lr)
    assert "LAMB" in published(name).caveats[0]


@pytest.mark.parametrize(
    ("name", "pull", "window", "warmup_steps"),
    [
        # As the literature on timescales and averages reports them; SGD with its momentum counted.
        ("convnext_tiny", 18.72, 0.107, 6240),
        ("deit_small", 18.77, 0.067, 6255),
        ("swin_tiny", 18.77, None, 25_020),
        ("rsb_a1", 18.75, None, 3125),
        ("rsb_a2", 18.75, None, 3125),
        ("rsb_a3", 10.0, None, 3125),
        ("torchvision", 75.06, 0.039, 6255),
        ("augreg_finetune", 0.0, None, 100),
        ("bit_hyperrule", 0.0, None, 100),
    ],
)
def test_published_runs_have_the_effective_strengths_known_of_them(
    name: str, pull: float, window: float | None, warmup_steps: float
) -> None:
    original = published(name)
    strengths, task = original.recipe.strengths, original.task

    assert to_effective("weight_decay", strengths.weight_decay, task) == pytest.approx(
        pull, abs=0.05
    )
    if window is None:
        assert strengths.ema_decay == 0
    else:
        assert to_effective("ema_decay", strengths.ema_decay, task) == pytest.approx(
            window, abs=6e-4
        )
    assert to_effective("warmup_fraction", strengths.warmup_fraction, task) == pytest.approx(
        warmup_steps, rel=0.01
    )


@pytest.mark.parametrize(
    ("num_train", "total_steps", "warmup_steps", "mixup"),
    [
        (1, 500, 100, 0.0),
        (19_999, 500, 100, 0.0),
        (20_000, 10_000, 500, 0.1),
        (499_999, 10_000, 500, 0.1),
        (500_000, 20_000, 500, 0.1),
        (1_281_167, 20_000, 500, 0.1),
    ],
)
def test_bit_hyperrule_goes_by_the_number_of_images(
    num_train: int, total_steps: int, warmup_steps: int, mixup: float
) -> None:
    copied = reference("bit_hyperrule", BASE, num_train=num_train)
    original = published("bit_hyperrule", num_train=num_train)

    assert copied.strengths == Strengths(warmup_fraction=warmup_steps / total_steps)
    assert copied.mixup_alpha == mixup
    assert original.task.total_steps == pytest.approx(total_steps, rel=0.01)


def test_an_unknown_reference_is_refused_with_the_known_ones() -> None:
    message = "Unknown reference 'vgg'; known are imagenet, convnext"
    with pytest.raises(InputError, match=message):
        reference("vgg", BASE, num_train=300)
    with pytest.raises(InputError, match=message):
        published("vgg")


@every_name
def test_only_fields_of_a_recipe_are_copied(name: str) -> None:
    assert set(published(name).transferable) <= {field.name for field in fields(Recipe)}


@every_name
def test_the_published_model_is_one_that_timm_has(name: str) -> None:
    assert timm.is_model(published(name).recipe.model)


def test_the_references_that_were_asked_for_are_there() -> None:
    asked = {"imagenet", "convnext_tiny", "deit_small", "swin_tiny", "rsb_a1", "rsb_a2", "rsb_a3"}
    asked |= {"torchvision", "augreg_finetune", "bit_hyperrule", "timm_defaults"}

    assert set(REFERENCE_NAMES) == asked
    assert REFERENCE_NAMES[0] == "imagenet"
