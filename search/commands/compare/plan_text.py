"""The plan of a comparison in words, before anything is started."""

import shlex
from collections.abc import Sequence
from difflib import get_close_matches

from search.commands.compare.asked.configurations import UNSET, word
from search.commands.compare.asked.factors import BEST, REFERENCE, Factor
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
    runs = _range(least, most)
    lines = [
        f"{count(len(factors), 'difference')} between {request.reference_path} and "
        f"{request.best_path}:"
    ]
    lines += [
        f"  {factor.name}: {_cut(factor.words(REFERENCE))} -> {_cut(factor.words(BEST))}"
        for factor in factors
    ]
    lines += _typos(factors)
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
        f"{runs} runs of a {design}, {_range(request.min_blocks, request.rounds)} rounds of "
        f"{layout.runs_per_round}, a seed for every {len(layout.block(0))}{confirm}. Decided by "
        f"{measure.name} ({better} is better)."
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
    lines = [
        "Runs (+ is the best's value, - is yours), each with its command; a dry run writes no "
        "configuration, so that these cannot be called:"
    ]
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


def _typos(factors: Sequence[Factor]) -> list[str]:
    """Point out keys that only one file has and that are spelled nearly alike."""
    only_yours = [f.name for f in factors if UNSET in f.best.values()]
    only_best = [f.name for f in factors if UNSET in f.reference.values()]
    return [
        f"! `{name}` is only in yours and `{near[0]}` only in the best: is one misspelled?"
        for name in only_yours
        if (near := get_close_matches(name, only_best, n=1, cutoff=0.8))
    ]


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
