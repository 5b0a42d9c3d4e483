"""The training loop. An epoch can be resumed in the middle."""

import math

from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader, IterableDataset

from sapiens.registry import LOOPS
from sapiens.structures import LoaderRecord

from .random_state import derived_random_state, get_random_state, set_random_state

__all__ = ['TrainLoop']


@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Trains for ``max_epochs`` epochs or ``max_iters`` iterations.

    A resumed run continues in the middle of an epoch: the sampler skips the consumed samples, and the random state is
    restored after the loader's workers have started. Validation does not change the random state of training. A stream is
    iterated once without a restart; its epoch is ``len(dataloader)`` batches.

    Args:
        runner: the runner.
        dataloader: the loader or its config. ``drop_last=True`` drops the incomplete last batch of an epoch.
        max_epochs, max_iters: exactly one of them.
        val_begin, val_interval: first validation and interval, in epochs with ``max_epochs``, in iterations with
            ``max_iters``. The run also validates at its end.

    Raises:
        ValueError: none or both of the lengths, or a loader without a batch.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        val_begin: int = 1,
        val_interval: int = 1,
    ) -> None:
        super().__init__(runner, dataloader)
        if (max_epochs is None) == (max_iters is None):
            raise ValueError(
                f'train_cfg needs max_epochs or max_iters, got max_epochs={max_epochs}, max_iters={max_iters}'
            )
        self.by_epoch = max_epochs is not None
        self.epoch_length = len(self.dataloader)
        if self.epoch_length == 0:
            raise ValueError(
                f'the training data have no batch: {len(self.dataloader.dataset)} samples, batch size '
                f'{self.dataloader.batch_size} on {runner.world_size} process(es) and drop_last='
                f'{self.dataloader.drop_last}; use a smaller train_dataloader.batch_size'
            )
        self.max_epochs = max_epochs if self.by_epoch else math.ceil(max_iters / self.epoch_length)
        self.max_iters = max_epochs * self.epoch_length if self.by_epoch else max_iters
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False
        self._epoch, self._iter = 0, 0
        # Hooks see the index of the current iteration or epoch; a checkpoint that they write counts it as done.
        self._ends_iter, self._ends_epoch = False, False
        # Random state of training while other code uses the generators: between a resume and the first batch, and
        # during validation.
        self._random_state: dict | None = None
        # Consumed batches of this epoch, and for streams the position of each worker after them.
        self._batches = 0
        self._streams: dict[int, dict] = {}
        self._stream_batches = 0
        self._iterator = None
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def iter(self) -> int:
        return self._iter

    @property
    def is_stream(self) -> bool:
        return isinstance(self.dataloader.dataset, IterableDataset)

    @property
    def total_batch(self) -> int:
        """Images per iteration over all ranks."""
        return self.dataloader.batch_size * self.runner.world_size

    # ------------------------------------------------------------------ running

    def run(self):
        self.runner.call_hook('before_train')
        while not self.stop_training and (
            self._epoch < self.max_epochs if self.by_epoch else self._iter < self.max_iters
        ):
            self.run_epoch()
        self._iterator = self.dataloader._iterator = None  # ends persistent workers now, not at exit
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Run the rest of the current epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if self._batches < self.epoch_length:
            self._open_iterator()
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None
        while self._batches < self.epoch_length:
            self.run_iter(next(self._iterator))
            if not self.by_epoch and not self.stop_training:
                self._validate(self._iter)
            if self.stop_training:
                return
            if not self.by_epoch and self._iter >= self.max_iters:
                break
        if self._batches < self.epoch_length:
            return
        self._ends_epoch = True
        self.runner.call_hook('after_train_epoch')
        self._ends_epoch = False
        self._epoch += 1
        self._batches = 0
        if self.by_epoch:
            self._validate(self._epoch)

    def run_iter(self, batch: dict) -> None:
        """Run one training step on a batch of the loader."""
        index = self._batches
        wrapper = self.runner.optim_wrapper
        if hasattr(wrapper, 'enter_batch'):  # MMEngine's wrappers count on their own
            wrapper.enter_batch(index, min(self.epoch_length, index + self.max_iters - self._iter))
        self._batches += 1
        self._stream_batches += 1
        self.record = batch.pop('loader', None) or LoaderRecord(samples=self.dataloader.batch_size)
        if self.record.state is not None:
            self._streams[self.record.worker] = self.record.state
        self.runner.call_hook('before_train_iter', batch_idx=index, data_batch=batch)
        outputs = self.runner.model.train_step(batch, optim_wrapper=wrapper)
        self._ends_iter = True
        self.runner.call_hook('after_train_iter', batch_idx=index, data_batch=batch, outputs=outputs)
        self._ends_iter = False
        self._iter += 1

    def _open_iterator(self) -> None:
        if self.is_stream:
            if self._iterator is None:
                if self._streams:
                    self.dataloader.dataset.load_stream_state(self._streams, self._stream_batches)
                self._iterator = iter(self.dataloader)
            return
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(self._epoch)
        if self._batches:
            sampler.set_start(self._batches * self.total_batch)
        if self.dataloader.generator is not None:
            # Seeds the workers. It depends on rank and epoch only, so a resumed epoch gets the same seeds.
            seed = (self.runner.seed or 0) + 10_007 * self.runner.rank + 1_000_003 * (self._epoch + 1)
            self.dataloader.generator.manual_seed(seed)
        self._iterator = iter(self.dataloader)

    def _validate(self, count: int) -> None:
        last = count == (self.max_epochs if self.by_epoch else self.max_iters)
        due = count >= self.val_begin and (count % self.val_interval == 0 or last)
        if self.runner.val_loop is None or not due:
            return
        self._random_state = get_random_state()
        self.runner.val_loop.run()
        set_random_state(self._random_state)
        self._random_state = None
        self.runner.model.train()

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict:
        """State of this process: progress, position in the data, random state. Plain values and tensors."""
        batches = 0 if self._ends_epoch else self._batches
        if self.is_stream:
            streams = {str(worker): state for worker, state in self._streams.items()}
            data = dict(batches=batches, stream_batches=self._stream_batches, streams=streams)
        else:
            data = dict(samples=batches * self.total_batch)
        return dict(
            epoch=self._epoch + self._ends_epoch,
            iter=self._iter + self._ends_iter,
            data=data,
            rng=self._random_state or get_random_state(),
            seed=self.runner.seed,
            data_seed=getattr(self.dataloader.sampler, 'seed', None),
        )

    def reshard_state(self, states: list[dict], rank: int) -> dict:
        """State of a process from those of a run with another number of processes.

        A sampler continues at the same sample. The random state is a function of seed, iteration and rank.

        Raises:
            ValueError: a stream, which needs the same number of processes.
        """
        if self.is_stream:
            raise ValueError(
                f'the checkpoint holds stream positions of {len(states)} process(es), this run has '
                f'{self.runner.world_size}: use the same number, or restart the data with --cfg-options '
                'load_from=CHECKPOINT and without --resume'
            )
        self.runner.logger.warning(
            f'The checkpoint was written by {len(states)} process(es), this run has {self.runner.world_size}: the data '
            'continue at the same sample with new random numbers; learning rate and schedules stay those of the checkpoint'
        )
        first = states[0]
        return dict(first, rng=derived_random_state(first['seed'], first['iter'], rank))

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`. The batch size may differ.

        Raises:
            ValueError: the checkpoint is of a stream and this run is not, or the reverse; or the sampler cannot skip samples.
        """
        data, sampler = state['data'], self.dataloader.sampler
        if ('streams' in data) != self.is_stream:
            raise ValueError(
                f'the checkpoint holds a position in {"shards" if "streams" in data else "a dataset"}, this run reads '
                f'{type(self.dataloader.dataset).__name__}: resume with the data of the first run, or restart the data with '
                '--cfg-options load_from=CHECKPOINT and without --resume'
            )
        self._epoch, self._iter, self._random_state = state['epoch'], state['iter'], state['rng']
        if self.is_stream:
            self._batches, self._stream_batches = data['batches'], data['stream_batches']
            self._streams = {int(worker): position for worker, position in data['streams'].items()}
            return
        samples = data['samples']
        self._batches, rest = divmod(samples, self.total_batch)
        if self._batches and not hasattr(sampler, 'set_start'):
            raise ValueError(
                f'{samples} samples of this epoch were consumed, and {type(sampler).__name__} cannot skip them: use '
                "train_dataloader.sampler=dict(type='ResumableSampler')"
            )
        if rest:
            self.runner.logger.warning(
                f'{samples} samples of this epoch were consumed, which is no multiple of the total batch '
                f'{self.total_batch}: the last {rest} of them are used again'
            )
        if state['data_seed'] is not None and state['data_seed'] != getattr(sampler, 'seed', None):
            self.runner.logger.warning(f'The data keep the order of seed {state["data_seed"]}, that of the first run')
            sampler.seed = state['data_seed']
