"""Several models on one reading of each image."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sapiens.metainfo import ClassList

from ..detectors import build_detector
from ..masks import Masking, set_masks
from ..pipeline import Job
from ..results import ImageResults
from .base import Predictor
from .calls import TakesImages

__all__ = ['Pipeline']


class Pipeline(TakesImages):
    """Runs models of several tasks side by side: each image is read once, and people are detected once for all models.

    both = Pipeline([load_model('sapiens2-pose-1b'), load_model('sapiens2-seg-1b')])
    results = both('photo.jpg')
    results['pose'].keypoints, results['seg'].labels

    Args:
        models: from :func:`sapiens.apis.load_model`, of different tasks.
        detector: of people: a text for :func:`sapiens.apis.detectors.build_detector`, or a function that takes images and returns
            (boxes (N, 4), scores (N,)) of each. By default that of the only model with a detector.
        mask_by: task whose result, of one of the models, is cut out of depth, normals, pointmaps and albedo: they are
            not-a-number outside. By default only drawings, normals of depth and point clouds are masked by people.
        mask_classes: names of the classes that are people; () for all but the background.

    Attributes:
        tasks: of the results, in the order of the models.

    Raises:
        ValueError: no models, two of one task, several detectors, a detector for models that see the whole image, or a mask that
            no model gives or takes.
    """

    def __init__(
        self,
        models: Sequence[Predictor],
        *,
        detector: str | Callable | None = None,
        mask_by: str | None = None,
        mask_classes: Sequence[str] = (),
    ) -> None:
        self._models = {model.tasks[0]: model for model in models}
        self.tasks = tuple(task for model in models for task in model.tasks)
        twice = [task for task, count in Counter(self.tasks).items() if count > 1]
        if twice:
            raise ValueError(f'two models for {twice[0]!r}: a pipeline has one for each task')
        if not self._models:
            raise ValueError('a pipeline needs at least one model')
        own = [model.detector for model in self._models.values() if model.detector is not None]
        if detector is None and len(own) > 1:
            raise ValueError(f'{len(own)} of the models have a detector: give one to the pipeline, detector=...')
        if detector is not None and not any(model.preprocess.needs_boxes for model in self._models.values()):
            raise ValueError(f'detector: the models for {" and ".join(self.tasks)} see the whole image')
        self.masking = Masking(mask_by, tuple(mask_classes))
        parts = {name: part for model in models for name, part in model.members().items()}
        classes = {name: classes_of(part) for name, part in parts.items()}
        self.masking.check({name: part.task for name, part in parts.items()}, classes)
        if isinstance(detector, str):
            detector = build_detector(detector, str(next(iter(self._models.values())).device))
        self.detector = detector if detector is not None else next(iter(own), None)

    def models(self) -> Mapping[str, Predictor]:
        return self._models

    def collect(self, job: Job) -> ImageResults:
        results = ImageResults({task: job.results[task] for task in self.tasks})  # models finish in any order
        set_masks(results, masking=self.masking)
        return results

    def __repr__(self) -> str:
        return f'Pipeline({", ".join(self.tasks)})'


def classes_of(model: Predictor) -> ClassList | None:
    return getattr(getattr(model.network, 'task', None), 'classes', None)
