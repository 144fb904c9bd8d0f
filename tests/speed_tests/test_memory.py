"""Memory that is freed and needed again stays with the process, on the heap of the C library."""

import ctypes
import subprocess
import sys

import pytest

from trainable.speed.memory import keep_freed_memory

HAS_MALLINFO = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallinfo2")
COUNT = """
import ctypes, sys
import torch
from trainable.speed.memory import keep_freed_memory

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = mallinfo()
tensors = [torch.empty(31 * 2**18) for _ in range(10)]
held = mallinfo()
del tensors
print(held.hblks - before.hblks, (held.arena - mallinfo().arena) // 2**20)
"""
"""Ten tensors of 31 MiB: how many came from the system alone, and MiB of the heap given back."""


def counted(what: str) -> list[int]:
    finished = subprocess.run(
        [sys.executable, "-c", COUNT, what], capture_output=True, text=True, check=True
    )
    return [int(number) for number in finished.stdout.split()]


@pytest.mark.skipif(not HAS_MALLINFO, reason="Not the C library that is told to keep memory.")
def test_tensors_lie_on_a_heap_that_does_not_shrink() -> None:
    assert counted("as usual")[0] == 10
    assert counted("kept") == [0, 0]


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory.__wrapped__()
