"""Finding of the columns of a table that hold path, label, part and group of an image."""

import difflib
import re
from collections.abc import Mapping

from spaces.errors import InputError
from trainable.data.image_sources import printable, shown
from trainable.data.manifests.table_file import Table

ROLES: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "path", "file", "filename", "filepath", "imagepath", "imagefile", "imagename"),
        *("img", "imgpath", "imgfile", "imgname"),
    ),
    "label": ("label", "class", "target", "category", "classname", "labelname"),
    "split": ("split", "subset"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid"),
}
"""Names by which a column is known, in lower case without blanks, dashes and underscores."""
_NEEDED = ("image", "label")
_MOST_NAMED = 8


def parse_columns(text: str | None) -> dict[str, str]:
    """Parse names of columns, written as ``image=file,label=species``.

    Raises:
        InputError: If the text has another form, a role is unknown, or one is given twice.
    """
    found: dict[str, str] = {}
    for item in (text or "").split(",") if text is not None else []:
        role, equals, column = (part.strip() for part in item.partition("="))
        if not equals or not column or role not in ROLES:
            raise InputError(
                f"`columns` must be written as image=file,label=species, with {', '.join(ROLES)} "
                f"before the equals sign, but got {shown(item)}."
            )
        if role in found:
            raise InputError(f"`columns` must name one column for {role}, but names two.")
        found[role] = column
    return found


def find_columns(table: Table, given: Mapping[str, str]) -> dict[str, str]:
    """Choose the column of each role: as given, else by its name.

    Args:
        table: The table.
        given: Name of a column by role.

    Returns:
        Name of the column by role; ``split`` and ``group`` are left out where there is none.

    Raises:
        InputError: If a column that is given or needed is not there, or two may be meant.
    """
    names = [*table.columns, *table.nested]
    found = {}
    for role, known in ROLES.items():
        if role in given:
            found[role] = _given(table, names, role, given[role])
            continue
        alike = [name for name in names if plain_name(name) in known and name not in given.values()]
        exact = [name for name in alike if plain_name(name) == role]
        if len(exact or alike) > 1:
            one, other = (exact or alike)[:2]
            raise InputError(
                f"Columns {shown(one)} and {shown(other)} of {table.path} may both be the {role}: "
                f"say which by --columns {role}={printable(one)[:60]}."
            )
        if alike:
            found[role] = (exact or alike)[0]
        elif role in _NEEDED:
            raise InputError(
                f"{table.path} must have a column of the {role} (such as "
                f"{', '.join(known[:4])}), but has {_listed(names)}; name it by --columns "
                f"{role}=..."
            )
    for role, name in found.items():
        if name in table.nested:
            raise InputError(
                f"Column {shown(name)} of {table.path} must hold one text or number in each "
                f"row as the {role}, but is of type {printable(table.nested[name])[:80]}; where "
                "pictures lie inside of Parquet files, give their folder as hf:FOLDER."
            )
    return found


def _given(table: Table, names: list[str], role: str, name: str) -> str:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {shown(close[0])}?" if close else ""
        raise InputError(
            f"`columns` names {shown(name)} for the {role}, but {table.path} has "
            f"{_listed(names)}.{hint}"
        )
    return name


def plain_name(name: str) -> str:
    """Return a column's name in lower case, without blanks, dashes and underscores."""
    return re.sub(r"[\W_]", "", name).lower()


def _listed(names: list[str]) -> str:
    named = ", ".join(shown(name) for name in names[:_MOST_NAMED])
    return named + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
