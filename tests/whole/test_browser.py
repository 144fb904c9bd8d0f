"""What a person sees of a real small search: MLflow's pages and the report, in a real browser.

Screenshots are kept under ``build/screenshots/``, to be looked at.
"""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from search.commands.ui import free_port
from search.records.provenance import ROOT
from search.verdict.wording import TURN_SIGNS
from spaces.strengths.registry import STRENGTHS
from tests.support.small_search import NUM_RERUNS, NUM_SAMPLES, command

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHOTS = ROOT / "build" / "screenshots"
NUM_LINES = NUM_SAMPLES + NUM_RERUNS
_DESKTOP, _PHONE = (1600, 1000), (390, 844)
_WAIT_MS = 60_000
_NOT_OURS = re.compile(
    # MLflow asks who is logged in, where nobody can be, and measures charts while it lays them out.
    r"/mlflow/users/current|ResizeObserver loop"
)
_HALF_LAID_OUT = re.compile(r"attribute \w+: .*(NaN|A negative value is not valid)")
"""Where a chart is drawn before it has a size, or a smaller one than its margins, on a busy
machine: the browser says so of the script that draws it."""
_MLFLOW_SCRIPT = re.compile(r"^https?://[^/]+/static-files/static/js/[^?]*\.js")
_LINES_OF = """
element => {
  const key = Object.keys(element).find(key => key.startsWith("__reactFiber"));
  for (let at = element[key]; at; at = at.return)
    if (Array.isArray(at.memoizedProps?.data)) return at.memoizedProps.data.length;
  return -1;
}
"""
_INK_OF = """
canvas => {
  const {width, height} = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let inked = 0;
  for (let i = 3; i < pixels.length; i += 4) inked += pixels[i] > 0;
  return inked;
}
"""


def is_noise_of_mlflow(text: str, url: str) -> bool:
    """Whether an error is of MLflow's own charts while they are laid out, and not of our pages."""
    return bool(_HALF_LAID_OUT.search(text) and _MLFLOW_SCRIPT.match(url))


class Visitor:
    """A page of a browser, and everything that went wrong on it."""

    def __init__(self, browser: "Browser", size: tuple[int, int]) -> None:
        width, height = size
        self.page: Page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(_WAIT_MS)
        self._wrong: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._wrong.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    @property
    def wrong(self) -> list[str]:
        """Errors in the console, failed requests and refused ones, but for MLflow's usual ones."""
        return [text for text in self._wrong if not _NOT_OURS.search(text)]

    def go(self, address: str) -> "Page":
        """Open an address from scratch: of one that differs after ``#`` only, nothing is loaded."""
        self.page.goto("about:blank")
        self.page.goto(address)
        return self.page

    def keep(self, name: str) -> None:
        """Keep what is seen now as a picture."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        # Charts are drawn a moment after they are there.
        self.page.wait_for_timeout(1500)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.type == "error" and not is_noise_of_mlflow(
            message.text, message.location["url"]
        ):
            self._wrong.append(f"console: {message.text} at {message.location}")

    def _failed(self, request: "Request") -> None:
        if request.failure != "net::ERR_ABORTED":  # That is what the page itself gave up.
            self._wrong.append(f"failed: {request.url} {request.failure}")

    def _answered(self, response: "Response") -> None:
        if response.status >= 400:
            self._wrong.append(f"status {response.status}: {response.url}")


def _or_skip(reason: str) -> None:
    """A person may lack a browser; where everything is tested, nothing may be skipped."""
    assert os.environ.get("CI") != "true", reason
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        _or_skip("There is no chromium on this machine.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _or_skip("The package playwright is not installed.")
    with sync_playwright() as playwright:
        # As root chromium starts only without its sandbox; all pages here are our own.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def desktop(browser: "Browser") -> Iterator[Visitor]:
    visitor = Visitor(browser, _DESKTOP)
    yield visitor
    visitor.page.close()


@pytest.fixture
def phone(browser: "Browser") -> Iterator[Visitor]:
    visitor = Visitor(browser, _PHONE)
    yield visitor
    visitor.page.close()


@pytest.fixture(scope="module")
def printed(finished: tuple[Path, str, str]) -> Iterator[str]:
    """The address that `make ui` prints, while its server runs."""
    _, uri, _ = finished
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = free_port("127.0.0.1", min(probe.getsockname()[1] + 1, 65000))
    server = command(["ui", "--tracking-uri", uri, "--port", str(port)])
    assert server.stdout is not None
    try:
        said = ""
        while "Ctrl-C ends the server" not in said:
            line = server.stdout.readline()
            assert line, f"The server ended: {said}"
            said += line
        yield re.findall(r"^  (http://\S+)$", said, flags=re.MULTILINE)[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0


def run_page(visitor: Visitor, printed: str) -> "Page":
    """The page of the search, reached as a person does: by the link above its charts."""
    page = visitor.go(printed)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="tf_efficientnet_lite0 on small-transfer, whole").click()
    address = opened.value.url
    opened.value.close()
    return visitor.go(address)


def require_no_banner(page: "Page") -> None:
    for words in ("Something went wrong", "Error", "cannot be", "not found", "No runs"):
        # With its capital: our own texts speak of error control.
        assert page.get_by_text(re.compile(re.escape(words))).count() == 0, words


def rows_of(table: "Locator") -> list[list[str]]:
    rows = table.locator("tr").all() or table.get_by_role("row").all()
    return [[cell.strip() for cell in re.split(r"[\t\n]+", row.inner_text())] for row in rows]


@pytest.mark.parametrize(
    ("text", "url", "is_noise"),
    [
        (
            'Error: <g> attribute transform: Expected number, "translate(NaN,0)".',
            "http://recipe.localhost:5000/static-files/static/js/877.2c5fb5b3.chunk.js",
            True,
        ),
        (
            'Error: <g> attribute transform: Trailing garbage, "translate(0,NaN)".',
            "http://recipe.localhost:5008/static-files/static/js/2777.654c3d39.chunk.js",
            True,
        ),
        (
            'Error: <g> attribute transform: Expected number, "translate(NaN,0)".',
            "file:///tmp/runs/r1/report.html",
            False,
        ),
        (
            'Error: <path> attribute d: Expected number, "M NaN 0".',
            "http://recipe.localhost:5000/get-artifact?path=report.html&run_uuid=1",
            False,
        ),
        (
            'Error: <rect> attribute height: A negative value is not valid. ("-0.79")',
            "http://recipe.localhost:5008/static-files/static/js/2777.654c3d39.chunk.js",
            True,
        ),
        (
            'Error: <rect> attribute height: A negative value is not valid. ("-0.79")',
            "file:///tmp/runs/r1/report.html",
            False,
        ),
        (
            "Uncaught TypeError: x is undefined",
            "http://recipe.localhost:5000/static-files/static/js/877.2c5fb5b3.chunk.js",
            False,
        ),
    ],
)
def test_errors_of_our_pages_are_told_from_those_of_mlflows_charts(
    text: str, url: str, is_noise: bool
) -> None:
    assert is_noise_of_mlflow(text, url) is is_noise


# MLflow


def test_the_printed_address_shows_every_trial_of_the_search(
    desktop: Visitor, printed: str
) -> None:
    page = desktop.go(printed)
    page.get_by_text(f"{NUM_LINES} matching runs").wait_for()
    view = page.get_by_test_id("saved-views-trigger")
    assert view.inner_text().strip() == "tf_efficientnet_lite0 on small-transfer, whole"
    assert page.get_by_test_id("draggable-chart-cards-grid").count() == 3
    plots = page.locator(".parcoords")
    plots.first.locator("canvas.foreground").wait_for()
    page.wait_for_timeout(1500)
    # The one plot of its kind shows every trial.
    assert plots.count() == 1
    assert plots.first.evaluate(_LINES_OF) == NUM_LINES
    assert plots.first.locator("canvas.foreground").evaluate(_INK_OF) > 500
    labels = plots.first.inner_text()
    assert [name for name in STRENGTHS if f"position.{name}" not in labels] == []
    desktop.keep("view")
    sections = page.get_by_test_id("draggable-chart-cards-grid")
    sections.nth(1).scroll_into_view_if_needed()
    for name in STRENGTHS:
        page.get_by_text(f"position.{name} vs. best/val/top1").first.wait_for()
    desktop.keep("view_scatter")
    require_no_banner(page)
    assert desktop.wrong == []


def test_the_table_of_the_view_has_the_strengths_and_the_picked_trial_first(
    desktop: Visitor, printed: str
) -> None:
    page = desktop.go(printed.replace("&compareRunsMode=CHART", ""))
    page.get_by_text(f"{NUM_LINES} matching runs").wait_for()
    for name in (*STRENGTHS, "best/val/top1", "outcome"):
        page.get_by_role("columnheader", name=name).first.wait_for()
    # Log-loss after temperature scaling, by which the search picks; trials stopped early have none.
    cells = page.locator("[role=gridcell][col-id*='final/val/nll_refined']")
    cells.first.wait_for()
    texts = cells.all_inner_texts()
    shown = [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]
    assert len(texts) == NUM_LINES
    assert len(shown) >= 3  # The baselines, which are never stopped early.
    assert [float(text) for text in texts[: len(shown)]] == sorted(shown)
    desktop.keep("table")
    assert desktop.wrong == []


def test_the_run_of_the_search_begins_with_the_verdict(
    desktop: Visitor, printed: str, finished: tuple[Path, str, str]
) -> None:
    verdict = json.loads((finished[0] / "verdict.json").read_text())
    page = run_page(desktop, printed)
    groups = re.compile("sure|likely|open|keep")
    turns_of_groups = page.locator("table").filter(has_text=groups).first
    turns_of_groups.wait_for()
    unfold = page.get_by_text("Show more").first
    box, below = turns_of_groups.bounding_box(), unfold.bounding_box()
    desktop.keep("run")
    assert box is not None
    assert below is not None
    assert box["y"] + box["height"] <= below["y"], "the turns are folded away"
    unfold.click()
    assert page.locator("strong").filter(has_text=verdict["sentence"]).count() == 1
    table = page.locator("table").filter(has_text="strength").first
    rows = rows_of(table)
    assert [row[0] for row in rows[1:]] == [dial["strength"] for dial in verdict["dials"]]
    turns = [row[1] for row in rows[1:]]
    assert turns == [TURN_SIGNS[dial["turn"]] for dial in verdict["dials"]]
    page.get_by_text("Train 64, Val 300, Test 1,197").wait_for()
    page.get_by_role("link", name="champion model").wait_for()
    desktop.keep("run_description")
    # Figures inside the description are served, and not wider than its column.
    pictures = page.locator("img[src*='get-artifact']")
    assert pictures.count() > 0
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete", arg=picture.element_handle())
        assert 0 < picture.evaluate("image => image.naturalWidth") <= 700
    require_no_banner(page)
    assert desktop.wrong == []


def test_a_child_shows_its_strengths_and_its_curves(desktop: Visitor, printed: str) -> None:
    page = desktop.go(printed)
    page.get_by_role("link", name=re.compile(r"^t001 scaled")).first.click()
    page.get_by_text("Parent run", exact=True).wait_for()
    for name in STRENGTHS:
        page.get_by_text(f"position.{name}", exact=True).first.wait_for()
        page.get_by_text(f"effective.{name}", exact=True).first.wait_for()
    page.get_by_role("link", name="whole", exact=True).wait_for()
    desktop.keep("child")
    page.get_by_text("Model metrics").click()
    heads = page.get_by_test_id("experiment-view-compare-runs-section-header")
    heads.first.wait_for()
    sections = [
        re.sub(r"\s*\(\d+\).*", "", text, flags=re.DOTALL) for text in heads.all_inner_texts()
    ]
    assert {"clean_train", "val", "train"} <= set(sections)
    page.locator(".js-plotly-plot").first.wait_for()
    desktop.keep("child_metrics")
    require_no_banner(page)
    assert desktop.wrong == []


def test_the_viewer_shows_report_and_tables(desktop: Visitor, printed: str) -> None:
    page = run_page(desktop, printed)
    page.get_by_text("About this run").wait_for()
    run = page.url.partition("?")[0]
    page = desktop.go(f"{run}/artifacts/report.html?workflowType=machine_learning")
    frame = page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    assert frame.locator("svg").count() >= 5
    desktop.keep("artifact_report")
    page = desktop.go(f"{run}/artifacts/tables/dials.json?workflowType=machine_learning")
    for name in STRENGTHS:
        page.get_by_role("cell", name=name, exact=True).wait_for()
    assert page.get_by_text("null", exact=True).count() == 0
    desktop.keep("artifact_dials")
    page = desktop.go(f"{run}/artifacts/tables/trials.json?workflowType=machine_learning")
    page.get_by_role("cell", name="search-0000", exact=True).wait_for()
    assert page.get_by_text("null", exact=True).count() == 0
    desktop.keep("artifact_trials")
    require_no_banner(page)
    assert desktop.wrong == []


def test_the_champion_has_a_page_with_its_alias(desktop: Visitor, printed: str) -> None:
    page = run_page(desktop, printed)
    page.get_by_text("Show more").first.click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="champion model").click()
    address = opened.value.url
    opened.value.close()
    page = desktop.go(address)
    page.get_by_text("@ champion").first.wait_for()
    page.get_by_text("top-1 on 1,197 test images").wait_for()
    desktop.keep("champion")
    require_no_banner(page)
    assert desktop.wrong == []


# The report, opened from the disk


def require_report(visitor: Visitor, run: Path, name: str) -> "Page":
    page = visitor.go((run / "report.html").as_uri())
    page.locator("h1").wait_for()
    answer = page.locator("h1").inner_text().strip().rstrip(".")
    assert answer in json.loads((run / "verdict.json").read_text())["sentence"]
    events = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    num_trials = sum(event["event"] == "start" for event in events)
    assert page.locator("table.sortable tbody tr").count() == num_trials
    assert page.locator("figure").count() >= 5
    assert page.locator("figcaption").count() == page.locator("figure").count()
    width = page.evaluate("window.innerWidth")
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box is None or box["width"] <= width
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide), "the page scrolls sideways"
    visitor.keep(name)
    page.screenshot(path=SHOTS / f"{name}_whole.png", full_page=True)
    assert visitor.wrong == []
    return page


def test_the_report_opens_from_the_disk_and_its_table_sorts(
    desktop: Visitor, finished: tuple[Path, str, str]
) -> None:
    page = require_report(desktop, finished[0], "report")
    heads = page.locator("table.sortable thead th")
    place = [text.replace("\n", " ") for text in heads.all_inner_texts()].index("val top-1, %")
    cells = page.locator(f"table.sortable tbody tr > :nth-child({place + 1})")
    before = cells.all_inner_texts()
    heads.nth(place).get_by_role("button").click()
    after = [float(text) for text in cells.all_inner_texts() if text]
    assert after in (sorted(after), sorted(after, reverse=True))
    assert sorted(cells.all_inner_texts()) == sorted(before)
    page.get_by_role("checkbox").first.uncheck()
    shown = [row for row in page.locator("table.sortable tbody tr").all() if row.is_visible()]
    assert len(shown) == len(before) - NUM_LINES
    assert desktop.wrong == []


def test_the_report_is_readable_on_a_phone(phone: Visitor, finished: tuple[Path, str, str]) -> None:
    require_report(phone, finished[0], "report_phone")
