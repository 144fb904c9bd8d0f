"""Figure of which classes are taken for which on the test images."""

from collections.abc import Sequence

from search.report.figures.axes import TICK_SIZE, WIDE, Scale
from search.report.figures.drawing import Drawing, Item, Stroke, Text
from search.verdict.confusion import Confusion

MOST_CLASSES = 20
"""Classes up to which the whole matrix is drawn; with more, only the most frequent mix-ups are."""
MOST_MIX_UPS = 10
_MOST_CELL = 34.0
_LEAST_CELL = 18.0
_ROW = 36.0


def confusion_figure(confusion: Confusion, class_names: Sequence[str], width: float) -> Drawing:
    """Draw the matrix with true classes in rows, or bars of mix-ups if there are many classes.

    Args:
        confusion: The counts.
        class_names: Name of each class.
        width: Width of the drawing in pixels.
    """
    if confusion.num_classes <= MOST_CLASSES:
        return _matrix(confusion, class_names, width)
    return _mix_ups(confusion, class_names, width)


def numbered(class_names: Sequence[str], index: int, *, most: int = 40) -> str:
    """Return a class's index and name, or the name alone where it is the index, shortened."""
    name = class_names[index]
    text = name if name == str(index) else f"{index} {name}"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent_of_row(share: float) -> str:
    """Format a share above 0 in whole percent, ``<1`` if that would be zero."""
    rounded = f"{100.0 * share:.0f}"
    return "<1" if rounded == "0" else rounded


def _matrix(confusion: Confusion, class_names: Sequence[str], width: float) -> Drawing:
    num = confusion.num_classes
    is_wide = width >= WIDE
    size = TICK_SIZE if is_wide else 9.0
    labels = [numbered(class_names, i, most=22 if is_wide else 12) for i in range(num)]
    widths = [Text(at=(0.0, 0.0), text=label, size=size).width for label in ("true", *labels)]
    left = 10.0 + max(widths)
    cell = min(_MOST_CELL, (width - left - 2.0) / num)
    top = 40.0
    shares = confusion.shares
    worst = max((mixed.share for mixed in confusion.mix_ups()), default=1.0)
    items: list[Item] = [
        Text(at=(0.0, top - 8), text="true", size=size),
        Text(at=(left, top - 26), text="predicted class, % of the row's images", size=size),
    ]
    for i in range(num):
        middle = top + (i + 0.5) * cell
        items.append(Text(at=(0.0, middle + 4), text=labels[i], ink="ink", size=size))
        head = (left + (i + 0.5) * cell, top - 8)
        items.append(Text(at=head, text=str(i), size=size, anchor="middle"))
        for j in range(num):
            share = float(shares[i, j])
            if not share > 0.0:  # Also NaN, of a class without test images.
                continue
            corner = (left + j * cell, top + i * cell)
            # Mix-ups are shaded up to the largest one, as all are pale beside the diagonal.
            is_right = i == j
            opacity = 0.45 * share if is_right else 0.08 + 0.47 * share / worst
            items.append(_square(corner, cell, "advised" if is_right else "up", opacity))
            if share >= 0.005 or cell > _LEAST_CELL:  # The colour alone tells what is rare.
                at = (corner[0] + cell / 2, middle + 4)
                text = percent_of_row(share)
                fits = min(size, cell / (0.62 * max(2, len(text))))
                items.append(Text(at=at, text=text, ink="ink", size=fits, anchor="middle"))
    end = num * cell
    for i in range(num + 1):
        x, y = left + i * cell, top + i * cell
        items.append(Stroke(points=((x, top), (x, top + end)), ink="grid"))
        items.append(Stroke(points=((left, y), (left + end, y)), ink="grid"))
    return Drawing(width=width, height=top + end + 4, items=tuple(items))


def _square(corner: tuple[float, float], cell: float, ink: str, opacity: float) -> Stroke:
    x, y = corner
    points = ((x, y), (x + cell, y), (x + cell, y + cell), (x, y + cell))
    return Stroke(points=points, ink=ink, is_filled=True, opacity=opacity)


def _mix_ups(confusion: Confusion, class_names: Sequence[str], width: float) -> Drawing:
    """Draw a bar for each of the most frequent mix-ups, as a share of the true class's images."""
    shown = confusion.mix_ups()[:MOST_MIX_UPS]
    x = Scale(low=0.0, high=1.0, start=0.0, end=width - 60.0)
    most = 36 if width >= WIDE else 20
    items: list[Item] = []
    for row, mixed in enumerate(shown):
        y = row * _ROW
        names = [numbered(class_names, i, most=most) for i in (mixed.true, mixed.predicted)]
        items.append(Text(at=(0.0, y + 13), text=" → ".join(names), ink="ink"))
        for end, ink in ((1.0, "band"), (mixed.share, "up")):
            corners = ((0.0, y + 19), (x(end), y + 19), (x(end), y + 28), (0.0, y + 28))
            items.append(Stroke(points=corners, ink=ink, is_filled=True))
        share = f"{100.0 * mixed.share:.1f} %"
        items.append(Text(at=(width - 2, y + 28), text=share, ink="ink", anchor="end"))
    if not shown:
        items.append(Text(at=(0.0, 13.0), text="No test image is taken for another class."))
    return Drawing(width=width, height=max(1, len(shown)) * _ROW, items=tuple(items))
