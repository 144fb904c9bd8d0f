"""The report of an ablation or a contest: one HTML page that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.report.figures.catalogue import Figure
from search.report.render import Table, render


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The content of the page.

    Attributes:
        title: Title of the window.
        about: Line on data, model and training length, at the top.
        sentence: The result in words.
        lines: Lines under the sentence.
        figure: The figure.
        rows: Rows of the table, all with the same columns.
        remarks: Remarks under the table.
        files: Files beside the page that are linked, each with what it is for.
    """

    title: str
    about: str
    sentence: str
    lines: Sequence[str]
    figure: Figure
    rows: Sequence[Mapping[str, str]]
    remarks: Sequence[str]
    files: Sequence[tuple[str, str]] = ()

    @property
    def table(self) -> Table | None:
        """The rows as a table, or None without any."""
        if not self.rows:
            return None
        cells = tuple(tuple(row.values()) for row in self.rows)
        return Table(head=tuple(self.rows[0]), rows=cells)


def comparison_page(page: Page) -> str:
    """Render the page as HTML without external files."""
    return render("comparison.html.jinja", page=page)
