"""Tables and report of a run that goes on: there from the start, and not in its way."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from search.report.outputs import MOST_SHARE, REPORT_EVERY_S, TABLES_EVERY_S, SoFar
from tests.support.finished_run import a_config, a_plan, search_trials


def test_the_first_trial_that_ends_brings_a_report(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    config.path.mkdir()
    SoFar(config, a_plan()).offer(search_trials()[:1])
    page = (config.path / "report.html").read_text()
    assert "In progress: no verdict yet." in page
    assert "search-0000" in page
    assert "search-0000" in (config.path / "trials.csv").read_text()


@pytest.mark.parametrize("cost_s", [0.0, 0.5, 10.0])
def test_writing_takes_its_share_of_the_time_and_no_more(
    tmp_path: Path, cost_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 1000.0, []

    def write(name: str) -> None:
        nonlocal now
        now += cost_s
        written.append((name, now))

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr("search.report.outputs.write_tables", lambda *_: write("tables"))
    monkeypatch.setattr("search.report.outputs.write_report", lambda *_: write("report"))
    so_far = SoFar(a_config(tmp_path), a_plan())
    while now < 1000.0 + 7200.0:
        so_far.offer([])
        now += 1.0
    for name, every_s in (("tables", TABLES_EVERY_S), ("report", REPORT_EVERY_S)):
        times = [at for what, at in written if what == name]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) >= max(every_s, cost_s / MOST_SHARE)
        assert len(times) >= 7200.0 / (max(every_s, cost_s / MOST_SHARE) + 2 * cost_s + 2.0)


@pytest.mark.parametrize("error", [OSError("no such directory"), KeyError("a bug")])
def test_a_report_that_cannot_be_written_ends_no_search(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    calls: list[str] = []

    def refuse(*given: object) -> None:
        calls.append("report")
        raise error

    monkeypatch.setattr("search.report.outputs.write_tables", lambda *_: calls.append("tables"))
    monkeypatch.setattr("search.report.outputs.write_report", refuse)
    so_far = SoFar(a_config(tmp_path), a_plan())
    for _ in range(3):
        so_far.offer([])
    assert calls == ["tables", "report"], "it is tried once, and then left"
    assert "no longer written" in caplog.text
    assert str(error) in caplog.text
