"""Wording of an ablation: sentences and rows for terminal, report and MLflow."""

import math
from collections.abc import Sequence

from search.commands.ablation.effects import DIVERGES, HELPS, HURTS, OPEN, SAME, Ablation, Worth
from search.commands.ablation.variants import Ingredient
from search.records.metrics import NLL, TOP1, Unit
from search.verdict.schema import Estimate
from search.verdict.wording import change_with_interval, count, listed, percent, with_interval

TIME = Unit(word="%", scale=100.0, decimals=1, mark=" %", least_span=2.0)
"""Unit of relative changes of time."""
PRACTICAL_POINTS = TOP1.unit.amount(TOP1.margin)
CAVEAT = (
    "Each row is the full recipe less the recipe without this one ingredient. 95 % holds for all "
    "intervals of a column together. Measured on validation images; test images are not touched."
)


def answer(ablation: Ablation) -> str:
    """Summarise an ablation in a few sentences."""
    if not ablation.num_blocks:
        return "The full recipe finished no run, so nothing can be said of its ingredients."
    said = []
    for judgement, words in (
        (DIVERGES, "without it training diverges"),
        (HELPS, "adds accuracy"),
        (HURTS, "costs accuracy here"),
    ):
        names = [_with_points(w) for w in ablation.worths if w.accuracy == judgement]
        if names:
            said.append(f"{listed(names)}: {words}.")
    if not said:
        said.append("No ingredient changes the accuracy beyond noise.")
    said += [speed_sentence(w, ablation.num_blocks) for w in ablation.worths if w.only_speed]
    still_open = [w.label for w in ablation.worths if w.accuracy == OPEN and not w.changes_speed]
    if still_open:
        verb = "is" if len(still_open) == 1 else "are"
        said.append(
            f"{listed(still_open)} {verb} not to be told from nothing with "
            f"{count(ablation.num_blocks, 'seed')}; more SEEDS would narrow the intervals."
        )
    return " ".join(text[0].upper() + text[1:] for text in said)


def speed_sentence(worth: Worth, num_blocks: int) -> str:
    """Write the sentence on an ingredient that changes the speed but not the accuracy."""
    how = f"{worth.label} changes the time per step by {share_interval(worth.step_time)}"
    if worth.accuracy == SAME:
        return f"{how}, and accuracy by less than {PRACTICAL_POINTS}: it changes only the speed."
    return (
        f"{how}, and nothing else that {count(num_blocks, 'seed')} could tell from noise: "
        f"{change_with_interval('val/top1', worth.top1)} of accuracy."
    )


def judgement(worth: Worth) -> str:
    """Write the cell of the table's last column: the effect in words."""
    if worth.accuracy == DIVERGES:
        return f"{count(worth.num_diverged, 'run')} without it diverged"
    if worth.only_speed:
        return "only the speed" if worth.accuracy == SAME else "only the speed, as far as seen"
    words = {
        HELPS: "adds accuracy",
        HURTS: "costs accuracy",
        SAME: f"less than {PRACTICAL_POINTS}",
        OPEN: "not distinguishable",
    }
    return words[worth.accuracy]


def rows(ablation: Ablation) -> list[dict[str, str]]:
    """Build a row of the table per ingredient that was run, largest effect first."""
    return [
        {
            "ingredient": worth.label,
            "top-1, points": interval(TOP1.unit, worth.top1),
            "log-loss, nats": interval(NLL.unit, worth.nll),
            "time per step, %": interval(TIME, worth.step_time),
            "top-1 without": percent(worth.without_top1)
            if math.isfinite(worth.without_top1)
            else "",
            "what it does": judgement(worth),
        }
        for worth in ablation.worths
    ]


def full_line(ablation: Ablation) -> str:
    """Write the line with the full recipe's own results."""
    if not ablation.num_blocks:
        return ""
    return (
        f"Full recipe, {count(ablation.num_blocks, 'seed')}: top-1 "
        f"{_own(ablation.top1, 100, 1)} %, log-loss {_own(ablation.nll, 1, 3)}, "
        f"{_own(ablation.step_ms, 1, 1)} ms per step, {_own(ablation.epoch_s, 1, 2)} s per epoch "
        "(each with its own 95 % interval)."
    )


def missing_lines(ablation: Ablation) -> list[str]:
    """Write a line on each ingredient that was not run, with the reason."""
    return [f"Not in this recipe: {label} ({why})." for label, why in ablation.missing.items()]


def plan_lines(found: Sequence[Ingredient], *, seeds: int) -> list[str]:
    """Describe the runs to come."""
    run = [ingredient for ingredient in found if not ingredient.missing]
    lines = [f"  without {i.label} ({i.value})" for i in run]
    lines += [f"  not in this recipe: {i.label} ({i.missing})" for i in found if i.missing]
    head = (
        f"The full recipe and, one at a time, the recipe without one ingredient: {len(run) + 1} "
        f"recipes x {count(seeds, 'seed')} = {count((len(run) + 1) * seeds, 'run')}."
    )
    return [head, *lines]


def interval(unit: Unit, estimate: Estimate) -> str:
    """Format a difference with its interval, without the unit; ``unknown`` if there is none."""
    return with_interval(unit, estimate) or "unknown"


def share_interval(estimate: Estimate) -> str:
    """Format a relative change of time as a signed percentage with its interval."""
    text = with_interval(TIME, estimate)
    return f"{text} {TIME.word}" if text else "unknown"


def _with_points(worth: Worth) -> str:
    if worth.accuracy == DIVERGES:
        return worth.label
    return f"{worth.label} ({change_with_interval('val/top1', worth.top1)})"


def _own(estimate: Estimate, scale: float, digits: int) -> str:
    low, high = (scale * end for end in estimate.ci95)
    mean = f"{scale * estimate.mean:.{digits}f}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return mean
    return f"{mean} [{low:.{digits}f}, {high:.{digits}f}]"
