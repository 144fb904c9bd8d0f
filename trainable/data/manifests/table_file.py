"""Reading of a table from a CSV, TSV, JSONL or Parquet file.

Cells of CSV and TSV files stay the text that they are: pandas would otherwise read the label ``NA``
as no value and ``007`` as 7.
"""

import json
import math
import reprlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces.errors import InputError
from trainable.data.folders.folder_walk import is_folder
from trainable.data.image_sources import printable, shown

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
"""Endings of the files that are read as tables, in lower case."""
_MOST_SAID = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells.

    Attributes:
        path: The file, for messages.
        columns: Cells by name of the column.
        rows: Number of each row for messages: of a CSV or TSV file as a spreadsheet counts them,
            the row of names being 1; of other files from 1.
        nested: Columns that hold no single values (lists, pictures), with their type.
    """

    path: Path
    columns: Mapping[str, Sequence[object]]
    rows: Sequence[int]
    nested: Mapping[str, str] = field(default_factory=dict)

    def where(self, index: int, column: str) -> str:
        """Say in which row and column of the file a cell is."""
        return f"{self.path}, row {self.rows[index]}, column {shown(column)}"

    def texts(self, column: str) -> list[str]:
        """Return a column's cells as text without blanks around it; empty for a missing value.

        Raises:
            InputError: If a cell is neither text nor a whole number.
        """
        return [self._text(value, i, column) for i, value in enumerate(self.columns[column])]

    def _text(self, value: object, index: int, column: str) -> str:
        if isinstance(value, str):
            return value.strip()
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, float) and value.is_integer():  # So are whole numbers with gaps read.
            return str(int(value))
        if isinstance(value, int):  # Of Python or, as bool, a subclass.
            return str(value)
        raise InputError(
            f"{self.where(index, column)} must hold one text or whole number, but holds "
            f"{printable(reprlib.repr(value))}."
        )


def is_table(name_or_path: str | Path) -> bool:
    """Whether a name has the ending of a table, and is not the name of a folder."""
    return Path(name_or_path).suffix.lower() in SUFFIXES and not is_folder(Path(name_or_path))


def is_file(path: Path) -> bool:
    """Whether a file exists; False also for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_table(path: Path) -> Table:
    """Read all rows of a file; blank ones are left out.

    Raises:
        InputError: If the file is missing, is not what its ending says, or has a column without a
            name, two of one name, or a cell that is neither text nor a number.
    """
    if not is_file(path):
        raise InputError(f"A table of images must exist, but {path} does not or is no file.")
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    try:
        found = readers[path.suffix.lower()](path)
    except OSError as error:
        # Parquet's reader says on several lines what is wrong inside of a file.
        said = error.strerror or " ".join(str(error).split())[:_MOST_SAID]
        raise InputError(f"{path} cannot be read: {printable(said)}.") from error
    if not found.rows:
        raise InputError(f"A table of images must have rows, but {path} has none.")
    return found


def _read_csv(path: Path) -> Table:
    # Late, as it takes a third of a second and most datasets are no tables.
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frame = pd.read_csv(
                path,
                sep=_separator(path),
                header=None,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
            )
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be text in UTF-8, but is not ({error.reason}).") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"The first row of {path} must name the columns, but is empty.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        said = printable(" ".join(str(error).split())[:_MOST_SAID])
        raise InputError(f"{path} must have the same columns in every row: {said}") from error
    values = frame.to_numpy().astype(object)
    names = [str(name).strip() for name in values[0]]
    _check_names(path, names)
    kept = [i for i in range(1, len(values)) if any(values[i])]
    columns = {name: [str(values[i][place]) for i in kept] for place, name in enumerate(names)}
    return Table(path=path, columns=columns, rows=[i + 1 for i in kept])


def _separator(path: Path) -> str:
    """Return the character between cells: spreadsheets of many countries write semicolons."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open("rb") as file:
        first = file.readline(2**16)
    if b"," in first:
        return ","
    return ";" if b";" in first else "\t" if b"\t" in first else ","


def _read_jsonl(path: Path) -> Table:
    objects, rows = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode("utf-8-sig"), parse_int=str)
        except (ValueError, RecursionError) as error:
            said = printable(str(error)[:_MOST_SAID])
            raise InputError(f"{path}, row {number} must be JSON, but is not: {said}.") from error
        if not isinstance(found, dict):
            raise InputError(f"{path}, row {number} must be a JSON object with the columns.")
        objects.append(found)
        rows.append(number)
    names = list(dict.fromkeys(name for found in objects for name in found))
    _check_names(path, names)
    columns = {name: [found.get(name) for found in objects] for name in names}
    return Table(path=path, columns=columns, rows=rows)


def _read_parquet(path: Path) -> Table:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        _check_names(path, schema.names)
        # Lists, and pictures that lie inside of the file: they would be read whole into memory.
        nested = {
            field.name: str(field.type)
            for field in schema
            if pa.types.is_nested(field.type) or _is_bytes(field.type)
        }
        plain = [name for name in schema.names if name not in nested]
        frame = pd.read_parquet(path, columns=plain).reset_index(drop=True).astype(object)
    except (pa.ArrowException, ValueError, KeyError) as error:
        said = printable(" ".join(str(error).split())[:_MOST_SAID])
        raise InputError(f"{path} must be a Parquet file, but is not: {said}") from error
    frame = frame.where(frame.notna(), None)
    columns = {name: frame[name].tolist() for name in plain}
    return Table(path=path, columns=columns, rows=range(1, len(frame) + 1), nested=nested)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        test(kind)
        for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _check_names(path: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names, 1):
        if not name:
            raise InputError(
                f"Every column of {path} must have a name, but column {number} has none."
            )
        if name in names[: number - 1]:
            raise InputError(
                f"Columns of {path} must have different names, but two are called {shown(name)}."
            )
