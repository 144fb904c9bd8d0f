"""Result of the experiment on a script: what is known of each factor, and of pairs of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.records.metrics import Metric
from search.verdict.divergence import Divergence
from search.verdict.effects import Effect
from search.verdict.schema import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Factored:
    """Effects and decision of one factor.

    Attributes:
        name: The factor.
        outcome: ``helps``, ``hurts``, ``same`` or ``open``: what the best's value does.
        by_runs_that_fail: Whether runs without a result decided, and not the metric.
        effects: By metric, as typed: the change from the reference's value to the best's.
        selected: Where it helps: the effect, allowing for having been selected.
        failed: Runs without a result at the reference's value and at the best's, and all runs.
        more_runs: Range of further runs that would decide an open one, or None.
        takes_best: Whether the advised configuration has the best's value.
    """

    name: str
    outcome: str
    by_runs_that_fail: bool
    effects: Mapping[str, Effect]
    selected: Estimate | None
    failed: Divergence | None
    more_runs: tuple[int, int] | None
    takes_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Joint:
    """Two factors of which the effect of one depends on the value of the other, beyond noise.

    Attributes:
        subject: The factor whose main effect is the smaller one.
        other: The one it depends on.
        at_reference: Effect of the subject where the other has the reference's value.
        at_best: The same where it has the best's.
    """

    subject: str
    other: str
    at_reference: float
    at_best: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Result of the experiment so far.

    Attributes:
        metric: The metric that decides, with its margin.
        factors: In the order of the configuration.
        looks: How often the experiment was looked at.
        is_decided: Whether further rounds would hardly decide more.
        rounds: Rounds that have ended.
        num_runs: Runs with a result.
        joints: Pairs that depend on each other.
    """

    metric: Metric
    factors: tuple[Factored, ...]
    joints: tuple[Joint, ...]
    looks: int
    is_decided: bool
    rounds: int
    num_runs: int

    @property
    def advised(self) -> dict[str, int]:
        """Levels of the advised configuration."""
        return {f.name: 1 if f.takes_best else -1 for f in self.factors}
