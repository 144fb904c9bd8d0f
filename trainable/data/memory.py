"""The memory that this process may use, and how much more a piece of work makes it take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ITSELF = Path("/proc/self")
_FORGET_PEAK = "5"
"""Written to ``clear_refs``, it makes the largest memory so far the present one (proc(5))."""


def memory_of_machine(root: Path = Path("/"), *, physical: int | None = None) -> int:
    """Bytes of memory that this process may use.

    The machine's, or the least that a control group on the way from its own up to the root allows,
    in version 2 (``memory.max``) or 1 (``memory.limit_in_bytes``). A container shows the way from
    outside where its own root is; then the groups that are there count.

    Args:
        root: Where ``proc`` and ``sys`` lie.
        physical: Bytes of the machine; None asks it.
    """
    if physical is None:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_limits(root)])


@dataclass(kw_only=True, slots=True)
class PeakMemory:
    """Memory beyond what a process held before; known once `measured` has ended.

    Attributes:
        num_bytes: Bytes of its own memory at the peak, without files that it maps (the code of
            libraries, cached images); 0 where the system does not tell.
    """

    num_bytes: int = 0


@contextmanager
def measured(process: Path = _ITSELF) -> Iterator[PeakMemory]:
    """Measure by how much the memory of this process grows within the context, at its peak.

    Args:
        process: Folder in which the system tells of this process.
    """
    found = PeakMemory()
    try:
        (process / "clear_refs").write_text(_FORGET_PEAK)
        before = _status(process)
    except OSError:
        # Not Linux, or a sandbox that shows no such file.
        yield found
        return
    yield found
    after = _status(process)
    # The peak counts mapped files too; they are taken at the end, for the most are mapped then.
    mapped = after.get("RssFile", 0) + after.get("RssShmem", 0)
    if {"VmHWM", "RssAnon"} <= after.keys() & before.keys():
        found.num_bytes = max(0, after["VmHWM"] - mapped - before["RssAnon"])


def _limits(root: Path) -> Iterator[int]:
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            # Beside version 1, version 2 has a place of its own.
            yield from _on_the_way(mounted, path, "memory.max")
            yield from _on_the_way(mounted / "unified", path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _on_the_way(mounted / "memory", path, "memory.limit_in_bytes")


def _on_the_way(mounted: Path, path: str, name: str) -> Iterator[int]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        text = _read(mounted.joinpath(*parts[:length], name)).strip()
        if text.isdecimal() and int(text) > 0:  # "max" is no limit.
            yield int(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _status(process: Path) -> dict[str, int]:
    """Read the sizes in bytes from ``status``, by name."""
    sizes = {}
    for line in (process / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdecimal():
            sizes[name] = 1024 * int(number)
    return sizes
