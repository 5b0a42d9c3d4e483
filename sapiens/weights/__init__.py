"""Weights of this project that are part of the package: small, under its license, usable without a network.

``NAME.safetensors`` are weights in half precision, and ``NAME.json`` is their card: data and licenses, commands, commit, hours,
numbers, limits, the checksum of the file, and what it predicts for the pictures of the package. Weights of several tasks may
share the file of an encoder. Which names there are says ``sapiens/checkpoints/zoo.json``.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

__all__ = ['FOLDER', 'LARGEST', 'LARGEST_TOGETHER', 'check_files', 'read_card', 'sha256_of', 'weights_folder']

FOLDER: Path | None = None
"""Instead of the folder in the package, for tests."""
LARGEST, LARGEST_TOGETHER = 6 << 20, 25 << 20
"""Bytes of a file, and of all of them: the package stays small."""


def weights_folder() -> Path:
    """The folder of the files."""
    return Path(str(files(__name__))) if FOLDER is None else FOLDER


def read_card(name: str) -> dict[str, Any]:
    """The card of weights; see :func:`sapiens.own_weights.pack` for its keys.

    Raises:
        FileNotFoundError: the weights are not in this version of the package.
        ValueError: the card is no JSON object.
    """
    path = weights_folder() / f'{name}.json'
    if not path.is_file():
        raise FileNotFoundError(f'{name} is not in this version of the package: there is no {path}')
    card = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(card, Mapping) or not isinstance(card.get('files'), Mapping):
        raise ValueError(f'{path}: expected an object with "files", {{name: sha256}}')
    return dict(card)


def sha256_of(path: str | Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def check_files(name: str) -> list[str]:
    """Faults of the files of weights against their card, one line each: missing, too large, of another checksum.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_card`.
    """
    faults = []
    for file, expected in read_card(name)['files'].items():
        path = weights_folder() / file
        if not path.is_file():
            faults.append(f'{name}: {path} is missing')
            continue
        if path.stat().st_size > LARGEST:
            faults.append(f'{name}: {file} has {path.stat().st_size} bytes, more than {LARGEST}')
        if (found := sha256_of(path)) != expected:
            faults.append(f'{name}: {file} has the sha256 {found}, its card says {expected}')
    return faults
