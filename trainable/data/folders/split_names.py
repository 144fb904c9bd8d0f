"""Detection of names of folders that denote the parts of a split.

People call them train and test, Training and Testing, Train, Valid and Test, seg_train and
seg_test, train2017 and val2017. Read as classes they would train a model to tell one part from
another, so nothing that is not clear is read at all.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trainable.data.image_sources import TEST, TRAIN, VAL

_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), VAL),
    **dict.fromkeys(("test", "testing", "tst"), TEST),
}
_FILLERS = frozenset({"data", "dataset", "image", "images", "img", "imgs", "set", "split"})
"""Words in a name that are ignored."""
_WITHOUT_LABELS = frozenset(
    {"pred", "predict", "prediction", "predictions", "submission", "unlabeled", "unlabelled"}
)
_JOINED = re.compile(rf"({'|'.join(_WORDS)})(set|data|images|imgs)")
_BETWEEN = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedParts:
    """Folders whose names denote parts of a split.

    Attributes:
        parts: `TRAIN`, `VAL` or `TEST` by name, in the order of the parts.
        unlabelled: Folders beside them whose names denote images without labels.
        is_clear: Whether the names leave no doubt: each part once, `TRAIN` among them, and nothing
            beside them but ``unlabelled``.
    """

    parts: Mapping[str, int]
    unlabelled: tuple[str, ...]
    is_clear: bool


def part_of(name: str) -> int | None:
    """Return the part that a folder's name denotes if it has no other words, else None."""
    read = _read(name)
    return read[0] if read is not None and not read[1] else None


def named_parts(names: Sequence[str]) -> NamedParts | None:
    """Detect the parts of a split among the names of folders in one folder.

    Two of them look like parts if they are called so with the same words beside it, or if all of
    them are called so with any words: a train station beside a test tube and a car does not.

    Returns:
        None if they do not look like parts of a split.
    """
    read = {name: found for name in names if (found := _read(name)) is not None}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, (_, beside) in read.items():
        groups[beside].append(name)
    alike = [name for group in groups.values() if len(group) > 1 for name in group]
    if len(read) == len(names) > 1 and len({part for part, _ in read.values()}) > 1:
        alike = [*read]
    if not alike:
        return None
    others = [name for name in names if name not in alike]
    unlabelled = tuple(name for name in others if _WITHOUT_LABELS & {*_tokens(name)})
    parts = {name: read[name][0] for name in sorted(alike, key=lambda name: read[name][0])}
    return NamedParts(
        parts=parts,
        unlabelled=unlabelled,
        is_clear=len({read[name][1] for name in alike}) == 1
        and len({*parts.values()}) == len(parts)
        and TRAIN in parts.values()
        and len(unlabelled) == len(others),
    )


def _read(name: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the part in a name and the other words; None if it has no part, or several."""
    words = _tokens(name)
    found = [_WORDS[word] for word in words if word in _WORDS]
    if len(found) != 1:
        return None
    return found[0], tuple(word for word in words if word not in _WORDS)


def _tokens(name: str) -> list[str]:
    """Split a name into words in lower case, without numbers and ignored words."""
    apart = _JOINED.sub(r"\1 \2", _BETWEEN.sub(" ", name).lower())
    return [word for word in _words(apart) if word not in _FILLERS]


def _words(text: str) -> Iterable[str]:
    return re.findall(r"[^\W\d_]+", text)
