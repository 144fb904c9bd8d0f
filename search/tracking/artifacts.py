"""Upload of a run directory's files to MLflow, with its tables in a form that MLflow displays."""

import csv
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from search.tracking.store import Store

FILES = (
    "report.html",
    "verdict.json",
    "best.yaml",
    "best.timm.yaml",
    "best.torchvision.txt",
    "config.json",
    "plan.json",
    "trials.csv",
    "experiment.csv",
    "records.jsonl",
    "log.txt",
)
"""Files of a run directory that are uploaded, in the order they are listed."""
ANSWER_FILES = ("ablation.json", "ablation.csv", "optimizers.json", "optimizers.csv")
"""Result files of an ablation or an optimizer contest."""
ENVIRONMENT = "environment.txt"
_FIGURES = "figures"
_MAX_IMAGE_PX = 700
_FIRST = "dials"
_TABLES = {
    f"{name}.csv": f"tables/{name}.json"
    for name in ("trials", "experiment", "ablation", "optimizers")
}
_DIALS = "tables/dials.json"

_Row = list[str | float]


def upload(
    store: Store, run_id: str, run_dir: Path, *, dials: Sequence[Mapping[str, str]]
) -> list[str]:
    """Upload all artifacts of a search, replacing earlier ones, and return their paths.

    Args:
        store: Store to write to.
        run_id: Id of the parent run.
        run_dir: Run directory; files that it lacks are skipped.
        dials: Rows of the dial table.
    """
    written = []
    for name in (*FILES, *ANSWER_FILES):
        if (run_dir / name).is_file():
            store.log_file(run_id, run_dir / name)
            written.append(name)
    for figure in sorted((run_dir / _FIGURES).glob("*")):
        if figure.suffix in (".png", ".html"):
            store.log_file(run_id, figure, _FIGURES)
            written.append(f"{_FIGURES}/{figure.name}")
    tables: dict[str, list[_Row]] = {
        path: _read(run_dir / name) for name, path in _TABLES.items() if name in written
    }
    if dials:
        rows: list[_Row] = [list(row.values()) for row in dials]
        tables[_DIALS] = [list(dials[0]), *rows]
    for path, (columns, *data) in tables.items():
        store.log_text(run_id, json.dumps({"columns": columns, "data": data}), path)
    if tables:
        # MLflow shows those JSON files as tables that this tag names.
        shown = json.dumps([{"path": path, "type": "table"} for path in tables])
        store.log(run_id, tags={"mlflow.loggedArtifacts": shown})
    store.log_text(run_id, _environment(), ENVIRONMENT)
    return [*written, *tables, ENVIRONMENT]


def artifact_link(experiment_id: str, run_id: str, path: str) -> str:
    """Build the address of an artifact in MLflow's viewer, relative to MLflow's page."""
    run = f"#/experiments/{experiment_id}/runs/{run_id}"
    return f"{run}/artifacts/{quote(path)}?workflowType=machine_learning"


def images(run_dir: Path, run_id: str) -> dict[str, str]:
    """Return the addresses of the figures narrow enough for a description, by name, dials first."""
    found = {}
    figures = (run_dir / _FIGURES).glob("*.png")
    for figure in sorted(figures, key=lambda path: (path.stem != _FIRST, path.stem)):
        if 0 < _png_width(figure) <= _MAX_IMAGE_PX:
            path = quote(f"{_FIGURES}/{figure.name}", safe="")
            found[figure.stem] = f"get-artifact?path={path}&run_uuid={run_id}"
    return found


def _read(file: Path) -> list[_Row]:
    """Read the rows of a CSV file, header first; an empty file has an empty header."""
    with file.open(encoding="utf-8", newline="") as stream:
        return [[_cell(text) for text in row] for row in csv.reader(stream)] or [[]]


def _cell(text: str) -> str | float:
    try:
        number = float(text)
    except ValueError:
        return text
    # The viewer prints all digits of a number and "null" for a missing one; JSON has no NaN.
    return float(f"{number:.6g}") if math.isfinite(number) else ""


def _png_width(file: Path) -> int:
    with file.open("rb") as stream:
        head = stream.read(24)
    # Signature and chunk header take 16 bytes; then comes the width (PNG specification, 11.2.2).
    return int.from_bytes(head[16:20], "big") if head[12:16] == b"IHDR" else 0


def _environment() -> str:
    installed = {dist.name: dist.version for dist in importlib.metadata.distributions()}
    lines = [f"{name}=={version}" for name, version in sorted(installed.items())]
    return "\n".join([f"# Python {platform.python_version()}, {platform.platform()}", *lines, ""])
