"""The display in a notebook's cell: one, changed in place, with the lines folded away."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import ray

import search.api.cell as cells
from search.api.cell import Cell, cell, in_notebook
from search.api.session import Interrupted, at_work
from search.commands.console import say
from search.commands.errors import RunInterrupted
from search.commands.live import Shown, StageShown, live_display
from spaces.errors import InputError


class Browser:
    """A front end that keeps what it is sent."""

    def __init__(self) -> None:
        self.displays: list[list[str]] = []

    def display(self, page: str, *, display_id: bool) -> "Browser":
        assert display_id
        self.displays.append([page])
        return self

    def update(self, page: str) -> None:
        self.displays[-1].append(page)

    @property
    def last(self) -> str:
        return self.displays[-1][-1]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    """A kernel's IPython, of which only what is used is there."""
    browser = Browser()
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display: Any = ModuleType("IPython.display")
    display.display, display.HTML = browser.display, lambda page: page
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(cells, "UPDATED_EVERY_S", 0.0)
    return browser


def test_only_a_kernel_is_a_notebook(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_notebook()
    ipython: Any = sys.modules["IPython"]
    for shell in (None, SimpleNamespace()):  # Imported only; IPython in a terminal.
        monkeypatch.setattr(ipython, "get_ipython", lambda shell=shell: shell)
        assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_everything_said_and_shown_is_one_display(browser: Browser) -> None:
    with cell("Run", hint="stop it") as console:
        say(console, "a <b> line")
        console.print("another", style="bold")
        live = live_display(console)
        assert live is not None
        live.start()
        stages = (
            StageShown(name="search", num_ended=4, num_expected=16),
            StageShown(name="confirm", num_ended=3, num_expected=0),
        )
        live.update(Shown(stages=stages, text="search 4/16"))
        assert "4 of 16" in browser.last
        assert "width:25.0%" in browser.last
        assert "search 4/16 · stop it" in browser.last
        assert "a &lt;b&gt; line\nanother" in browser.last
        live.stop()
    assert len(browser.displays) == 1
    assert "4 of 16" in browser.last
    assert '<p class="fine">done</p>' in browser.last
    assert "2 lines printed" in browser.last


def test_a_display_is_changed_no_more_often_than_it_should(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "UPDATED_EVERY_S", 3600.0)
    with cell("Run", hint="") as console:
        for number in range(100):
            say(console, f"line {number}")
    _, *changes = browser.displays[0]
    assert len(changes) == 2  # The first line at once, and the end.
    assert "line 99" in changes[-1]


def test_of_very_many_lines_the_newest_are_kept(browser: Browser) -> None:
    console = Cell("Run", hint="")
    for number in range(1000):
        say(console, f"line {number}.")
    console.show()
    assert "line 999." in browser.last
    assert "line 99." not in browser.last


@pytest.mark.parametrize(
    ("error", "raised", "shown", "says"),
    [
        (
            RunInterrupted("Go on", path=Path("/r/k1")),
            Interrupted,
            "interrupted",
            "Interrupted. Go on with: search.resume('/r/k1')",
        ),
        (KeyboardInterrupt(), Interrupted, "interrupted", "Interrupted before anything was start"),
        (InputError("`x` must"), InputError, "ended by an error", "`x` must"),
        (RuntimeError("broken"), RuntimeError, "ended by an error", "broken"),
    ],
)
def test_the_end_of_a_cell_is_told_and_an_interruption_is_one_line(
    error: BaseException, raised: type[BaseException], shown: str, says: str, browser: Browser
) -> None:
    with pytest.raises(raised) as caught, at_work("Run", hint="stop it"):
        raise error
    assert str(caught.value).startswith(says)
    assert f'<p class="fine">{shown}</p>' in browser.last
    assert isinstance(caught.value, KeyboardInterrupt) == (raised is Interrupted)
    if raised in (Interrupted, InputError):
        (line,) = caught.value._render_traceback_()  # type: ignore[attr-defined]
        assert str(caught.value) in line


def test_an_interrupted_training_is_gone_on_with_by_train(browser: Browser) -> None:
    stopped = RunInterrupted("Go on", path=Path("/r/t1"))
    with (
        pytest.raises(Interrupted, match=r"search\.train\(run_name='t1', run_dir='/r'\)"),
        at_work("Training", by="train"),
    ):
        raise stopped


def test_outside_of_notebooks_there_is_no_display() -> None:
    with at_work("Run") as console:
        assert console is None


def test_a_run_does_not_begin_where_ray_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("It is not ours to end."))
    with pytest.raises(InputError, match=r"call ray\.shutdown\(\) first"), at_work("Run"):
        pytest.fail("It began.")
