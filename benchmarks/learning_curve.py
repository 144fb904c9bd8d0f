"""Coverage of intervals of effects extrapolated to twice as many images, by simulation.

    python -m benchmarks.learning_curve --draws 1000

Each draw is an experiment on all images and one round of it on half of them, with effects that are
linear in the logarithm of the number of images, so that the extrapolation is right and its interval
is all that is asked. Noise in points of top-1: 1.8 from run to run and 1.5 between blocks, as
recorded on small-transfer; an effect differs from split to split by a share of the noise of a run,
a third of it for accuracy and all of it for log-loss as recorded (docs/planted.md), and by half as
much again between half and all of the images of a split.
"""

import argparse
import multiprocessing
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.planted.markdown import header, row, share
from search.records.metrics import NLL, TOP1
from search.verdict.design import AVERAGES, blocks_per_look, cells
from search.verdict.effects import Effect, Run, estimate_effects
from search.verdict.learning_curve import at_twice
from search.verdict.schema import Estimate

RUN, BLOCK, WITHIN = 1.8, 1.5, 0.5
"""Standard deviations in points: of a run, of a block, and of a difference within a run."""
AT_ALL, AT_HALF = 2.0, 3.0
"""The effect of each strength with all and with half of the images, in points."""
INTERACTION = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A condition of the simulation.

    Attributes:
        strengths: Number of strengths that are varied between runs.
        rounds: Rounds of the experiment on all images.
        noise: Noise of a run on half of the images, as a multiple of `RUN`.
        split: Variation of an effect between splits, in noises of a run.
        interaction: Whether the first two strengths interact by `INTERACTION` points.
    """

    strengths: int = 4
    rounds: int = 2
    noise: float = 1.0
    split: float = 1 / 3
    interaction: bool = False


CONDITIONS = tuple(
    Condition(strengths=strengths, rounds=rounds, noise=noise, split=split, interaction=interaction)
    for strengths, rounds, noise, split, interaction in (
        (4, 2, 1.0, 1 / 3, False),
        (4, 4, 1.0, 1 / 3, False),
        (4, 2, 1.5, 1 / 3, False),
        (4, 4, 2.0, 1 / 3, False),
        (4, 2, 1.0, 1.0, False),
        (4, 4, 1.5, 1.0, False),
        (4, 2, 1.0, 1 / 3, True),
        (3, 2, 1.0, 1 / 3, False),
        (2, 2, 1.0, 1 / 3, False),
        (2, 4, 1.5, 1.0, False),
        (6, 2, 1.0, 1 / 3, False),
    )
)


def drawn(condition: Condition, seed: int) -> tuple[list[Run], list[Run]]:
    """Draw the runs on all images and those on half of them."""
    rng = np.random.default_rng([seed, condition.strengths, condition.rounds])
    names = tuple(f"f{i}" for i in range(condition.strengths))
    together = blocks_per_look(condition.strengths)
    runs: dict[str, list[Run]] = {"all": [], "half": []}
    for block in range(together * condition.rounds):
        of_split = condition.split * RUN * rng.normal(size=len(names) + 1)
        for size, mean, noise in (("all", AT_ALL, 1.0), ("half", AT_HALF, condition.noise)):
            if size == "half" and block >= together:
                continue
            own = 0.5 * condition.split * RUN * rng.normal(size=len(names) + 1)
            effects = mean + of_split + (own if size == "half" else 0.0)
            at = 80.0 + BLOCK * rng.normal()
            for i, cell in enumerate(cells(names, block=block)):
                levels = np.array([cell[name] for name in names])
                value = at + float(levels @ effects[:-1]) / 2.0 + noise * RUN * rng.normal()
                if condition.interaction:
                    value += INTERACTION / 2.0 * levels[0] * levels[1]
                # An effect within runs has the variation between splits in full, and little else.
                other = value + effects[-1] + WITHIN * noise * rng.normal()
                runs[size].append(
                    Run(
                        run_id=f"{block}-{i}",
                        block=block,
                        levels=cell,
                        metrics={"reference": _measured(value), "best": _measured(other)},
                    )
                )
    return runs["all"], runs["half"]


def _measured(points: float) -> dict[str, float]:
    return {TOP1.on("val"): points / 100.0, NLL.on("val"): 1.0 - points / 100.0}


def intervals(condition: Condition, seed: int) -> dict[str, Estimate]:
    """Extrapolate the effects of one draw: of each strength, and of the average within runs."""
    runs, half = drawn(condition, seed)
    names = tuple(f"f{i}" for i in range(condition.strengths))
    both = {run.block for run in half}

    def effects(of: list[Run]) -> dict[str, Effect]:
        found = estimate_effects(of, names, within=[AVERAGES])
        return {name: by_metric[TOP1.on("val")] for name, by_metric in found.items()}

    at_all, paired, at_half = map(effects, (runs, [r for r in runs if r.block in both], half))
    blocks = len({run.block for run in runs})
    return {
        name: at_twice(at_all[name], paired[name], at_half[name], blocks=blocks, both=len(both))
        for name in at_all
    }


def covers(condition: Condition, seed: int) -> tuple[float, float, float, bool]:
    """Return the coverage and mean half-width over strengths, and both for the average."""
    truth = (2.0 * AT_ALL - AT_HALF) / 100.0
    found = intervals(condition, seed)
    hit = {name: e.ci95[0] <= truth <= e.ci95[1] for name, e in found.items()}
    wide = {name: 50.0 * (e.ci95[1] - e.ci95[0]) for name, e in found.items()}
    strengths = [name for name in found if name.startswith("f")]
    (average,) = found.keys() - set(strengths)
    return (
        float(np.mean([hit[name] for name in strengths])),
        float(np.mean([wide[name] for name in strengths])),
        wide[average],
        hit[average],
    )


def table(num: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    numeric = ("covers", "half-width", "of the average: covers", "half-width ")
    names = ("strengths", "rounds", "noise at half", "effects differ", "interaction")
    print(*header(*names, *numeric, numeric=len(numeric)), sep="\n")
    with multiprocessing.Pool(2) as workers:
        for condition in CONDITIONS:
            found = workers.map(partial(covers, condition), range(num), chunksize=25)
            hit, wide, wide_average, hit_average = np.mean(np.array(found, dtype=float), axis=0)
            cell = (
                str(condition.strengths),
                str(condition.rounds),
                f"{condition.noise:g} x",
                f"{condition.split:.2g} of noise",
                f"{INTERACTION:g} points" if condition.interaction else "none",
            )
            numbers = (share(hit), f"{wide:.1f}", share(hit_average), f"{wide_average:.1f}")
            print(row(*cell, *numbers), flush=True)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000, help="of each condition")
    table(parser.parse_args().draws)


if __name__ == "__main__":
    main()
