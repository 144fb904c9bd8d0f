"""The plan of a comparison in words, before anything is started."""

import shlex

from search.commands.compare.asked.configurations import word
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.commands.compare.asked.request import Request
from search.commands.compare.schedule import experiment_cells, script_run
from search.verdict.wording import count

MOST_SHOWN = 60


def plan_lines(request: Request, *, every_run: bool) -> list[str]:
    """The plan.

    Args:
        request: What was asked.
        every_run: Whether each cell with its command is listed, as a dry run does.
    """
    layout, factors = request.layout, request.factors
    measure = request.measures[0]
    better = "larger" if measure.larger_is_better else "smaller"
    least, most = (len(layout.rounds(rounds)) for rounds in (request.min_blocks, request.rounds))
    runs = str(least) if least == most else f"{least} to {most}"
    lines = [
        f"{count(len(factors), 'difference')} between {request.reference_path} and "
        f"{request.best_path}:"
    ]
    lines += [
        f"  {factor.name}: {_cut(factor.words(REFERENCE))} -> {_cut(factor.words(BEST))}"
        for factor in factors
    ]
    held = request.fixed
    if held:
        flat = request.configuration.flat
        lines.append(
            "Held at yours: " + ", ".join(f"{key}={word(flat[key])}" for key in held if key in flat)
        )
    design = "screening design" if layout.is_screening else "two-level factorial"
    confirm = (
        f", then reference, best and advised on {request.confirm_seeds} fresh seeds: at most "
        f"{most + 3 * request.confirm_seeds} runs in all"
        if request.confirm_seeds
        else ""
    )
    lines.append(
        f"{runs} runs of a {design} in blocks of {len(layout.block(0))}, one seed each{confirm}. "
        f"Decided by {measure.name} ({better} is better)."
    )
    lines += layout.limits(request.min_blocks)
    if not request.has_seed:
        lines.append(
            "! the command has neither {seed} nor {fold}: every block repeats the same runs, and "
            "noise is only what the script itself leaves to chance"
        )
    if every_run:
        lines.append("")
        lines += _commands(request)
    return lines


def _commands(request: Request) -> list[str]:
    layout = request.layout
    lines = ["Runs (+ is the best's value, - is yours), each with its command:"]
    rounds = 1 if layout.clears else request.min_blocks
    for cell in experiment_cells(request, layout, rounds):
        run = script_run(request, cell, request.path / "runs" / cell.run_id)
        signs = " ".join(
            f"{name}{'+' if level == BEST else '-'}" for name, level in cell.levels.items()
        )
        lines.append(f"{cell.run_id} seed {cell.seed} [{signs}]")
        lines.append(f"  {shlex.join(run.command)}")
    if layout.clears:
        further = len(layout.rounds(request.min_blocks)) - len(layout.rounds(1))
        lines.append(f"{further} more runs are laid out once these have ended.")
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
