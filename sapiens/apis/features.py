"""Features of images from a pretrained encoder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sapiens.datasets.base import build_pipeline
from sapiens.datasets.transforms.decoding import SUFFIXES, BadImage
from sapiens.registry import MODELS
from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.utils.device import pick_device

__all__ = ['extract_features', 'find_images', 'load_encoder']


def load_encoder(
    cfg: Config,
    checkpoint: str | None = None,
    device: str = 'auto',
    out_type: str = 'featmap',
    out_indices: int | Sequence[int] = -1,
) -> nn.Module:
    """The encoder of a config, with its data preprocessor as ``encoder.normalizer``, ready for inference.

    Args:
        cfg: a config whose ``model`` has a ``backbone``.
        checkpoint: weights of the whole model or of the encoder, a file or the name of a published model; random weights
            without.
        device: ``'auto'``, ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``.
        out_type: ``'featmap'`` (C, h, w), ``'raw'`` (tokens, C), or ``'cls_token'`` (C).
        out_indices: blocks whose output is wanted; negative ones count from the end.
    """
    options = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
    encoder = MODELS.build(dict(options, out_type=out_type, out_indices=out_indices))
    if checkpoint:
        load_state(encoder, read_checkpoint(checkpoint).state_dict)
    else:
        encoder.init_weights()
    encoder.normalizer = MODELS.build(cfg.model.get('data_preprocessor') or dict(type='ImageNormalizer'))
    return encoder.to(pick_device(device)).eval().requires_grad_(False)


def find_images(source: str | Path) -> list[Path]:
    """Image files of a folder (at any depth, sorted), of a text list of paths, or the one file given.

    Raises:
        FileNotFoundError, ValueError: where there is none.
    """
    source = Path(source).expanduser()
    if source.is_dir():
        paths = sorted(path for path in source.rglob('*') if path.suffix.lower() in SUFFIXES and path.is_file())
    elif source.suffix == '.txt' and source.is_file():
        lines = (line.strip() for line in source.read_text().splitlines())
        paths = [source.parent / line for line in lines if line]
    elif source.is_file():
        paths = [source]
    else:
        raise FileNotFoundError(f'{source} is neither a folder, nor an image, nor a .txt list of paths')
    if not paths:
        raise ValueError(f'no images in {source}: no file ends in one of {", ".join(SUFFIXES)}')
    return paths


class _Images(Dataset):
    """(position, pixels or the reason why there are none) of each path."""

    def __init__(self, paths: Sequence[Path], pipeline: list) -> None:
        self.paths, self.pipeline = paths, build_pipeline(pipeline)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            return index, self.pipeline(dict(img_path=str(self.paths[index]), sample_idx=index))['inputs']
        except BadImage as error:
            return index, str(error)


@torch.inference_mode()
def extract_features(
    encoder: nn.Module,
    paths: Sequence[Path],
    pipeline: list,
    batch_size: int = 8,
    num_workers: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[Path, list[Tensor] | str]]:
    """Yield (path, features) in order; features are one tensor per entry of ``out_indices``, on the CPU.

    A file that cannot be read yields the reason (a string) instead.

    Args:
        encoder: from :func:`load_encoder`.
        pipeline: transforms from path to ``inputs`` of one size, as in a config's ``val_pipeline``.
        dtype: float32, or bfloat16 / float16 for autocast on the device; the features have this type too.
    """
    device = next(encoder.parameters()).device
    loader = DataLoader(_Images(paths, pipeline), batch_size, num_workers=num_workers, collate_fn=list)
    for batch in loader:
        good = [(index, image) for index, image in batch if not isinstance(image, str)]
        features = {}
        if good:
            images = encoder.normalizer.normalize(torch.stack([image for _, image in good]))
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                outputs = [output.to(dtype).cpu() for output in encoder(images)]
            features = {index: [output[row] for output in outputs] for row, (index, _) in enumerate(good)}
        for index, image in batch:
            yield paths[index], features.get(index, image)
