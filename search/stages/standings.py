"""Order of the recipes that the search ran to the end, and the reason for its pick."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.records.metrics import decided_by, metric_of
from search.records.trials import Trial
from search.stages.selection import picked_trial, ranked
from search.verdict.wording import count, metric_words


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Place of one recipe.

    Attributes:
        trial: Trial that ran it first.
        place: Place by the last score of that trial, from 1.
        value: The metric of the search on its validation images, as reported.
        again: Mean of the metric over the runs on fresh splits and seeds; None without any.
        num_again: Number of these runs.
        is_picked: Whether the search picked it.
    """

    trial: Trial
    place: int
    value: float
    again: float | None
    num_again: int
    is_picked: bool


def standings(
    trials: Sequence[Trial], *, top: int, metric: str, num_val: int
) -> tuple[Standing, ...]:
    """List the recipes of the full-length trials by place; empty as long as there are none.

    Args:
        trials: Trials of any stage.
        top: Number of recipes that are run again.
        metric: Name under which runs report the metric of the search.
        num_val: Number of validation images behind it.
    """
    searched = [trial for trial in trials if trial.spec.stage == "search"]
    order = ranked(searched, metric=metric, num_val=num_val)
    if not order:
        return ()
    picked = picked_trial(searched, top=top, metric=metric, num_val=num_val)
    found = []
    for place, trial in enumerate(order, start=1):
        again = [
            t.records[-1].metrics[metric]
            for t in searched
            if t.spec.rerun_of == trial.spec.trial_id and t.is_full_length
        ]
        found.append(
            Standing(
                trial=trial,
                place=place,
                value=trial.records[-1].metrics[metric],
                again=float(np.mean(again)) if again else None,
                num_again=len(again),
                is_picked=trial.spec.trial_id == picked.spec.trial_id,
            )
        )
    return tuple(found)


def reason_of_pick(found: Sequence[Standing], *, metric: str, num_val: int) -> str:
    """Write why the picked recipe is the pick, also where it is not the first by what decides.

    Args:
        found: All standings.
        metric: Name under which runs report the metric of the search.
        num_val: Number of validation images behind it.
    """
    picked = next(one for one in found if one.is_picked)
    entry = metric_of(metric)
    name = picked.trial.spec.trial_id
    if picked.again is None:
        said = f"{name} is the pick: it is the first by {metric_words(metric)}"
    else:
        rivals = sum(one.num_again == picked.num_again for one in found)
        said = (
            f"{name} is the pick: of the {count(rivals, 'recipe')} that ran again most often "
            f"({count(picked.num_again, 'time')}), it has the best mean of {metric_words(metric)}, "
            f"{entry.unit.value(picked.again)}"
        )
    first = decided_by(metric)
    if first is entry:
        return f"{said}."
    values = {one.place: _signed(one.trial, first.on("val")) for one in found}
    own = values[picked.place]
    place = 1 + sum(value > own for value in values.values())
    if place == 1:
        return f"{said}."
    return (
        f"{said}. By {first.words} of the first runs it is number {place}, which does not count: "
        f"on {count(num_val, 'image')} {first.words} has more of ties and luck than {entry.words}."
    )


def _signed(trial: Trial, metric: str) -> float:
    return metric_of(metric).sign * trial.records[-1].metrics.get(metric, float("-inf"))
