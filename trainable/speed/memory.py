"""Memory that a training process frees and needs again a moment later, kept and in large pages.

By default glibc hands much of what is freed back to the system, and each training step gets its
activations anew, as pages of 4 KiB that the kernel first has to find and to fill with zeros: 5 to
13 % of a step of small images on a CPU. Pages of 2 MiB make the memory that is kept faster to
reach, by another 5 to 10 %.
"""

import ctypes
import mmap
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's ``malloc.h``."""
_MOST_BYTES = 2**31 - 1
"""Thresholds are of type ``int``."""
_LARGEST_KEPT_BYTES = 2**25
"""Blocks above it still come from the system and go back to it. Kept ones that are a little too
small for the next tensor lie idle, which with such blocks would add up to gigabytes; and the steps
that need them compute for so long that new pages hardly matter. Also the most that glibc before
2.35 accepts."""
_BLOCK_BYTES, _NUM_BLOCKS = 2**24, 64


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, for the rest of the process.

    A process then holds as much as it ever needed at once, which a training run needs again in the
    next step.

    Returns:
        Whether there is a C library that can be told so; if not, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):  # musl has none.
        return False
    library.mallopt(_M_TRIM_THRESHOLD, _MOST_BYTES)
    library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
    _ask_for_large_pages(library)
    return True


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """Grow the heap by a gigabyte that nothing uses yet, and mark it; only what is used costs."""
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    blocks = sorted(filter(None, (library.malloc(_BLOCK_BYTES) for _ in range(_NUM_BLOCKS))))
    for block in blocks:
        start = block // mmap.PAGESIZE * mmap.PAGESIZE  # The heap begins and ends with a page.
        # Where the kernel has no large pages this fails, and everything stays as it was.
        library.madvise(start, block + _BLOCK_BYTES - start, mmap.MADV_HUGEPAGE)
        library.free(block)
