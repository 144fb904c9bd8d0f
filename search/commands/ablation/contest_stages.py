"""Trials of a contest of optimizers: tuning of each learning rate, then fresh seeds."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.commands.ablation.stage import block_of
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.journal import Journal
from search.records.metrics import score
from search.records.trials import Trial, TrialSpec, epoch_seconds
from search.stages.fresh_seeds import fresh_seed
from search.stages.listed_stage import ListedStage
from spaces.recipe import Recipe
from trainable.optim.optimizers import DEFAULTS

TUNE, CONTEST = "tune", "contest"
LR_SPAN = 10.0
"""Factor below and above an optimizer's default rate within which rates are tried."""
_AVERAGES_ITSELF = "adamw_schedulefree"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The settings with which an optimizer enters the contest.

    Attributes:
        name: Name of the optimizer.
        lr: The best of the learning rates that were tried.
        is_at_edge: Whether it is the lowest or the highest of them.
        tried: Score by rate, higher is better; None where the run did not finish.
        weight_decay: Raw weight decay.
        step_ratio: Its time per step divided by the first optimizer's.
        epochs: Number of epochs that take as long as the first optimizer's run.
    """

    name: str
    lr: float
    is_at_edge: bool
    tried: dict[float, float | None]
    weight_decay: float
    step_ratio: float
    epochs: int

    @property
    def in_time(self) -> str:
        """Role of its runs in equal time."""
        return f"{self.name} in equal time"


def contestant(plan: Plan, name: str) -> Recipe:
    """Return the recipe with another optimizer, with its learning rate and weight decay converted.

    Both keep their ratio to the optimizer's default: if the recipe has twice the default rate of
    its own optimizer, the result has twice that of the other.
    """
    recipe = plan.reference
    own_lr, own_decay = DEFAULTS[recipe.optimizer]
    lr, decay = DEFAULTS[name]
    changed = replace(
        recipe,
        optimizer=name,
        lr=lr * recipe.lr / own_lr,
        min_lr=lr * recipe.min_lr / own_lr,
    ).with_strengths(weight_decay=decay * recipe.strengths.weight_decay / own_decay)
    # Schedule-free ships an average of its own, which an EMA would replace.
    return changed.with_strengths(ema_decay=0.0) if name == _AVERAGES_ITSELF else changed


def at_rate(recipe: Recipe, lr: float) -> Recipe:
    """Return the recipe at another peak rate; its last rate keeps its ratio to the peak."""
    return replace(recipe, lr=lr, min_lr=recipe.min_lr * lr / recipe.lr)


def rates(default: float, *, number: int) -> list[float]:
    """List the learning rates to try, evenly spaced on a log axis around the default.

    Args:
        default: Rate in the middle.
        number: Number of rates, at least 2.
    """
    exponents = (2 * i / (number - 1) - 1 for i in range(number))
    return [float(f"{default * LR_SPAN**exponent:.4g}") for exponent in exponents]


def tune_specs(plan: Plan, config: RunConfig) -> list[TrialSpec]:
    """List a trial for every optimizer with every rate, all on one split and seed."""
    seed = fresh_seed(config.seed, stage=TUNE, number=0)
    recipes = []
    for name in config.optimizers:
        recipe = contestant(plan, name)
        recipes += [
            replace(at_rate(recipe, lr), seed=seed)
            for lr in rates(recipe.lr, number=config.lr_trials)
        ]
    # In random order, as times are compared and the machine may be slower at the start.
    random.Random(seed).shuffle(recipes)
    return [
        TrialSpec(stage=TUNE, number=i, role=recipe.optimizer, recipe=recipe, split_seed=seed)
        for i, recipe in enumerate(recipes)
    ]


def tune_stage(journal: Journal, plan: Plan, config: RunConfig) -> ListedStage:
    """Make the stage that tries each optimizer's learning rates."""
    specs = tune_specs(plan, config)
    return ListedStage(TUNE, journal, lambda number: specs if number == 0 else [])


def contest_stage(journal: Journal, plan: Plan, config: RunConfig) -> ListedStage:
    """Make the stage that runs each optimizer per block, at equal epochs and in equal time."""
    chosen = choices(journal.of_stage(TUNE), plan, config)
    recipes: dict[str, Recipe] = {}
    for choice in chosen:
        recipe = at_rate(contestant(plan, choice.name), choice.lr)
        recipes[choice.name] = recipe
        if choice.epochs != recipe.epochs:  # Else one run counts for both comparisons.
            recipes[choice.in_time] = replace(recipe, epochs=choice.epochs)

    def batch(block: int) -> Sequence[TrialSpec]:
        if block >= config.seeds:
            return []
        return block_of(recipes, stage=CONTEST, block=block, seed=config.seed)

    return ListedStage(CONTEST, journal, batch, num_sure=config.seeds)


def choices(trials: Sequence[Trial], plan: Plan, config: RunConfig) -> list[Choice]:
    """Choose the best rate of each optimizer, in the configured order.

    An optimizer that finished with no rate is left out; if that is the first one, times are
    compared with the next.

    Args:
        trials: Trials of the stage `TUNE`, all ended.
        plan: The plan.
        config: The run's settings.
    """
    found: list[Choice] = []
    base_s = math.nan
    for name in config.optimizers:
        mine = sorted((t for t in trials if t.spec.role == name), key=lambda t: t.spec.recipe.lr)
        tried = {t.spec.recipe.lr: _score(t, plan, config) for t in mine}
        finished = {lr: value for lr, value in tried.items() if value is not None}
        if not finished:
            continue
        lr = max(finished, key=lambda rate: finished[rate])
        step_s = statistics.median(epoch_seconds(t) for t in mine if t.is_full_length)
        base_s = step_s if math.isnan(base_s) else base_s
        ratio = step_s / base_s
        found.append(
            Choice(
                name=name,
                lr=lr,
                is_at_edge=lr in (min(tried), max(tried)),
                tried=tried,
                weight_decay=mine[0].spec.recipe.strengths.weight_decay,
                step_ratio=ratio,
                epochs=max(1, round(plan.reference.epochs / ratio)),
            )
        )
    return found


def _score(trial: Trial, plan: Plan, config: RunConfig) -> float | None:
    if not trial.is_full_length:
        return None
    return score(trial.records[-1].metrics, metric=config.metric, num_val=plan.data.num_val)
