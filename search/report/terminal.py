"""Printing of the verdict in the terminal: sentence, dials, confirmation, next commands."""

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
    pool_sentence,
    raw,
    target,
    with_interval,
)

_UNITS = "in effective units"
_LOSS = f"{NLL.head}, {NLL.unit.word} [95 %]"
_DETAILS = (_UNITS, _LOSS)
"""Columns that are left out in a narrow terminal, in the order in which they go."""
_COLOURS = {"down": "bold blue", "up": "bold dark_orange", "leave": "dim", "inconclusive": "yellow"}


def print_verdict(console: Console, config: RunConfig, plan: Plan, analysis: Analysis) -> None:
    """Print the verdict's sentence, the dials, the confirmation, and the paths of the files."""
    verdict = analysis.verdict
    console.print()
    console.print(verdict.sentence, style="bold", highlight=False)
    console.print()
    console.print(dial_table(verdict, console))
    if said := pool_sentence(verdict.dials):
        console.print(f"  {said}", highlight=False)
    for dial in verdict.dials:
        # The table lacks the remarks on turned dials, and the runs that undecided ones need.
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
        # No line breaks inside a long path, so that it can be copied.
        console.print(f"{what:<24}{where}", highlight=False, markup=False, soft_wrap=True)
    for remark in timm_remarks(plan.data.files, plan.data.class_names):
        console.print(f"timm: {remark}", highlight=False, markup=False)


def where_to_look(tracking_uri: str | None) -> str:
    """Return the command that shows a run in MLflow, or the store's address if there is none."""
    if tracking_uri is None or tracking_uri.startswith(("sqlite://", "http://", "https://")):
        return next_command("ui", TRACKING_URI=tracking_uri and without_passwords(tracking_uri))
    return f"MLflow over {without_passwords(tracking_uri)}"


def dial_table(verdict: Verdict, console: Console) -> Table:
    """Build the table with a row per strength: the turn, the values and the effects.

    If it is too wide for the console, columns of detail are left out and no text is cut.
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
    """Choose the lines around cells; output to a file gets a Markdown table, ready for an issue."""
    return HEAVY_HEAD if console.is_terminal else MARKDOWN


_COLUMNS = {
    "reference": "reference",
    "reference_raw": "no average",
    "advised": "advised",
    "off": "all off",
    "scaled": "scaled default",
}
"""Recipes that the terminal compares; the report has all."""


def comparison_table(plan: Plan, analysis: Analysis, console: Console) -> Table:
    """Build the table of the advised recipe beside those that need no search.

    It has their strengths and their results on training, validation and test images.
    """
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
    """Return a mean over fresh seeds; ``reference_raw`` is looked up as ``<part>_raw/<metric>``."""
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
