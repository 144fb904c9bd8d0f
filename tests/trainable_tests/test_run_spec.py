"""What a worker is asked for is checked where it is made, and cheap to import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.run_spec import RunSpec

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("epoch", "is_due"), [(1, False), (2, True), (3, False), (4, False), (5, True), (6, False)]
)
def test_metrics_are_due_after_the_epochs_asked_for_and_the_last(epoch: int, is_due: bool) -> None:
    spec = RunSpec(recipe=Recipe(epochs=5), eval_epochs=(2,))
    assert spec.is_evaluated_after(epoch) == is_due


@pytest.mark.parametrize("part", ["val", "test"])
def test_test_images_are_looked_at_once_and_only_if_asked_for(part: str) -> None:
    spec = RunSpec(recipe=Recipe(epochs=3), eval_epochs=(1, 2, 3), evaluate_on=part)
    assert [spec.is_tested_after(epoch) for epoch in (1, 2, 3)] == [False, False, part == "test"]


@pytest.mark.parametrize("part", ["", "train", "Test"])
def test_no_other_part_is_measured(part: str) -> None:
    with pytest.raises(InputError, match=f"`evaluate_on` must be one of val, test, .*'{part}'"):
        RunSpec(recipe=Recipe(), evaluate_on=part)


def test_it_needs_nothing_but_spaces_and_the_standard_library() -> None:
    program = "import sys, trainable.run_spec; import json; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        # -S: without the start-up hooks of installed packages, which load modules of their own.
        [sys.executable, "-S", "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    loaded = {name.partition(".")[0] for name in json.loads(out)}
    assert loaded - set(sys.stdlib_module_names) == {"__main__", "spaces", "trainable"}


def test_frozen_features_are_refused_where_nothing_is_pretrained() -> None:
    with pytest.raises(InputError, match="`with_frozen` must be false"):
        RunSpec(recipe=Recipe(), with_frozen=True)
