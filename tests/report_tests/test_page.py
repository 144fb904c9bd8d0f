"""The report as a browser reads it: what is in it, in which order, and that it asks for nothing."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search.cli import cli
from search.records.trials import Trial
from search.report.page import report, write_report
from search.report.plan_section import flags_of, versions_of
from search.verdict.answer.sureness import statements
from search.verdict.schema import DialAtSizes, Estimate, LearningCurve
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from tests.support.any_verdict import any_analysis
from tests.support.finished_run import (
    BEST,
    DIALS,
    EPOCHS,
    READINGS,
    a_config,
    a_plan,
    a_trial,
    all_trials,
    an_analysis,
    scores,
    search_trials,
)

SECTIONS = (
    "confirmed",
    "confusion",
    "dials",
    "fit_map",
    "ema_ladder",
    "responses",
    "learning_curves",
    "leaderboard",
    "trials",
    "plan",
    "reproduce",
)
VOID = ("meta", "br", "wbr", "input")
INLINE = ("b", "code", "wbr", "a")
HOSTILE = "<script>alert('x')</script>&amp;\"><img src=x onerror=alert(1)>"


@dataclass(slots=True)
class Node:
    """One element: where it lies, what it says, and its attributes."""

    tag: str
    attributes: Mapping[str, str | None]
    path: tuple[str, ...]
    section: str
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class Page(HTMLParser):
    """All elements of a page; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.nodes: list[Node] = []
        self._open: list[Node] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        inside = self._open[-1].section if self._open else ""
        section = str(attributes["id"]) if tag == "section" else inside
        node = Node(tag, attributes, tuple(n.tag for n in self._open), section)
        self._part(tag)
        self.nodes.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)
        assert self._open.pop().tag == tag

    def _part(self, tag: str) -> None:
        """What is laid out apart is read apart."""
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for node in self._open:
            node.texts.append(data)

    def find(self, tag: str, section: str | None = None, **attributes: str) -> list[Node]:
        """Elements with this tag, and with these words in these attributes."""
        return [
            node
            for node in self.nodes
            if node.tag == tag
            and section in (None, node.section)
            and all(
                word in str(node.attributes.get(name.replace("css_", ""))).split()
                for name, word in attributes.items()
            )
        ]

    def says(self, section: str) -> str:
        (node,) = self.find("section", id=section)
        return node.text


def a_page(**changes: object) -> Page:
    given = {"config": a_config(Path("runs")), "plan": a_plan(), "trials": all_trials()}
    given |= {"analysis": an_analysis()} | changes
    return Page(report(**given))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done() -> Page:
    return a_page()


@pytest.fixture(scope="module")
def running() -> Page:
    trials = [t for t in all_trials() if t.spec.stage != "confirm"]
    recipe = Recipe(epochs=EPOCHS)
    late = a_trial("search", 60, "proposed", recipe, scores(0.5, 0.5), epochs=3, status="running")
    return a_page(trials=[*trials, late], analysis=None)


def test_what_is_wrong_comes_first_and_outcomes_before_how_sure_each_turn_is(done: Page) -> None:
    (head,) = done.find("h1")
    assert head.text.startswith("What is wrong with the reference: it is over-regularized")
    (bars,) = done.find("div", css_class="bars")
    values = {"reference": "11.0 %", "without average": "88.0 %", "advised": "93.0 %"}
    assert " ".join(bars.text.split()) == " ".join(
        f"{name} {value}" for name, value in {**values, "size-scaled default": "93.0 %"}.items()
    )
    lengths = [str(node.attributes["style"]) for node in done.find("i") if "div" in node.path]
    assert lengths == ["width:11.0%", "width:88.0%", "width:93.0%", "width:93.0%"]
    (lead,) = done.find("p", css_class="lead")
    assert lead.text.startswith("Gain of the advised recipe: +5.0 points [+2.0, +8.0] over the")
    (turns,) = done.find("table", css_class="turns")
    places = [done.nodes.index(node) for node in (head, bars, lead, turns, done.find("h2")[0])]
    assert places == sorted(places)


def test_a_page_without_a_confirmation_has_no_bars_and_says_so() -> None:
    page = a_page(analysis=an_analysis(confirmed=None))
    assert page.find("div", css_class="bars") == []
    (lead,) = page.find("p", css_class="lead")
    assert lead.text == "Nothing is confirmed on test images yet."


def test_a_recipe_that_is_exported_instead_of_the_advised_one_is_named_with_the_reason() -> None:
    page = a_page(analysis=an_analysis(exported="off", exported_because="it is better"))
    (lead,) = page.find("p", css_class="lead")
    assert lead.text.endswith("Everything off is exported; it is better.")


@pytest.mark.parametrize("seed", range(20))
def test_the_table_of_turns_says_what_the_terminal_says(seed: int) -> None:
    analysis = any_analysis(seed)
    page = a_page(analysis=analysis)
    rows = [n for n in page.find("tr", "") if "tbody" in n.path and "table" in n.path]
    said = statements(analysis.verdict.dials, analysis.tried)
    assert len(rows) == len(said)
    for row, one in zip(rows, said, strict=True):
        cells = " ".join(row.text.replace("→", "->").split())
        assert cells.endswith(f"{one.strength} {one.value} {one.why}")


def test_the_sections_stand_in_the_order_of_a_reader(done: Page) -> None:
    assert tuple(str(node.attributes["id"]) for node in done.find("section")) == SECTIONS
    assert [node.attributes["href"] for node in done.find("a")] == [f"#{name}" for name in SECTIONS]


def test_readings_stand_with_the_confirmation_and_say_what_they_are_not(done: Page) -> None:
    analysis = an_analysis()
    assert analysis.verdict.confirmed is not None
    confirmed = replace(analysis.verdict.confirmed, readings=READINGS)
    page = a_page(
        analysis=replace(analysis, verdict=replace(analysis.verdict, confirmed=confirmed))
    )
    said = page.says("confirmed")
    assert "changes top-1 by +0.4 points [-0.2, +1.0]" in said
    assert "(5.2 images turn right, 3.2 wrong, mean of 5 seeds)" in said
    assert "a temperature of 0.80, fitted on the validation images" in said
    assert "no error control is spent on them" in said
    assert "no error control is spent on them" not in done.says("confirmed")


def test_every_dial_is_in_the_table_with_its_turn_and_numbers(done: Page) -> None:
    rows = [n.text for n in done.find("tr", "dials") if "tbody" in n.path]
    assert len(rows) == len(DIALS)
    for dial, row in zip(DIALS, rows, strict=True):
        words = {"down": "turn down", "leave": "leave", "inconclusive": "not decided"}[dial.turn]
        assert dial.strength in row
        assert words in row
    assert "+3.0 [+2.0, +4.0]" in rows[1]
    assert "−0.200 [−0.210, −0.190]" in rows[1]
    assert "8 runs; 16 to 900 more runs would decide" in rows[4]
    assert "the best recipe has the same value" in done.says("dials")
    assert "hurts more beside a long warmup" in done.says("dials")
    assert "lie at the high end of weight_decay." in done.says("dials")
    assert "intervals are for this pool of images" in done.says("dials")


@pytest.mark.parametrize("name", SECTIONS[:6])
def test_a_figure_has_two_layouts_and_one_line_that_says_what_to_see(done: Page, name: str) -> None:
    (figure,) = done.find("figure", name)
    (caption,) = done.find("figcaption", name)
    assert figure.attributes["data-figure"] == name
    assert caption.text.endswith(".")
    layouts = [n for n in done.find("svg", name) if "figure" in n.path]
    assert [node.attributes["class"] for node in layouts] == ["wide", "narrow"]
    for layout in layouts:
        assert caption.text in str(layout.attributes["aria-label"])


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [
        ("dials", "effect", 2 * 3),
        ("fit_map", "mean", 4),
        ("confirmed", "run", 5 * 3),
        ("ema_ladder", "run", 2 * 3 * 8),
        ("responses", "run", 5 * 10),
        ("learning_curves", "evaluation", 2 * 3 * 3),
    ],
)
def test_a_figure_holds_its_marks_in_each_layout(
    done: Page, name: str, kind: str, number: int
) -> None:
    marks = [n for n in done.find("g", name) if n.attributes.get("data-kind") == kind]
    assert len(marks) == 2 * number


def test_the_worst_class_is_named_above_a_row_for_each_class(done: Page) -> None:
    assert "worst class of the advised recipe is “zero”: 91.0 % of its 250" in done.says(
        "confusion"
    )
    rows = [node.text for node in done.find("tr", "confusion")][1:]
    assert ["zero" in rows[0], "one" in rows[1], len(rows)] == [True, True, 2]


def test_a_run_of_an_older_version_says_why_it_has_no_classes() -> None:
    page = a_page(analysis=replace(an_analysis(), confusion=None))
    assert "an older version made them" in page.says("confusion")


def test_the_fit_and_its_reasons_are_said(done: Page) -> None:
    assert "The reference is underfit. The best is balanced." in done.says("fit_map")
    assert "A reason with 12 %." in done.says("fit_map")


@pytest.mark.parametrize(
    ("exported", "words"),
    [
        ("advised", "The advised recipe is exported."),
        ("best", "The best recipe is exported."),
        ("scaled", "The size-scaled default is exported."),
        ("reference", "The reference as it ships is exported."),
    ],
)
def test_what_is_exported_is_said_plainly(exported: str, words: str) -> None:
    page = a_page(analysis=an_analysis(exported=exported))
    assert words in page.says("confirmed")
    assert "+82.0 points [+79.0, +85.0] over the reference as it ships" in page.says("confirmed")


def test_every_run_is_a_row_that_can_be_sorted_by_its_numbers(done: Page) -> None:
    trials = all_trials()
    rows = [n for n in done.find("tr", "trials") if "tbody" in n.path]
    assert len(rows) == len(trials)
    assert [row.attributes["data-stage"] for row in rows] == [t.spec.stage for t in trials]
    heads = [n for n in done.find("th", "trials") if "thead" in n.path]
    cells = [n for n in done.find("td", "trials") if n.attributes.get("class") == "number"]
    numeric = [n for n in heads if n.attributes.get("class") == "number"]
    assert len(heads) == 3 + len(numeric)
    assert len(cells) == len(trials) * len(numeric)
    assert all(node.attributes["aria-sort"] == "none" for node in heads)
    assert {head.text for head in heads} >= {*STRENGTHS, "val top-1, %", "test top-1, %"}
    for cell in cells:
        if cell.text:
            shown, sorted_by = float(cell.text), float(str(cell.attributes["data-value"]))
            assert shown == pytest.approx(sorted_by, rel=1e-3, abs=0.06)
        else:
            assert "data-value" not in cell.attributes
    columns = {head.text: i for i, head in enumerate(heads)}
    scaled = [n.text for n in done.find("td", "trials")][len(heads) - 1 :][: len(heads) - 1]
    shown_of = {name: scaled[i - 1] for name, i in columns.items() if i}
    assert shown_of["what"] == "baseline: size-scaled default"
    assert shown_of["val top-1, %"] == "95.0"
    assert shown_of["val log-loss"] == "0.300"
    assert shown_of["ema_decay"] == "0.8"
    assert shown_of["seconds"] == "20"
    # Ten were stopped early; how and when is said.
    assert sum("stopped at epoch 5" in row.text for row in rows) == 10
    assert sum(row.attributes.get("class") == "cut" for row in rows) == 10


def test_the_plan_names_ranges_anchors_stages_and_what_looks_odd(done: Page) -> None:
    said = done.says("plan")
    rows = [n for n in done.find("tr", "plan") if "tbody" in n.path]
    assert [row.text.split()[0] for row in rows] == list(STRENGTHS)
    assert "300 training, 100 validation and 500 test images of 2 classes (zero, one)" in said
    assert "16 trials, the baselines (reference, size-scaled default, everything off) first" in said
    assert "stopped after epoch 5" in said
    assert "A note of the planner." in said
    assert "remembers 10000 steps; this run has 90" in said
    assert "0.9999 (111)" in rows[3].text  # Raw, and the window as a multiple of the run.


def test_the_page_says_how_to_get_the_same_again(done: Page) -> None:
    said = done.says("reproduce")
    assert "make search DATASET=digits SEED=0" in said
    assert "python -m search run --dataset digits --seed 0" in said
    assert "0123abcd" in said
    assert re.search(r"torch \d+\.\d+", said)
    assert "ema_decay: 0.9 " in said
    assert "1.5 minutes; 80% of its 180 core-seconds" in said


def test_a_judged_recipe_is_reproduced_by_diagnose() -> None:
    config = replace(a_config(Path("runs")), stages=("attribute", "confirm"))
    said = a_page(config=config).says("reproduce")
    assert "make diagnose DATASET=digits" in said
    assert "python -m search diagnose" in said


def test_only_what_differs_from_the_defaults_is_typed_and_every_flag_exists() -> None:
    config = a_config(
        Path("/somewhere"),
        num_samples=12,
        seed=3,
        pretrained=False,
        ranges=("label_smoothing=0:0.3", "lr=0.001:0.1"),
        fixed=("drop_path_rate=0",),
        tracking_uri="sqlite:///elsewhere.db",
    )
    flags = flags_of(config)
    assert flags == {
        "dataset": "digits",
        "seed": "3",
        "num-samples": "12",
        "pretrained": "false",
        "set": "label_smoothing=0:0.3 lr=0.001:0.1",
        "fix": "drop_path_rate=0",
    }
    assert {f"--{name}" for name in flags} <= {p.opts[0] for p in cli.commands["run"].params}


def test_a_path_with_spaces_is_quoted_for_the_shell() -> None:
    config = replace(a_config(Path("runs")), dataset="/data/my images; rm -rf")
    said = a_page(config=config).says("reproduce")
    assert "DATASET='/data/my images; rm -rf'" in said
    assert "--dataset '/data/my images; rm -rf'" in said


def test_versions_are_those_that_are_installed() -> None:
    found = versions_of(("numpy", "no-such-package-anywhere"))
    assert list(found) == ["numpy"]


def test_nothing_is_asked_of_a_network(done: Page, running: Page) -> None:
    for page in (done, running):
        assert "://" not in page.source
        assert "@import" not in page.source
        assert "url(" not in page.source
        for node in page.nodes:
            assert "src" not in node.attributes
            assert str(node.attributes.get("href", "#")).startswith("#")
            assert node.tag not in ("link", "iframe", "object", "embed", "img", "base")


def test_the_page_follows_the_theme_the_screen_and_the_printer(done: Page) -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in done.source
    assert "@media print" in done.source
    (viewport,) = [n for n in done.find("meta") if n.attributes.get("name") == "viewport"]
    assert "width=device-width" in str(viewport.attributes["content"])


def test_a_thousand_runs_stay_under_five_megabytes() -> None:
    page = a_page(trials=[*search_trials(500), *all_trials()[23:]])
    assert len(page.source.encode()) < 5_000_000


def test_what_users_name_is_text_and_never_markup() -> None:
    hostile = a_config(Path("runs"), run_name=HOSTILE, reference=HOSTILE)
    plan = a_plan((HOSTILE, "one"))
    plan = replace(plan, notes=(HOSTILE,), data=replace(plan.data, name=HOSTILE))
    reason = a_trial("search", 70, HOSTILE, BEST, scores(0.5, 0.5), epochs=3, status="failed")
    trials = [*all_trials(), replace(reason, reason=HOSTILE)]
    dials = (replace(DIALS[0], remark=HOSTILE), *DIALS[1:])
    analysis = an_analysis(dials, sentence=HOSTILE, interactions=(HOSTILE,))
    for found in (analysis, None):
        page = a_page(config=hostile, plan=plan, trials=trials, analysis=found)
        assert len(page.find("script")) == 1
        assert not page.find("img")
        assert HOSTILE in page.find("title")[0].text
        (about,) = page.find("p", css_class="about")
        assert HOSTILE in about.text
        assert page.says("plan").count(HOSTILE) == 3
        assert HOSTILE in page.says("trials")


def test_a_run_in_progress_says_so_and_shows_what_is_known(running: Page) -> None:
    (head,) = running.find("h1")
    assert head.text == "In progress: no verdict yet."
    (lead,) = running.find("p", css_class="lead")
    assert "23 runs of the search ended" in lead.text
    assert "8 runs of the experiment behind the turns ended; 1 running now" in " ".join(
        lead.text.replace(" and ", ", ").split(", ")
    )
    assert "in progress" in running.find("title")[0].text
    assert not running.find("figure", "dials")
    assert not running.find("figure", "confirmed")
    assert "has not ended yet" in running.says("dials")
    for name in ("fit_map", "ema_ladder", "responses", "learning_curves"):
        assert running.find("figure", name)
    assert len([n for n in running.find("tr", "trials") if "tbody" in n.path]) == 23 + 8 + 1


def test_nobody_sees_test_images_before_the_verdict() -> None:
    page = a_page(analysis=None)  # Confirmation runs have ended, the verdict is not drawn.
    assert "test top-1" not in page.says("trials")
    assert "test/top1" not in page.source
    assert not page.find("figure", "confirmed")


def test_a_run_that_has_just_begun_has_a_page() -> None:
    page = a_page(trials=[], analysis=None)
    assert "nothing has ended yet; 0 running now" in page.find("p", css_class="lead")[0].text
    assert not page.find("figure")
    for name in SECTIONS[:6]:
        (missing,) = page.find("p", name, css_class="missing")
        assert missing.text.endswith(".")


def test_the_best_trial_so_far_is_named_with_a_warning(running: Page) -> None:
    trials = [t for t in search_trials() if t.is_full_length]
    trials.append(a_trial("search", 50, "proposed", BEST, scores(0.97, 0.99, nll=0.1)))
    page = a_page(trials=trials, analysis=None)
    (header,) = page.find("header")
    assert "search-0050 with 97.0 % validation top-1" in header.text
    assert "luck" in header.text


@pytest.mark.parametrize("status", ["diverged", "failed", "killed", "running"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_without_a_finite_result_does_not_spoil_the_page(status: str, value: float) -> None:
    bad = a_trial(
        "search", 60, "proposed", BEST, scores(value, value, value), epochs=2, status=status
    )
    no_epoch = Trial(spec=replace(bad.spec, number=61), status=status)
    page = a_page(trials=[*all_trials(), bad, no_epoch])
    drawn = "".join(str(n.attributes) for n in page.nodes if "svg" in n.path)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert "search-0061" in page.says("trials")


def test_a_run_without_a_search_says_what_it_cannot_show() -> None:
    config = replace(a_config(Path("runs")), stages=("attribute", "confirm"))
    trials = [t for t in all_trials() if t.spec.stage != "search"]
    page = a_page(config=config, trials=trials)
    assert page.find("figure", "dials")
    assert "without a search" in page.says("learning_curves")
    assert "too few" in page.says("responses")


def test_the_same_records_make_the_same_page() -> None:
    assert a_page().source == a_page().source


def test_the_page_is_written_whole_into_the_run_directory(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    config.path.mkdir()
    (config.path / "report.html").write_text("old")
    write_report(config, a_plan(), all_trials(), an_analysis())
    assert [path.name for path in config.path.iterdir()] == ["report.html"]
    text = (config.path / "report.html").read_text(encoding="utf-8")
    assert text == report(config, a_plan(), all_trials(), an_analysis())
    assert text.startswith("<!doctype html>")


def test_classifiers_on_frozen_features_have_a_bar_and_a_column_where_there_are_any(
    tmp_path: Path,
) -> None:
    analysis = an_analysis()
    found = analysis.verdict.confirmed
    assert found is not None
    assert "linear probe" not in report(a_config(tmp_path), a_plan(), all_trials(), analysis)
    beside = replace(found, probe={"test/top1": 0.777}, knn={"test/top1": 0.712})
    analysis = replace(analysis, verdict=replace(analysis.verdict, confirmed=beside))
    page = Page(report(a_config(tmp_path), a_plan(), all_trials(), analysis))
    shown = [node.text for node in page.nodes if node.tag in ("span", "th", "td", "b")]
    for name, value in (("linear probe", "77.7 %"), ("nearest neighbours", "71.2 %")):
        assert shown.count(name) == 2
        assert shown.count(value) == 2


def test_what_more_images_would_change_has_a_section_where_it_was_asked_for(done: Page) -> None:
    def interval(mean: float) -> Estimate:
        return Estimate(mean=mean, ci95=(mean - 0.01, mean + 0.01))

    dial = DialAtSizes(
        strength="label_smoothing",
        metric="val/top1",
        turned=True,
        reference=0.1,
        tried=0.0,
        at_half=interval(0.06),
        at_all=interval(0.04),
        at_twice=interval(0.02),
        outlook="helps",
    )
    found = LearningCurve(
        num_half=150,
        num_all=300,
        num_twice=600,
        dials=(dial,),
        gain={},
        seeds=0,
        sentences=("A sentence.", "What it holds for."),
    )
    analysis = an_analysis()
    with_curve = replace(analysis, verdict=replace(analysis.verdict, learning_curve=found))
    page = a_page(analysis=with_curve)
    said = page.says("more_images")
    assert "A sentence. What it holds for." in said
    assert "label_smoothing 0.1 → 0 validation top-1 +6.0 [+5.0, +7.0] +4.0 [" in said
    assert "+5.0] +2.0 [+1.0, +3.0] helps" in said
    assert "600, extrapolated" in said
    assert not done.find("section", id="more_images")
    assert "train longer first" not in said
    fit = replace(analysis.verdict.fit, reference="undertrained")
    short = replace(analysis, verdict=replace(with_curve.verdict, fit=fit))
    assert "train longer first. A sentence." in a_page(analysis=short).says("more_images")
