"""How the process gets the memory of its tensors on CPUs: set on import, before the first allocation.

What a step frees, the next one needs again. By default the C library gives it back to the kernel in between, which clears every
page each time: a seventh of a small model's step (docs/performance.md).

Huge pages and keeping belong together. A block at the usual alignment of 64 bytes leaves a splinter in front, which glibc sets
aside: the hole of a freed block is then a few bytes too small for the next one of its size, and the heap grows instead. Blocks
for huge pages begin on a page, and are used again where they are.
"""

import ctypes
import os

__all__ = ['keep_tensor_memory']

# The user's own settings of the C library's allocator; where there are any, ours would contradict them.
OWN_SETTINGS = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')

# mallopt's options, and what is kept: blocks up to the size from which the kernel's own mapping costs little beside the work on
# them, and as much freed memory as a small step uses. Larger blocks are mapped and unmapped, so a large model's memory is
# given back as before.
M_TRIM_THRESHOLD, KEPT = -1, 1 << 30
M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK = -3, 32 << 20


def keep_tensor_memory(environment: dict[str, str] = os.environ) -> bool:
    """Large tensors on huge pages, and freed memory kept for the next step.

    ``SAPIENS_MEMORY=default`` leaves everything as it is; ``THP_MEM_ALLOC_ENABLE``, torch's variable for huge pages, and the C
    library's own variables are respected.

    Returns:
        Whether freed memory is kept: only with glibc and huge pages, and where the user has not set the allocator.

    Raises:
        ValueError: another value of ``SAPIENS_MEMORY``.
    """
    wanted = environment.get('SAPIENS_MEMORY', 'keep')
    if wanted not in ('keep', 'default'):
        raise ValueError(f"environment variable SAPIENS_MEMORY={wanted!r} is neither 'keep' nor 'default'")
    if wanted == 'default':
        return False
    # A hundredth of the page faults; torch looks at this when it allocates for the first time.
    on_huge_pages = environment.setdefault('THP_MEM_ALLOC_ENABLE', '1') == '1'
    set_by_user = any(name in environment for name in OWN_SETTINGS) or 'malloc' in environment.get(
        'GLIBC_TUNABLES', ''
    )
    if not on_huge_pages or set_by_user:
        return False
    try:
        libc = ctypes.CDLL('libc.so.6')
        mallopt = libc.mallopt
    except (OSError, AttributeError):  # macOS, Windows, musl
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK))
