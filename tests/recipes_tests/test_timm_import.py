"""A timm ``args.yaml`` as a recipe, by what it trains and not by its text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.recipes.model_remarks import settled
from search.recipes.timm_args import TimmArgs
from search.recipes.timm_export import timm_args
from search.recipes.timm_import import (
    describe_timm_args,
    looks_like_timm,
)
from search.recipes.timm_keys import RETIRED_KEYS, TRAIN_DEFAULTS
from search.recipes.timm_roles import ROLES, WITHOUT_EFFECT
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.strengths.values import Strengths

DEFAULTS = Recipe(model="resnet18", image_size=64, epochs=15, batch_size=32, seed=7)

# The command of the seed text: ConvNeXt-T the way timm's train.py is told.
CONVNEXT_TINY: dict[str, Any] = {
    **TRAIN_DEFAULTS,
    "model": "convnext_tiny",
    "opt": "adamw",
    "lr": 4e-3,
    "weight_decay": 0.05,
    "sched": "cosine",
    "warmup_epochs": 20,
    "epochs": 300,
    "batch_size": 4096,
    "min_lr": 1e-6,
    "smoothing": 0.1,
    "mixup": 0.8,
    "cutmix": 1.0,
    "aa": "rand-m9-mstd0.5-inc1",
    "reprob": 0.25,
    "drop_path": 0.1,
    "model_ema": True,
    "model_ema_decay": 0.9999,
    "amp": True,
    "img_size": 224,
    "seed": 0,
}


def with_notes(args: Mapping[str, Any], *, defaults: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    described = describe_timm_args(args, defaults=defaults)
    return described.recipe, described.notes


def imported(**changes: Any) -> Recipe:
    return with_notes(CONVNEXT_TINY | changes, defaults=DEFAULTS)[0]


def facts(**changes: Any) -> dict[str, str]:
    return dict(describe_timm_args(CONVNEXT_TINY | changes, defaults=DEFAULTS).facts)


def test_the_published_command_becomes_the_published_recipe() -> None:
    assert imported() == Recipe(
        model="convnext_tiny",
        image_size=224,
        epochs=300,
        batch_size=4096,
        lr=4e-3,
        min_lr=1e-6,
        strengths=Strengths(
            weight_decay=0.05,
            label_smoothing=0.1,
            drop_path_rate=0.1,
            ema_decay=0.9999,
            warmup_fraction=20 / 300,
        ),
        mixup_alpha=0.8,
        cutmix_alpha=1.0,
        randaugment=RandAugment(num_ops=1, magnitude=27),
        crop_scale_min=0.08,
        hflip=0.5,
        erasing=0.25,
        dropout=0.0,
        amp_dtype="float16",
        grad_clip_norm=0.0,
    )
    assert facts() == {}


def test_what_a_file_leaves_out_has_the_defaults_of_train_py_which_are_not_off() -> None:
    recipe, notes = with_notes({"opt": "adamw", "sched": "cosine"}, defaults=DEFAULTS)
    assert recipe.strengths == Strengths(
        weight_decay=2e-5, label_smoothing=0.1, warmup_fraction=5 / 15
    )
    assert (recipe.hflip, recipe.crop_scale_min) == (0.5, 0.08)
    assert recipe.lr == 0.1 * (32 / 256) ** 0.5  # adamw: train.py scales lr_base by the root.
    assert (recipe.model, recipe.image_size, recipe.epochs, recipe.seed) == ("resnet18", 64, 15, 7)
    assert any("smoothing = 0.1" in note and "default counts" in note for note in notes)


@pytest.mark.parametrize(
    ("opt", "batch_size", "accum", "expected"),
    [
        ("sgd", 128, 1, 0.1 * 0.5),
        ("sgd", 128, 4, 0.1 * 2),
        ("adamw", 64, 1, 0.1 * 0.5),
        ("lamb", 1024, 1, 0.1 * 2),
    ],
)
def test_an_empty_lr_is_scaled_from_lr_base_as_train_py_does(
    opt: str, batch_size: int, accum: int, expected: float
) -> None:
    for lr in (None, 0, ""):
        recipe = imported(lr=lr, opt=opt, batch_size=batch_size, grad_accum_steps=accum)
        assert recipe.lr == pytest.approx(expected)
        assert recipe.batch_size == batch_size * accum
        assert recipe.grad_accum_steps == accum


@pytest.mark.parametrize(
    ("changes", "epochs", "warmup_epochs"),
    [
        ({"epochs": 300, "warmup_epochs": 20}, 300, 20),
        ({"epochs": 280, "warmup_epochs": 20, "warmup_prefix": True}, 300, 20),
        ({"epochs": 5, "warmup_epochs": 20, "warmup_prefix": True}, 25, 20),
        ({"epochs": 290, "warmup_epochs": 0, "cooldown_epochs": 10}, 300, 0),
        ({"epochs": 300, "sched": "step", "cooldown_epochs": 10, "warmup_epochs": 3}, 300, 3),
        ({"epochs": 300, "sched": "none", "warmup_epochs": 20}, 300, 0),
    ],
)
def test_warmup_and_length_mean_what_timm_trains(
    changes: dict[str, Any], epochs: int, warmup_epochs: int
) -> None:
    recipe = imported(**changes)
    assert recipe.epochs == epochs
    assert recipe.strengths.warmup_fraction == warmup_epochs / epochs


@pytest.mark.parametrize(
    ("changes", "schedule", "words"),
    [
        ({"sched": "cosine"}, "cosine", None),
        ({"sched": "constant"}, "constant", None),
        ({"sched": "none"}, "constant", None),
        ({"sched": "step", "decay_rate": 1.0, "decay_epochs": 30}, "constant", None),
        ({"sched": "step", "decay_epochs": 300}, "constant", None),
        (
            {"sched": "step", "decay_rate": 0.1, "decay_epochs": 30},
            "wsd",
            "step decay, times 0.1 every 30 epochs",
        ),
        (
            {"sched": "multistep", "decay_milestones": [90, 180]},
            "wsd",
            "step decay, times 0.1 after epochs 90, 180",
        ),
        ({"sched": "wsd", "decay_epochs": 60}, "wsd", None),
        ({"sched": "wsd", "decay_epochs": 30}, "wsd", "wsd with a cooldown of 10% of the run"),
        ({"sched": "poly"}, "cosine", "poly of timm"),
        ({"sched": "cosine", "lr_cycle_limit": 3}, "cosine", "cosine with 3 restarts"),
    ],
)
def test_a_schedule_that_a_recipe_cannot_hold_is_kept_in_words(
    changes: dict[str, Any], schedule: str, words: str | None
) -> None:
    assert imported(**changes).schedule == schedule
    assert facts(**changes).get("schedule") == words


@pytest.mark.parametrize(
    ("opt", "ours", "words"),
    [
        ("adamw", "adamw", None),
        ("AdamW", "adamw", None),
        ("adam", "adam", None),
        ("sgd", "sgd", None),
        ("lion", "lion", None),
        ("muon", "muon", None),
        ("lamb", "adamw", "lamb of timm"),
        ("momentum", "sgd", "momentum of timm"),
        ("lookahead_adamw", "adamw", "lookahead_adamw of timm"),
    ],
)
def test_an_optimizer_that_a_recipe_cannot_hold_is_kept_in_words(
    opt: str, ours: str, words: str | None
) -> None:
    assert imported(opt=opt).optimizer == ours
    assert facts(opt=opt).get("optimizer") == words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"color_jitter": 0.4, "aa": None}, {"color_jitter": "0.4"}),
        ({"color_jitter": 0.4, "aa": "rand-m9"}, {}),
        ({"color_jitter": 0.0, "aa": None}, {}),
        ({"color_jitter": 0.4, "aa": None, "no_aug": True}, {}),
        ({"bce_loss": True}, {"bce_loss": "True"}),
        ({"aug_repeats": 3}, {"aug_repeats": "3"}),
        ({"mixup_prob": 0.5}, {"mixup_prob": "0.5"}),
        ({"pretrained_path": "w.pth"}, {}),  # train.py looks at it where it loads weights at all.
        (
            {"pretrained": True, "pretrained_path": "w.pth"},
            {"pretrained": "pretrained_path = w.pth"},
        ),
        ({"initial_checkpoint": "./w.pth"}, {"pretrained": "initial_checkpoint = ./w.pth"}),
        ({"input_size": [1, 64, 128]}, {"in_chans": "1", "image_size": "64 x 128 pixels"}),
        ({"input_size": [3, 64, 64], "in_chans": 3}, {}),
        ({"in_chans": 1}, {"in_chans": "1"}),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, {}),  # ConvNeXt's own.
        ({"mean": [0.2], "std": [0.1]}, {"mean": "[0.2]", "std": "[0.1]"}),
        ({"mean": [0.5], "model": "tf_efficientnet_lite0"}, {}),
        ({"mean": [0.5], "model": "no_such_model"}, {"mean": "[0.5]"}),
        ({"crop_pct": 1.0}, {}),
        ({"crop_pct": 0.9}, {"crop_pct": "0.9"}),
        ({"model_kwargs": {"img_size": 224}}, {}),
        ({"model_kwargs": {"drop_rate": 0.3}}, {"model_kwargs": "{'drop_rate': 0.3}"}),
        (
            {"color_jitter_prob": 0.5, "aa": None},
            {"color_jitter": "0.4", "color_jitter_prob": "0.5"},
        ),
        ({"color_jitter_prob": 0.5}, {}),  # Under a policy there is no jitter.
        ({"scale": [0.5, 0.8]}, {"crop_scale_min": "crops of 0.5 to 0.8 of the area"}),
        ({"opt_kwargs": {"eps": 1e-6}}, {"opt_kwargs": "{'eps': 1e-06}"}),
        ({"recount": 3}, {"recount": "3"}),
        ({"recount": 3, "reprob": 0.0}, {}),
        ({"kd_model_name": "resnet50"}, {"kd_model_name": "resnet50"}),
        ({"kd_temperature": 2.0}, {}),
        ({"mixup_prob": 0.5, "mixup": 0.0, "cutmix": 0.0}, {}),
        ({"opt_betas": [0.9, 0.95]}, {"opt_betas": "[0.9, 0.95]"}),
        ({"momentum": 0.95}, {}),
        ({"momentum": 0.95, "opt": "sgd"}, {"momentum": "0.95"}),
        ({"clip_mode": "agc"}, {}),
        ({"clip_mode": "agc", "clip_grad": 0.01}, {"clip_mode": "agc"}),
        ({"aa": "augmix-m5"}, {"randaugment": "augmix-m5 of timm"}),
        (
            {"model_ema_warmup": True},
            {"ema_decay": "0.9999 behind timm's own warmup of the decay"},
        ),
    ],
)
def test_what_a_recipe_has_no_key_for_is_kept_in_words_where_it_is_on(
    changes: dict[str, Any], expected: dict[str, str]
) -> None:
    assert facts(**changes) == expected
    _, notes = with_notes(CONVNEXT_TINY | changes, defaults=DEFAULTS)
    for key in expected:
        assert any(f"`{key}`" in note for note in notes)


@pytest.mark.parametrize(
    ("policy", "ours"),
    [
        (None, None),
        ("", None),
        ("rand-m9-mstd0.5-inc1", RandAugment(num_ops=1, magnitude=27)),
        ("rand-m7-mstd0.5-inc1", RandAugment(num_ops=1, magnitude=21)),
        ("rand-m3-n2-p1.0-mstd0-inc1", RandAugment(num_ops=2, magnitude=9)),
        ("rand-m5-n4", RandAugment(num_ops=2, magnitude=15)),
        ("rand", RandAugment(num_ops=1, magnitude=30)),
        ("rand-m15-mmax30", RandAugment(num_ops=1, magnitude=30)),
    ],
)
def test_randaugment_is_translated_to_as_many_operations_on_average(
    policy: str | None, ours: RandAugment | None
) -> None:
    assert imported(aa=policy).randaugment == ours


def test_no_aug_switches_off_what_timm_switches_off_with_it_and_no_more() -> None:
    recipe = imported(no_aug=True)
    assert (recipe.randaugment, recipe.crop_scale_min, recipe.hflip, recipe.erasing) == (
        None,
        1.0,
        0.0,
        0.0,
    )
    assert (recipe.mixup_alpha, recipe.cutmix_alpha) == (0.8, 1.0)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"amp": False}, "amp_dtype", "none"),
        ({"amp": True, "amp_dtype": "bfloat16"}, "amp_dtype", "bfloat16"),
        ({"amp": False, "native_amp": True}, "amp_dtype", "float16"),
        ({"clip_grad": None}, "grad_clip_norm", 0.0),
        ({"clip_grad": 5.0}, "grad_clip_norm", 5.0),
        ({"layer_decay": None}, "layer_decay", 1.0),
        ({"layer_decay": 0.75}, "layer_decay", 0.75),
        ({"opt_kwargs": {"filter_bias_and_bn": False}}, "no_decay_split", False),
        ({"opt_kwargs": {}}, "no_decay_split", True),
        ({"torchcompile": "inductor"}, "compile", True),
        ({"input_size": [3, 160, 160]}, "image_size", 160),
        ({"img_size": None}, "image_size", 64),
        ({"img_size": 96}, "image_size", 96),
        ({"pretrained_path": "w.safetensors"}, "pretrained", False),
        ({"pretrained_path": "w.safetensors", "pretrained": True}, "pretrained", True),
        ({"initial_checkpoint": "w.safetensors"}, "pretrained", True),
        ({"drop": 0.2}, "dropout", 0.2),
        ({"lr": "2e-3"}, "lr", 2e-3),
    ],
)
def test_a_key_of_timm_arrives_in_its_field(
    changes: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(imported(**changes), field) == value


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"model_ema": False}, "ema_decay", 0.0),
        ({"drop_path": None}, "drop_path_rate", 0.0),  # ConvNeXt's own.
        ({"drop_path": None, "model": "nest_tiny"}, "drop_path_rate", 0.5),
        ({"drop_path": None, "model": "swin_tiny_patch4_window7_224"}, "drop_path_rate", 0.1),
        ({"drop_path": 0.0, "model": "swin_tiny_patch4_window7_224"}, "drop_path_rate", 0.0),
        ({"drop_path": None, "model": "vgg11"}, "drop_path_rate", 0.0),
        ({"drop_path": None, "model": "no_such_model"}, "drop_path_rate", 0.0),
        ({"drop_path": None, "drop_connect": 0.2}, "drop_path_rate", 0.2),
        ({"smoothing": 0}, "label_smoothing", 0.0),
        ({"weight_decay": "0.1"}, "weight_decay", 0.1),
    ],
)
def test_a_key_of_timm_arrives_in_its_strength(
    changes: dict[str, Any], field: str, value: float
) -> None:
    assert getattr(imported(**changes).strengths, field) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smoothing": 2}, r"`0 <= smoothing <= 1` must hold, but got 2"),
        ({"smoothing": 1}, r"`0 <= label_smoothing < 1` must hold, but got 1"),
        ({"smoothing": float("nan")}, r"`0 <= smoothing <= 1` must hold, but got nan"),
        ({"lr": "fast"}, "`lr` must be a number, but got 'fast'"),
        ({"lr": -1}, "`0 <= lr` must hold, but got -1"),
        ({"lr": True}, "`lr` must be a number, but got True"),
        ({"lr": float("inf")}, "`0 <= lr` must hold, but got inf"),
        ({"epochs": 1.5}, "`epochs` must be an integer, but got 1.5"),
        ({"epochs": 0}, "`1 <= epochs` must hold, but got 0"),
        ({"warmup_epochs": 300}, "`warmup_epochs < epochs` must hold, but got 300 and 300"),
        ({"model": 5}, "`model` must be text, but got 5"),
        ({"model_ema": "yes"}, "`model_ema` must be true or false, but got 'yes'"),
        ({"scale": 0.08}, "`scale` must be a list of numbers, but got 0.08"),
        ({"scale": []}, "`scale` must be a list of numbers"),
        ({"opt_kwargs": 3}, "`opt_kwargs` must be a mapping, but got 3"),
        ({"amp_dtype": "float8"}, "`amp_dtype` must be one of"),
        ({"seed": -1}, "`0 <= seed` must hold"),
        ({"initial_checkpoint": 7}, "`initial_checkpoint` must be text, but got 7"),
        ({"input_size": [64, 64]}, "`input_size` must be channels, height and width"),
        ({"drop": 1.0}, "`0 <= dropout < 1` must hold, but got 1.0"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_interval(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        imported(**changes)


# A value that is no key's default, by the type of the default; and where that would not do.
OTHER_VALUES: dict[str, Any] = {
    "aa": "rand-m5",
    "amp_dtype": "bfloat16",
    "clip_mode": "agc",
    "drop_path": 0.3,
    "gp": "max",
    "in_chans": 1,
    "initial_checkpoint": "w.pth",
    "input_size": [3, 96, 96],
    "layer_decay": 0.75,
    "lr_base_scale": "sqrt",
    "mean": [0.2, 0.2, 0.2],
    "min_lr": 1e-4,
    "model": "resnet18",
    "model_dtype": "bfloat16",
    "opt": "sgd",
    "opt_kwargs": {"eps": 1e-6},
    "pretrained_path": "w.pth",
    "ratio": [0.9, 1.1],
    "resume": "last.pth",
    "scale": [0.5, 1.0],
    "sched": "constant",
    "smoothing": 0.3,
    "std": [0.2, 0.2, 0.2],
    "torchcompile": "inductor",
    "tta": 2,
    "train_img_sizes": [128, 160],
    "cutmix_minmax": [0.2, 0.8],
}


def other_value(key: str) -> object:
    if key in OTHER_VALUES:
        return OTHER_VALUES[key]
    default = CONVNEXT_TINY.get(key)
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default + 1 if isinstance(default, int) else default / 2 + 0.1
    return {"a": 1} if isinstance(default, dict) else [1, 2] if isinstance(default, list) else 3


@pytest.mark.parametrize("key", sorted({*TRAIN_DEFAULTS, *RETIRED_KEYS}))
def test_no_key_vanishes_each_is_used_or_told(key: str) -> None:
    """Whatever a file says of any key changes the recipe, or what the user is told."""
    changed = CONVNEXT_TINY | {key: other_value(key)}
    assert changed[key] != CONVNEXT_TINY.get(key)
    before = with_notes(CONVNEXT_TINY, defaults=DEFAULTS)
    assert with_notes(changed, defaults=DEFAULTS) != before


def test_every_key_is_read_or_has_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is called without effect only because nobody thought of it."""
    read: set[str] = set()
    get = TimmArgs.__getitem__

    def noted(given: TimmArgs, key: str) -> Any:
        read.add(key)
        return get(given, key)

    monkeypatch.setattr(TimmArgs, "__getitem__", noted)
    for changes in (
        {},
        {"sched": "step"},
        {"sched": "multistep"},
        {"sched": "cosine", "lr": None, "lr_cycle_limit": 2},
        {"pretrained": True, "model_ema": False, "amp": False, "drop_path": None},
    ):
        with_notes(CONVNEXT_TINY | changes, defaults=DEFAULTS)
    assert {*TRAIN_DEFAULTS, *RETIRED_KEYS} - ROLES <= read
    assert not WITHOUT_EFFECT & read


def test_keys_without_effect_are_named_and_those_at_their_defaults_counted() -> None:
    minimal = {"opt": "adamw", "sched": "cosine", "drop_path": 0.1}
    _, notes = with_notes(
        minimal | {"workers": 8, "momentum": 0.8, "log_interval": 50, "pin_mem": False},
        defaults=DEFAULTS,
    )
    (told,) = [note for note in notes if note.startswith("Without effect")]
    # AdamW has no momentum; the other two are what train.py has anyway.
    assert told == (
        "Without effect here: momentum = 0.8, workers = 8, 2 keys as train.py has them by default."
    )
    assert not any("Without effect" in note for note in with_notes(minimal, defaults=DEFAULTS)[1])


def test_keys_that_say_what_is_done_here_anyway_are_named_too() -> None:
    _, notes = with_notes(
        CONVNEXT_TINY | {"crop_pct": 1.0, "remode": "const", "mixup_mode": "pair"},
        defaults=DEFAULTS,
    )
    assert "As it is here anyway: crop_pct = 1.0, remode = const." in notes
    assert any("`mixup_mode` = pair is not followed" in note for note in notes)


def test_a_value_is_shown_in_one_short_line() -> None:
    _, notes = with_notes(CONVNEXT_TINY | {"output": "a\n\x1b[31mb" + "c" * 500}, defaults=DEFAULTS)
    (told,) = [note for note in notes if "output" in note]
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 250


def test_a_rate_that_comes_from_the_architecture_is_said_to() -> None:
    for changes, rate in (({"drop_path": None}, "0.1"), ({"drop_path": 0.1}, None)):
        _, notes = with_notes(
            CONVNEXT_TINY | {"model": "swin_tiny_patch4_window7_224"} | changes, defaults=DEFAULTS
        )
        told = [note for note in notes if "rate of its architecture" in note]
        assert [note.endswith(f"architecture, {rate}.") for note in told] == [True] * bool(rate)


def test_unknown_keys_are_told_and_retired_ones_are_not() -> None:
    _, notes = with_notes(
        CONVNEXT_TINY | {"smothing": 0.1, "my_flag": 1, "native_amp": False}, defaults=DEFAULTS
    )
    told = [note for note in notes if "does not know" in note]
    assert told == ["Keys that timm's train.py does not know: my_flag, smothing."]
    assert not RETIRED_KEYS & set(TRAIN_DEFAULTS)


@pytest.mark.parametrize(
    ("data", "is_timm"),
    [
        (dict(TRAIN_DEFAULTS), True),
        ({"opt": "adamw", "sched": "cosine"}, True),
        ({"opt": "adamw", "smothing": 0.1, "smoothing": 0.1}, True),
        ({"opt": "adamw"}, False),
        ({"lr": 1e-3, "epochs": 5}, False),
        ({"opt": "adamw", "sched": "cosine", "strengths": {}}, False),
        ({"schema": "recipe/1", "opt": "adamw", "sched": "cosine"}, False),
        (Recipe().to_dict(), False),
        ({}, False),
    ],
)
def test_files_of_timm_are_told_from_ours(data: dict[str, Any], is_timm: bool) -> None:
    assert looks_like_timm(data) is is_timm


# What both can express: whole warmup epochs, multiples of 3 to 27 as magnitude, timm's optimizers.
both_express = st.builds(
    lambda epochs, warmup, strengths, **rest: Recipe(
        model="resnet18",
        epochs=epochs,
        strengths=replace(strengths, warmup_fraction=min(warmup, epochs - 1) / epochs),
        **rest,
    ),
    epochs=st.integers(1, 400),
    warmup=st.integers(0, 60),
    strengths=st.builds(
        Strengths,
        weight_decay=st.floats(0, 10),
        label_smoothing=st.floats(0, 0.9),
        drop_path_rate=st.floats(0, 0.9),
        ema_decay=st.just(0.0) | st.floats(0.1, 0.99999),
    ),
    pretrained=st.booleans(),
    image_size=st.integers(8, 512),
    batch_size=st.sampled_from([32, 64]),  # Halves of even length however often it is split.
    grad_accum_steps=st.sampled_from([1, 2, 16]),
    optimizer=st.sampled_from(["adam", "adamw", "sgd", "lion", "muon"]),
    lr=st.floats(1e-6, 10),
    schedule=st.sampled_from(["cosine", "constant", "wsd"]),
    layer_decay=st.floats(0.1, 1),
    no_decay_split=st.booleans(),
    mixup_alpha=st.floats(0, 2),
    cutmix_alpha=st.floats(0, 2),
    randaugment=st.none()
    | st.builds(
        RandAugment, num_ops=st.integers(1, 4), magnitude=st.integers(0, 9).map(lambda m: 3 * m)
    ),
    crop_scale_min=st.floats(0.01, 1),
    hflip=st.floats(0, 1),
    erasing=st.floats(0, 1),
    dropout=st.none() | st.floats(0, 0.9),
    amp_dtype=st.sampled_from(["none", "bfloat16", "float16"]),
    grad_clip_norm=st.floats(0, 10),
    compile=st.booleans(),
    seed=st.integers(0, 2**31),
)


@settings(max_examples=80, deadline=None)
@given(recipe=both_express)
def test_export_then_import_is_the_identity_on_what_both_express(recipe: Recipe) -> None:
    export = timm_args(recipe, num_train=1000, num_classes=10)
    other_defaults = replace(DEFAULTS, image_size=999, lr=123.0)
    described = describe_timm_args(export.args, defaults=other_defaults)
    assert described.recipe == settled(recipe)  # train.py has no way to say "your own".
    assert described.facts == {}
