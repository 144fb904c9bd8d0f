"""What a run says stands in its log as well, whether or not its terminal shows lines that stay."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from search.commands.progress import Progress
from search.commands.session import log_file
from search.plan.stage_size import StageSize
from search.report.terminal import print_verdict
from tests.support.finished_run import a_config, a_plan, an_analysis, search_trials


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_log_has_every_trial_that_ended_and_the_last_screen(
    tmp_path: Path, is_terminal: bool
) -> None:
    plan, config = a_plan(), a_config(tmp_path)
    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    with log_file(tmp_path / "log.txt"):
        progress = Progress(
            console,
            sizes=[StageSize(name="search", num_trials=23, epochs=15)],
            space=plan.space,
            metric=config.metric,
            num_val=plan.data.num_val,
            deadline=None,
        )
        with progress:
            progress.say("a sentence")
            for trial in search_trials(2):
                progress.seen(trial, num_expected={"search": 23})
                progress.seen(trial, num_expected={"search": 23})
        print_verdict(console, config, plan, an_analysis())
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sum("INFO search.story: search " in line for line in lines) == len(search_trials(2))
    assert sum(line.endswith("a sentence") for line in lines) == 1
    assert "INFO search.story: Files   " in lines[-1]
