"""A result is found where the script left it, or it is said what was found instead."""

from pathlib import Path

import pytest

from search.commands.compare.asked.measuring import Measure, measure_of
from search.commands.compare.asked.placeholders import command_words, words_of
from search.commands.compare.result_files import NoNumberError, NoResultError, measured
from spaces.errors import InputError

FILES = {
    "s.csv": "epoch,eval_top1,eval_loss\n0,10.5,2.0\n1,60.25,1.5\n2,55.0,\n",
    "s.tsv": "top1\tname\n0.5\ta\n0.75\tb\n",
    "s.json": '{"final": {"acc": 0.9}, "history": [0.1, 0.95, 0.3], "a.b": 3}',
    "s.jsonl": '{"acc": 0.1}\n{"other": 1}\n{"acc": 0.4}\n{"acc": 0.',
    "log.txt": "Epoch 1 Acc@1 12.5\nEpoch 2 Acc@1 70.0\nEpoch 3 Acc@1 65.0\n",
}


def number(measure: Measure, tmp_path: Path) -> float:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return measured(measure, filled={"dir": str(tmp_path)}, log=tmp_path / "log.txt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{dir}/s.csv:eval_top1", 55.0),
        ("{dir}/s.csv:eval_top1@last", 55.0),
        ("{dir}/s.csv:eval_top1@best", 60.25),
        ("{dir}/s.csv:eval_loss", 1.5),
        ("{dir}/s.csv:eval_loss@best", 1.5),
        ("{dir}/s.csv:eval_loss:best", 1.5),
        ("{dir}/s.csv:eval_loss:best:max", 2.0),
        ("{dir}/s.csv:eval_loss:max:best", 2.0),
        ("{dir}/s.csv:eval_top1:min:best", 10.5),
        ("{dir}/s.csv:eval_top1:last", 55.0),
        ("s.csv:eval_top1", 55.0),
        (r"log:Acc@1\s+([\d.]+):min:best", 12.5),
        ("{dir}/s.tsv:top1", 0.75),
        ("{dir}/s.json:final.acc", 0.9),
        ("{dir}/s.jsonl:acc@best", 0.4),
        (r"log:Acc@1\s+([\d.]+)", 65.0),
        (r"log:Acc@1\s+([\d.]+)@best", 70.0),
    ],
)
def test_the_number_is_the_one_that_was_asked_for(
    tmp_path: Path, text: str, expected: float
) -> None:
    assert number(measure_of(text), tmp_path) == expected


def test_lists_and_keys_with_dots_are_read_too(tmp_path: Path) -> None:
    of_history = measure_of("{dir}/s.json:history@best", larger_is_better=False)
    assert number(of_history, tmp_path) == 0.1
    assert number(measure_of("{dir}/s.json:a.b", larger_is_better=True), tmp_path) == 3.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{dir}/none.csv:acc", r"none.csv is not there; the run's directory holds s.csv, s.json"),
        ("{dir}/s.csv:acc", "holds no `acc`, but epoch, eval_top1, eval_loss$"),
        ("{dir}/s.tsv:acc", "holds no `acc`, but top1, name$"),
        ("{dir}/s.json:final.loss", "holds no `final.loss`, but final.acc, history, a.b$"),
        ("{dir}/s.jsonl:loss", "holds no `loss`, but acc, other$"),
        (
            r"log:Acc@5\s+([\d.]+)",
            r"no line of log.txt matches .*; the last one is 'Epoch 3 Acc@1 65.0'",
        ),
    ],
)
def test_a_missing_result_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(NoResultError, match=says):
        number(measure_of(text), tmp_path)


def test_a_directory_without_files_and_an_empty_log_are_said_too(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("\n")
    filled, log = {"dir": str(tmp_path)}, tmp_path / "log.txt"
    with pytest.raises(NoResultError, match="the script wrote no file there"):
        measured(measure_of("{dir}/r.csv:acc"), filled=filled, log=log)
    with pytest.raises(NoResultError, match="it is empty"):
        measured(measure_of("log:acc (.*)"), filled=filled, log=log)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("r.csv", "epoch,acc\n1,\n", "acc"),
        ("r.csv", "epoch,acc\n", "acc"),
        ("r.json", '{"loss": 1, "acc": null}', "acc"),
        ("r.json", '{"a": {"acc": "n/a"}}', "a.acc"),
        ("r.jsonl", '{"acc": null}\n', "acc"),
    ],
)
def test_a_place_without_a_number_is_told_from_one_that_is_not_there(
    tmp_path: Path, name: str, text: str, key: str
) -> None:
    """Pandas writes an empty cell where training diverged."""
    (tmp_path / name).write_text(text)
    filled, log = {"dir": str(tmp_path)}, tmp_path / "log.txt"
    with pytest.raises(NoNumberError, match=f"`{key}` is in .*, but no number"):
        measured(measure_of(f"{{dir}}/{name}:{key}"), filled=filled, log=log)
    with pytest.raises(NoResultError, match="holds no `accuracy`") as caught:
        measured(measure_of(f"{{dir}}/{name}:accuracy"), filled=filled, log=log)
    assert not isinstance(caught.value, NoNumberError)


@pytest.mark.parametrize("ending", [":min:max", ":max:min", ":best:last", ":last:max:best"])
def test_endings_that_contradict_each_other_are_refused(ending: str) -> None:
    with pytest.raises(InputError, match="must end with one of :max and :min"):
        measure_of(f"a.csv:acc{ending}")


def test_only_what_decides_must_say_which_way_is_better() -> None:
    assert measure_of("a.csv:x", decides=False).larger_is_better is None
    assert measure_of("a.csv:x:min").larger_is_better is False
    assert measure_of("a.json:max:max").larger_is_better is True
    with pytest.raises(InputError, match=":max or :min"):
        measure_of("a.csv:x:best", decides=False)
    with pytest.raises(InputError, match="must say the same"):
        measure_of("a.csv:acc:min", larger_is_better=True)


def test_a_key_that_is_called_like_an_ending_is_a_key() -> None:
    measure = measure_of("a.json:max", larger_is_better=True)
    assert (measure.source, measure.what) == ("a.json", "max")


def test_a_result_that_is_no_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("acc\nnan\n")
    with pytest.raises(NoNumberError, match="`acc` is nan"):
        measured(
            measure_of(f"{tmp_path}/s.csv:acc"),
            filled={"dir": str(tmp_path)},
            log=tmp_path / "log.txt",
        )


@pytest.mark.parametrize(
    ("name", "larger"),
    [
        *(("eval_top1", True), ("accuracy", True), ("valAcc", True), ("mAP", True)),
        *(("test/f1", True), ("loss", False), ("eval_loss", False), ("RMSE", False)),
        *(("val.nll", False), ("top1_error", None), ("x", None), ("glossary", None)),
    ],
)
def test_known_names_tell_which_way_is_better_and_others_must_be_told(
    name: str, larger: bool | None
) -> None:
    if larger is None:
        with pytest.raises(InputError, match=":max or :min"):
            measure_of(f"a.csv:{name}")
    else:
        assert measure_of(f"a.csv:{name}").larger_is_better is larger


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acc", "must be FILE:COLUMN"),
        ("a.csv:", "must be FILE:COLUMN"),
        ("a.txt:acc", "must end with one of .csv"),
        ("log:acc (", "no regular expression"),
        ("log:acc", "must have one group"),
    ],
)
def test_a_metric_of_no_known_form_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        measure_of(text, larger_is_better=True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "must be a command"),
        ("python t.py", r"must hold \{config\} or \{args\}"),
        ("python t.py {config} {sede}", r"holds \{sede\}; the placeholders are \{config\}"),
        ("python 't.py {config}", "cannot be read"),
        ("python t.py --x={args}", "must stand alone"),
    ],
)
def test_a_command_that_cannot_work_is_refused(command: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        words_of(command)


def test_placeholders_are_filled_word_by_word_and_other_braces_stay() -> None:
    words = words_of("python t.py {args} --out '{dir}/a b' --f {{x: 1}} --s={seed}")
    filled = command_words(words, {"dir": "/tmp/it's", "seed": "3"}, ["--lr", "0.1"])
    assert filled == [
        *("python", "t.py", "--lr", "0.1", "--out", "/tmp/it's/a b", "--f", "{{x:", "1}}"),
        "--s=3",
    ]
