"""docs/guide.ipynb in a real kernel: it runs, shows what is committed, and can be stopped."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.api_tests.guide_kernel import execute, execute_all, kernel, read_guide, tidy
from tests.support.whole_run import num_records_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_OF_RESULTS = {"up", "down", "leave", "inconclusive", "first", "cut"}
"""Classes of elements that depend on what a run finds."""
_OF_MACHINES = {"--amp", "'amp_dtype':"}
"""What a CPU decides: one with bfloat16 of its own (AVX-512, AMX) may train this model in it."""
ANOTHER = (
    'search.diagnose("images", **quick, run_name="stopped", tracking_uri="sqlite:///other.db")'
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guide").resolve()


@pytest.fixture(scope="module")
def client(directory: Path) -> Iterator[NotebookClient]:
    """The kernel in which the guide was executed, from top to bottom."""
    notebook = read_guide()
    for cell in notebook.cells:
        cell.get("outputs", []).clear()
    with kernel(notebook, directory) as client:
        execute_all(client)
        yield client


def shown(output: Any) -> tuple[str, object]:
    """What an output is made of, without numbers and without what depends on results."""
    if "text" in output:
        flags = set(re.findall(r"--[a-z-]+", output["text"])) - _OF_MACHINES
        return (output["output_type"], sorted(flags))
    data = output["data"]
    html = data.get("text/html")
    if html is None:
        text = re.sub(r"-?[\d.]+(e-?\d+)?", "0", data["text/plain"])
        keys = [key for key in re.findall(r"'\w+':", text) if key not in _OF_MACHINES]
        return (output["output_type"], keys or text.count(","))
    style, _, page = html.partition("</style>")
    page = re.sub(r"<svg.*?</svg>", "<svg>", page, flags=re.DOTALL)
    made = {
        (tag, tuple(name for name in css.split() if name not in _OF_RESULTS))
        for tag, css in re.findall(r"<(\w+)(?:[^>]*?class=\"([^\"]*)\")?", page)
    }
    return (output["output_type"], (style, sorted(made), sorted(data)))


def test_what_is_committed_is_what_the_code_shows_now(
    client: NotebookClient, directory: Path
) -> None:
    tidy(client.nb, directory)
    for committed, now in zip(read_guide().cells, client.nb.cells, strict=True):
        assert committed.source == now.source
        if now.cell_type == "code":
            outputs = [[shown(o) for o in cell.outputs] for cell in (committed, now)]
            assert outputs[0] == outputs[1], now.source
            assert not [o for o in now.outputs if o["output_type"] == "error"]


def test_the_committed_guide_tells_nothing_of_a_machine() -> None:
    text = json.dumps(read_guide())
    assert not re.search(r"/(?:tmp|home|root|work|Users)/", text)
    assert "Warning" not in text


def test_the_guide_is_ten_cells_and_ends_in_files(client: NotebookClient, directory: Path) -> None:
    assert sum(cell.cell_type == "code" for cell in read_guide().cells) == 10
    assert (directory / "best.yaml").read_text() == (directory / "runs/guide/best.yaml").read_text()
    assert (directory / "best.timm.yaml").is_file()
    assert (directory / "runs/final/model.safetensors").is_file()


def interrupt_once(client: NotebookClient, run: Path, *, after: int) -> None:
    """Interrupt the kernel as a front end does, once a run has so many records."""
    process = client.km.provisioner.pid  # type: ignore[union-attr]

    def watch() -> None:
        while num_records_of(run, "attribute") < after:
            time.sleep(0.05)
        os.killpg(os.getpgid(process), signal.SIGINT)  # Ray's processes are of this group too.

    threading.Thread(target=watch, daemon=True).start()


def test_a_stopped_run_goes_on_in_the_same_kernel(client: NotebookClient, directory: Path) -> None:
    run = directory / "runs" / "stopped"
    handlers = "[str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]"
    before = execute(client, f"import signal; {handlers}")[0]["data"]["text/plain"]
    interrupt_once(client, run, after=6)

    with pytest.raises(CellExecutionError, match=r"Go on with: search\.resume"):
        execute(client, ANOTHER)

    assert not (run / "verdict.json").exists()
    done = num_records_of(run, "attribute")
    assert done >= 6
    assert execute(client, f"{handlers}")[0]["data"]["text/plain"] == before
    assert execute(client, "import ray; ray.is_initialized()")[0]["data"]["text/plain"] == "False"

    outputs = execute(client, f"search.resume({str(run)!r})")

    assert [output["output_type"] for output in outputs] == ["display_data", "execute_result"]
    assert num_records_of(run, "attribute") > done
    assert (run / "verdict.json").is_file()
