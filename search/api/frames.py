"""Tables of a run's trials as DataFrames that look like the report's table in a notebook."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pandas as pd


class RunsFrame(pd.DataFrame):
    """A table of runs; whatever is computed from it is a plain DataFrame.

    Attributes:
        page: Function that renders the table as the report does, as HTML.
    """

    _metadata: ClassVar[list[str]] = ["page"]
    page: Callable[[], str]

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> Any:
        return self.page()


def runs_frame(rows: Sequence[dict[str, object]], page: Callable[[], str]) -> RunsFrame:
    """Make the table of these rows, each with its values by column.

    Args:
        rows: The rows.
        page: See `RunsFrame`.
    """
    frame = RunsFrame(pd.DataFrame(list(rows)))
    frame.page = page
    return frame
