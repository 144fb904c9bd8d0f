"""What a recipe lacks, has too much of, or has otherwise than a reference, most important first.

A reproduction that misses by several points usually misses an ingredient, not an architecture. Two
recipes are compared key by key, strengths in effective units: the same ``weight_decay`` pulls less
in a shorter run.

What a difference usually matters is a rough number of points of ImageNet top-1, good for an order
and for nothing else. The sources:

- He et al. 2019 (arXiv 1812.01187), table 6, ResNet-50-D: cosine instead of steps +0.75, label
  smoothing +0.4, MixUp +0.8.
- Vryniotis 2021 (PyTorch blog on torchvision's new recipe, ResNet-50): 600 instead of 90 epochs
  +1.8, augmentation policy +0.3, label smoothing +0.3, CutMix +0.3, weight decay +0.5, average
  +0.25, erasing +0.2.
- Touvron et al. 2020 (DeiT, arXiv 2012.12877), table 8, from scratch: SGD instead of AdamW -7, no
  RandAugment -2, no MixUp -3, no CutMix -2, without both -6.
- Loshchilov & Hutter 2019 (AdamW, arXiv 1711.05101), figures 2 and 3: AdamW has 15 % less test
  error than Adam with L2.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from search.recipes.difference import LABELS, Difference, sentence_of
from search.recipes.timm_import import Described
from spaces.recipe import Recipe
from spaces.strengths import STRENGTH_NAMES
from spaces.task import Task
from spaces.units import EFFECTIVE_UNITS, describe, to_effective

SCHEMA = "diff/1"

USUAL_POINTS = {
    "pretrained": 10.0,
    "optimizer": 3.0,
    "epochs": 1.8,
    "schedule": 1.5,
    "lr": 1.2,
    "mixup_alpha": 1.0,
    "cutmix_alpha": 1.0,
    "label_smoothing": 0.8,
    "randaugment": 0.7,
    "crop_scale_min": 0.7,
    "image_size": 0.6,
    "weight_decay": 0.5,
    "warmup_fraction": 0.5,
    "drop_path_rate": 0.4,
    "ema_decay": 0.3,
    "no_decay_split": 0.3,
    "hflip": 0.3,
    "layer_decay": 0.3,
    "erasing": 0.2,
    "batch_size": 0.1,
    "grad_clip_norm": 0.1,
    "min_lr": 0.05,
    "amp_dtype": 0.0,
    "compile": 0.0,
    "grad_accum_steps": 0.0,
    "model": 0.0,
}
"""Points of top-1 that a difference in a key usually matters; for an order only."""
OTHER_POINTS = 0.2
"""The same for what a recipe has no key for."""

_OFF: dict[str, object] = {
    **dict.fromkeys(STRENGTH_NAMES, 0),
    "mixup_alpha": 0,
    "cutmix_alpha": 0,
    "randaugment": None,
    "crop_scale_min": 1,
    "hflip": 0,
    "erasing": 0,
    "layer_decay": 1,
    "grad_clip_norm": 0,
    "no_decay_split": False,
    "pretrained": False,
}
UNITS = {
    **{name: EFFECTIVE_UNITS[name] for name in (*STRENGTH_NAMES, "layer_decay")},
    # Epochs over more images are a longer run, and a larger batch is meant to have a larger rate.
    "epochs": "images seen",
    "lr": "rate per 256 images",
    "min_lr": "share of the peak",
}
"""What the effective value of a key counts; without one, the raw value says it all."""

_SPEED = ("amp_dtype", "compile", "grad_accum_steps")
_RATIO_KEYS = ("lr", "epochs", "batch_size", "image_size", "min_lr", "weight_decay", "ema_decay")
_SAME = 0.01


def diff(
    mine: Recipe | Described, reference: Recipe | Described, task_mine: Task, task_reference: Task
) -> tuple[Difference, ...]:
    """Every key in which ``mine`` is not ``reference``, what usually matters most first.

    The seed is no difference. A `Described` also shows what its recipe only stands in for.

    Args:
        mine: The recipe in question.
        reference: What it should be like.
        task_mine: The run of ``mine``, for its effective units.
        task_reference: The run of ``reference``.
    """
    ours = mine if isinstance(mine, Described) else Described(recipe=mine)
    theirs = reference if isinstance(reference, Described) else Described(recipe=reference)
    found = [
        difference
        for name in USUAL_POINTS
        if (difference := _compare(name, ours, theirs, task_mine, task_reference)) is not None
    ]
    extra_keys = sorted({*ours.facts, *theirs.facts} - set(USUAL_POINTS))
    found += [d for key in extra_keys if (d := _compare_extra(key, ours, theirs)) is not None]
    # A stable sort: equals stay in the order of the table.
    return tuple(sorted(found, key=lambda difference: -difference.usual_points))


def to_json(differences: Sequence[Difference]) -> str:
    """Differences as JSON that strict parsers read, in the given order."""
    rows = [{k: _finite(v) for k, v in d.to_dict().items()} for d in differences]
    return json.dumps({"schema": SCHEMA, "differences": rows}, indent=2, allow_nan=False) + "\n"


def to_lines(differences: Sequence[Difference]) -> tuple[str, ...]:
    """Differences as numbered lines for a terminal."""
    if not differences:
        return ("No difference.",)
    return tuple(f"{i}. {d.sentence}" for i, d in enumerate(differences, start=1))


def _compare(
    name: str, mine: Described, reference: Described, task_mine: Task, task_reference: Task
) -> Difference | None:
    ours, theirs = _raw(name, mine.recipe), _raw(name, reference.recipe)
    if name in mine.facts or name in reference.facts:
        return _compare_words(name, mine.facts.get(name, ours), reference.facts.get(name, theirs))
    unit = UNITS.get(name)
    effective_mine = _effective(name, mine.recipe, task_mine)
    effective_reference = _effective(name, reference.recipe, task_reference)
    both_off = name in _OFF and ours == _OFF[name] == theirs
    same_effect = unit is not None and _close(effective_mine, effective_reference)
    # An equal last rate under another peak is another share of it, which `lr` says already.
    says_nothing = same_effect or unit is None or name == "min_lr"
    if both_off or (ours == theirs and says_nothing):
        return None
    kind = _kind(name, ours, theirs, same_effect)
    size = _size(name, ours, theirs, effective_mine, effective_reference)
    points = 0.0 if kind in ("same_effect", "speed", "context") else USUAL_POINTS[name] * size
    difference = Difference(
        name=name,
        kind=kind,
        mine=_plain(ours),
        reference=_plain(theirs),
        effective_unit=unit,
        mine_effective=effective_mine,
        reference_effective=effective_reference,
        usual_points=points,
    )
    remark = describe(name, ours, task_mine) if name in STRENGTH_NAMES else ""
    return replace(difference, sentence=sentence_of(difference, remark))


def _compare_words(name: str, ours: object, theirs: object) -> Difference | None:
    if ours == theirs:
        return None
    return Difference(
        name=name,
        kind="other",
        mine=ours,
        reference=theirs,
        usual_points=USUAL_POINTS[name],
        sentence=f"{LABELS.get(name, name)}: {ours} instead of {theirs}",
    )


def _compare_extra(key: str, mine: Described, reference: Described) -> Difference | None:
    ours, theirs = mine.facts.get(key), reference.facts.get(key)
    if ours == theirs:
        return None
    if theirs is None:
        kind, sentence = "extra", f"{key} {ours}, which the reference does not have"
    elif ours is None:
        kind, sentence = "missing", f"missing {key}: the reference has {theirs}"
    else:
        kind, sentence = "other", f"{key}: {ours} instead of {theirs}"
    return Difference(
        name=key,
        kind=kind,
        mine=ours,
        reference=theirs,
        usual_points=OTHER_POINTS,
        sentence=sentence,
    )


def _effective(name: str, recipe: Recipe, task: Task) -> float | None:
    """The value in the unit of `UNITS`, or None where there is no unit or nothing to measure."""
    raw = _raw(name, recipe)
    if name not in UNITS or (name == "ema_decay" and raw == 0):
        return None
    if name == "epochs":
        return float(recipe.epochs * task.num_train)
    if name == "lr":
        return float(recipe.lr * 256 / recipe.batch_size)
    if name == "min_lr":
        return float(recipe.min_lr / recipe.lr)
    return to_effective(name, raw, task)


def _raw(name: str, recipe: Recipe) -> Any:
    return getattr(recipe.strengths if name in STRENGTH_NAMES else recipe, name)


def _kind(name: str, ours: object, theirs: object, same_effect: bool) -> str:
    if name in _SPEED:
        return "speed"
    if name == "model":
        return "context"
    if name in _OFF and ours == _OFF[name]:
        return "missing"
    if name in _OFF and theirs == _OFF[name]:
        return "extra"
    return "same_effect" if same_effect else "other"


def _size(
    name: str, ours: Any, theirs: Any, effective_mine: float | None, effective_other: float | None
) -> float:
    """How large a difference is, in ``[0, 1]``: 1 is all of it, or a factor of ten."""
    if name in _OFF and _OFF[name] in (ours, theirs):
        return 1.0
    if name == "randaugment":
        ours, theirs = ours.num_ops * ours.magnitude, theirs.num_ops * theirs.magnitude
    if effective_mine is not None and effective_other is not None:
        ours, theirs = effective_mine, effective_other
    if not isinstance(ours, (int, float)) or not isinstance(theirs, (int, float)):
        return 1.0
    low, high = sorted((abs(float(ours)), abs(float(theirs))))
    if high == low or name in _SPEED:
        return 0.0
    if name in _RATIO_KEYS:
        return min(1.0, math.log10(high / low)) if low > 0 else 1.0
    return (high - low) / high


def _close(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-12)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else asdict(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
