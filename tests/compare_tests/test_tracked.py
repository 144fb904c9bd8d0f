"""Names of a script's metrics in MLflow, which refuses most of what a regular expression has."""

import pytest
from mlflow.utils.validation import _validate_metric_name

from search.commands.compare.tracked import tracked_name


@pytest.mark.parametrize(
    "name", [r"log Test:\s+Acc@1 ([\d.]+)", "@", "é", "optimizer.lr", "a b", "eval/top-1", "(x)"]
)
def test_every_name_is_one_that_mlflow_takes(name: str) -> None:
    _validate_metric_name(tracked_name(name))  # type: ignore[no-untyped-call]  # MLflow: untyped


@pytest.mark.parametrize("name", ["eval_top1", "final.acc", "val/nll", "a b"])
def test_a_name_that_mlflow_takes_stays(name: str) -> None:
    assert tracked_name(name) == name


def test_a_regular_expression_can_still_be_read() -> None:
    assert tracked_name(r"log Test:\s+Acc@1 ([\d.]+)") == "log Test:_s_Acc_1 _d."
