"""Which trials a contest of optimizers runs: each one's learning rate first, then fresh seeds."""

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
"""The rates tried reach from a default divided by this to the default times this."""
_AVERAGES_ITSELF = "adamw_schedulefree"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """With what an optimizer enters the contest.

    Attributes:
        name: Of the optimizer.
        lr: The best of the rates that were tried.
        is_at_edge: Whether it is the lowest or the highest of them.
        tried: Score by rate, higher is better; None where the run did not finish.
        weight_decay: Raw.
        step_ratio: Its time per step as a multiple of the first optimizer's.
        epochs: Epochs that take as long as the first optimizer's.
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
        """Role of its runs that take as long as the first optimizer's."""
        return f"{self.name} in equal time"


def contestant(plan: Plan, name: str) -> Recipe:
    """The recipe with another optimizer at its default rate and decay.

    What the recipe's own rate and decay are of its own optimizer's defaults, the other's are of
    its: optimizers differ in scale, and the recipe in how far it goes.
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
    # What it ships is an average already; one of the weights it trains would take its place.
    return changed.with_strengths(ema_decay=0.0) if name == _AVERAGES_ITSELF else changed


def at_rate(recipe: Recipe, lr: float) -> Recipe:
    """The recipe at another peak rate; its schedule ends at the same share of it."""
    return replace(recipe, lr=lr, min_lr=recipe.min_lr * lr / recipe.lr)


def rates(default: float, *, number: int) -> list[float]:
    """Learning rates to try, evenly spaced on a log axis around the default.

    Args:
        default: In the middle.
        number: How many, at least 2.
    """
    exponents = (2 * i / (number - 1) - 1 for i in range(number))
    return [float(f"{default * LR_SPAN**exponent:.4g}") for exponent in exponents]


def tune_specs(plan: Plan, config: RunConfig) -> list[TrialSpec]:
    """Every optimizer with every rate, all on one split and seed."""
    seed = fresh_seed(config.seed, stage=TUNE, number=0)
    recipes = []
    for name in config.optimizers:
        recipe = contestant(plan, name)
        recipes += [
            replace(at_rate(recipe, lr), seed=seed)
            for lr in rates(recipe.lr, number=config.lr_trials)
        ]
    # Their times are compared, so no optimizer must have the machine's start to itself.
    random.Random(seed).shuffle(recipes)
    return [
        TrialSpec(stage=TUNE, number=i, role=recipe.optimizer, recipe=recipe, split_seed=seed)
        for i, recipe in enumerate(recipes)
    ]


def tune_stage(journal: Journal, plan: Plan, config: RunConfig) -> ListedStage:
    """The search for each optimizer's learning rate."""
    specs = tune_specs(plan, config)
    return ListedStage(TUNE, journal, lambda number: specs if number == 0 else [])


def contest_stage(journal: Journal, plan: Plan, config: RunConfig) -> ListedStage:
    """Every optimizer with its rate, once per block at equal epochs and once in equal time."""
    chosen = choices(journal.of_stage(TUNE), plan, config)
    recipes: dict[str, Recipe] = {}
    for choice in chosen:
        recipe = at_rate(contestant(plan, choice.name), choice.lr)
        recipes[choice.name] = recipe
        if choice.epochs != recipe.epochs:  # If not, one run stands for both.
            recipes[choice.in_time] = replace(recipe, epochs=choice.epochs)

    def batch(block: int) -> Sequence[TrialSpec]:
        if block >= config.seeds:
            return []
        return block_of(recipes, stage=CONTEST, block=block, seed=config.seed)

    return ListedStage(CONTEST, journal, batch, num_sure=config.seeds)


def choices(trials: Sequence[Trial], plan: Plan, config: RunConfig) -> list[Choice]:
    """The best rate of each optimizer, in the order asked for.

    An optimizer that finished with no rate is left out; if that is the first one, the times are
    compared with the first that is left.

    Args:
        trials: Of the stage `TUNE`, all of them ended.
        plan: The plan.
        config: What was asked.
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
