"""Recorded culprits that are scaled down cost what was asked for, and nothing else changes."""

import csv
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planted.advised import advised_gain, cell_mean
from benchmarks.planted.record import DATA
from benchmarks.planted.small import Source, scaled, sources
from benchmarks.planted.verdicts import Diagnosis, Recorded, block_effects, load
from search.verdict.design import EMA_FACTOR
from tests.support.finished_run import a_dial

TOP1 = "val/top1"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    """The digits as a folder, without culprits and with a weight decay that is one."""
    folder = tmp_path_factory.mktemp("planted")
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [r for r in rows if r["case"] in ("folder/none", "folder/drop_path_0.5+decay_W40")]
    with (folder / "record.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(kept)
    return load(folder / "record.csv", work_dir=folder, data_dir=folder)


@pytest.fixture(scope="module")
def culprits(recorded: list[Recorded]) -> Mapping[str, Source]:
    return {source.strength: source for source in sources(recorded)}


def effect(recorded: Recorded, strength: str, metric: str = TOP1) -> float:
    return float(np.mean(list(block_effects(recorded, strength, metric).values())))


def test_culprits_of_accuracy_are_taken_once_each(culprits: Mapping[str, Source]) -> None:
    assert set(culprits) == {EMA_FACTOR, "weight_decay"}
    assert culprits["weight_decay"].case.name == "folder/drop_path_0.5+decay_W40"


@pytest.mark.parametrize("strength", [EMA_FACTOR, "weight_decay"])
@pytest.mark.parametrize("points", [1.0, 5.0])
def test_a_scaled_culprit_costs_what_was_asked_over_all_blocks(
    culprits: Mapping[str, Source], strength: str, points: float
) -> None:
    source = culprits[strength]
    found = scaled(source, points)
    assert effect(found, strength) == pytest.approx(points / 100)
    assert effect(found, "label_smoothing") == pytest.approx(
        effect(source.plain, "label_smoothing"), abs=1e-9
    )
    # Log-loss goes the way it was recorded to go: a culprit makes it worse.
    plain = effect(source.plain, strength, "val/nll")
    assert effect(found, strength, "val/nll") < plain - 0.001


def test_runs_at_the_best_value_stay_as_they_were_recorded(culprits: Mapping[str, Source]) -> None:
    source = culprits["weight_decay"]
    found = scaled(source, 3.0)
    for block, runs in source.plain.blocks.items():
        for before, after in zip(runs, found.blocks[block], strict=True):
            is_same = before.metrics == after.metrics
            assert is_same == (before.levels["weight_decay"] > 0)


def test_a_culprit_in_its_own_size_is_the_recorded_one(culprits: Mapping[str, Source]) -> None:
    source = culprits[EMA_FACTOR]
    whole = scaled(source, 100 * effect(source.case, EMA_FACTOR))
    for block, runs in source.case.blocks.items():
        for before, after in zip(runs, whole.blocks[block], strict=True):
            assert after.metrics["reference"] == pytest.approx(before.metrics["reference"])


def test_the_advised_recipe_gains_what_its_cell_is_above_the_reference(
    recorded: list[Recorded],
) -> None:
    (plain,) = [case for case in recorded if case.name == "folder/none"]
    # An interaction and levels of blocks that the cells of one half alone could not tell apart.
    known = {
        block: [
            replace(
                run,
                metrics={
                    "best": {TOP1: value + 0.01},
                    "reference": {TOP1: value},
                },
            )
            for run in runs
            for smoothed, decayed in [(run.levels["label_smoothing"], run.levels["weight_decay"])]
            for value in [0.5 + 0.1 * block + 0.02 * smoothed + 0.03 * smoothed * decayed]
        ]
        for block, runs in plain.blocks.items()
    }
    case = replace(plain, blocks=known)
    assert cell_mean(case, {"label_smoothing": 1}) - cell_mean(case, {}) == pytest.approx(-0.02)
    dials = (
        replace(a_dial("label_smoothing", "down", {}), recommended=0.0, reference=0.1),
        replace(a_dial("weight_decay", "down", {}), recommended=0.0, reference=0.1),
        replace(a_dial(EMA_FACTOR, "leave", {}), recommended=0.1, reference=0.1),
    )
    nothing = Diagnosis(used=(), num_runs=16, effects={}, dials=dials[2:], fit=None)
    assert advised_gain(case, nothing) == pytest.approx(0.0)
    assert advised_gain(case, replace(nothing, dials=dials)) == pytest.approx(4.0)
    average = replace(dials[2], turn="down", recommended=0.0)
    assert advised_gain(case, replace(nothing, dials=(*dials[:2], average))) == pytest.approx(5.0)
