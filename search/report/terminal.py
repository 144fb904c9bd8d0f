"""What the terminal says when a run is done: the answer first, then the numbers, then what next."""

from collections.abc import Sequence

from rich.box import HEAVY_HEAD, MARKDOWN, Box
from rich.console import Console
from rich.table import Table

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.recipes.data_remarks import timm_remarks
from search.records.command_line import next_command
from search.records.metrics import METRICS, NLL, metric_of
from search.records.passwords import without_passwords
from search.stages.analysis import Analysis
from search.verdict.schema import Dial, Verdict
from search.verdict.wording import (
    TURN_SIGNS,
    compared_by,
    dial_sentence,
    metric_label,
    raw,
    target,
    with_interval,
)

_UNITS = "in effective units"
_LOSS = f"{NLL.head}, {NLL.unit.word} [95 %]"
_DETAILS = (_UNITS, _LOSS)
"""Columns that a narrow terminal does without, the first first."""
_COLOURS = {"down": "bold blue", "up": "bold dark_orange", "leave": "dim", "inconclusive": "yellow"}


def print_verdict(console: Console, config: RunConfig, plan: Plan, analysis: Analysis) -> None:
    """Print the sentence, the dials, what was confirmed, and where everything lies."""
    verdict = analysis.verdict
    console.print()
    console.print(verdict.sentence, style="bold", highlight=False)
    console.print()
    console.print(dial_table(verdict, console))
    for dial in verdict.dials:
        # What the table does not say: what else a turn rests on, and what an open dial needs.
        if dial.turn == "inconclusive" or (dial.remark and dial.turn != "leave"):
            console.print(f"  {dial_sentence(dial)}", highlight=False, markup=False)
    for sentence in (*verdict.interactions, *analysis.edges):
        console.print(f"  {sentence}", highlight=False)
    console.print()
    console.print(comparison_table(plan, analysis, console))
    for reason in verdict.fit.reasons:
        console.print(f"  {reason}", highlight=False)
    cost = verdict.cost
    console.print(
        f"\nTook {cost.wall_s / 60:.1f} min; {cost.train_share:.0%} of {cost.core_s:.0f} "
        "core-seconds went into training and evaluation.",
        highlight=False,
    )
    path = config.path
    for what, where in (
        ("The whole story:", path / "report.html"),
        ("The recipe:", path / "best.yaml"),
        ("For timm, torchvision:", f"{path / 'best.timm.yaml'}, {path / 'best.torchvision.txt'}"),
        ("Look:", where_to_look(config.tracking_uri)),
        ("Train:", next_command("train", CONFIG=path / "best.yaml")),
    ):
        # Without breaks of ours, so that a long path can be copied.
        console.print(f"{what:<24}{where}", highlight=False, markup=False, soft_wrap=True)
    for remark in timm_remarks(plan.data.files, plan.data.class_names):
        console.print(f"timm: {remark}", highlight=False, markup=False)


def where_to_look(tracking_uri: str | None) -> str:
    """The command that shows a run in MLflow, or what to open where none of ours does."""
    if tracking_uri is None or tracking_uri.startswith(("sqlite://", "http://", "https://")):
        return next_command("ui", TRACKING_URI=tracking_uri and without_passwords(tracking_uri))
    return f"MLflow over {without_passwords(tracking_uri)}"


def dial_table(verdict: Verdict, console: Console) -> Table:
    """One row per strength: what to do, from what to what, and what that changes.

    Where it is too wide for the console, details are left out rather than names cut.
    """
    for left_out in range(len(_DETAILS) + 1):
        table = _dial_table(verdict, console, details=_DETAILS[left_out:])
        unlimited = console.options.update(max_width=10_000)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    return table


def _dial_table(verdict: Verdict, console: Console, *, details: Sequence[str]) -> Table:
    table = Table(title="What to change in the recipe", title_justify="left", box=_box(console))
    for column in ("strength", "turn"):
        table.add_column(column, no_wrap=True)
    metric = METRICS[verdict.metric]
    for column in ("from", "to", f"{metric.head}, {metric.unit.word} [95 %]"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in details:
        table.add_column(column, justify="right" if column == _LOSS else "left", no_wrap=True)
    for dial in verdict.dials:
        cells = {
            _LOSS: with_interval(NLL.unit, dial.effect.get(NLL.on("val"))),
            _UNITS: _effective(dial),
        }
        table.add_row(
            dial.strength,
            f"[{_COLOURS[dial.turn]}]{TURN_SIGNS[dial.turn]}[/]",
            raw(dial.reference),
            target(dial),
            with_interval(metric.unit, dial.effect.get(metric.on("val"))),
            *(cells[column] for column in details),
        )
    return table


def _box(console: Console) -> Box:
    """Lines around cells; in a file, those of a Markdown table: plain, and ready for an issue."""
    return HEAVY_HEAD if console.is_terminal else MARKDOWN


_COLUMNS = {
    "reference": "reference",
    "reference_raw": "no average",
    "advised": "advised",
    "off": "all off",
    "scaled": "scaled default",
}
"""Recipes that the terminal compares; the whole of them is in the report."""


def comparison_table(plan: Plan, analysis: Analysis, console: Console) -> Table:
    """The advised recipe beside what needs no search: strengths, training, validation and test."""
    verdict, confirmed = analysis.verdict, analysis.verdict.confirmed
    seeds = f" ({confirmed.seeds} fresh seeds)" if confirmed else ""
    title = f"The advised recipe against what needs no search{seeds}"
    table = Table(title=title, title_justify="left", box=_box(console))
    table.add_column("")
    for column in _COLUMNS.values():
        table.add_column(column, justify="right")
    recipes = {
        "reference": plan.reference,
        "reference_raw": plan.reference.with_strengths(ema_decay=0.0),
        "advised": analysis.advice.recipe,
        **{role: plan.anchors[role] for role in ("off", "scaled")},
    }
    held = [plan.dial_values(recipes[role]) for role in _COLUMNS]
    for name in plan.dial_names:
        table.add_row(name, *(raw(values[name]) for values in held))
    table.add_section()
    metric = METRICS[verdict.metric]
    for name in compared_by(metric):
        values = (_measured_of(analysis, role, name) for role in _COLUMNS)
        table.add_row(metric_label(name), *(_value(name, value) for value in values))
    if confirmed:
        gains = {
            role: with_interval(metric.unit, of.get(metric.on("test")))
            for role, of in confirmed.advised_minus.items()
        }
        table.add_section()
        table.add_row("advised gains, test", *(gains.get(role, "") for role in _COLUMNS))
    return table


def _measured_of(analysis: Analysis, role: str, name: str) -> float | None:
    """A mean over fresh seeds; of the reference's raw weights under the names of their own."""
    if role != "reference_raw":
        return analysis.measured.get(role, {}).get(name)
    part, _, metric = name.partition("/")
    return analysis.measured.get("reference", {}).get(f"{part}_raw/{metric}")


def _effective(dial: Dial) -> str:
    return (
        f"{dial.reference_effective:.3g} → {dial.recommended_effective:.3g} {dial.effective_unit}"
        if dial.recommended != dial.reference
        else f"{dial.reference_effective:.3g} {dial.effective_unit}"
    )


def _value(metric: str, value: float | None) -> str:
    return "" if value is None else metric_of(metric).unit.value(value)
