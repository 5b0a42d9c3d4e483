"""Memory of CPU tensors in training: huge pages, and freed memory kept by the process.

By default the C library returns freed memory to the kernel, which clears every page before the next step uses it again. That
takes a seventh of a small model's step (docs/performance.md).

Both settings are needed. Blocks aligned to 64 bytes leave a splinter in front, which makes the hole of a freed block a few bytes
too small for the next block of its size, and the heap grows. Blocks for huge pages begin on a page and are reused in place.
"""

import ctypes
import os

__all__ = ['keep_tensor_memory']

# The user's own settings of the C library's allocator take precedence.
OWN_SETTINGS = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')

# Options of mallopt. Kept is as much freed memory as a small step uses, in blocks up to the size from which mapping costs little
# compared with the work on them. Larger blocks are mapped and unmapped as before.
M_TRIM_THRESHOLD, KEPT = -1, 1 << 30
M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK = -3, 32 << 20


def keep_tensor_memory(environment: dict[str, str] = os.environ) -> bool:
    """Put large tensors on huge pages, and keep freed memory for the next step. Call it before torch allocates.

    ``SAPIENS_MEMORY=default`` changes nothing. ``THP_MEM_ALLOC_ENABLE``, torch's variable for huge pages, and the C library's own
    variables are respected.

    Returns:
        Whether freed memory is kept. This needs glibc, huge pages, and no allocator settings of the user.

    Raises:
        ValueError: for another value of ``SAPIENS_MEMORY``.
    """
    wanted = environment.get('SAPIENS_MEMORY', 'keep')
    if wanted not in ('keep', 'default'):
        raise ValueError(f"environment variable SAPIENS_MEMORY={wanted!r} is neither 'keep' nor 'default'")
    if wanted == 'default':
        return False
    # A hundredth of the page faults. torch reads this at its first allocation.
    on_huge_pages = environment.setdefault('THP_MEM_ALLOC_ENABLE', '1') == '1'
    tunables = environment.get('GLIBC_TUNABLES', '')
    set_by_user = any(name in environment for name in OWN_SETTINGS) or 'malloc' in tunables
    if not on_huge_pages or set_by_user:
        return False
    try:
        libc = ctypes.CDLL('libc.so.6')
        mallopt = libc.mallopt
    except (OSError, AttributeError):  # macOS, Windows, musl
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK))
