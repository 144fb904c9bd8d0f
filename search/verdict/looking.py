"""Schedule of the looks at the experiment, the data of each look, and the rule for stopping."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.records.metrics import TOP1, Metric
from search.verdict.blocked_model import MIN_RESIDUAL_DOF
from search.verdict.design import Factors, blocks_per_look, cells
from search.verdict.divergence import divergence_by_level
from search.verdict.effects import PAIRS_DOF, Run, estimate_effects
from search.verdict.judgement import Look
from search.verdict.schema import Dial
from search.verdict.sequential import look_share, runs_to_turn, shares

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


def runs_per_round(what: Factors) -> int:
    """Return the number of runs that are added between two looks at the experiment."""
    return blocks_per_look(len(what.trajectory)) * len(cells(what.trajectory, block=0))


def looks_at(
    runs: Sequence[Run], what: Factors, schedule: Schedule, first: Metric = TOP1
) -> tuple[Look, ...]:
    """Reconstruct every look at the experiment, oldest first, each from the runs of its rounds.

    Before the first look is due, the runs so far make one look with an error probability of 0.
    """
    size = blocks_per_look(len(what.trajectory))
    num_rounds = len({run.block for run in runs}) // size

    def look(rounds: int) -> Look:
        seen = [run for run in runs if run.block < rounds * size] if rounds < num_rounds else runs
        return Look(
            share=schedule.share(rounds) if rounds >= schedule.first else 0.0,
            effects=estimate_effects(seen, what.trajectory, ema=what.ema, first=first),
            divergences=divergence_by_level(seen, what.trajectory),
        )

    return tuple(map(look, range(schedule.first, num_rounds + 1))) or (look(num_rounds),)


def may_stop(
    runs: Sequence[Run],
    what: Factors,
    schedule: Schedule,
    dials: Sequence[Dial],
    first: Metric = TOP1,
) -> bool:
    """Whether the experiment may stop because further runs would hardly turn another dial.

    Either every dial is decided, or the open ones would need more than `FUTILE` times the runs that
    are left to turn, by an estimate that is itself uncertain; only the former ends a top-up.
    Stopping never makes a false turn more likely: it only leaves open what could have been turned.
    That a change hurts needs no further runs, for the reference's value stays either way.
    """
    is_open = [dial.strength for dial in dials if dial.turn == "inconclusive"]
    size = runs_per_round(what)
    rounds_left = schedule.plans[-1] - len({run.block for run in runs}) // blocks_per_look(
        len(what.trajectory)
    )
    if not is_open or rounds_left <= 0:
        return True
    if len(schedule.plans) > 1:
        return False  # A person who asks for more runs has seen how many it would take.
    num_dials = len(what.names) - sum(dial.turn in ("down", "up") for dial in dials)
    # Take the model with the smaller noise: a strong interaction must not pass for noise.
    models = [
        estimate_effects(runs, what.trajectory, ema=what.ema, first=first, least_dof=dof)
        for dof in (MIN_RESIDUAL_DOF, PAIRS_DOF)
    ]
    needed = min(
        runs_to_turn(
            effects[name][first.on("val")].times(first.sign),
            runs_per_round=size,
            share=schedule.share(schedule.plans[-1]) * shares(first)[first.on("val")],
            num_dials=max(1, num_dials),
        )
        for name in is_open
        for effects in models
    )
    return needed > FUTILE * rounds_left * size
