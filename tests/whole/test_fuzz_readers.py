"""Whatever lies in a file, its reader ends soon, with a value or with one line.

Each property runs on a fixed handful of examples, and with ``-m stress`` on many random ones.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

import search.commands.pipeline
import search.commands.train.command  # noqa: F401
from search.cli import main
from search.commands.train.job import JOB_FILE, FromSearch, TrainJob, read_job
from search.commands.train.model_card import Measured, metrics_dict, read_measured, summary
from search.recipes.timm_export import timm_args
from search.recipes.timm_import import Described
from search.recipes.yaml_file import read_described
from search.records.files import read_json
from search.records.journal import Journal
from search.records.strict_json import parse_json
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from tests.support import finished_run
from tests.support.fuzzing import (
    BAD_JSON,
    ODD,
    as_json,
    examples,
    fuzz,
    in_time,
    is_one_line,
    mutated,
    mutated_bytes,
    outcome,
)
from tests.support.toy_training import TOY, write_run

RECIPE = Recipe(randaugment=RandAugment(num_ops=2, magnitude=9)).with_strengths(ema_decay=0.99)
TIMM = timm_args(RECIPE, num_train=300, num_classes=10).args


def as_yaml(data: Any) -> bytes:
    try:
        return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 60


@examples(150)
def test_a_mutated_recipe_is_read_or_refused(count: int, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    valid = st.one_of(mutated(RECIPE.to_dict()), mutated(TIMM)).map(as_yaml)
    text = st.sampled_from([as_yaml(RECIPE.to_dict()), as_yaml(TIMM)]).flatmap(mutated_bytes)

    @fuzz(count, st.one_of(valid, text))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = outcome(lambda: read_described(path, defaults=RECIPE))
        assert found is None or isinstance(found, Described)


@examples(40, 3000)
def test_a_mutated_recipe_goes_through_diff_and_schedule(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"

    @fuzz(count, st.one_of(mutated(RECIPE.to_dict()), mutated(TIMM)), st.booleans())
    def check(data: Any, draws: bool) -> None:
        path.write_bytes(as_yaml(data))
        arguments = ["diff", "--config", str(path), "--num-train", "300"]
        if draws:
            arguments = ["diff", "--config", str(path), "--json", "1"]
        ends_well(arguments, capsys)


def ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """A command that is done, or says in one line what is wrong."""
    capsys.readouterr()
    with in_time(), warnings.catch_warnings():
        code = main(arguments)
    said = capsys.readouterr().err
    assert code in (0, 2), said
    assert (said == "") if code == 0 else is_one_line(said), said
    return code


@pytest.mark.parametrize("content", BAD_JSON, ids=lambda content: repr(content[:12]))
def test_what_is_no_plain_json_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    found = outcome(lambda: read_json(path))
    assert found is None or found in ([], "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[NaN]", "NaN is no number in JSON"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice"),
        ("[9223372036854775808]", "an integer is beyond 64 bits"),
        ("[1e999]", "too large for a float"),
        ('["\\ud800"]', "cannot be written to a file"),
        ("[" * 17 + "]" * 17, "nested too deeply"),
        ("[1,", "Expecting value"),
    ],
)
def test_json_is_refused_for_the_right_reason(content: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_json(content, where="here")


RUN_FILES = ("config.json", "plan.json", "verdict.json", "export.json")
LINES = ("trials.jsonl", "records.jsonl")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; `kept` puts back what a test changed."""
    run = write_run(tmp_path_factory.mktemp("runs"))
    (run / "export.json").write_text('{"schema": "export/1", "num_train": 300}')
    return run


REWRITTEN = ("best.yaml", "export.json")
"""Files that an export writes anew or removes."""


@contextmanager
def kept(*paths: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths}
    yield
    for path, content in before.items():
        path.write_bytes(content)


@examples(25, 1500)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_run_with_a_mutated_file_opens_or_says_why_not(
    name: str, count: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valid = (run / name).read_bytes()
    broken = st.one_of(
        mutated(json.loads(valid)).map(as_json),
        mutated(json.loads(valid)).map(as_json),
        mutated_bytes(valid),
        st.sampled_from(BAD_JSON),
    )

    @fuzz(count, broken, st.sampled_from([["export", "--run"], ["diff", "--config"]]))
    def check(content: bytes, command: list[str]) -> None:
        target = run if command[0] == "export" else run / "best.yaml"
        with kept(*(run / file for file in (name, *REWRITTEN))):
            (run / name).write_bytes(content)
            ends_well([*command, str(target)], capsys)


@examples(40, 2000)
@pytest.mark.parametrize("name", LINES)
def test_a_run_with_a_mutated_journal_opens_or_says_why_not(
    name: str, count: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valid = (run / name).read_bytes()
    lines = valid.splitlines(keepends=True)

    def with_line(number: int) -> st.SearchStrategy[bytes]:
        def put(data: Any) -> bytes:
            return b"".join([*lines[:number], as_json(data) + b"\n", *lines[number + 1 :]])

        return mutated(json.loads(lines[number])).map(put)

    one_line = st.integers(0, len(lines) - 1).flatmap(with_line)
    shuffled = st.permutations(lines).map(b"".join)

    @fuzz(count, st.one_of(one_line, one_line, shuffled, mutated_bytes(valid)))
    def check(content: bytes) -> None:
        with kept(*(run / file for file in (name, *REWRITTEN))):
            (run / name).write_bytes(content)
            found = outcome(lambda: Journal(run))
            code = ends_well(["export", "--run", str(run)], capsys)
            assert code == 2 or found is not None


JOB = TrainJob(
    train_id="t-1",
    recipe=TOY,
    as_written=TOY,
    notes=("A note.",),
    dataset="digits",
    data_dir="data",
    subset=None,
    data_seed=0,
    digest="0" * 32,
    num_train=36,
    num_val=12,
    num_test=12,
    class_names=("red", "green", "blue"),
    from_search=FromSearch(
        name="r1",
        search_id="s",
        is_exported=True,
        sentence="Turn it down.",
        confirmed={"test/top1": 0.9},
        seeds=3,
        num_train=24,
    ),
)
SCORES = {"test/top1": 0.5, "test/nll": 1.0, "test/nll_refined": 1.0}
MEASURED = Measured.of(
    {**SCORES, "clean_train/top1": 1.0, "clean_train/nll": 0.1}, num_test=12, train_s=1.0
)


@examples(100, 10_000)
def test_a_mutated_training_run_is_read_or_refused(count: int, tmp_path: Path) -> None:
    said = json.loads(as_json(metrics_dict(JOB, MEASURED)))
    assert read_measured(said) == MEASURED

    @fuzz(count, mutated(json.loads(as_json(JOB.to_dict()))), mutated(said))
    def check(job_data: Any, measured_data: Any) -> None:
        (tmp_path / JOB_FILE).write_bytes(as_json(job_data))
        (tmp_path / "metrics.json").write_bytes(as_json(measured_data))
        outcome(lambda: read_job(tmp_path))
        measured = outcome(lambda: read_measured(read_json(tmp_path / "metrics.json")))
        assert measured is None or summary(JOB, measured)


@examples(40, 5000)
def test_no_command_line_ends_in_a_traceback(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = st.one_of(
        st.sampled_from([str(value)[:5000].replace("\0", "") for value in ODD]),
        st.text(max_size=10).map(lambda text: text.replace("\0", "")),
        st.sampled_from(["a" * 300, "~nobody/x", "/dev/null", "b/" * 3000]),
    )
    flags = ["--config", "--reference", "--run", "--run-dir", "--num-train", "--json", "--dataset"]
    commands = st.sampled_from(["diff", "export", "schedule", "resume", "train", "plan", "x"])

    @fuzz(count, commands, st.lists(st.tuples(st.sampled_from(flags), words), max_size=3))
    def check(command: str, given_flags: list[tuple[str, str]]) -> None:
        capsys.readouterr()
        with in_time():
            code = main([command, *(word for pair in given_flags for word in pair)])
        said = capsys.readouterr().err
        assert code == 2, said
        assert is_one_line(said, longest=20_000)  # It repeats what was typed.


def test_a_finished_run_is_what_these_tests_say_it_is(run: Path) -> None:
    assert len(Journal(run).trials) == 6
    assert {t.spec.role for t in Journal(run).trials.values()} >= {"anchor:off", "proposed"}
    assert finished_run.REFERENCE in [t.spec.recipe for t in Journal(run).trials.values()]
