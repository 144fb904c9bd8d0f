"""Schedule of the looks at the experiment, the data of each look, and the rule for stopping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from search.records.metrics import TOP1, Metric
from search.verdict.blocked_model import MIN_RESIDUAL_DOF
from search.verdict.design import Factors, WithinRun, blocks_per_look, cells
from search.verdict.divergence import Divergence, divergence_by_level
from search.verdict.effects import PAIRS_DOF, Run, estimate_effects
from search.verdict.judgement import Look
from search.verdict.schema import Dial
from search.verdict.sequential import FAMILY_ALPHA, look_share, runs_to_turn, shares

MOST_TIMES = 4
"""Runs of the experiment so far, times this, above which no command for more runs is offered."""
FUTILE = 2
"""Multiple of the runs left above which an undecided dial is given up.

The experiment stops when every undecided dial needs more than that many runs to turn.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The rounds of blocks after which the experiment is looked at.

    Attributes:
        first: Number of rounds before the first look, at least 2.
        plans: The largest number of rounds as first planned, then as each top-up raised it.
    """

    first: int
    plans: tuple[int, ...]

    def share(self, rounds: int) -> float:
        """Return the part of the error probability that the look after ``rounds`` may spend.

        More rounds than were ever planned count as one more top-up.
        """
        plans = self.plans if rounds <= self.plans[-1] else (*self.plans, rounds)
        return look_share(rounds, plans, first=self.first)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """The factors of an experiment, and how much is run between two looks at it.

    Attributes:
        names: Factors whose levels differ between runs.
        within: Factors of which every run measures both levels.
        blocks: Blocks of one round.
        runs: Runs of one round.
    """

    names: tuple[str, ...]
    within: tuple[WithinRun, ...] = ()
    blocks: int
    runs: int

    def done(self, runs: Sequence[Run]) -> int:
        """Return the number of rounds of which every block has a run."""
        return len({run.block for run in runs}) // self.blocks


@lru_cache(maxsize=64)
def rounds_of(what: Factors) -> Rounds:
    """Return the rounds of an experiment on the strengths of a recipe."""
    blocks = blocks_per_look(len(what.trajectory))
    runs = blocks * len(cells(what.trajectory, block=0))
    return Rounds(names=what.trajectory, within=what.within, blocks=blocks, runs=runs)


def looks_at(
    runs: Sequence[Run], rounds: Rounds, schedule: Schedule, first: Metric = TOP1
) -> tuple[Look, ...]:
    """Reconstruct every look at the experiment, oldest first, each from the runs of its rounds.

    Before the first look is due, the runs so far make one look with an error probability of 0.
    """
    last = rounds.done(runs)

    def look(number: int) -> Look:
        seen = [run for run in runs if run.block < number * rounds.blocks]
        if number >= last:
            seen = list(runs)
        return Look(
            share=schedule.share(number) if number >= schedule.first else 0.0,
            effects=estimate_effects(seen, rounds.names, within=rounds.within, first=first),
            divergences=divergence_by_level(seen, rounds.names),
        )

    return tuple(map(look, range(schedule.first, last + 1))) or (look(last),)


def may_stop(
    runs: Sequence[Run],
    what: Factors,
    schedule: Schedule,
    dials: Sequence[Dial],
    first: Metric = TOP1,
) -> bool:
    """Whether the experiment on a recipe may stop: `is_enough`, by the dials so far."""
    num_turned = sum(dial.turn in ("down", "up") for dial in dials)
    return is_enough(
        runs,
        rounds_of(what),
        schedule,
        still_open=[dial.strength for dial in dials if dial.turn == "inconclusive"],
        num_unturned=len(what.names) - num_turned,
        first=first,
    )


def is_enough(
    runs: Sequence[Run],
    rounds: Rounds,
    schedule: Schedule,
    *,
    still_open: Sequence[str],
    num_unturned: int,
    failures: Mapping[str, Divergence] = MappingProxyType({}),
    first: Metric = TOP1,
) -> bool:
    """Whether an experiment may stop because further runs would hardly turn another factor.

    Either every factor is decided, or the open ones would need more than `FUTILE` times the runs
    that are left to turn, by an estimate that is itself uncertain; only the former ends a top-up.
    Stopping never makes a false turn more likely: it only leaves open what could have been turned.
    That a change hurts needs no further runs, for the reference's value stays either way.

    Args:
        runs: Runs of the experiment so far.
        rounds: Their factors, and the size of a round.
        schedule: When it is looked at.
        still_open: Factors that are not decided.
        num_unturned: Number of factors that were not found to help, those decided otherwise
            included: the error probability is shared among them.
        failures: Runs without a result by factor and level, if an open factor that they seem to be
            tied to is to be followed up to the end.
        first: Metric that decides first.
    """
    rounds_left = schedule.plans[-1] - rounds.done(runs)
    if not still_open or rounds_left <= 0:
        return True
    if len(schedule.plans) > 1:
        return False  # A person who asks for more runs has seen how many it would take.
    if any(name in failures and failures[name].p_value < FAMILY_ALPHA for name in still_open):
        return False  # What has no value has no effect to go by; counts go on to tell.
    # Take the model with the smaller noise: a strong interaction must not pass for noise.
    models = [
        estimate_effects(runs, rounds.names, within=rounds.within, first=first, least_dof=dof)
        for dof in (MIN_RESIDUAL_DOF, PAIRS_DOF)
    ]
    needed = min(
        runs_to_turn(
            effects[name][first.on("val")].times(first.sign),
            runs_per_round=rounds.runs,
            share=schedule.share(schedule.plans[-1]) * shares(first)[first.on("val")],
            num_dials=max(1, num_unturned),
        )
        for name in still_open
        for effects in models
    )
    return needed > FUTILE * rounds_left * rounds.runs
