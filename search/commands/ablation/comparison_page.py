"""The report of an ablation or a contest: one page that opens anywhere, answer first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from search.report import style as report_style
from search.report.figures import catalogue as drawn
from search.report.figures.catalogue import Figure
from search.report.html import Markup, element, joined, table


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What stands on the page.

    Attributes:
        title: Of the window.
        about: Data, model and length, above everything.
        sentence: The answer.
        lines: Under it.
        figure: The figure.
        rows: Of the table, the same columns in each.
        remarks: Under the table.
    """

    title: str
    about: str
    sentence: str
    lines: Sequence[str]
    figure: Figure
    rows: Sequence[Mapping[str, str]]
    remarks: Sequence[str]


def comparison_page(page: Page) -> str:
    """The page as HTML; it asks for nothing else."""
    head = list(page.rows[0]) if page.rows else []
    drawing = element(
        "figure",
        element("figcaption", page.figure.caption),
        Markup(page.figure.html()),
        data_figure=page.figure.name,
    )
    body = joined(
        [
            element(
                "header",
                element("p", page.about, css_class="about"),
                element("h1", page.sentence),
                *(element("p", line, css_class="lead") for line in page.lines if line),
            ),
            element(
                "main",
                element("section", element("h2", page.figure.title), drawing),
                element(
                    "section",
                    element("h2", "In numbers"),
                    table(head, [list(row.values()) for row in page.rows]) if head else None,
                    element("ul", *(element("li", r) for r in page.remarks), css_class="notes"),
                ),
            ),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n"
        f"<style>{drawn.STYLE}{report_style.STYLE}</style>\n</head>\n<body>{body}</body>\n</html>\n"
    )
