"""A model as one function of one tensor: normalization, network, decoding."""

# B batch, K channels of the output, H W size of the image in pixels, h w of the network's output

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from sapiens.models import BoxEstimator, DenseEstimator, PoseEstimator, UDPHeatmap
from sapiens.models.codecs import udp_heatmap
from sapiens.tasks import members_of

from .options import ExportOptions
from .outputs import field_names, outputs_of

__all__ = ['ExportGraph', 'image_size']

MIN_GRID = 2  # patches on a side of the smallest image that a graph of any size takes; some heads need more


def image_size(model: nn.Module) -> tuple[int, int]:
    """(h, w) in pixels that a model is built for."""
    return tuple(model.backbone.img_size)


def as_float(output: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    """The output of a network in float32."""
    return {name: value.float() for name, value in output.items()} if isinstance(output, dict) else output.float()


class ExportGraph(nn.Module):
    """``forward(inputs)`` from images (B, 3, H, W) to the outputs that :func:`outputs_of` names.

    The model becomes part of the graph and is changed: its weights get the dtype, its codec one that can be traced, and in ONNX
    its norms of lower precision are computed in float32.

    Args:
        model: in evaluation mode, of the wanted size.
        options: what the graph contains in addition to the network.
    """

    def __init__(self, model: nn.Module, options: ExportOptions) -> None:
        super().__init__()
        outputs_of(model, options.decode)
        self.decode, self.preprocess, self.size = options.decode, options.preprocess, image_size(model)
        self.dynamic_size, self.patch_size = options.dynamic_size, model.backbone.patch_size
        normalizer = model.data_preprocessor
        self.register_buffer('mean', normalizer.mean.clone())
        self.register_buffer('std', normalizer.std.clone())
        self.dtype = options.torch_dtype
        model.to(self.dtype)
        if options.format == 'onnx' and self.dtype != torch.float32:
            replace_instance_norms(model)
        # Models of single tasks by name; None for one. Parts outside the graph, such as the decoder of pretraining, would be in
        # the file too.
        members = members_of(model)
        self.heads = list(members) or [None]
        whole = members or isinstance(model, PoseEstimator | DenseEstimator | BoxEstimator)
        self.model = model if whole else model.backbone
        self.codecs, self.names, self.min_grid = {}, {}, MIN_GRID
        for head in self.heads:
            part = members.get(head, model)
            self.min_grid = max(self.min_grid, getattr(getattr(part, 'head', None), 'min_grid', MIN_GRID))
            if isinstance(part, PoseEstimator) and options.decode:
                self.codecs[head] = traceable(part.codec)
            elif isinstance(part, DenseEstimator):
                self.names[head] = list(field_names(part, options.decode).values())
        grid = model.backbone.grid_of(*self.size)
        if self.dynamic_size and min(grid) < self.min_grid:
            raise ValueError(
                f'dynamic_size: the graph needs {self.min_grid} patches or more on each side, but an image of {self.size} '
                f'has {grid}; set a larger size'
            )

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """A tensor where there is one output, else a tuple; feature maps are a tuple of one, as published."""
        inputs = self._to_network(inputs)
        size = tuple(inputs.shape[-2:]) if self.dynamic_size else self.size
        if not isinstance(self.model, BaseModel):
            return (self.model.feature_map(inputs).float(),)
        outputs, values = self.model(inputs), []
        for head in self.heads:
            part = self.model if head is None else self.model.tasks[head]
            values += self._values(head, part, outputs if head is None else outputs[head], size)
        return tuple(values) if len(values) > 1 else values[0]

    def _to_network(self, inputs: Tensor) -> Tensor:
        if self.preprocess:
            inputs = (inputs.float() - self.mean) / self.std
        return inputs.to(self.dtype)

    @torch.no_grad()
    def heatmaps(self, inputs: Tensor) -> dict[str | None, Tensor]:
        """Heatmaps (B, K, h, w) before decoding, of each head that has some."""
        outputs = self.model(self._to_network(inputs)) if self.codecs else {}
        parts = {head: self.model if head is None else self.model.tasks[head] for head in self.codecs}
        return {
            head: part.loss_module.to_heatmaps((outputs if head is None else outputs[head]).float())
            for head, part in parts.items()
        }

    def _values(
        self, head: str | None, part: nn.Module, output: Tensor | dict[str, Tensor], size: tuple
    ) -> list[Tensor]:
        """Outputs of the graph from that of a head."""
        if isinstance(part, PoseEstimator):
            heatmaps = part.loss_module.to_heatmaps(output.float())
            return [*self.codecs[head].decode(heatmaps, size[::-1])] if self.decode else [heatmaps]
        output = as_float(output)
        if isinstance(part, BoxEstimator):
            return [*part.decode(output, size[::-1])] if self.decode else [output]
        named = part.task.decode(output, size) if self.decode else part.task.named(output)
        return [named[name] for name in self.names[head]]


class Float32Norm(nn.Module):
    """An instance norm in float32 for maps of lower precision, visible in the graph.

    PyTorch's kernels sum in float32 by themselves, and so do its RMS and layer norms, in every format. The operator of ONNX does
    what its runtime likes, in the type of its input: in float16 the squares of values above 255 overflow.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.float()).to(x.dtype)


def replace_instance_norms(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.InstanceNorm2d) and not child.affine and not child.track_running_stats:
                setattr(parent, name, Float32Norm(child))


class WholeMapUDPHeatmap(UDPHeatmap):
    """The same decoding without a branch that depends on values: every map is blurred as a whole.

    That is the definition. :class:`UDPHeatmap` does it only for the few maps where blurring the neighborhood of the highest cell
    could give another result.
    """

    def _blurred_neighbors(self, heatmaps: Tensor, cells: Tensor, peaks: Tensor) -> Tensor:
        kernel = udp_heatmap.gaussian_kernel(self.blur_kernel_size, heatmaps)
        maps = udp_heatmap.gaussian_blur(heatmaps.flatten(0, 1), kernel).view(heatmaps.shape)
        values = self._replicate_border(udp_heatmap._patches(maps, cells, 1), cells, heatmaps.shape)
        return values * udp_heatmap.rescaling(peaks, maps.amax((-1, -2)))[..., None, None]


def traceable(codec) -> UDPHeatmap:
    """A codec with the same results that can be traced.

    Raises:
        ValueError: there is none.
    """
    if type(codec) is not UDPHeatmap:
        raise ValueError(
            f'{type(codec).__name__} has no decoding that can be exported; leave decoding out of the graph'
        )
    return WholeMapUDPHeatmap(codec.sigma, codec.refine, codec.blur_kernel_size)
