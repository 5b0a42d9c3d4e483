"""Options of an export, and the allowed differences from the eager model."""

from dataclasses import dataclass

import torch

from sapiens.utils.device import DTYPES

__all__ = ['FORMATS', 'TOLERANCES', 'ExportOptions', 'Tolerance']

# Format -> ending of its files; {dtype} is PyTorch's name. Those of TorchScript and torch.export are the published ones.
FORMATS = {
    'torchscript': '_torchscript.pt2',
    'export': '_{dtype}.pt2',
    'onnx': '.onnx',
    'safetensors': '.safetensors',
    'clean': '_clean.pth',
}
GRAPHS = ('torchscript', 'export', 'onnx')
PREPROCESS = (None, 'uint8', 'float')


@dataclass(frozen=True)
class Tolerance:
    """Bounds on the difference to the eager float32 model, as fractions of the range (highest - lowest value) of its output."""

    largest: float
    mean: float


# Formats alone differ by rounding (fp32). The others allow for their precision, at the depth of the published models.
TOLERANCES = {
    'fp32': Tolerance(largest=1e-4, mean=1e-5),
    'fp16': Tolerance(largest=1e-2, mean=1e-3),
    'bf16': Tolerance(largest=1e-1, mean=1e-2),
    'int8': Tolerance(largest=2e-1, mean=2e-2),
}


@dataclass(frozen=True)
class ExportOptions:
    """What to write.

    Args:
        format: one of :data:`FORMATS`.
        dtype: of the weights and of the network, one of :data:`DTYPES`. Normalization, decoding, inputs and outputs are float32.
        size: (h, w) in pixels, multiples of the patch size; the config's by default. The position embedding is resized once,
            before writing.
        dynamic_batch: take any number of images, instead of 1.
        preprocess: normalize in the graph: ``'uint8'`` or ``'float'`` RGB of 0-255. None takes normalized float32.
        decode: end with decoded outputs (keypoints, labels, ...) instead of the head's output.
        int8: dynamic quantization of the linear layers, for CPUs.
        dynamic_size: take images of any size that the patches tile, of 2 patches or more on each side. ``torch.export`` only: it
            computes in the graph what depends on the size, such as rotary angles, which are constants in the other formats.

    Raises:
        ValueError: an unknown value, or an option that the format does not have.
    """

    format: str
    dtype: str = 'fp32'
    size: tuple[int, int] | None = None
    dynamic_batch: bool = False
    preprocess: str | None = None
    decode: bool = False
    int8: bool = False
    dynamic_size: bool = False

    def __post_init__(self) -> None:
        for key, known in (('format', FORMATS), ('dtype', DTYPES), ('preprocess', PREPROCESS)):
            if getattr(self, key) not in known:
                raise ValueError(f'{key}={getattr(self, key)!r} is not one of {", ".join(map(str, known))}')
        if not self.is_graph:
            for key in ('dynamic_batch', 'dynamic_size', 'preprocess', 'decode', 'int8'):
                if getattr(self, key):
                    raise ValueError(
                        f'{key} has no place in {self.format!r}, which holds weights only; formats with a graph are '
                        f'{", ".join(GRAPHS)}'
                    )
        if self.dynamic_size and self.is_graph and self.format != 'export':
            raise ValueError(
                f"dynamic_size is an option of 'export': graphs of {self.format!r} hold the positions of the patches of one "
                'size as constants; write one file for each size'
            )
        if self.int8 and self.dtype != 'fp32':
            raise ValueError(f'int8 quantizes a float32 model; leave dtype={self.dtype!r} out')
        if self.int8 and self.format == 'export':
            raise ValueError(
                "int8 is written as 'torchscript' or 'onnx': torch.export has no dynamic quantization itself"
            )
        if self.format == 'onnx' and self.dtype == 'bf16':
            raise ValueError(
                'onnxruntime computes bf16 on no CPU, so the file could not be checked here: use fp16 or fp32 for onnx, '
                'or bf16 with export'
            )

    @property
    def is_graph(self) -> bool:
        return self.format in GRAPHS

    @property
    def is_lossy(self) -> bool:
        """Whether the graph computes with less precision than float32."""
        return self.int8 or self.dtype != 'fp32'

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def tolerance(self) -> Tolerance:
        return TOLERANCES['int8' if self.int8 else self.dtype]

    def file_name(self, stem: str) -> str:
        """Name of the file for a model called ``stem``: format, and options that differ from the default."""
        parts = (
            self.size and f'{self.size[0]}x{self.size[1]}',
            self.dynamic_size and 'any-size',
            self.preprocess and f'from-{self.preprocess}',
            self.decode and 'decoded',
            self.int8 and 'int8',
            self.dtype != 'fp32' and self.format != 'export' and self.dtype,
        )
        return '_'.join([stem, *filter(None, parts)]) + FORMATS[self.format].format(
            dtype=str(self.torch_dtype).removeprefix('torch.')
        )
