"""Memory as it is, and pictures that take more of it than their files tell."""

import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces.errors import InputError
from trainable.data.bulk_decode import decode_all
from trainable.data.decode_budget import MOST_PIXELS, DecodeBudget, bytes_of
from trainable.data.image_sources import FileSource
from trainable.data.memory import memory_of_machine
from trainable.data.pixels.image_decode import UnreadableImageError, read_file, to_rgb

GB = 10**9


def machine(root: Path, groups: str, **limits: str) -> Path:
    """Control groups as the kernel shows them; ``__`` in a name stands for a slash."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in limits.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("_at_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V1 = "12:cpu,cpuacct:/slurm/job_1\n9:memory:/slurm/job_1/step_0\n0::/init\n"
V2 = "0::/system.slice/slurmstepd.scope/job_1/step_0/user\n"
NO_LIMIT_V1 = "9223372036854771712"


@pytest.mark.parametrize(
    ("groups", "limits", "bytes_left"),
    [
        ("", {}, 64 * GB),
        ("0::/\n", {"memory_at_max": "max"}, 64 * GB),
        ("0::/\n", {"memory_at_max": str(8 * GB)}, 8 * GB),
        ("0::/\n", {"memory_at_max": str(80 * GB)}, 64 * GB),
        # Nested: the job is limited, the step in it is not.
        (
            V2,
            {
                "system.slice__slurmstepd.scope__job_1__memory_at_max": str(6 * GB),
                "system.slice__slurmstepd.scope__job_1__step_0__memory_at_max": "max",
                "system.slice__slurmstepd.scope__job_1__step_0__user__memory_at_max": "max",
            },
            6 * GB,
        ),
        # And the other way round.
        (
            V2,
            {
                "system.slice__memory_at_max": str(9 * GB),
                "system.slice__slurmstepd.scope__job_1__step_0__memory_at_max": str(2 * GB),
            },
            2 * GB,
        ),
        (V1, {"memory__slurm__job_1__memory_at_limit_in_bytes": str(3 * GB)}, 3 * GB),
        (V1, {"memory__slurm__job_1__step_0__memory_at_limit_in_bytes": NO_LIMIT_V1}, 64 * GB),
        # A container of version 1 sees the path from outside, and its own group at the root.
        ("4:memory:/docker/abc\n", {"memory__memory_at_limit_in_bytes": str(GB)}, GB),
        ("0::/../../abc\n", {"memory_at_max": str(GB)}, GB),
        # Both versions at once.
        (V1, {"unified__init__memory_at_max": str(2 * GB)}, 2 * GB),
        ("nonsense\n\n", {"memory_at_max": "nonsense"}, 64 * GB),
    ],
)
def test_memory_is_what_the_groups_on_the_way_to_the_root_leave(
    tmp_path: Path, groups: str, limits: dict[str, str], bytes_left: int
) -> None:
    root = machine(tmp_path, groups, **limits)
    assert memory_of_machine(root, physical=64 * GB) == bytes_left


# Pictures


def bomb(path: Path, side: int, mode: str = "L") -> Path:
    """One colour, so that the file is small."""
    Image.new(mode, (side, side), 7).save(path)
    return path


def test_a_picture_of_more_pixels_than_asked_for_is_unreadable_and_says_why(
    tmp_path: Path,
) -> None:
    path = bomb(tmp_path / "x.png", 300)
    assert read_file(path, 8, max_pixels=90_000).size == (300, 300)
    with pytest.raises(UnreadableImageError, match=r"300 x 300 pixels .* 89,999 .*--max-image-p"):
        read_file(path, 8, max_pixels=89_999)


def test_one_bomb_among_photos_is_left_out_and_is_never_decoded(tmp_path: Path) -> None:
    """20 000 pixels a side: 0.4 GB of bytes in a file of half a megabyte."""
    bomb(tmp_path / "bomb.png", 20_000, "1")
    assert (tmp_path / "bomb.png").stat().st_size < 10**6
    for i in range(120):
        bomb(tmp_path / f"{i}.png", 9)
    names = ["bomb.png", *(f"{i}.png" for i in range(120))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readable = decode_all(FileSource(tmp_path, names), image_size=8)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    ((name, reason),) = readable.skipped
    assert name == "bomb.png"
    assert f"more than the {MOST_PIXELS:,}" in reason
    assert grown_kb < 200_000
    with pytest.raises(InputError, match="--max-image-pixels"):
        decode_all(FileSource(tmp_path, names[:3]), image_size=8)


def test_what_counts_as_readable_decides_on_the_cache(tmp_path: Path) -> None:
    bomb(tmp_path / "x.png", 9)
    source = FileSource(tmp_path, ["x.png"])
    other = source.with_most_pixels(50)
    assert source.fingerprint() != other.fingerprint()
    assert source.fingerprint() == source.with_most_pixels(MOST_PIXELS).fingerprint()
    assert other.pick(np.array([0])).fingerprint() == other.fingerprint()
    with pytest.raises(UnreadableImageError, match="more than the 50"):
        other.pick(np.array([0])).read(0, 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_lies_over_white_whatever_the_size_of_the_strips(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23, 4), np.uint8)
    image = Image.fromarray(pixels, "RGBA")
    if mode == "P":
        image = image.convert("RGB").convert("P")
        image.info["transparency"] = 3
    else:
        image = image.convert(mode)
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    whole = np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    for strip in (1, 23, 100, 10**6):
        monkeypatch.setattr("trainable.data.pixels.image_decode._STRIP_PIXELS", strip)
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), whole)


# What threads take together


def test_threads_wait_for_each_other_where_their_pictures_would_take_too_much() -> None:
    budget = DecodeBudget(100)
    lock = threading.Lock()
    now, most = 0, 0

    def decode(num_bytes: int) -> None:
        nonlocal now, most
        with budget.picture():
            budget.take(num_bytes)
            budget.take(num_bytes)  # Read once more, without its metadata.
            with lock:
                now += num_bytes
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= num_bytes

    sizes = [40, 30, 20, 60, 90, 10] * 8
    threads = [threading.Thread(target=decode, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert 90 <= most <= 100


def test_a_picture_that_needs_more_than_there_is_is_decoded_alone() -> None:
    budget = DecodeBudget(100)
    with budget.picture():
        budget.take(5000)
        done = threading.Event()

        def other() -> None:
            with budget.picture():
                budget.take(1)
                done.set()

        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.05)
    assert done.wait(30)
    thread.join()


def test_what_failed_gives_its_bytes_back_and_outside_nothing_is_taken() -> None:
    budget = DecodeBudget(100)

    def fail() -> None:
        with budget.picture():
            budget.take(100)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    budget.take(100)
    with budget.picture():
        budget.take(100)


def test_a_progressive_photo_takes_its_coefficients_too() -> None:
    drafted = bytes_of((100, 100), (800, 800), is_progressive=False)
    assert bytes_of((100, 100), (800, 800), is_progressive=True) == drafted + 3 * 800 * 800
