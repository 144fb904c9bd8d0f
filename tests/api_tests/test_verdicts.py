"""Results that are read back from a run directory, and how a notebook shows them."""

import csv
import json
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import search
from search.api.advised import Advised
from search.plan.config import OF_INGREDIENTS
from search.plan.config_file import read_config, write_config
from search.records.files import write_json
from search.records.journal import Journal
from search.report.outputs import write_outputs
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from tests.support.random_verdicts import random_run
from tests.support.toy_training import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search, experiment and test in which nothing was trained, with all its files."""
    made = random_run(tmp_path_factory.mktemp("runs"), seed=1)
    path = made.config.path
    write_config(made.config, begins=True)
    write_json(path / "plan.json", made.plan.to_dict())
    journal = Journal(path)
    write_outputs(made.config, made.plan, journal, made.analysis)
    journal.close()
    return path


@pytest.fixture(scope="module")
def verdict(run: Path) -> search.Verdict:
    return search.load(run)


def test_a_verdict_says_what_the_file_of_the_run_says(run: Path, verdict: search.Verdict) -> None:
    said = json.loads((run / "verdict.json").read_text())

    assert list(verdict.dials) == list(STRENGTHS)
    for dial in said["dials"]:
        found = verdict.dials[dial["strength"]]
        assert (found.turn, found.recommended) == (dial["turn"], dial["recommended"])
        effect = dial["effect"].get(dial["decided_by"] or "val/top1")
        assert found.interval == (None if effect is None else pytest.approx(effect["ci95"]))
    assert any(found.interval for found in verdict.dials.values())
    assert verdict.sentence == said["sentence"] == str(verdict)
    assert verdict.fit.reference == said["fit"]["reference"]
    assert verdict.confirmed is not None
    assert verdict.confirmed.seeds == said["confirmed"]["seeds"]
    assert verdict.path == run


def test_a_verdict_cannot_be_changed(verdict: search.Verdict) -> None:
    with pytest.raises(FrozenInstanceError):
        verdict.sentence = "x"  # type: ignore[misc]
    with pytest.raises(TypeError, match="does not support item assignment"):
        verdict.dials["x"] = verdict.dials["ema_decay"]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        verdict.advised.lr = 1.0  # type: ignore[misc]


def test_the_advised_recipe_is_written_as_the_run_writes_it(
    run: Path, verdict: search.Verdict, tmp_path: Path
) -> None:
    advised = verdict.advised

    assert isinstance(advised, Recipe)
    assert advised.save(tmp_path / "mine.yaml").read_text() == (run / "best.yaml").read_text()
    assert advised.torchvision(tmp_path / "t.txt") == (run / "best.torchvision.txt").read_text()
    assert (tmp_path / "t.txt").read_text() == (run / "best.torchvision.txt").read_text()
    assert advised.timm() == yaml.safe_load((run / "best.timm.yaml").read_text())
    advised.timm(tmp_path / "best.timm.yaml")
    assert (tmp_path / "best.timm.yaml").read_text() == (run / "best.timm.yaml").read_text()
    assert advised.recipe == Recipe.from_dict(
        json.loads((run / "verdict.json").read_text())["advised"]
    )
    assert type(replace(advised, lr=0.5)) is Advised


def test_tables_hold_every_trial_with_numbers(run: Path, verdict: search.Verdict) -> None:
    for name, frame in (("trials", verdict.trials), ("experiment", verdict.experiment)):
        with (run / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(frame.columns) == list(rows[0])
        assert list(frame["trial_id"]) == [row["trial_id"] for row in rows]
        assert frame["val/nll"].dtype == float
        assert list(frame["val/nll"].dropna()) == [
            float(r["val/nll"]) for r in rows if r["val/nll"]
        ]
    assert set(verdict.experiment["stage"]) == {"attribute", "confirm"}


def test_what_is_computed_from_a_table_is_plain_and_shown_by_pandas(
    verdict: search.Verdict,
) -> None:
    best = verdict.trials.sort_values("val/nll").head(2)

    assert type(best) is pd.DataFrame
    assert "recipe-strengths" not in html_of(best)
    assert "recipe-strengths" in html_of(verdict.trials)


def html_of(shown: Any) -> str:
    return str(shown._repr_html_())


def pages(verdict: search.Verdict) -> dict[str, str]:
    return {
        "verdict": verdict._repr_html_(),
        "trials": html_of(verdict.trials),
        "figure": verdict.figures["dials"]._repr_html_(),
    }


@pytest.mark.parametrize("name", ["verdict", "trials", "figure"])
def test_a_page_in_a_notebook_needs_nothing_and_touches_nothing_outside(
    name: str, verdict: search.Verdict
) -> None:
    page = pages(verdict)[name]

    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]", page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    for selectors in re.findall(r"([^{}]+)\{", style[1]):
        assert all(".recipe-strengths" in selector for selector in selectors.split(",")), selectors
    assert len(page) < 200_000


def test_pages_say_what_they_are_about(verdict: search.Verdict) -> None:
    shown = pages(verdict)

    for strength in STRENGTHS:
        assert strength.replace("_", "_<wbr>") in shown["verdict"]
    for trial_id in verdict.trials["trial_id"]:
        assert trial_id in shown["trials"]
    assert verdict.figures["dials"].title in shown["figure"]


def test_a_run_by_name_and_by_path_is_the_same(run: Path, verdict: search.Verdict) -> None:
    assert search.load(run.name, run_dir=run.parent).sentence == verdict.sentence


def test_what_is_no_finished_search_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no run 'nothing', neither under"):
        search.load("nothing", run_dir=tmp_path)
    run = write_run(tmp_path)
    (run / "verdict.json").unlink()
    with pytest.raises(ValueError, match=re.escape(f"go on with: search.resume({str(run)!r})")):
        search.load(run)


def test_an_ablation_is_no_verdict(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    write_config(replace(read_config(run), stages=OF_INGREDIENTS))
    with pytest.raises(InputError, match="must be a search or a diagnosis, but its stages are abl"):
        search.load(run)


def test_loading_writes_nothing(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    search.load(run)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
