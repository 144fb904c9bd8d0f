"""HTML elements from text: whatever is not markup already is escaped where it enters."""

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML; any other text is escaped before it becomes part of it."""

    __slots__ = ()


def element(name: str, *children: str | None, **attributes: str | bool | None) -> Markup:
    """An element with its children; None is left out.

    Args:
        name: Of the element.
        children: `Markup` goes in as it is, other text escaped.
        attributes: ``css_class`` becomes ``class``, an underscore a dash. True is an attribute
            without a value, False and None are none.
    """
    given = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Markup:
    """Children one after the other, see `element`."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(child)
            for child in children
            if child is not None
        )
    )


def breakable(name: str) -> Markup:
    """A name that may break after an underscore, where a person would break it."""
    first, *others = name.split("_")
    return joined([first, *(joined([Markup("_<wbr>"), part]) for part in others)])


def coded(sentence: str) -> Markup:
    """A sentence in which ```names``` between back quotes become code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return joined([sentence])
    return joined(element("code", part) if i % 2 else part for i, part in enumerate(parts))


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Iterable[int] = (),
    css_class: str = "",
) -> Markup:
    """A table whose first column is its row's head; on a phone rows may turn into cards.

    Args:
        head: Names of the columns.
        rows: Cells.
        numeric: Columns of numbers, which are aligned to the right.
        css_class: ``cards`` stacks the cells of a row on a narrow screen.
    """
    right = set(numeric)

    def style(column: int) -> str | None:
        return "number" if column in right else None

    names = [
        element("th", name, scope="col", css_class=style(column))
        for column, name in enumerate(head)
    ]
    body = []
    for row in rows:
        first = element("th", row[0], scope="row")
        rest = [
            element("td", cell, css_class=style(column), data_label=head[column])
            for column, cell in enumerate(row[1:], start=1)
        ]
        body.append(element("tr", first, *rest))
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *names)),
            element("tbody", *body),
            css_class=css_class or None,
        ),
        css_class="scroll",
    )


def _attribute(key: str, value: str | bool) -> str:
    name = "class" if key == "css_class" else key.replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
