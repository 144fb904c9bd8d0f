"""Differences of a recipe from a reference: missing, extra and other settings, sorted by size.

A reproduction that misses by several points usually misses an ingredient, not an architecture. Two
recipes are compared key by key, strengths in effective units: the same ``weight_decay`` pulls less
in a shorter run.

The usual effect of a difference is a rough number of points of ImageNet top-1, used for sorting
only. The sources:

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
from dataclasses import asdict, fields, replace
from typing import Any

from search.recipes.difference import Difference, label_of, sentence_of
from search.recipes.timm_import import Described
from spaces.recipe import Recipe
from spaces.strengths.ema_batch_norm import EMA_BATCH_NORM
from spaces.strengths.logit_adjustment import LOGIT_ADJUSTMENT
from spaces.strengths.registry import EXTRAS, STRENGTHS, known
from spaces.strengths.strength import Strength
from spaces.strengths.values import STRENGTH_KEYS
from spaces.task import Task
from spaces.units import describe, to_effective

SCHEMA = "diff/1"

_POINTS = {
    "pretrained": 10.0,
    "optimizer": 3.0,
    "epochs": 1.8,
    "schedule": 1.5,
    "randaugment": 0.7,
    "crop_scale_min": 0.7,
    "image_size": 0.6,
    "no_decay_split": 0.3,
    "hflip": 0.3,
    "freeze": 0.5,
    "erasing": 0.2,
    "dropout": 0.2,
    "ema_batch_norm": EMA_BATCH_NORM.usual_points,
    "logit_adjustment": LOGIT_ADJUSTMENT.usual_points,
    "batch_size": 0.1,
    "grad_clip_norm": 0.1,
    "min_lr": 0.05,
    "amp_dtype": 0.0,
    "compile": 0.0,
    "grad_accum_steps": 0.0,
    "model": 0.0,
}
"""Usual effect of a difference in a key that is not searched, see `usual_points`."""
OTHER_POINTS = 0.2
"""Usual effect of a difference in a setting that a recipe has no key for."""

_OFF: dict[str, object] = {
    "randaugment": None,
    "crop_scale_min": 1,
    "hflip": 0,
    "erasing": 0,
    "dropout": 0,
    "grad_clip_norm": 0,
    "freeze": "none",
    "logit_adjustment": 0,
    "no_decay_split": False,
    "pretrained": False,
}
_UNITS = {
    # More images make an epoch longer, and a larger batch goes with a larger rate.
    "epochs": "images seen",
    "lr": "rate per 256 images",
    "min_lr": "share of the peak",
}
"""Unit of the effective value by which a key that is no strength is compared."""

_SPEED = ("amp_dtype", "compile", "grad_accum_steps")
_RATIO_KEYS = ("epochs", "batch_size", "image_size", "min_lr")
_SAME = 0.01
_KEYS = frozenset(f.name for f in fields(Recipe))


def usual_points() -> dict[str, float]:
    """Return the usual effect of a difference by key, in points of top-1; for sorting only."""
    points = {name: strength.usual_points for name, strength in STRENGTHS.items()}
    points |= _POINTS
    points |= {name: extra.usual_points for name, extra in EXTRAS.items() if _searched(name)}
    return dict(sorted(points.items(), key=lambda item: -item[1]))


def diff(
    mine: Recipe | Described, reference: Recipe | Described, task_mine: Task, task_reference: Task
) -> tuple[Difference, ...]:
    """List all keys in which two recipes differ, sorted by the usual effect, largest first.

    The seed is not compared. A `Described` also shows settings that its recipe only approximates.

    Args:
        mine: The recipe.
        reference: The recipe that it is compared with.
        task_mine: Task of ``mine``, for its effective units.
        task_reference: Task of ``reference``.
    """
    ours = mine if isinstance(mine, Described) else Described(recipe=mine)
    theirs = reference if isinstance(reference, Described) else Described(recipe=reference)
    found = [
        difference
        for name in usual_points()
        if (difference := _compare(name, ours, theirs, task_mine, task_reference)) is not None
    ]
    extra_keys = sorted({*ours.facts, *theirs.facts} - set(usual_points()))
    found += [d for key in extra_keys if (d := _compare_extra(key, ours, theirs)) is not None]
    # The sort is stable: equal differences stay in the order of the table.
    return tuple(sorted(found, key=lambda difference: -difference.usual_points))


def to_json(differences: Sequence[Difference]) -> str:
    """Convert differences to standard JSON, in the given order."""
    rows = [{k: _finite(v) for k, v in d.to_dict().items()} for d in differences]
    return json.dumps({"schema": SCHEMA, "differences": rows}, indent=2, allow_nan=False) + "\n"


def to_lines(differences: Sequence[Difference]) -> tuple[str, ...]:
    """Format differences as numbered lines for a terminal."""
    if not differences:
        return ("No difference.",)
    return tuple(f"{i}. {d.sentence}" for i, d in enumerate(differences, start=1))


def _compare(
    name: str, mine: Described, reference: Described, task_mine: Task, task_reference: Task
) -> Difference | None:
    ours, theirs = _raw(name, mine.recipe), _raw(name, reference.recipe)
    if name in mine.facts or name in reference.facts:
        return _compare_words(name, mine.facts.get(name, ours), reference.facts.get(name, theirs))
    unit = _unit(name)
    effective_mine = _effective(name, mine.recipe, task_mine)
    effective_reference = _effective(name, reference.recipe, task_reference)
    both_off = _is_off(name, ours) and _is_off(name, theirs)
    same_effect = unit is not None and _close(effective_mine, effective_reference)
    # `min_lr` is compared as a share of the peak; if only the peak differs, `lr` reports it.
    says_nothing = same_effect or unit is None or name == "min_lr"
    if both_off or (ours == theirs and says_nothing):
        return None
    kind = _kind(name, ours, theirs, same_effect)
    size = _size(name, ours, theirs, effective_mine, effective_reference)
    points = 0.0 if kind in ("same_effect", "speed", "context") else usual_points()[name] * size
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
    remark = describe(name, ours, task_mine) if _searched(name) else ""
    return replace(difference, sentence=sentence_of(difference, remark))


def _compare_words(name: str, ours: object, theirs: object) -> Difference | None:
    if ours == theirs:
        return None
    return Difference(
        name=name,
        kind="other",
        mine=ours,
        reference=theirs,
        usual_points=usual_points()[name],
        sentence=f"{label_of(name)}: {ours} instead of {theirs}",
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
    """Return the effective value of a key, or None if it has no unit or is off."""
    if name == "epochs":
        return float(recipe.epochs * task.num_train)
    if name == "lr":
        return float(recipe.lr * 256 / recipe.batch_size)
    if name == "min_lr":
        return float(recipe.min_lr / recipe.lr)
    searched, raw = _searched(name), _raw(name, recipe)
    if searched is None:
        return None
    effective = to_effective(name, raw, task)
    # Strengths that are off may still have an effective value, such as a window of one step.
    return None if raw == searched.off and effective != 0.0 else effective


def _raw(name: str, recipe: Recipe) -> Any:
    if name == "dropout":
        # None means the architecture's own (`search.recipes.model_remarks.settled`), mostly 0.
        return recipe.dropout or 0.0
    searched = _searched(name)
    return searched.read(recipe) if searched else getattr(recipe, name)


def _searched(name: str) -> Strength | None:
    """Return the strength or extra axis whose raw value is this key of a recipe, or None."""
    return known().get(name) if name in (*_KEYS, *STRENGTH_KEYS) else None


def _unit(name: str) -> str | None:
    """Return the unit of a key's effective value, or None if raw values are compared."""
    searched = _searched(name)
    return _UNITS.get(name, searched.unit if searched else None)


def _is_off(name: str, value: object) -> bool:
    searched = _searched(name)
    if searched is not None:
        return searched.off is not None and value == searched.off
    return name in _OFF and value == _OFF[name]


def _kind(name: str, ours: object, theirs: object, same_effect: bool) -> str:
    if name in _SPEED:
        return "speed"
    if name == "model":
        return "context"
    if _is_off(name, ours):
        return "missing"
    if _is_off(name, theirs):
        return "extra"
    return "same_effect" if same_effect else "other"


def _size(
    name: str, ours: Any, theirs: Any, effective_mine: float | None, effective_other: float | None
) -> float:
    """Compute the size of a difference in ``[0, 1]``: 1 is on against off, or a factor of ten."""
    if _is_off(name, ours) or _is_off(name, theirs):
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
    searched = _searched(name)
    if name in _RATIO_KEYS or (searched is not None and searched.is_ratio):
        return min(1.0, math.log10(high / low)) if low > 0 else 1.0
    return (high - low) / high


def _close(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-12)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else asdict(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
