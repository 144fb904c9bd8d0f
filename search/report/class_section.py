"""The report's table of the advised recipe's recall per class, with the worst class named."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.report.figures.confusion import MOST_CLASSES, numbered
from search.report.render import Table
from search.verdict.confusion import ClassRecall, Confusion
from search.verdict.wording import count, listed, percent

MOST_ROWS = 10
"""Rows of the table if there are more than `MOST_CLASSES` classes: the worst ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSection:
    """Results of the advised recipe on each class of the test images.

    Attributes:
        sentence: Sentence that names the worst class.
        shown: Sentence on which classes the table has and what its columns are.
        table: The classes, the worst first.
    """

    sentence: str
    shown: str
    table: Table


def class_section(confusion: Confusion, class_names: Sequence[str]) -> ClassSection:
    """Build the section from the confusion matrices of the confirmation's seeds."""
    found = confusion.by_class()
    is_cut = confusion.num_classes > MOST_CLASSES
    shown = f"the worst {MOST_ROWS} of {len(found)} classes" if is_cut else "all classes"
    missing = confusion.num_classes - len(found)
    without = f" {count(missing, 'class')} without test images left out." if missing else ""
    taken_for = _taken_for(confusion, class_names)
    return ClassSection(
        sentence=worst_sentence(confusion, class_names),
        shown=f"The table has {shown}, the worst first: the share of test images that is right, as "
        f"the mean over {count(confusion.num_seeds, 'fresh seed')} and from the lowest to the "
        f"highest of them.{without}",
        table=Table(
            head=("class", "test images", "right", "lowest to highest", "most often taken for"),
            rows=tuple(
                (
                    numbered(class_names, one.index),
                    f"{one.num_images:,}",
                    percent(one.mean),
                    _between(one),
                    taken_for.get(one.index, ""),
                )
                for one in (found[:MOST_ROWS] if is_cut else found)
            ),
            numeric=frozenset((1, 2, 3)),
        ),
    )


def worst_sentence(confusion: Confusion, class_names: Sequence[str]) -> str:
    """Name the class of which the fewest test images are right, and what they are taken for."""
    found = confusion.by_class()
    worst = [one for one in found if one.mean == found[0].mean]
    if found[0].mean == 1.0:
        return "The advised recipe gets every test image of every class right, in every run."
    # Several may share the last place where classes are small.
    luck = f"The lowest of {len(found)} classes owes part of its place to luck."
    if len(worst) > 1:
        names = listed([_quoted(class_names, one.index) for one in worst[:3]])
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        return (
            f"The worst classes of the advised recipe are {names}{more}, each with "
            f"{percent(worst[0].mean)} of its test images right. {luck}"
        )
    first = next((m for m in confusion.mix_ups() if m.true == worst[0].index), None)
    as_what = f", most often taken for {_quoted(class_names, first.predicted)}" if first else ""
    return (
        f"The worst class of the advised recipe is {_quoted(class_names, worst[0].index)}: "
        f"{percent(worst[0].mean)} of its {count(worst[0].num_images, 'test image')} right"
        f"{as_what}. {luck}"
    )


def _quoted(class_names: Sequence[str], index: int) -> str:
    return f"“{class_names[index]}”"


def _taken_for(confusion: Confusion, class_names: Sequence[str]) -> dict[int, str]:
    """Return by class the other class that most of its images are taken for, with their share."""
    found: dict[int, str] = {}
    for mixed in confusion.mix_ups():
        text = f"{numbered(class_names, mixed.predicted)} ({percent(mixed.share)})"
        found.setdefault(mixed.true, text)
    return found


def _between(one: ClassRecall) -> str:
    if one.lowest == one.highest:
        return percent(one.mean)
    return f"{100.0 * one.lowest:.1f} to {percent(one.highest)}"
