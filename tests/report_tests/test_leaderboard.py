"""The leaderboard has the order that selection used, and marks what it picked, first or not."""

from dataclasses import replace
from pathlib import Path

from search.report.leaderboard import MOST_PLACES, leaderboard
from search.stages.selection import pick, ranked
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
    assert found.why == (
        "Placed by validation log-loss after temperature scaling of the first run, by which the "
        "search proposes and stops; the best of many owes part of its place to luck, so the first "
        "few ran again on fresh splits and seeds. search-0002 is the pick: of the 2 recipes that "
        "ran again most often (1 time), it has the best mean of validation log-loss after "
        "temperature scaling, 0.400."
    )


def test_a_pick_that_is_not_the_first_by_top1_says_why_that_does_not_count(tmp_path: Path) -> None:
    config, plan = a_config(tmp_path, metric="val/nll_refined"), a_plan()
    trials = [
        a_trial("search", 0, "anchor:reference", REFERENCE, scores(0.96, 0.1, 0.40)),
        a_trial("search", 1, "anchor:scaled", SCALED, scores(0.90, 0.9, 0.30)),
        a_trial("search", 2, "anchor:off", OFF, scores(0.95, 0.9, 0.31)),
    ]
    found = leaderboard(config, plan, trials)
    assert found is not None
    assert found.why.endswith(
        "search-0001 is the pick: it is the first by validation log-loss after temperature "
        "scaling. By top-1 of the first runs it is number 3, which does not count: on 100 images "
        "top-1 has more of ties and luck than log-loss after temperature scaling."
    )
    by_top1 = leaderboard(a_config(tmp_path, metric="val/top1"), plan, trials)
    assert by_top1 is not None
    assert by_top1.why.endswith("search-0000 is the pick: it is the first by validation top-1.")


def test_a_pick_far_down_has_its_row_all_the_same(tmp_path: Path) -> None:
    trials, config = search_trials(40), a_config(tmp_path, metric="val/top1", rerun_top=40)
    last = leaderboard(config, a_plan(), trials)
    assert last is not None
    assert len(last.table.rows) == MOST_PLACES
    order = ranked(trials, metric="val/top1", num_val=100)
    chosen = order[MOST_PLACES + 5]
    recipe = replace(chosen.spec.recipe, seed=9)
    again = a_trial(
        "search", 90, "rerun", recipe, scores(0.9, 0.9), rerun_of=chosen.spec.trial_id, block=0
    )
    found = leaderboard(config, a_plan(), [*trials, again])
    assert found is not None
    assert found.table.rows[-1][0] == f"{MOST_PLACES + 6} ★ picked"


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
