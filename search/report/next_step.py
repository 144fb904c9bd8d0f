"""Advice on the next experiment, in one sentence."""

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.command_line import quoted
from search.stages.analysis import Analysis
from search.verdict.wording import listed, runs_range

LONGER = 2
"""Factor on the epochs of the proposed run if the training images are not fitted yet."""


def next_step(config: RunConfig, plan: Plan, analysis: Analysis) -> str:
    """Return the advice for the first problem that applies.

    Runs that are too short come first, for no turn holds in them; then ranges whose end the best
    trials crowd; then the runs that would decide what is open.
    """
    verdict = analysis.verdict
    if verdict.fit.reference == "undertrained":
        longer = LONGER * plan.reference.epochs
        return f"the same search with EPOCHS={longer}, or a higher LR: these runs are too short"
    if verdict.fit.reference == "fit-limited":
        return "a larger MODEL, or a look at the labels: the training images are not fitted"
    if verdict.fit.reference == "diverged":
        return f"the same search with an LR below {plan.reference.lr:g}: the reference diverges"
    wider = {edge.name: edge.raw for edge in analysis.edges if edge.raw is not None}
    if wider:
        ranges = " ".join(f"{name}={low:.3g}:{high:.3g}" for name, (low, high) in wider.items())
        return f"the same search with SET={quoted(ranges)}, for the range's end did best"
    needed = {d.strength: d.more_runs for d in verdict.dials if d.more_runs is not None}
    if needed:
        low = min(low for low, _ in needed.values())
        high = max(high for _, high in needed.values())
        return f"train it; to decide {listed(list(needed))} takes {runs_range((low, high))}"
    return "train it; search again when images, epochs or model change, for values move with them"
