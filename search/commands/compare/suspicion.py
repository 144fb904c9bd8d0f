"""Signs that a comparison measures nothing: better said after one block than after the last."""

from search.commands.compare.request import Request
from search.commands.compare.run_log import RunLog

LEAST_RUNS = 4
"""Runs that must have the same number, or none, before anything is said."""


def why_useless(request: Request, run_log: RunLog) -> str:
    """Say in a sentence why going on would be a waste; empty if it would not be."""
    ended = [cell for cell in run_log.of_stage("attribute") if run_log.is_over(cell.run_id)]
    done = [cell for cell in ended if run_log.outcomes[cell.run_id].is_done]
    if len(ended) >= LEAST_RUNS and not done:
        problem = run_log.outcomes[ended[-1].run_id].problem
        return f"The first {len(ended)} runs left no result, the last of them because {problem}."
    text = request.metrics[0]
    by_block: dict[int, list[float]] = {}
    for cell in done:
        by_block.setdefault(cell.block, []).append(run_log.outcomes[cell.run_id].metrics[text])
    repeated = {block: values for block, values in by_block.items() if len(values) > 1}
    count = sum(map(len, repeated.values()))
    if count < LEAST_RUNS or any(len(set(values)) > 1 for values in repeated.values()):
        return ""
    name = request.measures[0].name
    values = {values[0] for values in repeated.values()}
    if len(values) == 1 and len(repeated) > 1:
        return f"{name} is {values.pop():g} in all of {count} runs: it is constant."
    return (
        f"{name} is the same in all {count} runs of a seed, whatever their configuration: the "
        "script seems to ignore {config} or {args}."
    )
