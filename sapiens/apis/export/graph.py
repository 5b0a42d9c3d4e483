"""A model as one function of one tensor: normalization, network, decoding."""

# B batch, K channels of the output, H W size of the image in pixels, h w of the network's output

from torch import Tensor, nn

from sapiens.models import DenseEstimator, PoseEstimator, UDPHeatmap
from sapiens.models.codecs import udp_heatmap

from .options import ExportOptions
from .outputs import field_names, outputs_of

__all__ = ['ExportGraph', 'image_size']


def image_size(model: nn.Module) -> tuple[int, int]:
    """(h, w) in pixels that a model is built for."""
    return tuple(model.backbone.img_size)


def as_float(output: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    """The output of a network in float32."""
    return {name: value.float() for name, value in output.items()} if isinstance(output, dict) else output.float()


class ExportGraph(nn.Module):
    """``forward(inputs)`` from images (B, 3, H, W) to the outputs that :func:`outputs_of` names.

    The model becomes part of the graph and is changed: its weights get the dtype, its codec one that can be traced.

    Args:
        model: in evaluation mode, of the wanted size.
        options: what the graph contains in addition to the network.
    """

    def __init__(self, model: nn.Module, options: ExportOptions) -> None:
        super().__init__()
        outputs_of(model, options.decode)
        self.decode, self.preprocess, self.size = options.decode, options.preprocess, image_size(model)
        self.is_pose, self.is_dense = isinstance(model, PoseEstimator), isinstance(model, DenseEstimator)
        normalizer = model.data_preprocessor
        self.register_buffer('mean', normalizer.mean.clone())
        self.register_buffer('std', normalizer.std.clone())
        self.dtype = options.torch_dtype
        model.to(self.dtype)
        # Parts outside the graph, such as the decoder of pretraining, would be in the file too.
        self.model = model if self.is_pose or self.is_dense else model.backbone
        if self.is_pose and options.decode:
            self.codec = traceable(model.codec)
        if self.is_dense:
            self.names = list(field_names(model, options.decode).values())

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """A tensor where there is one output, else a tuple; feature maps are a tuple of one, as published."""
        if self.preprocess:
            inputs = (inputs.float() - self.mean) / self.std
        inputs = inputs.to(self.dtype)
        if self.is_pose:
            heatmaps = self.model.loss_module.to_heatmaps(self.model(inputs).float())
            return self.codec.decode(heatmaps, self.size[::-1]) if self.decode else heatmaps
        if not self.is_dense:
            return (self.model.feature_map(inputs).float(),)
        output, task = self.model(inputs), self.model.task
        output = as_float(output)
        named = task.decode(output, self.size) if self.decode else task.named(output)
        values = tuple(named[name] for name in self.names)
        return values if len(values) > 1 else values[0]


class WholeMapUDPHeatmap(UDPHeatmap):
    """The same decoding without a branch that depends on values: every map is blurred as a whole.

    That is the definition. :class:`UDPHeatmap` does it only for the few maps where blurring the neighborhood of the highest cell
    could give another result.
    """

    def _blurred_neighbors(self, heatmaps: Tensor, cells: Tensor, peaks: Tensor) -> Tensor:
        kernel = udp_heatmap.gaussian_kernel(self.blur_kernel_size, heatmaps)
        maps = udp_heatmap.gaussian_blur(heatmaps.flatten(0, 1), kernel).view(heatmaps.shape)
        values = self._replicate_border(udp_heatmap._patches(maps, cells, 1), cells, heatmaps.shape)
        return values * (peaks / maps.amax((-1, -2)))[..., None, None]


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
