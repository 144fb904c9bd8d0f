"""What a run that is no search tells its tracking store at the end, instead of a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.tracking.notes import Links, markdown

KIND_TAG = "kind"
"""Tag of the parent run of anything but a search: ``ablation`` or ``optimizers``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of an ablation or a contest.

    Attributes:
        sentence: What was found.
        rows: Table under it, the same columns in each row.
        remarks: Paragraphs under the table.
        metrics: Numbers of the parent run; rounded, all finite.
    """

    sentence: str
    rows: Sequence[Mapping[str, str]]
    remarks: Sequence[str]
    metrics: Mapping[str, float]


def answer_note(answer: Answer, *, links: Links, counts: str) -> str:
    """Description of the run in Markdown."""
    parts = [f"**{answer.sentence}**", f"{counts} [charts]({links.charts})", markdown(answer.rows)]
    parts += answer.remarks
    parts += [f"![{caption}]({address})" for caption, address in links.images.items()]
    files = " · ".join(f"[{name}]({address})" for name, address in links.artifacts.items())
    if files:
        parts.append(f"**Files**: {files}")
    return "\n\n".join(parts)
