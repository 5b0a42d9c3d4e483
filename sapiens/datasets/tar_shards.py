"""Images in tar shards, local or remote, as an endless stream that resumes where it stopped."""

import warnings
from collections.abc import Iterator
from os import PathLike

from mmengine.dist import get_dist_info
from torch.utils.data import IterableDataset, get_worker_info

from sapiens.registry import DATASETS

from .base import build_pipeline
from .draw import Draw, seed_everything_for
from .shard_stream import ShardStream, expand_shards
from .transforms import BadImage

__all__ = ['TarShards']

_MAX_BAD_IN_A_ROW = 1000


@DATASETS.register_module()
class TarShards(IterableDataset):
    """The images of uncompressed tar files in WebDataset's layout.

    Members that share a name up to a dot are one sample; only its image is used (see :func:`.shard_stream.sample_of`). Every
    worker of every rank streams its own part of the shards endlessly, in a new order each time; an epoch is only a count of
    samples. A sample has ``state``, the position after it, and ``seeds``, its seed.

    Args:
        shards: path or fsspec URL, or several, with braces: ``s3://bucket/shard-{000000..000999}.tar``; see
            :func:`.shard_stream.expand_shards`.
        samples_per_epoch: what counts as an epoch, over all ranks.
        seed: of the order and of the augmentation.
        interleave: shards that a worker has open at a time; more mixes better.
        pipeline: transforms or their configs; its first one reads ``img_bytes``.
        metainfo: see :class:`sapiens.datasets.base.PathDataset`.

    Raises:
        ValueError: an argument out of its range; on iteration, more streams (ranks x workers) than shards, a state of
            another number of ranks or workers, or a thousand unusable images in a row.
        FileNotFoundError: on iteration, a shard that does not exist.
    """

    def __init__(
        self,
        shards: str | PathLike | list[str | PathLike],
        samples_per_epoch: int,
        seed: int = 0,
        interleave: int = 4,
        pipeline: list = (),
        metainfo: dict | None = None,
    ):
        self.shards = expand_shards(shards)
        if not self.shards:
            raise ValueError(f'shards={shards!r} names no shard')
        compressed = [name for name in self.shards if name.endswith(('.gz', '.tgz', '.zst', '.bz2', '.xz'))]
        if compressed:
            raise ValueError(f'{compressed[0]!r} is compressed, which cannot resume in the middle: unpack it to .tar')
        if interleave < 1:
            raise ValueError(f'interleave={interleave}: expected 1 or more open shards')
        # Read here: a spawned worker knows nothing of the process group.
        self.rank, self.world_size = get_dist_info()
        if samples_per_epoch < self.world_size:
            raise ValueError(f'samples_per_epoch={samples_per_epoch}: expected {self.world_size} or more (ranks)')
        self.samples_per_epoch, self.seed, self.interleave = samples_per_epoch, seed, interleave
        self.pipeline = build_pipeline(pipeline)
        self.metainfo = {'dataset_name': type(self).__name__, **(metainfo or {})}
        self._states: dict[int, dict] = {}
        self._batches_done = 0
        # The stream is endless; torch warns when it exceeds its length.
        warnings.filterwarnings('ignore', message='Length of IterableDataset')

    def __len__(self) -> int:
        """Samples of an epoch on this rank."""
        return self.samples_per_epoch // self.world_size

    def load_stream_state(self, states: dict, batches_done: int) -> None:
        """Let every later ``iter()`` start where this rank's streams stopped.

        Args:
            states: stream (``LoaderRecord.worker``) to the ``LoaderRecord.state`` of its last batch.
            batches_done: batches that this rank has consumed since the start of training. The loader takes batches in turn
                from worker 0, so worker w continues stream ``(w + batches_done) % num_workers``.
        """
        self._states = {int(stream): state for stream, state in states.items()}
        self._batches_done = batches_done

    def __iter__(self) -> Iterator[dict]:
        info = get_worker_info()
        workers = 1 if info is None else info.num_workers
        worker = 0 if info is None else (info.id + self._batches_done) % workers
        streams = self.world_size * workers
        if streams > len(self.shards):
            raise ValueError(
                f'{self.world_size} ranks x {workers} workers are {streams} streams, more than the '
                f'{len(self.shards)} shards: use fewer workers or smaller shards'
            )
        stream = ShardStream(self.shards, self.seed, self.interleave, self.rank * workers + worker, streams)
        setup = dict(
            rank=self.rank,
            world_size=self.world_size,
            worker=worker,
            workers=workers,
            shards=len(self.shards),
            seed=self.seed,
            interleave=self.interleave,
        )
        self._resume(stream, setup)
        return self._samples(stream, setup)

    def _resume(self, stream: ShardStream, setup: dict) -> None:
        for state in self._states.values():
            for key, now in setup.items():
                if key != 'worker' and state[key] != now:
                    raise ValueError(
                        f'the data stream of the checkpoint cannot continue: {key} was {state[key]} and is now {now}. Resume '
                        'with the same ranks, workers and shards; or restart the data order: start a run with '
                        'load_from=CHECKPOINT instead of resuming'
                    )
        if setup['worker'] in self._states:
            stream.seek(self._states[setup['worker']]['position'])
        elif self._states and self._batches_done >= setup['workers']:
            raise ValueError(
                f'the state of stream {setup["worker"]} is missing after {self._batches_done} batches; there are '
                f'those of {sorted(self._states)}'
            )

    def _samples(self, stream: ShardStream, setup: dict) -> Iterator[dict]:
        bad = []
        while True:
            found = stream.next(bad)
            if found is None or len(bad) >= _MAX_BAD_IN_A_ROW:
                listing = '\n'.join(f'  {path}: {reason}' for path, reason in bad[:10])
                raise ValueError(f'{len(bad)} unusable files in a row in the shards, of which the first:\n{listing}')
            path, content, identity, seed = found
            with seed_everything_for(Draw(identity, seed)):
                try:
                    sample = self.pipeline(dict(img_path=path, img_bytes=content, sample_idx=identity))
                except BadImage as error:
                    bad.append((path, str(error)))
                    continue
            sample['bad'], sample['seeds'], bad = bad, seed, []
            sample['state'] = {**setup, 'position': stream.position()}
            yield sample

    def __repr__(self) -> str:
        return f'TarShards({len(self.shards)} shards from {self.shards[0]!r}, interleave={self.interleave})'
