"""The runs that come next: the experiment round by round, then the confirmation on fresh seeds."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from search.commands.compare.answer.finding import Finding
from search.commands.compare.asked.factors import at_levels
from search.commands.compare.asked.layout import Layout, ends
from search.commands.compare.asked.request import CONFIRM_SEEDS_FROM, Request
from search.commands.compare.run_log import FILE as LOG
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.script import ScriptRun
from spaces.errors import InputError


def experiment_cells(request: Request, layout: Layout, rounds: int) -> list[Cell]:
    """The runs of the first rounds; a block is one seed, shared by all of its runs."""
    cells: list[Cell] = []
    for block in range(rounds * layout.blocks_per_round):
        for levels in layout.block(block):
            cells.append(
                Cell(
                    run_id=f"attribute-{len(cells):04d}",
                    stage="attribute",
                    role="cell",
                    block=block,
                    levels=levels,
                    seed=request.seed + block,
                    fold=block % request.folds if request.folds else block,
                )
            )
    return cells


def laid_out(layout: Layout, log: RunLog) -> Layout:
    """The design as far as it is known: the second round rests on what the first has shown.

    A comparison that an earlier version began has its second round as with the first factor.

    Raises:
        InputError: If the log names what is no factor.
    """
    if not layout.clears:
        return layout
    if log.cleared is not None and log.cleared not in layout.names:
        raise InputError(f"{LOG} lays out the second round by {log.cleared!r}, which is no factor.")
    has_second = any(cell.block >= layout.blocks_per_round for cell in log.of_stage("attribute"))
    return replace(layout, cleared=log.cleared or (layout.names[0] if has_second else None))


def awaits_layout(request: Request, layout: Layout, log: RunLog) -> bool:
    """Whether the first round has ended, and the second must now be laid out by it."""
    layout = laid_out(layout, log)
    if not layout.clears or layout.cleared is not None:
        return False
    return all(log.is_over(cell.run_id) for cell in experiment_cells(request, layout, 1))


def confirm_cells(
    request: Request, layout: Layout, log: RunLog, advised: Mapping[str, int]
) -> list[Cell]:
    """The runs of the confirmation, seed by seed; equal configurations are run once.

    A run of the same configuration and seed that was begun before a top-up is not made again.
    """
    reference, best = ends(layout)
    roles = {"reference": reference, "best": best}
    if advised not in roles.values():
        roles["advised"] = dict(advised)
    known = log.of_stage("confirm")
    begun = {(cell.seed, *cell.levels.items()): cell for cell in known}
    # After a top-up what is advised, and so the number of configurations, may have changed.
    topped_up = bool(request.earlier_rounds) and bool(known)
    first = 1 + max(int(cell.run_id.partition("-")[2]) for cell in known) if topped_up else 0
    wanted = [
        Cell(
            run_id=f"confirm-{first + seed * len(roles) + place:04d}",
            stage="confirm",
            role=role,
            block=seed,
            levels=levels,
            seed=request.seed + CONFIRM_SEEDS_FROM + seed,
            fold=seed % request.folds if request.folds else seed,
        )
        for seed in range(request.confirm_seeds)
        for place, (role, levels) in enumerate(roles.items())
    ]
    return [begun.get((cell.seed, *cell.levels.items()), cell) for cell in wanted]


def next_cells(
    request: Request, layout: Layout, log: RunLog, find: Callable[[], Finding]
) -> list[Cell]:
    """All runs of the comparison that may be made now and have not ended; empty when it is over.

    Where the second round waits for the first to end, only the first may be made.

    Args:
        request: What was asked.
        layout: The design, not one for which `awaits_layout` holds.
        log: What has been run.
        find: Judges the experiment as far as it has come; called only where that decides.
    """
    layout = laid_out(layout, log)
    is_known = layout.cleared is not None or not layout.clears
    rounds = request.min_blocks if is_known else 1
    cells = experiment_cells(request, layout, rounds)
    while all(log.is_over(cell.run_id) for cell in cells):
        following = experiment_cells(request, layout, rounds + 1)
        has_begun = any(cell.run_id in log.cells for cell in following[len(cells) :])
        # What has been begun is finished: half a round is no look at the runs.
        if not has_begun and (rounds >= request.rounds or find().is_decided):
            cells = confirm_cells(request, layout, log, find().advised)
            break
        rounds, cells = rounds + 1, following
    # Reference and best come first: where they agree or both fail, something is wrong.
    first = {
        next((cell.run_id for cell in cells if cell.levels == levels), "")
        for levels in ends(layout)
    }
    return sorted(
        (cell for cell in cells if not log.is_over(cell.run_id)),
        key=lambda cell: cell.run_id not in first,
    )


def script_run(request: Request, cell: Cell, directory: Path) -> ScriptRun:
    """Describe one run of the script, which writes into ``directory``."""
    return ScriptRun(
        run_id=cell.run_id,
        directory=str(directory),
        words=request.words,
        configuration=at_levels(request.configuration, request.factors, cell.levels),
        seed=cell.seed,
        fold=cell.fold,
        measures=request.measures,
        time_limit_s=request.time_limit_s,
        working_dir=request.working_dir,
    )
