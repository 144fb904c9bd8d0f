"""``compare`` from the command line on a script that is no part of this project, and back."""

import csv
import json
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient

from search.cli import main
from search.records.provenance import ROOT
from tests.support.programs.forked import Forked

FORMULA = ROOT / "tests" / "support" / "formula_script.py"
SGD = FORMULA.with_name("sgd_script.py")
MINE = {
    "alpha": 0.1,
    "average": False,
    "epochs": 5,
    "shuffle": True,
    "schedule": {"name": "optimal", "lr": 0.1},
}
PAPER = {**MINE, "alpha": 0.0001, "schedule": {"name": "constant", "lr": 0.1}, "shuffle": False}


def words(directory: Path, *, script: Path = FORMULA, **more: str) -> list[str]:
    """The command line; JSON is YAML as well, so one text serves both scripts."""
    end = "json" if script == FORMULA else "yaml"
    for name, values in (("mine", MINE), ("paper", PAPER)):
        (directory / f"{name}.{end}").write_text(json.dumps(values))
    command = shlex.join([sys.executable, str(script)])
    flags = {
        "reference": str(directory / f"mine.{end}"),
        "best": str(directory / f"paper.{end}"),
        "command": f"{command} --config {{config}} --seed {{seed}} --out {{dir}}",
        "metric": "{dir}/result.json:accuracy",
        "run-dir": str(directory / "runs"),
        "run-name": "digits",
        "confirm-seeds": "2",
        "tracking-uri": f"sqlite:///{directory / 'm.db'}",
    }
    return ["compare", *(f"--{name}={value}" for name, value in (flags | more).items())]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A comparison that was interrupted once and gone on with; the runs that had ended by then."""
    directory = tmp_path_factory.mktemp("compare")
    run = directory / "runs" / "digits"
    process = Forked("search", words(directory))
    events = run / "runs.jsonl"
    while process.poll() is None and (
        not events.exists() or events.read_text().count('"event": "end"') < 3
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Go on with: make resume RUN=" in printed
    ended = [line for line in events.read_text().splitlines() if '"event": "end"' in line]
    assert main(["resume", "--run", str(run)]) == 0
    return run, ended


def test_nothing_that_had_ended_is_run_again(interrupted: tuple[Path, list[str]]) -> None:
    run, ended = interrupted
    lines = (run / "runs.jsonl").read_text().splitlines()
    assert [line for line in lines if '"event": "end"' in line][: len(ended)] == ended
    done = [json.loads(line)["outcome"]["run_id"] for line in lines if '"event": "end"' in line]
    assert len(done) == len(set(done))


def test_a_metric_that_is_not_there_ends_it_at_once_and_says_what_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path, metric="{dir}/result.json:acc")) == 1
    said = capsys.readouterr()
    told = re.search(r"The first (\d+) runs ended well, but left no result: ", said.err)
    assert told
    assert "result.json holds no `acc`, but accuracy" in said.err
    assert said.err.rstrip().endswith("Mend that and compare anew.")
    assert "as a whole gives no result" not in said.out + said.err
    # It ends with the run after which every key has been tried at both values: the second where
    # that is the best, a later one where others end before it.
    lines = (tmp_path / "runs" / "digits" / "runs.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    cells = [event["cell"] for event in events if event["event"] == "begin"]
    levels = {cell["run_id"]: cell["levels"] for cell in cells}
    ended = [event["outcome"]["run_id"] for event in events if event["event"] == "end"]

    def has_both(run_ids: list[str]) -> bool:
        return all(len({levels[run][name] for run in run_ids}) == 2 for name in cells[0]["levels"])

    assert len(ended) == int(told[1])
    assert has_both(ended)
    assert not has_both(ended[:-1])


def test_more_rounds_can_be_asked_of_a_finished_comparison_and_nothing_else(
    interrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = interrupted
    asked = json.loads((run / "compare.json").read_text())
    assert main(["resume", "--run", str(run), "--max-blocks", "3"]) == 2
    assert "`--max-blocks` must be at least 5" in capsys.readouterr().err
    assert main(["resume", "--run", str(run), "--num-samples", "30"]) == 2
    assert "goes on with `--run` and `--max-blocks` alone" in capsys.readouterr().err
    assert json.loads((run / "compare.json").read_text()) == asked


def test_the_planted_difference_is_found_and_written_out(
    interrupted: tuple[Path, list[str]],
) -> None:
    run, _ = interrupted
    verdict = json.loads((run / "verdict.json").read_text())
    turns = {dial["name"]: dial["turn"] for dial in verdict["dials"]}
    assert verdict["schema"] == "compare/1"
    assert set(turns) == {"alpha", "shuffle", "schedule.name"}
    assert turns["alpha"] == "take"
    assert turns["shuffle"] != "take"
    assert turns["schedule.name"] != "take"
    advised = json.loads((run / "advised.json").read_text())
    assert advised["alpha"] == 0.0001
    assert advised["epochs"] == 5
    gain = verdict["confirmed"]["advised_minus"]["reference"]["mean"]
    assert gain == pytest.approx(
        verdict["confirmed"]["means"]["advised"] - verdict["confirmed"]["means"]["reference"]
    )


def test_every_run_has_its_directory_its_log_and_its_row(
    interrupted: tuple[Path, list[str]],
) -> None:
    run, _ = interrupted
    with (run / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 16
    for row in rows:
        directory = run / "runs" / row["run"]
        made = json.loads((directory / "config.json").read_text())
        assert str(made["alpha"]) == row["alpha"]
        assert made["schedule"]["name"] == row["schedule.name"]
        result = json.loads((directory / "result.json").read_text())
        assert float(row["accuracy"]) == result["accuracy"]
        assert (directory / "log.txt").is_file()


def test_the_report_speaks_of_what_was_compared_only(interrupted: tuple[Path, list[str]]) -> None:
    page = (interrupted[0] / "report.html").read_text()
    assert "schedule.name" in page
    assert "<svg" in page
    for foreign in ("epochs of", "dropout", "image", "weight decay", "label smoothing"):
        assert foreign not in page.lower()


def test_mlflow_has_the_comparison_and_each_run_once(
    interrupted: tuple[Path, list[str]],
) -> None:
    run, _ = interrupted
    uri = f"sqlite:///{run.parents[1] / 'm.db'}"
    client = MlflowClient(uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("recipe-comparisons")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in found if r.data.tags["role"] == "comparison"]
    assert parent.info.status == "FINISHED"
    assert "Take the best's value of `alpha`" in parent.data.tags["mlflow.note.content"]
    names = [r.data.tags["script_run"] for r in found if r.data.tags["role"] == "script"]
    assert sorted(names) == sorted(path.name for path in (run / "runs").iterdir())
    with (run / "runs.csv").open() as file:
        accuracy = {row["run"]: float(row["accuracy"]) for row in csv.DictReader(file)}
    for child in found:
        if child.data.tags["role"] == "script":
            assert child.data.metrics["accuracy"] == accuracy[child.data.tags["script_run"]]
            assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.stress
def test_a_penalty_that_is_too_large_is_found_in_a_classifier_of_digits(tmp_path: Path) -> None:
    assert main(words(tmp_path, script=SGD)) == 0
    run = tmp_path / "runs" / "digits"
    verdict = json.loads((run / "verdict.json").read_text())
    turns = {dial["name"]: dial["turn"] for dial in verdict["dials"]}
    # A penalty of 0.1 leaves a linear model of digits far too small.
    assert turns["alpha"] == "take"
    text = (run / "advised.yaml").read_text()
    assert text.startswith("# Advised by the comparison digits")
    assert yaml.safe_load(text)["alpha"] == 0.0001


def test_a_dry_run_prints_the_commands_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(tmp_path), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("formula_script.py --config ") == 16
    assert "16 to 32 runs" in printed
    assert "at most 38 runs in all" in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"metric": "{dir}/result.json:x"}, "say so with :max or :min behind it"),
        ({"metric": "/tmp/result.json:acc"}, "must hold {dir}"),
        ({"max-runs": "15"}, "`--max-runs` must be at least 16"),
        ({"command": "python t.py {seed}"}, "must hold {config} or {args}"),
        ({"command": "pyhton t.py {config}"}, "begins with 'pyhton', which is no program"),
        ({"command": "python nosuch.py {config}"}, "calls 'nosuch.py', and there is no such file"),
        ({"command": "./none.sh {config}"}, "begins with './none.sh', which is no program"),
        ({"command": "python t.py {config} {epoch}"}, "holds {epoch}; the placeholders are"),
        ({"fix": "alfa"}, "no key `alfa`; the keys that differ are alpha"),
        ({"best": "none.yaml"}, "none.yaml: there is no such file"),
        ({"min-blocks": "1"}, "`min_blocks >= 2` must hold"),
        ({"confirm-seeds": "1"}, "must be 0 or at least 2"),
        ({"run-name": "../x"}, "must be a plain name"),
        ({"cpus-per-run": "0"}, "`cpus_per_run > 0` must hold"),
        ({"direction": "up"}, "must be larger or smaller"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, str], says: str
) -> None:
    assert main(words(tmp_path, script=FORMULA, **more)) == 2
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "runs").exists()
