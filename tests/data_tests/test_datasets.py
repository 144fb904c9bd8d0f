"""Every dataset by name or path, without a network: real digits, stand-ins for the rest."""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as tv
from numpy.typing import NDArray
from PIL import Image

from search.records.provenance import ROOT
from spaces.errors import InputError
from spaces.strengths.values import Strengths
from trainable.data import public_datasets
from trainable.data.collecting import dataset_names, default_recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.notes import notes_on_duplicates
from trainable.data.splits import Split

Bytes = NDArray[np.uint8]
DOWNLOADED = ("fashion-mnist", "cifar10", "cifar100", "flowers102", "oxford-pets", "stl10")


@pytest.fixture(autouse=True)
def _no_network_and_no_debian_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(public_datasets, "is_reachable", lambda url: False)
    monkeypatch.setattr(public_datasets, "DEBIAN_FASHION_MNIST", tmp_path / "no-package")


def load(name: str | Path, data_dir: Path, **changes: Any) -> Dataset:
    arguments = {"image_size": 32, "num_train": None, "seed": 0} | changes
    return load_dataset(name, data_dir=data_dir, **arguments)


def parts_of(split: Split) -> list[NDArray[np.int64]]:
    return [split.train, split.val, split.test]


def colours(count: int, side: int = 8, seed: int = 0) -> Bytes:
    shape = (count, side, side, 3)
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


def put_folder(root: Path, **counts: int) -> None:
    """A folder with this many images per class, all different."""
    for seed, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i, pixels in enumerate(colours(count, seed=seed)):
            Image.fromarray(pixels).save(root / name / f"{i:03}.png")


# Digits.


def test_small_transfer_is_the_digits_enlarged_in_grey(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    data = load("small-transfer", tmp_path)
    assert [len(part) for part in parts_of(data.split)] == [300, 300, 1197]
    assert data.images[np.arange(4)].shape == (4, 32, 32, 3)
    assert data.images[np.arange(4)].dtype == np.uint8
    bunch = load_digits()
    np.testing.assert_array_equal(data.labels, bunch.target)
    assert data.labels.dtype == np.int64
    assert data.class_names == tuple("0123456789")
    for index in (0, 7, 1796):
        small = np.rint(bunch.images[index] * 255 / 16).astype(np.uint8)
        grey = Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC)
        for channel in range(3):
            np.testing.assert_array_equal(data.images[np.array([index])][0, ..., channel], grey)
    assert list(tmp_path.iterdir()) == []


def test_at_their_own_size_the_digits_reach_from_black_to_white(tmp_path: Path) -> None:
    data = load("digits", tmp_path, image_size=8)
    everything = data.images[np.arange(len(data.labels))]
    assert (everything.min(), everything.max()) == (0, 255)
    assert [len(part) for part in parts_of(data.split)] == [1077, 360, 360]


@pytest.mark.parametrize("name", ["small-transfer", "digits"])
def test_the_seed_moves_validation_but_neither_test_nor_digest(name: str, tmp_path: Path) -> None:
    datasets = [load(name, tmp_path, image_size=8, seed=seed) for seed in (0, 1, 0)]
    assert len({tuple(data.split.test) for data in datasets}) == 1
    assert len({tuple(data.split.val) for data in datasets}) == 2
    assert len({data.digest for data in datasets}) == 1
    for part in parts_of(datasets[0].split):
        shares = np.bincount(datasets[0].labels[part]) / np.bincount(datasets[0].labels)
        assert np.ptp(shares) < 0.02


def test_num_train_keeps_a_subset_of_the_same_training_images(tmp_path: Path) -> None:
    whole = load("digits", tmp_path, image_size=8)
    small = load("digits", tmp_path, image_size=8, num_train=100)
    assert [len(part) for part in parts_of(small.split)] == [100, 300, 360]
    assert len(small.labels) == 760
    assert np.bincount(small.labels[small.split.train]).tolist() == [10] * 10

    def images(data: Dataset, part: NDArray[np.int64]) -> set[bytes]:
        return {image.tobytes() for image in data.images[part]}

    for mine, theirs in zip(parts_of(small.split), parts_of(whole.split), strict=True):
        assert images(small, mine) <= images(whole, theirs)
    lone = small.split.train[:1]
    twins = (whole.images[whole.split.train] == small.images[lone]).all(axis=(1, 2, 3))
    assert set(whole.labels[whole.split.train][twins]) == {int(small.labels[lone][0])}


# Image folders.


def test_an_image_folder_is_split_60_20_20(tmp_path: Path) -> None:
    put_folder(tmp_path / "pets", cat=30, dog=20)
    data = load(tmp_path / "pets", tmp_path / "data", image_size=8)
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert [len(part) for part in parts_of(data.split)] == [30, 10, 10]
    for part in parts_of(data.split):
        assert np.bincount(data.labels[part]).tolist() == [3 * len(part) // 5, 2 * len(part) // 5]
    expected = np.concatenate([colours(30, seed=0), colours(20, seed=1)])
    np.testing.assert_array_equal(data.images[np.arange(50)], expected)
    assert data.notes == ()


def test_every_part_of_a_tiny_folder_holds_every_class(tmp_path: Path) -> None:
    put_folder(tmp_path / "x", a=3, b=3, c=40)
    data = load(tmp_path / "x", tmp_path / "data", image_size=8)
    for part in parts_of(data.split):
        assert set(data.labels[part]) == {0, 1, 2}


def test_without_a_given_validation_part_it_is_held_out_of_train(tmp_path: Path) -> None:
    put_folder(tmp_path / "x" / "train", a=20, b=30)
    put_folder(tmp_path / "x" / "test", a=4, b=4)
    splits = [
        load(tmp_path / "x", tmp_path / "data", image_size=8, seed=seed).split for seed in (0, 1)
    ]
    assert [len(part) for part in parts_of(splits[0])] == [40, 10, 8]
    assert splits[0].test.tolist() == splits[1].test.tolist() == list(range(50, 58))
    assert splits[0].val.tolist() != splits[1].val.tolist()


def test_a_training_part_too_small_to_validate_on_is_refused(tmp_path: Path) -> None:
    put_folder(tmp_path / "x" / "train", a=1, b=2)
    put_folder(tmp_path / "x" / "test", a=2, b=2)
    with pytest.raises(InputError, match="at least two images per class, but it has 3 of 2"):
        load(tmp_path / "x", tmp_path / "data", image_size=8)


def test_a_given_validation_part_is_kept(tmp_path: Path) -> None:
    for part, count in (("train", 9), ("val", 3), ("test", 2)):
        put_folder(tmp_path / "x" / part, a=count, b=count)
    data = load(tmp_path / "x", tmp_path / "data", image_size=8)
    assert [len(part) for part in parts_of(data.split)] == [18, 6, 4]
    assert data.split.train.tolist() == list(range(18))


def test_a_class_without_images_to_validate_or_test_on_is_said(tmp_path: Path) -> None:
    for part, counts in (
        ("train", {"a": 9, "b": 9, "c": 9}),
        ("val", {"a": 3, "b": 3}),
        ("test", {"b": 2}),
    ):
        put_folder(tmp_path / "x" / part, **counts)
    pixels = iter(colours(50, seed=9))
    for path in sorted((tmp_path / "x").rglob("*.png")):
        Image.fromarray(next(pixels)).save(path)
    data = load(tmp_path / "x", tmp_path / "data", image_size=8)
    assert data.notes == (
        "1 of 3 classes have no image in val, so that they are not validated: c.",
        "2 of 3 classes have no image in test, so that they are not tested: a, c.",
    )
    assert data.images_per_class == ((9, 3, 0), (9, 3, 2), (9, 0, 0))


def test_a_subset_of_a_folder_decodes_only_what_it_needs(tmp_path: Path) -> None:
    put_folder(tmp_path / "x" / "train", a=400, b=400)
    put_folder(tmp_path / "x" / "test", a=4, b=4)
    data = load(tmp_path / "x", tmp_path / "data", image_size=8, num_train=20)
    # 160 images are held out to validate on, fewer than the 300 a subset may keep.
    assert [len(part) for part in parts_of(data.split)] == [20, 160, 8]
    assert len(data.images) == len(data.labels) == 188
    pixels = np.concatenate([colours(400, seed=0), colours(400, seed=1)])
    for index in data.split.train:
        place = np.flatnonzero((pixels == data.images[np.array([index])]).all(axis=(1, 2, 3)))
        assert place[0] // 400 == data.labels[index]


def test_unreadable_images_are_noted_and_leave_the_split(tmp_path: Path) -> None:
    put_folder(tmp_path / "x", a=150, b=150)
    whole = load(tmp_path / "x", tmp_path / "data", image_size=8)
    broken = tmp_path / "x" / "a" / "003.png"
    broken.write_bytes(b"")
    data = load(tmp_path / "x", tmp_path / "data", image_size=8)
    assert len(data.labels) == len(data.images) == 299
    assert sorted(np.concatenate(parts_of(data.split)).tolist()) == list(range(299))
    assert np.bincount(data.labels).tolist() == [149, 150]
    assert len(data.notes) == 1
    assert data.notes[0].startswith("1 of 300 images are unreadable and left out: a/003.png (")
    # The others stay in the part they were in.
    old_test = [i - (i > 3) for i in whole.split.test.tolist() if i != 3]
    assert data.split.test.tolist() == old_test


def test_many_unreadable_images_are_not_all_listed(tmp_path: Path) -> None:
    put_folder(tmp_path / "x", a=350, b=350)
    for i in range(7):
        (tmp_path / "x" / "a" / f"{i:03}.png").write_bytes(b"")
    (note,) = load(tmp_path / "x", tmp_path / "data", image_size=8).notes
    assert note.startswith("7 of 700 images")
    assert "a/004.png" in note
    assert "a/005.png" not in note
    assert note.endswith("and 2 more.")


def test_copies_across_the_split_are_noted_even_in_another_format(tmp_path: Path) -> None:
    paths = []
    for part, count in (("train", 9), ("val", 3), ("test", 2)):
        put_folder(tmp_path / "x" / part, a=count, b=count)
        paths += sorted((tmp_path / "x" / part).rglob("*.png"))
    for path, pixels in zip(paths, colours(28), strict=True):
        Image.fromarray(pixels).save(path)
    original = tmp_path / "x" / "train" / "b" / "004.png"
    with Image.open(original) as image:
        image.save(tmp_path / "x" / "test" / "b" / "copy.bmp")
    data = load(tmp_path / "x", tmp_path / "data", image_size=8)
    assert data.notes == (
        "Exact copies: 1 of 5 test images lie in train too, such as test/b/copy.bmp = "
        "train/b/004.png.",
    )


def test_duplicates_are_found_between_every_pair_of_parts_and_not_within_one() -> None:
    hashes = np.array([1, 1, 2, 3, 1, 4, 3, 4], np.uint64)
    split = Split(train=np.array([0, 1, 2]), val=np.array([3, 4]), test=np.array([5, 6, 7]))
    assert notes_on_duplicates(hashes, split, name_of=str) == [
        "Exact copies: 1 of 3 test images lie in val too, such as 6 = 3.",
        "Exact copies: 1 of 2 val images lie in train too, such as 4 = 0.",
    ]


def test_the_digest_follows_content_and_labels_and_fits_mlflow(tmp_path: Path) -> None:
    pixels = colours(10)
    contents = {
        "base": (pixels, 5, "ab"),
        "same": (pixels, 5, "ab"),
        "other pixels": (255 - pixels, 5, "ab"),
        "other order": (pixels[::-1], 5, "ab"),
        "other labels": (pixels, 4, "ab"),
        "other names": (pixels, 5, "ac"),
    }
    digests = {}
    for name, (images, first_of_second, classes) in contents.items():
        for i, image in enumerate(images):
            folder = tmp_path / name / classes[i >= first_of_second]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(image)).save(folder / f"{i}.png")
        digests[name] = load(tmp_path / name, tmp_path / "data", image_size=8).digest
    assert digests["base"] == digests["same"]
    assert len(set(digests.values())) == 5
    assert max(map(len, digests.values())) <= 36


# Names, errors and defaults.


def test_loading_digits_needs_no_torch_and_naming_datasets_no_scikit_learn() -> None:
    """`plan` and `--help` wait for what they import."""
    code = (
        "import sys; from pathlib import Path; from trainable.data.datasets import *;"
        "from trainable.data.collecting import *;"
        "dataset_names();"
        "assert not {'torch', 'sklearn', 'tqdm'} & set(sys.modules);"
        "load_dataset('digits', image_size=8, data_dir=Path('.'), num_train=None, seed=0);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["cifr10", "mnist_fashion", "SMALL-TRANSFER"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one of small-transfer, digits, .* image folder"):
        load(name, tmp_path)


def test_a_misspelt_name_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Did you mean 'cifar10'\?"):
        load("cifr10", tmp_path)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_without_a_network_the_error_names_files_and_folder_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a download was started")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    files = {
        "fashion-mnist": rf"train-images-idx3-ubyte\.gz.* into {tmp_path}/FashionMNIST/raw",
        "cifar10": rf"cifar-10-python\.tar\.gz into {tmp_path};",
        "cifar100": rf"cifar-100-python\.tar\.gz into {tmp_path};",
        "flowers102": rf"102flowers\.tgz, imagelabels\.mat.* into {tmp_path}/flowers-102",
        "oxford-pets": rf"images\.tar\.gz.* into {tmp_path}/oxford-iiit-pet",
        "stl10": rf"stl10_binary\.tar\.gz into {tmp_path};",
    }
    started = time.monotonic()
    with pytest.raises(InputError, match=f"`{name}` is not in .*Put {files[name]}"):
        load(name, tmp_path)
    # Whoever asks a network that is away tries again for a minute.
    assert time.monotonic() - started < 30
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_archive_is_an_input_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half of it")
    with pytest.raises(InputError, match=r"cannot be had \(.*no route to host.*Put cifar-10"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("name", dataset_names())
def test_defaults_of_a_dataset_have_no_strength(name: str) -> None:
    assert default_recipe(name).strengths == Strengths()


def test_small_transfer_defaults_are_those_of_the_prototype() -> None:
    recipe = default_recipe("small-transfer")
    assert (recipe.model, recipe.pretrained) == ("tf_efficientnet_lite0", True)
    assert (recipe.image_size, recipe.epochs, recipe.batch_size) == (32, 15, 32)
    assert (recipe.lr, recipe.hflip, recipe.mixup_alpha) == (1e-3, 0.0, 0.0)


@pytest.mark.parametrize(
    ("side", "image_size"), [(8, 32), (32, 32), (63, 32), (100, 96), (500, 128)]
)
def test_a_folder_is_trained_at_no_more_than_the_size_of_its_images(
    side: int, image_size: int, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (side, 2 * side)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "a" / "broken.png").touch()
    assert default_recipe(str(tmp_path)).image_size == image_size


# Stand-ins for the datasets that torchvision reads: the layout is real, the images are few.


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def idx(values: Bytes) -> bytes:
    sizes = np.array(values.shape, ">i4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


@pytest.mark.parametrize("where", ["debian", "torchvision", "torchvision-unpacked"])
def test_fashion_mnist_is_read_from_the_debian_package_or_from_torchvisions_folder(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "package" if where == "debian" else tmp_path / "FashionMNIST" / "raw"
    monkeypatch.setattr(public_datasets, "DEBIAN_FASHION_MNIST", tmp_path / "package")
    folder.mkdir(parents=True)
    greys = colours(60, side=28)[..., 0]
    labels = np.tile(np.arange(10), 6).astype(np.uint8)
    for stem, part in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        for kind, values in (("images-idx3", greys[part]), ("labels-idx1", labels[part])):
            path = folder / f"{stem}-{kind}-ubyte"
            if where == "torchvision-unpacked":
                path.write_bytes(idx(values))
            else:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(values)))
    data = load("fashion-mnist", tmp_path, image_size=28)
    assert [len(part) for part in parts_of(data.split)] == [30, 10, 20]
    assert data.split.test.tolist() == list(range(40, 60))
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_array_equal(data.images[np.arange(60)][..., 2], greys)
    assert data.class_names[9] == "Ankle boot"


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"nothing"), b"no gzip", gzip.compress(b"")[:5]],
    # By name: compressed bytes hold the time, and the name of a test must not.
    ids=["other bytes", "no gzip", "cut off"],
)
def test_a_damaged_fashion_mnist_file_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_datasets, "DEBIAN_FASHION_MNIST", tmp_path)
    for name, _ in tv.FashionMNIST.resources:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz must be a whole IDX file"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("kind", [tv.CIFAR10, tv.CIFAR100])
def test_cifar_has_an_official_test_part(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = colours(80, side=32), np.tile([0, 1, 2, 3], 20)
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    key = "labels" if kind is tv.CIFAR10 else "fine_labels"

    def put(name: str, content: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, md5(folder / name)]

    def batch(part: slice) -> dict[str, Any]:
        data = pixels[part].transpose(0, 3, 1, 2).reshape(-1, 3072)
        return {"data": data, key: labels[part].tolist()}

    monkeypatch.setattr(kind, "train_list", [put("train", batch(slice(0, 60)))])
    monkeypatch.setattr(kind, "test_list", [put("test", batch(slice(60, 80)))])
    name, digest = put(kind.meta["filename"], {kind.meta["key"]: ["w", "x", "y", "z"]})
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": digest})
    assert name == kind.meta["filename"]
    data = load(kind.__name__.lower(), tmp_path)
    assert [len(part) for part in parts_of(data.split)] == [48, 12, 20]
    np.testing.assert_array_equal(data.images[np.arange(80)], pixels)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.class_names == ("w", "x", "y", "z")
    assert np.bincount(data.labels[data.split.val]).tolist() == [3, 3, 3, 3]


def test_stl10_comes_out_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / tv.STL10.base_folder
    folder.mkdir()
    pixels, labels = colours(30, side=96), np.tile([0, 1], 15)
    lists: dict[str, list[list[str]]] = {"train": [], "test": []}
    for part, images in (("train", slice(0, 20)), ("test", slice(20, 30))):
        # The file keeps each channel column by column.
        columns = pixels[images].transpose(0, 3, 2, 1)
        (folder / f"{part}_X.bin").write_bytes(columns.tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels[images] + 1).astype(np.uint8).tobytes())
        for name in (f"{part}_X.bin", f"{part}_y.bin"):
            lists[part].append([name, md5(folder / name)])
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    monkeypatch.setattr(tv.STL10, "train_list", lists["train"])
    monkeypatch.setattr(tv.STL10, "test_list", lists["test"])
    data = load("stl10", tmp_path, image_size=96)
    np.testing.assert_array_equal(data.images[np.arange(30)], pixels)
    np.testing.assert_array_equal(data.labels, labels)
    assert [len(part) for part in parts_of(data.split)] == [16, 4, 10]


def test_flowers_keep_their_official_validation_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import savemat

    folder = tmp_path / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    labels = np.arange(12) % 102 + 1
    for i in range(12):
        Image.new("RGB", (40, 30), (20 * i, 0, 0)).save(folder / "jpg" / f"image_{i + 1:05}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": labels})
    numbers = {"trnid": [2, 4, 6, 8], "valid": [1, 3, 5], "tstid": [7, 9, 10, 11, 12]}
    savemat(folder / "setid.mat", numbers)
    names = dict(tv.Flowers102._file_dict)
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        names[key] = (name, md5(folder / name))
    monkeypatch.setattr(tv.Flowers102, "_file_dict", names)
    data = load("flowers102", tmp_path, image_size=16)
    assert [part.tolist() for part in parts_of(data.split)] == [
        [0, 1, 2, 3],
        [4, 5, 6],
        [7, 8, 9, 10, 11],
    ]
    order = [*numbers["trnid"], *numbers["valid"], *numbers["tstid"]]
    np.testing.assert_array_equal(data.labels, labels[np.array(order) - 1] - 1)
    reds = data.images[np.arange(12)][:, 8, 8, 0].astype(int)
    np.testing.assert_allclose(reds, [20 * (i - 1) for i in order], atol=4)
    assert len(data.class_names) == 102


def test_pets_are_read_in_the_order_of_their_lists(tmp_path: Path) -> None:
    folder = tmp_path / "oxford-iiit-pet"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    for i in range(20):
        breed = ("Abyssinian", "beagle")[i % 2]
        part = "test" if i >= 14 else "trainval"
        lines[part].append(f"{breed}_{i} {i % 2 + 1} {i % 2 + 1} 1")
        Image.new("RGB", (30, 40), (0, 12 * i, 0)).save(folder / "images" / f"{breed}_{i}.jpg")
    for part, rows in lines.items():
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(rows) + "\n")
    data = load("oxford-pets", tmp_path, image_size=16)
    assert data.class_names == ("Abyssinian", "Beagle")
    assert data.split.test.tolist() == list(range(14, 20))
    assert len(data.split.val) == 2
    greens = data.images[np.arange(20)][:, 8, 8, 1].astype(int)
    np.testing.assert_allclose(greens, 12 * np.arange(20), atol=4)


def test_an_archive_put_in_place_by_hand_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tarfile

    photo = io.BytesIO()
    Image.new("RGB", (8, 8)).save(photo, "JPEG")
    rows = [f"Bombay_{i} {i % 2 + 1} 1 1" for i in range(8)]
    contents = {
        "images.tar.gz": {f"images/Bombay_{i}.jpg": photo.getvalue() for i in range(8)},
        "annotations.tar.gz": {
            f"annotations/{part}.txt": "\n".join(rows).encode() for part in ("trainval", "test")
        },
    }
    folder = tmp_path / "oxford-iiit-pet"
    folder.mkdir()
    for archive, files in contents.items():
        with tarfile.open(folder / archive, "w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    resources = [(f"https://x.invalid/{name}", md5(folder / name)) for name in contents]
    monkeypatch.setattr(tv.OxfordIIITPet, "_RESOURCES", resources)
    assert len(load("oxford-pets", tmp_path).labels) == 16
