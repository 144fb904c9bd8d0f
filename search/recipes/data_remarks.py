"""Remarks on images that timm's or torchvision's scripts read differently from this project.

timm's and torchvision's scripts read a folder by rules of their own. If a dataset breaks one of
them, a recipe that was judged here would train on other images there, or on none, mostly without an
error.
"""

from collections.abc import Iterable, Mapping, Sequence

from timm.data.readers.img_extensions import IMG_EXTENSIONS as TIMM_ENDINGS
from timm.utils.misc import natural_key
from torchvision.datasets.folder import IMG_EXTENSIONS as TORCHVISION_ENDINGS

from trainable.data.file_facts import FileFacts


def timm_remarks(files: FileFacts, class_names: Sequence[str]) -> list[str]:
    """Write a sentence on each difference in how timm's folder reader treats these files."""
    return [
        *_listed(files),
        *_unread(files.endings, TIMM_ENDINGS),
        *_nested(files.num_nested),
        *(_other_order(class_names) if files.endings else []),
        *_pixels(files),
    ]


def torchvision_remarks(files: FileFacts) -> list[str]:
    """Write a sentence on each difference in how torchvision's reader treats these files.

    It has the same order of classes and nesting of folders as this project.
    """
    return [*_listed(files), *_unread(files.endings, TORCHVISION_ENDINGS), *_pixels(files)]


def class_order(class_names: Sequence[str]) -> str:
    """Describe in one sentence how classes are numbered here and by timm's own scripts."""
    if list(class_names) != sorted(class_names):
        return "That is the order of the dataset itself; whoever reads it from folders sorts it."
    others = sorted(class_names, key=natural_key)
    same = others == list(class_names)
    return (
        "Names of folders are sorted as text here (1, 10, 2), and by the numbers in them and "
        "without regard to case by timm's own scripts (1, 2, 10): "
        + ("of these classes both make the same order." if same else _differs(class_names, others))
    )


def _listed(files: FileFacts) -> list[str]:
    if not files.is_listed:
        return []
    return [
        "It reads no table of labels: put each image, or a link to it, into a folder per class and "
        "part first."
    ]


def _unread(endings: Mapping[str, int], read: Iterable[str]) -> list[str]:
    known = tuple(read)
    left_out = {ending: count for ending, count in endings.items() if ending not in known}
    if not left_out:
        return []
    named = ", ".join(f"{count} {ending}" for ending, count in left_out.items())
    found = sum(endings.values()) - sum(left_out.values())
    return [
        f"It reads files that end in {', '.join(known)} only: {named} of this dataset would be "
        f"left out, and {found or 'no'} images found. Convert them first."
    ]


def _nested(num_nested: int) -> list[str]:
    if not num_nested:
        return []
    return [
        "Its class is the folder in which an image lies: the names of the folders in which "
        f"{num_nested} images lie below the folder of their class would become classes. Move them "
        "up first."
    ]


def _other_order(class_names: Sequence[str]) -> list[str]:
    others = sorted(class_names, key=natural_key)
    # Classes in another order than both were not read from folders.
    if others == list(class_names) or sorted(class_names) != list(class_names):
        return []
    return [f"It numbers the classes in another order: {_differs(class_names, others)}"]


def _differs(class_names: Sequence[str], others: Sequence[str]) -> str:
    number = next(i for i, name in enumerate(class_names) if name != others[i])
    return f"class {number} is {class_names[number]!r} here and {others[number]!r} there."


def _pixels(files: FileFacts) -> list[str]:
    remarks = []
    if files.num_deep:
        remarks.append(
            f"It does not scale greyscale of more than 8 bits ({files.num_deep} images): all above "
            "255 becomes white. Convert them first."
        )
    if files.num_turned:
        remarks.append(
            f"It does not look at EXIF: {files.num_turned} photographs that are turned upright "
            "here would be trained on as they lie. Turn them first."
        )
    return remarks
