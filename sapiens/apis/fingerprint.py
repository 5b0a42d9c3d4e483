"""Short texts that change when the content of a file or a config changes."""

import hashlib
import json
import os
from pathlib import Path

from mmengine.config import Config

from sapiens.tasks import members_of

from .loading.build import input_pipeline

__all__ = ['fingerprint', 'fingerprint_of_config']

WHOLE = 1 << 24  # bytes up to which a file is read as a whole
# Bytes at both ends of a larger one. The last ones list the checksums of all tensors in files of torch.save.
END = 1 << 20
BLOCKS, BLOCK = 128, 1 << 16  # number and bytes of the blocks between the ends


def fingerprint(path: str | Path) -> str:
    """Return a text for the content of a file or of all files of a folder.

    Of a large file the size, the ends and some blocks count: a training changes all of its weights.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob('*') if file.is_file())
        return _digest(*(f'{file.relative_to(path)} {fingerprint(file)}'.encode(errors='replace') for file in files))
    with open(path, 'rb') as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        parts = [str(size).encode(), file.read(WHOLE if size <= WHOLE else END)]
        if size > WHOLE:
            for index in range(BLOCKS):
                file.seek(END + (size - 2 * END - BLOCK) * index // BLOCKS)
                parts.append(file.read(BLOCK))
            file.seek(size - END)
            parts.append(file.read())
    return _digest(*parts)


def fingerprint_of_config(cfg: Config) -> str:
    """Return a text for the parts of a config that decide the results of inference."""
    pipelines = {name: input_pipeline(cfg, name) for name in members_of(cfg.model)}
    parts = dict(model=cfg.model, val_pipeline=pipelines or cfg.get('val_pipeline'))
    return _digest(
        json.dumps(parts, default=lambda value: getattr(value, '__qualname__', type(value).__qualname__)).encode()
    )


def _digest(*parts: bytes) -> str:
    return hashlib.blake2b(b''.join(parts), digest_size=8).hexdigest()
