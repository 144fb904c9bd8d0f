"""``make ablate``: train a recipe in full and without each ingredient; rank the effects."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from search.commands.ablation.comparison_run import Comparison, Findings
from search.commands.ablation.effects import METHOD, SCHEMA, Ablation, effects_of
from search.commands.ablation.figure import ablation_figure
from search.commands.ablation.stage import STAGE, ablate_stage
from search.commands.ablation.text import CAVEAT, answer, full_line, missing_lines, plan_lines, rows
from search.commands.ablation.variants import Ingredient, ingredients, variants
from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.machine import this_machine
from search.plan.plan import Plan
from search.plan.resources import device_of, num_threads, num_workers
from search.plan.room import needs_of, require_memory
from search.plan.stage_size import StageSize
from search.records.journal import Journal
from search.records.trials import Trial
from search.tracking.answer import Answer
from spaces.recipe import Recipe
from trainable.data.datasets import Dataset
from trainable.precision import Diverged
from trainable.timing import time_run

_DECIMALS = 4


def _ingredients(plan: Plan) -> tuple[Ingredient, ...]:
    return ingredients(plan.reference, plan.task)


def _recipes(plan: Plan) -> dict[str, Recipe]:
    return variants(plan.reference, _ingredients(plan))


def _stages(config: RunConfig, plan: Plan, journal: Journal) -> list[Callable[[], Stage]]:
    return [lambda: ablate_stage(journal, plan, config, _recipes(plan))]


def _sizes(config: RunConfig, plan: Plan) -> list[StageSize]:
    num_trials = len(_recipes(plan)) * config.seeds
    return [StageSize(name=STAGE, num_trials=num_trials, epochs=plan.reference.epochs)]


def _plan_lines(config: RunConfig, plan: Plan) -> list[str]:
    return plan_lines(_ingredients(plan), seeds=config.seeds)


def _timed(config: RunConfig, plan: Plan, dataset: Dataset) -> list[StageSize]:
    run_s = run_seconds(config, plan, dataset, plan.reference)
    return [replace(size, full_s=run_s) for size in _sizes(config, plan)]


def run_seconds(config: RunConfig, plan: Plan, dataset: Dataset, recipe: Recipe) -> float | None:
    """Estimate the seconds of one run evaluated at its end; None if its first steps diverge.

    Raises:
        InputError: If as many trials as run at once do not fit into the machine's memory.
    """
    try:
        timing = time_run(
            recipe, dataset, device=device_of(config), num_threads=num_threads(config)
        )
    except Diverged:
        return None
    # Checkpoints are no question of room: one of each running trial, and no run keeps its weights.
    needs = needs_of(
        dataset, num_workers=num_workers(config), training_bytes=timing.host_bytes, state_bytes=0
    )
    require_memory(needs, config, this_machine(config))
    # Validation with raw and averaged weights, and as many training images with those that ship.
    evaluated_s = 3 * plan.data.num_val * timing.evaluated_image_s
    return plan.task.total_steps * timing.step_s + evaluated_s


def _find(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Findings:
    found = effects_of(trials, _ingredients(plan), steps_per_epoch=plan.task.steps_per_epoch)
    sentence, table = answer(found), rows(found)
    remarks = [
        CAVEAT,
        f"Time per step: median epoch, with {num_workers(config)} run(s) at once on this machine."
        if not config.ray_address
        else "Time per step: median epoch, among other runs of the cluster.",
        *_diverged(found),
        *_failed(trials),
        *missing_lines(found),
    ]
    return Findings(
        data={
            "schema": SCHEMA,
            "run": config.run_name,
            "dataset": plan.data.name,
            "model": plan.reference.model,
            "num_train": plan.data.num_train,
            "num_val": plan.data.num_val,
            "total_steps": plan.task.total_steps,
            "seeds": config.seeds,
            "method": METHOD,
            "sentence": sentence,
            "recipe": plan.reference.to_dict(),
            **found.to_dict(),
        },
        rows=_csv_rows(found),
        answer=Answer(
            sentence=sentence,
            rows=table,
            remarks=[full_line(found), *remarks],
            metrics=_metrics(found),
        ),
        figure=ablation_figure(found),
        lines=[full_line(found)],
        remarks=remarks,
    )


def _csv_rows(found: Ablation) -> list[dict[str, object]]:
    return [
        {
            "rank": rank,
            "ingredient": worth.name,
            "value": worth.value,
            **worth.top1.as_metrics("top1"),
            **worth.nll.as_metrics("nll"),
            **worth.step_time.as_metrics("step_time"),
            "without_top1": worth.without_top1,
            "without_step_ms": worth.without_step_ms,
            "accuracy": worth.accuracy,
            "only_speed": worth.only_speed,
            "num_blocks": worth.num_blocks,
            "num_diverged": worth.num_diverged,
        }
        for rank, worth in enumerate(found.worths, start=1)
    ]


def _metrics(found: Ablation) -> dict[str, float]:
    values = {
        "full/top1": found.top1.mean,
        "full/nll": found.nll.mean,
        "full/step_ms": found.step_ms.mean,
        "full/epoch_s": found.epoch_s.mean,
    }
    for worth in found.worths:
        values |= worth.top1.as_metrics(f"effect/{worth.name}")
        values |= worth.step_time.as_metrics(f"slowdown/{worth.name}")
    return {name: round(x, _DECIMALS) for name, x in values.items() if math.isfinite(x)}


def _diverged(found: Ablation) -> list[str]:
    said = {"the full recipe": found.num_full_diverged}
    said |= {f"without {worth.label}": worth.num_diverged for worth in found.worths}
    return [
        f"{number} of the runs {name if name.startswith('without') else f'of {name}'} diverged; "
        "the differences are over the others."
        for name, number in said.items()
        if number
    ]


def _failed(trials: Sequence[Trial]) -> list[str]:
    failed = [trial for trial in trials if trial.status == "failed"]
    return [
        f"{trial.spec.role}, block {trial.spec.block}, failed and is left out: {trial.reason}"
        for trial in failed
    ]


ABLATION = Comparison(
    kind="ablation",
    stages=_stages,
    sizes=_sizes,
    plan_lines=_plan_lines,
    timed=_timed,
    find=_find,
)
