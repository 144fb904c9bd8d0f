"""Effects recover what was planted, in whatever runs are left."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search.verdict.design import AVERAGES, WithinRun, cells
from search.verdict.effects import Effect, Run, estimate_effects, trajectory_level
from search.verdict.schema import effect_metrics

NAMES = ("weight_decay", "label_smoothing", "drop_path_rate")
Truth = Callable[[dict[str, int], str, int], float]


def experiment(
    truth: Truth,
    *,
    names: tuple[str, ...] = NAMES,
    num_blocks: int = 2,
    levels: tuple[str, ...] = ("reference", "best", "none"),
    noise: float = 0.0,
    seed: int = 0,
) -> list[Run]:
    """Runs whose every metric is ``truth(cell, average, block)`` plus noise."""
    rng = np.random.default_rng(seed)
    return [
        Run(
            run_id=f"attribute-{block}-{i}",
            block=block,
            levels=cell,
            metrics={
                average: {
                    metric: truth(cell, average, block) + rng.normal(0.0, noise)
                    for metric in effect_metrics()
                }
                for average in levels
            },
        )
        for block in range(num_blocks)
        for i, cell in enumerate(cells(names, block=block))
    ]


def planted(cell: dict[str, int], average: str, block: int) -> float:
    """Smoothing costs 3 points, drop path 1, they interact; the reference's average lacks 2."""
    a, b, c = (cell[name] for name in NAMES)
    value = 0.8 + 0.05 * block + 0.0 * a + 0.015 * b + 0.005 * c + 0.01 * b * c
    return value - (0.02 if average == "reference" else 0.0)


def test_planted_effects_come_back_exactly_without_noise() -> None:
    effects = estimate_effects(experiment(planted), NAMES, within=[AVERAGES])
    for metric in effect_metrics():
        found = {name: effects[name][metric].mean for name in effects}
        assert found == pytest.approx(
            {
                "weight_decay": 0.0,
                "label_smoothing": 0.03,
                "drop_path_rate": 0.01,
                "ema_decay": 0.02,
            }
        )
        assert {effect.num_runs for effect in (e[metric] for e in effects.values())} == {16}


STATISTICS = WithinRun(name="statistics", reference="best", best="best.statistics")


def test_a_further_factor_within_runs_is_their_mean_difference_and_changes_no_other_effect() -> (
    None
):
    gains = np.random.default_rng(1).normal(0.01, 0.005, (2, 8))
    runs = [
        replace(
            run,
            metrics={
                **run.metrics,
                "best.statistics": {
                    metric: value + gains[run.block, i % 8]
                    for metric, value in run.metrics["best"].items()
                },
            },
        )
        for i, run in enumerate(experiment(planted, noise=0.01))
    ]
    effects = estimate_effects(runs, NAMES, within=[AVERAGES, STATISTICS])
    without = estimate_effects(runs, NAMES, within=[AVERAGES])
    assert {name: effects[name] for name in without} == without
    for metric in effect_metrics():
        effect = effects["statistics"][metric]
        assert effect.mean == pytest.approx(gains.mean())
        assert effect.base == pytest.approx(np.mean([r.metrics["best"][metric] for r in runs]))
        assert 0.0 < effect.std_error < 0.005
        assert effect.num_runs == 16


def test_a_factor_within_runs_that_most_did_not_measure_rests_on_the_others() -> None:
    runs = experiment(planted)
    for i, run in enumerate(runs[3:5]):
        gained = {metric: value + 0.01 for metric, value in run.metrics["best"].items()}
        runs[3 + i] = replace(run, metrics={**run.metrics, "best.statistics": gained})
    effect = estimate_effects(runs, NAMES, within=[STATISTICS])["statistics"]["val/top1"]
    assert effect.mean == pytest.approx(0.01)
    assert effect.num_runs == 2


def test_an_effect_is_counted_from_the_mean_at_the_reference_level() -> None:
    runs = experiment(planted)
    effects = estimate_effects(runs, NAMES, within=[AVERAGES])
    for name in NAMES:
        low = [run.metrics["best"]["val/top1"] for run in runs if run.levels[name] == -1]
        assert effects[name]["val/top1"].base == pytest.approx(np.mean(low))
    average = [run.metrics["reference"]["val/top1"] for run in runs]
    assert effects["ema_decay"]["val/top1"].base == pytest.approx(np.mean(average))
    assert estimate_effects([], NAMES, within=[AVERAGES])["ema_decay"]["val/top1"].base is None


def test_four_factors_in_half_fractions_come_back_exactly_in_spite_of_every_pair() -> None:
    names = (*NAMES, "warmup_fraction")

    def truth(cell: dict[str, int], average: str, block: int) -> float:
        main = sum((i + 1) * 0.01 * cell[name] for i, name in enumerate(names))
        pairs = sum(0.02 * cell[a] * cell[b] for a, b in itertools.combinations(names, 2))
        return main + pairs + block

    for num_blocks in (1, 2, 3, 4):
        runs = experiment(truth, names=names, num_blocks=num_blocks)
        effects = estimate_effects(runs, names)
        means = [effects[name]["val/top1"].mean for name in names]
        assert means == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_a_reference_average_at_chance_does_not_drown_the_other_strengths() -> None:
    def truth(cell: dict[str, int], average: str, block: int) -> float:
        return 0.1 if average == "reference" else planted(cell, average, block)

    effects = estimate_effects(experiment(truth, noise=0.005), NAMES, within=[AVERAGES])
    smoothing, ema = effects["label_smoothing"]["val/top1"], effects["ema_decay"]["val/top1"]
    assert smoothing.ci95[0] < 0.03 < smoothing.ci95[1]
    assert smoothing.ci95[0] > 0.0
    assert ema.mean == pytest.approx(0.725, abs=0.01)


def test_a_best_average_at_chance_hands_the_trajectory_to_another_average() -> None:
    def truth(cell: dict[str, int], average: str, block: int) -> float:
        return 0.1 if average != "none" else planted(cell, average, block)

    runs = experiment(truth)
    assert trajectory_level(runs, ema=True) == "none"
    effects = estimate_effects(runs, NAMES, within=[AVERAGES])
    assert effects["label_smoothing"]["val/top1"].mean == pytest.approx(0.03)


@pytest.mark.parametrize(("behind", "level"), [(0.049, "best"), (0.051, "none")])
def test_the_best_average_serves_the_trajectory_unless_it_is_far_behind(
    behind: float, level: str
) -> None:
    runs = experiment(lambda cell, average, block: 0.5 - behind * (average == "best"), num_blocks=1)
    assert trajectory_level(runs, ema=True) == ("reference" if level == "none" else level)


def test_without_an_ema_factor_the_runs_own_weights_are_measured() -> None:
    runs = experiment(planted, levels=("none",))
    effects = estimate_effects(runs, NAMES)
    assert set(effects) == set(NAMES)
    assert effects["label_smoothing"]["val/top1"].mean == pytest.approx(0.03)


def test_only_an_average_that_differs_still_gets_an_interval_from_single_run_blocks() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 0.01, 6)
    runs = experiment(
        lambda cell, average, block: 0.1 if average == "reference" else 0.9 + noise[block],
        names=(),
        num_blocks=6,
    )
    effect = estimate_effects(runs, (), within=[AVERAGES])["ema_decay"]["val/top1"]
    assert effect.mean == pytest.approx(0.8 + noise.mean())
    assert effect.std_error == pytest.approx(noise.std(ddof=1) / math.sqrt(6))
    assert effect.dof == 5


WORST = {average: dict.fromkeys(effect_metrics(), 0.0) for average in ("reference", "best", "none")}


def diverge(runs: list[Run], *indices: int) -> list[Run]:
    """Some runs diverged, reporting the worst finite value of everything."""
    return [
        Run(run_id=r.run_id, block=r.block, levels=r.levels, metrics=WORST, diverged=True)
        if i in indices
        else r
        for i, r in enumerate(runs)
    ]


def test_missing_cells_leave_estimates_exact_and_are_counted() -> None:
    runs = diverge(experiment(planted), 0, 5, 11)
    effects = estimate_effects(runs, NAMES, within=[AVERAGES])
    for name, truth in zip(effects, (0.0, 0.03, 0.01, 0.02), strict=True):
        effect = effects[name]["val/top1"]
        assert effect.mean == pytest.approx(truth)
        assert effect.num_runs == 13


def test_a_metric_missing_in_some_runs_takes_only_its_own_fit_with_it() -> None:
    runs = experiment(planted)
    holes = {average: dict(of) for average, of in runs[3].metrics.items()}
    holes["best"]["val/nll"] = math.nan
    del holes["best"]["val/nll_refined"]
    runs[3] = Run(run_id="x", block=runs[3].block, levels=runs[3].levels, metrics=holes)
    effects = estimate_effects(runs, NAMES, within=[AVERAGES])["label_smoothing"]
    assert {m: effects[m].num_runs for m in effect_metrics()} == {
        "val/top1": 16,
        "val/nll": 15,
        "val/nll_refined": 15,
        "clean_train/top1": 16,
        "clean_train/nll": 16,
    }
    assert effects["val/nll"].mean == pytest.approx(0.03)


@pytest.mark.parametrize("num_blocks", [2, 4])
def test_a_level_without_any_run_left_is_not_estimable_while_the_others_are(
    num_blocks: int,
) -> None:
    runs = experiment(planted, num_blocks=num_blocks)
    lost = [i for i, run in enumerate(runs) if run.levels["drop_path_rate"] == 1]
    effects = estimate_effects(diverge(runs, *lost), NAMES, within=[AVERAGES])
    gone = effects["drop_path_rate"]["val/top1"]
    assert not gone.is_estimable
    assert gone.interval(0.05) == (-math.inf, math.inf)
    assert gone.num_runs == 4 * num_blocks
    # With drop path at the reference only, smoothing gains 3 points less the interaction of 2.
    assert effects["label_smoothing"]["val/top1"].mean == pytest.approx(0.01)
    assert effects["ema_decay"]["val/top1"].mean == pytest.approx(0.02)


@pytest.mark.parametrize("lost", [16, 15, 14])
def test_hardly_any_run_left_is_no_crash(lost: int) -> None:
    effects = estimate_effects(diverge(experiment(planted), *range(lost)), NAMES, within=[AVERAGES])
    assert set(effects) == {*NAMES, "ema_decay"}
    for name in NAMES:
        effect = effects[name]["val/top1"]
        assert effect.num_runs == 16 - lost
        assert effect.ci95 == (-math.inf, math.inf)


def test_an_interval_widens_as_its_error_probability_falls() -> None:
    effect = Effect(mean=0.01, std_error=0.005, dof=8, num_runs=16)
    widths = [np.diff(effect.interval(alpha))[0] for alpha in (0.2, 0.05, 0.001)]
    assert widths == sorted(widths)
    assert widths[1] / 2 == pytest.approx(2.306 * 0.005, rel=1e-3)
    assert sum(effect.interval(0.05)) == pytest.approx(0.02)
