"""Many diagnoses from the recorded runs of one case, and what is true of it in the long run.

A diagnosis draws two pairs of blocks in some order and goes through them as the product does: a
look after two blocks, after three, after four, until `search.stages.analysis.is_decided_by` says
stop; then the dials, and the fit state from three of the fresh seeds. All ordered draws of two
pairs are taken, so diagnoses of one case share runs: rates are means over cases, and only cases and
disjoint pairs are independent.

What is true: the mean over blocks of the difference between the halves of a block, with its t
interval over blocks. It uses none of the product's error terms. Where a diagnosis is held against
the truth, the truth is that of the *other* blocks of the case alone, with the spread over all.
"""

import csv
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.planted.cases import CASES, Case, candidate_of, config_of, fresh_owner
from benchmarks.planted.record import DIVERGED, METRICS
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.records.metrics import ALWAYS
from search.stages.analysis import decide_dials, is_decided_by
from search.stages.experiment import experiment_factors
from search.verdict.blocked_model import t_quantile
from search.verdict.design import AVERAGES, EMA_FACTOR
from search.verdict.effects import Effect, Run, trajectory_level
from search.verdict.fit.evidence import FitEvidence
from search.verdict.fit.state import fit_state, is_undertrained
from search.verdict.schema import Dial, Fit
from spaces.recipe import Recipe

MAX_BLOCKS, NUM_SEEDS = 4, 3
"""Of one diagnosis; the product's defaults."""
MARGINS = {metric.on("val"): metric.margin for metric in ALWAYS}

Values = Mapping[str, Mapping[str, float]]
"""Metrics by level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One case as it lies in the table, or one of its further references.

    Attributes:
        name: Of the case, with the name of the further reference.
        case: Its settings.
        plan: The product's plan, with the reference of this case.
        config: What ``make diagnose`` would be asked.
        planted: Names of the strengths that were planted.
        fits: Fit states of the reference that are right.
        blocks: Runs by number of the block, for blocks that are whole.
        singles: By number of the block, the runs of a one-at-a-time ablation by what they change;
            the empty text is the reference.
        fresh: By role, then by seed: what the fit state needs.
    """

    name: str
    case: Case
    plan: Plan
    config: RunConfig
    planted: tuple[str, ...]
    fits: tuple[str, ...]
    blocks: Mapping[int, Sequence[Run]]
    singles: Mapping[int, Mapping[str, Run]]
    fresh: Mapping[str, Mapping[int, Mapping[str, float]]]

    @property
    def best(self) -> Recipe:
        """The recipe that is held against the reference."""
        return candidate_of(self.plan)

    @property
    def names(self) -> tuple[str, ...]:
        """Strengths that are asked about."""
        return experiment_factors(self.plan, self.best).names

    @property
    def pairs(self) -> list[int]:
        """Numbers of the pairs of blocks that are whole."""
        return [b // 2 for b in sorted(self.blocks) if b % 2 == 0 and b + 1 in self.blocks]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """The result of one diagnosis.

    Attributes:
        used: Blocks it rests on.
        num_runs: Runs of the experiment.
        effects: By strength and metric.
        dials: All five.
        fit: Fit states, None without fresh seeds.
    """

    used: tuple[int, ...]
    num_runs: int
    effects: Mapping[str, Mapping[str, Effect]]
    dials: tuple[Dial, ...]
    fit: Fit | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """An effect in the long run: mean over blocks, its standard error and degrees of freedom."""

    mean: float
    error: float
    dof: int

    @property
    def half(self) -> float:
        """Half of the 95 % interval."""
        return t_quantile(0.05, self.dof) * self.error

    def sign(self) -> int:
        """1 or -1 beyond noise, else 0."""
        return 0 if abs(self.mean) <= self.half else int(math.copysign(1, self.mean))


def load(path: Path, *, work_dir: Path, data_dir: Path) -> list[Recorded]:
    """All cases of the table, further references as cases of their own."""
    rows: dict[tuple[str, str], dict[tuple[int, str], dict[str, dict[str, float]]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            run = rows.setdefault((row["case"], row["kind"]), {}).setdefault(
                (int(row["block"]), row["cell"]), {}
            )
            run[row["level"]] = {m: float(row[m]) for m in METRICS if row[m]}
    found = []
    for name, case in CASES.items():
        if (name, "block") not in rows:
            continue
        config = replace(
            config_of(name, work_dir=work_dir, data_dir=data_dir),
            max_blocks=MAX_BLOCKS,
            confirm_seeds=NUM_SEEDS,
        )
        plan, _ = make_plan(config)
        found.append(_recorded(name, case, plan, config, rows, level="reference"))
        for level, decay in case.averages.items():
            reference = plan.reference.with_strengths(ema_decay=decay)
            other = replace(plan, anchors={**plan.anchors, "reference": reference})
            found.append(_recorded(name, case, other, config, rows, level=level))
    return found


def _recorded(
    name: str,
    case: Case,
    plan: Plan,
    config: RunConfig,
    rows: Mapping[tuple[str, str], Mapping[tuple[int, str], Values]],
    *,
    level: str,
) -> Recorded:
    names = experiment_factors(plan, candidate_of(plan)).trajectory
    is_own = level == "reference"

    def run_of(block: int, cell: str, values: Values) -> Run:
        metrics = {k: values[k] for k in ("best", "none") if k in values}
        if level in values:
            metrics["reference"] = values[level]
        return Run(
            run_id=f"{block}{cell}",
            block=block,
            levels={n: 1 if c == "+" else -1 for n, c in zip(names, cell, strict=True)},
            metrics=metrics,
            diverged=DIVERGED in values,
        )

    blocks: dict[int, list[Run]] = defaultdict(list)
    singles: dict[int, dict[str, Run]] = defaultdict(dict)
    for kind in ("block", "single"):
        for (block, cell), values in rows.get((name, kind), {}).items():
            run = run_of(block, cell, values)
            if kind == "block":
                blocks[block].append(run)
            if cell.count("+") <= 1:
                changed = names[cell.index("+")] if "+" in cell else ""
                singles[block][changed] = run
    size = 1 << min(3, len(names))
    return Recorded(
        name=name if is_own else f"{case.task}/{level}",
        case=case,
        plan=plan,
        config=config,
        planted=tuple(case.planted) if is_own else (EMA_FACTOR,),
        fits=case.fits if is_own else ("underfit",),
        blocks={b: sorted(runs, key=_order) for b, runs in blocks.items() if len(runs) == size},
        singles={b: of for b, of in singles.items() if len(of) == len(names) + 1},
        fresh=_fresh(name, rows, own="own" if is_own else level),
    )


def _order(run: Run) -> str:
    return run.run_id


def _fresh(
    name: str, rows: Mapping[tuple[str, str], Mapping[tuple[int, str], Values]], *, own: str
) -> dict[str, dict[int, dict[str, float]]]:
    owner = fresh_owner(name)
    found: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for role, case in (
        ("reference", name),
        ("best", owner),
        ("off", owner),
        ("scaled", name),
    ):
        for (seed, cell), values in rows.get((case, "fresh"), {}).items():
            level = own if role == "reference" else "own"
            if cell == role and level in values:
                found[role][seed] = {
                    **values[level],
                    "val_raw/top1": values["none"]["val/top1"],
                    "val_ema/top1": values[level]["val/top1"],
                }
    if "reference" in found and "best" in found:
        # Equal recipes were run once.
        found["off"] = found["off"] or found["reference"]
        found["scaled"] = found["scaled"] or found["best"]
    return found


def diagnoses(recorded: Recorded) -> list[Diagnosis]:
    """One diagnosis per ordered draw of two pairs, and of one where there is no second."""
    draws = itertools.permutations(recorded.pairs, min(2, len(recorded.pairs)))
    return [diagnose(recorded, draw, number) for number, draw in enumerate(draws)]


def diagnose(recorded: Recorded, pairs: Sequence[int], number: int) -> Diagnosis:
    """Go through the blocks of ``pairs`` as the product does.

    Args:
        recorded: The case.
        pairs: Numbers of the pairs, in the order they are run.
        number: Of the draw; decides which fresh seeds it has.
    """
    plan, config, best = recorded.plan, recorded.config, recorded.best
    sequence = [2 * pair + half for pair in pairs for half in (0, 1)]
    used: list[int] = []
    runs: list[Run] = []
    for place, block in enumerate(sequence):
        used.append(block)
        runs += [replace(run, block=place) for run in recorded.blocks[block]]
        if len(used) >= config.min_blocks and is_decided_by(runs, plan, config, best):
            break
    evidence = _evidence(recorded, number)
    undertrained = is_undertrained(evidence) if evidence else False
    effects, dials = decide_dials(runs, plan, config, best, undertrained=undertrained)
    return Diagnosis(
        used=tuple(used),
        num_runs=len(runs),
        effects=effects,
        dials=dials,
        fit=fit_state(evidence, dials=dials) if evidence else None,
    )


def _evidence(recorded: Recorded, number: int) -> dict[str, FitEvidence] | None:
    if not {"reference", "best", "off"} <= set(recorded.fresh):
        return None
    seeds = sorted(set.intersection(*(set(of) for of in recorded.fresh.values())))
    if len(seeds) < NUM_SEEDS:
        return None
    draws = list(itertools.combinations(seeds, NUM_SEEDS))
    # Steps of a prime spread few draws over all combinations.
    chosen = draws[7 * number % len(draws)]
    return {
        role: FitEvidence(metrics={seed: of[seed] for seed in chosen})
        for role, of in recorded.fresh.items()
    }


def block_effects(recorded: Recorded, strength: str, metric: str) -> dict[int, float]:
    """The effect in each block: mean at the best's level less mean at the reference's."""
    what = experiment_factors(recorded.plan, recorded.best)
    everything = [run for runs in recorded.blocks.values() for run in runs]
    level = trajectory_level(everything, ema=AVERAGES in what.within)
    found = {}
    for block, runs in recorded.blocks.items():
        whole = [run for run in runs if not run.diverged]
        if strength == EMA_FACTOR:
            gains = [r.metrics["best"][metric] - r.metrics["reference"][metric] for r in whole]
            found[block] = float(np.mean(gains)) if gains else math.nan
            continue
        sides = [
            [r.metrics[level][metric] for r in whole if r.levels[strength] == side]
            for side in (1, -1)
        ]
        found[block] = float(np.mean(sides[0]) - np.mean(sides[1])) if all(sides) else math.nan
    return {block: value for block, value in found.items() if math.isfinite(value)}


def truth(
    recorded: Recorded, strength: str, metric: str, *, without: Iterable[int] = ()
) -> Truth | None:
    """The long-run effect from all blocks but some; None if fewer than two are left.

    The spread is that over all blocks of the case: it says nothing on where the mean lies, and two
    blocks alone would not know it.
    """
    by_block = block_effects(recorded, strength, metric)
    excluded = set(without)
    left = [value for block, value in by_block.items() if block not in excluded]
    if len(left) < 2 or len(by_block) < 3:
        return None
    spread = float(np.std(list(by_block.values()), ddof=1))
    error = spread / math.sqrt(len(left))
    return Truth(mean=float(np.mean(left)), error=error, dof=len(by_block) - 1)


def gain(metric: str, mean: float) -> float:
    """An effect counted so that more is better."""
    return mean if metric.endswith("top1") else -mean


def must_turn(recorded: Recorded, strength: str) -> str | None:
    """The metric by which a planted strength is a culprit in truth, or None.

    A culprit costs more than the practical margin of a metric, beyond noise, in all blocks; by
    accuracy if it does, else by log-loss, unless accuracy says beyond noise that it helps.
    """
    for metric, margin in MARGINS.items():
        found = truth(recorded, strength, metric)
        if found is None:
            continue
        better = gain(metric, found.mean)
        if better >= margin and found.sign():
            return metric
        if metric == "val/top1" and better < 0.0 and found.sign():
            return None
    return None


def is_right(
    recorded: Recorded, strength: str, metric: str | None, *, without: Iterable[int]
) -> bool:
    """Whether a turn helps in the long run.

    It does if the metric it rests on gets better beyond noise and accuracy does not get worse
    beyond noise. Where fewer than two blocks are left, all blocks have to do.
    """
    metric = metric if metric in MARGINS else "val/top1"
    excluded = tuple(without)
    for asked in dict.fromkeys((metric, "val/top1")):
        found = truth(recorded, strength, asked, without=excluded) or truth(
            recorded, strength, asked
        )
        if found is None:
            return False
        better = gain(asked, found.mean) * abs(found.sign())
        if better < 0.0 or (asked == metric and better == 0.0):
            return False
    return True


def is_covered(
    recorded: Recorded, effect: Effect, strength: str, metric: str, used: Iterable[int]
) -> bool | None:
    """Whether the 95 % interval agrees with what the other blocks say.

    The other blocks have an error of their own, so the interval is widened to one of the difference
    of both means: the squares of the standard errors add up, with the degrees of freedom of Welch
    and Satterthwaite. It covers at 95 % if the product's standard error and degrees of freedom are
    what they claim to be. None where either error is unknown.
    """
    other = truth(recorded, strength, metric, without=used)
    if other is None or not math.isfinite(effect.std_error) or effect.dof == 0:
        return None
    squares = effect.std_error**2, other.error**2
    if sum(squares) == 0.0:
        return None
    dof = sum(squares) ** 2 / (squares[0] ** 2 / effect.dof + squares[1] ** 2 / other.dof)
    quantile = float(stats.t.ppf(0.975, dof))
    return abs(effect.mean - other.mean) <= quantile * math.sqrt(sum(squares))
