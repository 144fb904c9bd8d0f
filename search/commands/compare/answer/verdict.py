"""The whole answer of a comparison, and what it was drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.commands.compare.answer.confirming import Confirmation, confirmation_of
from search.commands.compare.answer.finding import Factored, Finding
from search.commands.compare.answer.judging import beside
from search.commands.compare.asked.configurations import Configuration
from search.commands.compare.asked.factors import Factor, at_levels
from search.commands.compare.asked.layout import Layout, ends
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.records.metrics import Metric
from search.verdict.effects import Effect


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The whole answer, and what it was drawn from.

    Attributes:
        request: What was asked.
        finding: What the experiment showed.
        confirmation: What fresh seeds showed, or None without any.
        levels: Level of each factor in the configuration that is written out.
        beside: Effect of a factor on the deciding metric where all others have these levels; only
            of those that depend on another one, and where the runs tell it.
        advised: The configuration to go on with: the reference with what was found to help, unless
            reference or best as a whole is better than it on fresh seeds beyond noise.
        problems: By factor of which one value makes runs fail, by that level: why the last did.
        never: By configuration, in words, why its last run failed if none ever gave a result: of
            the reference, the best, and what is written out.
        limits: Sentences on what the design cannot tell apart.
        num_failed: Runs without a result.
        seconds: Wall-clock of all sessions.
    """

    request: Request
    finding: Finding
    confirmation: Confirmation | None
    levels: Mapping[str, int]
    beside: Mapping[str, Effect]
    advised: Configuration
    problems: Mapping[str, Mapping[int, str]]
    never: Mapping[str, str]
    limits: tuple[str, ...]
    num_failed: int
    seconds: float

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.finding.metric

    @property
    def factors(self) -> tuple[tuple[Factor, Factored], ...]:
        """Each factor with what is known of it."""
        known = {found.name: found for found in self.finding.factors}
        return tuple((factor, known[factor.name]) for factor in self.request.factors)


def verdict_of(
    request: Request, layout: Layout, log: RunLog, finding: Finding, *, rounds: int
) -> Verdict:
    """Draw the answer from everything that was run."""
    levels = finding.advised
    confirmation = confirmation_of(request.measures[0], layout, log, finding)
    written = dict(zip(("reference", "best"), ends(layout), strict=True))
    exported = written.get(confirmation.better if confirmation else "", levels)
    return Verdict(
        request=request,
        finding=finding,
        confirmation=confirmation,
        levels=exported,
        beside=beside(finding, log, request.measures[0], exported),
        advised=at_levels(request.configuration, request.factors, exported),
        problems={
            factor.name: _problems(log, factor.name)
            for factor in finding.factors
            if factor.by_runs_that_fail
        },
        never=_never(log, layout, exported),
        limits=layout.limits(max(1, rounds)),
        num_failed=sum(not o.is_done for o in log.outcomes.values()),
        seconds=log.seconds,
    )


def _problems(log: RunLog, name: str) -> dict[int, str]:
    """The last problem at the level of a factor that has most of the failures."""
    failed = [c for c in log.of_stage("attribute") if not _is_done(log, c)]
    levels = [cell.levels[name] for cell in failed]
    worse = max(set(levels), key=levels.count)
    last = [cell for cell in failed if cell.levels[name] == worse][-1]
    return {worse: log.outcomes[last.run_id].problem}


def _never(log: RunLog, layout: Layout, written: Mapping[str, int]) -> dict[str, str]:
    """The last problem of each configuration that people read of, if all of its runs failed."""
    reference, best = ends(layout)
    configurations = {"the reference": reference, "the best": best}
    if written not in configurations.values():
        configurations["what is written out"] = dict(written)
    found = {}
    for words, levels in configurations.items():
        runs = [c for c in log.cells.values() if c.levels == levels and log.is_over(c.run_id)]
        if runs and not any(_is_done(log, cell) for cell in runs):
            found[words] = log.outcomes[runs[-1].run_id].problem
    return found


def _is_done(log: RunLog, cell: Cell) -> bool:
    outcome = log.outcomes.get(cell.run_id)
    return outcome is None or outcome.is_done
