"""How much memory a piece of work takes, by what Linux tells of a process."""

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from trainable.data.memory import measured

MB = 10**6


def told(process: Path, **sizes: int) -> None:
    """What ``/proc/self/status`` holds, sizes in kB, among other lines."""
    lines = ["Name:\tpython", "Threads:\t3", *(f"{k}:\t  {v} kB" for k, v in sizes.items())]
    (process / "status").write_text("\n".join(lines) + "\n")


def test_the_growth_at_the_peak_counts_without_mapped_files(tmp_path: Path) -> None:
    told(tmp_path, VmHWM=900, RssAnon=500, RssFile=300, RssShmem=100)
    with measured(tmp_path) as peak:
        # 400 kB more of libraries, 50 more of shared memory; at the peak 1,000 of its own.
        told(tmp_path, VmHWM=1850, RssAnon=600, RssFile=700, RssShmem=150)
    assert peak.num_bytes == (1000 - 500) * 1024
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_memory_that_shrinks_is_no_growth(tmp_path: Path) -> None:
    told(tmp_path, VmHWM=900, RssAnon=500, RssFile=300, RssShmem=0)
    with measured(tmp_path) as peak:
        told(tmp_path, VmHWM=700, RssAnon=300, RssFile=300, RssShmem=0)
    assert peak.num_bytes == 0


def test_a_system_that_does_not_tell_is_no_reason_to_stop(tmp_path: Path) -> None:
    with measured(tmp_path / "none") as peak:
        pass
    assert peak.num_bytes == 0
    told(tmp_path, VmRSS=100)
    with measured(tmp_path) as peak:
        pass
    assert peak.num_bytes == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_array_that_was_there_for_a_moment_is_counted() -> None:
    # In pages of its own: what an earlier test freed may still be there, and would be no growth.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with measured() as peak, mmap.mmap(-1, 100 * MB, flags=private) as pages:
        np.frombuffer(pages, np.uint8)[:] = 1
    if peak.num_bytes == 0:
        pytest.skip("this sandbox does not tell the peak")
    assert 95 * MB < peak.num_bytes < 200 * MB
