"""A finished run whose journal lost a line: it says so, and what is missing is trained again."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from search.cli import main
from search.commands import pipeline
from search.commands.job import Job, Session
from tests.support import finished_run
from tests.support.toy_training import write_run


def test_a_finished_run_whose_journal_is_damaged_is_trained_again_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs")
    verdict = (run / "verdict.json").read_bytes()
    first, *rest = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    (run / "records.jsonl").write_bytes(bytes(len(first) - 1) + b"\n" + b"".join(rest))
    running: list[str] = []

    def train(job: Job, session: Session) -> None:
        running.extend(t.spec.role for t in session.journal.trials.values() if t.epoch == 0)
        raise KeyboardInterrupt

    dataset = SimpleNamespace(digest=finished_run.a_plan().data.digest)
    tracker = SimpleNamespace(
        problems=(), sync=lambda trials: None, close_search=lambda status, **more: None
    )
    monkeypatch.setattr(pipeline, "load_images", lambda *given, **more: dataset)
    monkeypatch.setattr(pipeline, "make_tracker", lambda *given, **more: tracker)
    monkeypatch.setattr(pipeline, "open_search", lambda *given, **more: None)
    monkeypatch.setattr(pipeline, "_train", train)
    assert main(["resume", "--run", str(run)]) == 130
    assert running == ["anchor:reference"]
    told = f"The journal in {run} was damaged; lines dropped: 10 of records.jsonl."
    assert told in capsys.readouterr().out
    assert told in (run / "log.txt").read_text()
    assert (run / "verdict.json.damaged").read_bytes() == verdict
    assert not (run / "verdict.json").exists()
