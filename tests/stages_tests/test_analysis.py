"""When the experiment has said what it can say, and what is exported for it."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import write_json
from search.records.journal import Journal
from search.records.trials import Record
from search.stages.analysis import analyse, decide_dials, pick_best
from search.stages.experiment import confirm_specs, experiment_factors
from search.verdict.design import cells
from search.verdict.effects import Run
from search.verdict.looking import rounds_of
from search.verdict.schema import Dial
from search.verdict.sequential import look_share
from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support.finished_run import BEST, EPOCHS, REFERENCE, a_config, a_plan, scores


def test_a_look_adds_at_least_eight_runs_however_few_factors() -> None:
    for best in (BEST, REFERENCE.with_strengths(ema_decay=0.5)):
        assert rounds_of(experiment_factors(a_plan(), best)).runs >= 8


ALL_DIFFER = REFERENCE.with_strengths(
    weight_decay=4.0, label_smoothing=0.0, drop_path_rate=0.0, ema_decay=0.8, warmup_fraction=0.2
)


@pytest.mark.parametrize(
    ("best", "num_blocks", "num_looks"),
    [
        (ALL_DIFFER, 2, 1),
        (ALL_DIFFER, 3, 2),
        (ALL_DIFFER, 4, 3),
        # With one factor a block has two runs, and four blocks count as one.
        (REFERENCE.with_strengths(label_smoothing=0.0), 8, 1),
        (REFERENCE.with_strengths(label_smoothing=0.0), 16, 3),
        # With the average alone it has one.
        (REFERENCE.with_strengths(ema_decay=0.5), 24, 2),
    ],
)
def test_each_look_spends_its_own_share_of_the_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    best: Recipe,
    num_blocks: int,
    num_looks: int,
) -> None:
    asked: dict[str, Any] = {}

    def record(looks: object, **options: object) -> tuple[Dial, ...]:
        asked.update(options, looks=looks)
        return ()

    monkeypatch.setattr("search.stages.analysis.decide", record)
    plan, config = a_plan(), a_config(tmp_path, max_blocks=4)
    what = experiment_factors(plan, best)
    of = {"val/top1": 0.9}
    runs = [
        Run(run_id=f"{block}-{i}", block=block, levels=cell, metrics={"best": of, "reference": of})
        for block in range(num_blocks)
        for i, cell in enumerate(cells(what.trajectory, block=block))
    ]
    decide_dials(runs, plan, config, best)
    shares = [look.share for look in asked["looks"]]
    assert shares == [look_share(rounds, (4,)) for rounds in range(2, 2 + num_looks)]
    assert asked["runs_per_round"] == 8
    # The first look saw two rounds of eight runs, each later one eight more.
    seen = [look.effects[what.names[0]]["val/top1"].num_runs for look in asked["looks"]]
    assert seen == [8 * rounds for rounds in range(2, 2 + num_looks)]


def confirmed_run(
    tmp_path: Path,
    plan: Plan,
    *,
    diverging: tuple[str, ...] = (),
    keeps_classes: bool = False,
    probe: int | None = None,
    flipped: int | None = None,
    soups: int = 0,
) -> tuple[Journal, RunConfig]:
    """A diagnosis whose best wins on validation images and not on test images.

    A linear probe, if there is one, is wrong on every image number ``probe``. With mirror images,
    if they are measured, the first ``flipped`` images that were wrong are right. On the first
    ``soups`` seeds a soup of two is measured, which is right where the advised recipe is.
    """
    config = a_config(tmp_path, stages=("attribute", "confirm"))
    (config.path / "predictions").mkdir(parents=True)
    journal = Journal(config.path)
    best = pick_best(journal, plan, config)
    # Nothing was measured, so that every dial is open and the advised recipe the reference.
    for spec in confirm_specs(plan, config, best=best, advised=plan.reference):
        journal.start(spec)
        if spec.role in diverging:
            journal.end(spec.trial_id, "diverged", "diverged in epoch 1")
            continue
        val = {"reference": 0.5, "best": 0.9, "off": 0.5, "scaled": 0.8}[spec.role]
        final = scores(val + 0.01 * (spec.block or 0), 0.98, test__top1=0.8, test__nll=0.4)
        if probe is not None and spec.with_frozen:
            final = {**final, "test_probe/top1": 1.0 - 1.0 / probe, "test_probe/nll": 0.4}
        if flipped is not None and spec.with_readings:
            gained = flipped / plan.data.num_test
            final = {**final, "test_flip/top1": 0.8 + gained, "test_flip/nll": 0.3}
        has_soup = spec.with_readings and (spec.block or 0) < soups
        if has_soup:
            of_soup = {"test_soup/top1": 0.8, "test_soup/nll": 0.4, "test_soup/ingredients": 2.0}
            final = {**final, **of_soup}
        for epoch in range(1, EPOCHS + 1):
            record = Record(
                trial_id=spec.trial_id,
                stage=spec.stage,
                epoch=epoch,
                metrics=final if epoch == EPOCHS else {"train/loss": 1.0},
            )
            journal.report(record)
        journal.end(spec.trial_id, "finished")
        correct = np.packbits(np.arange(plan.data.num_test) % 5 > 0).tobytes()
        nll = np.full(plan.data.num_test, 0.4, "<f2").tobytes()
        packed = {"correct": b64encode(correct).decode(), "nll": b64encode(nll).decode()}
        if probe is not None and spec.with_frozen:
            right = np.packbits(np.arange(plan.data.num_test) % probe > 0).tobytes()
            packed |= {"probe_correct": b64encode(right).decode(), "probe_nll": packed["nll"]}
        if flipped is not None and spec.with_readings:
            numbers = np.arange(plan.data.num_test)
            right = np.packbits((numbers % 5 > 0) | (numbers < 5 * flipped)).tobytes()
            packed |= {"flip_correct": b64encode(right).decode(), "flip_nll": packed["nll"]}
        if has_soup:
            packed |= {"soup_correct": packed["correct"], "soup_nll": packed["nll"]}
        if keeps_classes:
            # Every image is of class 1, and the reference takes a fifth of them for class 0.
            label = np.ones(plan.data.num_test, "<u4")
            predicted = label * (np.arange(plan.data.num_test) % 5 > 0)
            predicted = predicted if spec.role == "reference" else 0 * label
            for name, values in (("label", label), ("predicted", predicted)):
                packed[name] = b64encode(values.astype("<u4").tobytes()).decode()
        write_json(config.path / "predictions" / f"{spec.trial_id}.json", packed)
    return journal, config


def test_readings_are_those_of_the_advised_recipe_and_decide_nothing(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path / "a", a_plan(), flipped=7)
    found = analyse(journal, a_plan(), config).verdict
    assert found.confirmed is not None
    assert set(found.confirmed.readings) == {"flip"}
    flip = found.confirmed.readings["flip"]
    assert (flip.turned_right, flip.turned_wrong, flip.seeds) == (7.0, 0.0, config.confirm_seeds)
    assert flip.change["test/top1"].mean == pytest.approx(7 / a_plan().data.num_test)
    plain, as_asked = confirmed_run(tmp_path / "b", a_plan())
    without = analyse(plain, a_plan(), as_asked).verdict
    confirmed = replace(found.confirmed, readings={})
    assert replace(found, confirmed=confirmed, cost=without.cost) == without
    journal.close()
    plain.close()


def test_a_soup_of_some_seeds_is_a_reading_of_these(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path, a_plan(), soups=2)
    assert config.confirm_seeds > 2
    found = analyse(journal, a_plan(), config)
    assert found.verdict.confirmed is not None
    soup = found.verdict.confirmed.readings["soup"]
    assert (soup.seeds, soup.ingredients) == (2, 2.0)
    assert (soup.turned_right, soup.turned_wrong) == (0.0, 0.0)
    # What not all runs of a recipe measured has no mean over its runs.
    assert not [name for of in found.measured.values() for name in of if "soup" in name]
    assert found.measured["reference"]["test/top1"] == pytest.approx(0.8)
    journal.close()


def test_where_no_dial_turned_the_reference_is_the_advised_recipe(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path, a_plan())
    found = analyse(journal, a_plan(), config)
    assert found.advice.recipe == REFERENCE
    assert found.best == a_plan().anchors["scaled"]
    journal.close()


def test_what_the_advised_recipe_takes_for_what_is_counted_over_its_seeds(tmp_path: Path) -> None:
    plan = a_plan()
    journal, config = confirmed_run(tmp_path, plan, keeps_classes=True)
    found = analyse(journal, plan, config).confusion
    assert found is not None
    # The advised recipe is the reference.
    assert found.counts.tolist() == [[[0, 0], [100, 400]]] * config.confirm_seeds
    journal.close()


@pytest.mark.parametrize("classes", [np.ones(7, "<u4"), np.full(500, 2, "<u4")])
def test_predictions_that_do_not_fit_the_test_images_are_refused(
    tmp_path: Path, classes: Any
) -> None:
    journal, config = confirmed_run(tmp_path, a_plan(), keeps_classes=True)
    for file in (config.path / "predictions").iterdir():
        packed = json.loads(file.read_text())
        write_json(file, {**packed, "predicted": b64encode(classes.tobytes()).decode()})
    with pytest.raises(InputError, match="a class below 2 for each of 500 test images"):
        analyse(journal, a_plan(), config)
    journal.close()


@pytest.mark.parametrize(("probe", "words"), [(2, ""), (4, ""), (5, "as good"), (10, "better")])
def test_a_linear_probe_is_compared_with_the_advised_recipe_seed_by_seed_and_image_by_image(
    tmp_path: Path, probe: int, words: str
) -> None:
    plan = a_plan()
    journal, config = confirmed_run(tmp_path, plan, probe=probe)
    verdict = analyse(journal, plan, config).verdict
    assert verdict.confirmed is not None
    assert verdict.confirmed.probe["test/top1"] == pytest.approx(1.0 - 1.0 / probe)
    gain = verdict.confirmed.advised_minus["probe"]["test/top1"]
    assert gain.mean == pytest.approx(1.0 / probe - 0.2)
    # Where both are wrong on the same images, nothing is uncertain.
    assert (gain.ci95[0] == gain.ci95[1]) == (probe == 5)
    assert verdict.confirmed.knn == {}
    assert verdict.sentence.startswith("Fine-tuning does not pay: a linear probe") == bool(words)
    assert f"{words} on test images." in verdict.sentence or not words
    journal.close()


def test_runs_of_an_older_version_have_no_confusion_matrix(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path, a_plan())
    assert analyse(journal, a_plan(), config).confusion is None
    journal.close()


def test_what_is_much_better_on_fresh_validation_images_is_exported_and_said_why(
    tmp_path: Path,
) -> None:
    plan = replace(a_plan(), candidate=BEST)
    journal, config = confirmed_run(tmp_path, plan)
    verdict = analyse(journal, plan, config).verdict
    assert verdict.exported == "best"
    assert verdict.advised == BEST.to_dict()
    assert verdict.advised_because == {}
    assert "on fresh validation images beyond noise" in verdict.exported_because
    assert verdict.sentence.endswith(f"The best recipe is exported; {verdict.exported_because}.")
    journal.close()


def test_a_reference_that_diverges_on_every_seed_is_not_exported(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path, a_plan(), diverging=("reference",))
    found = analyse(journal, a_plan(), config)
    assert found.verdict.fit.reference == "diverged"
    assert found.verdict.confirmed is not None
    assert found.verdict.confirmed.reference == {}
    assert (found.verdict.exported, found.exported) == ("scaled", a_plan().anchors["scaled"])
    journal.close()


def test_an_everything_off_that_diverges_costs_no_comparison(tmp_path: Path) -> None:
    journal, config = confirmed_run(tmp_path, a_plan(), diverging=("off",))
    confirmed = analyse(journal, a_plan(), config).verdict.confirmed
    assert confirmed is not None
    assert confirmed.off == {}
    assert confirmed.best_minus_reference["test/top1"].mean == 0.0
    journal.close()
