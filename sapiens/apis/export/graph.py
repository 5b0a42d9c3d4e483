"""The network of a model as one function of one tensor, with what surrounds it: normalisation before, decoding after."""

# B batch, K channels of the output, H W size of the image in pixels, h w of the network's output

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sapiens.frames import to_published
from sapiens.models import MAE, DenseEstimator, PoseEstimator, UDPHeatmap
from sapiens.models.codecs import udp_heatmap
from sapiens.models.layers import unit_vectors
from sapiens.models.layers.upsample import upsample

from .options import ExportOptions

__all__ = ['ExportGraph', 'Output', 'image_size', 'outputs_of']


@dataclass(frozen=True)
class Output:
    """One output of a graph: its name, and what it holds."""

    name: str
    meaning: str


# What models put out, by task: undecoded and decoded. The names are those of the graph.
TASKS = {
    'features': ((Output('features', '(B, C, h, w) float32 feature map of the last block'),), ()),
    'pose': (
        (Output('heatmaps', '(B, K, h, w) float32, one map for each keypoint'),),
        (
            Output(
                'keypoints',
                '(B, K, 2) float32 x, y in pixels of the crop, such that x / W, y / H are shares of its width and height: in the '
                'image a point is left + x / W * width, top + y / H * height of the box. Below 0 where a map has nothing above 0',
            ),
            Output('scores', '(B, K) float32, the value of the map there'),
        ),
    ),
    'sem_seg': (
        (Output('logits', '(B, K, h, w) float32, one score for each class'),),
        (Output('labels', '(B, H, W) uint8, number of the class'),),
    ),
    'depth': (
        (Output('raw_depth', "(B, 1, h, w) float32, the head's output"),),
        (Output('depth', '(B, 1, H, W) float32, {unit}'),),
    ),
    'normal': (
        (Output('raw_normals', '(B, 3, h, w) float32, not of length 1; x right, y up, z towards the camera'),),
        (Output('normals', '(B, 3, H, W) float32 unit vectors; x right, y down, z forward'),),
    ),
}


def task_of(model: nn.Module) -> str:
    """Key of :data:`TASKS`.

    Raises:
        ValueError: a model that has no export.
    """
    if isinstance(model, MAE):
        return 'features'
    if isinstance(model, PoseEstimator):
        return 'pose'
    if isinstance(model, DenseEstimator) and model.task.kind in TASKS:
        return model.task.kind
    what = f'{type(model).__name__}' + (f' with {type(model.task).__name__}' if hasattr(model, 'task') else '')
    raise ValueError(f'{what} cannot be exported: known are {", ".join(TASKS)}; see sapiens/apis/export/graph.py')


def outputs_of(model: nn.Module, decode: bool) -> tuple[Output, ...]:
    """Outputs of a graph, in order.

    Raises:
        ValueError: there is nothing to decode.
    """
    task = task_of(model)
    outputs = TASKS[task][decode]
    if not outputs:
        raise ValueError(f'{type(model).__name__} gives features: there is nothing to decode')
    unit = ''
    if task == 'depth':
        unit = (
            '0 the nearest and 1 the farthest pixel of the person'
            if model.task.relative
            else "unit of the training's labels"
        )
    return tuple(Output(output.name, output.meaning.format(unit=unit)) for output in outputs)


def image_size(model: nn.Module) -> tuple[int, int]:
    """(h, w) in pixels that a model was built for."""
    return tuple(model.backbone.img_size)


class ExportGraph(nn.Module):
    """``forward(inputs)`` from images (B, 3, H, W) to the outputs that :func:`outputs_of` names.

    The model becomes part of it and is changed: its weights get the dtype, its codec one that can be traced.

    Args:
        model: in evaluation mode, of the wanted size.
        options: what surrounds the network.
    """

    def __init__(self, model: nn.Module, options: ExportOptions) -> None:
        super().__init__()
        self.task, self.decode, self.preprocess = task_of(model), options.decode, options.preprocess
        outputs_of(model, options.decode)
        self.size = image_size(model)
        normalizer = model.data_preprocessor
        self.register_buffer('mean', normalizer.mean.clone())
        self.register_buffer('std', normalizer.std.clone())
        self.dtype = options.torch_dtype
        model.to(self.dtype)
        # What has no part in the graph would be in the file all the same, such as the decoder of pretraining.
        self.model = model.backbone if self.task == 'features' else model
        if self.task == 'pose' and options.decode:
            self.codec = traceable(model.codec)

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """A tensor where there is one output, a tuple where there are several; feature maps are a tuple of one, as published."""
        if self.preprocess:
            inputs = (inputs.float() - self.mean) / self.std
        if self.task == 'features':
            return (self.model.feature_map(inputs.to(self.dtype)).float(),)
        output = self.model(inputs.to(self.dtype)).float()
        if self.task == 'pose':
            output = self.model.loss_module.to_heatmaps(output)
        return self.decoded(output) if self.decode else output

    def decoded(self, output: Tensor) -> Tensor | tuple[Tensor, ...]:
        height, width = self.size
        if self.task == 'pose':
            return self.codec.decode(output, (width, height))
        output = upsample(output, (height, width))
        if self.task == 'sem_seg':
            return output.argmax(1).to(torch.uint8)
        if self.task == 'normal':
            return to_published(unit_vectors(output, dim=1), dim=1)
        return output


class WholeMapUDPHeatmap(UDPHeatmap):
    """The same decoding without a branch that depends on values: every map is blurred whole.

    That is the definition; :class:`UDPHeatmap` does it for the few maps only where blurring the neighbourhood of the highest cell
    could give another result.
    """

    def _blurred_neighbours(self, heatmaps: Tensor, cells: Tensor, peaks: Tensor) -> Tensor:
        border = self.blur_kernel_size // 2
        kernel = udp_heatmap._gaussian_kernel(self.blur_kernel_size, heatmaps)
        maps = heatmaps.flatten(0, 1)[:, None]
        maps = F.conv2d(maps, kernel[None, None, None], padding=(0, border))
        maps = F.conv2d(maps, kernel[None, None, :, None], padding=(border, 0))[:, 0].view(heatmaps.shape)
        values = self._replicate_border(udp_heatmap._patches(maps, cells, 1), cells, heatmaps.shape)
        return values * (peaks / maps.amax((-1, -2)))[..., None, None]


def traceable(codec) -> UDPHeatmap:
    """A codec with the same results that can be traced.

    Raises:
        ValueError: a codec that has none.
    """
    if type(codec) is not UDPHeatmap:
        raise ValueError(
            f'{type(codec).__name__} has no decoding that can be exported; leave decoding out of the graph'
        )
    return WholeMapUDPHeatmap(codec.sigma, codec.refine, codec.blur_kernel_size)
