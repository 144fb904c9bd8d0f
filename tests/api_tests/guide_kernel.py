"""Runs of docs/guide.ipynb in a kernel, which ``python -m tests.api_tests.guide_kernel`` keeps."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from search.records.provenance import ROOT

GUIDE = ROOT / "docs" / "guide.ipynb"
_BEFORE = """
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
import search.tracking.open_store as _store

_store.STORE_DIR = Path({store!r})
"""
"""Run before the guide: the checkout is found from anywhere, and the user's own store is spared."""


@contextmanager
def kernel(notebook: Any, directory: Path) -> Iterator[NotebookClient]:
    """Start a kernel for a notebook that works in a directory."""
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
    )
    # As in a terminal: the interrupts that Jupyter sends must not be ignored in the kernel.
    with client.setup_kernel(env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        before = _BEFORE.format(root=str(ROOT), store=str(directory / "store"))
        execute(client, before)
        yield client


def execute(client: NotebookClient, source: str) -> list[Any]:
    """Execute a cell of its own; returns its outputs.

    Raises:
        CellExecutionError: If it raises.
    """
    cell: Any = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
    client.nb.cells.append(cell)
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1)
    finally:
        client.nb.cells.remove(cell)
    outputs: list[Any] = cell.outputs
    return outputs


def execute_all(client: NotebookClient) -> None:
    """Execute every cell of the notebook, from top to bottom."""
    for index, cell in enumerate(list(client.nb.cells)):
        client.execute_cell(cell, index)


def read_guide() -> Any:
    """Read the guide as it is committed."""
    return nbformat.read(GUIDE, as_version=4)  # type: ignore[no-untyped-call]


def tidy(notebook: Any, directory: Path) -> None:
    """Take out what tells of this machine and this day."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            for mime, text in output.get("data", {}).items():
                if isinstance(text, str) and mime.startswith("text/"):
                    output["data"][mime] = _tidied(text, directory)
            if "text" in output:
                output["text"] = _tidied(output["text"], directory)


def _tidied(text: str, directory: Path) -> str:
    return re.sub(f"{re.escape(str(directory))}/?", "", text).replace(sys.executable, "python")


def main() -> None:
    """Execute the guide and write it back with its outputs."""
    notebook = read_guide()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder).resolve()
        with kernel(notebook, directory) as client:
            execute_all(client)
        tidy(notebook, directory)
    nbformat.write(notebook, GUIDE)  # type: ignore[no-untyped-call]
    print(f"{GUIDE} is executed.", file=sys.stderr)


if __name__ == "__main__":
    main()
