"""What a plan says of classes of very different sizes, and when it says nothing."""

import pytest

from search.plan.imbalance import imbalance_notes, weighting_notes
from search.plan.plan import DataFacts

TOP1, BALANCED, F1 = "val/top1", "val/balanced_top1", "val/macro_f1"


def facts(*counts: tuple[int, int, int]) -> DataFacts:
    return DataFacts(
        name="scans",
        digest="",
        num_train=sum(train for train, _, _ in counts),
        num_val=sum(val for _, val, _ in counts),
        num_test=sum(test for _, _, test in counts),
        class_names=tuple(f"class {i}" for i in range(len(counts))),
        images_per_class=counts,
    )


def test_classes_that_differ_much_are_told_with_what_the_largest_alone_would_reach() -> None:
    (note,) = imbalance_notes(facts((31, 20, 9), (90, 60, 9), (29, 20, 9)), metric=TOP1)
    assert "class 1 has 90 training images, class 2 has 29." in note
    assert (
        "Always predicting class 1 would get 60.0 % of the validation images right, and 33.3 % "
        "balanced accuracy." in note
    )
    assert "judged by top-1" in note
    assert "`--metric balanced_top1`" in note


@pytest.mark.parametrize("counts", [(30, 90), (90, 30), (50, 50)])
def test_a_factor_of_three_is_not_much(counts: tuple[int, int]) -> None:
    assert imbalance_notes(facts(*((n, 9, 9) for n in counts)), metric=TOP1) == []
    assert imbalance_notes(facts((counts[0], 9, 9), (271, 9, 9)), metric=TOP1) != []


def test_a_plan_of_an_older_version_does_not_know() -> None:
    assert imbalance_notes(facts(), metric=TOP1) == []


@pytest.mark.parametrize("metric", ["val/nll", "val/nll_refined"])
def test_a_search_by_log_loss_is_judged_by_top1_and_is_told_so(metric: str) -> None:
    (note,) = imbalance_notes(facts((90, 60, 9), (9, 6, 9)), metric=metric)
    assert "This run is judged by top-1" in note


@pytest.mark.parametrize(("metric", "words"), [(BALANCED, "balanced accuracy"), (F1, "macro-F1")])
def test_a_run_that_counts_classes_equally_is_told_what_an_image_of_the_rarest_weighs(
    metric: str, words: str
) -> None:
    (note,) = imbalance_notes(facts((90, 60, 9), (9, 4, 9), (9, 0, 9)), metric=metric)
    assert "--metric" not in note
    # Two classes have validation images.
    assert "50.0 % balanced accuracy" in note
    assert note.endswith(
        f"One of the 4 validation images of class 1 is worth 12.5 points of {words}."
    )


def test_without_validation_images_the_sizes_are_told_alone() -> None:
    (note,) = imbalance_notes(facts((90, 0, 9), (9, 0, 9)), metric=TOP1)
    assert note == "Classes differ in size: class 0 has 90 training images, class 1 has 9."


def test_class_weights_are_told_of_where_they_are_searched() -> None:
    assert weighting_notes(("weight_decay", "ema_decay")) == []
    (note,) = weighting_notes(("weight_decay", "class_weighting"))
    assert "(`class_weighting`): from 0, where every training image weighs the same" in note
