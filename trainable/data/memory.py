"""The memory that this process may use, by the machine and by its control groups."""

import os
from collections.abc import Iterator
from pathlib import Path


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
