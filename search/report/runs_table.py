"""The report's table of all runs, which sorts by any column and hides stages."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.records.trials import STAGES, Trial
from search.report.figures.roles import WORDS
from search.report.html import Markup, breakable, element, joined
from search.verdict.wording import raw
from spaces.strengths import STRENGTH_NAMES

_STAGE_WORDS = {"search": "search", "attribute": "experiment", "confirm": "confirmation"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """One column of numbers.

    Attributes:
        head: Its name.
        value: Of a trial; None for an empty cell.
        text: How a value is written.
    """

    head: str
    value: Callable[[Trial], float | None]
    text: Callable[[float], str]


def trial_section(trials: Sequence[Trial], *, shows_test: bool) -> Markup:
    """All runs of all stages.

    Args:
        trials: In the order they were started.
        shows_test: Whether test accuracies may be seen yet.
    """
    columns = [
        _Column(head="epochs", value=lambda t: float(t.epoch), text="{:.0f}".format),
        *(_strength(name) for name in STRENGTH_NAMES),
        _metric("val/top1", "val top-1, %", 100.0, 1),
        _metric("val/nll", "val log-loss", 1.0, 3),
        _metric("val/nll_refined", "refined", 1.0, 3),
        _metric("clean_train/top1", "clean-train top-1, %", 100.0, 1),
    ]
    if shows_test:
        columns.append(_metric("test/top1", "test top-1, %", 100.0, 1))
    columns.append(_Column(head="seconds", value=_seconds, text="{:.0f}".format))
    head = [_head(name) for name in ("run", "what", "ended")]
    head += [_head(column.head, css_class="number") for column in columns]
    body = element("tbody", *(_row(trial, columns) for trial in trials))
    counts = Counter(trial.spec.stage for trial in trials)
    return joined(
        [
            element("p", *(_switch(stage, counts[stage]) for stage in STAGES if counts[stage])),
            element(
                "div",
                element(
                    "table", element("thead", element("tr", *head)), body, css_class="sortable"
                ),
                css_class="scroll",
            ),
        ]
    )


def what(trial: Trial) -> str:
    """Why a trial was run, in words."""
    spec = trial.spec
    if spec.role.startswith("anchor:"):
        return f"anchor: {WORDS.get(spec.role.removeprefix('anchor:'), spec.role)}"
    if spec.rerun_of is not None:
        return f"{spec.rerun_of} again, fresh seed"
    if spec.levels:
        levels = set(spec.levels.values())
        mixed = "mixed" if len(levels) > 1 else f"all of {'best' if 1 in levels else 'reference'}"
        return f"block {spec.block}: {mixed}"
    return WORDS.get(spec.role, spec.role)


def _row(trial: Trial, columns: Sequence[_Column]) -> Markup:
    ended = trial.reason if trial.reason.startswith(trial.status) else trial.status
    if trial.reason not in ("", ended):
        ended += f": {trial.reason}"
    cells = [
        element("th", trial.spec.trial_id, scope="row"),
        element("td", what(trial), css_class="what"),
        element("td", ended, css_class="ended"),
    ]
    for column in columns:
        value = column.value(trial)
        is_known = value is not None and math.isfinite(value)
        cells.append(
            element(
                "td",
                column.text(value) if value is not None and is_known else "",
                css_class="number",
                data_value=f"{value:.9g}" if is_known else None,
            )
        )
    return element(
        "tr",
        *cells,
        data_stage=trial.spec.stage,
        css_class=None if trial.status in ("finished", "running") else "cut",
    )


def _head(name: str, css_class: str | None = None) -> Markup:
    button = element("button", breakable(name), type="button")
    return element("th", button, scope="col", aria_sort="none", css_class=css_class)


def _switch(stage: str, number: int) -> Markup:
    box = Markup(f'<input type="checkbox" checked data-show="{stage}">')
    return element("label", box, f" {_STAGE_WORDS[stage]} ({number})", css_class="switch")


def _strength(name: str) -> _Column:
    return _Column(
        head=name,
        value=lambda trial: getattr(trial.spec.recipe.strengths, name),
        text=raw,
    )


def _metric(metric: str, head: str, scale: float, decimals: int) -> _Column:
    def value(trial: Trial) -> float | None:
        newest = trial.last(metric)
        return None if newest is None else scale * newest

    return _Column(head=head, value=value, text=f"{{:.{decimals}f}}".format)


def _seconds(trial: Trial) -> float:
    return sum(
        record.metrics.get("cost/train_s", 0.0) + record.metrics.get("cost/eval_s", 0.0)
        for record in trial.records
    )
