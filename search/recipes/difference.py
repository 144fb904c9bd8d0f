"""A difference of a recipe from its reference in one key, as data and as a sentence."""

from dataclasses import asdict, dataclass
from typing import Any

from spaces.strengths.registry import known

_LABELS = {
    "amp_dtype": "mixed precision",
    "batch_size": "batch size",
    "crop_scale_min": "random resized crop (smallest share of the area)",
    "dropout": "dropout",
    "ema_batch_norm": "BatchNorm statistics of the average",
    "erasing": "random erasing",
    "freeze": "freezing",
    "grad_clip_norm": "gradient clipping",
    "hflip": "horizontal flip",
    "image_size": "image size",
    "logit_adjustment": "logit adjustment (tau)",
    "min_lr": "last learning rate",
    "no_decay_split": "no-decay split",
    "pretrained": "pretraining",
    "randaugment": "RandAugment",
}
"""Names for people of the recipe keys that are not searched."""
_OPTIMIZERS = {
    ("adam", "adamw"): (
        "plain Adam: L2 enters the gradient and is scaled down with it; AdamW decouples the decay"
    ),
    (
        "adamw",
        "adam",
    ): "AdamW decouples the decay; in the reference's Adam it is L2 in the gradient",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A difference of a recipe from its reference in one key.

    Attributes:
        name: Key of a recipe, or timm's key where a recipe has none.
        kind: ``missing``, ``extra``, ``other`` (both have it, with different values),
            ``same_effect`` (raw values differ, effective ones do not), ``speed`` or ``context``.
        mine: Raw value, or words if the recipe only approximates the setting.
        reference: The same for the reference.
        effective_unit: Unit of the effective values; None if there are none.
        mine_effective: Effective value in that unit.
        reference_effective: Effective value of the reference in that unit.
        usual_points: Usual effect of such a difference in points of top-1, for sorting only.
        sentence: Description for the user.
    """

    name: str
    kind: str
    mine: Any
    reference: Any
    effective_unit: str | None = None
    mine_effective: float | None = None
    reference_effective: float | None = None
    usual_points: float = 0.0
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to a mapping."""
        return asdict(self)


def label_of(name: str) -> str:
    """Return the name for people of a recipe key."""
    searched = known().get(name)
    return searched.label if searched else _LABELS.get(name, name)


def sentence_of(difference: Difference, remark: str) -> str:
    """Describe a difference for the user, followed by the remark if it is not empty."""
    name, ours, theirs = difference.name, difference.mine, difference.reference
    label = label_of(name)
    if name == "optimizer":
        words = _OPTIMIZERS.get((ours, theirs), f"optimizer {ours} instead of {theirs}")
        return f"{words}; learning rate and weight decay do not carry over between the two"
    if name == "schedule":
        return f"{ours} schedule instead of {theirs}"
    if name == "model":
        return f"another model: {ours} instead of {theirs}; recipes are compared, not models"
    if name == "no_decay_split":
        spared = "biases and normalization parameters"
        return (
            f"{spared} are {'decayed' if theirs else 'spared from decay'}, unlike the reference's"
        )
    own, other = _told_apart(ours, theirs)
    words = {
        "missing": f"missing {label}: the reference has {_shown(theirs)}",
        "extra": f"{label} {_shown(ours)}, which the reference does not have",
        "speed": f"{label} {own} instead of {other}: changes the speed only",
        "same_effect": f"{label} {own} instead of {other} amounts to the same",
    }.get(difference.kind, f"{label} {own} instead of {other}")
    if ours == theirs:
        words = f"{label} {_shown(ours)} in both amounts to something else"
    if difference.effective_unit is not None and _has_own_unit(difference):
        words += (
            f" ({difference.effective_unit}: {_shown(difference.mine_effective)} against "
            f"{_shown(difference.reference_effective)})"
        )
    return f"{words}; {remark}" if remark else words


def _has_own_unit(difference: Difference) -> bool:
    """Whether there are effective values that differ from the raw ones."""
    effective = difference.mine_effective, difference.reference_effective
    return None not in effective and effective != (difference.mine, difference.reference)


def _told_apart(ours: Any, theirs: Any) -> tuple[str, str]:
    """Format two values so that the texts differ if the values do."""
    own, other = _shown(ours), _shown(theirs)
    return (own, other) if own != other or ours == theirs else (repr(ours), repr(theirs))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{key} {number}' for key, number in value.items())})"
    if value is None or isinstance(value, bool):
        return {True: "on", False: "off", None: "none"}[value]
    if not isinstance(value, float):
        return str(value)
    if value >= 1000:
        return f"{value:,.0f}"
    # 0.99996 must not become 1, and 0.0666666667 need not fill a line.
    return f"{value:.6g}" if value == round(value, 6) else f"{value:.3g}"
