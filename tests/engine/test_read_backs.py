"""A training step does not wait for the device between two lines of the log."""

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch.utils.data import Dataset

from sapiens.datasets import stack_collate
from sapiens.engine import DataCheckHook, Runner
from sapiens.engine.training_data import TrainingData
from sapiens.models import SegTask
from sapiens.structures import DenseDataSample
from sapiens.tasks import get_task
from sapiens.utils.config import load_config

from .read_backs import ReadBacks

# (h, w) of the images, smaller than those of the configs to save time.
SIZE, ITERATIONS = (64, 48), 6
CONFIGS = [
    'mae/sapiens_tiny_synthetic-128x128',
    'mae/sapiens2_tiny_synthetic-128x128',
    'pose/sapiens_tiny_synthetic17-128x96',
    'pose/sapiens2_tiny_synthetic308-128x96',
    'seg/sapiens_tiny_synthetic-128x96',
    'seg/sapiens2_tiny_synthetic-128x96',
    'depth/sapiens_tiny_synthetic-128x96',
    'normal/sapiens_tiny_synthetic-128x96',
    'normal/sapiens2_tiny_synthetic-128x96',
    'pointmap/sapiens2_tiny_synthetic-128x96',
    'matting/sapiens2_tiny_synthetic-128x96',
    'albedo/sapiens2_tiny_synthetic-128x96',
    'person/sapiens_tiny_synthetic-256x256',
    'multi/sapiens2_tiny_synthetic-128x96',
]


def pose_sample(keypoints):
    sample = PoseDataSample(metainfo=dict(input_size=SIZE[::-1], img_shape=SIZE))
    sample.gt_instance_labels = InstanceData(
        keypoints=torch.rand(1, keypoints, 2) * torch.tensor(SIZE[::-1]),
        keypoint_weights=(torch.rand(1, keypoints) > 0.2).float(),
    )
    return sample


def box_sample():
    sample = DenseDataSample(metainfo=dict(ori_shape=SIZE, img_shape=SIZE))
    boxes = torch.tensor([[[4.0, 8, 30, 60], [20, 0, 48, 30], [0, 0, 0, 0]]])
    sample.gt_instance_labels = InstanceData(boxes=boxes, box_kinds=torch.tensor([[1, 2, 0]], dtype=torch.uint8))
    return sample


def dense_sample(task):
    intrinsics = np.array([[100.0, 0, 24], [0, 100, 32], [0, 0, 1]], np.float32)
    sample = DenseDataSample(metainfo=dict(intrinsics=intrinsics, ori_shape=SIZE, img_shape=SIZE))
    sample.valid_mask = torch.rand(SIZE) > 0.2
    for field in get_task(task).fields:
        label = torch.rand(*field.leading, *SIZE) + 0.1
        if field.kind == 'labels':
            label = torch.randint(0, 3, SIZE, dtype=torch.uint8)
        if field.kind == 'unit_vectors':
            label = torch.nn.functional.normalize(label - 0.5, dim=0)
        setattr(sample, f'gt_{field.name}', label)
        if field.own_validity:
            setattr(sample, f'valid_{field.name}', torch.rand(SIZE) > 0.2)
    return sample


class Samples(Dataset):
    """One random sample for each kind that a model trains on."""

    def __init__(self, model, size):
        tasks = getattr(model, 'tasks', {None: model})
        self.samples, self.metainfo = [], {}
        if None not in tasks:
            self.tasks = dict.fromkeys(tasks, self)
        for name, part in tasks.items():
            kind = part.task_name
            sample = DenseDataSample() if kind == 'mae' else None
            if kind == 'pose':
                sample = pose_sample(len(part.skeleton))
            if kind == 'person':
                sample = box_sample()
            sample = sample or dense_sample(kind)
            if name:
                sample.set_metainfo(dict(task=name))
            self.samples.append(dict(inputs=torch.randint(0, 256, (3, *size), dtype=torch.uint8), data_samples=sample))

    def __len__(self):
        return 64

    def __getitem__(self, index):
        # Batches of two, each of one task.
        return self.samples[index // 2 % len(self.samples)]


class Count(Hook):
    """Counts read-backs by iteration."""

    priority = 'LOWEST'

    def __init__(self, reads):
        self.reads, self.by_iteration = reads, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.by_iteration.append(list(self.reads.found))
        self.reads.found.clear()


def build(config, work_dir, reads, **changes):
    cfg = load_config(f'configs/{config}.py')
    cfg.work_dir = str(work_dir)
    cfg.model.setdefault('init_cfg', None)
    cfg.merge_from_dict(changes)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        cfg[key] = None
    size = (64, 64) if 'mae' in config else SIZE
    cfg.train_cfg = dict(type='TrainLoop', max_iters=ITERATIONS)
    cfg.visualizer, cfg.custom_hooks = dict(type='Visualizer'), []
    runner = Runner.from_cfg(cfg)
    sampler, collate = dict(type='DefaultSampler', shuffle=False), dict(type=stack_collate)
    data = Samples(runner.model, size)
    runner._train_dataloader = dict(batch_size=2, num_workers=0, dataset=data, sampler=sampler, collate_fn=collate)
    count = Count(reads)
    runner.register_hook(count)
    return runner, count


@pytest.mark.parametrize('config', CONFIGS)
def test_no_step_waits_between_two_lines_of_the_log(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)  # asks the compilers of the machine for their versions
    reads = ReadBacks()
    changes = {'default_hooks.logger.interval': 50, 'optim_wrapper.accumulative_counts': 2}
    changes['default_hooks.checkpoint.save_last'] = False
    runner, count = build(config, tmp_path, reads, **changes)
    monkeypatch.setattr(TrainingData, 'next', reads.paused_in(TrainingData.next))  # the loader works on the host
    monkeypatch.setattr(DataCheckHook, 'before_train_iter', reads.paused_in(DataCheckHook.before_train_iter))
    # Labels of training samples stay on the host.
    monkeypatch.setattr(SegTask, '_require_known', reads.paused_in(SegTask._require_known))
    with reads.counting():
        runner.train()
    between, logged = count.by_iteration[1:-1], count.by_iteration[-1]
    assert len(between) == ITERATIONS - 2 and sorted({place for found in between for place in found}) == []
    assert logged  # the counter works


class Guard(Hook):
    """Lets CUDA raise where the host waits for it, from the second iteration to the one before the last."""

    priority = 'LOWEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == ITERATIONS - 1:
            torch.cuda.set_sync_debug_mode('default')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter < ITERATIONS - 2:
            torch.cuda.set_sync_debug_mode('error')


@pytest.mark.gpu
@pytest.mark.parametrize('config', CONFIGS)
def test_no_step_waits_for_a_gpu(config, tmp_path, monkeypatch):
    # The first batches are checked on the host, where they are.
    monkeypatch.setattr(DataCheckHook, 'before_train_iter', lambda *args, **kwargs: None)
    runner, _ = build(config, tmp_path, ReadBacks(), **{'default_hooks.logger.interval': 50})
    runner.register_hook(Guard())
    try:
        runner.train()
    finally:
        torch.cuda.set_sync_debug_mode('default')
