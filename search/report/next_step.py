"""Advice on the next experiment: a sentence, and a command where one does it."""

import math
from dataclasses import dataclass

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.command_line import near, next_command, quoted
from search.stages.analysis import Analysis
from search.verdict.looking import MOST_TIMES, rounds_of
from search.verdict.wording import listed, runs_range

LONGER = 2
"""Factor on the epochs of the proposed run if the training images are not fitted yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """The next step in words, and the command that does it; empty if there is none to copy.

    ``offer`` goes on with the sentence where the command follows.
    """

    text: str
    offer: str = ""
    command: str = ""


def next_step(config: RunConfig, plan: Plan, analysis: Analysis) -> NextStep:
    """Return the advice for the first problem that applies.

    Runs that are too short come first, for no turn holds in them; then ranges whose end the best
    trials crowd; then the runs that would decide what is open.
    """
    verdict = analysis.verdict
    if verdict.fit.reference == "undertrained":
        longer = LONGER * plan.reference.epochs
        return NextStep(
            text=f"the same search with EPOCHS={longer}, or a higher LR: these runs are too short"
        )
    if verdict.fit.may_want_time:
        longer = LONGER * plan.reference.epochs
        return NextStep(
            text=f"the same search with EPOCHS={longer}, for time may be what is missing; else a "
            "larger MODEL, or a look at the labels"
        )
    if verdict.fit.reference == "fit-limited":
        return NextStep(
            text="a larger MODEL, or a look at the labels: the training images are not fitted"
        )
    if verdict.fit.reference == "diverged":
        lr = plan.reference.lr
        return NextStep(text=f"the same search with an LR below {lr:g}: the reference diverges")
    wider = {edge.name: edge.raw for edge in analysis.edges if edge.raw is not None}
    if wider:
        ranges = " ".join(f"{name}={low:.3g}:{high:.3g}" for name, (low, high) in wider.items())
        return NextStep(
            text=f"the same search with SET={quoted(ranges)}, for the range's end did best"
        )
    needed = {d.strength: d.more_runs for d in verdict.dials if d.more_runs is not None}
    if needed:
        return _more_runs(config, analysis, needed)
    return NextStep(
        text="train it; search again when images, epochs or model change, for values move with them"
    )


def _more_runs(
    config: RunConfig, analysis: Analysis, needed: dict[str, tuple[int, int]]
) -> NextStep:
    """Tell how many runs would decide the open settings, and offer as many as decide the first."""
    low = min(low for low, _ in needed.values())
    high = max(high for _, high in needed.values())
    text = f"train it; to decide {listed(list(needed))} takes {runs_range((low, high))}"
    of_round = rounds_of(analysis.factors).runs
    # Looks begin after the first `min_blocks` rounds, and follow each further round.
    rounds = config.min_blocks + analysis.verdict.looks - 1
    if low > MOST_TIMES * rounds * of_round:
        return NextStep(text=text)
    # Only more than was planned is a top-up; less would run nothing.
    asked = max(rounds + math.ceil(low / of_round), config.max_blocks + 1)
    budget_s, spent_s = config.time_budget_s, analysis.verdict.cost.wall_s
    # A run that has used up its time takes no further block without more of it.
    budget = None if budget_s is None else f"{2.0 * max(budget_s, spent_s):.0f}"
    return NextStep(
        text=text,
        offer=f"; for the next {(asked - rounds) * of_round}:",
        command=next_command(
            "resume", RUN=near(config.path), MAX_BLOCKS=str(asked), TIME_BUDGET_S=budget
        ),
    )
