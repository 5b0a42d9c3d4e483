"""The training loop. An epoch can be resumed in the middle."""

import math
from bisect import bisect
from collections.abc import Sequence

from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from sapiens.models.layers.sample_random import pass_seeds
from sapiens.registry import LOOPS
from sapiens.utils.batch_labels import SAMPLE_WEIGHTS, stack_weights

from .random_state import derived_random_state, get_random_state, set_random_state
from .runner_type import require_runner
from .training_data import TrainingData

__all__ = ['TrainLoop']


@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Trains for ``max_epochs`` epochs or ``max_iters`` iterations.

    A resumed run continues in the middle of an epoch: the sampler skips the consumed samples, and the random state is
    restored after the loader's workers have started. Validation does not change the random state of training. A run that was
    killed after a checkpoint and before the end of the validation that follows it validates first when it resumes.

    See :class:`.TrainingData` for streams and samplers without an end.

    Args:
        runner: the runner.
        dataloader: the loader or its config. ``drop_last=True`` drops the incomplete last batch of an epoch.
        max_epochs, max_iters: exactly one of them.
        val_begin, val_interval: first validation and interval, in epochs with ``max_epochs``, in iterations with
            ``max_iters``. The run also validates at its end.
        dynamic_intervals: MMEngine's pairs (milestone, ``val_interval`` from one epoch or iteration before it on).

    Raises:
        ValueError: none or both of the lengths, an interval below 1, ``max_epochs`` of a sampler without an end, or a loader
            that cannot be counted.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: Sequence[tuple[int, int]] = (),
    ) -> None:
        require_runner(runner, type(self))
        if (max_epochs is None) == (max_iters is None):
            raise ValueError(
                f'train_cfg needs max_epochs or max_iters, got max_epochs={max_epochs}, max_iters={max_iters}'
            )
        steps = [(0, val_interval), *(dynamic_intervals or ())]
        self.val_milestones, self.val_intervals = zip(*steps, strict=True)
        if min(self.val_intervals) < 1 or list(self.val_milestones) != sorted(self.val_milestones):
            raise ValueError(
                f'train_cfg: val_interval={val_interval}, dynamic_intervals={dynamic_intervals}: expected intervals of 1 or '
                'more, in the order of their beginnings'
            )
        super().__init__(runner, dataloader)
        self.by_epoch = max_epochs is not None
        self.data = TrainingData(self.dataloader, runner.world_size, runner.logger)
        if self.by_epoch and self.data.is_endless and not self.data.counts_epochs:
            raise ValueError(
                f'max_epochs with {type(self.dataloader.sampler).__name__}, which has no epochs: use max_iters, or '
                "train_dataloader.sampler=dict(type='ResumableSampler')"
            )
        self.max_epochs = max_epochs if self.by_epoch else math.ceil(max_iters / self.data.epoch_length)
        self.max_iters = max_epochs * self.data.epoch_length if self.by_epoch else max_iters
        self.val_begin = val_begin
        self._validated: int | None = None  # the epoch or iteration of the latest validation
        self.stop_training = False
        self._epoch, self._iter = 0, 0
        # Hooks see the index of the current iteration or epoch; a checkpoint that they write counts it as done.
        self._ends_iter, self._ends_epoch = False, False
        # Random state of training while other code uses the generators: between a resume and the first batch, and
        # during validation.
        self._random_state: dict | None = None
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def iter(self) -> int:
        return self._iter

    @property
    def finished_epochs(self) -> int | None:
        """Number of epochs done, or None inside an epoch."""
        if self._ends_epoch:
            return self._epoch + 1
        return None if self.data.batches else self._epoch

    @property
    def total_batch(self) -> int:
        """Images per iteration over all ranks."""
        return self.data.total_batch

    # ------------------------------------------------------------------ running

    def run(self):
        self.runner.call_hook('before_train')
        self._validate_if_interrupted()
        while not self.stop_training and (
            self._epoch < self.max_epochs if self.by_epoch else self._iter < self.max_iters
        ):
            self.run_epoch()
        self.data.close()
        self.runner.timeouts.end_steps()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Run the rest of the current epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if self.data.batches < self.data.epoch_length:
            self._open_data()
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None
        while self.data.batches < self.data.epoch_length:
            index = self.data.batches
            batch, self.record = self.data.next()
            self.run_iter(index, batch)
            if not self.by_epoch and not self.stop_training:
                self._validate(self._iter)
            if self.stop_training:
                return
            if not self.by_epoch and self._iter >= self.max_iters:
                break
        if self.data.batches < self.data.epoch_length:
            return
        self._ends_epoch = True
        self.runner.call_hook('after_train_epoch')
        self._ends_epoch = False
        self._epoch += 1
        self.data.batches = 0
        if self.by_epoch:
            self._validate(self._epoch)

    def run_iter(self, index: int, batch: dict) -> None:
        """Run one training step on a batch, the ``index``-th of its epoch."""
        wrapper = self.runner.optim_wrapper
        seeds = batch.pop('seeds', None)
        batch.update(pass_seeds(self.runner.bare_model.forward, seeds))  # not every model takes them
        if hasattr(wrapper, 'enter_batch'):  # MMEngine's wrappers count on their own
            end = min(self.data.epoch_length, index + self.max_iters - self._iter)
            # Other collate functions than stack_collate stack no labels.
            weights = (
                batch['labels'].get(SAMPLE_WEIGHTS)
                if 'labels' in batch
                else stack_weights(batch.get('data_samples') or ())
            )
            wrapper.enter_batch(index, end, **({} if weights is None else dict(weights=weights)))
        self.runner.call_hook('before_train_iter', batch_idx=index, data_batch=batch)
        outputs = self.runner.model.train_step(batch, optim_wrapper=wrapper)
        self._ends_iter = True
        self.runner.call_hook('after_train_iter', batch_idx=index, data_batch=batch, outputs=outputs)
        self._ends_iter = False
        self._iter += 1
        if wrapper.should_update():
            self.runner.timeouts.after_step()

    def _open_data(self) -> None:
        # The seed of workers depends on rank and epoch only, so a resumed epoch gets the same seeds.
        seed = (self.runner.seed or 0) + 10_007 * self.runner.rank + 1_000_003 * (self._epoch + 1)
        self.data.open(self._epoch, seed)

    def _validate(self, count: int) -> None:
        last = count == (self.max_epochs if self.by_epoch else self.max_iters)
        interval = self.val_intervals[bisect(self.val_milestones, count + 1) - 1]
        due = count >= self.val_begin and (count % interval == 0 or last)
        if self.runner.val_loop is None or not due:
            return
        self._validated = count  # a checkpoint that a hook writes after the evaluation knows of it
        self._random_state = self._random_state or get_random_state()
        with self.runner.timeouts.long():
            self.runner.val_loop.run()
        set_random_state(self._random_state)
        self._random_state = None
        self.runner.model.train()

    def _validate_if_interrupted(self) -> None:
        """Validate where a checkpoint was written before a validation that did not end."""
        count = self.finished_epochs if self.by_epoch else self._iter
        if count and count != self._validated:
            resumed = self._random_state  # set again when the workers of the loader have started
            self._validate(count)
            self._random_state = resumed

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict:
        """State of this process: progress, position in the data, random state. Plain values and tensors."""
        return dict(
            epoch=self._epoch + self._ends_epoch,
            iter=self._iter + self._ends_iter,
            validated=self._validated,
            data=self.data.state_dict(self._ends_epoch),
            rng=self._random_state or get_random_state(),
            seed=self.runner.seed,
            data_seed=getattr(self.dataloader.sampler, 'seed', None),
        )

    def reshard_state(self, states: list[dict], rank: int) -> dict:
        """State of a process from those of a run with another number of processes.

        A sampler continues at the same sample. Models and transforms draw from the seeds of samples. The random state, for code
        that does not, is a function of seed, iteration and rank.
        """
        self.runner.logger.warning(
            f'The checkpoint was written by {len(states)} process(es), this run has {self.runner.world_size}: the data '
            'continue at the same sample, and what is drawn from the seeds of samples stays the same; learning rate and '
            'schedules stay those of the checkpoint'
        )
        first = states[0]
        return dict(first, rng=derived_random_state(first['seed'], first['iter'], rank))

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`. The batch size may differ.

        Raises:
            ValueError: see :meth:`.TrainingData.load_state_dict`.
        """
        self.data.load_state_dict(state['data'])
        self._epoch, self._iter, self._random_state = state['epoch'], state['iter'], state['rng']
        self._validated = state['validated']
        sampler, seed = self.dataloader.sampler, state['data_seed']
        if seed is not None and seed != getattr(sampler, 'seed', None):
            self.runner.logger.warning(f'The data keep the order of seed {seed}, that of the first run')
            sampler.seed = seed
