"""Formatting of the plan as a page for the terminal."""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.verdict.wording import listed
from search.verdict.wording import raw as typed
from spaces.units import describe, to_effective, unit_of

_CLASSES_SHOWN = 8
_LONGEST_NAME = 40


def plan_text(
    console: Console, plan: Plan, config: RunConfig, *, estimate_s: float | None
) -> RenderableType:
    """Format the plan: task, axes, anchors, size of the search, expected time.

    Args:
        console: Console that it will be printed to; a narrow one gets raw values only.
        plan: The plan.
        config: The run's settings.
        estimate_s: Expected wall-clock of the whole run in seconds, or None if unknown.
    """
    return Group(
        Text(task_line(plan)),
        Text(class_line(plan)),
        _axes(plan, console),
        *(Text(f"! {remark}", style="yellow") for remark in _remarks(plan)),
        *(Text(f"  {note}") for note in plan.notes),
        Text(_size_line(plan, config, estimate_s)),
    )


def task_line(plan: Plan) -> str:
    """Describe data, model and training length of a run."""
    task, data, recipe = plan.task, plan.data, plan.reference
    origin = "ImageNet weights" if task.pretrained else "from scratch"
    return (
        f"{data.name}: {data.num_train} train, {data.num_val} validation, {data.num_test} test "
        f"images of {task.num_classes} classes ({task.size_class}).\n"
        f"{recipe.model}, {origin}, {recipe.image_size} px, {recipe.optimizer} at {recipe.lr:g}, "
        f"batch {recipe.batch_size}, {recipe.epochs} epochs = {task.total_steps} steps, "
        f"precision {recipe.amp_dtype}."
    )


def class_line(plan: Plan) -> str:
    """List the first classes, with the numbers of their images in each split."""
    names, counts = plan.data.class_names, plan.data.images_per_class
    shown = [_shortened(name) for name in names[:_CLASSES_SHOWN]]
    rest = len(names) - len(shown)
    if not counts:
        return f"Classes: {', '.join(shown)}{f' and {rest} more' if rest else ''}."
    each = [f"{name} {' + '.join(map(str, c))}" for name, c in zip(shown, counts, strict=False)]
    more = ""
    if rest:
        ends = [(min(part), max(part)) for part in zip(*counts, strict=True)]
        spans = [f"{low}" if low == high else f"{low} to {high}" for low, high in ends]
        more = f" and {rest} more; all have {' + '.join(spans)}"
    return f"Classes (train + validation + test images): {', '.join(each)}{more}."


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


def _axes(plan: Plan, console: Console) -> Table:
    """Make the widest table that fits: with units, without them, or with raw values only."""
    unlimited = console.options.update(max_width=10_000)
    for has_units, has_effective in ((True, True), (False, True), (False, False)):
        table = _table(plan, has_units=has_units, has_effective=has_effective)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    return table


def _table(plan: Plan, *, has_units: bool, has_effective: bool) -> Table:
    title = "What is searched" + (", raw (effective)" if has_effective else "")
    table = Table(title=title, title_justify="left")
    table.add_column("strength", no_wrap=True)
    for column in ("from", "to", *plan.anchors):
        table.add_column(column, justify="right", no_wrap=True)
    if has_units:
        table.add_column("unit")

    def shown(raw: float, effective: float) -> str:
        return f"{typed(raw)} ({effective:.3g})" if has_effective else typed(raw)

    for name, axis in plan.space.to_dict().items():
        ends = zip(axis["raw"], axis["effective"], strict=True)
        low, high = (shown(raw, effective) for raw, effective in ends)
        if axis["scale"] == "fixed":
            low, high = "fixed", typed(axis["raw"][0])
        held = [plan.space.raw_of(recipe)[name] for recipe in plan.anchors.values()]
        anchors = [shown(raw, to_effective(name, raw, plan.task)) for raw in held]
        table.add_row(name, low, high, *anchors, *([unit_of(name)] if has_units else []))
    return table


def _remarks(plan: Plan) -> list[str]:
    held = plan.space.raw_of(plan.reference)
    said = [describe(name, held[name], plan.task) for name in plan.space.names]
    return [f"reference: {remark}" for remark in said if remark]


def _size_line(plan: Plan, config: RunConfig, estimate_s: float | None) -> str:
    time = "" if estimate_s is None else f" About {duration(estimate_s)} in all."
    frozen = (
        "beside a linear probe, nearest neighbours and an average of the weights of all recipes, "
        if plan.task.pretrained
        else ""
    )
    confirmed = (
        f"{config.confirm_seeds} fresh seeds of reference and advised recipe on the test split, "
        f"{frozen}and at most one run of twice the length, where no recipe fits its training images"
    )
    if plan.within_names:
        confirmed += f"; each run of the factorial tells both values of {listed(plan.within_names)}"
    if config.refine:
        confirmed += f", and values in between of {listed(config.refine)} if they are turned"
    if config.learning_curve:
        confirmed += ", and a round of the factorial and the advised recipe on half of the images"
    if "search" not in config.stages:
        return (
            f"No search: a factorial of at least {config.min_blocks} blocks between the reference "
            f"and the other recipe, and {confirmed}.{time}"
        )
    rungs = ", ".join(str(epoch) for epoch in plan.rungs) or "none"
    return (
        f"{config.num_samples} trials (first the baselines: reference, size-scaled "
        f"default, everything off), stopped early at epochs: {rungs}; then the "
        f"best {config.rerun_top} again on fresh seeds, a factorial of at least "
        f"{config.min_blocks} blocks against the reference, and {confirmed}.{time}"
    )


def duration(seconds: float) -> str:
    """Format a time in seconds, minutes or hours, depending on its size."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
