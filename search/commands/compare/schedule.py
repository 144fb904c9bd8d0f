"""The runs that come next: the experiment round by round, then the confirmation on fresh seeds."""

from collections.abc import Callable, Mapping
from pathlib import Path

from search.commands.compare.answer.finding import Finding
from search.commands.compare.asked.factors import at_levels
from search.commands.compare.asked.layout import Layout, ends
from search.commands.compare.asked.request import CONFIRM_SEEDS_FROM, Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.script import ScriptRun


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


def confirm_cells(request: Request, layout: Layout, advised: Mapping[str, int]) -> list[Cell]:
    """The runs of the confirmation, seed by seed; equal configurations are run once."""
    reference, best = ends(layout)
    roles = {"reference": reference, "best": best}
    if advised not in roles.values():
        roles["advised"] = dict(advised)
    return [
        Cell(
            run_id=f"confirm-{seed * len(roles) + place:04d}",
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


def next_cells(
    request: Request, layout: Layout, log: RunLog, find: Callable[[], Finding]
) -> list[Cell]:
    """All runs of the comparison that may be made now and have not ended; empty when it is over.

    Args:
        request: What was asked.
        layout: The design.
        log: What has been run.
        find: Judges the experiment as far as it has come; called only where that decides.
    """
    rounds = request.min_blocks
    cells = experiment_cells(request, layout, rounds)
    while all(log.is_over(cell.run_id) for cell in cells):
        following = experiment_cells(request, layout, rounds + 1)
        has_begun = any(cell.run_id in log.cells for cell in following[len(cells) :])
        # What has been begun is finished: half a round is no look at the runs.
        if not has_begun and (rounds >= request.rounds or find().is_decided):
            cells = confirm_cells(request, layout, find().advised)
            break
        rounds, cells = rounds + 1, following
    # Reference and best come first: where they agree or both fail, something is wrong.
    return sorted(
        (cell for cell in cells if not log.is_over(cell.run_id)),
        key=lambda cell: cell.block > 0 or cell.levels not in ends(layout),
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
