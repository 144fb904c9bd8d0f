"""The leaderboard has the order that selection used, and marks what it picked, first or not."""

from dataclasses import replace
from pathlib import Path

from search.report.leaderboard import leaderboard
from search.stages.selection import pick
from tests.support.finished_run import (
    OFF,
    REFERENCE,
    SCALED,
    a_config,
    a_plan,
    a_trial,
    scores,
    search_trials,
)


def test_the_pick_is_marked_though_it_is_not_the_first_and_the_reason_is_said(
    tmp_path: Path,
) -> None:
    config, plan = a_config(tmp_path, metric="val/nll_refined", rerun_top=2), a_plan()
    trials = [
        a_trial("search", 0, "anchor:reference", REFERENCE, scores(0.10, 0.1, 2.3)),
        a_trial("search", 1, "anchor:scaled", SCALED, scores(0.90, 0.9, 0.30)),
        a_trial("search", 2, "anchor:off", OFF, scores(0.95, 0.9, 0.31)),
    ]
    for number, (of, nll) in enumerate((("search-0001", 0.5), ("search-0002", 0.4)), start=3):
        recipe = replace(SCALED if of == "search-0001" else OFF, seed=99)
        again = a_trial(
            "search", number, "rerun", recipe, scores(0.9, 0.9, nll), rerun_of=of, block=0
        )
        trials.append(again)
    found = leaderboard(config, plan, trials)
    assert found is not None
    assert [row[:2] for row in found.table.rows] == [
        ("1", "search-0001, baseline: size-scaled default"),
        ("2 ★ picked", "search-0002, baseline: everything off"),
        ("3", "search-0000, baseline: reference"),
    ]
    assert [row[2] for row in found.table.rows] == ["0.300", "0.310", "2.300"]
    assert [row[-1] for row in found.table.rows] == ["0.500 (1)", "0.400 (1)", ""]
    assert found.table.head[2] == "val log-loss after temperature scaling"
    assert "The first 2 recipes ran again" in found.why


def test_stopped_trials_have_no_place_and_exactly_one_recipe_is_marked(tmp_path: Path) -> None:
    trials, config = search_trials(5), a_config(tmp_path, metric="val/top1")
    found = leaderboard(config, a_plan(), trials)
    assert found is not None
    assert len(found.table.rows) == 3 + 5
    (marked,) = [row for row in found.table.rows if "picked" in row[0]]
    best = pick(trials, top=config.rerun_top, metric="val/top1", num_val=100)
    (trial,) = [t for t in trials if t.spec.trial_id in marked[1]]
    assert trial.spec.recipe == best
    assert "ran again" not in found.why


def test_without_a_search_there_is_none(tmp_path: Path) -> None:
    assert leaderboard(a_config(tmp_path), a_plan(), []) is None
