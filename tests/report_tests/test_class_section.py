"""The worst class is named with its images, and many classes are cut to the worst ten."""

import numpy as np
import pytest

from search.report.class_section import MOST_ROWS, class_section
from search.report.figures.confusion import (
    MOST_CLASSES,
    MOST_MIX_UPS,
    confusion_figure,
    percent_of_row,
)
from search.report.figures.drawing import Drawing, Stroke, Text
from search.report.figures.png import png
from search.verdict.confusion import Confusion, confusion_of

WIDTHS = (356.0, 760.0)
NAMES = ("cat", "dog", "鹰")


def confusion(labels: list[int], *predicted: list[int], num_classes: int = 3) -> Confusion:
    runs = [(np.array(labels), np.array(of_run)) for of_run in predicted]
    found = confusion_of(runs, num_classes=num_classes)
    assert found is not None
    return found


SMALL = confusion([0] * 4 + [1] * 2 + [2] * 2, [0, 0, 1, 1, 1, 1, 2, 2], [0, 1, 1, 2, 1, 1, 2, 2])


def of_many(num_classes: int) -> Confusion:
    """Four images a class, of which the more are taken for the next class the larger its index."""
    labels = np.repeat(np.arange(num_classes), 4)
    wrong = (np.arange(len(labels)) % 4) < labels * 4 // num_classes
    predicted = np.where(wrong, (labels + 1) % num_classes, labels)
    return confusion(labels.tolist(), predicted.tolist(), num_classes=num_classes)


def texts(drawing: Drawing) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Text)]


def test_the_worst_class_is_named_with_its_share_its_images_and_what_it_is_taken_for() -> None:
    assert class_section(SMALL, NAMES).sentence == (
        "The worst class of the advised recipe is “cat”: 37.5 % of its 4 test images right, most "
        "often taken for “dog”. The lowest of 3 classes owes part of its place to luck."
    )


def test_classes_that_share_the_last_place_are_all_named() -> None:
    found = confusion([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 2])
    assert class_section(found, NAMES).sentence.startswith(
        "The worst classes of the advised recipe are “cat” and “dog”, each with 50.0 % of"
    )


def test_without_any_mistake_no_class_is_called_the_worst() -> None:
    found = confusion([0, 1, 2], [0, 1, 2])
    assert "every test image of every class right" in class_section(found, NAMES).sentence
    assert [row[4] for row in class_section(found, NAMES).table.rows] == ["", "", ""]


def test_a_row_tells_images_mean_and_range_over_seeds_and_the_most_frequent_mix_up() -> None:
    section = class_section(SMALL, NAMES)
    assert section.table.rows == (
        ("0 cat", "4", "37.5 %", "25.0 to 50.0 %", "1 dog (50.0 %)"),
        ("1 dog", "2", "100.0 %", "100.0 %", ""),
        ("2 鹰", "2", "100.0 %", "100.0 %", ""),
    )
    assert "2 fresh seeds" in section.shown


def test_of_many_classes_only_the_worst_ten_are_listed() -> None:
    num = MOST_CLASSES + 20
    section = class_section(of_many(num), [f"name {i}" for i in range(num)])
    assert len(section.table.rows) == MOST_ROWS
    assert section.table.rows[0][0].endswith("name 30")
    assert f"the worst {MOST_ROWS} of {num} classes" in section.shown


def test_a_class_without_test_images_is_left_out_and_counted() -> None:
    section = class_section(confusion([0, 1, 1], [0, 1, 0]), NAMES)
    assert [row[0] for row in section.table.rows] == ["1 dog", "0 cat"]
    assert "1 class without test images" in section.shown


@pytest.mark.parametrize("width", WIDTHS)
def test_the_matrix_has_a_square_for_each_pair_that_occurs_and_names_every_class(
    width: float,
) -> None:
    drawing = confusion_figure(SMALL, NAMES, width)
    squares = [i for i in drawing.items if isinstance(i, Stroke) and i.is_filled]
    assert len(squares) == 5
    assert {"0 cat", "1 dog", "2 鹰"} <= set(texts(drawing))
    # 37.5, 50 and 12.5 percent of the cats, and all of the others, row by row.
    assert [t for t in texts(drawing) if t.isdigit() and len(t) > 1] == [
        "38",
        "50",
        "12",
        *["100"] * 2,
    ]
    assert all(0.0 <= x <= width for item in squares for x, _ in item.points)


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_classes_only_the_most_frequent_mix_ups_are_drawn(width: float) -> None:
    num = MOST_CLASSES + 1
    drawing = confusion_figure(of_many(num), [f"name {i}" for i in range(num)], width)
    arrows = [text for text in texts(drawing) if "→" in text]
    assert len(arrows) == MOST_MIX_UPS
    bars = [i for i in drawing.items if isinstance(i, Stroke) and i.ink == "up"]
    lengths = [bar.points[1][0] - bar.points[0][0] for bar in bars]
    # Three of four images of each of the five classes of the last quarter, then two.
    assert lengths == pytest.approx([0.75 * (width - 60)] * 5 + [0.5 * (width - 60)] * 5)


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.996, "100"), (0.02, "2"), (0.005, "<1"), (1e-9, "<1")]
)
def test_a_share_that_is_not_zero_is_never_written_as_zero(share: float, text: str) -> None:
    assert percent_of_row(share) == text


def test_a_name_in_any_script_makes_a_picture() -> None:
    assert png(confusion_figure(SMALL, NAMES, 690.0))[1:4] == b"PNG"
