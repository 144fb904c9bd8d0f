"""Wording of a contest of optimizers: sentences and rows for terminal, report and MLflow."""

import math

from search.commands.ablation.contest_result import EPOCHS, TIME, Contest, Round
from search.commands.ablation.contest_stages import LR_SPAN, rates
from search.commands.ablation.text import interval, share_interval
from search.records.metrics import NLL, TOP1
from search.verdict.wording import count, listed, percent, with_interval


def answer(contest: Contest) -> str:
    """Write which optimizer wins at equal epochs and in equal time, or that none does."""
    if len(contest.choices) < 2:
        return "Fewer than two optimizers finished with any learning rate: there is no contest."
    return " ".join(_round_sentence(one) for one in contest.rounds)


def rows(contest: Contest) -> list[dict[str, str]]:
    """Build a row of the table per round and optimizer, best mean first."""
    by_name = {choice.name: choice for choice in contest.choices}
    found = []
    for one in contest.rounds:
        base_s = next(s.train_s for s in one.standings if s.name == contest.base)
        for standing in one.standings:
            known = math.isfinite(standing.train_s)
            seconds = f"{standing.train_s:.1f} ({standing.train_s / base_s:.2f} x)" if known else ""
            found.append(
                {
                    "compared at": one.at,
                    "optimizer": standing.name,
                    "lr": f"{by_name[standing.name].lr:.3g}",
                    "epochs": str(standing.epochs),
                    "top-1": percent(standing.top1.mean) if standing.num_blocks else "",
                    f"top-1 less {contest.base}'s, points": with_interval(
                        TOP1.unit, standing.top1_difference
                    ),
                    "log-loss, nats": with_interval(NLL.unit, standing.nll_difference),
                    "training, s": seconds,
                }
            )
    return found


def plan_lines(optimizers: dict[str, float], *, lr_trials: int, seeds: int) -> list[str]:
    """Describe the runs to come; ``optimizers`` holds the default rate of each."""
    first, *others = optimizers
    lines = [
        f"{listed([first, *others])}: {lr_trials} learning rates each, log-spaced from a tenth to "
        f"{LR_SPAN:g} times its default, then {count(seeds, 'fresh seed')} each at equal epochs "
        f"and, where a step takes longer or shorter than {first}'s, as many in equal time."
    ]
    for name, default in optimizers.items():
        tried = rates(default, number=lr_trials)
        lines.append(f"  {name}: {', '.join(f'{rate:.3g}' for rate in tried)}")
    return lines


def remarks(contest: Contest, *, metric: str) -> list[str]:
    """Write the remarks that explain how to read the table."""
    base = contest.base
    said = [
        "Differences hold together with 95 % for all pairs of a round, and are over fresh splits "
        "and seeds that no rate was chosen on. Validation images; test images are not touched.",
        f"Rates are the best of those tried by {metric}, one run each on one split and seed; "
        "weight decay is each optimizer's default, times what the recipe's is of its own.",
        "Equal time scales the epochs by the time per step measured while rates were tried "
        f"({base}'s as 1): "
        + ", ".join(f"{c.name} {c.step_ratio:.2f} -> {c.epochs} epochs" for c in contest.choices)
        + "; warmup and decay of the rate are stretched with them, and evaluation does not count.",
    ]
    said += [
        f"Time per step of {name}, less {base}'s: {share_interval(estimate)}."
        for name, estimate in contest.step_time.items()
    ]
    said += [
        f"{choice.name}'s best rate, {choice.lr:.3g}, is at the end of what was tried: another may "
        "be better still."
        for choice in contest.choices
        if choice.is_at_edge
    ]
    if any(choice.name == "adamw_schedulefree" for choice in contest.choices):
        said.append("adamw_schedulefree runs without EMA: what it ships is an average already.")
    return said


def _round_sentence(one: Round) -> str:
    at = {EPOCHS: "At equal epochs", TIME: "In equal time"}[one.at]
    if one.winner is not None:
        nearest = min(
            (s.behind_leader for s in one.standings if s.behind_leader is not None),
            key=lambda difference: difference.mean,
        )
        return (
            f"{at} {one.winner} is ahead of all others, of the nearest by "
            f"{interval(TOP1.unit, nearest)} points."
        )
    first = one.standings[0]
    others = [name for name in one.level if name != first.name]
    return (
        f"{at} no winner: {first.name} has the best mean, {percent(first.top1.mean)}, but cannot "
        f"be told from {listed(others)} with {count(first.num_blocks, 'seed')}."
    )
