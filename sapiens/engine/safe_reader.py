"""torch's reader of checkpoint folders, which executes nothing."""

import io
import math
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from sapiens.utils.checkpoint import check_description, diagnose

__all__ = ['SafeReader', 'TensorsOnly']


class TensorsOnly(dcp.DefaultLoadPlanner):
    """Loads tensors. torch unpickles other entries without limits."""

    def load_bytes(self, read_item, value) -> None:
        raise ValueError(f'the entry {read_item.dest_index.fqn} is not a tensor')


class SafeReader(dcp.FileSystemReader):
    """Reads tensors of a folder of ``torch.distributed.checkpoint``.

    torch unpickles ``.metadata`` without limits. Here a restricted reader opens the same bytes first.

    Raises:
        ValueError: in reading, for a folder that is damaged, asks to run code, or refers to files outside of it.
    """

    def read_metadata(self, *args, **kwargs) -> Metadata:
        folder = Path(self.path)
        try:
            content = (folder / '.metadata').read_bytes()
            check_description(folder, content)
            metadata = pickle.load(io.BytesIO(content))
            _require_tensors(metadata, folder)
        except Exception as error:  # a damaged pickle raises any error
            raise ValueError(f'{folder} cannot be read: {diagnose(folder, error)}') from error
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def entries(self) -> dict[str, tuple[tuple, TensorStorageMetadata]]:
        """Keys in nested dicts, and description, of each tensor by its name."""
        metadata = self.read_metadata()
        return {name: (metadata.planner_data[name], entry) for name, entry in metadata.state_dict_metadata.items()}

    def parts(self) -> set[str]:
        """Names of the files that hold tensors."""
        return {str(info.relative_path) for info in self.read_metadata().storage_data.values()}

    def verify(self) -> None:
        """Check the checksums of all pieces of tensors, which takes as long as reading them.

        Raises:
            ValueError: a piece is damaged.
        """
        parts: dict[str, list] = {}
        for info in self.read_metadata().storage_data.values():
            parts.setdefault(info.relative_path, []).append(info)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # checksums need no interpreter
            for name, is_intact in zip(parts, pool.map(self._is_intact, parts.values()), strict=True):
                if not is_intact:
                    raise ValueError(f'{self.path} cannot be read: its part {name} is damaged (checksum)')

    def _is_intact(self, pieces: list) -> bool:
        with open(Path(self.path) / pieces[0].relative_path, 'rb') as file:
            for piece in sorted(pieces, key=lambda piece: piece.offset):
                file.seek(piece.offset)
                try:
                    with zipfile.ZipFile(io.BytesIO(file.read(piece.length))) as archive:
                        if archive.testzip():
                            return False
                except zipfile.BadZipFile:
                    return False
        return True


def _require_tensors(metadata: Metadata, folder: Path) -> None:
    """Check the objects themselves: the restricted reader does not see how they are filled."""
    described = 0
    for name, entry in metadata.state_dict_metadata.items():
        if type(entry) is not TensorStorageMetadata:
            raise ValueError(f'its entry {name} is not a tensor')
        if name not in (metadata.planner_data or {}):
            raise ValueError(f'its entry {name} has no keys')
        described += math.prod(entry.size) * entry.properties.dtype.itemsize
    parts = {str(info.relative_path) for info in metadata.storage_data.values()}
    held = sum((folder / name).stat().st_size for name in parts)
    if described > held:  # memory is allocated by this description
        raise ValueError(f'it describes tensors of {described:,} bytes, and its parts hold {held:,}')
    for info in metadata.storage_data.values():
        path = Path(info.relative_path)
        if path.is_absolute() or '..' in path.parts:
            raise ValueError(f'its part {info.relative_path} lies outside the folder')
        if info.transform_descriptors:
            raise ValueError('its pieces are compressed or encrypted: not supported')
