"""The loader of training data and the position in it, from which a run resumes."""

from logging import Logger

from torch.utils.data import DataLoader, IterableDataset

from sapiens.structures import LoaderRecord

__all__ = ['TrainingData']


class TrainingData:
    """Batches of one process, epoch by epoch.

    A sampler begins again in each epoch. A stream, and a sampler without an end, is iterated on; its epoch is ``len(loader)``
    batches. Samplers without an end are those with a method ``skip``, as ``mmengine.InfiniteSampler``, and those with a method
    ``identity``, as :class:`sapiens.datasets.ShardSampler`: they continue after any number of samples of all processes, and a
    checkpoint holds this dict, to which the order belongs.

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
        self._iterator = None

    @property
    def is_stream(self) -> bool:
        return isinstance(self.loader.dataset, IterableDataset)

    @property
    def is_endless(self) -> bool:
        """Whether the sampler has no end."""
        return hasattr(self.loader.sampler, 'skip') or self.counts_epochs

    @property
    def counts_epochs(self) -> bool:
        """Whether the sampler has no end, and knows the length of an epoch."""
        return hasattr(self.loader.sampler, 'identity')

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
        if self.counts_epochs:
            sampler.set_start(self._consumed)
        elif self.is_endless:
            sampler.skip(self._consumed // self.world_size)
        elif not self.is_stream:
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
        self._consumed += self.total_batch
        record = batch.pop('loader', None) or LoaderRecord(samples=self.loader.batch_size)
        return batch, record

    def close(self) -> None:
        """End persistent workers now, not at exit."""
        self._iterator = self.loader._iterator = None

    # ------------------------------------------------------------------ state

    def state_dict(self, ends_epoch: bool) -> dict:
        """Position of this process. ``ends_epoch``: the next batch is that of a new epoch."""
        batches = 0 if ends_epoch else self.batches
        if self.is_stream:
            return dict(batches=batches)
        state = dict(samples=batches * self.total_batch)
        if self.is_endless:
            state['consumed'] = self._consumed
        if self.counts_epochs:
            state['order'] = self.loader.sampler.identity()
        return state

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`. The batch size may differ.

        Raises:
            ValueError: the checkpoint is of another kind of data, of other shards or of another order; or the sampler cannot
                skip samples.
        """
        name = type(self.loader.dataset).__name__
        restart = 'or restart the data with --cfg-options load_from=CHECKPOINT and without --resume'
        if state.get('streams'):
            raise ValueError(
                'the checkpoint holds positions in shards of an earlier version, which ordered the samples by processes and '
                f'workers: {name} cannot continue there. Restart the data with --cfg-options load_from=CHECKPOINT and without '
                '--resume'
            )
        kind = 'shards' if 'order' in state else 'a dataset' if 'samples' in state else 'a stream'
        if kind != ('a stream' if self.is_stream else 'shards' if self.counts_epochs else 'a dataset'):
            raise ValueError(
                f'the checkpoint holds a position in {kind}, this run reads {name}: resume with the data of the first run, '
                f'{restart}'
            )
        if self.counts_epochs:
            order = self.loader.sampler.identity()
            for key, before in state['order'].items():
                if order.get(key) != before:
                    raise ValueError(
                        f'the order of samples of the checkpoint cannot continue: {key} was {before} and is now '
                        f'{order.get(key)}. Resume with the shards and options of the first run, {restart}'
                    )
        if self.is_stream:
            self.batches = state['batches']
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
        if rest and not self.is_endless:
            self.logger.warning(
                f'{samples} samples of this epoch were consumed, which is not a multiple of the total batch '
                f'{self.total_batch}: the last {rest} of them are used again'
            )
