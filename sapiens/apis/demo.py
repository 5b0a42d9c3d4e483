"""What the web page of ``sapiens demo`` computes: tasks and models to choose from, and results of images."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sapiens.checkpoints import ZOO, find, is_huggingface_folder, resolve_checkpoint
from sapiens.tasks import task_names
from sapiens.utils.checkpoint import require_checkpoint

from .detectors import build_detector
from .inputs import read_pixels
from .loading.build import read_config
from .loading.load_model import inference_tasks, is_config, load_model, weights_of
from .own_models import automatic_for, has_detector
from .predictors import Pipeline, Predictor
from .predictors.by_task import get_predictor_class
from .results import ImageResults, Result
from .results.by_task import get_inference_task, get_result_class

__all__ = ['ALL', 'RELIGHT', 'Demo', 'models_on_this_machine', 'require_files']

LOADED = 2  # models in memory, or one of each task; the least recently used one is dropped first
ALL = 'all'  # the first model of each task, side by side
RELIGHT = 'relight'  # the first models of albedo and normals, and what cuts people out


class Demo:
    """Functions of the page, without its layout.

    Args:
        models: names of published models or configs, each with its checkpoint or None.
        detectors: additional detectors for pose.
        device, dtype: see :func:`sapiens.apis.load_model`.

    Attributes:
        choices: options of ``load_model`` by task and label of the model. Where there are models of several tasks, ``'all'`` has
            one label and the first model of each of them. Where there are models of albedo and normals, ``'relight'`` has one
            label too.

    Raises:
        FileNotFoundError, ValueError: a model does not exist, or there is none.
    """

    def __init__(
        self,
        models: list[tuple[str, str | None]],
        detectors: list[str] | None = None,
        device: str = 'auto',
        dtype: str = 'fp32',
    ) -> None:
        if not models:
            raise ValueError(
                'no published model is on this machine: fetch one with `sapiens download sapiens-pose-0.3b`, or '
                'give --model CONFIG --checkpoint FILE'
            )
        choices: dict[str, dict[str, dict]] = {}
        for model, checkpoint in models:
            options = dict(model=model, checkpoint=checkpoint)
            tasks, label = inference_tasks(read_config(model)), _label(model, checkpoint)
            for kind in (name for name in names() if name in tasks or get_predictor_class(name).any_model):
                if label in choices.setdefault(kind, {}):
                    raise ValueError(f'--model has {label} twice: give each model once')
                choices[kind][label] = dict(options, task=kind)
        self.choices = {task: choices[task] for task in names() if task in choices}
        self.together = [task for task in self.choices if not get_predictor_class(task).any_model]
        if len(self.together) > 1:
            self.choices[ALL] = {' + '.join(self.together): {}}
        if {'albedo', 'normal'} <= set(self.together):
            self.choices[RELIGHT] = {' + '.join(self._tasks(RELIGHT)): {}}
        free = ['auto', 'whole-image'] + (['embedded'] if has_detector() else [])
        self.detectors = list(dict.fromkeys([*free, *(detectors or ())]))
        self.options = dict(device=device, dtype=dtype)
        self.lock = threading.Lock()
        self.predictors: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self.finders: dict[str, object] = {}

    def labels(self, task: str) -> list[str]:
        """Return the labels of the models of a task."""
        return list(self.choices[task])

    def titles(self) -> dict[str, str]:
        """Return the plain name of each task, tasks that any model can run after the others."""
        own = {task: get_inference_task(task).title or get_inference_task(task).description for task in names()}
        own |= {ALL: 'All tasks', RELIGHT: 'Another light'}
        tasks = sorted(self.choices, key=lambda task: task in names() and get_predictor_class(task).any_model)
        return {task: own[task] for task in tasks}

    def missing(self, task: str, label: str) -> list[str]:
        """Return the labels of the models that are not in memory and that :meth:`load` loads."""
        wanted = self._by_label(task, label)
        return [one for one, names in wanted.items() if (_key(names), one) not in self.predictors]

    def load(self, task: str, label: str, detector: str | None = None) -> tuple[list[Predictor], Callable | None]:
        """Load the models of a task and the detector, unless they are in memory.

        Args:
            detector: None where people need not be found.

        Raises:
            FileNotFoundError, ValueError, ImportError: the model or the detector cannot be used.
        """
        self._check(task, label, detector)
        with self.lock:
            models = [self._predictor(names, one) for one, names in self._by_label(task, label).items()]
            if detector is None or not self.takes_detector(task):
                return models, None
            if detector == 'auto':
                detector = automatic_for(options['model'] for options in self.models(task, label).values())
            if detector not in self.finders:
                self.finders[detector] = build_detector(detector, self.options['device'])
            return models, self.finders[detector]

    def predict(
        self, image: str | Path, task: str, label: str, detector: str = 'auto', boxes: np.ndarray | None = None
    ) -> Result | ImageResults:
        """Predict an image, with several tasks if ``task`` is ``'all'`` or ``'relight'``: it is read once, and people are found
        once.

        Args:
            boxes: (N, 4) x1, y1, x2, y2 of people in pixels, for a task that takes people; used instead of the detector.

        Raises:
            BadImage: the image cannot be read, or a box lies outside it.
            FileNotFoundError, ValueError, ImportError: the model or the detector cannot be used.
        """
        self._check(task, label, detector if boxes is None else None)
        pixels = read_pixels(image)
        models, finder = self.load(task, label, detector if boxes is None else None)
        with self.lock:
            for model in models:
                model.detector = None
            if finder is not None:
                next(model for model in models if model.preprocess.needs_boxes).detector = finder
            run = Pipeline(models) if task in (ALL, RELIGHT) else models[0]
            result = run(pixels, boxes) if self.takes_detector(task) else run(pixels)
        for one in result.values() if isinstance(result, ImageResults) else [result]:
            one.path = str(image)
        return result

    def takes_detector(self, task: str) -> bool:
        """Return whether a task takes people."""
        return any('detector' in get_predictor_class(name).options for name in self._tasks(task))

    def kinds(self, task: str) -> tuple[str, ...]:
        """Return the kinds of files of a task that every image has and every model can write."""
        files = [file for name in self._tasks(task) for file in get_result_class(name).files]
        return tuple(dict.fromkeys(file.kind for file in files if not (file.sometimes or file.needs)))

    def models(self, task: str, label: str) -> dict[str, dict]:
        """Return the label of each model that a task runs with its options of ``load_model``."""
        return {one: self.choices[tasks[0]][one] for one, tasks in self._by_label(task, label).items()}

    def _check(self, task: str, label: str, detector: str | None) -> None:
        if label not in self.choices.get(task, ()):
            raise ValueError(f'no model {label!r} for {task!r}: choose one of {", ".join(self.choices.get(task, ()))}')
        if self.takes_detector(task) and detector is not None and detector not in self.detectors:
            raise ValueError(f'no detector {detector!r}: choose one of {", ".join(self.detectors)}')

    def _tasks(self, task: str) -> list[str]:
        if task == RELIGHT:
            # A matte has soft edges, so it comes before parts.
            cut = [name for name in ('matting', 'seg') if name in self.together][:1]
            return ['albedo', 'normal', *cut]
        return self.together if task == ALL else [task]

    def _by_label(self, task: str, label: str) -> dict[str, list[str]]:
        """Return the tasks that each model runs. A model of several tasks runs once for all of them."""
        found: dict[str, list[str]] = {}
        for name in self._tasks(task):
            found.setdefault(self.labels(name)[0] if task in (ALL, RELIGHT) else label, []).append(name)
        return found

    def _predictor(self, tasks: list[str], label: str) -> Predictor:
        key = _key(tasks), label
        if key not in self.predictors:
            while len(self.predictors) >= max(LOADED, len(self.together)):
                self.predictors.popitem(last=False)
            options = dict(self.choices[tasks[0]][label], **self.options, batch_size=8)
            self.predictors[key] = load_model(**options | dict(task=tasks if len(tasks) > 1 else tasks[0]))
        self.predictors.move_to_end(key)
        return self.predictors[key]


def names() -> tuple[str, ...]:
    return task_names(inference=True)


def _key(tasks: list[str]) -> str:
    return ' + '.join(tasks)


def _label(model: str, checkpoint: str | None) -> str:
    """Return the label of a model: the published name, or the config or folder with its parent, and the checkpoint."""
    from_config = is_config(model)
    is_path = from_config or is_huggingface_folder(model)
    name = _tail(Path(model.removesuffix('.py'))) if is_path else find(model).name
    if checkpoint is None:
        return f'{name} (random weights: no checkpoint)' if from_config else name
    return f'{name} ({_tail(Path(checkpoint))})'


def _tail(path: Path) -> str:
    return '/'.join(path.parts[-2:])


def require_files(models: list[tuple[str, str | None]]) -> None:
    """Refuse models whose weights are not on this machine, before a page is served.

    Raises:
        FileNotFoundError: the first of them, with what to do.
    """
    for model, checkpoint in models:
        weights = weights_of(model, checkpoint)
        if weights is not None:
            require_checkpoint(resolve_checkpoint(weights))


def models_on_this_machine() -> list[tuple[str, None]]:
    """Return the published models whose files are on this machine."""
    found = []
    for name, entry in ZOO.items():
        if entry.task in (*names(), 'pretrain'):
            try:
                resolve_checkpoint(name)
            except FileNotFoundError:
                continue
            found.append((name, None))
    return found
