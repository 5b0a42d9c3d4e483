"""What the training of a config needs under each way of distributing and recomputing it."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mmengine.config import Config

from sapiens.utils.config_keys import did_you_mean
from sapiens.utils.total_batch import TOTAL, batch_of_process

from ..parallel import parallel_options
from .arithmetic import BYTES, PARALLEL, Cluster, Parallel, largest_batch, peak_bytes
from .checkpointing import Variant, apply_variant, own_variant, variants_of
from .counts import ModelCounts, StepTrace, merge
from .network import exposed_seconds, latency_seconds, network_seconds, straggling_seconds, wire_bytes
from .trace import tasks_of, trace_step

__all__ = ['Choice', 'Plan', 'plan_training', 'steps_to_trace']

DAY = 86400


@dataclass(frozen=True)
class Choice:
    """One way of training. Bytes and operations are those of a GPU.

    Attributes:
        parallel, checkpointing: the way.
        batch, accumulated: images of a step of the loader, and the number of these in a step of the optimizer.
        state: bytes without any image: weights, gradients, states, copies in half precision.
        per_image: bytes that one more image takes.
        peak: bytes at ``batch``.
        fits: whether they do.
        largest: the largest batch that fits, 0 if none does.
        operations: of an image, with those that are computed again.
        recomputed: fraction of the model's operations that is computed again.
        sent: bytes on the wire in a step, see :func:`.wire_bytes`.
        compute, exposed, straggling: seconds of a step of the optimizer: operations, waiting for the network, and for the slowest
            GPU.
        images_per_second: over all GPUs.
        counts_all: whether the config sets the images of all GPUs.
        gpus: that train together.
    """

    parallel: Parallel
    checkpointing: Variant
    batch: int
    accumulated: int
    state: int
    per_image: float
    peak: int
    fits: bool
    largest: int
    operations: float
    recomputed: float
    sent: tuple[float, float]
    compute: float
    exposed: float
    straggling: float
    images_per_second: float
    counts_all: bool
    gpus: int

    @property
    def seconds(self) -> float:
        """Of a step of the optimizer."""
        return self.compute + self.exposed + self.straggling

    def batch_option(self, batch: int) -> str:
        """The option that sets a number of images of a GPU."""
        return (
            f'train_dataloader.{TOTAL}={batch * self.gpus}'
            if self.counts_all
            else f'train_dataloader.batch_size={batch}'
        )

    @property
    def efficiency(self) -> float:
        """Images per second and GPU, as a fraction of those of one GPU that had memory for the same step."""
        return self.compute / self.seconds


@dataclass(frozen=True)
class Plan:
    """All ways of training a config on a cluster.

    Attributes:
        counts: of the model, without recomputed operations.
        cluster: the machines.
        precision: ``'bf16'`` or ``'fp32'``.
        own: the way that the config sets.
        choices: all ways, that one among them, at the batch of the config.
        total_images: that the training sees; None where the length of an epoch is not known.
    """

    counts: ModelCounts
    cluster: Cluster
    precision: str
    own: Choice
    choices: Sequence[Choice]
    total_images: int | None

    def gpu_days(self, choice: Choice, images: int | None = None) -> float:
        """GPU-days of all images, or of ``images``."""
        images = images or self.total_images
        return images / choice.images_per_second * self.cluster.gpus / DAY

    def cost(self, choice: Choice, images: int | None = None) -> float:
        """Price of :meth:`gpu_days`."""
        return self.gpu_days(choice, images) * 24 * self.cluster.price


class Planner:
    """Makes choices for one config, and traces each variant of it once."""

    def __init__(self, cfg: Config, cluster: Cluster, on_trace: Callable[[], None] = lambda: None) -> None:
        self.on_trace = on_trace  # called after each traced step
        self.cfg, self.cluster = cfg, cluster
        self.batch = batch_of_process(cfg.train_dataloader, cluster.gpus)
        wrapper = cfg.optim_wrapper
        self.accumulated = wrapper.get('accumulative_counts', 1)
        self.precision = 'fp32' if wrapper.get('precision', 'auto') == 'fp32' else 'bf16'
        hooks = [*cfg.get('custom_hooks', ()), *cfg.get('default_hooks', {}).values()]
        self.averaged = any((hook or {}).get('type') == 'EMAHook' for hook in hooks)
        self.variants = variants_of(cfg)
        self.own_variant = own_variant(cfg) if own_variant(cfg) in self.variants else self.variants[0]
        self._traces: dict[str, StepTrace] = {}

    def on(self, cluster: Cluster) -> 'Planner':
        """For the same config on other machines. Traces are shared."""
        other = copy.copy(self)
        other.cluster = cluster
        return other

    def trace(self, variant: Variant) -> StepTrace:
        if variant.name not in self._traces:
            cfg, parts = apply_variant(self.cfg, variant), []
            for task in tasks_of(cfg):
                parts.append(trace_step(cfg, self.precision, task=task))
                self.on_trace()
            self._traces[variant.name] = merge(parts)
        return self._traces[variant.name]

    @property
    def model_counts(self) -> ModelCounts:
        """Of the variant with the fewest operations, which computes nothing again."""
        return min((self.trace(variant).counts for variant in self.variants), key=lambda counts: counts.step)

    def choose(
        self, parallel: Parallel, variant: Variant, batch: int | None = None, accumulated: int | None = None
    ) -> Choice:
        """Compute one way of training, by default at the batch of the config."""
        batch, accumulated = batch or self.batch, accumulated or self.accumulated
        cluster, trace = self.cluster, self.trace(variant)

        def peak(images: int) -> int:
            return peak_bytes(trace, parallel, cluster, images, accumulated, self.averaged)

        base = self.model_counts.step
        operations = trace.counts.step
        sent = wire_bytes(trace.counts, parallel, cluster, accumulated)
        compute = cluster.compute_seconds(operations * batch * accumulated)
        network = network_seconds(sent, parallel, cluster)
        network += latency_seconds(trace.counts, parallel, cluster, accumulated)
        exposed = exposed_seconds(compute, network, parallel, accumulated)
        straggling = straggling_seconds(compute, cluster)
        return Choice(
            parallel=parallel,
            checkpointing=variant,
            batch=batch,
            accumulated=accumulated,
            state=peak(0),
            per_image=peak(batch + 1) - peak(batch),
            peak=peak(batch),
            fits=peak(batch) <= cluster.usable,
            largest=largest_batch(lambda images: peak(images) <= cluster.usable),
            operations=operations,
            recomputed=operations / base - 1,
            sent=sent,
            compute=compute,
            exposed=exposed,
            straggling=straggling,
            images_per_second=batch * accumulated * cluster.gpus / (compute + exposed + straggling),
            counts_all=self.cfg.train_dataloader.get(TOTAL) is not None,
            gpus=cluster.gpus,
        )

    @property
    def own_parallel(self) -> Parallel:
        """The way of distribution that the config sets; DDP without one."""
        cls, wanted = parallel_options(self.cfg)
        kind, shard, reduced = cls.__name__, wanted.get('shard', 'all'), wanted.get('reduce_dtype', 'fp32')
        _require_one_of('type', kind, [way.type for way in PARALLEL])
        _require_one_of('shard', shard, [way.shard for way in PARALLEL if way.shard])
        for key in ('reduce_dtype', 'param_dtype'):
            if wanted.get(key, 'auto') != 'auto':
                _require_one_of(key, wanted[key], BYTES)
        base = next(way for way in PARALLEL if way.type == kind and way.shard in ('', shard))
        same = [way for way in PARALLEL if (way.type, way.shard, way.reduce_dtype) == (kind, base.shard, reduced)]
        way = replace(
            same[0] if same else replace(base, name=f'{base.name}, {reduced} sent', reduce_dtype=reduced),
            bucket_view=wanted.get('gradient_as_bucket_view', True),
            reshard=wanted.get('reshard_after_forward', True),
        )
        return self._in_precision(way)

    def ways(self) -> list[Parallel]:
        """The ways of distribution that differ on the cluster."""
        if self.cluster.gpus == 1:
            return [self.own_parallel]
        ways = [self._in_precision(way) for way in PARALLEL if way.shard != 'node' or self.cluster.nodes > 1]
        return ways if self.own_parallel in ways else [self.own_parallel, *ways]

    def _in_precision(self, way: Parallel) -> Parallel:
        """FSDP2 gathers weights in bf16 where autocast uses it, unless the config says otherwise."""
        wanted = (self.cfg.get('parallel') or {}).get('param_dtype', 'auto')
        is_full = way.type == 'FSDP2' and (wanted == 'fp32' or self.precision == 'fp32')
        return replace(way, param_dtype='fp32') if is_full else way


def steps_to_trace(cfg: Config) -> int:
    """How many steps :func:`plan_training` traces."""
    return len(variants_of(cfg)) * len(tasks_of(cfg))


def plan_training(
    cfg: Config, cluster: Cluster, images: int | None = None, on_trace: Callable[[], None] = lambda: None
) -> Plan:
    """Compute what the training of a config needs.

    Args:
        cfg: with ``model``, ``optim_wrapper``, its batch, and ``train_cfg``.
        cluster: the machines.
        images: in an epoch, for a config that counts epochs.
        on_trace: called after each of the :func:`steps_to_trace`.

    Raises:
        ValueError: the config trains nothing, or counts iterations and ``images`` is given.
    """
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(key):
            raise ValueError(f'the config has no {key}: there is no training to estimate')
    if images is not None and cfg.train_cfg.get('max_iters'):
        raise ValueError(
            f'--images {images} has no effect: the config counts iterations (train_cfg.max_iters={cfg.train_cfg.max_iters})'
        )
    planner = Planner(cfg, cluster, on_trace)
    own = planner.choose(planner.own_parallel, planner.own_variant)
    choices = [planner.choose(way, variant) for way in planner.ways() for variant in planner.variants]
    return Plan(planner.model_counts, cluster, planner.precision, own, choices, _total_images(cfg, cluster, images))


def _require_one_of(key: str, value: str, known: Iterable[str]) -> None:
    known = list(dict.fromkeys(known))
    if value not in known:
        raise ValueError(f'parallel.{key}={value!r} is not one of {", ".join(known)}{did_you_mean(value, known)}')


def _total_images(cfg: Config, cluster: Cluster, images: int | None) -> int | None:
    schedule = cfg.train_cfg
    if schedule.get('max_iters'):
        return schedule.max_iters * batch_of_process(cfg.train_dataloader, cluster.gpus) * cluster.gpus
    return None if images is None else math.floor(schedule.max_epochs * images)
