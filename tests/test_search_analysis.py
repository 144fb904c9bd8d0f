"""When the experiment has said what it can say."""

from dataclasses import replace

import pytest

from search.analysis import is_settled
from search.experiment import runs_per_look
from search.verdict import Dial
from tests.finished_run import BEST, REFERENCE, a_plan

OPEN = Dial(
    strength="weight_decay",
    turn="inconclusive",
    reference=1.0,
    recommended=0.0,
    effective_unit="",
    reference_effective=1.0,
    recommended_effective=0.0,
    effect={},
    decided_by=None,
    num_runs=16,
    runs_to_decide=40,
)
DECIDED = replace(OPEN, turn="down", runs_to_decide=None)


@pytest.mark.parametrize(
    ("dials", "runs_left", "settled"),
    [
        ((DECIDED, DECIDED), 16, True),
        ((DECIDED, OPEN), 40, False),
        ((DECIDED, OPEN), 20, False),
        ((DECIDED, OPEN), 19, True),
        ((OPEN, replace(OPEN, runs_to_decide=8)), 16, False),
        ((replace(OPEN, runs_to_decide=None),), 16, True),
        ((), 16, True),
    ],
)
def test_it_goes_on_only_while_a_dial_is_within_reach(
    dials: tuple[Dial, ...], runs_left: int, settled: bool
) -> None:
    assert is_settled(dials, runs_left=runs_left) == settled


def test_a_look_adds_at_least_eight_runs_however_few_factors() -> None:
    for best in (BEST, REFERENCE.with_strengths(ema_decay=0.5)):
        assert runs_per_look(a_plan(), best) >= 8
