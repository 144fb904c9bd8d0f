"""More that is asked of a run is taken, and less is refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from search.plan.config import RunConfig
from search.plan.top_up import num_top_ups, topped_up
from search.records.files import read_json, write_json
from search.records.journal import Journal
from search.records.trials import TrialSpec
from spaces.errors import InputError
from tests.support.finished_run import REFERENCE, a_config

THREE = dict.fromkeys(("label_smoothing", "drop_path_rate", "weight_decay"), 1)
"""Levels of as many strengths as make a block a round."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Of a run with five trials of the search, one of them a rerun, and three blocks."""
    found = Journal(tmp_path)
    found.begin_session(num_cores=2.0, cores_per_trial=1.0, running_s=1000.0)
    specs = [TrialSpec(stage="search", number=n, role="proposed", recipe=REFERENCE) for n in (0, 1)]
    specs += [
        TrialSpec(
            stage="search", number=2, role="rerun", recipe=REFERENCE, rerun_of=specs[0].trial_id
        )
    ]
    specs += [
        TrialSpec(stage="attribute", number=n, role="cell", recipe=REFERENCE, block=n, levels=THREE)
        for n in range(3)
    ]
    for spec in specs:
        found.start(spec)
    found.close()
    return found


def test_more_is_taken_and_what_was_planned_before_is_kept(
    tmp_path: Path, journal: Journal
) -> None:
    config = a_config(tmp_path, num_samples=16, max_blocks=4)
    once = topped_up(config, journal, max_blocks=8, num_samples=32)
    assert (once.max_blocks, once.num_samples) == (8, 32)
    assert once.planned_blocks == (4, 8)
    assert once.search_topped_up_at == 6
    twice = topped_up(once, journal, max_blocks=9)
    assert twice.planned_blocks == (4, 8, 9)
    assert (twice.num_samples, twice.search_topped_up_at) == (32, 6)
    # Only the search: the experiment has no further plan.
    searched = topped_up(config, journal, num_samples=17)
    assert searched.planned_blocks == (4,)
    assert len(searched.top_ups) == 1
    for asked in (config, once, twice, searched):
        write_json(tmp_path / "config.json", asked.to_dict())
        read = RunConfig.from_dict(read_json(tmp_path / "config.json"), path=config.path)
        assert (read.top_ups, read.planned_blocks) == (asked.top_ups, asked.planned_blocks)


def test_what_was_asked_before_is_no_top_up(tmp_path: Path, journal: Journal) -> None:
    config = a_config(tmp_path)
    same = topped_up(config, journal, max_blocks=config.max_blocks, num_samples=config.num_samples)
    assert same == config
    assert topped_up(config, journal) == config


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_blocks": 3}, r"`max_blocks >= 4` must hold, for .* and ran 3, but got 3\.$"),
        ({"max_blocks": 0}, r"`max_blocks >= 4` must hold"),
        ({"num_samples": 2}, r"`num_samples >= 16` must hold, for .* and ran 2, but got 2\.$"),
        ({"num_samples": 32, "max_blocks": 2}, r"`max_blocks >= 4` must hold"),
    ],
)
def test_less_than_was_planned_is_refused_in_one_line(
    tmp_path: Path, journal: Journal, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        topped_up(a_config(tmp_path), journal, **asked)
    assert "\n" not in str(error.value)


def test_a_run_without_the_stage_is_refused(tmp_path: Path, journal: Journal) -> None:
    diagnosis = a_config(tmp_path, stages=("attribute", "confirm"))
    with pytest.raises(InputError, match=r"`num_samples` cannot be raised: .* has no search"):
        topped_up(diagnosis, journal, num_samples=32)
    ablation = a_config(tmp_path, stages=("ablate",))
    with pytest.raises(InputError, match=r"`max_blocks` cannot be raised: .* has no experiment"):
        topped_up(ablation, journal, max_blocks=32)


def test_a_time_budget_that_is_used_up_must_be_raised_too(tmp_path: Path, journal: Journal) -> None:
    assert journal.wall_s > 60
    config = a_config(tmp_path, time_budget_s=60.0)
    with pytest.raises(InputError, match="has used up the 60 s it had: give --time-budget-s too"):
        topped_up(config, journal, max_blocks=8)
    wide = topped_up(config, journal, max_blocks=8, time_budget_s=1e12)
    assert (wide.time_budget_s, wide.planned_blocks) == (1e12, (4, 8))


@pytest.mark.parametrize(
    "top_up",
    [
        {"max_blocks": 9, "num_samples": 16, "num_trials": 1},
        {"max_blocks": 4, "num_samples": 99, "num_trials": 1},
        {"max_blocks": "x", "num_samples": 16, "num_trials": 1},
        7,
    ],
)
def test_a_config_of_somebody_else_s_that_makes_no_sense_is_refused(
    tmp_path: Path, top_up: object
) -> None:
    values = {**a_config(tmp_path).to_dict(), "top_ups": [top_up]}
    with pytest.raises(InputError, match="top_ups"):
        RunConfig.from_dict(values, path=tmp_path / "r1")


@pytest.mark.parametrize(
    ("text", "number"),
    [('{"top_ups": 2}', 2), ("{}", 0), ("[]", 0), ("broken", 0), ('{"top_ups": "x"}', 0)],
)
def test_a_result_says_how_often_its_run_was_topped_up(
    tmp_path: Path, text: str, number: int
) -> None:
    (tmp_path / "verdict.json").write_text(text)
    assert num_top_ups(tmp_path / "verdict.json") == number
