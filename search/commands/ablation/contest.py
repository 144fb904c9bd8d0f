"""``make ablate OPTIMIZERS=...``: compare optimizers, each at its own tuned learning rate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from search.commands.ablation.comparison_run import Comparison, Findings
from search.commands.ablation.contest_result import (
    METHOD,
    SCHEMA,
    Contest,
    Round,
    Standing,
    contest_of,
)
from search.commands.ablation.contest_stages import (
    CONTEST as CONTEST_STAGE,
)
from search.commands.ablation.contest_stages import (
    TUNE,
    choices,
    contest_stage,
    contestant,
    tune_stage,
)
from search.commands.ablation.contest_text import answer, plan_lines, remarks, rows
from search.commands.ablation.figure import cell_of
from search.commands.ablation.job import run_seconds
from search.commands.ablation.text import TIME, interval
from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import StageSize
from search.records.journal import Journal
from search.records.metrics import TOP1
from search.records.trials import Trial
from search.report.figures.catalogue import Figure
from search.report.figures.forest import Panel, Row, forest
from search.tracking.answer import Answer
from search.verdict.schema import Estimate
from trainable.data.datasets import Dataset

KIND = "optimizers"
_DECIMALS = 4
_UNKNOWN = Estimate(mean=math.nan, ci95=(-math.inf, math.inf))


def _stages(config: RunConfig, plan: Plan, journal: Journal) -> list[Callable[[], Stage]]:
    return [
        lambda: tune_stage(journal, plan, config),
        lambda: contest_stage(journal, plan, config),
    ]


def _sizes(config: RunConfig, plan: Plan) -> list[StageSize]:
    number = len(config.optimizers)
    # All optimizers but the first also run in equal time, as their steps take another time.
    at_contest = (2 * number - 1) * config.seeds
    return [
        StageSize(name=TUNE, num_trials=number * config.lr_trials, epochs=plan.reference.epochs),
        StageSize(name=CONTEST_STAGE, num_trials=at_contest, epochs=plan.reference.epochs),
    ]


def _plan_lines(config: RunConfig, plan: Plan) -> list[str]:
    defaults = {name: contestant(plan, name).lr for name in config.optimizers}
    return plan_lines(defaults, lr_trials=config.lr_trials, seeds=config.seeds)


def _timed(config: RunConfig, plan: Plan, dataset: Dataset) -> list[StageSize]:
    timed = [
        run_seconds(config, plan, dataset, contestant(plan, name)) for name in config.optimizers
    ]
    known = [run_s for run_s in timed if run_s is not None]
    tune, contest = _sizes(config, plan)
    if not known:
        return [tune, contest]
    mean_s, number = sum(known) / len(known), len(timed)
    # Each once for as many epochs, and all but the first once for as long as the first.
    contest_s = (number * mean_s + (number - 1) * known[0]) / (2 * number - 1)
    return [replace(tune, full_s=mean_s), replace(contest, full_s=contest_s)]


def _find(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Findings:
    chosen = choices([t for t in trials if t.spec.stage == TUNE], plan, config)
    if not chosen:
        raise RuntimeError("no optimizer finished with any of its learning rates.")
    found = contest_of([t for t in trials if t.spec.stage == CONTEST_STAGE], chosen)
    left_out = [name for name in config.optimizers if name not in {c.name for c in chosen}]
    said = remarks(found, metric=config.metric)
    said += [f"{name} finished with none of its rates and is left out." for name in left_out]
    sentence = answer(found)
    return Findings(
        data={
            "schema": SCHEMA,
            "run": config.run_name,
            "dataset": plan.data.name,
            "model": plan.reference.model,
            "num_train": plan.data.num_train,
            "num_val": plan.data.num_val,
            "seeds": config.seeds,
            "metric": config.metric,
            "method": METHOD,
            "sentence": sentence,
            "recipe": plan.reference.to_dict(),
            "left_out": left_out,
            **found.to_dict(),
        },
        rows=_csv_rows(found),
        answer=Answer(sentence=sentence, rows=rows(found), remarks=said, metrics=_metrics(found)),
        figure=_figure(found),
        lines=[],
        remarks=said,
    )


def _csv_rows(found: Contest) -> list[dict[str, object]]:
    by_name = {choice.name: choice for choice in found.choices}
    return [
        {
            "compared_at": one.at,
            "rank": rank,
            "optimizer": standing.name,
            "lr": by_name[standing.name].lr,
            "weight_decay": by_name[standing.name].weight_decay,
            "epochs": standing.epochs,
            "step_ratio": by_name[standing.name].step_ratio,
            **{
                name: value
                for column, estimate in _estimates(standing).items()
                for name, value in estimate.as_metrics(column).items()
            },
            "train_s": standing.train_s,
            "num_blocks": standing.num_blocks,
            "is_winner": standing.name == one.winner,
        }
        for one in found.rounds
        for rank, standing in enumerate(one.standings, start=1)
    ]


def _estimates(standing: Standing) -> dict[str, Estimate]:
    """Collect an optimizer's estimates by name; the first has no differences from itself."""
    measured = {
        "top1": standing.top1,
        "nll": standing.nll,
        "top1_difference": standing.top1_difference,
        "nll_difference": standing.nll_difference,
    }
    return {name: estimate for name, estimate in measured.items() if estimate is not None}


def _metrics(found: Contest) -> dict[str, float]:
    values: dict[str, float] = {}
    for one in found.rounds:
        at = one.at.replace(" ", "_")
        for standing in one.standings:
            values[f"{at}/{standing.name}_top1"] = standing.top1.mean
            if standing.top1_difference is not None:
                values |= standing.top1_difference.as_metrics(f"{at}/{standing.name}_difference")
    return {name: round(x, _DECIMALS) for name, x in values.items() if math.isfinite(x)}


def _figure(found: Contest) -> Figure:
    names = [choice.name for choice in found.choices[1:]]
    of_round = [_differences(one, names) for one in found.rounds]
    rows = []
    for i, choice in enumerate(found.choices[1:]):
        time = found.step_time[choice.name]
        differences = [differences[i] for differences in of_round]
        points = [(d, interval(TOP1.unit, d)) for d in differences]
        cells = [cell_of(d, text, scale=100, better=1) for d, text in points]
        cells.append(cell_of(time, interval(TIME, time), scale=100, better=-1))
        words = f"lr {choice.lr:.3g}; {choice.epochs} epochs in equal time"
        rows.append(Row(label=choice.name, words=words, cells=tuple(cells)))
    panels = [
        Panel(
            title=f"points, {one.at}",
            left=f"{found.base} better",
            right="better",
            margin=TOP1.unit.scale * TOP1.margin,
        )
        for one in found.rounds
    ]
    panels.append(Panel(title="time per step, %", left="faster", right="slower"))
    return Figure(
        name=KIND,
        title=f"Optimizers against {found.base}",
        caption="Top-1 of each optimizer with its own learning rate, less that of the first one; "
        "bars are intervals that hold together with 95 % for all pairs, and a hollow mark is not "
        "distinguishable.",
        draw=partial(forest, rows, panels),
    )


def _differences(one: Round, names: Sequence[str]) -> list[Estimate]:
    found = {standing.name: standing.top1_difference for standing in one.standings}
    return [found[name] or _UNKNOWN for name in names]


CONTEST = Comparison(
    kind=KIND,
    stages=_stages,
    sizes=_sizes,
    plan_lines=_plan_lines,
    timed=_timed,
    find=_find,
)
