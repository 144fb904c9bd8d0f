"""The report of an ablation or a contest: one page that opens anywhere, answer first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.report.figures.catalogue import Figure
from search.report.render import Table, render


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

    @property
    def table(self) -> Table | None:
        """The rows as a table, or None without any."""
        if not self.rows:
            return None
        cells = tuple(tuple(row.values()) for row in self.rows)
        return Table(head=tuple(self.rows[0]), rows=cells)


def comparison_page(page: Page) -> str:
    """The page as HTML; it asks for nothing else."""
    return render("comparison.html.jinja", page=page)
