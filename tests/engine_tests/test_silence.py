"""A worker that says nothing: how long it may, and what happens then."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from search.engine import scheduler as scheduler_module
from search.engine.border import config_of
from search.engine.conductor import Conductor, Wait
from search.engine.scheduler import LATE_GRACE_S, WAITED_S, ConductedScheduler
from search.engine.silence import LEAST_S, TIMES_SLOWEST, Silence
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec
from search.stages.listed_stage import ListedStage
from spaces.recipe import Recipe


class Clock:
    """Seconds that only grow when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_may_be_silent_for_twenty_of_the_slowest_epochs_but_ten_minutes_at_least() -> None:
    clock = Clock()
    silence = Silence(timeout_s=None, run_s=7200.0, clock=clock)
    silence.work(["a", "b"])
    assert silence.limit_s == 7200.0, "an epoch is shorter than the run"
    clock.now += 5.0
    silence.heard("a")
    assert silence.limit_s == LEAST_S
    clock.now += 95.0
    silence.heard("b")  # Its first epoch took 100 s.
    assert silence.limit_s == TIMES_SLOWEST * 100.0
    clock.now += 1900.0
    assert silence.too_long() == {}
    clock.now += 10.0
    assert silence.too_long() == {"a": 2005.0}


def test_a_limit_that_was_typed_is_the_limit() -> None:
    clock = Clock()
    silence = Silence(timeout_s=3.0, run_s=7200.0, clock=clock)
    silence.work(["a"])
    clock.now += 3.0
    assert silence.too_long() == {}
    clock.now += 0.5
    assert silence.too_long() == {"a": 3.5}
    silence.restart("a")
    silence.work(["a"])
    assert silence.too_long() == {}, "another worker has its trial"
    clock.now += 4.0
    silence.work([])
    assert silence.too_long() == {}, "it works no more"


def test_a_worker_that_still_starts_has_ten_minutes_whatever_was_typed() -> None:
    clock = Clock()
    silence = Silence(timeout_s=3.0, run_s=None, clock=clock)
    silence.work(["a"], starting=["b"])
    clock.now += LEAST_S
    assert silence.too_long() == {"a": LEAST_S}
    silence.work(["b"])
    assert silence.too_long() == {}, "it begins to train"
    clock.now += 4.0
    assert silence.too_long() == {"b": 4.0}
    silence.work([], starting=["b"])  # Another trial on the same worker.
    clock.now += LEAST_S
    assert silence.too_long() == {}
    clock.now += 1.0
    assert silence.too_long() == {"b": LEAST_S + 1.0}


def test_a_run_without_an_estimate_gives_its_first_epoch_an_hour() -> None:
    assert Silence(timeout_s=None, run_s=None).limit_s == 3600.0


SPEC = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe(), never_stop=False)


class Stage(ListedStage):
    """One trial, whose time may be up."""

    late = False

    def is_late(self, trial: Trial) -> bool:
        return self.late


class Scene:
    """A scheduler over a controller of Tune's that does what it is told."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: TrialSpec) -> None:
        self.clock = Clock()
        self.journal = Journal(tmp_path)
        self.stage = Stage("search", self.journal, lambda batch: [] if batch else [spec])
        self.conductor = Conductor(self.journal, [lambda: self.stage])
        self.said: list[str] = []
        self.killed: list[str] = []
        self.trial = SimpleNamespace(
            config=config_of(Trial(spec=spec), checkpoint=None),
            status="RUNNING",
            max_failures=2,
            error_file=None,
            should_recover=lambda: False,
            placement_group_factory=SimpleNamespace(required_resources={"CPU": 2.0}),
        )
        self.workers: list[str] = []
        self.scheduler = ConductedScheduler(
            self.conductor,
            tmp_path,
            silence=Silence(timeout_s=60.0, run_s=None, clock=self.clock),
            say=self.said.append,
        )
        monkeypatch.setattr(time, "monotonic", self.clock)
        monkeypatch.setattr(ray, "kill", self.killed.append)
        monkeypatch.setattr(
            scheduler_module,
            "workers_of_trials",
            lambda controller: [(self.trial, worker) for worker in self.workers],
        )
        monkeypatch.setattr(
            scheduler_module, "waiting_trials", lambda c: [] if self.workers else [self.trial]
        )
        given = self.conductor.next_trial()
        assert isinstance(given, Trial)
        self.scheduler.on_trial_add("controller", self.trial)

    def look_after(self, seconds: float) -> None:
        self.clock.now += seconds
        self.scheduler.look()

    def report(self, epoch: int) -> None:
        self.scheduler.on_trial_result(None, self.trial, {"epoch": epoch, "metrics/x": 1.0})


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Scene(tmp_path, monkeypatch, SPEC)
    yield made
    made.journal.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestLooking:
    def test_a_hung_worker_is_ended_and_named_and_fails_when_it_hangs_each_time(
        self, scene: Any
    ) -> None:
        scene.workers = ["worker 1"]
        scene.look_after(0.0)
        scene.look_after(50.0)
        scene.report(1)
        scene.look_after(50.0)
        assert scene.killed == [], "it reported in between"
        scene.look_after(11.0)
        assert scene.killed == ["worker 1"]
        assert len(scene.said) == 1
        assert (
            "search-0000 is taken from its worker: its worker reported nothing for 61 s"
            in (scene.said[0])
        )
        assert "--hang-timeout-s" in scene.said[0]
        scene.trial.status = "ERROR"  # Tune starts it again.
        scene.scheduler.on_trial_error(None, scene.trial)
        assert scene.journal.trials["search-0000"].status == "running"
        scene.trial.status, scene.workers = "RUNNING", ["worker 2"]
        scene.look_after(1.0)
        scene.look_after(61.0)
        assert scene.killed == ["worker 1", "worker 2"]
        scene.scheduler.on_trial_error(None, scene.trial)
        ended = scene.journal.trials["search-0000"]
        assert ended.status == "failed"
        assert "reported nothing for 61 s" in ended.reason

    def test_a_trial_whose_time_is_up_ends_between_two_reports(self, scene: Any) -> None:
        scene.workers = ["worker 1"]
        scene.report(1)
        scene.stage.late = True
        scene.look_after(1.0)
        scene.look_after(LATE_GRACE_S)
        assert scene.killed == [], "it may report yet"
        scene.look_after(1.0)
        assert scene.killed == ["worker 1"]
        ended = scene.journal.trials["search-0000"]
        assert (ended.status, ended.epoch) == ("stopped", 1)
        assert ended.reason == "stopped in epoch 2: the time was up"
        assert scene.trial.max_failures == 0, "or Tune would start it again"
        scene.scheduler.on_trial_error(None, scene.trial)
        assert scene.journal.trials["search-0000"].status == "stopped"
        assert scene.conductor.next_trial() is Wait.NO_MORE

    def test_what_is_waited_for_is_said_once(
        self, scene: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0})
        scene.look_after(1.0)
        scene.look_after(WAITED_S)
        assert scene.said == []
        scene.look_after(1.0)
        scene.look_after(100.0)
        assert len(scene.said) == 1
        assert "search-0000 needs 2 CPU (1 of 8 are free) on one node. Ctrl-C" in scene.said[0]


def test_a_record_does_not_wait_for_the_next_report_to_reach_the_disk(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[float] = []
    monkeypatch.setattr(scene.journal, "tick", lambda: ticks.append(scene.clock.now))
    for _ in range(3):
        scene.look_after(1.0)
    assert len(ticks) == 3


def test_a_trial_of_a_later_stage_waits_for_one_that_is_trained_again(tmp_path: Path) -> None:
    """A journal may lose epochs of a stage that was over: what follows rests on it."""
    journal = Journal(tmp_path)
    later = TrialSpec(stage="confirm", number=0, role="best", recipe=Recipe(epochs=1))
    first = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe(epochs=1))
    for spec in (first, later):
        journal.start(spec)
    begun: list[str] = []

    def maker(spec: TrialSpec) -> Any:
        def make() -> ListedStage:
            begun.append(spec.stage)
            return ListedStage(spec.stage, journal, lambda batch: [] if batch else [spec])

        return make

    conductor = Conductor(journal, [maker(first), maker(later)])
    given = conductor.next_trial()
    assert isinstance(given, Trial)
    assert given.spec == first
    assert conductor.next_trial() is Wait.FOR_RUNNING
    assert begun == ["search"]
    conductor.report(Record(trial_id=first.trial_id, stage="search", epoch=1, metrics={"x": 1.0}))
    given = conductor.next_trial()
    assert isinstance(given, Trial)
    assert given.spec == later
    journal.close()
