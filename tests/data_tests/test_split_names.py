"""Which names of folders are those of a split, which may be, and which are classes."""

import pytest

from trainable.data.folders.split_names import named_parts, part_of
from trainable.data.image_sources import TEST, TRAIN, VAL


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train", "val", "test"], [TRAIN, VAL, TEST]),
        (["Testing", "Training"], [TEST, TRAIN]),
        (["Test", "Train", "Valid"], [TEST, TRAIN, VAL]),
        (["TEST", "TRAIN"], [TEST, TRAIN]),
        (["training", "validation"], [TRAIN, VAL]),
        (["seg_train", "seg_test"], [TRAIN, TEST]),
        (["test-set", "train-set"], [TEST, TRAIN]),
        (["testset", "trainset"], [TEST, TRAIN]),
        (["TrainImages", "TestImages"], [TRAIN, TEST]),
        (["train_images", "test"], [TRAIN, TEST]),
        (["train2017", "val2017"], [TRAIN, VAL]),
        (["train", "test1"], [TRAIN, TEST]),
        (["brain mri train", "brain mri test"], [TRAIN, TEST]),
        (["train", "dev", "test"], [TRAIN, VAL, TEST]),
    ],
)
def test_a_split_is_known_by_its_names(names: list[str], parts: list[int]) -> None:
    found = named_parts(names)
    assert found is not None
    assert found.is_clear
    assert found.parts == dict(zip(names, parts, strict=True))
    assert [*found.parts.values()] == sorted(parts)
    assert found.unlabelled == ()


@pytest.mark.parametrize("beside", ["seg_pred", "unlabeled", "Prediction"])
def test_images_without_labels_may_lie_beside_a_split(beside: str) -> None:
    found = named_parts(["seg_train", "seg_test", beside])
    assert found is not None
    assert found.is_clear
    assert found.unlabelled == (beside,)


@pytest.mark.parametrize(
    "names",
    [
        ["train", "test", "car"],
        ["train1", "train2"],
        ["train", "Training"],
        ["val", "test"],
        ["valid", "test", "car"],
        ["cat_train", "cat_test", "dog_train", "dog_test"],
        ["bullet train", "test tube"],
    ],
)
def test_what_only_may_be_a_split_is_told_apart(names: list[str]) -> None:
    found = named_parts(names)
    assert found is not None
    assert not found.is_clear


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["train"],
        ["cat", "dog"],
        ["car", "train"],
        ["control", "test"],
        ["bullet train", "train station", "test tube", "car"],
        ["freight train", "bullet train"],
        ["contest", "latest", "strain", "interval", "restrain"],
        ["0", "1", "2"],
        ["train test", "neither"],
        ["پیش", "پس"],
    ],
)
def test_classes_are_classes(names: list[str]) -> None:
    assert named_parts(names) is None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", TRAIN),
        ("Training set", TRAIN),
        ("validation_2", VAL),
        ("test1", TEST),
        ("bullet train", None),
        ("trains", None),
        ("", None),
        ("image", None),
    ],
)
def test_a_name_that_says_nothing_else_is_a_part(name: str, part: int | None) -> None:
    assert part_of(name) == part
