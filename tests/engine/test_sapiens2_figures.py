"""Figures of pointmaps, mattes and albedo: what is kept of samples, and rows from it."""

import types

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.engine import DenseFigureHook
from sapiens.engine.hooks import sapiens2_drawings
from sapiens.engine.hooks.dense_drawings import drawing_for
from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample
from sapiens.utils.pinhole import pixel_rays
from sapiens.utils.srgb import encode_srgb

from .stub_dense import SIZE, Images, StubDense, valid_mask
from .test_dense_figures import make_runner

PANELS = dict(pointmap='draw_pointmap_panel', matting='draw_matting_panel', albedo='draw_albedo_panel')
FOCAL = 48.0  # pixels, twice the width: a scale of 0.5


def labels(task, index=0):
    """Fields of a sample with labels."""
    ramp = torch.linspace(0, 1, SIZE[0] * SIZE[1]).view(SIZE)
    if task == 'pointmap':
        rays = pixel_rays(np.array([[FOCAL, 0, 12], [0, FOCAL, 16], [0, 0, 1]]), SIZE)
        return dict(gt_pointmap=torch.from_numpy(rays).permute(2, 0, 1).contiguous() * (2 + index))
    if task == 'matting':
        return dict(gt_alpha=ramp[None], gt_foreground=ramp.expand(3, *SIZE), valid_foreground=valid_mask())
    return dict(gt_albedo=ramp.expand(3, *SIZE) ** (1 + index))


def predictions(task):
    found = {key.replace('gt_', 'pred_'): value for key, value in labels(task).items() if key.startswith('gt_')}
    if task == 'pointmap':
        found.update(pred_pointmap=found['pred_pointmap'] * 0.5, pred_scale=torch.tensor(1.0))
    if task == 'albedo':
        found['pred_albedo'] = encode_srgb(found['pred_albedo'])
    return found


class Stub(StubDense):
    """Finds the labels of image 0; points at half the distance, by twice the true scale."""

    def __init__(self, task):
        super().__init__(task)
        self.task = types.SimpleNamespace(encoding='srgb')
        self.task_name = task

    def forward(self, inputs, data_samples=None, mode='tensor', loader=None, labels=None):
        if mode == 'loss':
            return super().forward(inputs, data_samples, mode)
        for sample in data_samples:
            for name, value in predictions(self.task_name).items():
                sample.set_field(value, name)
        return data_samples


class Labelled(Images):
    def __init__(self, folder, task, **kwargs):
        super().__init__(folder, task, labelled=False, **kwargs)

    def __getitem__(self, draw):
        item, index = super().__getitem__(draw), getattr(draw, 'index', draw)
        item['data_samples'].set_metainfo(dict(intrinsics=np.diag([FOCAL, FOCAL, 1.0])))
        for name, value in dict(labels(self.kind, index), valid_mask=valid_mask()).items():
            item['data_samples'].set_field(value, name)
        return item


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


@pytest.fixture
def panels(monkeypatch):
    """Record the rows of every figure."""
    drawn = []
    for name in PANELS.values():
        real = getattr(sapiens2_drawings, name)

        def draw(rows, *args, real=real, **kwargs):
            drawn.append(rows)
            return real(rows, *args, **kwargs)

        monkeypatch.setattr(sapiens2_drawings, name, draw)
    return drawn


@pytest.mark.parametrize('task', PANELS)
def test_figures_of_training_survive_a_resume(task, tmp_path, panels):
    images, hook = Labelled(tmp_path, task), HOOKS.get(f'{task.capitalize()}PictureHook')
    assert hook is DenseFigureHook
    options = dict(interval=2, num_images=2, side=32)
    make_runner(tmp_path, images, [hook(**options)], 2, Stub(task)).train()
    make_runner(tmp_path, images, [hook(**options)], 4, Stub(task), resume=True).train()
    files = sorted(path.name for path in tmp_path.glob('*/vis_data/*.png'))
    assert files == [f'{task}_0000002.png', f'{task}_0000004.png']
    first, later = panels
    for one, two in zip(first, later, strict=True):
        index = one.image[0, 0, 0] // 10
        assert one.name == two.name == f'augmented: {index}.png'
        np.testing.assert_array_equal(one.truth, two.truth)
        np.testing.assert_array_equal(one.valid, valid_mask())
        assert one.truth.shape[:2] == SIZE
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=True)
    kinds = dict(pointmap=torch.float32, matting=torch.uint8, albedo=torch.uint8)
    assert [row['truth'].dtype for row in checkpoint['panels'][task]] == [kinds[task]] * 2


@pytest.mark.parametrize('task', PANELS)
def test_figures_of_tests(task, tmp_path, panels):
    from sapiens.engine import DenseShowHook

    run = make_runner(
        tmp_path / 'run', Labelled(tmp_path, task, count=2), [DenseShowHook(tmp_path / 'out')], 1, Stub(task)
    )
    run.test()
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['0.jpg', '1.jpg']
    assert np.asarray(Image.open(tmp_path / 'out' / '0.jpg')).shape[1] > 4 * 48
    assert len(panels) == 2


def drawn(task, model=None, **more):
    """The row that a drawing makes of a labeled sample."""
    sample = DenseDataSample(
        metainfo=dict(img_path='a/b.png', intrinsics=np.diag([FOCAL, FOCAL, 1.0]), img_shape=SIZE)
    )
    fields = dict(labels(task), **predictions(task), valid_mask=valid_mask())
    for name, value in {**fields, **more}.items():
        sample.set_field(value, name)
    drawing = drawing_for(model or Stub(task))
    image = np.zeros((*SIZE, 3), np.uint8)
    return drawing.row(image, drawing.labels(sample), drawing.prediction(sample))


def test_points_are_drawn_as_predicted_and_measured_with_both_scales():
    row = drawn('pointmap')
    truth = labels('pointmap')['gt_pointmap'].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(row.truth, truth)
    np.testing.assert_array_equal(row.prediction, truth / 2)
    mean = np.linalg.norm(truth / 2, axis=-1)[valid_mask()].mean()
    assert row.note == f'mean {mean:.3f} m; 0.000 m with the true scale' and row.name == 'b.png'
    # Nobody: nothing to measure.
    assert drawn('pointmap', valid_mask=valid_mask() & False).note == ''


def test_colors_are_drawn_in_the_coding_of_screens():
    linear = labels('albedo')['gt_albedo'].permute(1, 2, 0).numpy()
    coded = encode_srgb(linear)
    row = drawn('albedo')
    np.testing.assert_allclose(row.truth, coded, atol=0.6 / 255)
    np.testing.assert_allclose(row.prediction, coded, atol=0.6 / 255)
    model = Stub('albedo')
    model.task.encoding = 'linear'
    row = drawn('albedo', model, pred_albedo=labels('albedo')['gt_albedo'])
    np.testing.assert_allclose(row.prediction, coded, atol=0.6 / 255)


def test_mattes_are_drawn_with_the_predicted_foreground():
    row = drawn('matting', pred_alpha=torch.full((1, *SIZE), 0.25), pred_foreground=torch.full((3, *SIZE), 2.0))
    assert row.alpha.shape == SIZE and abs(row.alpha - 0.25).max() < 0.002
    assert row.foreground.shape == (*SIZE, 3) and (row.foreground == 1).all()
    np.testing.assert_allclose(row.truth, labels('matting')['gt_alpha'][0], atol=0.002)
    # The validity of colors is not that of alpha.
    np.testing.assert_array_equal(row.valid, valid_mask())
