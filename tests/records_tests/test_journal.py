"""The journal survives what a crash leaves behind."""

import json
from pathlib import Path

import pytest

from search.records.journal import Journal
from search.records.journal_lines import EVENTS
from search.records.trials import Record, TrialSpec
from spaces.recipe import RandAugment, Recipe


def spec(number: int = 0, epochs: int = 3) -> TrialSpec:
    return TrialSpec(
        stage="search",
        number=number,
        role="proposed",
        recipe=Recipe(epochs=epochs, randaugment=RandAugment(num_ops=1, magnitude=3)),
        positions={"weight_decay": 0.25},
        levels={"label_smoothing": -1},
        eval_epochs=(1, 3),
        never_stop=False,
    )


def record(epoch: int, number: int = 0, value: float = 0.5) -> Record:
    return Record(
        trial_id=spec(number).trial_id,
        stage="search",
        epoch=epoch,
        metrics={"val/top1": value},
        time=12.5,
    )


def test_a_trial_spec_survives_the_way_through_json() -> None:
    assert TrialSpec.from_dict(json.loads(json.dumps(spec().to_dict()))) == spec()


def test_a_reopened_journal_knows_everything_that_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin_session(num_cores=2, cores_per_trial=1)
    journal.start(spec(0))
    journal.place("search-0000", node="0a1b", host="this")
    journal.report(record(1))
    journal.checkpoint("search-0000", "somewhere")
    journal.start(spec(1))
    journal.report(record(1, number=1))
    journal.end("search-0001", "failed", "the worker died")
    journal.restart("search-0001")
    journal.end("search-0001", "stopped", "at a rung")
    journal.close()

    events = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert {json.loads(line)["event"] for line in events} == set(EVENTS), "one is never read here"
    again = Journal(tmp_path)
    assert again.trials == journal.trials
    assert again.trials["search-0000"].node == "0a1b"
    assert again.trials["search-0000"].checkpoint == "somewhere"
    assert again.trials["search-0001"].status == "stopped"


@pytest.mark.parametrize("num_bytes", [1, 10, 30])
def test_a_torn_last_line_is_cut_off_and_reported_again(tmp_path: Path, num_bytes: int) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    journal.report(record(1))
    journal.report(record(2))
    journal.close()
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-num_bytes])

    again = Journal(tmp_path)

    assert again.trials["search-0000"].epoch == 1
    assert again.report(record(2))
    again.close()
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]


def test_an_epoch_is_written_once_however_often_it_is_reported(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    assert journal.report(record(1))
    assert not journal.report(record(1))
    journal.close()
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 1


def test_a_gap_between_epochs_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    with pytest.raises(RuntimeError, match="reported epoch 2 right after epoch 0"):
        journal.report(record(2))
    journal.close()


def test_a_value_that_is_not_finite_never_reaches_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    with pytest.raises(ValueError, match="JSON"):
        journal.report(record(1, value=float("nan")))
    journal.close()
    assert journal.trials["search-0000"].epoch == 0
    assert Journal(tmp_path).trials["search-0000"].epoch == 0


def test_time_between_sessions_is_not_counted_as_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 130.0, 5000.0, 5010.0])
    monkeypatch.setattr("search.records.journal.time.time", lambda: next(clock))
    for number in range(2):
        journal = Journal(tmp_path)
        journal.begin_session(num_cores=2, cores_per_trial=1)
        journal.start(spec(number))
        journal.close()
    again = Journal(tmp_path)
    assert again.wall_s == pytest.approx(30.0 + 10.0)
    assert again.core_s == pytest.approx(2 * 40.0)
