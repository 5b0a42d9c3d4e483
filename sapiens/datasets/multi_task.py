"""Datasets of several tasks, and the order in which their batches follow each other."""

from collections.abc import Iterator, Mapping

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from sapiens.metainfo.naming import near
from sapiens.registry import DATA_SAMPLERS, DATASETS

from .base import SampleDataset
from .checks import Findings
from .draw import Draw, hash63
from .permutation import Permutation

__all__ = ['MultiTaskDataset', 'TaskDataset', 'TaskSampler']


@DATASETS.register_module()
class TaskDataset(Dataset):
    """The samples of a dataset, with the name of a task in their metainfo (``task``).

    Args:
        dataset: with numbered samples and a pipeline, or its config.
        task: name of the task.

    Raises:
        ValueError: a dataset that has no numbered samples, no pipeline or a sampler of its own.
    """

    def __init__(self, dataset: Dataset | dict, task: str):
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.task = task
        if not isinstance(self.dataset, SampleDataset):
            raise ValueError(f'datasets.{task}: {self.dataset!r} has no numbered samples, which a resume counts')
        if self.dataset.sampler is not None:
            name = self.dataset.sampler.__name__
            raise ValueError(
                f'datasets.{task}: {self.dataset!r} is read in the order of {name}, a TaskSampler has its own'
            )
        if not self.dataset.pipeline.transforms:
            raise ValueError(f'datasets.{task} has no pipeline: each task of a MultiTaskDataset has its own')

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw | int) -> dict:
        sample = self.dataset[draw]
        sample['data_samples'].set_metainfo(dict(task=self.task))
        return sample

    def __repr__(self) -> str:
        return repr(self.dataset)


@DATASETS.register_module()
class MultiTaskDataset(Dataset):
    """Datasets of several tasks in the order of their names, one after the other, each with its own pipeline.

    Training takes batches of one task each from it (:class:`TaskSampler`), evaluation evaluates each task by itself.

    Args:
        datasets: datasets with pipelines, or their configs, by the names of the tasks in the model. Samples with the labels of
            several tasks (:class:`.JointDataset`) are those of ``'depth+pose'``: one step trains both, and encodes images once.

    Attributes:
        tasks: the :class:`TaskDataset` of each task by name.
        metainfo: ``tasks``, the metainfo of the datasets by name.

    Raises:
        ValueError: nothing to combine, or a dataset that has no numbered samples or no pipeline.
    """

    def __init__(self, datasets: Mapping[str, Dataset | dict]):
        if not datasets:
            raise ValueError('datasets={}: nothing to combine')
        self.tasks = {name: TaskDataset(datasets[name], name) for name in sorted(datasets)}  # as in the model
        self._starts = np.cumsum([0, *map(len, self.tasks.values())])

    @property
    def metainfo(self) -> dict:
        parts = {name: part.metainfo for name, part in self.tasks.items()}
        return dict(dataset_name=type(self).__name__, tasks=parts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def first(self, task: str) -> int:
        """Position of the first sample of a task."""
        return int(self._starts[list(self.tasks).index(task)])

    def __getitem__(self, draw: Draw | int) -> dict:
        index = int(draw)
        if not 0 <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        number = int(np.searchsorted(self._starts, index, side='right')) - 1
        inner = index - int(self._starts[number])
        part = list(self.tasks.values())[number]
        return part[Draw(inner, draw.seed) if isinstance(draw, Draw) else inner]

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        """Add the problems of all datasets to ``findings``; see :meth:`SampleDataset.check`."""
        for name, part in self.tasks.items():
            own = Findings()
            part.dataset.check(own, read, progress)
            findings.update({f'{what} [{name}]': finding for what, finding in own.items()})

    def image_paths(self) -> Iterator[str]:
        """Paths of the images of all datasets."""
        for part in self.tasks.values():
            yield from part.dataset.image_paths() if hasattr(part.dataset, 'image_paths') else ()

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}: {part!r}" for name, part in self.tasks.items())})'


@DATA_SAMPLERS.register_module()
class TaskSampler(Sampler):
    """Yields the :class:`Draw`\\ s of batches of one task each, the tasks in turn, on all ranks the same.

    Each task goes through its samples again and again, in a new pseudo-random order each time, whatever the length of the others.
    Iteration i has a task and a position among the samples of that task which depend on i only, so a run resumes exactly at any
    iteration. An epoch is the smallest number of whole rounds with as many samples as the datasets together.

    Args:
        dataset: a :class:`MultiTaskDataset`.
        batch_size: samples of a batch on one rank. The runner fills it in from the loader.
        turns: number of turns of each task in a round, by name; 1 by default. They are spread over the round.
        seed: of order and augmentation; None draws one that all ranks share.

    Attributes:
        round: names of the tasks of a round, in order.

    Raises:
        ValueError: another dataset, an empty one, an unknown task, or turns that are not whole numbers of 1 or more.
    """

    def __init__(
        self, dataset, batch_size: int, turns: Mapping[str, int] | None = None, seed: int | None = None
    ) -> None:
        if not isinstance(dataset, MultiTaskDataset):
            raise ValueError(f'TaskSampler takes turns between the tasks of a MultiTaskDataset, not {dataset!r}')
        self.sizes = {name: len(part) for name, part in dataset.tasks.items()}
        for name, size in self.sizes.items():
            if size == 0:
                raise ValueError(f'the dataset of {name!r} is empty: nothing to sample')
        self.firsts = {name: dataset.first(name) for name in self.sizes}
        self.batch_size = batch_size
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.round = self._round(turns or {})
        total = batch_size * self.world_size
        rounds = -(-sum(self.sizes.values()) // (total * len(self.round)))
        self.num_batches = rounds * len(self.round)
        self.epoch, self._start = 0, 0

    def _round(self, turns: Mapping[str, int]) -> list[str]:
        for name, count in turns.items():
            if name not in self.sizes:
                known = f'{near(name, self.sizes)} (tasks: {", ".join(self.sizes)})'
                raise ValueError(f'turns: the dataset has no task {name!r}{known}')
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f'turns.{name}={count!r}: expected a whole number, 1 or more')
        counts = {name: turns.get(name, 1) for name in self.sizes}
        places = [((k + 0.5) / count, name) for name, count in counts.items() for k in range(count)]
        return [name for _, name in sorted(places, key=lambda place: place[0])]

    def task_of(self, iteration: int) -> tuple[str, int]:
        """Name of the task of an iteration, counted from the start of the run, and how many turns it had before."""
        rounds, place = divmod(iteration, len(self.round))
        name = self.round[place]
        return name, rounds * self.round.count(name) + self.round[:place].count(name)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next ``iter()``."""
        self.epoch = epoch

    def set_start(self, position: int) -> None:
        """Let the next ``iter()``, and only that one, begin after ``position`` samples of all ranks together."""
        self._start = position // (self.batch_size * self.world_size)

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        start, self._start = self._start, 0
        return self._draws(self.epoch * self.num_batches + start, (self.epoch + 1) * self.num_batches)

    def _draws(self, first: int, end: int) -> Iterator[Draw]:
        numbers = {name: number for number, name in enumerate(self.sizes)}
        for iteration in range(first, end):
            name, turn = self.task_of(iteration)
            seeds = self.seed, numbers[name]
            for k in range(self.batch_size):
                position = (turn * self.batch_size + k) * self.world_size + self.rank
                passes, place = divmod(position, self.sizes[name])
                index = int(Permutation(self.sizes[name], *seeds, passes)(np.array([place]))[0])
                yield Draw(self.firsts[name] + index, hash63(*seeds, position))
