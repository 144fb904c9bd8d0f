"""Runs with random true effects and noise, brought to a verdict by the product's own code."""

import base64
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import write_json
from search.records.journal import Journal
from search.records.trials import Trial
from search.stages.analysis import Analysis, analyse
from search.stages.sequence import stage_makers
from spaces.recipe import Recipe
from tests.support.finished_run import a_config, a_plan
from tests.support.replay import replay


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Hidden properties of a task that decide the metrics of every trial.

    Attributes:
        level: Validation accuracy without any regularization.
        gap: Excess of the accuracy on training images.
        gains: By strength, the accuracy that the reference's value changes.
        fits: By strength, the accuracy on training images that the reference's value changes.
        lag: Accuracy that the reference's long average loses.
        spread: Standard deviation of a trial.
        spread_of_seed: Standard deviation that the trials of a seed share.
    """

    level: float
    gap: float
    gains: Mapping[str, float]
    fits: Mapping[str, float]
    lag: float
    spread: float
    spread_of_seed: float

    @classmethod
    def drawn(cls, seed: int) -> "Truth":
        rng = random.Random(seed)
        names = ("weight_decay", "label_smoothing", "drop_path_rate", "warmup_fraction")
        size = rng.choice((0.005, 0.03, 0.08))
        return cls(
            level=rng.uniform(0.45, 0.94),
            gap=rng.choice((0.0, 0.02, 0.15, 0.3)),
            gains={name: rng.gauss(0.0, size) for name in names},
            fits={name: -abs(rng.gauss(0.0, size)) for name in names},
            lag=rng.choice((0.0, 0.0, 0.05, 0.6)),
            spread=rng.choice((0.002, 0.01, 0.03)),
            spread_of_seed=rng.choice((0.0, 0.02)),
        )

    def metrics(self, trial: Trial, epoch: int) -> dict[str, float]:
        """Return what a trial reports after an epoch."""
        spec, recipe = trial.spec, trial.spec.recipe
        noise = self.spread * _normal(spec.trial_id, epoch)
        noise += self.spread_of_seed * _normal(spec.split_seed, recipe.seed)
        val = self.level + self._effect(self.gains, recipe) + noise
        clean = self.level + self.gap + self._effect(self.fits, recipe) + noise / 3
        own = recipe.strengths.ema_decay
        levels = {"": own, "_raw": 0.0, "_ema": own}
        levels |= {f".{name}": decay for name, decay in spec.ema_levels.items()}
        found = {"train/loss": 1.0, "cost/train_s": 1.0, "cost/eval_s": 0.1}
        for suffix, decay in levels.items():
            lost = self.lag if decay > 0.99 else -0.002 if decay > 0.5 else 0.0
            lost += self.spread / 4 * _normal(spec.trial_id, epoch, decay)
            found |= _seen(f"val{suffix}", val - lost) | _seen(f"clean_train{suffix}", clean - lost)
            if spec.evaluate_on == "test":
                found |= _seen(f"test{suffix}", val - lost)
        return found

    def _effect(self, sizes: Mapping[str, float], recipe: Recipe) -> float:
        reference = a_plan().reference.strengths
        values = recipe.strengths.as_dict()
        return sum(
            size * min(values[name] / reference.as_dict()[name], 2.0)
            for name, size in sizes.items()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomRun:
    """A run that is over.

    Attributes:
        config: Its settings.
        plan: Its plan.
        trials: All its trials.
        analysis: What was made of them.
    """

    config: RunConfig
    plan: Plan
    trials: list[Trial]
    analysis: Analysis


def random_run(path: Path, seed: int) -> RandomRun:
    """Search, attribute and confirm with the truth of a seed, without training."""
    truth, plan = Truth.drawn(seed), a_plan()
    config = a_config(path, num_samples=8, rerun_top=2, confirm_seeds=3, metric="val/top1")
    (config.path / "predictions").mkdir(parents=True)
    journal = Journal(config.path)
    try:
        journal.begin_session(num_cores=1, cores_per_trial=1)
        conductor = Conductor(journal, stage_makers(config, plan, journal, deadline=None))
        replay(conductor, truth.metrics)
        trials = list(journal.trials.values())
        for trial in trials:
            if trial.spec.evaluate_on == "test":
                _write_predictions(config, plan, trial)
        analysis = analyse(journal, plan, config)
    finally:
        journal.close()
    return RandomRun(config=config, plan=plan, trials=trials, analysis=analysis)


def _write_predictions(config: RunConfig, plan: Plan, trial: Trial) -> None:
    num_test = plan.data.num_test
    correct = np.arange(num_test) < round(num_test * (trial.last("test/top1") or 0.0))
    nll = np.where(correct, 0.2, 2.0).astype("<f2")
    packed = {"correct": np.packbits(correct), "nll": nll}
    write_json(
        config.path / "predictions" / f"{trial.spec.trial_id}.json",
        {name: base64.b64encode(values.tobytes()).decode() for name, values in packed.items()},
    )


def _seen(part: str, accuracy: float) -> dict[str, float]:
    top1 = min(1.0, max(0.01, accuracy))
    nll = 0.05 + 1.5 * (1.0 - top1)
    found = {"top1": top1, "nll": nll, "nll_refined": nll, "nll_se": 0.05, "nll_refined_se": 0.05}
    return {f"{part}/{name}": value for name, value in found.items()}


def _normal(*key: object) -> float:
    return random.Random(zlib.crc32(repr(key).encode())).gauss(0.0, 1.0)
