"""Are the culprits found that were planted, and only those?

    python -m benchmarks.planted.record                           # about 90 core-minutes, resumable
    python -m benchmarks.planted.record --tasks fashion --budget-min 10
    python -m benchmarks.planted.report                    # docs/planted.md from the table

Each case is what ``make diagnose`` does: a reference with one or two strengths planted far too
strong, or none, is held against the size-scaled default (or a given recipe). Plan,
experiment and training are the product's (`search.plan.planning.make_plan`,
`search.stages.experiment.block_specs`, `trainable.trainer.Trainer`), without Ray: the specs are run
one after the other, and what the product would read from its journal is appended to
``benchmarks/planted/record.csv``, a row per run and weight average. More blocks are recorded than
one diagnosis uses, so that many diagnoses can be drawn from them (`benchmarks.planted.verdicts`).
What has been recorded is not run again.

Three kinds of runs:

- ``block``: the cells of the experiment;
- ``single``: what one-at-a-time ablation needs and the block lacks: one strength changed, with the
  block's split and seed;
- ``fresh``: reference, best and everything-off on further seeds, for the fit state. They are
  measured on validation images, for no test image is needed here.

A case whose reference differs from another one's in ``ema_decay`` alone shares the runs of that
case and has a level of its own in them, for averages do not act back on training.
"""

import argparse
import csv
import io
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.planted.cases import CASES, TASKS, candidate_of, config_of, fresh_owner
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.records.trials import TrialSpec
from search.stages.experiment import block_specs, confirm_specs, experiment_factors
from spaces.recipe import Recipe
from trainable.data.datasets import Dataset
from trainable.data.splits import resplit
from trainable.precision import Diverged
from trainable.trainer import Trainer

DATA = Path(__file__).with_suffix(".csv")
METRICS = ("val/top1", "val/nll", "val/nll_refined", "clean_train/top1", "clean_train/nll")
COLUMNS = ("case", "kind", "block", "cell", "level", *METRICS, "cpu_s")
DIVERGED = "diverged"
"""Level of the one row of a run that diverged; it has no metrics."""
MOST_ROUNDS = 3
"""Pairs of blocks of a case, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run of a case; ``spec`` says all of it."""

    case: str
    kind: str
    spec: TrialSpec

    @property
    def block(self) -> int:
        """Block of the experiment, or number of the fresh seed."""
        return self.spec.block or 0

    @property
    def cell(self) -> str:
        """Name of the run within its block: signs of the levels, or a role."""
        if self.kind == "fresh":
            return self.spec.role
        return "".join("+" if level > 0 else "-" for level in self.spec.levels.values())

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Unique, and the same in every process."""
        return self.case, self.kind, str(self.block), self.cell


def runs_of(name: str, plan: Plan, config: RunConfig, *, round_number: int) -> Iterator[Run]:
    """The runs of a case that belong to one round: a pair of blocks, and what goes with it.

    Cases take turns round by round, so that what is there when time is up can be evaluated.
    """
    case, best = CASES[name], candidate_of(plan)
    if round_number < case.pairs:
        for block in (2 * round_number, 2 * round_number + 1):
            for spec in _of_block(plan, best, config, block):
                yield Run(case=name, kind="block", spec=spec)
        for spec in _singles(plan, best, config, block=2 * round_number):
            yield Run(case=name, kind="single", spec=spec)
    if round_number == 1:
        yield from _fresh(name, plan, best, config)


def _of_block(plan: Plan, best: Recipe, config: RunConfig, block: int) -> list[TrialSpec]:
    what = experiment_factors(plan, best)
    return block_specs(plan, best, what, block=block, seed=config.seed)


def _singles(plan: Plan, best: Recipe, config: RunConfig, *, block: int) -> list[TrialSpec]:
    """Runs of a one-at-a-time ablation in this block that the block itself does not hold."""
    here = _of_block(plan, best, config, block)
    held = [dict(spec.levels) for spec in here]
    return [
        replace(
            spec,
            recipe=replace(spec.recipe, seed=here[0].recipe.seed),
            split_seed=here[0].split_seed,
            block=block,
        )
        for spec in _of_block(plan, best, config, block + 1)
        if dict(spec.levels) not in held and sum(level > 0 for level in spec.levels.values()) <= 1
    ]


def _fresh(name: str, plan: Plan, best: Recipe, config: RunConfig) -> Iterator[Run]:
    for spec in confirm_specs(plan, config, best=best):
        owner = fresh_owner(name) if spec.role in ("best", "off") else name
        yield Run(case=owner, kind="fresh", spec=replace(spec, evaluate_on="val"))


def carry_out(run: Run, dataset: Dataset) -> list[dict[str, object]]:
    """Train and measure as `trainable.ray_trainable` does; one row per weight average."""
    spec, started = run.spec, time.process_time()
    assert spec.split_seed is not None
    levels = {**spec.ema_levels, **CASES[run.case].averages}
    if run.kind == "fresh":
        levels = {"none": 0.0, **(CASES[run.case].averages if spec.role == "reference" else {})}
    trainer = Trainer(
        spec.recipe,
        dataset,
        resplit(dataset.split, dataset.labels, seed=spec.split_seed),
        ema_levels=levels,
    )
    head = dict(zip(COLUMNS, run.key, strict=False))
    try:
        for _ in range(spec.recipe.epochs):
            trainer.train_epoch()
        metrics = trainer.evaluate("val")
    except Diverged:
        return [{**head, "level": DIVERGED, "cpu_s": f"{time.process_time() - started:.2f}"}]
    # The levels of a block tell what the recipe ships; elsewhere it is "own".
    shown = list(levels) if run.kind in ("block", "single") else ["own", *levels]
    used = f"{time.process_time() - started:.2f}"
    return [
        {
            **head,
            "level": level,
            **{m: f"{metrics[_at(m, level)]:.5g}" for m in METRICS},
            "cpu_s": used if level == shown[0] else "",
        }
        for level in shown
    ]


def _at(metric: str, level: str) -> str:
    return metric if level == "own" else metric.replace("/", f".{level}/")


def finished_runs(path: Path) -> set[tuple[str, ...]]:
    """Keys of the runs whose rows are in the table."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {tuple(row[name] for name in COLUMNS[:4]) for row in csv.DictReader(file)}


def append(path: Path, rows: list[dict[str, object]]) -> None:
    """Add the rows of one run at once, so that two processes can write to one table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    if not path.exists():
        writer.writeheader()
    writer.writerows(rows)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), help="[default: all of them]")
    parser.add_argument("--budget-min", type=float, default=120.0, help="Begin no run after this.")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()) / "planted")
    parser.add_argument("--table", type=Path, default=DATA)
    args = parser.parse_args()
    torch.set_num_threads(1)
    started, done = time.monotonic(), finished_runs(args.table)
    names = args.cases or [name for name, case in CASES.items() if case.task in args.tasks]
    plans = {}
    for name in names:
        config = config_of(name, work_dir=args.work_dir, data_dir=args.data_dir)
        plans[name] = (config, *make_plan(config))
    for round_number, name in itertools.product(range(MOST_ROUNDS), names):
        config, plan, dataset = plans[name]
        for run in runs_of(name, plan, config, round_number=round_number):
            if run.key in done:
                continue
            if time.monotonic() - started > 60 * args.budget_min:
                return
            append(args.table, carry_out(run, dataset))
            done.add(run.key)
        minutes = (time.monotonic() - started) / 60
        print(f"{minutes:6.1f} min  round {round_number} of {name} is done", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
