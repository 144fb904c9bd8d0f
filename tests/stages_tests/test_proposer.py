"""The proposer tells Optuna the truth, also where Ray's own OptunaSearch does not."""

import json
import random
import statistics
from pathlib import Path

import optuna
import pytest
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from search.records.trials import Record, Trial, TrialSpec
from search.stages.proposer import Proposer
from search.stages.study_storage import MOST_TRIALS, _merit
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


@pytest.mark.parametrize("num_known", [0, 3, 12, 80])
def test_a_proposal_depends_on_seed_number_and_history_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_known: int
) -> None:
    """A fresh proposer that replays a history goes on as the one that lived through it."""
    monkeypatch.setattr("search.stages.study_storage.MOST_TRIALS", 30)
    for name in ("lived", "replayed", "other"):
        (tmp_path / name).mkdir()
    lived = proposer(tmp_path / "lived")
    history = []
    for number in range(num_known):
        positions = lived.propose(f"search-{number:04d}", number)
        value = -((positions["weight_decay"] - 0.3) ** 2)
        status, seen = ("finished", 3) if number % 3 else ("stopped", 2)
        ended = trial(number, status, [value] * seen)
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


@pytest.mark.parametrize("num_complete", [5, 200])
def test_of_many_trials_a_proposal_sees_all_good_ones_and_the_newest_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_complete: int
) -> None:
    most, num_best = 60, 25
    monkeypatch.setattr("search.stages.study_storage.MOST_TRIALS", most)
    ours = proposer(tmp_path)
    rng = random.Random(0)
    scores = {}
    for number in range(200):
        positions = dict.fromkeys(NAMES, number / 200)
        is_complete = number < num_complete
        # Few enough values that there are ties.
        seen = [rng.randint(0, 30) / 30] * (3 if is_complete else rng.randint(1, 2))
        ours.observe(trial(number, "finished" if is_complete else "stopped", seen), positions)
        scores[number] = (is_complete, 0 if is_complete else len(seen), seen[-1], -number)
    ours.propose("next", 200)
    shown = [t.number for t in ours.study.trials if t.state is not TrialState.RUNNING]
    good = set(sorted(scores, key=lambda n: scores[n], reverse=True)[:num_best])
    others = [number for number in range(200) if number not in good]
    assert shown == sorted(good | set(others[-(most - num_best) :]))
    # The file that a dashboard reads holds them all.
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    assert len(optuna.load_study(study_name="my-search", storage=storage).trials) == 201


def test_with_each_proposal_only_the_trials_that_are_new_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is shown is what a look at all of them shows, in whatever order they end."""
    most, num_best = 20, 5
    monkeypatch.setattr("search.stages.study_storage.MOST_TRIALS", most)
    monkeypatch.setattr("search.stages.study_storage.NUM_BEST", num_best)
    looks: list[int] = []

    def merit(ended: optuna.trial.FrozenTrial) -> tuple[bool, int, float, int]:
        looks.append(ended.number)
        return _merit(ended)

    monkeypatch.setattr("search.stages.study_storage._merit", merit)
    ours = proposer(tmp_path)
    rng = random.Random(2)
    running: list[int] = []
    merits: dict[int, tuple[bool, int, float, int]] = {}
    for number in range(100):
        ours.propose(f"search-{number:04d}", number)
        shown = [t.number for t in ours.study.trials if t.state.is_finished()]
        good = set(sorted(merits, key=lambda n: merits[n], reverse=True)[:num_best])
        others = sorted(merits.keys() - good)
        assert shown == sorted(good | set(others[-(most - num_best) :]))
        running.append(number)
        while len(running) > 8:  # One of the oldest may run long, and then ends among newer ones.
            ended = running.pop(rng.randrange(len(running)))
            is_complete = rng.random() < 0.3
            seen = [rng.randint(0, 9) / 9] * (3 if is_complete else rng.randint(1, 2))
            ours.observe(trial(ended, "finished" if is_complete else "stopped", seen), None)
            merits[ended] = (is_complete, 0 if is_complete else len(seen), seen[-1], -ended)
    monkeypatch.setattr(JournalStorage, "get_all_trials", None)  # It looks at all.
    ours.propose("next", 100)
    assert sorted(looks) == sorted(merits)


def test_what_is_left_out_does_not_hide_a_good_trial_from_tpe(tmp_path: Path) -> None:
    """The split that Optuna makes of what it is shown has the good trials of the whole history."""
    ours = proposer(tmp_path)
    rng = random.Random(1)
    for number in range(MOST_TRIALS + 100):
        status, seen = ("finished", 3) if rng.random() < 0.3 else ("stopped", rng.randint(1, 2))
        positions = dict.fromkeys(NAMES, rng.random())
        ours.observe(trial(number, status, [rng.random()] * seen), positions)
    whole = ours.study.get_trials(deepcopy=False)
    ours.propose("next", len(whole))
    shown = [t for t in ours.study.get_trials(deepcopy=False) if t.state.is_finished()]
    assert (len(whole), len(shown)) == (MOST_TRIALS + 100, MOST_TRIALS)
    below = [
        [t.number for t in _split_trials(ours.study, trials, default_gamma(len(trials)))[0]]
        for trials in (whole, shown)
    ]
    assert below[0] == below[1]


def test_the_axes_are_those_that_optuna_would_find(tmp_path: Path) -> None:
    ours = proposer(tmp_path)
    for number in range(6):
        ours.propose(f"search-{number:04d}", number)
        ours.observe(trial(number, "finished", [0.1, 0.2, 0.3]), None)
    expected = optuna.search_space.intersection_search_space(ours.study.trials)
    sampler = ours.study.sampler
    assert sampler.infer_relative_search_space(ours.study, ours.study.trials[0]) == expected
    assert list(sampler.infer_relative_search_space(ours.study, ours.study.trials[0])) == list(
        expected
    )
