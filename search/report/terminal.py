"""The final output of a run: settings to change with their certainty, gains, next commands.

All else is in the report. The text is the same in a terminal and in a file.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.command_line import near, next_command
from search.records.metrics import METRICS
from search.records.passwords import without_passwords
from search.records.story import STORY
from search.report.next_step import NextStep, next_step
from search.stages.analysis import Analysis
from search.verdict.answer.gains import ROLE_HEADS, SHORT_HEADS, gains, on_test_images
from search.verdict.answer.problem import first_sentence
from search.verdict.answer.sureness import GROUPS, Statement, statements
from search.verdict.learning_curve import is_too_short, short_learning_curve
from search.verdict.readings import short_readings
from search.verdict.schema import Verdict
from search.verdict.wording import exported_sentence

MOST_LINES = 15
WIDTH = 80
"""Width in columns that fits small terminals and issues; longer paths are not broken."""
_INDENT = 8
Form = Callable[[Sequence[Statement]], list[str]]
"""A function that formats the statements on the settings of one group as lines."""
_COLOURS = {"Sure": "bold green", "Likely": "bold blue", "Open": "yellow", "Keep": "dim"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A label with the lines beside it.

    Attributes:
        label: The label; empty to continue the entry above, or if the text needs none.
        lines: Lines without the label.
    """

    label: str
    lines: tuple[str, ...]


def print_verdict(
    console: Console, config: RunConfig, plan: Plan, analysis: Analysis, *, has_model: bool = True
) -> None:
    """Print the final output of a run.

    Args:
        console: Console to print to.
        config: The run's settings.
        plan: The plan.
        analysis: The verdict and its evidence.
        has_model: Whether the model of the exported recipe is in the run directory.
    """
    problem, entries = ending(config, plan, analysis, has_model=has_model)
    console.print()
    for line in problem:
        _print(console, Text(line, style="bold"))
    for entry in entries:
        for number, line in enumerate(entry.lines):
            label = entry.label if number == 0 else ""
            style = _COLOURS.get(entry.label, "bold")
            _print(console, Text.assemble((f"{label:<{_INDENT}}", style), line))


def _print(console: Console, line: Text) -> None:
    # No line breaks inside a long path, so that it can be copied.
    console.print(line, highlight=False, soft_wrap=True)
    STORY.info("%s", line.plain)


def ending(
    config: RunConfig, plan: Plan, analysis: Analysis, *, has_model: bool = True
) -> tuple[list[str], list[Entry]]:
    """Make the lines of the sentence and the entries below it, at most `MOST_LINES` in all.

    The settings get the remaining lines, in the longest form that fits. If there are more settings
    than a search has by default, the last line may point to the report.
    """
    verdict = analysis.verdict
    said_first = first_sentence(
        verdict.fit, verdict.dials, verdict.confirmed, METRICS[verdict.metric]
    )
    problem = textwrap.wrap(said_first, WIDTH)
    before = _on_test(verdict)
    step = next_step(config, plan, analysis)
    after = [
        Entry(
            label="Train", lines=(next_command("train", CONFIG=near(config.path / "best.yaml")),)
        ),
        Entry(label="Files", lines=(_files(config.path, has_model=has_model),)),
    ]
    said = statements(verdict.dials, analysis.tried)
    between = [*_ranges(config, verdict), *_more_images(config, verdict)]
    left = MOST_LINES - len(problem) - _num_lines(before) - _num_lines(after)
    for gained, forms, is_whole in _ways(verdict):
        settings = _settings(said, forms)
        follows = [*between, *_exported(verdict), _next(step, is_whole=is_whole)]
        if sum(map(_num_lines, (gained, settings, follows))) <= left:
            break
    else:
        settings = _cut(settings, left - _num_lines(gained) - _num_lines(follows))
    left -= sum(map(_num_lines, (gained, settings, follows)))
    besides = _labelled("Besides", list(filter(None, [_besides(verdict)])))
    if _num_lines(besides) > left:
        besides = []  # They decide nothing, and are in the report.
    return problem, [*before, *gained, *besides, *settings, *follows, *after]


def _ways(verdict: Verdict) -> Iterator[tuple[list[Entry], Sequence[Form], bool]]:
    """List the forms of gains, settings and the next step, from the longest to the shortest.

    A command that can be copied is worth less than the effect of what is sure, and more than the
    remarks on a gain.
    """
    found = gains(verdict.confirmed, METRICS[verdict.metric])
    full = _labelled("Gain", [gain.text for gain in found])
    short = _labelled("Gain", [gain.short for gain in found])
    *with_effects, names = _FORMS
    for is_whole in (True, False):
        for gained in (full, short):
            yield from ((gained, forms, is_whole) for forms in with_effects)
    yield short, names, True
    yield short, names, False
    yield [], names, False  # The table of test results has the values themselves.


def _on_test(verdict: Verdict) -> list[Entry]:
    """Make the entries with the test results of all recipes, in columns under their names."""
    metric = METRICS[verdict.metric]
    values = on_test_images(verdict.confirmed, metric)
    if not values:
        return [_wrapped("Test", "nothing is confirmed on test images yet")]
    label = metric.head if len(metric.head) < _INDENT else ""
    for names in (ROLE_HEADS, SHORT_HEADS):
        heads = [f"{names[role]:>{len(value)}}" for role, value in values.items()]
        cells = [f"{v:>{len(head)}}" for v, head in zip(values.values(), heads, strict=True)]
        if len("  ".join(heads)) <= WIDTH - _INDENT:
            break
    head = Entry(label="Test", lines=("  ".join(heads),))
    return [head, Entry(label=label, lines=("  ".join(cells),))]


def _besides(verdict: Verdict) -> str:
    return short_readings(verdict.confirmed, METRICS[verdict.metric])


def _exported(verdict: Verdict) -> list[Entry]:
    """Note which recipe ``best.yaml`` has if it is not the advised one."""
    if verdict.exported == "advised" and not verdict.exported_because:
        return []
    return [_wrapped("Note", exported_sentence(verdict.exported, verdict.exported_because))]


def _ranges(config: RunConfig, verdict: Verdict) -> list[Entry]:
    """Make the entries of the strengths whose values were refined, as somebody asked for."""
    said = {one.strength: f"{one.sentence}." for one in verdict.refined}
    return [
        _wrapped("Range", said.get(name, f"{name} was not turned, so no value between was run."))
        for name in config.refine
    ]


def _more_images(config: RunConfig, verdict: Verdict) -> list[Entry]:
    """Make the entry on what more images would change, where somebody asked for it."""
    if not config.learning_curve:
        return []
    found = verdict.learning_curve
    if found is None:
        return [_wrapped("Images", "no run on half of the training images has ended")]
    said = short_learning_curve(found, METRICS[verdict.metric])
    first = "train longer first; as these short runs go: " if is_too_short(verdict.fit) else ""
    return [_wrapped("Images", f"{first}{said}")]


def _files(path: Path, *, has_model: bool) -> str:
    model = "model.safetensors" if has_model else "no model, see log.txt"
    return f"{near(path)}/: report.html, {model}"


def _settings(said: Sequence[Statement], forms: Sequence[Form]) -> list[Entry]:
    return [
        entry
        for group, form in zip(GROUPS, forms, strict=True)
        for entry in _labelled(group.capitalize(), form([s for s in said if s.group == group]))
    ]


def _cut(entries: Sequence[Entry], most: int) -> list[Entry]:
    """Keep at most ``most`` lines, of which the last one points to the report."""
    lines = [(e.label if i == 0 else "", line) for e in entries for i, line in enumerate(e.lines)]
    kept = [*lines[: max(0, most - 1)], ("", "... and more, see report.html")]
    return [Entry(label=label, lines=(line,)) for label, line in kept]


def _each(said: Sequence[Statement]) -> list[str]:
    return [statement.text for statement in said]


def _together(said: Sequence[Statement]) -> list[str]:
    return ["; ".join(_each(said))] if said else []


def _names(said: Sequence[Statement]) -> list[str]:
    return [", ".join(f"{s.strength} {s.value}" for s in said)] if said else []


def _nothing(said: Sequence[Statement]) -> list[str]:
    return []


_FORMS: Sequence[Sequence[Form]] = (
    (_each, _each, _each, _together),
    (_each, _each, _together, _together),
    (_each, _each, _together, _names),
    (_each, _together, _together, _names),
    (_each, _names, _names, _names),
    (_each, _names, _names, _nothing),
    (_together, _names, _names, _nothing),
    (_names, _names, _names, _nothing),
)
"""Combinations of forms, one per group of `GROUPS`, from the longest to the shortest."""


def _labelled(label: str, texts: Sequence[str]) -> list[Entry]:
    return [_wrapped(label if i == 0 else "", text) for i, text in enumerate(texts)]


def _wrapped(label: str, text: str) -> Entry:
    lines = textwrap.wrap(text, WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False)
    return Entry(label=label, lines=tuple(lines))


def _next(step: NextStep, *, is_whole: bool) -> Entry:
    """Make the entry of the next step, if whole with its command on a line that can be copied."""
    if not (is_whole and step.command):
        return _wrapped("Next", step.text)
    entry = _wrapped("Next", step.text + step.offer)
    return replace(entry, lines=(*entry.lines, step.command))


def _num_lines(entries: Sequence[Entry]) -> int:
    return sum(len(entry.lines) for entry in entries)


def where_to_look(tracking_uri: str | None) -> str:
    """Return the command that shows a run in MLflow, or the store's address if there is none."""
    if tracking_uri is None or tracking_uri.startswith(("sqlite://", "http://", "https://")):
        return next_command("ui", TRACKING_URI=tracking_uri and without_passwords(tracking_uri))
    return f"MLflow over {without_passwords(tracking_uri)}"
