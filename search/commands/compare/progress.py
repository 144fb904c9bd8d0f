"""One line on the terminal for each run that has ended: which it was, its result, the time left."""

from collections.abc import Callable, Mapping

from search.commands.compare.answer.finding import Finding
from search.commands.compare.answer.number_text import result_words
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.commands.compare.asked.layout import Layout, ends
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import confirm_cells
from search.commands.compare.script import Outcome
from search.plan.text import duration
from search.verdict.wording import listed

MOST_NAMED = 4
"""Differences of a run that its line names."""
FEWEST_RUNS = 3
"""Runs that have ended from which on there is an estimate of the time left."""


class Progress:
    """The state of a comparison in words.

    Args:
        request: What was asked.
        layout: The design.
        run_log: What was run; read anew for each line.
        judge: Judges the experiment; asked only once it has ended.
        places: Runs at once.
    """

    def __init__(
        self,
        request: Request,
        layout: Layout,
        run_log: RunLog,
        judge: Callable[[], Finding],
        *,
        places: int,
    ) -> None:
        self._request = request
        self._judge = judge
        self._layout = layout
        self._log = run_log
        self._ends = ends(layout)
        self._places = places
        rounds = (request.min_blocks, request.rounds)
        self._least, self._most = (len(layout.rounds(number)) for number in rounds)

    def line(self, outcome: Outcome) -> str:
        """The line for a run that has ended."""
        cell = self._log.cells[outcome.run_id]
        if outcome.is_done:
            said = ", ".join(
                f"{m.name} {result_words(outcome.metrics[m.text])}" for m in self._request.measures
            )
            said += f" in {duration(outcome.seconds)}"
        else:
            again = "" if self._log.is_over(outcome.run_id) else "; it is tried once more"
            said = f"{outcome.problem}{again}"
        what = self._words(cell.levels)
        where = f"{self._place(cell.stage)} {cell.run_id}, seed {cell.seed}, {what}"
        return f"{where}: {said}{self._time_left()}"

    def _place(self, stage: str) -> str:
        if stage == "confirm":
            wanted = self._confirmed()
            ended = sum(self._log.is_over(cell.run_id) for cell in wanted)
            return f"confirm {ended}/{len(wanted)}"
        ended = sum(self._log.is_over(cell.run_id) for cell in self._log.of_stage(stage))
        # An experiment may end once its first rounds have been run.
        total = f"{self._least}" if ended <= self._least else f"{self._most}"
        return f"experiment {ended}/{total}"

    def _confirmed(self) -> list[Cell]:
        """The runs that confirm what is advised by the whole experiment."""
        return confirm_cells(self._request, self._layout, self._log, self._judge().advised)

    def _words(self, levels: Mapping[str, int]) -> str:
        """Name a configuration by what it has of the best or of yours."""
        reference, best = self._ends
        if levels == reference:
            return "yours"
        if levels == best:
            return "the best"
        taken = [name for name, level in levels.items() if level == BEST]
        kept = [name for name, level in levels.items() if level == REFERENCE]
        if len(taken) <= len(kept):
            return f"yours with the best's {_cut(taken)}"
        return f"the best with your {_cut(kept)}"

    def _time_left(self) -> str:
        """The time that the planned runs still take, at most where the experiment may end early."""
        seconds = [outcome.seconds for outcome in self._log.outcomes.values() if outcome.is_done]
        if len(seconds) < FEWEST_RUNS:
            return ""
        # Once runs confirm, the experiment is over, until it is topped up.
        newest = next(reversed(self._log.cells.values()))
        if newest.stage == "confirm":
            left = sum(not self._log.is_over(cell.run_id) for cell in self._confirmed())
        else:
            ended = sum(self._log.is_over(c.run_id) for c in self._log.of_stage("attribute"))
            # What will be advised is not known, and may have to be run on every fresh seed.
            left = self._most - ended + 3 * self._request.confirm_seeds
        if left <= 0:
            return ""
        left_s = left * sum(seconds) / len(seconds) / self._places
        return f" · at most about {duration(left_s)} left"


def _cut(names: list[str]) -> str:
    shown = names[:MOST_NAMED]
    more = len(names) - len(shown)
    return listed([*shown, f"{more} more"]) if more else listed(shown)
