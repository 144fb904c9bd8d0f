"""Effect of each ingredient of a recipe: paired difference of the runs with and without it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search.commands.ablation.variants import FULL, Ingredient
from search.records.metrics import TOP1
from search.records.trials import Trial, epoch_seconds
from search.verdict.paired_blocks import (
    as_share,
    geometric_mean,
    mean_estimate,
    paired_effects,
    simultaneous,
)
from search.verdict.schema import Estimate

SCHEMA = "ablation/1"
HELPS, HURTS, SAME, OPEN, DIVERGES = "helps", "hurts", "no difference", "open", "diverges"
METHOD = (
    "paired differences over blocks that share split, initial weights and batch order; t intervals "
    "with each difference's own variation between blocks moderated by that of the others; 95 % "
    "holds for all ingredients of a column together (Bonferroni)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Worth:
    """The effect of one ingredient: the full recipe minus the recipe without it.

    Attributes:
        name: Name of the ingredient.
        label: Its name in tables and sentences.
        value: Its value in the recipe, as text.
        top1: Change of validation top-1.
        nll: Change of validation log-loss; below 0 is better.
        step_time: Change of the time per step, as a share: 0.1 is ten percent slower with it.
        without_top1: Mean validation top-1 without it.
        without_step_ms: Geometric mean of the milliseconds per step without it.
        accuracy: `HELPS`, `HURTS`, `SAME` (within the practical margin) or `OPEN`; `DIVERGES` if
            more runs diverge without it than with it.
        num_blocks: Number of blocks in which both runs finished.
        num_diverged: Number of runs without it that diverged.
    """

    name: str
    label: str
    value: str
    top1: Estimate
    nll: Estimate
    step_time: Estimate
    without_top1: float
    without_step_ms: float
    accuracy: str
    num_blocks: int
    num_diverged: int

    @property
    def changes_speed(self) -> bool:
        """Whether the interval of the time per step leaves out zero."""
        low, high = self.step_time.ci95
        return low > 0 or high < 0

    @property
    def only_speed(self) -> bool:
        """Whether the speed changes, and the accuracy does not beyond noise."""
        return self.changes_speed and self.accuracy in (SAME, OPEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """The result of an ablation.

    Attributes:
        num_blocks: Number of blocks in which the full recipe finished.
        num_full_diverged: Number of runs of the full recipe that diverged.
        top1: Validation top-1 of the full recipe, with its own interval.
        nll: Its validation log-loss.
        step_ms: Its milliseconds per step, a geometric mean, as a busy machine multiplies times.
        epoch_s: Its seconds per epoch.
        worths: Effects of the ingredients, largest first.
        missing: By label, the reason why an ingredient was not run.
    """

    num_blocks: int
    num_full_diverged: int
    top1: Estimate
    nll: Estimate
    step_ms: Estimate
    epoch_s: Estimate
    worths: tuple[Worth, ...]
    missing: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping that is written to ``ablation.json``."""
        worths = [
            {
                **asdict(worth),
                "changes_speed": worth.changes_speed,
                "only_speed": worth.only_speed,
            }
            for worth in self.worths
        ]
        return {**asdict(self), "worths": worths}


def effects_of(
    trials: Sequence[Trial], found: Sequence[Ingredient], *, steps_per_epoch: int
) -> Ablation:
    """Estimate the effects of the ingredients and sort them by size.

    Args:
        trials: Trials of the stage.
        found: All ingredients.
        steps_per_epoch: Optimizer steps per epoch, the same for all recipes.
    """
    run = [ingredient for ingredient in found if not ingredient.missing]
    pairs = [(FULL, ingredient.role) for ingredient in run]
    done = [trial for trial in trials if trial.is_full_length]
    seconds = {trial.spec.trial_id: epoch_seconds(trial) for trial in done}
    top1, nll = (_by_block(done, metric) for metric in ("val/top1", "val/nll"))
    log_s: dict[str, dict[int, float]] = {}
    for trial in done:
        of_role = log_s.setdefault(trial.spec.role, {})
        of_role[trial.block] = math.log(seconds[trial.spec.trial_id])
    effects = [paired_effects(values, pairs) for values in (top1, nll, log_s)]
    diverged = [t.spec.role for t in trials if t.status == "diverged"]
    worths = []
    for ingredient, pair in zip(run, pairs, strict=True):
        on_top1, on_nll, on_log_s = (
            simultaneous(effect[pair], num_differences=len(pairs)) for effect in effects
        )
        without = top1.get(ingredient.role, {})
        num_diverged = diverged.count(ingredient.role)
        worths.append(
            Worth(
                name=ingredient.name,
                label=ingredient.label,
                value=ingredient.value,
                top1=on_top1,
                nll=on_nll,
                step_time=as_share(on_log_s),
                without_top1=mean_estimate(list(without.values())).mean,
                without_step_ms=geometric_mean(
                    [
                        1000 * seconds[t.spec.trial_id] / steps_per_epoch
                        for t in done
                        if t.spec.role == ingredient.role
                    ]
                ).mean,
                accuracy=DIVERGES
                if num_diverged > diverged.count(FULL)
                else judged(on_top1, margin=TOP1.margin),
                num_blocks=len(set(without) & set(top1.get(FULL, {}))),
                num_diverged=num_diverged,
            )
        )
    full_s = [seconds[t.spec.trial_id] for t in done if t.spec.role == FULL]
    return Ablation(
        num_blocks=len(full_s),
        num_full_diverged=diverged.count(FULL),
        top1=mean_estimate(list(top1.get(FULL, {}).values())),
        nll=mean_estimate(list(nll.get(FULL, {}).values())),
        step_ms=geometric_mean([1000 * s / steps_per_epoch for s in full_s]),
        epoch_s=geometric_mean(full_s),
        worths=tuple(sorted(worths, key=_rank)),
        missing={i.label: i.missing for i in found if i.missing},
    )


def judged(top1: Estimate, *, margin: float) -> str:
    """Judge an accuracy difference by its interval: helps, hurts, no difference, or open."""
    low, high = top1.ci95
    if low > 0:
        return HELPS
    if high < 0:
        return HURTS
    return SAME if -margin <= low and high <= margin else OPEN


def _rank(worth: Worth) -> tuple[bool, float]:
    """Return the sort key: ingredients that prevent divergence first, then by effect, NaN last."""
    mean = worth.top1.mean
    return worth.accuracy != DIVERGES, -mean if math.isfinite(mean) else math.inf


def _by_block(trials: Sequence[Trial], metric: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for trial in trials:
        value = trial.last(metric)
        if value is not None:
            found.setdefault(trial.spec.role, {})[trial.block] = value
    return found
