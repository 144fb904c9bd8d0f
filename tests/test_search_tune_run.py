"""What the adapters between Ray Tune and the conductor make of Tune's calls."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from search.conductor import Conductor
from search.journal import Journal
from search.trials import TrialSpec
from search.tune_run import ConductedScheduler
from spaces.recipe import Recipe


@pytest.mark.parametrize(("tries_again", "status"), [(True, "running"), (False, "failed")])
def test_a_trial_has_failed_only_when_tune_does_not_start_it_again(
    tmp_path: Path, tries_again: bool, status: str
) -> None:
    journal = Journal(tmp_path)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe())
    journal.start(spec)
    scheduler = ConductedScheduler(Conductor(journal, []), tmp_path)
    trial = SimpleNamespace(
        config={"spec": spec.to_dict()}, should_recover=lambda: tries_again, error_file=None
    )
    scheduler.on_trial_error(None, trial)
    journal.close()
    assert journal.trials[spec.trial_id].status == status
