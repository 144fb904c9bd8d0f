"""The proposer tells Optuna the truth, also where Ray's own OptunaSearch does not."""

import json
import statistics
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from search.proposer import Proposer
from search.trials import Record, Trial, TrialSpec
from spaces.recipe import Recipe

NAMES = ("weight_decay", "label_smoothing")
POSITIONS = {"weight_decay": 0.25, "label_smoothing": 0.75}


def proposer(run_dir: Path, seed: int = 0, num_startup: int = 4) -> Proposer:
    return Proposer(
        run_dir,
        study_name="my-search",
        names=NAMES,
        metric="val/top1",
        num_val=300,
        seed=seed,
        num_startup=num_startup,
    )


def trial(number: int, status: str, scores: list[float], epochs: int = 3) -> Trial:
    spec = TrialSpec(stage="search", number=number, role="proposed", recipe=Recipe(epochs=epochs))
    records = tuple(
        Record(
            trial_id=spec.trial_id,
            stage="search",
            epoch=epoch,
            metrics={"val/top1": value, "val/nll_refined": 0.0},
        )
        for epoch, value in enumerate(scores, start=1)
    )
    return Trial(spec=spec, records=records, status=status)


def stock() -> OptunaSearch:
    axis: optuna.distributions.BaseDistribution = optuna.distributions.FloatDistribution(0.0, 1.0)
    space = dict.fromkeys(NAMES, axis)
    search = OptunaSearch(space=space, metric="val/top1", mode="max", seed=0)
    assert isinstance(search, OptunaSearch)
    return search


def only(study: optuna.Study | None) -> optuna.trial.FrozenTrial:
    assert study is not None
    (told,) = study.trials
    return told


def test_a_stopped_trial_is_pruned_at_its_step_where_stock_calls_it_complete(
    tmp_path: Path,
) -> None:
    ours = proposer(tmp_path)
    ours.propose("search-0000", 0)
    ours.observe(trial(0, "stopped", [0.2, 0.4]), None)
    assert only(ours.study).state is TrialState.PRUNED
    assert only(ours.study).intermediate_values == {1: 0.2, 2: 0.4}
    assert only(ours.study).value == 0.4

    theirs = stock()
    theirs.suggest("a")
    theirs.on_trial_complete("a", {"val/top1": 0.4, "training_iteration": 2})
    assert only(theirs._ot_study).state is TrialState.COMPLETE


def test_a_diverged_trial_fails_where_stock_leaves_it_running_for_ever(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    ours.propose("search-0000", 0)
    ours.observe(trial(0, "diverged", []), None)
    assert only(ours.study).state is TrialState.FAIL

    theirs = stock()
    theirs.suggest("a")
    theirs.on_trial_complete("a", {"val/top1": float("nan"), "training_iteration": 1})
    assert only(theirs._ot_study).state is TrialState.RUNNING


def test_an_unknown_trial_is_added_from_its_positions_where_stock_raises(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    ours.observe(trial(7, "finished", [0.1, 0.5, 0.9]), POSITIONS)
    assert only(ours.study).params == POSITIONS
    assert only(ours.study).value == 0.9

    with pytest.raises(KeyError, match="unknown"):
        stock().on_trial_complete("unknown", {"val/top1": 0.9, "training_iteration": 3})


def test_the_study_is_named_after_the_run_where_stock_names_all_alike(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    ours.propose("search-0000", 0)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    (summary,) = optuna.get_all_study_summaries(storage)
    assert summary.study_name == "my-search"
    assert summary.n_trials == 1
    assert stock()._study_name == "optuna"


def test_an_anchor_outside_the_space_teaches_nothing(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    ours.observe(trial(0, "finished", [0.1, 0.2, 0.3]), None)
    assert ours.study.trials == []


def test_what_was_searched_can_be_read_in_raw_values(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    ours.propose("search-0000", 0)
    ended = trial(0, "finished", [0.1, 0.2, 0.3])
    ours.observe(ended, None)
    told = only(ours.study).user_attrs
    assert told["trial_id"] == "search-0000"
    assert json.loads(told["strengths"]) == ended.spec.recipe.strengths.as_dict()


@pytest.mark.parametrize("num_known", [0, 3, 12])
def test_a_proposal_depends_on_seed_number_and_history_only(tmp_path: Path, num_known: int) -> None:
    """A fresh proposer that replays a history goes on as the one that lived through it."""
    for name in ("lived", "replayed", "other"):
        (tmp_path / name).mkdir()
    lived = proposer(tmp_path / "lived")
    history = []
    for number in range(num_known):
        positions = lived.propose(f"search-{number:04d}", number)
        ended = trial(number, "finished", [0.0, 0.0, -((positions["weight_decay"] - 0.3) ** 2)])
        lived.observe(ended, None)
        history.append((ended, positions))
    replayed = proposer(tmp_path / "replayed")
    replayed.replay(history)
    expected = lived.propose("next", num_known)
    assert replayed.propose("next", num_known) == expected
    other = proposer(tmp_path / "other", seed=1)
    other.replay(history)
    assert other.propose("next", num_known) != expected


def test_it_learns_where_the_good_trials_lie(tmp_path: Path) -> None:
    ours = proposer(tmp_path, num_startup=8)
    proposed = []
    for number in range(40):
        positions = ours.propose(f"search-{number:04d}", number)
        proposed.append(positions["weight_decay"])
        score = 1.0 - abs(positions["weight_decay"] - 0.8)
        ours.observe(trial(number, "finished", [0.0, 0.0, score]), None)
    late = [abs(position - 0.8) for position in proposed[25:]]
    early = [abs(position - 0.8) for position in proposed[:8]]
    assert statistics.median(late) < 0.5 * statistics.median(early)
