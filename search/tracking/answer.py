"""The final result of an ablation or an optimizer contest for MLflow, in place of a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.tracking.notes import Links, markdown

KIND_TAG = "kind"
"""Tag of the parent run of anything but a search: ``ablation`` or ``optimizers``."""
STAGES_TAG = "stages"
"""Tag of the parent run with its stages, between commas; a diagnosis has no ``search``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of an ablation or a contest.

    Attributes:
        sentence: The result in words.
        rows: Rows of the table under it, all with the same columns.
        remarks: Paragraphs under the table.
        metrics: Metrics of the parent run; rounded, all finite.
    """

    sentence: str
    rows: Sequence[Mapping[str, str]]
    remarks: Sequence[str]
    metrics: Mapping[str, float]


def answer_note(answer: Answer, *, links: Links, counts: str) -> str:
    """Write the description of the run in Markdown."""
    parts = [f"**{answer.sentence}**", f"{counts} [charts]({links.charts})", markdown(answer.rows)]
    parts += answer.remarks
    parts += [f"![{caption}]({address})" for caption, address in links.images.items()]
    files = " · ".join(f"[{name}]({address})" for name, address in links.artifacts.items())
    if files:
        parts.append(f"**Files**: {files}")
    return "\n\n".join(parts)
