"""Every command that is printed does what it says when it is pasted, wherever the run lies."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file

from search.cli import main
from search.commands import pipeline
from search.commands.console import make_console
from search.commands.errors import RunFailed, RunInterrupted
from search.commands.job import Job, Session
from search.commands.train import plan as train_plan
from search.commands.train.command import Place, train
from search.commands.train.job import Asked
from search.records.provenance import ROOT
from search.report.page import report
from search.report.terminal import print_verdict, where_to_look
from search.tracking.run_info import EXPERIMENT, make_tracker, open_search
from tests.support import finished_run
from tests.support.pasting import ODD, pasted
from tests.support.toy_training import toy_dataset, write_run
from trainable.data.datasets import Dataset
from trainable.trainer import Trainer


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose path a shell and make would take apart; commands are typed in the checkout."""
    monkeypatch.chdir(ROOT)
    folder = tmp_path / ODD / "two"
    folder.mkdir(parents=True)
    return folder


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str], *, after: str) -> str:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.split(f" {after}: ", 1)[1]


def test_a_run_that_exists_is_gone_on_with(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(odd)
    arguments = ["run", "--dataset", "digits", f"--run-dir={odd}", "--run-name", "r1"]
    line = complaint(arguments, capsys, after="or go on with")
    assert pasted(line, tmp_path) == ["resume", f"--run={run}"]


def test_a_training_run_is_gone_on_with(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (odd / "mine").mkdir()
    (odd / "mine" / "train.json").write_text("{}")
    line = complaint(["resume", "--run", str(odd / "mine")], capsys, after="by")
    assert sorted(pasted(line, tmp_path)) == [f"--run-dir={odd}", "--run-name=mine", "train"]


def test_an_export_says_how_to_train_its_recipe_and_how_to_get_a_verdict(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(odd)
    assert main(["export", "--run", str(run), "--epochs", "30"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    train = pasted(last.split("rescaled recipe: ")[1], tmp_path)
    assert train == ["train", f"--config={run / 'rescaled.yaml'}"]
    (run / "verdict.json").unlink()
    line = complaint(["export", "--run", str(run)], capsys, after="go on with")
    assert pasted(line, tmp_path) == ["resume", f"--run={run}"]


@pytest.mark.parametrize(
    ("ends_with", "kind", "says"),
    [
        (KeyboardInterrupt(), RunInterrupted, "Interrupted. Go on with: "),
        (OSError("no room"), RunFailed, "; go on with: "),
    ],
)
def test_a_run_that_ends_early_says_how_to_go_on(
    ends_with: BaseException, kind: type[Exception], says: str, odd: Path, tmp_path: Path
) -> None:
    run = write_run(odd)

    def end(session: Session) -> None:
        raise ends_with

    nothing: Any = None
    job = Job(
        kind="",
        result="verdict.json",
        make_plan=nothing,
        show=nothing,
        sizes=nothing,
        stages=nothing,
        watch=nothing,
        tell=end,
    )
    config = finished_run.a_config(odd, tracking_uri=f"sqlite:///{tmp_path}/m.db")
    with pytest.raises(kind) as told:
        pipeline._work(job, config, finished_run.a_plan(), cast(Dataset, None))
    assert pasted(str(told.value).split(says, 1)[1], tmp_path) == ["resume", f"--run={run}"]
    assert f"{run / 'log.txt'}" in str(told.value) or kind is RunInterrupted


def test_the_terminal_says_what_to_type_next(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{odd}/:cat:.db"
    config = finished_run.a_config(odd, tracking_uri=uri)
    print_verdict(make_console(), config, finished_run.a_plan(), finished_run.an_analysis())
    *_, train_it, _ = capsys.readouterr().out.splitlines()
    recipe = config.path / "best.yaml"
    look = where_to_look(uri)
    assert pasted(look, tmp_path) == ["ui", f"--tracking-uri={uri}"]
    trained = pasted(train_it.removeprefix("Train").lstrip(), tmp_path)
    assert trained == ["train", f"--config={recipe}"]


def test_the_terminal_says_how_to_get_the_runs_that_would_decide_what_is_open(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = finished_run.a_config(odd, time_budget_s=60.0)
    analysis = replace(finished_run.an_analysis(looks=2), edges=())
    print_verdict(make_console(), config, finished_run.a_plan(), analysis)
    lines = capsys.readouterr().out.splitlines()
    (number,) = [i for i, line in enumerate(lines) if line.startswith("Train")]
    # Three rounds of eight runs so far; 16 more, of 16 to 872, are two rounds; the 60 s are over.
    words = pasted(lines[number - 1].strip(), tmp_path)
    assert sorted(words) == [
        *("--max-blocks=5", f"--run={config.path}", "--time-budget-s=180", "resume")
    ]


def test_a_password_is_in_no_command_and_no_command_is_made_up_for_other_databases() -> None:
    assert "secret" not in where_to_look("http://me:secret@host:5000")
    assert where_to_look("postgresql://me:secret@host/db") == (
        "MLflow over postgresql://me:***@host/db"
    )


def test_the_report_says_how_to_get_the_same_again(odd: Path, tmp_path: Path) -> None:
    config = replace(finished_run.a_config(odd), dataset=str(odd / "d"), ranges=("a=0:1", "b=0:2"))
    trials = finished_run.all_trials()
    page = report(config, finished_run.a_plan(), trials, finished_run.an_analysis())
    blocks = [html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", page, re.DOTALL)]
    commands = [text for text in blocks if re.match(r"make |\S+ -m search ", text)]
    again, without_make, train_it = (pasted(text, tmp_path) for text in commands)
    flags = {"--dataset": str(odd / "d"), "--seed": "0", "--set": "a=0:1 b=0:2"}
    assert sorted(again) == [*(f"{name}={value}" for name, value in flags.items()), "run"]
    assert without_make == ["run", *(word for flag in flags.items() for word in flag)]
    assert train_it == ["train", f"--config={config.path / 'best.yaml'}"]


def test_mlflow_says_how_to_go_on(odd: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/m.db"
    config, plan = finished_run.a_config(odd, tracking_uri=uri), finished_run.a_plan()
    tracker = make_tracker(config, plan, store_dir=tmp_path)
    open_search(tracker, config, plan)
    tracker.close_search("KILLED", verdict=None, artifacts=None)
    assert not tracker.problems
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id])
    note = parent.data.tags["mlflow.note.content"]
    (line,) = re.findall(r"goes on with ``(.*)``", note)
    assert pasted(line, tmp_path) == ["resume", f"--run={config.path}"]


def test_a_training_says_how_to_go_on_and_how_its_model_is_loaded(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = toy_dataset()
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: made)
    run = write_run(odd)
    nowhere = f"sqlite:///{tmp_path}/no/folder/m.db"
    place = Place(
        run_dir=odd, run_name="cut", tracking_uri=nowhere, store_dir=tmp_path, experiment="mine"
    )
    asked = Asked(config=run / "toy.yaml")

    def interrupt(self: Trainer) -> dict[str, float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", interrupt)
        with pytest.raises(RunInterrupted) as told:
            train(asked, place)
    words = pasted(str(told.value).split("Go on with: ", 1)[1], tmp_path)
    flags = [f"--run-dir={odd}", "--run-name=cut", f"--tracking-uri={nowhere}"]
    assert sorted(words) == [*flags, "train"]
    capsys.readouterr()
    train(None, place)
    out = capsys.readouterr().out
    code = out.split("Load it:")[1].split("Tracking:")[0]
    found: dict[str, Any] = {}
    exec(code, found)
    saved = load_file(odd / "cut" / "model.safetensors")
    assert all(torch.equal(found["model"].state_dict()[name], saved[name]) for name in saved)
