"""Experiments with known truth through the product's own looks: found, false, covered.

    python -m benchmarks.planted.simulation --experiments 1000

A diagnosis of five dials is simulated: four strengths that act on training, each run having one
level of each, and the weight average, measured within each run. Numbers are drawn, the rest is the
product's code: `search.verdict.looking` says when the experiment is looked at and stops,
`search.verdict.dials` decides. Noise is that of top-1 on 300 validation images, in points: the
recorded deviation from run to run is 2.5 in the median and 1.8 on small-transfer. An effect differs
from split to split by ``split`` times that deviation; docs/planted.md has what was recorded. The
two log-losses have noise of their own, independent of accuracy, which is the worst case for looking
at all of them; they are 0.055 nats from run to run, as recorded on small-transfer.
"""

import argparse
import multiprocessing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from benchmarks.planted.markdown import row, share
from search.records.metrics import TOP1, Metric
from search.verdict.answer.advised_value import advised_value
from search.verdict.design import AVERAGES, Factors, cells
from search.verdict.dials import decide
from search.verdict.effects import Run
from search.verdict.judgement import Look
from search.verdict.looking import Schedule, looks_at, may_stop, rounds_of
from search.verdict.schema import Dial
from spaces.task import Task

Floats = npt.NDArray[np.float64]

TRAJECTORY = ("label_smoothing", "weight_decay", "drop_path_rate", "warmup_fraction")
FACTORS = Factors(trajectory=TRAJECTORY, within=(AVERAGES,), unchanged=())
REFERENCE = dict(zip((*TRAJECTORY, "ema_decay"), (0.1, 4.0, 0.1, 0.2, 0.98), strict=True))
BEST = dict.fromkeys(REFERENCE, 0.0)
TASK = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)
SCHEDULE = Schedule(first=2, plans=(4,))
METRICS = ("val/top1", "val/nll_refined", "val/nll")
LOSS_NOISE = 0.055
TURNED = ("down", "up")


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The true values of simulated experiments, with accuracy in points of top-1.

    Attributes:
        name: For the table.
        gains: True gain of each strength's change; what is missing does nothing.
        run: Deviation from run to run within a block.
        block: Deviation of the level from block to block.
        split: Deviation of each accuracy effect from split to split, over ``run``.
        loss_split: The same of log-loss.
        interaction: Change of the third strength's effect by the second's level.
        ema_gain: True gain of the average's change.
        ema_run: Deviation of the difference between averages from run to run.
        ema_block: The same from block to block, over ``ema_run``.
    """

    name: str
    gains: Mapping[str, float] = field(default_factory=dict)
    run: float = 1.8
    block: float = 1.5
    split: float = 0.22
    loss_split: float = 0.5
    interaction: float = 0.0
    ema_gain: float = 0.0
    ema_run: float = 0.6
    ema_block: float = 1.0

    def truth(self, name: str) -> float:
        """True change of accuracy by the strength's change, in points."""
        return self.ema_gain if name == "ema_decay" else self.gains.get(name, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one simulated experiment.

    Attributes:
        num_runs: Runs until it stopped.
        turned: Strengths that were turned.
        covered: By strength, whether the 95 % interval of top-1 holds the truth.
        selected: By turned strength that accuracy decided, the same of the selected interval.
        shown: By turned strength, the plain and the selected mean, in points.
        advised: Strengths of which the advised recipe has the best's value.
    """

    num_runs: int
    turned: frozenset[str]
    covered: Mapping[str, bool]
    selected: Mapping[str, bool]
    shown: Mapping[str, tuple[float, float]]
    advised: frozenset[str]


def experiment(
    condition: Condition,
    seed: int,
    *,
    schedule: Schedule = SCHEDULE,
    top_ups: Sequence[int] = (),
) -> Outcome:
    """Simulate one experiment from its first block to its dials.

    Args:
        condition: What is true.
        seed: Of all numbers.
        schedule: When it is looked at, as first planned.
        top_ups: Most blocks after each top-up; somebody asks for it while a dial is open.
    """
    rng = np.random.default_rng([seed, 7])
    runs: list[Run] = []
    looks: list[Look] = []
    dials: tuple[Dial, ...] = ()
    rounds = 0  # A round is one block of eight runs here.
    for plans in accumulate([schedule.plans, *((most,) for most in top_ups)]):
        now = Schedule(first=schedule.first, plans=plans)
        while rounds < now.plans[-1] and not (looks and may_stop(runs, FACTORS, now, dials)):
            until = max(now.first, rounds + 1)
            for block in range(rounds, until):
                runs += _block(condition, block, rng)
            rounds = until
            looks.append(newest_look(runs, now))
            dials = decide(
                looks,
                reference=REFERENCE,
                best=BEST,
                task=TASK,
                runs_per_round=rounds_of(FACTORS).runs,
            )
    return _outcome(condition, len(runs), dials)


def newest_look(runs: Sequence[Run], schedule: Schedule, *, first: Metric = TOP1) -> Look:
    """Return the last of `looks_at`, without estimating all earlier ones again."""
    rounds = len({run.block for run in runs})
    at = replace(schedule, first=rounds)
    (look,) = looks_at(runs, rounds_of(FACTORS), at, first=first)
    return replace(look, share=schedule.share(rounds))


def _block(condition: Condition, block: int, rng: np.random.Generator) -> Iterable[Run]:
    layout = cells(TRAJECTORY, block=block)
    levels = np.array([[cell[name] for name in TRAJECTORY] for cell in layout], float)
    gains = np.array([condition.gains.get(name, 0.0) for name in TRAJECTORY])
    values: dict[str, Floats] = {}
    for metric in METRICS:
        is_top1 = metric == "val/top1"
        run = condition.run if is_top1 else LOSS_NOISE
        split = condition.split if is_top1 else condition.loss_split
        slopes = rng.normal(0.0, split * run, len(TRAJECTORY)) + (gains if is_top1 else 0.0)
        values[metric] = rng.normal(0.0, run, len(layout)) + levels @ slopes / 2
        values[metric] += rng.normal(0.0, condition.block / condition.run * run)
    values["val/top1"] += condition.interaction / 4 * levels[:, 1] * levels[:, 2]
    # A difference of averages in points; log-loss as if one point were 0.03 nats.
    gap = condition.ema_gain + rng.normal(0.0, condition.ema_block * condition.ema_run)
    gaps = gap + rng.normal(0.0, condition.ema_run, len(layout))
    scale = {"val/top1": 0.01, "val/nll_refined": 1.0, "val/nll": 1.0}
    for place, cell in enumerate(layout):
        best = {metric: float(values[metric][place] * scale[metric]) for metric in METRICS}
        away = {"val/top1": 0.01 * gaps[place]} | dict.fromkeys(METRICS[1:], -0.03 * gaps[place])
        reference = {metric: best[metric] - float(away[metric]) for metric in METRICS}
        yield Run(
            run_id=f"{block}-{place}",
            block=block,
            levels=cell,
            metrics={"best": best, "reference": reference},
        )


def _outcome(condition: Condition, num_runs: int, dials: Sequence[Dial]) -> Outcome:
    turned = [dial for dial in dials if dial.turn in TURNED]

    def holds(interval: tuple[float, float], name: str) -> bool:
        return interval[0] <= condition.truth(name) / 100 <= interval[1]

    by_accuracy = [d for d in turned if d.decided_by == "val/top1" and d.selected is not None]
    return Outcome(
        num_runs=num_runs,
        turned=frozenset(dial.strength for dial in turned),
        covered={d.strength: holds(d.effect["val/top1"].ci95, d.strength) for d in dials},
        selected={
            d.strength: holds(d.selected.ci95, d.strength) for d in by_accuracy if d.selected
        },
        shown={
            d.strength: (100 * d.effect["val/top1"].mean, 100 * d.selected.mean)
            for d in by_accuracy
            if d.selected
        },
        advised=frozenset(d.strength for d in dials if advised_value(d)[0] != d.reference),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Shares over many experiments of one condition.

    Attributes:
        found: Experiments that turned the first culprit; NaN without one.
        num_runs: Mean runs.
        false: Experiments that turned a strength that does nothing.
        coverage: Of the 95 % intervals of top-1 of the four strengths.
        ema_coverage: Of that of the average.
        selected: Coverage of the first culprit's selected interval, where it was turned.
        shown: Mean plain and selected effect of the first culprit where it was turned, in points.
    """

    found: float
    num_runs: float
    false: float
    coverage: float
    ema_coverage: float
    selected: float
    shown: tuple[float, float]


def summarize(condition: Condition, outcomes: Sequence[Outcome]) -> Summary:
    """The shares over experiments of one condition."""
    culprits = [name for name in REFERENCE if condition.truth(name) > 0.0]
    first = culprits[0] if culprits else ""
    hits = [outcome for outcome in outcomes if first in outcome.selected]
    pairs = np.array([outcome.shown[first] for outcome in hits]).reshape(-1, 2)
    return Summary(
        found=_mean(first in o.turned for o in outcomes) if first else float("nan"),
        num_runs=_mean(o.num_runs for o in outcomes),
        false=_mean(bool(o.turned - set(culprits)) for o in outcomes),
        coverage=_mean(o.covered[name] for o in outcomes for name in TRAJECTORY),
        ema_coverage=_mean(o.covered["ema_decay"] for o in outcomes),
        selected=_mean(o.selected[first] for o in hits),
        shown=(_mean(pairs[:, 0]), _mean(pairs[:, 1])),
    )


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else float("nan")


SMOOTHING = "label_smoothing"
CONDITIONS = (
    *(Condition(name=f"{d} points", gains={SMOOTHING: d}) for d in (1, 2, 3, 4, 5)),
    *(
        Condition(name=f"3 points, noise {run}", gains={SMOOTHING: 3}, run=run, block=run)
        for run in (1.2, 2.5)
    ),
    *(
        Condition(name=f"3 points, interaction {i}", gains={SMOOTHING: 3}, interaction=i)
        for i in (4, 6, 8)
    ),
    Condition(name="3 points, recorded splits", gains={SMOOTHING: 3}, split=0.5, loss_split=1.0),
    Condition(name="nothing"),
    Condition(name="nothing, noise 2.5", run=2.5, block=2.5),
    Condition(name="nothing, recorded splits", split=0.5, loss_split=1.0),
    Condition(name="nothing, largest recorded splits", split=1.0, loss_split=1.5),
    Condition(name="nothing, interaction 8", interaction=8),
    *(
        Condition(name=f"lagging average, blocks {r} x", ema_gain=70, ema_run=1.8, ema_block=r)
        for r in (0.75, 1.5, 2.9)
    ),
    Condition(name="average 1 point", ema_gain=1),
)


def table(num: int, conditions: Sequence[Condition] = CONDITIONS) -> str:
    """The Markdown table of docs/planted.md."""
    lines = [
        "| condition | first culprit found | runs | any false turn | 95 % intervals cover | "
        "of the average | of the turned culprit | shown, plain and selected |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    with multiprocessing.Pool() as pool:
        for condition in conditions:
            outcomes = pool.map(partial(experiment, condition), range(num), chunksize=10)
            found = summarize(condition, outcomes)
            shown = "{:+.1f}, {:+.1f}".format(*found.shown) if found.selected >= 0 else ""
            cells_ = [
                condition.name,
                share(found.found),
                f"{found.num_runs:.1f}",
                share(found.false),
                share(found.coverage),
                share(found.ema_coverage),
                share(found.selected),
                shown,
            ]
            lines.append(row(*cells_))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Simulate all conditions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1000, help="of each condition")
    parser.add_argument("--only", default="", help="conditions whose name holds this")
    given = parser.parse_args()
    chosen = [c for c in CONDITIONS if given.only in c.name]
    table(given.experiments, chosen)


if __name__ == "__main__":
    main()
