"""Signs that a comparison measures nothing: better said after four runs than after the last."""

from collections.abc import Sequence

from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.script import NO_RESULT

LEAST_RUNS = 4
"""Runs that must have the same number, or none, before anything is said."""
LEAST_MISSING = 2
"""Runs, the reference and the best, that must have ended well without the metric being there."""


def why_useless(request: Request, run_log: RunLog) -> str:
    """Say in a sentence why going on would be a waste; empty if it would not be."""
    ended = [cell for cell in run_log.of_stage("attribute") if run_log.is_over(cell.run_id)]
    done = [cell for cell in ended if run_log.outcomes[cell.run_id].is_done]
    missing = [cell for cell in ended if run_log.outcomes[cell.run_id].is_missing]
    if len(ended) >= LEAST_MISSING and missing == ended and _varied([ended]):
        problem = run_log.outcomes[ended[-1].run_id].problem.removeprefix(NO_RESULT)
        return f"The first {len(ended)} runs ended well, but left no result: {problem}."
    if len(ended) >= LEAST_RUNS and not done and _varied([ended]):
        problem = run_log.outcomes[ended[-1].run_id].problem
        return f"The first {len(ended)} runs left no result, the last of them because {problem}."
    text = request.metrics[0]
    by_block: dict[int, list[Cell]] = {}
    for cell in done:
        by_block.setdefault(cell.block, []).append(cell)
    repeated = [cells for cells in by_block.values() if len(cells) > 1]
    results = [{run_log.outcomes[c.run_id].metrics[text] for c in cells} for cells in repeated]
    count = sum(map(len, repeated))
    if count < LEAST_RUNS or any(len(values) > 1 for values in results):
        return ""
    if not _varied(repeated):
        return ""  # The keys that have differed so far may be the ones that do nothing.
    name = request.measures[0].name
    values = set.union(*results)
    if len(values) > 1:
        return (
            f"{name} is the same in all {count} runs of a seed, whatever their configuration: the "
            "script seems to ignore {config} or {args}."
        )
    (value,) = values
    if len(repeated) > 1:
        return f"{name} is {value:g} in all of {count} runs: it is constant."
    return (
        f"{name} is {value:g} in all of {count} runs, whatever their configuration: it is constant,"
        " or the script ignores {config} or {args}."
    )


def _varied(blocks: Sequence[Sequence[Cell]]) -> bool:
    """Whether every factor has both values in one of these groups of runs."""
    names = blocks[0][0].levels
    return all(any(len({cell.levels[name] for cell in of}) > 1 for of in blocks) for name in names)
