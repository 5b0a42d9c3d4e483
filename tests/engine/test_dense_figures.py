"""Figures of dense tasks during training and tests."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens import tasks
from sapiens.datasets import ResumableSampler, stack_collate
from sapiens.engine import DenseFigureHook, DenseShowHook, Runner, show_hook_for
from sapiens.engine.hooks import dense_drawings
from sapiens.engine.hooks.dense_drawings import DenseDrawing, DepthDrawing, drawing_for
from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample
from sapiens.visualization.layout import GAP, LINE

from .stub_dense import SIZE, Images, StubDense, truth, valid_mask
from .test_pose_figures import Nothing

NAMES = dict(sem_seg='segmentation', depth='depth', normal='normal')
_number = itertools.count()


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


def make_runner(work_dir, dataset, hooks, iterations=3, model=None, workers=0, **kwargs):
    loader = dict(batch_size=2, num_workers=workers, dataset=dataset, collate_fn=dict(type=stack_collate))
    torch.manual_seed(0)
    return Runner(
        model=model or StubDense(dataset.kind),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, sampler=dict(type=ResumableSampler, shuffle=True), drop_last=True),
        train_cfg=dict(type='TrainLoop', max_iters=iterations),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        test_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        test_cfg=dict(),
        test_evaluator=[Nothing()],
        default_hooks=dict(
            sampler_seed=None, checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False, save_last=False)
        ),
        custom_hooks=hooks,
        default_scope='sapiens',
        experiment_name=f'dense_pictures{next(_number)}',
        randomness=dict(seed=1),
        log_processor=dict(by_epoch=False),
        **kwargs,
    )


@pytest.fixture
def panels(monkeypatch):
    """Record the rows of every figure."""
    drawn = []
    for name in ('draw_seg_panel', 'draw_depth_panel', 'draw_normal_panel'):
        real = getattr(dense_drawings, name)

        def draw(rows, *args, real=real, **kwargs):
            drawn.append(rows)
            return real(rows, *args, **kwargs)

        monkeypatch.setattr(dense_drawings, name, draw)
    return drawn


def check_row(kind, row, index):
    """Prediction of the stub and labels of that image, both in pixels of the image."""
    first, labels, valid = truth(kind).numpy(), truth(kind, index).numpy(), valid_mask().numpy()
    if kind == 'sem_seg':
        np.testing.assert_array_equal(row.truth, np.where(valid, labels, 255))
        np.testing.assert_array_equal(row.prediction, np.where(first == 2, 1, first))
        return
    np.testing.assert_array_equal(row.valid, valid)
    if kind == 'depth':
        np.testing.assert_allclose(row.truth, labels[0])
        np.testing.assert_allclose(row.prediction, labels[0], rtol=1e-5)  # after its alignment
        return
    # In the frame of the released models, in which y and z point the other way.
    published = labels.transpose(1, 2, 0) * np.array([1, -1, -1])
    np.testing.assert_allclose(row.truth, published, atol=0.005)
    if index == 0:
        assert abs(row.error[row.valid] - 10).mean() < 0.5 and (row.prediction[..., 1] > 0.1).all()


@pytest.mark.parametrize('workers', [0, 1])  # samples from a worker have views of the stacked labels
@pytest.mark.parametrize('kind', NAMES)
def test_labels_and_predictions_of_training_images(kind, workers, tmp_path, panels):
    hook = DenseFigureHook(interval=2, num_images=2, side=48)
    runner = make_runner(tmp_path, Images(tmp_path, kind), [hook], workers=workers)
    runner.train()
    name = NAMES[kind]
    files = sorted(path.name for path in tmp_path.glob('*/vis_data/*.png'))
    assert files == [f'{name}_0000002.png', f'{name}_0000003.png']
    assert [len(rows) for rows in panels] == [2, 2]
    for row, later in zip(*panels, strict=True):
        index = row.image[0, 0, 0] // 10
        assert row.name == later.name == f'augmented: {index}.png' and row.image.shape == (*SIZE, 3)
        check_row(kind, row, index)
    assert runner.model.training


def test_drawing_leaves_the_training_as_it_is(tmp_path):
    images, losses = Images(tmp_path, 'normal'), []
    for name, hooks in (('without', []), ('with', [DenseFigureHook(interval=1, num_images=2, side=32)])):
        runner = make_runner(tmp_path / name, images, hooks, iterations=4)
        runner.train()
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert runner.model.calls == 4 * 2
    assert losses[0] == losses[1] and len(losses[0]) == 4


@pytest.mark.parametrize(
    ('kind', 'dtype'), [('sem_seg', torch.uint8), ('depth', torch.float32), ('normal', torch.int8)]
)
def test_the_panel_survives_a_resume_in_few_bytes(kind, dtype, tmp_path, panels):
    images = Images(tmp_path, kind)
    make_runner(tmp_path, images, [DenseFigureHook(interval=2, num_images=2, side=32)], iterations=2).train()
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=True)
    assert checkpoint['meta']['task'] == dict(sem_seg='seg').get(kind, kind)
    saved = checkpoint['panels'][NAMES[kind]]
    assert [row['truth'].dtype for row in saved] == [dtype] * 2
    hook = DenseFigureHook(interval=2, num_images=2, side=32)
    make_runner(tmp_path, images, [hook], iterations=4, resume=True).train()
    first, later = panels
    for one, two in zip(first, later, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.truth, two.truth)


@pytest.mark.parametrize('kind', NAMES)
def test_one_figure_per_image_of_a_test(kind, tmp_path, panels):
    hook = show_hook_for(dict(type='sapiens.DenseEstimator', task=dict(type='DepthTask')))(
        tmp_path / 'out', limit=2, side=64
    )
    assert isinstance(hook, DenseShowHook)
    make_runner(tmp_path / 'run', Images(tmp_path, kind, count=3), [hook]).test()
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['0.jpg', '1.jpg']
    for index, (row,) in enumerate(panels):
        check_row(kind, row, index)
        assert (row.image == 90).all()
    picture = np.asarray(Image.open(tmp_path / 'out' / '0.jpg'))
    assert picture.shape[1] == 4 * 48 + 3 * GAP
    assert abs(picture[2 * LINE : 2 * LINE + 64, :48].astype(int) - 90).max() < 8


@pytest.mark.parametrize('kind', NAMES)
def test_images_without_labels(kind, tmp_path, panels):
    make_runner(
        tmp_path / 'run', Images(tmp_path, kind, count=1, labelled=False), [DenseShowHook(tmp_path / 'out')]
    ).test()
    ((row,),) = panels
    assert row.truth is None and (tmp_path / 'out' / '0.jpg').exists()


def test_depth_is_aligned_as_stated(tmp_path, panels):
    hook = DenseFigureHook(interval=1, num_images=1, side=32, alignment='none')
    make_runner(tmp_path, Images(tmp_path, 'depth', count=2), [hook], iterations=1).train()
    ((row,),) = panels
    assert row.note == 'alignment: none' and row.prediction.max() == 1 and row.truth.min() >= 2
    # Nobody in the image: nothing to align to.
    sample = DenseDataSample(gt_depth=truth('depth'), pred_depth=truth('depth') * 2, valid_mask=valid_mask() & False)
    drawing = DepthDrawing(StubDense('depth'))
    row = drawing.row(np.zeros((*SIZE, 3), np.uint8), drawing.labels(sample), drawing.prediction(sample))
    np.testing.assert_array_equal(row.prediction, 2 * row.truth)
    assert drawing.draw([row]).shape[2] == 3


def test_wrong_input_is_refused(tmp_path):
    images = Images(tmp_path, 'depth', count=2)
    for options, message in (
        (dict(alignment='scale'), "alignment='scale', expected one of 'none'"),
        (dict(side=8), 'side=8'),
        (dict(aligment='none'), "figures of task 'depth' have no option 'aligment'.*alignment"),
    ):
        with pytest.raises(ValueError, match=message):
            make_runner(tmp_path, images, [DenseFigureHook(**options)]).train()
    runner = make_runner(tmp_path, images, [DenseShowHook(tmp_path / 'out')])
    runner.model.task_name = 'pose'
    with pytest.raises(ValueError, match="task 'pose' predicts no map"):
        runner.test()


@pytest.mark.parametrize('name', ['SegPictureHook', 'DepthPictureHook', 'NormalPictureHook'])
def test_names_in_configs_are_those_of_one_hook(name):
    assert HOOKS.get(name) is DenseFigureHook


# ------------------------------------------------------------------ a task outside the package


class Shading(StubDense):
    """Finds the labels of image 0, 0.1 too high."""

    def __init__(self, channels=None):
        super().__init__('shading')
        self.channels = channels

    def forward(self, inputs, data_samples=None, mode='tensor', loader=None, labels=None):
        if mode == 'loss':
            return super().forward(inputs, data_samples, mode)
        for sample in data_samples:
            sample.set_field(shading(self.channels, size=sample.get('ori_shape')) + 0.1, 'pred_shading')
        return data_samples


def shading(channels=None, index=0, size=SIZE):
    rows = torch.linspace(0, 1, size[0])[:, None].expand(size) + index
    return rows if channels is None else rows.expand(channels, *size)


class ShadingImages(Images):
    def __init__(self, folder, channels=None, **kwargs):
        super().__init__(folder, 'depth', **kwargs)
        self.channels = channels

    def __getitem__(self, draw):
        item, index = super().__getitem__(draw), getattr(draw, 'index', draw)
        del item['data_samples'].gt_depth
        item['data_samples'].set_field(shading(self.channels, index), 'gt_shading')
        return item


@pytest.fixture
def declare(monkeypatch):
    """Register a task for the time of a test."""

    def declare(channels, drawing):
        monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
        fields = (tasks.MapField('shading', channels),)
        tasks.register_task(tasks.TaskSpec('shading', 'shading', fields, drawing=drawing))

    return declare


def draw_shading(rows, side):
    draw_shading.calls.append((rows, side))
    return np.full((4, 4, 3), 7, np.uint8)


class ShadingDrawing(DenseDrawing):
    name = 'own'

    def __init__(self, model, side=384, gain=1.0):
        super().__init__(model, side)
        self.gain = gain

    def draw(self, rows):
        return np.full((4, 4, 3), self.gain, np.uint8)


def train_and_test_shading(tmp_path, channels, **options):
    hooks = [DenseFigureHook(interval=2, num_images=2, side=48, **options), DenseShowHook(tmp_path / 'out', side=64)]
    runner = make_runner(tmp_path / 'run', ShadingImages(tmp_path, channels, count=2), hooks, 2, Shading(channels))
    runner.train()
    runner.test()
    (file,) = tmp_path.glob('run/*/vis_data/*.png')
    shown = sorted((tmp_path / 'out').iterdir())
    assert [path.name for path in shown] == ['0.jpg', '1.jpg']
    return file.name, np.asarray(Image.open(file)), np.asarray(Image.open(shown[0]))


def test_a_task_outside_the_package_draws_by_its_own_function(tmp_path, declare):
    draw_shading.calls = []
    declare(None, draw_shading)
    name, figure, shown = train_and_test_shading(tmp_path, None)
    assert name == 'shading_0000002.png' and (figure == 7).all() and (abs(shown.astype(int) - 7) < 3).all()
    (rows, side), *others = draw_shading.calls
    assert side == 48 and [(len(rows), side) for rows, side in others] == [(1, 64), (1, 64)]
    for row in rows:
        np.testing.assert_array_equal(row.truth, shading(None, row.image[0, 0, 0] // 10))
        np.testing.assert_array_equal(row.prediction, shading() + 0.1)
        np.testing.assert_array_equal(row.valid, valid_mask())


def test_a_task_outside_the_package_draws_by_its_own_class_and_options(tmp_path, declare):
    declare(None, ShadingDrawing)
    name, figure, shown = train_and_test_shading(tmp_path, None, gain=9)
    assert name == 'own_0000002.png' and (figure == 9).all() and (abs(shown.astype(int) - 1) < 3).all()


@pytest.mark.parametrize('channels', [None, 1, 2, 3])
def test_a_task_without_a_drawing_gets_the_default(channels, tmp_path, declare, monkeypatch):
    declare(channels, None)
    name, figure, shown = train_and_test_shading(tmp_path, channels)
    assert name == 'shading_0000002.png'
    assert figure.shape[1] == 4 * 36 + 3 * GAP and shown.shape[1] == 4 * 48 + 3 * GAP


def test_two_masks_of_validity_count_both(declare):
    declare(None, None)
    sample = DenseDataSample(gt_shading=shading(), valid_mask=valid_mask())
    own = torch.ones(SIZE, dtype=torch.bool)
    own[:16] = False
    sample.set_field(own, 'valid_shading')
    kept = drawing_for(Shading()).labels(sample)
    assert torch.equal(kept['valid'], own & valid_mask())


def test_a_task_with_several_maps_draws_each(monkeypatch):
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    fields = tasks.MapField('shading', own_validity=True), tasks.MapField('tint', 3)
    tasks.register_task(tasks.TaskSpec('shading', 'shading and tint', fields))
    tint, own = shading(3), torch.ones(SIZE, dtype=torch.bool)
    own[:16] = False
    sample = DenseDataSample(gt_shading=shading(), gt_tint=tint, valid_mask=valid_mask(), valid_shading=own)
    sample.pred_shading, sample.pred_tint = shading() / 2, tint
    drawing = drawing_for(Shading(), side=48)
    image = np.zeros((*SIZE, 3), np.uint8)
    row = drawing.row(image, drawing.labels(sample), drawing.prediction(sample))
    assert torch.equal(torch.from_numpy(row['shading'].valid), own & valid_mask())
    assert torch.equal(torch.from_numpy(row['tint'].valid), valid_mask())
    np.testing.assert_array_equal(row['tint'].prediction, tint.permute(1, 2, 0))
    figure = drawing.draw([row, row])
    alone = drawing.drawings['tint'].draw([row['tint']] * 2)
    np.testing.assert_array_equal(figure[-len(alone) :], alone)
    assert figure.shape[0] > 2 * len(alone) and figure.shape[1] == alone.shape[1] == 4 * 36 + 3 * GAP
