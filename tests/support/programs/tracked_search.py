"""What a search tells its tracking store, report by report, without the search.

    python -m tests.support.programs.tracked_search <directory of the store> <id of the search>

It prints the problems that it had.
"""

import sys
from dataclasses import replace
from pathlib import Path

from search.tracking.tracker import Tracker
from tests.support.finished_run import (
    an_analysis,
    attribute_trials,
    confirm_trials,
    search_trials,
)

TRIALS = [*search_trials(3), *attribute_trials(number=4), *confirm_trials()[:4]]


def main(store_dir: Path, search_id: str) -> None:
    tracker = Tracker(None, store_dir=store_dir, experiment="mine", run_name="same")
    tracker.open_search(params={"seed": "0"}, tags={"search_id": search_id}, dataset=None)
    for trial in TRIALS:
        for end in range(1, len(trial.records)):
            tracker.trial_changed(replace(trial, status="running", records=trial.records[:end]))
        tracker.trial_changed(trial)
    tracker.close_search("FINISHED", verdict=an_analysis().verdict, artifacts=None)
    print(tracker.problems)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
