"""The training loop: epochs that can be entered in the middle."""

import math

from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader, IterableDataset

from sapiens.registry import LOOPS
from sapiens.structures import LoaderRecord

from .random_state import get_random_state, set_random_state

__all__ = ['TrainLoop']


@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Walks the data epoch by epoch for ``max_epochs`` epochs or ``max_iters`` iterations.

    A resumed run enters an epoch where it was left: the sampler begins behind what was consumed, nothing is read again,
    and the random state is restored once the loader's workers exist. Validation leaves the random state of training as
    it was. For endless streams an epoch is ``len(dataloader)`` batches of one iterator that is never restarted.

    Args:
        runner: the runner.
        dataloader: the loader or its config. With ``drop_last=True`` the images that fill no batch at the end of an epoch
            are left out, other ones in each epoch; without it the last batch is smaller.
        max_epochs, max_iters: exactly one of them.
        val_begin, val_interval: when to validate, in epochs with ``max_epochs``, in iterations with ``max_iters``; also
            at the end.

    Raises:
        ValueError: for contradictory lengths and a loader without a single batch.
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
                f'the training data make no batch: {len(self.dataloader.dataset)} samples, batch size '
                f'{self.dataloader.batch_size} on {runner.world_size} process(es) and drop_last='
                f'{self.dataloader.drop_last}; use a smaller train_dataloader.batch_size'
            )
        self.max_epochs = max_epochs if self.by_epoch else math.ceil(max_iters / self.epoch_length)
        self.max_iters = max_epochs * self.epoch_length if self.by_epoch else max_iters
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False
        # Set by the runner when it resumes.
        self._epoch, self._iter = 0, 0
        # Random state of training while something else uses the generators: between a resume and the first batch, and
        # during validation.
        self._random_state: dict | None = None
        # Batches of this epoch that were consumed, and for streams the position of each worker after them.
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
        while not self._finished():
            self.run_epoch()
        self._iterator = self.dataloader._iterator = None  # persistent workers end now, not at exit
        self.runner.call_hook('after_train')
        return self.runner.model

    def _finished(self) -> bool:
        done = self._epoch >= self.max_epochs if self.by_epoch else self._iter >= self.max_iters
        return done or self.stop_training

    def run_epoch(self) -> None:
        """Run what is left of the current epoch."""
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
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self._batches = 0
        if self.by_epoch:
            self._validate(self._epoch)

    def run_iter(self, batch: dict) -> None:
        """One training step on one batch of the loader."""
        index = self._batches
        wrapper = self.runner.optim_wrapper
        if hasattr(wrapper, 'enter_batch'):  # MMEngine's own wrappers count by themselves
            wrapper.enter_batch(index, min(self.epoch_length, index + self.max_iters - self._iter))
        self._batches += 1
        self._stream_batches += 1
        self.record = batch.pop('loader', None) or LoaderRecord(samples=self.dataloader.batch_size)
        if self.record.state is not None:
            self._streams[self.record.worker] = self.record.state
        self.runner.call_hook('before_train_iter', batch_idx=index, data_batch=batch)
        outputs = self.runner.model.train_step(batch, optim_wrapper=wrapper)
        self.runner.call_hook('after_train_iter', batch_idx=index, data_batch=batch, outputs=outputs)
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
            # It seeds the workers: by rank and epoch, so that a resumed epoch has the seeds it would have had.
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

    # ------------------------------------------------------------------ resuming

    def random_state(self) -> dict:
        """Random state with which training goes on; differs from the generators' own while validation uses them."""
        return self._random_state or get_random_state()

    def data_position(self, after_epoch: bool) -> dict:
        """Where this rank stands in its data, as plain values; see :meth:`load_data_position`."""
        if self.is_stream:
            streams = {str(worker): state for worker, state in self._streams.items()}
            batches = 0 if after_epoch else self._batches
            return dict(batches=batches, stream_batches=self._stream_batches, streams=streams)
        return dict(samples=0 if after_epoch else self._batches * self.total_batch)

    def load_data_position(self, positions: list[dict]) -> None:
        """Continue where the checkpoint's ranks stood.

        A data set with a sampler continues also on another number of ranks or with another batch size, as far as a whole
        batch boundary exists. A stream needs the same number of ranks.

        Raises:
            ValueError: where the data cannot continue there.
        """
        runner = self.runner
        if self.is_stream:
            if len(positions) != runner.world_size or 'streams' not in positions[runner.rank]:
                raise ValueError(
                    f'the checkpoint holds stream positions of {len(positions)} process(es), this run has '
                    f'{runner.world_size}: use as many, or start the data anew with --cfg-options load_from=CHECKPOINT '
                    'and without --resume'
                )
            position = positions[runner.rank]
            self._batches, self._stream_batches = position['batches'], position['stream_batches']
            self._streams = {int(worker): state for worker, state in position['streams'].items()}
            return
        if 'samples' not in positions[0]:
            raise ValueError(
                'the checkpoint holds positions in shards, this run reads '
                f'{type(self.dataloader.dataset).__name__}: resume with the data of the first run, or start the data anew '
                'with --cfg-options load_from=CHECKPOINT and without --resume'
            )
        samples = positions[0]['samples']
        self._batches, rest = divmod(samples, self.total_batch)
        if self._batches and not hasattr(self.dataloader.sampler, 'set_start'):
            raise ValueError(
                f'{samples} samples of this epoch were consumed, and {type(self.dataloader.sampler).__name__} cannot begin '
                "behind them: use train_dataloader.sampler=dict(type='ResumableSampler')"
            )
        if rest:
            runner.logger.warning(
                f'{samples} samples of this epoch were consumed, which is no multiple of the present total batch '
                f'{self.total_batch}: the last {rest} of them are used again'
            )
