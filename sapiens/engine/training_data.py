"""The loader of training data and the position in it, from which a run resumes."""

from logging import Logger

from torch.utils.data import DataLoader, IterableDataset

from sapiens.structures import LoaderRecord

__all__ = ['TrainingData']


class TrainingData:
    """Batches of one process, epoch by epoch.

    A sampler begins again in each epoch. A stream, and a sampler without an end (it has a method ``skip``, as
    ``mmengine.InfiniteSampler``), is iterated on; its epoch is ``len(loader)`` batches.

    Attributes:
        batches: number of batches taken in this epoch.
        epoch_length: number of batches of an epoch.

    Raises:
        ValueError: a loader without a batch, a length or a batch size.
    """

    def __init__(self, loader: DataLoader, world_size: int, logger: Logger) -> None:
        self.loader, self.world_size, self.logger = loader, world_size, logger
        if loader.batch_size is None:
            raise ValueError(
                f'train_dataloader has the batch sampler {type(loader.batch_sampler).__name__}: training counts and resumes '
                'samples by batch_size and sampler; give it these'
            )
        try:
            self.epoch_length = len(loader)
        except TypeError as error:
            raise ValueError(
                f'{type(loader.dataset).__name__} has no length: give it a method __len__, the number of samples of an epoch'
            ) from error
        if self.epoch_length == 0:
            raise ValueError(
                f'the training data have no batch: {len(loader.dataset)} samples, batch size {loader.batch_size} on '
                f'{world_size} process(es) and drop_last={loader.drop_last}; use a smaller train_dataloader.batch_size'
            )
        self.batches = 0
        # Samples that all processes have taken from a sampler without an end.
        self._consumed = 0
        # Positions of a stream's workers after the batches taken since the start.
        self._streams: dict[int, dict] = {}
        self._stream_batches = 0
        self._iterator = None

    @property
    def is_stream(self) -> bool:
        return isinstance(self.loader.dataset, IterableDataset)

    @property
    def is_endless(self) -> bool:
        """Whether the sampler has no end."""
        return hasattr(self.loader.sampler, 'skip')

    @property
    def total_batch(self) -> int:
        """Images per iteration over all processes."""
        return self.loader.batch_size * self.world_size

    # ------------------------------------------------------------------ iteration

    def open(self, epoch: int, seed: int) -> None:
        """Begin an epoch, or continue it in the middle.

        Args:
            epoch: from 0.
            seed: of the workers.
        """
        if self._iterator is not None and (self.is_stream or self.is_endless):
            return
        sampler = self.loader.sampler
        if self.is_stream:
            if self._streams:
                self.loader.dataset.load_stream_state(self._streams, self._stream_batches)
        elif self.is_endless:
            sampler.skip(self._consumed // self.world_size)
        else:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
            if self.batches:
                sampler.set_start(self.batches * self.total_batch)
        if self.loader.generator is not None and not self.is_stream:
            self.loader.generator.manual_seed(seed)
        self._iterator = iter(self.loader)

    def next(self) -> tuple[dict, LoaderRecord]:
        """Take a batch.

        Raises:
            ValueError: the data end inside an epoch.
        """
        batch = next(self._iterator, None)
        if batch is None and self.is_stream and not self.batches:  # a stream that ends with the epoch
            self._iterator = iter(self.loader)
            batch = next(self._iterator, None)
        if batch is None:
            source = self.loader.dataset if self.is_stream else self.loader.sampler
            raise ValueError(
                f'the training data ended after {self.batches} of the {self.epoch_length} batches of an epoch: '
                f'{type(source).__name__} gave fewer samples than its length'
            )
        self.batches += 1
        self._stream_batches += 1
        self._consumed += self.total_batch
        record = batch.pop('loader', None) or LoaderRecord(samples=self.loader.batch_size)
        if record.state is not None:
            self._streams[record.worker] = record.state
        return batch, record

    def close(self) -> None:
        """End persistent workers now, not at exit."""
        self._iterator = self.loader._iterator = None

    # ------------------------------------------------------------------ state

    def state_dict(self, ends_epoch: bool) -> dict:
        """Position of this process. ``ends_epoch``: the next batch is that of a new epoch."""
        batches = 0 if ends_epoch else self.batches
        if self.is_stream:
            streams = {str(worker): state for worker, state in self._streams.items()}
            return dict(batches=batches, stream_batches=self._stream_batches, streams=streams)
        if self.is_endless:
            return dict(samples=batches * self.total_batch, consumed=self._consumed)
        return dict(samples=batches * self.total_batch)

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`. The batch size may differ.

        Raises:
            ValueError: the checkpoint is of a stream and this run is not, or the reverse; or the sampler cannot skip samples.
        """
        name = type(self.loader.dataset).__name__
        if ('streams' in state) != self.is_stream:
            raise ValueError(
                f'the checkpoint holds a position in {"shards" if "streams" in state else "a dataset"}, this run reads '
                f'{name}: resume with the data of the first run, or restart the data with --cfg-options '
                'load_from=CHECKPOINT and without --resume'
            )
        if self.is_stream:
            self.batches, self._stream_batches = state['batches'], state['stream_batches']
            self._streams = {int(worker): position for worker, position in state['streams'].items()}
            if self._stream_batches and not self._streams:
                self.logger.warning(f'{name} gives no positions to resume from: its data begin again')
            return
        samples, sampler = state['samples'], self.loader.sampler
        self.batches, rest = divmod(samples, self.total_batch)
        self._consumed = state.get('consumed', 0)
        can_skip = hasattr(sampler, 'set_start') or self.is_endless
        if 0 < self.batches < self.epoch_length and not can_skip:
            raise ValueError(
                f'{samples} samples of this epoch were consumed, and {type(sampler).__name__} cannot skip them: use '
                "train_dataloader.sampler=dict(type='ResumableSampler')"
            )
        if rest:
            self.logger.warning(
                f'{samples} samples of this epoch were consumed, which is not a multiple of the total batch '
                f'{self.total_batch}: the last {rest} of them are used again'
            )
