"""torch's reader of checkpoint folders, which executes nothing."""

import io
import pickle
from pathlib import Path

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from sapiens.utils.checkpoint import check_description, diagnose

__all__ = ['SafeReader']


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
        except Exception as error:  # a damaged pickle raises any error
            raise ValueError(f'{folder} cannot be read: {diagnose(folder, error)}') from error
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def entries(self) -> dict[str, tuple[tuple, TensorStorageMetadata]]:
        """Keys in nested dicts, and description, of each tensor by its name."""
        metadata = self.read_metadata()
        return {name: (metadata.planner_data[name], entry) for name, entry in metadata.state_dict_metadata.items()}
