"""Small runs on one, two or four processes (gloo), whose results are files. Used by test_parallel.py; not collected."""

import json
import os
from pathlib import Path

import functorch.compile  # noqa: F401  (what runs import, once for all processes that are forked)
import matplotlib.pyplot  # noqa: F401
import torch
from mmengine.config import Config
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from torch._dynamo.utils import counters

from sapiens.datasets.base import SampleDataset
from sapiens.engine import Runner
from sapiens.registry import DATASETS, HOOKS
from sapiens.structures import DenseDataSample
from sapiens.utils.shards import gather, local
from tests.models import multi_task
from tests.models.test_sapiens2_tasks import HEADS, LOSSES
from tests.models.test_sapiens2_tasks import sample as sapiens2_sample

SIZE = multi_task.SIZE
ARCH = dict(multi_task.ARCH, num_layers=2)
V1 = dict(type='SapiensViT', arch=ARCH, img_size=SIZE)


def dense(head: dict, **options) -> dict:
    return dict(type='DenseEstimator', head=head, **options)


# Of a run that does not say how many.
STEPS = 20
# Models by name. They draw from the seeds of samples, whatever the process.
MODELS = dict(
    mae=dict(
        type='MAE', mask_ratio=0.5,
        backbone=dict(V1, with_cls_token=True, pos_embed='sincos', patch_bias='uniform', drop_path_rate=0.2),
        decoder=dict(num_layers=2, embed_dims=16, num_heads=2),
    ),
    pose=dict(
        multi_task.TASKS['pose'], backbone=V1,
        head=dict(type='HeatmapHead', deconv_channels=(8, 8), conv_channels=(8,), init='fan_in'),
    ),
    seg=dict(
        multi_task.TASKS['seg'], backbone=V1,
        head=dict(type='DenseHead', deconv_channels=(9, 8), conv_channels=(8,), dropout=0.0),
    ),
    normal=dict(multi_task.TASKS['normal'], backbone=dict(V1, type='Sapiens2ViT')),
    # An RMS norm with weights, and a number of the whole image; both last layers run in their own precision.
    pointmap=dense(
        dict(HEADS['pointmap'], norm='rms'), backbone=dict(V1, type='Sapiens2ViT'), task=dict(type='PointmapTask'),
        losses=[LOSSES['pointmap'][0], LOSSES['pointmap'][-1]],
    ),
)  # fmt: skip
# Of samples with different numbers of valid pixels.
for reduce in ('global', 'process'):
    losses = [dict(type=f'Pointmap{name}Loss', reduce=reduce) for name in ('L1', 'ShiftInvariant', 'Scale')]
    MODELS[f'valid_{reduce}'] = dict(MODELS['pointmap'], losses=losses)
MODELS['multi'] = multi_task.config(
    backbone=dict(V1, type='Sapiens2ViT'),
    tasks={name: dict(task, head=MODELS[name]['head']) for name, task in multi_task.TASKS.items()},
)


@DATASETS.register_module()
class Fixed(SampleDataset):
    """Random images with the labels of a task."""

    def __init__(self, task: str, length: int, test_mode: bool = False) -> None:
        super().__init__([self.pack], None, test_mode)
        self.task, self.length = task, length

    def __len__(self) -> int:
        return self.length

    def load(self, index: int) -> dict:
        return dict(img_path=f'{index}.png', sample_idx=index)

    def pack(self, results: dict) -> dict:
        index = results['sample_idx']
        image = torch.randint(256, (3, *SIZE), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        if self.task == 'mae':
            sample = DenseDataSample()
        elif self.task == 'pointmap':
            sample = sapiens2_sample('pointmap', seed=index)
            sample.valid_mask = torch.ones(SIZE, dtype=torch.bool)
        elif self.task.startswith('valid'):
            sample = sapiens2_sample('pointmap', seed=index)
            sample.valid_mask[: SIZE[0] * (index % 4) // 4] = False
        else:
            sample = multi_task.samples(self.task, count=1 + index % 3, named=False)[-1]
        sample.set_metainfo(dict(sample_idx=index))
        return dict(inputs=image, data_samples=sample)


@HOOKS.register_module()
class RecordHook(Hook):
    """Records the loss of each iteration, averaged over ranks, and initial weights as one process holds them."""

    priority = 'VERY_HIGH'

    def __init__(self, spoil: int | None = None) -> None:
        self.spoil = spoil
        self.losses, self.metrics, self.initial = [], [], None
        self.pending = []  # by iteration, whether parameters have gradients after it

    def before_train(self, runner) -> None:
        self.initial = gather({name: value.clone() for name, value in runner.bare_model.state_dict().items()}, True)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        wrapper = runner.optim_wrapper
        wrapper.__dict__.pop('update_params', None)
        if runner.iter == self.spoil and runner.rank == runner.world_size - 1:
            update_params = wrapper.update_params
            wrapper.update_params = lambda loss: update_params(loss * float('nan'))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone().float()
        all_reduce(loss, op='mean')
        self.losses.append(loss.item())
        self.pending.append(any(parameter.grad is not None for parameter in runner.bare_model.parameters()))

    def after_val_epoch(self, runner, metrics=None):
        self.metrics.append(dict(metrics))


def config(work_dir: str, request: dict) -> Config:
    task, world = request['model'], int(os.environ.get('WORLD_SIZE', 1))
    model = json.loads(json.dumps(MODELS[task]))
    model['backbone'].update(request.get('backbone', {}))
    if task == 'multi':
        names = sorted(model['tasks'])
        data = dict(
            type='MultiTaskDataset', datasets={name: dict(type='Fixed', task=name, length=8) for name in names}
        )
        sampler = dict(type='TaskSampler', seed=0)
    else:
        data, sampler = dict(type='Fixed', task=task, length=16), dict(type='ResumableSampler', shuffle=True)
    hooks = [dict(type='RecordHook', spoil=request.get('spoil')), *request.get('hooks', ())]
    accumulate = request.get('accumulate', 1)
    # With the small eps of Adam, weights whose gradient is rounding alone (biases before a norm) take steps of random sign.
    cfg = dict(
        default_scope='sapiens',
        model=model,
        work_dir=work_dir,
        experiment_name=request['name'],
        train_dataloader=dict(
            total_batch_size=4, num_workers=0, drop_last=True, sampler=sampler, collate_fn=dict(type='stack_collate'),
            dataset=data,
        ),
        train_cfg=dict(type='TrainLoop', max_iters=request.get('steps', STEPS), val_interval=1000),
        optim_wrapper=dict(
            type='OptimWrapper', precision=request.get('precision', 'fp32'),
            optimizer=dict(
                type='AdamW', lr=request.get('lr', 1e-3), weight_decay=0.05, eps=1e-4, fused=request.get('fused', True),
            ),
            clip_grad=dict(max_norm=request.get('max_norm', 0.5)), accumulative_counts=accumulate,
            constructor='ParamGroupConstructor', paramwise_cfg=request.get('paramwise', dict(no_decay_1d=True)),
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=5), sampler_seed=None, stop=dict(type='StopHook'),
            checkpoint=dict(type='CheckpointHook', interval=request['saves'], by_epoch=False) if 'saves' in request else None,
        ),
        custom_hooks=hooks,
        log_processor=dict(by_epoch=False),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        env_cfg=dict(dist_cfg=dict(backend='auto')),
        randomness=dict(seed=3, diff_rank_seed=True),
        launcher='pytorch' if world > 1 else 'none',
        load_from=request.get('load_from'),
        resume=request.get('resume', False),
        parallel=request.get('parallel'),
        compile=request.get('compile', False),
        activation_checkpointing=request.get('recompute'),
        lora=request.get('lora'),
    )  # fmt: skip
    if request.get('val'):
        cfg.update(
            val_dataloader=dict(
                batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
                collate_fn=dict(type='stack_collate'), dataset=dict(type='Fixed', task=task, length=5),
            ),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=dict(type='ReconstructionLoss'),
        )  # fmt: skip
        cfg['train_cfg']['val_interval'] = request['val']
    return Config({key: value for key, value in cfg.items() if value is not None})


def run(request: dict) -> None:
    """Run in this process, and write ``result.pt`` into the work dir; with ``fails`` what it raises, as ``error_<rank>.txt``."""
    work_dir = Path(request['work_dir'])
    work_dir.mkdir(parents=True, exist_ok=True)
    counters.clear()
    try:
        runner = Runner.from_cfg(config(str(work_dir), request))
        runner.train()
    except ValueError as error:
        if not request.get('fails'):
            raise
        (work_dir / f'error_{os.environ.get("RANK", 0)}.txt').write_text(str(error))
        return
    if request.get('save_again'):
        runner.save_checkpoint(str(work_dir), 'again.pth')
    record = next(hook for hook in runner.hooks if isinstance(hook, RecordHook))
    parameters = list(runner.bare_model.parameters())
    result = dict(
        losses=record.losses,
        pending=record.pending,
        metrics=record.metrics,
        initial=record.initial,
        weights=gather(runner.bare_model.state_dict(), True),
        skipped=runner.optim_wrapper.skips.read()[0],
        held=sum(local(parameter).numel() for parameter in parameters),
        size=sum(parameter.numel() for parameter in parameters),
        graphs=counters['stats']['unique_graphs'],
    )
    if runner.rank == 0:
        torch.save(result, work_dir / 'result.pt')


def run_all(requests: list[dict]) -> None:
    """Do runs one after the other in this process, which was forked for them."""
    Runner._log_env = lambda *_: None  # asks the compilers of the machine for their versions
    os.environ['SAPIENS_VERBOSE'] = '1'
    local = os.environ.get('LOCAL_WORLD_SIZE')
    for request in requests:
        if local:
            os.environ['LOCAL_WORLD_SIZE'] = str(request.get('local', local))
        run(request)
