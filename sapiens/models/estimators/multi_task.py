"""Several tasks on one encoder."""

# B batch, C channels of the encoder, h w size of its feature map, H W of the image

from collections.abc import Callable, Mapping

import torch
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn

from sapiens.metainfo.naming import near
from sapiens.registry import MODELS
from sapiens.tasks import JOINT
from sapiens.utils.checkpoint import load_head_start
from sapiens.utils.terminal import fact, log_brief

from ..data_preprocessor import build_normalizer
from ..layers.sample_random import pass_seeds
from .base import Estimator

__all__ = ['MultiTaskEstimator']

# Arguments of an estimator that its tasks have in common.
SHARED = ('backbone', 'data_preprocessor')


@MODELS.register_module()
class MultiTaskEstimator(BaseModel):
    """One encoder with the heads of several tasks.

    Each task is a whole estimator (:class:`~sapiens.models.PoseEstimator`, :class:`~sapiens.models.DenseEstimator`) that uses the
    encoder of this model: head, losses, codec and options are those of the estimator, and so is what it computes.

    A training step has a batch of one task, or of samples with the labels of several
    (:class:`sapiens.datasets.MultiTaskDataset`). The parameters of other heads get no gradient in it and do not change.
    Prediction takes samples of any tasks, or several samples for each image (:meth:`predict_tasks`), and then encodes each
    image once.

    Weights are named ``backbone.*`` and ``tasks.<name>.*``, and below that as in the model of the single task.

    Args:
        backbone: config of the encoder. ``frozen_stages`` of its depth trains the heads alone.
        tasks: configs of estimators by name, without ``backbone`` and ``data_preprocessor``. A name is free, usually that of
            the task; tasks are in the order of their names. ``init_cfg=dict(type='Pretrained', checkpoint=...)`` starts a head
            from a model of its task, or from that task of a model of several.
        loss_weights: factors on the losses of tasks, by name; 1 by default. :class:`sapiens.datasets.TaskSampler` sets how
            often each task is trained.
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: no tasks, a name that cannot be one, a task that is not an estimator or sets parts that are shared, or factors
            of unknown tasks or not above 0.
    """

    task_name = 'multi'
    # A step has gradients for some parameters only, which distributed training must know.
    has_unused_parameters = True

    def __init__(
        self,
        backbone: dict,
        tasks: Mapping[str, dict],
        loss_weights: Mapping[str, float] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(build_normalizer(data_preprocessor), init_cfg)
        if not tasks:
            raise ValueError('tasks={}: expected the config of an estimator for each task')
        self.backbone = MODELS.build(backbone)
        # A config that MMEngine has written is sorted: the order of parameters, which optimizers count, must not depend on it.
        self.tasks = ModuleDict({name: self._build(str(name), tasks[name]) for name in sorted(tasks)})
        self.loss_weights = dict.fromkeys(self.tasks, 1.0)
        for name, weight in (loss_weights or {}).items():
            self._require(name, 'loss_weights')
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float('inf'):
                raise ValueError(f'loss_weights.{name}={weight!r}: expected a number above 0')
            self.loss_weights[name] = float(weight)

    def _build(self, name: str, config: Mapping) -> Estimator:
        # torch.nn.ModuleDict has methods that a task may not be called after.
        if not name.isidentifier() or hasattr(ModuleDict, name):
            raise ValueError(f'tasks: {name!r} cannot be the name of a task: expected a word of letters, digits and _')
        if 'loss' in name:  # MMEngine minimizes the sum of all values with it in their name
            raise ValueError(f'tasks: {name!r} cannot be the name of a task: its metrics would count as losses')
        for key in SHARED:
            if key in config:
                raise ValueError(f'tasks.{name}.{key}: all tasks share one, which is set by model.{key}')
        kind = MODELS.get(config.get('type', ''))
        if not (isinstance(kind, type) and issubclass(kind, Estimator)):
            raise ValueError(
                f'tasks.{name}.type={config.get("type")!r} is not an estimator such as PoseEstimator or DenseEstimator'
            )
        return MODELS.build(dict(config, backbone=self.backbone, data_preprocessor=self.data_preprocessor))

    def _require(self, name: str, where: str) -> None:
        if name not in self.tasks:
            raise ValueError(
                f'{where}: this model has no task {name!r}{near(name, self.tasks)} (tasks: {", ".join(self.tasks)})'
            )

    def init_weights(self) -> None:
        """Set the initial weights of encoder and heads, then load those that an ``init_cfg`` names."""
        starts = {name: part.init_cfg for name, part in self.tasks.items() if part.init_cfg}
        for name in starts:
            self.tasks[name].init_cfg = None  # MMEngine would look for the weights of the encoder too
        super().init_weights()
        for name, start in starts.items():
            part = self.tasks[name]
            part.init_cfg = start
            report = load_head_start(_head_alone(part), start['checkpoint'], name)
            log_brief(f'Head of {name!r}: {report}', fact(f'head {name}', report.brief), timed=False)

    # ------------------------------------------------------------------ MMEngine's modes

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        labels: dict[str, Tensor] | None = None,
        seeds: Tensor | None = None,
    ):
        """``'tensor'``: the output of each head by name; ``'loss'``: see :meth:`loss`; ``'predict'``: see :meth:`predict`.

        ``labels`` and ``seeds``: see :meth:`.Estimator.forward`.
        """
        if mode == 'tensor':
            features = self.backbone(inputs)[-1]
            return {name: part.head(features) for name, part in self.tasks.items()}
        if mode == 'loss':
            return self.loss(inputs, data_samples, labels, seeds)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(
        self, inputs: Tensor, data_samples: list, labels: dict[str, Tensor] | None = None, seeds: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses of the tasks that all samples belong to, times their weights, and what they monitor; each as ``<task>_<name>``.

        Images whose samples have the labels of several tasks are encoded once.

        Raises:
            ValueError: samples of different tasks, or of none.
        """
        names = list(dict.fromkeys(self._tasks_of(sample) for sample in data_samples))
        if len(names) > 1:
            raise ValueError(
                f'a batch has samples of {" and ".join(map(JOINT.join, names))}, a training step is for one task, or for several '
                "that all samples have: use train_dataloader.sampler=dict(type='TaskSampler')"
            )
        shared, losses = {}, {}
        if len(names[0]) > 1:
            features = next(iter(self.tasks.values())).encode(inputs, seeds)
            shared = dict(encode=lambda _: features)
        for name in names[0]:
            part, weight = self.tasks[name], self.loss_weights[name]
            found = part.loss(inputs, data_samples, labels, **shared, **pass_seeds(part.loss, seeds))
            losses |= {f'{name}_{key}': value * weight if 'loss' in key else value for key, value in found.items()}
        return losses

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list) -> list:
        """Predict each image for the task of its sample (``task`` in the metainfo), by the options of that task.

        Returns:
            The samples with predictions; see the estimators.

        Raises:
            ValueError: a sample without a task of this model.
        """
        rows: dict[str, list[int]] = {}
        for index, sample in enumerate(data_samples):
            for name in self._tasks_of(sample):
                rows.setdefault(name, []).append(index)
        predicted = list(data_samples)
        for name, chosen in rows.items():
            images = inputs if len(chosen) == len(inputs) else inputs[chosen]
            found = self.tasks[name].predict(images, [data_samples[index] for index in chosen])
            for index, sample in zip(chosen, found, strict=True):
                predicted[index] = sample
        return predicted

    # ------------------------------------------------------------------ several tasks for each image

    @torch.no_grad()
    def predict_tasks(
        self, inputs: Tensor, samples: Mapping[str, list], options: Mapping[str, Mapping] | None = None
    ) -> dict[str, list]:
        """Predict several tasks for the same images. Each image, its mirror image and each window is encoded once.

        Args:
            inputs: (B, 3, H, W) normalized images.
            samples: B samples for each task, by name; see ``predict`` of the estimators.
            options: of prediction, which override those of the tasks, by name.

        Returns:
            The samples with predictions, by name.

        Raises:
            ValueError: an unknown task or option.
        """
        for name in (*samples, *(options or {})):
            self._require(name, 'predict_tasks')
        encode, options = encode_once(self.encode), options or {}
        return {
            name: self.tasks[name].predict(inputs, given, encode=encode, **options.get(name, {}))
            for name, given in samples.items()
        }

    def encode(self, inputs: Tensor) -> Tensor:
        """Feature map (B, C, h, w) of normalized images (B, 3, H, W), which all heads take."""
        return self.backbone(inputs)[-1]

    def _tasks_of(self, sample) -> tuple[str, ...]:
        name = sample.metainfo.get('task')
        if name is None:
            raise ValueError(
                f'{sample.metainfo.get("img_path", "a data sample")} names no task in its metainfo (`task`), as samples of a '
                f'MultiTaskDataset do (tasks: {", ".join(self.tasks)})'
            )
        names = tuple(name.split(JOINT))
        for one in names:
            self._require(one, 'data')
        return names


def _head_alone(part: Estimator) -> nn.Module:
    """The head of an estimator under its name, as a model without an encoder."""
    alone = nn.Module()
    alone.add_module(part.head_name, part.head)
    alone.__dict__['head'] = part.head
    return alone


def encode_once(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``encode`` that computes equal inputs once and remembers the outputs."""
    known: list[tuple[Tensor, Tensor]] = []

    def encode_new(inputs: Tensor) -> Tensor:
        for images, features in known:
            if images is inputs or (images.shape == inputs.shape and torch.equal(images, inputs)):
                return features
        features = encode(inputs)
        known.append((inputs, features))
        return features

    return encode_new
