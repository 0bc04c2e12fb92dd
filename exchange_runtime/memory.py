"""Keeps the C allocator from holding on to the memory of large blocks.

glibc raises its threshold for mmap as large blocks are freed, after which blocks of 8 MiB come from
arenas that fragment and hardly shrink: the process would hold several times what the budgets
allow. A fixed threshold turns this off (mallopt(3)).
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def bound_allocator() -> None:
    """Set it up, once, before the first thread starts; does nothing where libc is not glibc."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 256 * 1024)
    mallopt(_M_TRIM_THRESHOLD, 1024 * 1024)
    mallopt(_M_ARENA_MAX, 2)
