"""Predictors with the processing of transformers (:class:`sapiens.apis.huggingface.ImageProcessor`), from image to result.

They differ from the published processing by the interpolation of inputs and of results, by their rounding, and by the flip test,
which is off unless it is asked for, as in transformers (docs/differences.md).
"""

# H W size of an image, h w size of the network's input

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmpose.structures import PoseDataSample
from torch import Tensor

from sapiens.checkpoints import is_huggingface_folder
from sapiens.frames import to_published
from sapiens.models.layers.upsample import upsample
from sapiens.structures import DenseDataSample
from sapiens.utils.pinhole import MIN_SCALE

from ..huggingface import ImageProcessor
from ..huggingface.geometry import letterbox
from ..loading.build import build_model
from ..preprocess import WholeInput, build_input, make_person
from .base import Predictor
from .dense import DensePredictor
from .pointmap import PointmapPredictor, estimated_camera
from .pose import PosePredictor

__all__ = ['PROCESSINGS', 'huggingface_predictor']

# The default comes first.
PROCESSINGS = ('published', 'huggingface')


def huggingface_predictor(task: str) -> type[Predictor]:
    """Return the predictor class of a task with the processing of transformers.

    Raises:
        ValueError: transformers has none for the task.
    """
    if task not in PREDICTORS:
        raise ValueError(
            f"processing='huggingface' is for {', '.join(PREDICTORS)}, and the model is used for {task!r}"
        )
    return PREDICTORS[task]


class _People:
    """Crops of people, in place of :class:`sapiens.apis.preprocess.PersonInput`."""

    needs_boxes = True

    def __init__(self, processor: ImageProcessor) -> None:
        self.processor, self.size = processor, processor.size[::-1]

    def samples(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> list[PoseDataSample]:
        made = []
        for box, score in zip(np.asarray(boxes, np.float64).reshape(-1, 4), scores, strict=True):
            place = self.processor.place([*box[:2], *(box[2:] - box[:2])])
            made.append(make_person(image, self.size, box, score, *place))
        return made

    def on_host(self, image: np.ndarray, sample: PoseDataSample) -> Tensor:
        """Return the crop (3, h, w) float32 of levels 0-255. Cubic interpolation exceeds them."""
        return self.processor.crop(image, sample.warp_matrix)


class _Whole:
    """Whole images, in place of :class:`sapiens.apis.preprocess.WholeInput`."""

    needs_boxes = False

    def __init__(self, processor: ImageProcessor) -> None:
        self.processor, self.size = processor, processor.size[::-1]

    def samples(self, image: np.ndarray, boxes=None, scores=None) -> list[DenseDataSample]:
        return [DenseDataSample(metainfo=dict(ori_shape=image.shape[:2], img_shape=self.processor.size))]

    def on_host(self, image: np.ndarray, sample: DenseDataSample) -> Tensor:
        """Return the input (3, h, w) float32 of whole levels 0-255."""
        return self.processor.whole(image)


class _Processed(Predictor):
    """Builds the processor of a model, which normalizes its inputs."""

    @classmethod
    def from_config(cls, task: str, cfg: Config, checkpoint: str | Path | None, device: str, **options) -> 'Predictor':
        if options.get('crop') == 'device':
            raise ValueError("crop='device': processing='huggingface' makes its inputs on the host")
        network = build_model(cfg, checkpoint, device)
        if isinstance(checkpoint, str | Path) and is_huggingface_folder(checkpoint):
            processor = ImageProcessor.from_folder(checkpoint)
        else:
            published = build_input(cfg.get('val_pipeline', ()))
            letterboxed = isinstance(published, WholeInput) and published.transform.keep_ratio
            processor = ImageProcessor(published.size[::-1], do_pad=letterboxed)
        made = cls(task, network, cls.kind_of_input(processor), **dict(options, crop='host'))
        made.use(processor)
        return made

    def use(self, processor: ImageProcessor) -> None:
        self.processor = processor
        self.predict_options.setdefault('flip_test', False)

    def normalize(self, images: Tensor) -> Tensor:
        return self.processor.normalize(images.to(self.device, non_blocking=True))


class _Pose(_Processed, PosePredictor):
    kind_of_input = _People

    def use(self, processor: ImageProcessor) -> None:
        super().use(processor)
        self.network.codec = processor.codec()


class _Segmentation(_Processed, DensePredictor):
    kind_of_input = _Whole

    def use(self, processor: ImageProcessor) -> None:
        super().use(processor)
        self.predict_options['resize'] = 'one_step'  # scores go straight to the size of the image


class _Normals(_Processed, DensePredictor):
    """Vectors get the length 1 before they are resized, so those at edges are shorter."""

    kind_of_input = _Whole

    def predict_batch(self, inputs: Tensor, samples: list) -> list:
        output = self.network(inputs).float()
        if self.predict_options['flip_test']:
            output = (output + self.network.task.mirrored(self.network(inputs.flip(-1)).float())) / 2
        output = upsample(output, self.processor.size)  # padding is cut off in pixels of the input
        sizes = [sample.ori_shape for sample in samples]
        return [
            self.result_class.read_fields(dict(normal=to_published(normals, dim=0)), self.network.task)
            for normals in self.processor.normals(output, sizes if self.processor.do_pad else None, sizes)
        ]


class _Pointmaps(_Processed, PointmapPredictor):
    kind_of_input = _Whole

    def predict_batch(self, inputs: Tensor, samples: list) -> list:
        output, sizes = _averaged(self, inputs), [sample.ori_shape for sample in samples]
        points = upsample(output['pointmap'], self.processor.size)  # padding is cut off in pixels of the input
        scales = output['scale'].clamp(min=MIN_SCALE)
        found = []
        for one, scale, size in zip(_restored(self, points, sizes, scales), scales.tolist(), sizes, strict=True):
            attributes = self.result_class.read_fields(dict(pointmap=one), self.network.task)
            shown = letterbox(size, self.processor.size)[3] if self.processor.do_pad else self.processor.size[1]
            width = self.processor.size[1] * size[1] / shown
            found.append(attributes | estimated_camera(scale, width, size))
        return found


class _Mattes(_Processed, DensePredictor):
    kind_of_input = _Whole

    def predict_batch(self, inputs: Tensor, samples: list) -> list:
        output, sizes = _averaged(self, inputs), [sample.ori_shape for sample in samples]
        mattes = self.processor.matting(output['foreground'], output['alpha'], target_sizes=sizes)
        return [self.result_class.read_fields(matte, self.network.task) for matte in mattes]


def _restored(predictor: Predictor, points: Tensor, sizes: list, scales: Tensor) -> list[Tensor]:
    """Points (3, H, W) in meters of each image, from canonical ones (B, 3, h, w) in pixels of the input."""
    processor = predictor.processor
    return processor.pointmaps(points, scales, sizes if processor.do_pad else None, sizes)


def _averaged(predictor: Predictor, inputs: Tensor) -> dict[str, Tensor]:
    """Float32 outputs of the network by name, with the flip test averaged with those of the mirrored inputs."""
    output = {name: value.float() for name, value in predictor.network(inputs).items()}
    if predictor.predict_options['flip_test']:
        mirrored = {name: value.float() for name, value in predictor.network(inputs.flip(-1)).items()}
        mirrored = predictor.network.task.mirrored(mirrored)
        output = {name: (value + mirrored[name]) / 2 for name, value in output.items()}
    return output


PREDICTORS = dict(pose=_Pose, seg=_Segmentation, normal=_Normals, pointmap=_Pointmaps, matting=_Mattes)
