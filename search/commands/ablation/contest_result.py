"""Result of a contest of optimizers, at equal epochs and in equal time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from search.commands.ablation.contest_stages import Choice
from search.records.trials import Trial, epoch_seconds, train_seconds
from search.verdict.paired_blocks import (
    Pair,
    as_share,
    mean_estimate,
    paired_effects,
    simultaneous,
)
from search.verdict.schema import Estimate
from search.verdict.sequential import FAMILY_ALPHA

SCHEMA = "optimizers/1"
METHOD = (
    "each optimizer's learning rate by one run per rate on one split and seed, then fresh blocks "
    "that share split, initial weights and batch order; t intervals of paired differences with "
    f"{1 - FAMILY_ALPHA:.0%} for all pairs of optimizers together (Bonferroni); the leader wins if "
    "its difference to every other one leaves out zero"
)
EPOCHS, TIME = "equal epochs", "equal time"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The result of one optimizer in one comparison.

    Attributes:
        name: Name of the optimizer.
        epochs: Epochs of its runs.
        top1: Validation top-1 with its own interval.
        nll: Validation log-loss with its own interval.
        top1_difference: Top-1 minus the first optimizer's, None for the first itself.
        nll_difference: Log-loss minus the first optimizer's, None for the first itself.
        behind_leader: The leader's top-1 minus this one's, None for the leader.
        train_s: Mean training time in seconds.
        num_blocks: Number of runs that finished.
    """

    name: str
    epochs: int
    top1: Estimate
    nll: Estimate
    top1_difference: Estimate | None
    nll_difference: Estimate | None
    behind_leader: Estimate | None
    train_s: float
    num_blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One comparison of all optimizers, at equal epochs or in equal time.

    Attributes:
        at: `EPOCHS` or `TIME`.
        standings: Results, best mean first.
        winner: The leader if it is ahead of every other one beyond noise, else None.
        level: The leader and those it is not ahead of beyond noise; empty if it is of all.
    """

    at: str
    standings: tuple[Standing, ...]
    winner: str | None
    level: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """The whole result of a contest.

    Attributes:
        base: The optimizer that the others are compared with.
        choices: Learning rate and epochs of each optimizer.
        rounds: Comparisons at equal epochs, then in equal time.
        step_time: By optimizer, its time per step minus the base's, as a share of the base's.
    """

    base: str
    choices: tuple[Choice, ...]
    rounds: tuple[Round, ...]
    step_time: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping that is written to ``optimizers.json``."""
        tried = [
            [{"lr": lr, "score": value} for lr, value in choice.tried.items()]
            for choice in self.choices
        ]
        entered = [{**asdict(c), "tried": t} for c, t in zip(self.choices, tried, strict=True)]
        return {**asdict(self), "choices": entered}


def contest_of(trials: Sequence[Trial], chosen: Sequence[Choice]) -> Contest:
    """Compare the optimizers from the contest's trials.

    Args:
        trials: Trials of the stage ``contest``.
        chosen: The optimizers with their learning rates; at least one.
    """
    done = [trial for trial in trials if trial.is_full_length]
    roles = {t.spec.role for t in trials}
    base = chosen[0].name
    at_epochs = {c.name: c.name for c in chosen}
    in_time = {c.name: c.in_time if c.in_time in roles else c.name for c in chosen}
    log_s: dict[str, dict[int, float]] = {}
    for trial in done:
        if trial.spec.role in at_epochs:
            log_s.setdefault(trial.spec.role, {})[trial.block] = math.log(epoch_seconds(trial))
    others = [c.name for c in chosen[1:]]
    effects = paired_effects(log_s, [(name, base) for name in others])
    return Contest(
        base=base,
        choices=tuple(chosen),
        rounds=(_round(EPOCHS, done, at_epochs, base), _round(TIME, done, in_time, base)),
        step_time={
            name: as_share(simultaneous(effects[name, base], num_differences=len(others)))
            for name in others
        },
    )


def _round(at: str, done: Sequence[Trial], role_of: Mapping[str, str], base: str) -> Round:
    runs = {
        name: {t.block: t for t in done if t.spec.role == role} for name, role in role_of.items()
    }
    top1, nll = (
        {name: {b: _last(t, m) for b, t in by_block.items()} for name, by_block in runs.items()}
        for m in ("val/top1", "val/nll")
    )
    pairs = list(combinations(role_of, 2))
    on_top1, on_nll = (_both_ways(values, pairs) for values in (top1, nll))
    means = {name: mean_estimate(list(by_block.values())) for name, by_block in top1.items()}
    order = sorted(role_of, key=lambda n: -means[n].mean if math.isfinite(means[n].mean) else 2.0)
    leader = order[0]
    behind = {name: on_top1[leader, name] for name in order[1:]}
    level = tuple(name for name, difference in behind.items() if not difference.ci95[0] > 0)
    standings = [
        Standing(
            name=name,
            epochs=next((t.spec.recipe.epochs for t in runs[name].values()), 0),
            top1=means[name],
            nll=mean_estimate(list(nll[name].values())),
            top1_difference=on_top1.get((name, base)),
            nll_difference=on_nll.get((name, base)),
            behind_leader=behind.get(name),
            train_s=mean_estimate([train_seconds(t) for t in runs[name].values()]).mean,
            num_blocks=len(runs[name]),
        )
        for name in order
    ]
    has_winner = bool(behind) and not level
    return Round(
        at=at,
        standings=tuple(standings),
        winner=leader if has_winner else None,
        level=(leader, *level) if level else (),
    )


def _both_ways(
    values: Mapping[str, Mapping[int, float]], pairs: Sequence[Pair]
) -> dict[Pair, Estimate]:
    found = {}
    for (first, second), effect in paired_effects(values, pairs).items():
        difference = simultaneous(effect, num_differences=len(pairs))
        low, high = difference.ci95
        found[first, second] = difference
        found[second, first] = Estimate(mean=-difference.mean, ci95=(-high, -low))
    return found


def _last(trial: Trial, metric: str) -> float:
    value = trial.last(metric)
    return math.nan if value is None else value
