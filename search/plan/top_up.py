"""Top up a run: more blocks of the experiment, more trials of the search."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from search.plan.config import RunConfig, TopUp
from search.records.files import read_json
from search.records.journal import Journal
from search.verdict.design import blocks_per_look
from spaces.errors import InputError


def topped_up(
    config: RunConfig,
    journal: Journal,
    *,
    max_blocks: int | None = None,
    num_samples: int | None = None,
    time_budget_s: float | None = None,
    refine: Sequence[str] = (),
    learning_curve: bool = False,
) -> RunConfig:
    """Return the config of a run of which more is asked; the same if nothing more is asked.

    What was run stays, and so does every turn: the looks at further blocks spend error that was
    kept back for them (`search.verdict.sequential`).

    Args:
        config: What was asked so far.
        journal: What was run so far.
        max_blocks: Most blocks of the experiment from now on, all of them counted.
        num_samples: Trials of the search from now on, all of them counted.
        time_budget_s: Seconds that the whole run may take from now on.
        refine: Strengths to refine beside those that were asked for before.
        learning_curve: Whether to run on half of the training images too.

    Raises:
        InputError: If that is less than was planned, or the run has no stage for it.
    """
    cells = [t.spec for t in journal.of_stage("attribute")]
    together = blocks_per_look(len(cells[0].levels)) if cells else 1
    blocks = -(-len({spec.block for spec in cells}) // together)
    samples = sum(t.spec.rerun_of is None for t in journal.of_stage("search"))
    for name, value, stage, before, ran in (
        ("max_blocks", max_blocks, "attribute", config.max_blocks, f"ran {blocks}"),
        ("num_samples", num_samples, "search", config.num_samples, f"ran {samples}"),
    ):
        if value is None:
            continue
        if stage not in config.stages:
            what = "experiment" if stage == "attribute" else "search"
            raise InputError(f"`{name}` cannot be raised: {config.path} has no {what}.")
        if value < before:
            raise InputError(
                f"`{name} >= {before}` must hold, for {config.path} was planned with so many and "
                f"{ran}, but got {value}."
            )
    asked = replace(
        config,
        max_blocks=max_blocks or config.max_blocks,
        num_samples=num_samples or config.num_samples,
        time_budget_s=time_budget_s or config.time_budget_s,
        refine=tuple(dict.fromkeys((*config.refine, *refine))),
        learning_curve=config.learning_curve or learning_curve,
    )
    if asked.refine and "attribute" not in config.stages:
        raise InputError(f"`refine` turns to what an experiment turned: {config.path} has none.")
    if asked.learning_curve and "attribute" not in config.stages:
        raise InputError(f"`learning_curve` is that of an experiment: {config.path} has none.")
    is_more = any(
        getattr(asked, name) != getattr(config, name)
        for name in ("max_blocks", "num_samples", "refine", "learning_curve")
    )
    budget_s = asked.time_budget_s
    if is_more and budget_s is not None and journal.wall_s >= budget_s:
        raise InputError(
            f"`time_budget_s > {journal.wall_s:.0f}` must hold, for {config.path} has used up the "
            f"{budget_s:g} s it had: give --time-budget-s too."
        )
    if not is_more:
        return asked
    earlier = TopUp(
        max_blocks=config.max_blocks,
        num_samples=config.num_samples,
        num_trials=len(journal.trials),
    )
    return replace(asked, top_ups=(*config.top_ups, earlier))


def num_top_ups(result: Path) -> int:
    """Return how many top-ups a result file knows of; 0 if it says nothing or cannot be read."""
    try:
        told = read_json(result)
    except InputError:
        return 0
    found = told.get("top_ups", 0) if isinstance(told, dict) else 0
    return found if isinstance(found, int) else 0
