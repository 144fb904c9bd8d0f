"""The report's section on what more training images would change."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.report.figures.marks import interval_text
from search.report.render import Table
from search.verdict.schema import DialAtSizes, Estimate, LearningCurve
from search.verdict.wording import metric_words, value_text


@dataclass(frozen=True, kw_only=True, slots=True)
class MoreImages:
    """The learning curve in words and as a table with a row for each setting."""

    sentences: tuple[str, ...]
    table: Table


TOO_SHORT = (
    "These runs are too short even for the images there are, and what more images change shows "
    "best where training is long enough: train longer first."
)
"""First sentence where longer training is known to help."""


def more_images(found: LearningCurve, *, too_short: bool) -> MoreImages:
    """Build the section from the learning curve of a verdict.

    Args:
        found: The learning curve.
        too_short: Whether longer training is known to help, which comes first.
    """
    sizes = (f"{found.num_half:,} images", f"{found.num_all:,} images")
    return MoreImages(
        sentences=(TOO_SHORT, *found.sentences) if too_short else found.sentences,
        table=Table(
            head=(
                "effect",
                "by",
                *sizes,
                f"{found.num_twice:,}, extrapolated",
                "there, the change",
            ),
            rows=tuple(_row(dial) for dial in found.dials),
            numeric=frozenset((2, 3, 4)),
        ),
    )


def _row(dial: DialAtSizes) -> tuple[str, ...]:
    values = " → ".join(value_text(dial.strength, v) for v in (dial.reference, dial.tried))

    def shown(estimate: Estimate) -> str:
        return interval_text(dial.metric, estimate)

    effects: Sequence[str] = [shown(e) for e in (dial.at_half, dial.at_all, dial.at_twice)]
    return (f"`{dial.strength}` {values}", metric_words(dial.metric), *effects, dial.outlook)
