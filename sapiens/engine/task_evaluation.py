"""Evaluation of a model of several tasks: each task on its own data, by its own metrics."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mmengine.evaluator import BaseMetric, Evaluator
from torch.utils.data import DataLoader

from sapiens.datasets import MultiTaskDataset
from sapiens.evaluation import reported_names
from sapiens.registry import DATASETS

__all__ = ['TaskEvaluator', 'TaskLoaders', 'build_task_loaders', 'has_tasks', 'is_by_task']


def is_by_task(evaluator) -> bool:
    """Whether the config of an evaluator has metrics for each of several tasks, by name."""
    return isinstance(evaluator, Mapping) and bool(evaluator) and not {'type', 'metrics'} & set(evaluator)


def has_tasks(dataset) -> bool:
    """Whether the config of a dataset is that of a :class:`sapiens.datasets.MultiTaskDataset`."""
    return isinstance(dataset, Mapping) and DATASETS.get(dataset['type']) is MultiTaskDataset


class TaskLoaders:
    """The loaders of the tasks of a :class:`sapiens.datasets.MultiTaskDataset`, one after the other.

    Args:
        loaders: by name of the task.
        dataset: the dataset of all.
    """

    def __init__(self, loaders: Mapping[str, DataLoader], dataset: MultiTaskDataset) -> None:
        self.loaders, self.dataset = dict(loaders), dataset

    def __len__(self) -> int:
        return sum(map(len, self.loaders.values()))

    def __iter__(self) -> Iterator[dict]:
        for loader in self.loaders.values():
            yield from loader


def build_task_loaders(runner, config: dict) -> TaskLoaders:
    """Build the loaders of the tasks from the config of a loader of all of them."""
    loaders = {}
    for name, dataset in config['dataset']['datasets'].items():
        part = dict(config, dataset=dict(type='TaskDataset', dataset=dataset, task=name))
        loaders[name] = runner.build_dataloader(part, runner.seed)
    dataset = MultiTaskDataset({name: loader.dataset.dataset for name, loader in loaders.items()})
    return TaskLoaders(loaders, dataset)


class TaskEvaluator(Evaluator):
    """The evaluators of several tasks. Each sees the batches of its task, and the number of samples that the task has.

    A name that the metrics of two tasks report becomes ``<task>/<name>`` in both.

    Args:
        metrics: configs of metrics, one or a list for each task, by name.
    """

    def __init__(self, metrics: Mapping[str, dict | Sequence[dict]]) -> None:
        self.tasks = {name: Evaluator(_as_list(configs)) for name, configs in metrics.items()}
        super().__init__([metric for evaluator in self.tasks.values() for metric in evaluator.metrics])
        self._name_apart()
        self.sizes: dict[str, int] = {}

    def _name_apart(self) -> None:
        names = {
            (task, metric): set(reported_names([metric]) or [metric.prefix])
            for task, evaluator in self.tasks.items()
            for metric in evaluator.metrics
        }
        by_task = {task: set() for task in self.tasks}
        for (task, _), own in names.items():
            by_task[task] |= own
        shared = {
            name for name, count in Counter(name for own in by_task.values() for name in own).items() if count > 1
        }
        for (task, metric), own in names.items():
            if own & shared:
                metric.prefix = f'{task}/{metric.prefix}' if metric.prefix else task

    def set_data(self, dataset: MultiTaskDataset, source: str) -> None:
        """Set the data that are evaluated.

        Raises:
            ValueError: other tasks than those of the metrics.
        """
        if set(self.tasks) != set(dataset.tasks):
            raise ValueError(
                f'{source}_evaluator has metrics for {", ".join(self.tasks)}, {source}_dataloader data for '
                f'{", ".join(dataset.tasks)}: give both for the same tasks'
            )
        for name, part in dataset.tasks.items():
            self.tasks[name].dataset_meta = part.metainfo
            self.sizes[name] = len(part)

    @property
    def dataset_meta(self) -> dict | None:
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta  # set_data gives metrics those of their task

    def process(self, data_samples: Sequence, data_batch: dict | None = None) -> None:
        (name,) = {sample.metainfo['task'] for sample in data_samples}
        self.tasks[name].process(data_samples, data_batch)

    def evaluate(self, size: int) -> dict:
        """Numbers of all tasks.

        Args:
            size: of all data, which MMEngine gives; each metric gets that of its task.

        Raises:
            ValueError: two tasks report one name.
        """
        found: dict = {}
        for name, evaluator in self.tasks.items():
            values = evaluator.evaluate(self.sizes[name])
            twice = sorted(set(found) & set(values))
            if twice:
                raise ValueError(f'the metrics of two tasks report {twice[0]!r}: give one of them another prefix=')
            found.update(values)
        return found


def _as_list(configs: dict | BaseMetric | Sequence) -> list:
    return list(configs) if isinstance(configs, list | tuple) else [configs]
