"""A run that never happened: its plan, trials and analysis, with planted numbers."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from search.plan.config import RunConfig
from search.plan.plan import DataFacts, Plan
from search.records.trials import Record, Trial, TrialSpec
from search.stages.advice import Advice
from search.stages.analysis import Analysis
from search.verdict import design
from search.verdict.confusion import Confusion
from search.verdict.schema import Confirmed, Cost, Dial, Estimate, Fit, Reading, Verdict
from spaces.edges import EdgeWarning
from spaces.recipe import Recipe
from spaces.space import Space
from spaces.strengths.registry import STRENGTHS
from spaces.task import Task

EPOCHS = 10
REFERENCE = Recipe(epochs=EPOCHS, pretrained=True).with_strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9999,
    warmup_fraction=0.05,
)
BEST = REFERENCE.with_strengths(label_smoothing=0.0, ema_decay=0.9, warmup_fraction=0.2)
SCALED = REFERENCE.with_strengths(label_smoothing=0.0, ema_decay=0.8, drop_path_rate=0.01)
OFF = REFERENCE.with_strengths(**dict.fromkeys(STRENGTHS, 0.0))
ADVISED = REFERENCE.with_strengths(label_smoothing=0.0, ema_decay=0.9)
"""The reference with the dials that are turned in `DIALS`."""
AVERAGES = {"reference": 0.9999, "best": 0.9, "none": 0.0}
SEEDS = (11, 12, 13)


def a_config(run_dir: Path, **changes: Any) -> RunConfig:
    values = {"run_name": "r1", "data_dir": "d", "created": "2026-11-24 02:00:00"}
    return RunConfig(dataset="digits", run_dir=str(run_dir), **values | changes)


def a_plan(class_names: tuple[str, ...] = ("zero", "one")) -> Plan:
    task = Task.of(REFERENCE, num_train=300, num_classes=len(class_names), num_blocks=9)
    return Plan(
        data=DataFacts(
            name="digits",
            digest="0123abcd",
            num_train=300,
            num_val=100,
            num_test=500,
            class_names=class_names,
        ),
        task=task,
        anchors={"reference": REFERENCE, "scaled": SCALED, "off": OFF},
        candidate=None,
        space=Space.for_task(task),
        eval_epochs=(2, 5, EPOCHS),
        rungs=(5,),
        notes=("A note of the planner.",),
    )


def a_trial(
    stage: str,
    number: int,
    role: str,
    recipe: Recipe,
    final: Mapping[str, float],
    *,
    epochs: int = EPOCHS,
    status: str = "finished",
    **more: Any,
) -> Trial:
    """A trial evaluated at epochs 2, 5 and 10, each time with the same metrics."""
    spec = TrialSpec(stage=stage, number=number, role=role, recipe=recipe, **more)
    records = tuple(
        Record(
            trial_id=spec.trial_id,
            stage=stage,
            epoch=epoch,
            metrics={
                "train/loss": 1.0,
                "cost/train_s": 2.0,
                **(final if epoch in (2, 5, EPOCHS) else {}),
            },
        )
        for epoch in range(1, epochs + 1)
    )
    reason = "stopped at epoch 5" if status == "stopped" else ""
    return Trial(spec=spec, records=records, status=status, reason=reason)


def scores(val: float, clean: float, nll: float = 0.3, **more: float) -> dict[str, float]:
    """Metrics of weights with these accuracies; ``more`` has ``__`` for the slash."""
    both = {"val/top1": val, "val/nll": nll, "val/nll_refined": nll, "clean_train/top1": clean}
    both |= {"val_raw/top1": val, "val_raw/nll": nll}
    return both | {name.replace("__", "/"): value for name, value in more.items()}


def search_trials(number: int = 10) -> list[Trial]:
    """The anchors, then ``number`` full-length trials and as many that were stopped.

    Validation top-1 of the full-length ones is 0.95 less a tenth of the label smoothing dial.
    """
    space = a_plan().space
    trials = [
        a_trial("search", 0, "anchor:reference", REFERENCE, scores(0.11, 0.12, 2.3)),
        a_trial("search", 1, "anchor:scaled", SCALED, scores(0.95, 0.99)),
        a_trial("search", 2, "anchor:off", OFF, scores(0.94, 0.99)),
    ]
    for i in range(2 * number):
        # Steps of an irrational size spread over the unit cube without lying on a line.
        positions = {
            name: math.fmod(0.31 + i * math.sqrt(prime), 1.0)
            for name, prime in zip(space.free_names, (2, 3, 5, 7, 11), strict=True)
        }
        recipe = space.apply(REFERENCE, space.decode(positions))
        is_full = i % 2 == 0
        final = scores(0.95 - 0.1 * positions["label_smoothing"], 0.99)
        trial = a_trial(
            "search",
            3 + i,
            "proposed",
            recipe,
            final if is_full else scores(0.5, 0.6),
            epochs=EPOCHS if is_full else 5,
            status="finished" if is_full else "stopped",
            positions=positions,
        )
        trials.append(trial)
    return trials


def attribute_trials(averages: Mapping[str, float] | None = None, number: int = 8) -> list[Trial]:
    """Cells whose averages score 0.10 (reference), 0.93 (best) and 0.92 (none)."""
    carried = AVERAGES if averages is None else averages
    at = {"reference": 0.10, "best": 0.93, "none": 0.92}
    final = {
        f"val.{level}/{name}": value
        for level in carried
        for name, value in (("top1", at[level]), ("nll", 1.0 - at[level]))
    }
    return [
        a_trial(
            "attribute",
            i,
            "cell",
            replace(BEST, seed=5 + i // 4),
            scores(0.93, 0.98) | final,
            ema_levels=carried,
            block=i // 4,
            levels={"label_smoothing": 1 - 2 * (i % 2), "warmup_fraction": 1 - i // 2 % 2 * 2},
        )
        for i in range(number)
    ]


def confirm_trials() -> list[Trial]:
    """Every role on every seed; test top-1 rises by a point from seed to seed."""
    roles = {
        "reference": REFERENCE,
        "best": BEST,
        "off": OFF,
        "scaled": SCALED,
        "advised": ADVISED,
    }
    test = {"reference": 0.10, "best": 0.93, "off": 0.91, "scaled": 0.92, "advised": 0.92}
    return [
        a_trial(
            "confirm",
            i * len(roles) + j,
            role,
            replace(recipe, seed=seed),
            scores(test[role], 0.98, test__top1=test[role] + 0.01 * i, test__nll=0.4),
            block=i,
        )
        for i, seed in enumerate(SEEDS)
        for j, (role, recipe) in enumerate(roles.items())
    ]


def all_trials() -> list[Trial]:
    return [*search_trials(), *attribute_trials(), *confirm_trials()]


def an_effect(mean: float, half: float, *, loss: float = 0.0) -> dict[str, Estimate]:
    """An effect on validation top-1 with its interval, and one on both log-losses."""
    return {
        "val/top1": Estimate(mean=mean, ci95=(mean - half, mean + half)),
        "val/nll": Estimate(mean=loss, ci95=(loss - 0.01, loss + 0.01)),
        "val/nll_refined": Estimate(mean=loss, ci95=(loss - 0.01, loss + 0.01)),
    }


def a_dial(strength: str, turn: str, effect: Mapping[str, Estimate], **changes: Any) -> Dial:
    reference, best = (recipe.strengths.as_dict()[strength] for recipe in (REFERENCE, BEST))
    turned = best if turn in ("down", "up") else reference
    values: dict[str, Any] = {
        "reference": reference,
        "recommended": turned,
        "effective_unit": "units",
        "reference_effective": 10.0 * reference,
        "recommended_effective": 10.0 * turned,
        "decided_by": "val/top1" if turn in ("down", "up") else None,
        "num_runs": 8 if effect else 0,
        "runs_to_decide": 24 if turn == "inconclusive" else None,
        "more_runs": (16, 872) if turn == "inconclusive" else None,
        "matters_less_than": 0.03 if turn == "inconclusive" else None,
    }
    return Dial(strength=strength, turn=turn, effect=effect, **values | changes)


EDGE = EdgeWarning(
    name="weight_decay",
    end="high",
    num_near=3,
    num_best=5,
    effective=(0.1, 20.0),
    raw=(1.0, 10.0),
    message="3 of the best 5 trials lie at the high end of weight_decay.",
)
DIALS = (
    a_dial("weight_decay", "leave", {}, remark="the best recipe has the same value"),
    a_dial("label_smoothing", "down", an_effect(0.03, 0.01, loss=-0.20)),
    a_dial("drop_path_rate", "leave", {}),
    a_dial("ema_decay", "down", an_effect(0.83, 0.02, loss=-2.0)),
    a_dial("warmup_fraction", "inconclusive", an_effect(-0.01, 0.02, loss=0.05)),
)


CONFUSION = Confusion(counts=np.array([[[230, 20], [5, 245]], [[225, 25], [5, 245]]]))
"""Of 250 test images of each of two classes, by two seeds: the first class is the worse one."""


READINGS = {
    "flip": Reading(
        change={
            "test/top1": Estimate(mean=0.004, ci95=(-0.002, 0.01)),
            "test/nll": Estimate(mean=-0.02, ci95=(-0.03, -0.01)),
        },
        seeds=5,
        turned_right=5.2,
        turned_wrong=3.2,
    ),
    "temperature": Reading(
        change={
            "test/top1": Estimate(mean=0.0, ci95=(0.0, 0.0)),
            "test/nll": Estimate(mean=-0.05, ci95=(-0.08, -0.02)),
        },
        seeds=5,
        turned_right=0.0,
        turned_wrong=0.0,
        temperature=0.8,
    ),
}
"""Readings of the advised recipe, which `an_analysis` has none of."""


def an_analysis(dials: tuple[Dial, ...] = DIALS, **changes: Any) -> Analysis:
    roles = ("reference", "best", "off", "scaled", "advised")
    confirmed = Confirmed(
        num_images=500,
        seeds=3,
        reference={"test/top1": 0.11, "test/nll": 2.3},
        best={"test/top1": 0.94, "test/nll": 0.4},
        off={"test/top1": 0.92, "test/nll": 0.4},
        best_minus_reference={"test/top1": Estimate(mean=0.83, ci95=(0.80, 0.86))},
        advised={"test/top1": 0.93, "test/nll": 0.4},
        scaled={"test/top1": 0.93, "test/nll": 0.4},
        reference_raw={"test/top1": 0.88, "test/nll": 0.5},
        advised_minus={
            "reference": {"test/top1": Estimate(mean=0.82, ci95=(0.79, 0.85))},
            "reference_raw": {"test/top1": Estimate(mean=0.05, ci95=(0.02, 0.08))},
            "off": {"test/top1": Estimate(mean=0.01, ci95=(-0.01, 0.03))},
            "scaled": {"test/top1": Estimate(mean=0.0, ci95=(-0.02, 0.02))},
        },
        free="scaled",
    )
    values: dict[str, Any] = {
        "run": "r1",
        "dataset": "digits",
        "model": REFERENCE.model,
        "num_train": 300,
        "total_steps": 90,
        "fit": Fit(reference="underfit", best="balanced", reasons=("A reason with 12 %.",)),
        "dials": dials,
        "confirmed": confirmed,
        "cost": Cost(wall_s=90.0, core_s=180.0, train_share=0.8),
        "exported": "advised",
        "advised": ADVISED.to_dict(),
        "sentence": "Turn down label_smoothing from 0.1 to 0.",
        "interactions": ("`label_smoothing` hurts more beside a long warmup.",),
    }
    return Analysis(
        best=BEST,
        tried=BEST.strengths.as_dict(),
        advice=Advice(recipe=ADVISED, reasons={"label_smoothing": "turned down from 0.1"}),
        exported=ADVISED,
        factors=design.Factors(
            trajectory=("label_smoothing", "warmup_fraction"),
            within=(design.AVERAGES,),
            unchanged=("weight_decay", "drop_path_rate"),
        ),
        effects={},
        edges=(EDGE,),
        measured={role: scores(0.9, 0.98, test__top1=0.93, test__nll=0.4) for role in roles},
        verdict=Verdict(**values | changes),
        confusion=CONFUSION,
    )
