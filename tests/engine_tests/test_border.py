"""A trial crosses the border to Ray as plain values, once each way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from search.engine.border import config_of, location_gone_on_from, trial_id_of
from search.records.trials import Trial, TrialSpec
from spaces.recipe import RandAugment, Recipe
from trainable.run_spec import RunSpec, Soup

SPEC = TrialSpec(
    stage="attribute",
    number=12,
    role="cell",
    recipe=Recipe(epochs=7, randaugment=RandAugment(), seed=3).with_strengths(ema_decay=0.9999),
    split_seed=41,
    evaluate_on="test",
    ema_levels={"reference": 0.9999, "none": 0.0},
    block=1,
    levels={"label_smoothing": -1},
    eval_epochs=(2, 7),
    keep_weights=True,
)


def is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(held) for key, held in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def test_a_worker_is_asked_for_what_the_trial_says_of_training() -> None:
    told = {f.name: getattr(SPEC.run_spec, f.name) for f in fields(RunSpec)}
    # What lies where is known to the driver alone.
    assert [told.pop(name) for name in ("checkpoint", "weights_to", "soup")] == [None] * 3
    assert told == {name: getattr(SPEC, name) for name in told}


@pytest.mark.parametrize("checkpoint", [None, "s3://bucket/a%20run/checkpoint_3"])
def test_a_worker_reads_what_the_driver_wrote(checkpoint: str | None) -> None:
    config = config_of(Trial(spec=SPEC), checkpoint=checkpoint)
    arrived = RunSpec.from_dict(config["spec"])
    assert arrived == replace(SPEC.run_spec, checkpoint=checkpoint)
    assert RunSpec.from_dict(json.loads(json.dumps(config["spec"]))) == arrived


def test_a_worker_is_told_where_weights_lie() -> None:
    soup = Soup(locations={"a": "s3://b/a"}, scores={"a": 0.5}, metric="nll", sign=-1.0)
    config = config_of(Trial(spec=SPEC), checkpoint=None, weights_to="s3://b/c", soup=soup)
    assert is_plain(config)
    arrived = RunSpec.from_dict(json.loads(json.dumps(config["spec"])))
    assert (arrived.weights_to, arrived.soup) == ("s3://b/c", soup)


def test_the_border_is_crossed_by_plain_values_alone() -> None:
    assert is_plain(config_of(Trial(spec=SPEC), checkpoint="here"))
    assert not is_plain({"recipe": SPEC.recipe})


def test_the_driver_knows_a_trial_of_tune_s_by_its_name() -> None:
    tune_trial: Any = SimpleNamespace(config=config_of(Trial(spec=SPEC), checkpoint="here"))
    assert trial_id_of(tune_trial) == SPEC.trial_id
    assert location_gone_on_from(tune_trial) == "here"
