"""Configs, images and weights so small that a model runs in milliseconds."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

ROOT = Path(__file__).parents[2]
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
LEAVES = {
    'pose': 'configs/pose/sapiens_tiny_synthetic17-128x96.py',
    'pose133': 'configs/pose/sapiens_tiny_synthetic133-128x96.py',
    'pose308': 'configs/pose/sapiens_tiny_synthetic308-128x96.py',
    'seg': 'configs/seg/sapiens_tiny_synthetic-128x96.py',
    'depth': 'configs/depth/sapiens_tiny_synthetic-128x96.py',
    'normal': 'configs/normal/sapiens_tiny_synthetic-128x96.py',
    'features': 'configs/mae/sapiens_tiny_synthetic-128x128.py',
}
SIZES = ((120, 90), (64, 200), (151, 97), (80, 80))  # (h, w)


def config(kind: str) -> Config:
    cfg = Config.fromfile(str(ROOT / LEAVES[kind]))
    cfg.model.backbone.arch = ARCH
    return cfg


def picture(size=(120, 90), seed=0) -> np.ndarray:
    """(H, W, 3) uint8 RGB, smooth with some structure."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [np.sin(x / (7 + seed + c) + c) * np.cos(y / (11 + seed - c)) for c in range(3)]
    return np.rint(127 + 90 * np.stack(waves, -1)).astype(np.uint8)


def write_pictures(folder: Path, sizes=SIZES, suffix='.png') -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{index}{suffix}' for index in range(len(sizes))]
    for index, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        Image.fromarray(picture(size, index)).save(path)
    return paths


def lively(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights large enough that outputs differ between images: initial heads are near zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return network
