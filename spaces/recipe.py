"""The recipe: all settings of a training run besides the data, with its reading from a mapping."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from spaces.errors import InputError
from spaces.strengths.values import STRENGTH_KEYS, Strengths

SCHEMA = "recipe/1"
SCHEDULES = ("cosine", "one_cycle", "constant", "wsd")
AMP_DTYPES = ("auto", "none", "bfloat16", "float16")
EMA_BATCH_NORMS = ("averaged", "measured")
OPTIMIZERS = ("adamw", "sgd", "lion", "muon", "sam", "sophia", "adamw_schedulefree", "adam")
SGD_MOMENTUM = 0.9
"""Momentum of ``sgd``; as weight decay enters before it, its pull is 1 / (1 - 0.9) = 10 times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugment:
    """RandAugment in torchvision's units (Cubuk et al. 2019, arXiv 1909.13719).

    Attributes:
        num_ops: Operations applied one after the other, at least 1.
        magnitude: Strength of each operation, in ``[0, 30]``.
    """

    num_ops: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        _check("num_ops", self.num_ops, int, 1, None)
        _check("magnitude", self.magnitude, int, 0, 30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One training recipe; the defaults are the ones of a run without any regularizer.

    Attributes:
        model: Name of a timm model, or ``resnet18_cifar``.
        pretrained: Whether training starts from ImageNet weights.
        image_size: Side of the square input in pixels, at least 8.
        epochs: Passes over the training images, at least 1.
        batch_size: Images per optimizer step, at least 1.
        optimizer: One of `OPTIMIZERS`.
        lr: Peak learning rate, above 0.
        strengths: What is searched of every recipe.
        schedule: One of `SCHEDULES`, stepped after each optimizer step.
        min_lr: Learning rate at the end of the schedule, in ``[0, lr]``.
        layer_decay: Factor on the learning rate per layer towards the input, in ``(0, 1]``; 1 is
            off. A layer is what timm's ``group_matcher`` of the model says, usually a block.
        no_decay_split: Whether biases and what has at most one dimension, such as the scale of a
            normalization, are spared from weight decay.
        mixup_alpha: Beta parameter of MixUp, at least 0; 0 is off.
        cutmix_alpha: Beta parameter of CutMix, at least 0; 0 is off.
        randaugment: RandAugment, or None for off.
        crop_scale_min: Smallest area share of a random resized crop, in ``(0, 1]``; 1 is no crop.
        hflip: Probability of a horizontal flip, in ``[0, 1]``.
        erasing: Probability of random erasing, in ``[0, 1]``.
        freeze: Part of a pretrained model that keeps its weights: ``none``, ``until:2`` (the stem
            and the first two stages), or ``all`` but the classifier.
        ema_batch_norm: Statistics that BatchNorm has in the weight average, one of
            `EMA_BATCH_NORMS`: averaged like the weights, or measured anew on training images.
        dropout: Probability that an input of the classifier is dropped, in ``[0, 1)``; timm's
            ``drop_rate``. None is the architecture's own, which is 0 in nearly all of them.
        class_weighting: Beta of the class weights in the training loss, in ``[0, 1]``: 0 is none,
            1 inverse frequency, between them the effective number of images (Cui et al. 2019).
        logit_adjustment: Tau, at least 0: from the trained model's logit of each class tau times
            the logarithm of its share of the training images is subtracted (Menon et al. 2021).
        amp_dtype: One of `AMP_DTYPES`.
        grad_clip_norm: Largest norm of the whole gradient, at least 0; 0 is off.
        grad_accum_steps: Micro-batches that one optimizer step is split into, at least 1.
        compile: Whether the model goes through `torch.compile`.
        seed: Seed of initial weights, batch order, augmentation and stochastic depth, at least 0.

    Raises:
        InputError: If a value has the wrong type or lies outside its interval.
    """

    model: str = "tf_efficientnet_lite0"
    pretrained: bool = False
    image_size: int = 32
    epochs: int = 15
    batch_size: int = 32
    optimizer: str = "adamw"
    lr: float = 1e-3
    strengths: Strengths = field(default_factory=Strengths)
    schedule: str = "cosine"
    min_lr: float = 0.0
    layer_decay: float = 1.0
    no_decay_split: bool = True
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    randaugment: RandAugment | None = None
    crop_scale_min: float = 1.0
    hflip: float = 0.0
    erasing: float = 0.0
    freeze: str = "none"
    ema_batch_norm: str = "averaged"
    dropout: float | None = None
    class_weighting: float = 0.0
    logit_adjustment: float = 0.0
    amp_dtype: str = "auto"
    grad_clip_norm: float = 1.0
    grad_accum_steps: int = 1
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("pretrained", "no_decay_split", "compile"):
            _check(name, getattr(self, name), bool)
        _check("model", self.model, str)
        _check("freeze", self.freeze, str)
        if not _FREEZE.fullmatch(self.freeze):
            raise InputError(
                "`freeze` must be none, all or until: with the number of a stage, like until:2, "
                f"but got {self.freeze!r}."
            )
        for name, minimum in _INTEGERS.items():
            _check(name, getattr(self, name), int, minimum, None)
        for name, (low, high) in _NUMBERS.items():
            _check(name, getattr(self, name), float, low, high)
        if self.dropout is not None:
            _check("dropout", self.dropout, float, 0.0, 1.0)
            if self.dropout == 1:
                raise InputError(f"`0 <= dropout < 1` must hold, but got {self.dropout!r}.")
        if not self.lr > 0:
            raise InputError(f"`lr > 0` must hold, but got {self.lr!r}.")
        if not self.layer_decay > 0:
            raise InputError(f"`0 < layer_decay <= 1` must hold, but got {self.layer_decay!r}.")
        if not self.crop_scale_min > 0:
            raise InputError(
                f"`0 < crop_scale_min <= 1` must hold, but got {self.crop_scale_min!r}."
            )
        if self.min_lr > self.lr:
            raise InputError(f"`min_lr <= lr` must hold, but got {self.min_lr!r} and {self.lr!r}.")
        if self.grad_accum_steps > self.batch_size:
            raise InputError(
                "`grad_accum_steps <= batch_size` must hold, "
                f"but got {self.grad_accum_steps!r} and {self.batch_size!r}."
            )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}.")

    def with_strengths(self, **values: float) -> Self:
        """Return this recipe with some strengths replaced."""
        return replace(self, strengths=replace(self.strengths, **values))

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping of a recipe file, in its order, ``schema`` first."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, defaults: "Recipe | None" = None) -> Self:
        """Convert back from a mapping; missing keys and strengths come from ``defaults``.

        Raises:
            InputError: If a key is unknown, or a value has the wrong type or lies outside its
                interval. The message names the key, the value and the interval.
        """
        values = dict(data)
        schema = values.pop("schema", SCHEMA)
        if schema != SCHEMA:
            raise InputError(f"`schema` must be {SCHEMA!r}, but got {schema!r}.")
        _refuse_unknown(values, [f.name for f in fields(cls)], "recipe key")
        base = defaults or cls()
        if "strengths" in values:
            given = _mapping("strengths", values["strengths"])
            _refuse_unknown(given, STRENGTH_KEYS, "strength")
            values["strengths"] = replace(base.strengths, **given)
        if values.get("randaugment") is not None:
            given = _mapping("randaugment", values["randaugment"])
            _refuse_unknown(given, [f.name for f in fields(RandAugment)], "randaugment key")
            values["randaugment"] = RandAugment(**given)
        merged = {f.name: getattr(base, f.name) for f in fields(cls)} | values
        return cls(**merged)


_INTEGERS = {"image_size": 8, "epochs": 1, "batch_size": 1, "grad_accum_steps": 1, "seed": 0}
_NUMBERS: dict[str, tuple[float, float | None]] = {
    "lr": (0.0, None),
    "min_lr": (0.0, None),
    "layer_decay": (0.0, 1.0),
    "mixup_alpha": (0.0, None),
    "cutmix_alpha": (0.0, None),
    "crop_scale_min": (0.0, 1.0),
    "hflip": (0.0, 1.0),
    "erasing": (0.0, 1.0),
    "class_weighting": (0.0, 1.0),
    "logit_adjustment": (0.0, None),
    "grad_clip_norm": (0.0, None),
}
_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "amp_dtype": AMP_DTYPES,
    "ema_batch_norm": EMA_BATCH_NORMS,
}
_FREEZE = re.compile(r"none|all|until:[0-9]{1,4}")
_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


def _check(name: str, value: object, kind: type, low: float = 0, high: float | None = None) -> None:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"`{name}` must be {_WORDS[kind]}, but got {value!r}.")
    if isinstance(value, (bool, str)):
        return
    assert isinstance(value, (int, float))
    # Written as "not inside" so that NaN and infinity are refused too.
    if not low <= value < float("inf") or (high is not None and value > high):
        upper = "" if high is None else f" <= {high:g}"
        raise InputError(f"`{low:g} <= {name}{upper}` must hold, but got {value!r}.")


def _mapping(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"`{name}` must be a mapping of names to numbers, but got {value!r}.")
    return dict(value)


def _refuse_unknown(given: Mapping[str, object], known: Any, what: str) -> None:
    unknown = sorted((key for key in given if key not in known), key=str)
    if unknown:
        raise InputError(f"Unknown {what} {unknown[0]!r}; known are {', '.join(known)}.")
