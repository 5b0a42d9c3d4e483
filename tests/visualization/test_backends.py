"""Weights & Biases and MLflow, with modules in their place that refuse what they refuse."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sapiens.engine import TrainingFigureHook
from sapiens.registry import VISBACKENDS
from sapiens.visualization.tensorboard import name_by_group
from tests.engine.toy import make_runner


class Figure(TrainingFigureHook):
    name = 'picture'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rows = []

    def figure(self, model, rows, samples):
        return np.full((4, 6, 3), 7, np.uint8)


def run(folder, backend):
    """Four iterations with a figure after every second, and an evaluation whose name has parentheses."""
    runner = make_runner(
        folder, scores=[0.5], hooks=[Figure(interval=2)], train_cfg=dict(type='TrainLoop', max_iters=4, val_interval=4),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), backend]),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False)),
    )  # fmt: skip
    runner.visualizer.add_config(Config(dict(work_dir=str(folder), model=dict(steps=[dict(rate=0.5)]))))
    runner.train()
    runner.visualizer.add_scalar('coco/AP (M)', 0.25, step=4)
    runner.visualizer.close()


@pytest.fixture
def wandb(monkeypatch):
    module = SimpleNamespace(rows=[], defined=[], finished=0, Image=lambda image: ('image', image.shape), config={})
    module.init = lambda **options: module.__dict__.update(options=options)
    module.define_metric = lambda *names, **options: module.defined.append((*names, options))
    module.log = lambda row, commit: module.rows.append(row)
    module.config = SimpleNamespace(update=lambda *_, **__: None)
    module.run = SimpleNamespace(log_code=lambda **_: None)
    module.finish = lambda: module.__dict__.update(finished=module.finished + 1)
    monkeypatch.setitem(sys.modules, 'wandb', module)
    return module


def test_what_has_no_iteration_is_at_the_start(tmp_path, wandb):
    backend = VISBACKENDS.build(dict(type='WandbVisBackend', save_dir=str(tmp_path)))
    backend.add_scalar('a', 1)
    backend.add_scalars(dict(b=2))
    backend.add_image('c', np.zeros((4, 6, 3), np.uint8))
    assert wandb.rows == [{'a': 1, 'step': 0}, {'b': 2, 'step': 0}, {'c': ('image', (4, 6, 3)), 'step': 0}]


def test_wandb_gets_figures_and_curves_over_iterations(tmp_path, wandb):
    run(tmp_path, dict(type='WandbVisBackend', init_kwargs=dict(project='people')))
    assert wandb.options['project'] == 'people' and wandb.options['dir'].startswith(str(tmp_path))
    assert wandb.defined == [('step', {}), ('*', dict(step_metric='step'))]
    assert [row['step'] for row in wandb.rows if 'picture' in row] == [2, 4]
    assert all(row['picture'] == ('image', (4, 6, 3)) for row in wandb.rows if 'picture' in row)
    assert [row['step'] for row in wandb.rows if 'loss' in row] == [1, 2, 3, 4]
    assert [(row['step'], row['toy/loss']) for row in wandb.rows if 'toy/loss' in row] == [(4, 0.5)]
    assert wandb.rows[-1] == {'coco/AP (M)': 0.25, 'step': 4} and wandb.finished


def test_tensorboard_gets_names_in_groups(tmp_path):
    run(tmp_path, dict(type='TensorboardVisBackend'))
    (folder,) = tmp_path.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    names = events.Tags()
    assert sorted(names['scalars']) == [
        'coco/AP (M)', 'time/data_time', 'time/time', 'time/val_data_time', 'time/val_time', 'train/grad_norm', 'train/loss',
        'train/lr', 'val/toy/loss',
    ]  # fmt: skip
    assert names['images'] == ['train/picture']
    assert [event.step for event in events.Scalars('train/loss')] == [1, 2, 3, 4]
    assert [event.value for event in events.Scalars('val/toy/loss')] == [0.5]


def test_the_learning_rate_is_that_of_the_config():
    values = dict(base_lr=1.0, lr=0.1, loss=2.0, memory=5, iter=3, epoch=1)
    assert name_by_group(values, 'train') == {'train/lr': 1.0, 'train/loss': 2.0, 'time/memory': 5}
    assert name_by_group(dict(mfu=0.4, grad_norm=1.0), 'train') == {'time/mfu': 0.4, 'train/grad_norm': 1.0}
    assert name_by_group(dict(lr=0.1), 'train') == {'train/lr': 0.1}
    assert name_by_group({'val_loss': 1.0, 'a/b': 2.0, 'time': 3.0}, 'val') == {
        'val/loss': 1.0, 'val/a/b': 2.0, 'time/val_time': 3.0
    }  # fmt: skip


@pytest.fixture
def mlflow(monkeypatch):
    """Refuses names as MLflow 3 does, and files of unknown type as Pillow does."""
    module = SimpleNamespace(images=[], metrics=[], params={}, MlflowException=KeyError)

    def log_metrics(values, step):
        for name, value in values.items():
            assert re.fullmatch(r'[/\w.\- :]*', name), name
            module.metrics.append((step, name, value))

    def log_params(values):
        assert all(re.fullmatch(r'[/\w.\- :]*', name) for name in values)
        module.params.update(values)

    def log_image(image, name):
        assert name.endswith('.png') and name not in [other for other, _ in module.images]
        module.images.append((name, image.shape))

    module.log_metrics, module.log_params, module.log_image = log_metrics, log_params, log_image
    module.log_metric = lambda name, value, step: log_metrics({name: value}, step)
    for name in ('set_tracking_uri', 'create_experiment', 'set_experiment', 'log_text', 'log_artifact', 'end_run'):
        setattr(module, name, lambda *args, **options: None)
    module.get_experiment_by_name = lambda name: None
    monkeypatch.setitem(sys.modules, 'mlflow', module)
    monkeypatch.delenv('MLFLOW_ALLOW_FILE_STORE', raising=False)
    return module


def test_mlflow_gets_a_file_for_each_figure_and_every_metric(tmp_path, mlflow):
    run(tmp_path, dict(type='MLflowVisBackend', exp_name='people'))
    assert mlflow.images == [(f'picture/picture_000000{n}.png', (4, 6, 3)) for n in (2, 4)]
    assert [step for step, name, _ in mlflow.metrics if name == 'loss'] == [1, 2, 3, 4]
    assert (4, 'toy/loss', 0.5) in mlflow.metrics and mlflow.metrics[-1] == (4, 'coco/AP M', 0.25)
    assert mlflow.params['model.steps.0.rate'] == 0.5


@pytest.mark.parametrize(('name', 'package'), [('WandbVisBackend', 'wandb'), ('MLflowVisBackend', 'mlflow')])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f'{name} needs {package}.*python -m pip install {package}'):
        run(tmp_path, dict(type=name))
