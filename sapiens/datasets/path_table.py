"""A list of paths as two tensors, which workers share without copies."""

import os
from array import array
from collections.abc import Iterable

import numpy as np
import torch

__all__ = ['PathTable']


class PathTable:
    """Strings packed end to end in one uint8 tensor, with int64 offsets.

    Each worker would copy a list of Python strings: reading one writes its reference count, which duplicates forked pages, and a
    spawned worker unpickles all of them. Tensors stay shared after a fork and are passed to spawned workers in shared memory. An
    entry costs its bytes and 8 more.

    Args:
        blob: uint8, all entries end to end, encoded as the file system does (``os.fsencode``).
        offsets: int64 of length n + 1; entry i is ``blob[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, blob: torch.Tensor, offsets: torch.Tensor):
        assert blob.dtype == torch.uint8 and offsets.dtype == torch.int64
        assert offsets[0] == 0 and offsets[-1] == len(blob)
        self.blob, self.offsets = blob, offsets

    @classmethod
    def from_strings(cls, strings: Iterable[str]) -> 'PathTable':
        """Pack strings one by one; a generator is never held as a list."""
        blob, offsets = bytearray(), array('q', [0])
        for string in strings:
            blob += os.fsencode(string)
            offsets.append(len(blob))
        # torch.frombuffer shares the memory of the two and refuses an empty one.
        data = torch.frombuffer(blob, dtype=torch.uint8) if blob else torch.empty(0, dtype=torch.uint8)
        return cls(data, torch.frombuffer(offsets, dtype=torch.int64))

    @classmethod
    def from_arrow(cls, column) -> 'PathTable':
        """Build from the buffers of a pyarrow string column (ChunkedArray). Raises ValueError if it has nulls."""
        import pyarrow as pa

        if column.null_count:
            raise ValueError(f'{column.null_count} of {len(column)} entries are null')
        blobs, offsets, end = [np.empty(0, np.uint8)], [np.zeros(1, np.int64)], 0
        for chunk in column.cast(pa.large_string()).chunks:
            if not len(chunk):
                continue
            _, positions, data = chunk.buffers()
            # A slice shares the buffers of the whole, from its own offset on.
            positions = np.frombuffer(positions, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            blobs.append(np.frombuffer(data or b'', np.uint8)[positions[0] : positions[-1]])
            offsets.append(positions[1:] - positions[0] + end)
            end += len(blobs[-1])
        return cls(torch.from_numpy(np.concatenate(blobs)), torch.from_numpy(np.concatenate(offsets)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f'entry {index} of a table of {len(self)}')
        begin, end = self.offsets[index : index + 2].tolist()
        return os.fsdecode(self.blob[begin:end].numpy().tobytes())

    @property
    def nbytes(self) -> int:
        return self.blob.numel() + 8 * self.offsets.numel()
