"""Images of a group lie in one part, whichever split is drawn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from spaces.errors import InputError
from tests.support.fuzzing import in_time, is_one_line
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.grouped_draw import draw_groups
from trainable.data.splits import Split, stratified_split, subset

Ints = NDArray[np.int64]


def patients(num_groups: int, *, num_classes: int = 3, seed: int = 0) -> tuple[Ints, Ints]:
    """Labels and groups: groups of 2 to 30 images, half of one class and half of several."""
    rng = np.random.default_rng(seed)
    labels: list[int] = []
    groups: list[int] = []
    for group in range(num_groups):
        size = int(rng.integers(2, 31))
        own = int(rng.integers(num_classes))
        mixed = rng.integers(num_classes, size=size).tolist()
        labels += mixed if group % 2 else [own] * size
        groups += [group] * size
    order = rng.permutation(len(labels))
    return np.array(labels)[order].astype(np.int64), np.array(groups)[order].astype(np.int64)


def parts_of(split: Split) -> list[Ints]:
    return [split.train, split.val, split.test]


def divided(labels: Ints, groups: Ints, seed: int) -> Split:
    size = len(labels) // 5
    return stratified_split(
        labels, num_train=len(labels) - 2 * size, num_val=size, seed=seed, groups=groups
    )


@pytest.mark.parametrize("num_groups", [9, 20, 60, 300])
@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_torn_apart_and_every_image_is_in_one_part(num_groups: int, seed: int) -> None:
    labels, groups = patients(num_groups, seed=seed)
    split = divided(labels, groups, seed)
    assert sorted(np.concatenate(parts_of(split)).tolist()) == list(range(len(labels)))
    owners = [set(groups[part].tolist()) for part in parts_of(split)]
    assert sum(map(len, owners)) == num_groups
    assert all(owners)


@pytest.mark.parametrize("num_groups", [40, 300])
def test_parts_have_about_the_size_and_the_classes_that_were_asked_for(num_groups: int) -> None:
    for seed in range(10):
        labels, groups = patients(num_groups, seed=seed)
        split = divided(labels, groups, seed)
        for part in (split.val, split.test):
            # Half of the largest group, of all images or of one class, is as near as one gets.
            assert abs(len(part) - len(labels) // 5) <= 30
            for label in range(3):
                fair = (labels == label).sum() / 5
                assert abs((labels[part] == label).sum() - fair) <= 30


def imbalance(labels: Ints, part: Ints) -> float:
    """Largest distance of a class's share of the part from its share of all, as a share."""
    here, all_ = (np.bincount(x, minlength=3) / len(x) for x in (labels[part], labels))
    return float(np.abs(here - all_).max())


def test_classes_are_as_even_as_those_of_scikit_learn() -> None:
    ours, theirs = [], []
    for seed in range(20):
        labels, groups = patients(40, seed=seed)
        drawn = draw_groups(
            labels, groups, np.arange(len(labels)), len(labels) // 5, reserve=1, seed=seed
        )
        ours.append(imbalance(labels, np.flatnonzero(drawn)))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        held_out = next(folds.split(labels, labels, groups))[1]
        theirs.append(imbalance(labels, held_out))
    assert np.mean(ours) <= 1.2 * np.mean(theirs)


def test_every_group_of_usual_size_is_held_out_about_as_often() -> None:
    """With scikit-learn's, half of twenty groups are in no first fold of forty seeds."""
    labels = np.tile(np.arange(2), 200).astype(np.int64)
    groups = np.repeat(np.arange(20), 20).astype(np.int64)
    times = np.zeros(20)
    for seed in range(200):
        drawn = draw_groups(labels, groups, np.arange(400), 80, reserve=1, seed=seed)
        times[np.unique(groups[drawn])] += 1
    assert times.sum() == 4 * 200
    # Binomial: 40 plus or minus 5.7; five deviations.
    assert np.abs(times - 40).max() < 29


def test_test_groups_stay_while_validation_groups_change_with_the_seed() -> None:
    labels, groups = patients(40)
    splits = [divided(labels, groups, seed) for seed in range(4)]
    assert len({tuple(split.test) for split in splits}) == 1
    assert len({tuple(split.val) for split in splits}) == 4


def test_a_class_of_three_groups_is_in_every_part_and_one_of_a_single_group_in_train() -> None:
    labels, groups = patients(60)
    rare = np.repeat([3, 4], [9, 5])
    labels = np.concatenate([labels, rare])
    groups = np.concatenate([groups, 1000 + np.arange(9) // 3, np.full(5, 2000)])
    for seed in range(5):
        split = divided(labels, groups, seed)
        for part in parts_of(split):
            assert {0, 1, 2, 3} <= set(labels[part].tolist())
        assert 4 in labels[split.train]
        assert 4 not in np.concatenate([labels[split.val], labels[split.test]])


def test_a_subset_keeps_whole_groups_of_about_the_asked_number() -> None:
    labels, groups = patients(60)
    split = divided(labels, groups, 0)
    small = subset(split, labels, 150, 0, groups=groups)
    assert abs(len(small.train) - 150) <= 15
    assert set(small.train) <= set(split.train)
    kept = np.isin(groups, groups[small.train])
    assert small.train.tolist() == [i for i in split.train if kept[i]]
    everything = subset(split, labels, len(split.train), 0, groups=groups)
    assert everything.train.tolist() == split.train.tolist()


def test_many_groups_are_drawn_in_time() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(1000, size=20_000).astype(np.int64)
    groups = rng.integers(6000, size=20_000).astype(np.int64)
    with in_time():
        drawn = draw_groups(labels, groups, np.arange(20_000), 4000, reserve=0, seed=0)
    assert abs(drawn.sum() - 4000) < 40


# Of files.


def put_images(root: Path, *folders: str, groups: int = 6, images: int = 4) -> None:
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for i in range(groups * images):
            pixels = np.random.default_rng((number, i)).integers(255, size=(9, 9, 3))
            name = f"p{i // images}-{i % images}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(root / folder / name)


def load(root: Path, group_by: str | None, num_train: int | None = None, seed: int = 0) -> Dataset:
    return load_dataset(
        root,
        image_size=8,
        data_dir=root.parent / "data",
        num_train=num_train,
        seed=seed,
        group_by=group_by,
    )


def test_a_pattern_of_the_path_groups_the_files_of_a_folder(tmp_path: Path) -> None:
    put_images(tmp_path / "root", "a", "b")
    found = load(tmp_path / "root", "(p[0-9]+)-")
    assert found.groups is not None
    # By the path of each file: p0 to p5, in both classes.
    assert found.groups.tolist() == [i // 4 for i in range(24)] * 2
    assert found.num_groups == (4, 1, 1)
    assert any("4 groups to train on, 1 to validate and 1 to test on" in n for n in found.notes)
    for seed in (1, 2, 3):
        fresh = found.fresh_split(seed)
        assert not set(found.groups[fresh.train]) & set(found.groups[fresh.val])
        assert fresh.test.tolist() == found.split.test.tolist()
    assert load(tmp_path / "root", None).num_groups is None


def test_a_subset_of_a_grouped_folder_is_of_whole_groups(tmp_path: Path) -> None:
    put_images(tmp_path / "root", "a", "b")
    found = load(tmp_path / "root", "(p[0-9]+)-", num_train=15)
    assert found.num_groups == (2, 1, 1)
    assert len(found.split.train) == 16


def test_groups_that_a_given_split_tears_apart_are_told(tmp_path: Path) -> None:
    put_images(tmp_path / "root", "train/a", "train/b", "test/a", "test/b")
    found = load(tmp_path / "root", "(p[0-9]+)-")
    said = [note for note in found.notes if "tears groups apart" in note]
    # Of the six groups, one validates.
    assert "5 of the 6 groups in test lie in train too, such as p" in said[0]
    assert "1 of the 6 groups in test lie in val too" in said[1]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "must be a regular expression"),
        ("p[0-9]+", "must have a group in parentheses"),
        ("(q[0-9]+)", "finds none in 'a/p0-0.png'"),
        ("(q?)", "finds none"),
        ("(/)", "none is left"),
    ],
)
def test_a_pattern_that_finds_no_groups_is_refused(pattern: str, says: str, tmp_path: Path) -> None:
    put_images(tmp_path / "root", "a", "b")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "root", pattern)
    assert says in str(caught.value)
    assert is_one_line(str(caught.value))


def test_images_without_names_have_no_groups() -> None:
    with pytest.raises(InputError, match="no files with names"):
        load(Path("digits"), "(x)")
